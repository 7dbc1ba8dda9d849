// The virtual host that lists are narrowed to; '' is all of them.

import { useEffect, useState } from "preact/hooks";
import { useLive } from "./live.ts";

const key = "leveret.vhost";
let chosen = read();
const watchers = new Set<(v: string) => void>();

function read(): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

export function chooseVHost(v: string): void {
  chosen = v;
  try {
    sessionStorage.setItem(key, v);
  } catch {
    // it holds until the page is left
  }
  for (const w of watchers) w(v);
}

export function useVHost(): string {
  const [now, set] = useState(chosen);
  useEffect(() => {
    watchers.add(set);
    set(chosen);
    return () => void watchers.delete(set);
  }, []);
  return now;
}

/** within is a list's path, narrowed to a vhost: /api/queues, or /api/queues/%2F. */
export function within(list: string, vhost: string): string {
  return vhost === "" ? list : list + "/" + encodeURIComponent(vhost);
}

/** useVHostNames are the vhosts that the user sees, as options of a choice. */
export function useVHostNames(): (readonly [string, string])[] {
  const vhosts = useLive<{ name: string }[]>("/api/vhosts?columns=name", 30_000);
  return (vhosts.data ?? []).map((v) => [v.name, v.name] as const).sort((a, b) => a[0].localeCompare(b[0]));
}
