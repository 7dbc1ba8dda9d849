// The list of queues, and declaring one.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Badges, Count, Head, Panel, QueueLink, Rate, State, VHost } from "../components/bits.tsx";
import { PlusIcon } from "../components/icons.tsx";
import { remember, Spark } from "../components/spark.tsx";
import { Remote, type Column } from "../components/table.tsx";
import type { PageProps } from "../router.ts";
import type { Queue } from "../types.ts";
import { useVHost, within } from "../vhost.ts";
import { DeclareQueue } from "./declare.tsx";

const columns: Column<Queue>[] = [
  { label: "Name", sort: "name", head: true, cell: (q) => <QueueLink vhost={q.vhost} name={q.name} /> },
  { label: "Vhost", sort: "vhost", cell: (q) => <VHost name={q.vhost} /> },
  {
    label: "Features",
    minor: true,
    cell: (q) => (
      <Badges
        durable={q.durable ?? true}
        autoDelete={q.auto_delete ?? false}
        exclusive={q.exclusive ?? false}
        args={q.arguments}
        policy={q.policy}
        operatorPolicy={q.operator_policy}
      />
    ),
  },
  { label: "State", sort: "state", cell: (q) => <State state={q.state} /> },
  { label: "Ready", sort: "messages_ready", num: true, cell: (q) => <Count n={q.messages_ready} /> },
  { label: "Unacked", sort: "messages_unacknowledged", num: true, cell: (q) => <Count n={q.messages_unacknowledged} /> },
  { label: "Total", sort: "messages", num: true, cell: (q) => <Count n={q.messages} /> },
  {
    label: "Depth lately",
    extra: true,
    minor: true,
    tight: true,
    cell: (q, at) => (
      <Spark label="Messages, lately" color="var(--c-ready)" values={remember(`q ${q.vhost} ${q.name}`, q.messages, at)} />
    ),
  },
  { label: "Consumers", sort: "consumers", num: true, cell: (q) => <Count n={q.consumers} /> },
  {
    label: "In /s",
    sort: "message_stats.publish_details.rate",
    num: true,
    cell: (q) => <Rate n={q.message_stats?.publish_details?.rate ?? 0} />,
  },
  {
    label: "Out /s",
    sort: "message_stats.deliver_get_details.rate",
    num: true,
    cell: (q) => <Rate n={q.message_stats?.deliver_get_details?.rate ?? 0} />,
  },
  {
    label: "Ack /s",
    extra: true,
    sort: "message_stats.ack_details.rate",
    num: true,
    cell: (q) => <Rate n={q.message_stats?.ack_details?.rate ?? 0} />,
  },
];

export function QueuesPage(_: PageProps): JSX.Element {
  const vhost = useVHost();
  const [declaring, declare] = useState(false);
  const add = (
    <button type="button" class="button primary" onClick={() => declare(true)}>
      <PlusIcon /> Declare a queue
    </button>
  );
  return (
    <>
      <Head title="Queues">{add}</Head>
      <Panel flush>
        <Remote
          path={within("/api/queues", vhost)}
          columns={vhost === "" ? columns : columns.filter((c) => c.label !== "Vhost")}
          rowKey={(q: Queue) => `${q.vhost}/${q.name}`}
          noun="queue"
          sort=""
          empty={<p>There is no queue yet. Declare one here, or let a client do it.</p>}
        />
      </Panel>
      {declaring && <DeclareQueue onClose={() => declare(false)} />}
    </>
  );
}
