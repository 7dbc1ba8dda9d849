// A line the height of a row: how a number went while the page was open.

import type { JSX } from "preact";

const kept = 40;
const seen = new Map<string, { at: number; values: number[] }>();

/** remember adds a value to what is known of key, once for each answer (at), and returns it. */
export function remember(key: string, value: number | undefined, at: number): readonly number[] {
  let s = seen.get(key);
  if (!s) {
    if (seen.size > 3000) seen.clear(); // many objects were looked at: begin anew
    s = { at: 0, values: [] };
    seen.set(key, s);
  }
  if (at > s.at && value !== undefined) {
    if (at - s.at > 60_000) s.values = [];
    s.at = at;
    s.values.push(value);
    if (s.values.length > kept) s.values.shift();
  }
  return s.values;
}

export function Spark(p: { values: readonly number[]; color?: string; label: string }): JSX.Element {
  const n = p.values.length;
  const max = Math.max(...p.values, 1e-9);
  const y = (v: number) => (18.5 - (v / max) * 16).toFixed(1);
  const x = (i: number) => (88 - (n - 1 - i) * (88 / (kept - 1))).toFixed(1);
  const line = p.values.map((v, i) => `${i ? "L" : "M"}${x(i)} ${y(v)}`).join("");
  return (
    <svg class="spark" viewBox="0 0 88 20" role="img" aria-label={p.label} style={{ color: p.color ?? "var(--c-publish)" }}>
      {n > 1 && <path class="area" d={`${line}L88 19L${x(0)} 19Z`} />}
      {n > 1 && <path d={line} />}
    </svg>
  );
}
