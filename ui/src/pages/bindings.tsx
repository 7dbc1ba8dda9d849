// Bindings: the list of all, and the tables that pages of queues and exchanges show.

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Badges, ExchangeLink, Head, Panel, QueueLink, VHost } from "../components/bits.tsx";
import { FormDialog } from "../components/dialog.tsx";
import { CloseIcon } from "../components/icons.tsx";
import { Local, Remote, type Column } from "../components/table.tsx";
import type { Live } from "../live.ts";
import type { PageProps } from "../router.ts";
import type { Binding } from "../types.ts";
import { useVHost, within } from "../vhost.ts";

function columns(remove: (b: Binding) => void): Column<Binding>[] {
  return [
    { label: "From", sort: "source", head: true, cell: (b) => <ExchangeLink vhost={b.vhost} name={b.source} /> },
    {
      label: "To",
      sort: "destination",
      full: true,
      cell: (b) => (
        <>
          {b.destination_type === "exchange" && <span class="badge brown">exchange</span>}{" "}
          {b.destination_type === "queue" ? (
            <QueueLink vhost={b.vhost} name={b.destination} />
          ) : (
            <ExchangeLink vhost={b.vhost} name={b.destination} />
          )}
        </>
      ),
    },
    { label: "Vhost", sort: "vhost", minor: true, cell: (b) => <VHost name={b.vhost} /> },
    {
      label: "Routing key",
      sort: "routing_key",
      full: true,
      cell: (b) => (
        <span class="name mono" title={b.routing_key}>
          {b.routing_key}
        </span>
      ),
    },
    { label: "Arguments", minor: true, cell: (b) => <Badges args={b.arguments} /> },
    {
      label: "",
      tight: true,
      full: true,
      num: true,
      cell: (b) =>
        b.source !== "" && (
          <button
            type="button"
            class="button quiet small"
            aria-label={`Unbind ${b.destination} from ${b.source}`}
            onClick={() => remove(b)}
          >
            <CloseIcon /> Unbind
          </button>
        ),
    },
  ];
}

const keyOf = (b: Binding) => [b.vhost, b.source, b.destination_type, b.destination, b.properties_key].join("\n");
const searched = (b: Binding) => `${b.source} ${b.destination} ${b.routing_key}`;

export function BindingsPage(_: PageProps): JSX.Element {
  const vhost = useVHost();
  const [removing, remove] = useState<Binding | undefined>();
  const shown = columns(remove).filter((c) => vhost === "" || c.label !== "Vhost");
  return (
    <>
      <Head title="Bindings" sub="To make one, open the queue or the exchange." />
      <Panel flush>
        <Remote
          path={within("/api/bindings", vhost)}
          columns={shown}
          rowKey={keyOf}
          noun="binding"
          sort=""
          searchText={searched}
          empty={<p>There is no binding.</p>}
        />
      </Panel>
      {removing && <Unbind binding={removing} onClose={() => remove(undefined)} />}
    </>
  );
}

/** BindingTable shows the bindings of one object, without its own column. */
export function BindingTable(p: {
  rows: Binding[] | undefined;
  live: Live<unknown>;
  without: "From" | "To";
  tools?: ComponentChildren;
  empty: string;
}): JSX.Element {
  const [removing, remove] = useState<Binding | undefined>();
  const shown = columns(remove)
    .filter((c) => c.label !== p.without && c.label !== "Vhost")
    .map((c) => (p.without === "From" && c.label === "To" ? { ...c, head: true } : c));
  return (
    <>
      <Local
        rows={p.rows}
        live={p.live}
        columns={shown}
        rowKey={keyOf}
        noun="binding"
        sort={p.without === "From" ? "destination" : "source"}
        searchText={searched}
        tools={p.tools}
        empty={<p>{p.empty}</p>}
      />
      {removing && <Unbind binding={removing} onClose={() => remove(undefined)} />}
    </>
  );
}

function Unbind(p: { binding: Binding; onClose(): void }): JSX.Element {
  const b = p.binding;
  return (
    <FormDialog
      title="Unbind"
      action="Unbind"
      danger
      onClose={p.onClose}
      run={async () => {
        await api.del(
          path("bindings", b.vhost, "e", b.source, b.destination_type === "queue" ? "q" : "e", b.destination, b.properties_key),
        );
        return "Unbound.";
      }}
    >
      <p>
        {b.destination_type === "queue" ? "Queue" : "Exchange"} <strong>{b.destination}</strong> gets nothing more from exchange{" "}
        <strong>{b.source}</strong> under the routing key {b.routing_key === "" ? "that is empty" : <code>{b.routing_key}</code>}.
        Messages that are in queues stay there.
      </p>
    </FormDialog>
  );
}
