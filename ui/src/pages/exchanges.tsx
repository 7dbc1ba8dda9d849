// The list of exchanges.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Badges, ExchangeLink, Head, Panel, Rate, VHost } from "../components/bits.tsx";
import { PlusIcon } from "../components/icons.tsx";
import { remember, Spark } from "../components/spark.tsx";
import { Remote, type Column } from "../components/table.tsx";
import type { PageProps } from "../router.ts";
import type { Exchange } from "../types.ts";
import { useVHost, within } from "../vhost.ts";
import { DeclareExchange } from "./declare.tsx";

const columns: Column<Exchange>[] = [
  { label: "Name", sort: "name", head: true, cell: (x) => <ExchangeLink vhost={x.vhost} name={x.name} /> },
  { label: "Vhost", sort: "vhost", cell: (x) => <VHost name={x.vhost} /> },
  { label: "Type", sort: "type", cell: (x) => x.type },
  {
    label: "Features",
    full: true,
    minor: true,
    cell: (x) => (
      <Badges
        durable={x.durable ?? true}
        autoDelete={x.auto_delete ?? false}
        internal={x.internal ?? false}
        args={x.arguments}
        policy={x.policy}
      />
    ),
  },
  {
    label: "In /s",
    sort: "message_stats.publish_in_details.rate",
    num: true,
    cell: (x) => <Rate n={x.message_stats?.publish_in_details?.rate ?? 0} />,
  },
  {
    label: "Out /s",
    sort: "message_stats.publish_out_details.rate",
    num: true,
    cell: (x) => <Rate n={x.message_stats?.publish_out_details?.rate ?? 0} />,
  },
  {
    label: "Lately",
    minor: true,
    tight: true,
    cell: (x, at) => (
      <Spark
        label="Messages a second, lately"
        values={remember(`x ${x.vhost} ${x.name}`, x.message_stats?.publish_in_details?.rate ?? 0, at)}
      />
    ),
  },
];

export function ExchangesPage(_: PageProps): JSX.Element {
  const vhost = useVHost();
  const [declaring, declare] = useState(false);
  return (
    <>
      <Head title="Exchanges">
        <button type="button" class="button primary" onClick={() => declare(true)}>
          <PlusIcon /> Declare an exchange
        </button>
      </Head>
      <Panel flush>
        <Remote
          path={within("/api/exchanges", vhost)}
          columns={vhost === "" ? columns : columns.filter((c) => c.label !== "Vhost")}
          rowKey={(x: Exchange) => `${x.vhost}/${x.name}`}
          noun="exchange"
          sort=""
          empty={<p>There is no exchange.</p>}
        />
      </Panel>
      {declaring && <DeclareExchange onClose={() => declare(false)} />}
    </>
  );
}
