// Channels, and one of them.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { path } from "../api.ts";
import { ChannelLink, Facts, Head, Panel, Count, Rate, Stat, State, VHost } from "../components/bits.tsx";
import { Chart, sampled, spanOf, spans } from "../components/chart.tsx";
import { say } from "../components/dialog.tsx";
import { Segmented } from "../components/form.tsx";
import { broad, rateSeries } from "../components/series.ts";
import { remember, Spark } from "../components/spark.tsx";
import { Local, Remote, type Column } from "../components/table.tsx";
import { count, moment, rate } from "../format.ts";
import { useLive } from "../live.ts";
import { link, setQuery, type PageProps } from "../router.ts";
import type { Channel, Consumer } from "../types.ts";
import { useVHost } from "../vhost.ts";
import { consumerColumns } from "./consumers.tsx";

/** mode is how a channel answers its publishers. */
function mode(c: Channel): JSX.Element | undefined {
  if (c.transactional)
    return (
      <span class="badge brown" title="Transactional">
        tx
      </span>
    );
  if (c.confirm)
    return (
      <span class="badge green" title="Publisher confirms">
        confirm
      </span>
    );
  return <span class="muted">–</span>;
}

export const channelColumns: Column<Channel>[] = [
  { label: "Name", sort: "name", head: true, cell: (c) => <ChannelLink name={c.name} /> },
  { label: "User", extra: true, sort: "user", clip: true, minor: true, cell: (c) => c.user },
  { label: "Vhost", sort: "vhost", minor: true, cell: (c) => <VHost name={c.vhost ?? ""} /> },
  { label: "State", sort: "state", cell: (c) => <State state={c.state} /> },
  { label: "Mode", cell: mode },
  { label: "Consumers", sort: "consumer_count", num: true, cell: (c) => <Count n={c.consumer_count} /> },
  {
    label: "Prefetch",
    extra: true,
    sort: "prefetch_count",
    num: true,
    minor: true,
    cell: (c) =>
      c.prefetch_count || c.global_prefetch_count ? (
        `${c.prefetch_count || ""}${c.global_prefetch_count ? ` (${c.global_prefetch_count} all)` : ""}`
      ) : (
        <span class="zero">no limit</span>
      ),
  },
  { label: "Unacked", sort: "messages_unacknowledged", num: true, cell: (c) => <Count n={c.messages_unacknowledged} /> },
  { label: "Unconfirmed", sort: "messages_unconfirmed", num: true, cell: (c) => <Count n={c.messages_unconfirmed} /> },
  {
    label: "Publish /s",
    sort: "message_stats.publish_details.rate",
    num: true,
    cell: (c) => <Rate n={c.message_stats?.publish_details?.rate ?? 0} />,
  },
  {
    label: "Deliver /s",
    sort: "message_stats.deliver_get_details.rate",
    num: true,
    cell: (c) => <Rate n={c.message_stats?.deliver_get_details?.rate ?? 0} />,
  },
  {
    label: "Ack /s",
    sort: "message_stats.ack_details.rate",
    num: true,
    minor: true,
    cell: (c) => <Rate n={c.message_stats?.ack_details?.rate ?? 0} />,
  },
  {
    label: "Lately",
    extra: true,
    minor: true,
    tight: true,
    cell: (c, at) => (
      <Spark
        label="Messages a second, lately"
        values={remember(
          "ch " + c.name,
          (c.message_stats?.publish_details?.rate ?? 0) + (c.message_stats?.deliver_get_details?.rate ?? 0),
          at,
        )}
      />
    ),
  },
];

export function ChannelsPage(_: PageProps): JSX.Element {
  const vhost = useVHost();
  return (
    <>
      <Head title="Channels" />
      <Panel flush>
        <Remote
          path={vhost === "" ? "/api/channels" : path("vhosts", vhost, "channels")}
          columns={channelColumns}
          rowKey={(c: Channel) => c.name}
          noun="channel"
          sort=""
          empty={<p>No channel is open.</p>}
        />
      </Panel>
    </>
  );
}

export function ChannelPage(p: PageProps): JSX.Element {
  const name = p.params[0] ?? "";
  const span = spanOf(p.query.get("span"));
  const live = useLive<Channel>(path("channels", name) + "?" + sampled(span, "msg_rates"));
  const c = live.data;
  const s = c?.message_stats;
  const flow = useMemo(() => rateSeries(s, broad), [s]);
  const connection = c?.connection_details?.name;
  return (
    <>
      <Head
        crumb={
          <>
            <a href={link("channels")}>Channels</a>
            {connection && (
              <>
                {" · of "}
                <a href={link("connections", connection)}>{connection}</a>
              </>
            )}
          </>
        }
        title={name}
        sub={
          c && (
            <>
              <State state={c.state} />
              {mode(c)}
              <span>{c.user}</span>
              <VHost name={c.vhost ?? ""} />
            </>
          )
        }
      >
        <Segmented
          label="Span of the chart"
          value={span}
          options={spans.slice(0, 2)}
          onChange={(v) => setQuery({ span: v === "600" ? "" : v })}
        />
      </Head>
      {live.error && live.error.status !== 0 ? (
        <div class="empty">
          <p>{live.error.status === 404 ? "This channel is closed." : say(live.error)}</p>
        </div>
      ) : (
        <div class="stack">
          <div class="strip">
            <Stat label="Unacked" color="--c-unacked" value={count(c?.messages_unacknowledged)} />
            <Stat label="Unconfirmed" color="--c-confirm" value={count(c?.messages_unconfirmed)} />
            <Stat label="Uncommitted" value={count(c?.messages_uncommitted)} />
            <Stat label="Publish" color="--c-publish" value={rate(s?.publish_details?.rate ?? 0)} unit="/s" />
            <Stat label="Deliver" color="--c-deliver" value={rate(s?.deliver_get_details?.rate ?? 0)} unit="/s" />
            <Stat label="Ack" color="--c-ack" value={rate(s?.ack_details?.rate ?? 0)} unit="/s" />
          </div>
          <div class="cols wide-left">
            <Panel title="Message rates, a second">
              <Chart label="Message rates" series={flow} format={rate} />
            </Panel>
            <Panel title="Channel">
              <Facts
                rows={[
                  ["Number", count(c?.number)],
                  ["Prefetch", c?.prefetch_count ? count(c.prefetch_count) + " a consumer" : "no limit"],
                  ["Prefetch, all", c?.global_prefetch_count ? count(c.global_prefetch_count) : "no limit"],
                  ["Acks uncommitted", count(c?.acks_uncommitted)],
                  ["Idle since", moment(c?.idle_since)],
                  ["Published", count(s?.publish ?? 0)],
                  ["Delivered", count(s?.deliver_get ?? 0)],
                  ["Acked", count(s?.ack ?? 0)],
                ]}
              />
            </Panel>
          </div>
          <Panel title="Consumers" flush>
            <Local
              rows={c?.consumer_details}
              live={live}
              columns={consumerColumns.filter((x) => x.label !== "Channel")}
              rowKey={(x: Consumer) => x.consumer_tag}
              noun="consumer"
              empty={<p>Nothing is consumed on it.</p>}
            />
          </Panel>
        </div>
      )}
    </>
  );
}
