// Short words on what was done, at the edge, read out by screen readers.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

let toasts: Toast[] = [];
let next = 1;
const watchers = new Set<(t: Toast[]) => void>();

function set(list: Toast[]): void {
  toasts = list;
  for (const w of watchers) w(list);
}

/** toast says something; what is bad stays until it is closed. */
export function toast(text: string, bad = false): void {
  const id = next++;
  set([...toasts.slice(-2), { id, text, bad }]);
  if (!bad) setTimeout(() => set(toasts.filter((t) => t.id !== id)), 5000);
}

export function Toasts(): JSX.Element {
  const [list, show] = useState(toasts);
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    watchers.add(show);
    return () => void watchers.delete(show);
  }, []);
  useEffect(() => {
    // a popover is above an open dialog
    const el = ref.current;
    if (!el?.showPopover) return;
    if (el.matches(":popover-open")) el.hidePopover();
    if (list.length > 0) el.showPopover();
  }, [list]);
  return (
    <div class="toasts" ref={ref} popover="manual" role="status" aria-live="polite">
      {list.map((t) => (
        <div key={t.id} class={"toast" + (t.bad ? " bad" : "")}>
          <p>{t.text}</p>
          <button type="button" aria-label="Dismiss" onClick={() => set(toasts.filter((x) => x.id !== t.id))}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
