// Who consumes what.

import type { JSX } from "preact";
import { Badges, ChannelLink, Head, Panel, QueueLink, VHost } from "../components/bits.tsx";
import { Remote, type Column } from "../components/table.tsx";
import type { PageProps } from "../router.ts";
import type { Consumer } from "../types.ts";
import { useVHost, within } from "../vhost.ts";

export const consumerColumns: Column<Consumer>[] = [
  {
    label: "Tag",
    sort: "consumer_tag",
    head: true,
    cell: (c) => (
      <span class="name mono" title={c.consumer_tag}>
        {c.consumer_tag}
      </span>
    ),
  },
  {
    label: "Queue",
    sort: "queue.name",
    full: true,
    cell: (c) => c.queue && <QueueLink vhost={c.queue.vhost} name={c.queue.name} />,
  },
  { label: "Vhost", sort: "queue.vhost", minor: true, cell: (c) => <VHost name={c.queue?.vhost ?? ""} /> },
  {
    label: "Channel",
    sort: "channel_details.name",
    full: true,
    cell: (c) => c.channel_details?.name && <ChannelLink name={c.channel_details.name} />,
  },
  {
    label: "Acks",
    sort: "ack_required",
    cell: (c) => (c.ack_required === false ? <span class="badge amber">no ack</span> : "manual"),
  },
  {
    label: "Prefetch",
    sort: "prefetch_count",
    num: true,
    cell: (c) => (c.prefetch_count ? c.prefetch_count : <span class="zero">no limit</span>),
  },
  {
    label: "Active",
    sort: "active",
    cell: (c) => (
      <span class="badges">
        <span class={"badge " + (c.active === false ? "" : "green")}>
          {(c.activity_status ?? (c.active === false ? "waiting" : "up")).replaceAll("_", " ")}
        </span>
        {c.exclusive && <span class="badge">exclusive</span>}
      </span>
    ),
  },
  { label: "Arguments", extra: true, minor: true, cell: (c) => <Badges args={c.arguments} /> },
];

export function ConsumersPage(_: PageProps): JSX.Element {
  const vhost = useVHost();
  return (
    <>
      <Head title="Consumers" />
      <Panel flush>
        <Remote
          path={within("/api/consumers", vhost)}
          columns={consumerColumns}
          rowKey={(c: Consumer) => `${c.channel_details?.name} ${c.consumer_tag} ${c.queue?.name}`}
          noun="consumer"
          sort=""
          searchText={(c) => `${c.consumer_tag} ${c.queue?.name ?? ""} ${c.channel_details?.name ?? ""}`}
          empty={<p>Nobody consumes anything.</p>}
        />
      </Panel>
    </>
  );
}
