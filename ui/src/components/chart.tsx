// Charts over time, by uPlot: redrawn when the theme or the width changes. The legend
// is ours: it shows the newest values, or those under the cursor, and hides lines.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { bytes } from "../format.ts";
import { useTheme } from "../theme.ts";

export interface Series {
  label: string;
  /** The custom property that has the colour: --c-publish. */
  color: string;
  /** Values by time in seconds, ascending. */
  points: readonly (readonly [number, number | null])[];
}

/** Sample is one of RabbitMQ's: a counter or a length at a time in ms. */
export interface Sample {
  sample: number;
  timestamp: number;
}

/** Details stand beside a value in the API. */
export interface Details {
  rate: number;
  samples?: Sample[];
}

/** lengths are the samples as they are, oldest first. */
export function lengths(d: Details | undefined): [number, number][] {
  return (d?.samples ?? []).map((s): [number, number] => [s.timestamp / 1000, s.sample]).reverse();
}

/** rates are what a counter's samples say of each second between them. */
export function rates(d: Details | undefined): [number, number][] {
  const s = [...(d?.samples ?? [])].reverse();
  const out: [number, number][] = [];
  for (let i = 1; i < s.length; i++) {
    const a = s[i - 1]!;
    const b = s[i]!;
    const seconds = (b.timestamp - a.timestamp) / 1000;
    if (seconds > 0) out.push([b.timestamp / 1000, Math.max(0, (b.sample - a.sample) / seconds)]);
  }
  return out;
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function aligned(series: readonly Series[]): uPlot.AlignedData {
  const times = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  const rows = series.map((s) => {
    const row: (number | null)[] = new Array<number | null>(times.length).fill(null);
    for (const [t, v] of s.points) row[at.get(t)!] = v;
    return row;
  });
  return [times, ...rows] as uPlot.AlignedData;
}

const two = (n: number) => String(n).padStart(2, "0");

function clock(t: number, seconds: boolean): string {
  const d = new Date(t * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}${seconds ? ":" + two(d.getSeconds()) : ""}`;
}

export function Chart(p: {
  label: string;
  series: readonly Series[];
  format(n: number | undefined | null): string;
  height?: number;
  /** Fill below the first so many lines. */
  fill?: boolean;
  /** Its values are whole numbers. */
  whole?: boolean;
  /** What is said where there is nothing to draw. */
  empty?: string;
}): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [hidden, hide] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState<number | undefined>();
  const { theme } = useTheme();
  const data = useMemo(() => aligned(p.series), [p.series]);
  const latest = useRef(data);
  latest.current = data;
  const height = p.height ?? 190;
  const names = p.series.map((s) => s.label + s.color).join("|");
  const hiddenNow = useRef(hidden);
  hiddenNow.current = hidden;

  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const binary = p.format === bytes;
    const font = "11px " + getComputedStyle(document.body).fontFamily;
    const axis = { stroke: color("--ink-3"), font, grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false } };
    const u = new uPlot(
      {
        width: Math.max(el.clientWidth, 120),
        height,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false, setScale: false } },
        padding: [8, 26, 8, 0],
        scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, nice(max, binary ? 1024 : 10)] } },
        axes: [
          {
            ...axis,
            size: 26,
            gap: 6,
            space: 74,
            values: (_u, ticks) => ticks.map((t) => clock(t, ticks.length > 1 && ticks[1]! - ticks[0]! < 60)),
          },
          {
            ...axis,
            size: (_u, labels) => 14 + 6.6 * Math.max(4, ...(labels ?? []).map((l) => l.length)),
            gap: 6,
            space: 34,
            ...(binary ? { incrs: sizes } : p.whole ? { incrs: whole } : {}),
            values: (_u, ticks) => ticks.map((t) => p.format(t)),
          },
        ],
        series: [
          {},
          ...p.series.map((s) => {
            const stroke = color(s.color);
            return {
              label: s.label,
              stroke,
              width: 1.6,
              spanGaps: true,
              points: { show: false },
              show: !hiddenNow.current.has(s.label),
              ...(p.fill ? { fill: stroke + "22" } : {}),
            };
          }),
        ],
        hooks: { setCursor: [(u) => setCursor(u.cursor.idx ?? undefined)] },
      },
      latest.current,
      el,
    );
    plot.current = u;
    const resize = new ResizeObserver(() => {
      const width = Math.max(el.clientWidth, 120);
      if (width !== u.width) u.setSize({ width, height });
    });
    resize.observe(el);
    return () => {
      resize.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [theme, names, height, p.format]);

  useEffect(() => void plot.current?.setData(data), [data]);

  const times = data[0];
  const last = times.length - 1;
  const toggle = (label: string, i: number) => {
    const now = new Set(hidden);
    if (!now.delete(label)) now.add(label);
    hide(now);
    plot.current?.setSeries(i + 1, { show: !now.has(label) });
  };
  const at = cursor === undefined || cursor > last ? undefined : cursor;
  return (
    <figure class="chart" aria-label={p.label}>
      <div class="legend">
        {p.series.map((s, i) => (
          <button
            key={s.label}
            type="button"
            aria-pressed={!hidden.has(s.label)}
            title={(hidden.has(s.label) ? "Show " : "Hide ") + s.label}
            onClick={() => toggle(s.label, i)}
          >
            <Dot color={s.color} />
            {s.label} <b>{p.format(valueAt(data[i + 1], at ?? last))}</b>
          </button>
        ))}
        <span class="at">
          {at !== undefined ? clock(times[at]!, true) : last < 1 ? (p.empty ?? "Waiting for a second sample…") : ""}
        </span>
      </div>
      <div class="plot" ref={box} />
    </figure>
  );
}

function valueAt(row: ArrayLike<number | null | undefined> | undefined, i: number): number | undefined {
  for (; row && i >= 0; i--) if (row[i] !== null && row[i] !== undefined) return row[i]!;
  return undefined;
}

/** nice is the scale's end: a little above the highest, never less than one. */
export function nice(max: number | null, base: number): number {
  if (!max || max <= 0) return 1;
  const wanted = max * 1.08;
  const unit = base === 10 ? 10 ** Math.floor(Math.log10(wanted)) : 1024 ** Math.max(0, Math.floor(Math.log2(wanted) / 10));
  const ends = base === 10 ? [1.2, 1.5, 2, 3, 4, 5, 6, 8, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024];
  return unit * (ends.find((e) => wanted <= e * unit) ?? base);
}

/** The steps of an axis of sizes. */
const sizes = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** The steps of an axis of whole numbers. */
const whole = Array.from({ length: 13 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

export function Dot(p: { color: string }): JSX.Element {
  return <i class="dot" style={{ color: `var(${p.color})` }} />;
}

/** The spans that a chart can show: its name, its length and the step between samples in seconds. */
export const spans = [
  ["60", "1 min"],
  ["600", "10 min"],
  ["3600", "1 h"],
  ["86400", "24 h"],
] as const;
export type Span = (typeof spans)[number][0];

export function spanOf(v: string | null): Span {
  return spans.find(([s]) => s === v)?.[0] ?? "600";
}

/** sampled are the API's parameters for samples over a span. */
export function sampled(span: Span, ...kinds: ("lengths" | "msg_rates" | "data_rates" | "node_stats")[]): string {
  const step = { "60": 5, "600": 5, "3600": 30, "86400": 600 }[span];
  return kinds.map((k) => `${k}_age=${span}&${k}_incr=${step}`).join("&");
}
