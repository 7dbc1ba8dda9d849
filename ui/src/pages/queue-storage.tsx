// Where a queue lies on disk: in the log, in segments, in files of its own.

import type { JSX } from "preact";
import { path } from "../api.ts";
import { Facts, Panel, Stat } from "../components/bits.tsx";
import { Dot } from "../components/chart.tsx";
import { say } from "../components/dialog.tsx";
import { Local, type Column } from "../components/table.tsx";
import { bytes, count, moment, text } from "../format.ts";
import { useLive } from "../live.ts";
import type { QueueStorage } from "../types.ts";

type Segment = NonNullable<QueueStorage["segments"]>[number];

const ratio = (r: number | undefined) => (r === undefined || r === 0 ? "–" : r.toFixed(r < 10 ? 2 : 1) + " ×");

const columns: Column<Segment>[] = [
  {
    label: "File",
    sort: "file",
    head: true,
    cell: (s) => (
      <>
        <span class="name mono" title={s.file}>
          {s.file}
        </span>
        {s.error && <div class="bad">{s.error}</div>}
      </>
    ),
  },
  { label: "Messages", sort: "queue_messages", num: true, cell: (s) => count(s.queue_messages) },
  {
    label: "Of this queue",
    sort: "queue_bytes",
    num: true,
    cell: (s) => (
      <span title={s.estimated ? "Estimated by its part of the file" : ""}>
        {(s.estimated ? "≈ " : "") + bytes(s.queue_bytes)}
      </span>
    ),
  },
  { label: "Uncompressed", sort: "raw_bytes", num: true, cell: (s) => bytes(s.raw_bytes) },
  { label: "Compression", sort: "ratio", num: true, cell: (s) => ratio(s.ratio) },
  { label: "Whole file", sort: "bytes", num: true, cell: (s) => bytes(s.bytes) },
  {
    label: "Share",
    extra: true,
    minor: true,
    cell: (s) => (
      <div class="meter" style={{ width: "90px" }} title={`${bytes(s.queue_bytes)} of ${bytes(s.bytes)}`}>
        <i style={{ width: (s.bytes ? Math.min(100, (s.queue_bytes / s.bytes) * 100) : 0).toFixed(1) + "%" }} />
      </div>
    ),
  },
  { label: "Written", sort: "created", num: true, minor: true, cell: (s) => (s.created ? moment(s.created) : "–") },
];

export function StorageView(p: { vhost: string; queue: string }): JSX.Element {
  const live = useLive<QueueStorage>(path("queues", p.vhost, p.queue, "storage"));
  const d = live.data;
  if (live.error && live.error.status !== 0 && !d) {
    return (
      <div class="error" role="alert">
        {say(live.error)}
      </div>
    );
  }
  if (!d) return <div class="empty">…</div>;
  const segments = d.segments ?? [];
  const inSegments = segments.reduce((n, s) => n + s.queue_bytes, 0);
  const parts = [
    { label: "Log", color: "--c-deliver", bytes: d.log?.bytes ?? 0, about: "written once; most messages are consumed from here" },
    { label: "Segments", color: "--c-publish", bytes: inSegments, about: "what outlived the log, compressed" },
    { label: "Large bodies", color: "--c-unacked", bytes: d.large?.bytes ?? 0, about: "each a file of its own" },
    { label: "Memory", color: "--c-ack", bytes: d.memory?.["bytes"] ?? 0, about: "what need not survive a restart" },
  ];
  const all = parts.reduce((n, x) => n + x.bytes, 0);
  return (
    <div class="stack">
      <div class="strip">
        <Stat label="Messages" value={count(d.messages)} />
        <Stat label="Live bytes" value={bytes(d.live_bytes)} />
        <Stat label="Uncompressed" value={bytes(d.raw_bytes)} />
        <Stat label="Compression" value={ratio(d.ratio)} />
        <Stat label="Segments" value={count(segments.length)} />
        <Stat label="Large bodies" value={count(d.large?.files ?? 0)} />
      </div>
      <Panel title="Where its messages lie">
        <div class="stack">
          <div class="bar" role="img" aria-label={parts.map((x) => `${x.label} ${bytes(x.bytes)}`).join(", ")}>
            {all > 0 &&
              parts
                .filter((x) => x.bytes > 0)
                .map((x) => (
                  <i
                    key={x.label}
                    style={{ width: (x.bytes / all) * 100 + "%", background: `var(${x.color})` }}
                    title={`${x.label}: ${bytes(x.bytes)}`}
                  />
                ))}
          </div>
          <Facts
            rows={parts.map((x) => [
              x.label,
              <>
                <Dot color={x.color} /> {bytes(x.bytes)} <span class="muted">{x.about}</span>
              </>,
            ])}
          />
        </div>
      </Panel>
      <div class="cols">
        <Panel title="In the log">
          <Facts
            rows={[
              ["Messages", count(d.log?.messages ?? 0)],
              ["Bytes", bytes(d.log?.bytes ?? 0)],
              ["In files", count(d.log?.files ?? 0)],
            ]}
          />
        </Panel>
        <Panel title="In memory">
          <Facts
            rows={Object.entries(d.memory ?? {}).map(
              ([k, v]) =>
                [
                  k.replaceAll("_", " "),
                  /bytes/.test(k) && typeof v === "number" ? bytes(v) : typeof v === "number" ? count(v) : text(v),
                ] as const,
            )}
          />
        </Panel>
      </div>
      <Panel title="Segments" flush>
        <Local
          rows={segments}
          live={live}
          columns={columns}
          rowKey={(s: Segment) => s.file}
          noun="segment"
          sort="file"
          empty={<p>None of its messages is in a segment: they are in the log, or in memory.</p>}
        />
      </Panel>
    </div>
  );
}
