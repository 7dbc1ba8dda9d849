// One queue: how it does, its messages, bindings, consumers, and where it lies on disk.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Badges, Facts, Head, Panel, Stat, State, Values, VHost } from "../components/bits.tsx";
import { Chart, sampled, spanOf, spans, type Span } from "../components/chart.tsx";
import { FormDialog, say } from "../components/dialog.tsx";
import { Check, Segmented } from "../components/form.tsx";
import { depthSeries, rateSeries } from "../components/series.ts";
import { Local } from "../components/table.tsx";
import { bytes, count, moment, plural, rate, short } from "../format.ts";
import { useLive, type Live } from "../live.ts";
import { go, link, setQuery, withQuery, type PageProps } from "../router.ts";
import type { Binding, Consumer, Queue } from "../types.ts";
import { BindingTable } from "./bindings.tsx";
import { consumerColumns } from "./consumers.tsx";
import { Bind } from "./declare.tsx";
import { Get, PeekView } from "./messages.tsx";
import { Publish } from "./publish.tsx";
import { StorageView } from "./queue-storage.tsx";

const tabs = [
  ["", "Overview"],
  ["messages", "Messages"],
  ["bindings", "Bindings"],
  ["consumers", "Consumers"],
  ["storage", "Storage"],
] as const;

type Shown = "publish" | "get" | "bind" | "purge" | "delete";

export function QueuePage(p: PageProps): JSX.Element {
  const [vhost = "", name = ""] = p.params;
  const tab = tabs.find(([t]) => t === p.query.get("tab"))?.[0] ?? "";
  const span = spanOf(p.query.get("span"));
  const live = useLive<Queue>(path("queues", vhost, name) + "?" + sampled(span, "lengths", "msg_rates"));
  const bindings = useLive<Binding[]>(path("queues", vhost, name, "bindings"));
  const [dialog, show] = useState<Shown | undefined>();
  const close = () => show(undefined);
  const q = live.data;
  const gone = live.error?.status === 404;
  const button = (what: Shown, label: string, tone = "") => (
    <button type="button" class={"button " + tone} disabled={!q || gone} onClick={() => show(what)}>
      {label}…
    </button>
  );
  const here = link("queues", vhost, name);
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    // where there is no room for all tabs, the one that is open is in sight
    const open = nav.current?.querySelector<HTMLElement>("[aria-current]");
    if (nav.current && open) nav.current.scrollLeft = open.offsetLeft - (nav.current.clientWidth - open.offsetWidth) / 2;
  }, [tab, q !== undefined, bindings.data !== undefined]);
  const counts: Record<string, number | undefined> = {
    messages: q?.messages,
    bindings: bindings.data?.length,
    consumers: q?.consumers,
  };
  return (
    <>
      <Head
        crumb={<a href={link("queues")}>Queues</a>}
        title={name}
        sub={
          <>
            {q && <State state={q.state} />}
            {q?.type && <span class="badge">{q.type}</span>}
            <VHost name={vhost} />
            {q && (
              <Badges
                durable={q.durable ?? true}
                autoDelete={q.auto_delete ?? false}
                exclusive={q.exclusive ?? false}
                policy={q.policy}
                operatorPolicy={q.operator_policy}
              />
            )}
          </>
        }
      >
        {button("publish", "Publish", "primary")}
        {button("get", "Get")}
        {button("bind", "Bind")}
        {button("purge", "Purge", "danger")}
        {button("delete", "Delete", "danger")}
      </Head>
      {live.error && live.error.status !== 0 ? (
        <div class="empty">
          <p>{gone ? "There is no such queue (any more)." : say(live.error)}</p>
          <a class="button" href={link("queues")}>
            To the queues
          </a>
        </div>
      ) : (
        <>
          <nav class="tabs" ref={nav} aria-label="Parts of the queue">
            {tabs.map(([t, label]) => (
              <a key={t} href={withQuery(here, { tab: t })} {...(t === tab ? { "aria-current": "page" } : {})}>
                {label}
                {counts[t] !== undefined && <span class="count">{short(counts[t])}</span>}
              </a>
            ))}
          </nav>
          {tab === "" && <Overview q={q} span={span} />}
          {tab === "messages" && (
            <div class="stack">
              <div class="note">
                Peeking reads messages, ready or out with a consumer, at any depth, and changes nothing: not their order, not even
                whether they count as redelivered.
              </div>
              <Panel flush>
                <PeekView vhost={vhost} queue={name} />
              </Panel>
            </div>
          )}
          {tab === "bindings" && (
            <Panel title="Bindings to it" flush>
              <BindingTable rows={bindings.data} live={bindings} without="To" empty="Nothing is bound to it." />
            </Panel>
          )}
          {tab === "consumers" && <Consumers q={q} live={live} />}
          {tab === "storage" && <StorageView vhost={vhost} queue={name} />}
        </>
      )}
      {dialog === "publish" && <Publish vhost={vhost} exchange="" queue={name} onClose={close} />}
      {dialog === "get" && <Get vhost={vhost} queue={name} onClose={close} />}
      {dialog === "bind" && <Bind vhost={vhost} queue={name} onClose={close} />}
      {dialog === "purge" && q && <Purge q={q} onClose={close} />}
      {dialog === "delete" && q && <Delete q={q} onClose={close} />}
    </>
  );
}

const flowing = [
  ["In", "publish", "--c-publish"],
  ["Deliver", "deliver", "--c-deliver"],
  ["Deliver, no ack", "deliver_no_ack", "--c-total"],
  ["Ack", "ack", "--c-ack"],
  ["Get", "get", "--c-get"],
  ["Redelivered", "redeliver", "--c-redeliver"],
] as const;

function Overview(p: { q: Queue | undefined; span: Span }): JSX.Element {
  const { q } = p;
  const s = q?.message_stats;
  const flow = useMemo(() => rateSeries(s, flowing), [s]);
  const depth = useMemo(() => depthSeries(q), [q]);
  const used = q?.consumer_capacity ?? q?.consumer_utilisation;
  const single = q?.single_active_consumer_tag;
  return (
    <div class="stack">
      <div class="strip">
        <Stat label="Ready" color="--c-ready" value={short(q?.messages_ready)} title={count(q?.messages_ready)} />
        <Stat
          label="Unacked"
          color="--c-unacked"
          value={short(q?.messages_unacknowledged)}
          title={count(q?.messages_unacknowledged)}
        />
        <Stat label="Bytes" value={bytes(q?.message_bytes)} />
        <Stat label="In" color="--c-publish" value={rate(s?.publish_details?.rate ?? 0)} unit="/s" />
        <Stat label="Out" color="--c-deliver" value={rate(s?.deliver_get_details?.rate ?? 0)} unit="/s" />
        <Stat label="Ack" color="--c-ack" value={rate(s?.ack_details?.rate ?? 0)} unit="/s" />
      </div>
      <div class="row">
        <span class="grow" />
        <Segmented
          label="Span of the charts"
          value={p.span}
          options={spans.slice(0, 2)}
          onChange={(v) => setQuery({ span: v === "600" ? "" : v })}
        />
      </div>
      <div class="cols">
        <Panel title="Messages">
          <Chart label="Messages in the queue" series={depth} format={short} whole />
        </Panel>
        <Panel title="Message rates, a second">
          <Chart label="Message rates" series={flow} format={rate} empty={s ? undefined : "Nothing has passed yet."} />
        </Panel>
      </div>
      <div class="cols three">
        <Panel title="Messages">
          <Facts
            rows={[
              ["In all", `${count(q?.messages)} (${bytes(q?.message_bytes)})`],
              ["Ready", `${count(q?.messages_ready)} (${bytes(q?.message_bytes_ready)})`],
              ["Unacked", `${count(q?.messages_unacknowledged)} (${bytes(q?.message_bytes_unacknowledged)})`],
              ["Persistent", `${count(q?.messages_persistent)} (${bytes(q?.message_bytes_persistent)})`],
              ["In memory", bytes(q?.memory)],
              [
                "Head’s timestamp",
                q?.head_message_timestamp ? moment(q.head_message_timestamp * 1000) : <span class="muted">–</span>,
              ],
            ]}
          />
        </Panel>
        <Panel title="Consumers">
          <Facts
            rows={[
              ["Consumers", count(q?.consumers)],
              [
                "Capacity",
                used === undefined || used === null || !q?.consumers ? (
                  <span class="muted">–</span>
                ) : (
                  (used * 100).toFixed(0) + " %"
                ),
              ],
              typeof single === "string" && single !== "" ? ["Active", <span class="mono">{single}</span>] : undefined,
              ["Idle since", q?.idle_since ? moment(q.idle_since) : <span class="muted">–</span>],
              q?.owner_pid_details?.name
                ? ["Belongs to", <a href={link("connections", q.owner_pid_details.name)}>{q.owner_pid_details.name}</a>]
                : undefined,
              ["Node", q?.node],
            ]}
          />
        </Panel>
        <Panel title="Arguments and policies">
          <Facts
            rows={[
              ["Arguments", <Values of={q?.arguments} inline />],
              ["Policy", q?.policy || <span class="muted">none</span>],
              ["Operator policy", q?.operator_policy || <span class="muted">none</span>],
              ["Together", <Values of={q?.effective_policy_definition} inline />],
            ]}
          />
        </Panel>
      </div>
    </div>
  );
}

function Consumers(p: { q: Queue | undefined; live: Live<unknown> }): JSX.Element {
  return (
    <Panel title="Consumers" flush>
      <Local
        rows={p.q?.consumer_details ?? (p.q ? [] : undefined)}
        live={p.live}
        columns={consumerColumns.filter((c) => c.label !== "Queue" && c.label !== "Vhost")}
        rowKey={(c: Consumer) => `${c.channel_details?.name} ${c.consumer_tag}`}
        noun="consumer"
        searchText={(c) => `${c.consumer_tag} ${c.channel_details?.name ?? ""}`}
        empty={<p>Nobody consumes from it.</p>}
      />
    </Panel>
  );
}

function Purge(p: { q: Queue; onClose(): void }): JSX.Element {
  const { q } = p;
  return (
    <FormDialog
      title={`Purge ${q.name}`}
      action="Purge"
      danger
      onClose={p.onClose}
      run={async () => {
        await api.del(path("queues", q.vhost, q.name, "contents"));
        return `Queue ${q.name} is purged.`;
      }}
    >
      <p>
        All messages that are ready are removed for good: <strong>{plural(q.messages_ready ?? 0, "message")}</strong> at the
        moment.
        {(q.messages_unacknowledged ?? 0) > 0 && ` The ${count(q.messages_unacknowledged)} that are out with consumers stay.`}
      </p>
    </FormDialog>
  );
}

function Delete(p: { q: Queue; onClose(): void }): JSX.Element {
  const { q } = p;
  const [empty, setEmpty] = useState(false);
  const [unused, setUnused] = useState(false);
  const lost = q.messages ?? 0;
  return (
    <FormDialog
      title={`Delete ${q.name}`}
      action="Delete"
      danger
      onClose={p.onClose}
      onDone={() => go(link("queues"))}
      run={async () => {
        const only = new URLSearchParams();
        if (empty) only.set("if-empty", "true");
        if (unused) only.set("if-unused", "true");
        await api.del(path("queues", q.vhost, q.name) + (empty || unused ? "?" + only.toString() : ""));
        return `Queue ${q.name} is deleted.`;
      }}
    >
      <p>
        The queue goes with its bindings
        {lost > 0 && !empty ? (
          <>
            {" "}
            and <strong class="bad">{plural(lost, "message")}</strong>
          </>
        ) : (
          ""
        )}
        {(q.consumers ?? 0) > 0 && !unused ? `; ${plural(q.consumers ?? 0, "consumer is", "consumers are")} cancelled` : ""}.
      </p>
      <Check label="Only if it is empty" value={empty} onChange={setEmpty} />
      <Check label="Only if nobody consumes from it" value={unused} onChange={setUnused} />
    </FormDialog>
  );
}
