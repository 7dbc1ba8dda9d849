// The audit log: logins that were refused, and what was changed by whom, newest first.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api } from "../api.ts";
import { Head, Panel } from "../components/bits.tsx";
import { say } from "../components/dialog.tsx";
import { Grid, type Column } from "../components/table.tsx";
import { toast } from "../components/toast.tsx";
import { moment, text } from "../format.ts";
import { useLive } from "../live.ts";
import { setQuery, usePlace, type PageProps } from "../router.ts";

interface Entry {
  index: number;
  time: string;
  event: string;
  user?: string;
  from?: string;
  interface?: string;
  object?: { type?: string; name?: string; vhost?: string };
  detail?: Record<string, unknown>;
}

interface Page {
  items: Entry[];
  first: number;
  last: number;
  next?: number | null;
}

const kinds = [
  ["", "everything"],
  ["login", "logins"],
  ["access", "refused requests"],
  ["user", "users"],
  ["user_limit", "limits of users"],
  ["permission", "permissions"],
  ["topic_permission", "topic permissions"],
  ["vhost", "virtual hosts"],
  ["vhost_limit", "limits of virtual hosts"],
  ["policy", "policies"],
  ["operator_policy", "operator policies"],
  ["queue", "queues"],
  ["exchange", "exchanges"],
  ["binding", "bindings"],
  ["connection", "connections"],
  ["parameter", "parameters"],
  ["definitions", "definitions"],
] as const;

const columns: Column<Entry>[] = [
  {
    label: "Time",
    cell: (e) => (
      <time class="nowrap" dateTime={e.time} title={e.time}>
        {moment(e.time)}
      </time>
    ),
  },
  { label: "Event", head: true, cell: (e) => <span class={"badge " + tone(e.event)}>{e.event}</span> },
  { label: "Object", cell: (e) => <Thing of={e.object} /> },
  {
    label: "User",
    cell: (e) =>
      e.user ? (
        <span class="name" title={e.user}>
          {e.user}
        </span>
      ) : (
        <span class="muted">–</span>
      ),
  },
  { label: "From", cell: (e) => <span class="nowrap">{[e.interface, e.from].filter(Boolean).join(" ") || "–"}</span> },
  { label: "Details", full: true, cell: (e) => <Detail of={e.detail} /> },
];

export function AuditPage(_: PageProps): JSX.Element {
  const { query } = usePlace();
  const type = query.get("type") ?? "";
  return <Log key={type} type={type} />;
}

function Log(p: { type: string }): JSX.Element {
  const more = p.type === "" ? "" : "&type=" + encodeURIComponent(p.type);
  const newest = useLive<Page>("/api/audit?count=100" + more);
  const [older, setOlder] = useState<{ items: Entry[]; next: number | null } | undefined>();
  const [busy, setBusy] = useState(false);
  const page = newest.data;
  // What has come since the older ones were asked for may push some off the first page:
  // they are asked for again by index, so none is shown twice.
  const first = page?.items ?? [];
  const end = first[first.length - 1]?.index;
  const rest = (older?.items ?? []).filter((e) => end === undefined || e.index < end);
  const next = older ? older.next : nextOf(page);

  const load = async () => {
    if (next === null) return;
    setBusy(true);
    try {
      const got = await api.get<Page>(`/api/audit?count=100&before=${next}${more}`);
      setOlder({ items: [...(older?.items ?? first), ...got.items], next: nextOf(got) });
    } catch (err) {
      toast(say(err), true);
    } finally {
      setBusy(false);
    }
  };

  const rows = [...first, ...rest];
  return (
    <>
      <Head title="Audit log" sub="Logins that were refused, and every change of users, permissions, topology and policies." />
      <Panel flush>
        <div class="toolbar">
          <label class="row">
            <span class="muted">Show</span>
            <select value={p.type} onChange={(e) => setQuery({ type: e.currentTarget.value })}>
              {kinds.map(([k, what]) => (
                <option key={k} value={k} selected={k === p.type}>
                  {what}
                </option>
              ))}
            </select>
          </label>
        </div>
        {newest.error && newest.error.status !== 0 && (
          <div class="error" role="alert">
            {say(newest.error)}
          </div>
        )}
        {rows.length > 0 && <Grid columns={columns} rows={rows} rowKey={(e) => String(e.index)} noun="entry" />}
        {page && rows.length === 0 && (
          <div class="empty">
            <p>Nothing of this kind has happened.</p>
          </div>
        )}
        {next !== null && (
          <div class="pager">
            <button type="button" class="button small" disabled={busy} aria-busy={busy} onClick={load}>
              Older entries
            </button>
          </div>
        )}
      </Panel>
    </>
  );
}

function nextOf(p: Page | undefined): number | null {
  return p?.next ?? null;
}

function tone(event: string): string {
  return /refused|failed/.test(event)
    ? "red"
    : /deleted|cleared|closed|purged/.test(event)
      ? "amber"
      : /created|imported/.test(event)
        ? "green"
        : "";
}

function Thing(p: { of: Entry["object"] }): JSX.Element {
  const o = p.of;
  if (!o?.type) return <span class="muted">–</span>;
  return (
    <>
      <span class="muted">{o.type.replaceAll("_", " ")}</span>
      {o.name && " "}
      {o.name && (
        <span class="name" title={o.name}>
          {o.name}
        </span>
      )}
      {o.vhost !== undefined && o.vhost !== "" && o.type !== "vhost" && <span class="muted"> in {o.vhost}</span>}
    </>
  );
}

function Detail(p: { of: Entry["detail"] }): JSX.Element {
  const rows = Object.entries(p.of ?? {});
  if (rows.length === 0) return <span class="muted">–</span>;
  return (
    <span class="badges">
      {rows.map(([k, v]) => (
        <span key={k} class="badge" title={`${k}: ${text(v)}`}>
          {k}: {text(v)}
        </span>
      ))}
    </span>
  );
}
