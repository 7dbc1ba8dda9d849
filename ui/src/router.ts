// Where the page is: the address's part after '#', as in #/queues/%2F/orders?tab=messages.
// It needs nothing of the server, and a name with any character in it survives.

import { useEffect, useState } from "preact/hooks";
import type { Session } from "./api.ts";

/** PageProps are what each page is given. */
export interface PageProps {
  /** The address's parts after the page's own: the vhost and the queue. */
  params: string[];
  query: URLSearchParams;
  session: Session;
}

export interface Place {
  /** The path's parts, decoded: ['queues', '/', 'orders']. */
  parts: string[];
  query: URLSearchParams;
  /** The whole of it, as it stands in the address. */
  hash: string;
}

/** place is where the page is now. */
export function place(): Place {
  const at = location.href.indexOf("#");
  return parse(at < 0 ? "" : location.href.slice(at + 1));
}

function parse(hash: string): Place {
  const at = hash.indexOf("?");
  const path = at < 0 ? hash : hash.slice(0, at);
  return {
    parts: path
      .split("/")
      .slice(1)
      .filter((p, i, all) => p !== "" || i < all.length - 1)
      .map(decode),
    query: new URLSearchParams(at < 0 ? "" : hash.slice(at + 1)),
    hash,
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody's typing
  }
}

/** link is the address of a place, for href: link('queues', '/', 'orders'). */
export function link(...parts: string[]): string {
  return "#/" + parts.map(encodeURIComponent).join("/");
}

/** withQuery is a link with parameters; those that are empty are left out. */
export function withQuery(href: string, query: Record<string, string | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v) q.set(k, v);
  const text = q.toString();
  return text ? href + "?" + text : href;
}

/** go leads to a link's place. */
export function go(href: string): void {
  location.hash = href.replace(/^#/, "");
}

/** setQuery changes some parameters of the present place, without a step in the history. */
export function setQuery(change: Record<string, string | undefined>): void {
  const now = place();
  for (const [k, v] of Object.entries(change)) {
    if (v) now.query.set(k, v);
    else now.query.delete(k);
  }
  const q = now.query.toString();
  const hash = "#" + (now.hash.split("?")[0] || "/") + (q ? "?" + q : "");
  if (hash === "#" + now.hash) return;
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** usePlace is place, kept up to date. */
export function usePlace(): Place {
  const [now, set] = useState(place);
  useEffect(() => {
    const changed = () => set(place());
    addEventListener("hashchange", changed);
    changed();
    return () => removeEventListener("hashchange", changed);
  }, []);
  return now;
}
