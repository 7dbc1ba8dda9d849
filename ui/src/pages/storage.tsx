// The storage engine: how long a sync takes, how many messages share it, where messages
// lie, and what they cost.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Facts, Head, Panel, Stat } from "../components/bits.tsx";
import { Chart, spanOf, spans, type Series } from "../components/chart.tsx";
import { say } from "../components/dialog.tsx";
import { Segmented } from "../components/form.tsx";
import { Grid, type Column } from "../components/table.tsx";
import { bytes, count } from "../format.ts";
import { useLive } from "../live.ts";
import { setQuery, usePlace, type PageProps } from "../router.ts";

/** Tier is one of the places where messages are. */
interface Tier {
  files: number;
  bytes: number;
  live: number;
  raw: number;
  messages: number;
}

interface Work {
  runs: number;
  failed: number;
  files: number;
  read_bytes: number;
  written_bytes: number;
}

interface Storage {
  wal: {
    fsync: { count: number; p50_ms: number; p99_ms: number; max_ms: number };
    group: { mean: number; p50: number; p99: number; max: number };
  };
  tiers: Record<"log" | "segments" | "large" | "memory" | "spilled", Tier>;
  space_amplification: number;
  write_amplification: number;
  published_bytes: number;
  written: { log: number; segments: number; large: number; checkpoints: number };
  retirement: Work;
  compaction: Work;
  unretired_bytes: number;
  checkpoint_bytes: number;
  damaged_messages: number;
  throttled_seconds: number;
  cache: { hits: number; misses: number; bytes: number; limit: number };
  log_reads: number;
  log_read_bytes: number;
  recovery: { seconds: number; messages: number; replayed_bytes: number };
  samples: Record<"fsync_p50_ms" | "fsync_p99_ms" | "log_bytes" | "segment_bytes", [number, number | null][]>;
}

const tiers = [
  ["log", "Log", "What was written lately, in the order it came"],
  ["segments", "Segments", "What stayed longer, by queue and compressed"],
  ["large", "Large messages", "A file each"],
  ["memory", "Memory", "Messages that need not outlive the broker"],
  ["spilled", "Spilled", "Of those, what memory had no room for"],
] as const;

type Row = Tier & { name: string; what: string };

const columns: Column<Row>[] = [
  { label: "Tier", head: true, cell: (t) => <span title={t.what}>{t.name}</span> },
  { label: "Messages", num: true, cell: (t) => count(t.messages) },
  { label: "Files", num: true, cell: (t) => count(t.files) },
  { label: "Size", num: true, cell: (t) => bytes(t.bytes) },
  { label: "Live", num: true, cell: (t) => bytes(t.live) },
  { label: "In use", num: true, minor: true, cell: (t) => (t.bytes ? percent((t.live ?? 0) / t.bytes) : "–") },
  {
    label: "Compression",
    num: true,
    minor: true,
    cell: (t) => (t.live && t.raw && t.raw > t.live ? times(t.raw / t.live) : "–"),
  },
];

export function StoragePage(_: PageProps): JSX.Element {
  const { query } = usePlace();
  const span = spanOf(query.get("span"));
  const step = { "60": 5, "600": 5, "3600": 30, "86400": 600 }[span];
  const live = useLive<Storage>(`/api/storage?lengths_age=${span}&lengths_incr=${step}`);
  const s = live.data;
  const latency = useMemo(
    (): Series[] => [
      { label: "half within", color: "--c-publish", points: seconds(s?.samples.fsync_p50_ms) },
      { label: "99 % within", color: "--c-redeliver", points: seconds(s?.samples.fsync_p99_ms) },
    ],
    [s],
  );
  const sizes = useMemo(
    (): Series[] => [
      { label: "log", color: "--c-ready", points: seconds(s?.samples.log_bytes) },
      { label: "segments", color: "--c-unacked", points: seconds(s?.samples.segment_bytes) },
    ],
    [s],
  );
  return (
    <>
      <Head
        title="Storage"
        sub="A publisher’s confirm means that the disk has the message: it waits for one sync, which it shares with all that came meanwhile."
      >
        <Segmented label="Span" value={span} options={spans} onChange={(v) => setQuery({ span: v === "600" ? "" : v })} />
      </Head>
      {live.error && live.error.status !== 0 && (
        <div class="error" role="alert">
          {say(live.error)}
        </div>
      )}
      {s && (
        <div class="stack">
          {s.damaged_messages ? (
            <div class="error" role="alert">
              {count(s.damaged_messages)} messages could not be read and were set aside; the broker’s log names the files.
            </div>
          ) : null}
          <div class="strip">
            <Stat label="Sync, median" value={ms(s.wal.fsync.p50_ms)} />
            <Stat label="Sync, 99 %" value={ms(s.wal.fsync.p99_ms)} />
            <Stat label="Sync, longest" value={ms(s.wal.fsync.max_ms)} />
            <Stat label="Syncs" value={count(s.wal.fsync.count)} />
            <Stat
              label="Shared by"
              value={count(s.wal.group.p50)}
              title="Median of the batches that share one sync; a batch is what came at once from one client"
            />
            <Stat label="… at most" value={count(s.wal.group.max)} title="The most batches that shared one sync" />
            <Space of={s} />
            <Stat label="Written" value={times(s.write_amplification)} title="Bytes written for each that was published" />
          </div>
          <div class="cols">
            <Panel title="How long a sync takes">
              <Chart label="How long a sync takes" series={latency} format={ms} empty="Waiting for samples…" />
            </Panel>
            <Panel title="On disk">
              <Chart label="Bytes on disk" series={sizes} format={bytes} fill empty="Waiting for samples…" />
            </Panel>
          </div>
          <Panel title="Where messages are" flush>
            <Grid
              columns={columns}
              rows={tiers.filter(([k]) => s.tiers[k]).map(([k, name, what]): Row => ({ ...s.tiers[k], name, what }))}
              rowKey={(t) => t.name}
              noun="tier"
            />
          </Panel>
          <div class="cols">
            <Panel title="Written since the start">
              <Facts
                rows={[
                  ["Published", bytes(s.published_bytes)],
                  ["Log", bytes(s.written.log)],
                  ["Segments", bytes(s.written.segments)],
                  ["Large messages", bytes(s.written.large)],
                  ["Checkpoints", bytes(s.written.checkpoints)],
                ]}
              />
            </Panel>
            <WorkPanel title="Retirement of the log" of={s.retirement} more={["Yet to retire", bytes(s.unretired_bytes)]} />
            <WorkPanel title="Compaction of segments" of={s.compaction} more={["Newest checkpoint", bytes(s.checkpoint_bytes)]} />
            <Panel title="Reading, recovering">
              <Facts
                rows={[
                  ["Read from the log", `${bytes(s.log_read_bytes)} in ${count(s.log_reads)} reads`],
                  ["Segments’ blocks from the cache", hits(s.cache)],
                  ["Cache", `${bytes(s.cache.bytes)} of ${bytes(s.cache.limit)}`],
                  ["Publishers held up", `${s.throttled_seconds.toFixed(1)} s`],
                  ["Last start", `${ms(s.recovery.seconds * 1000)}, ${bytes(s.recovery.replayed_bytes)} of log replayed`],
                ]}
              />
            </Panel>
          </div>
        </div>
      )}
    </>
  );
}

/** Space is what lies on disk; where little is alive its share says nothing. */
function Space(p: { of: Storage }): JSX.Element {
  const { log, segments, large } = p.of.tiers;
  const live = log.live + segments.live + large.live;
  return (
    <Stat
      label="On disk"
      value={bytes(log.bytes + segments.bytes + large.bytes)}
      {...(live >= 1 << 20 ? { unit: times(p.of.space_amplification) } : {})}
      title={`${bytes(live)} of it belong to messages that are not gone`}
    />
  );
}

function WorkPanel(p: { title: string; of: Work; more: readonly [string, string] }): JSX.Element {
  const w = p.of;
  return (
    <Panel title={p.title}>
      <Facts
        rows={[
          [
            "Runs",
            <>
              {count(w.runs)}
              {w.failed ? <span class="bad">, {count(w.failed)} failed</span> : null}
            </>,
          ],
          ["Files taken in", count(w.files)],
          ["Read", bytes(w.read_bytes)],
          ["Written", bytes(w.written_bytes)],
          p.more,
        ]}
      />
    </Panel>
  );
}

function seconds(samples: [number, number | null][] | undefined): [number, number | null][] {
  return [...(samples ?? [])].map(([t, v]): [number, number | null] => [t / 1000, v]).sort((a, b) => a[0] - b[0]);
}

function ms(n: number | undefined | null): string {
  if (n === undefined || n === null || !Number.isFinite(n)) return "–";
  if (n === 0) return "0";
  return n < 1
    ? `${Math.round(n * 1000)} µs`
    : n < 100
      ? `${n.toFixed(1)} ms`
      : n < 10_000
        ? `${Math.round(n)} ms`
        : `${(n / 1000).toFixed(1)} s`;
}

function hits(c: Storage["cache"]): string {
  const all = c.hits + c.misses;
  return all === 0 ? "none was read" : `${percent(c.hits / all)} of ${count(all)}`;
}

function times(n: number | undefined): string {
  return n === undefined || n === 0 || !Number.isFinite(n) ? "–" : `${n.toFixed(n < 10 ? 2 : 1)}×`;
}

function percent(n: number): string {
  return `${Math.round(Math.min(1, n) * 100)} %`;
}
