// The broker at a glance: what flows, what waits, what it lives on.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Chart, sampled, spanOf, spans, type Details } from "../components/chart.tsx";
import { Facts, Gauge, Head, Panel, Stat } from "../components/bits.tsx";
import { Segmented } from "../components/form.tsx";
import { say } from "../components/dialog.tsx";
import { broad, depthSeries, rateSeries } from "../components/series.ts";
import { bytes, count, duration, rate, short } from "../format.ts";
import { useLive } from "../live.ts";
import { link, setQuery, type PageProps } from "../router.ts";
import type { Node, Overview } from "../types.ts";

export function OverviewPage(p: PageProps): JSX.Element {
  const span = spanOf(p.query.get("span"));
  const live = useLive<Overview>("/api/overview?" + sampled(span, "lengths", "msg_rates"));
  const sees = p.session.tags.some((t) => t === "administrator" || t === "monitoring");
  const nodes = useLive<Node[]>(sees ? "/api/nodes" : undefined);
  const o = live.data;
  const s = o?.message_stats;
  const q = o?.queue_totals;
  const t = o?.object_totals;
  const flow = useMemo(() => rateSeries(s, broad), [s]);
  const depth = useMemo(() => depthSeries(q), [q]);
  return (
    <>
      <Head title="Overview" sub={o?.cluster_name && <span>{o.cluster_name}</span>}>
        <Segmented
          label="Span of the charts"
          value={span}
          options={spans}
          onChange={(v) => setQuery({ span: v === "600" ? "" : v })}
        />
      </Head>
      <div class="stack">
        {live.error && live.error.status !== 0 && <div class="error">{say(live.error)}</div>}
        <div class="strip">
          <Stat
            label="Ready"
            color="--c-ready"
            value={short(q?.messages_ready)}
            title={count(q?.messages_ready) + " messages wait for a consumer"}
          />
          <Stat
            label="Unacked"
            color="--c-unacked"
            value={short(q?.messages_unacknowledged)}
            title={count(q?.messages_unacknowledged) + " messages are out"}
          />
          <Stat label="Publish" color="--c-publish" value={rate(o && (s?.publish_details?.rate ?? 0))} unit="/s" />
          <Stat label="Confirm" color="--c-confirm" value={rate(o && (s?.confirm_details?.rate ?? 0))} unit="/s" />
          <Stat label="Deliver" color="--c-deliver" value={rate(o && (s?.deliver_get_details?.rate ?? 0))} unit="/s" />
          <Stat label="Ack" color="--c-ack" value={rate(o && (s?.ack_details?.rate ?? 0))} unit="/s" />
        </div>
        <div class="cols">
          <Panel title="Message rates, a second">
            <Chart label="Message rates" series={flow} format={rate} />
          </Panel>
          <Panel title="Messages in queues">
            <Chart label="Messages in queues" series={depth} format={short} whole />
          </Panel>
        </div>
        <div class="strip">
          <Stat label="Connections" value={count(t?.connections)} href={link("connections")} />
          <Stat label="Channels" value={count(t?.channels)} href={link("channels")} />
          <Stat label="Consumers" value={count(t?.consumers)} href={link("consumers")} />
          <Stat label="Exchanges" value={count(t?.exchanges)} href={link("exchanges")} />
          <Stat label="Queues" value={count(t?.queues)} href={link("queues")} />
        </div>
        {nodes.data?.map((n) => (
          <NodePanel key={n.name} node={n} />
        ))}
        {sees && (
          <div class="cols">
            <Panel title="Coming and going" flush>
              <ChurnTable churn={o?.churn_rates} />
            </Panel>
            <Panel title="Listeners" flush>
              <Listeners overview={o} />
            </Panel>
          </div>
        )}
      </div>
    </>
  );
}

function NodePanel(p: { node: Node }): JSX.Element {
  const n = p.node;
  const floor = n.disk_free_limit ?? 0;
  return (
    <Panel
      title={<>Node {n.name}</>}
      tools={
        <>
          {n.mem_alarm && <span class="badge red">memory alarm</span>}
          {n.disk_free_alarm && <span class="badge red">disk alarm</span>}
          {n.running === false && <span class="badge red">not running</span>}
          <span class="muted">up {duration(n.uptime)}</span>
        </>
      }
    >
      <div class="stack">
        <div class="gauges">
          <Gauge
            label="Memory"
            used={n.mem_used}
            limit={n.mem_limit}
            format={bytes}
            alarm={n.mem_alarm ?? false}
            note={n.mem_limit ? `alarm at ${bytes(n.mem_limit)}` : ""}
          />
          <div class="gauge">
            <div class="k">
              <span>Disk free</span>
              <b>{bytes(n.disk_free)}</b>
            </div>
            <div
              class={"meter" + (n.disk_free_alarm ? " bad" : n.disk_free !== undefined && n.disk_free < floor * 2 ? " warn" : "")}
            >
              <i
                style={{
                  width: (n.disk_free ? Math.min(100, (1 - Math.min(1, floor / n.disk_free)) * 100) : 0).toFixed(1) + "%",
                }}
              />
            </div>
            <small>alarm below {bytes(n.disk_free_limit)}</small>
          </div>
          <Gauge label="File descriptors" used={n.fd_used} limit={n.fd_total} />
          <Gauge label="Sockets" used={n.sockets_used} limit={n.sockets_total} />
        </div>
        <Facts
          rows={[
            ["Data", n.db_dir && <span class="mono">{n.db_dir}</span>],
            ["Process", `${n.os_pid ?? "–"}, ${n.processors ?? "–"} processors`],
          ]}
        />
      </div>
    </Panel>
  );
}

const churn = [
  ["Connections", "connection_created", "connection_closed"],
  ["Channels", "channel_created", "channel_closed"],
  ["Queues", "queue_created", "queue_deleted"],
  ["Queue declarations", "queue_declared", ""],
] as const;

function ChurnTable(p: { churn: Record<string, unknown> | undefined }): JSX.Element {
  const cell = (key: string) => {
    if (!key) return <td class="num" />;
    const total = p.churn?.[key] as number | undefined;
    const d = p.churn?.[key + "_details"] as Details | undefined;
    return (
      <td class="num">
        {count(total)} {p.churn && <span class="muted">{rate(d?.rate ?? 0)}/s</span>}
      </td>
    );
  };
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <td />
            <th scope="col" class="num">
              Opened, made
            </th>
            <th scope="col" class="num">
              Closed, deleted
            </th>
          </tr>
        </thead>
        <tbody>
          {churn.map(([label, made, gone]) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              {cell(made)}
              {cell(gone)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Listeners(p: { overview: Overview | undefined }): JSX.Element {
  const rows = (p.overview?.listeners ?? []).filter((l) => l.protocol !== "clustering");
  if (rows.length === 0) return <div class="empty">None is shown.</div>;
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Protocol</th>
            <th scope="col">Address</th>
            <th scope="col" class="num">
              Port
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((l) => (
            <tr key={l.protocol + l.ip_address + l.port}>
              <td>{l.protocol}</td>
              <td class="mono">{l.ip_address}</td>
              <td class="num">{l.port}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
