// Clients' connections, and one of them.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Copy, Facts, Head, Panel, Stat, State, Values, VHost } from "../components/bits.tsx";
import { FormDialog, say } from "../components/dialog.tsx";
import { Text } from "../components/form.tsx";
import { remember, Spark } from "../components/spark.tsx";
import { Local, Remote, type Column } from "../components/table.tsx";
import { bytes, count, duration, moment } from "../format.ts";
import { useLive } from "../live.ts";
import { go, link, type PageProps } from "../router.ts";
import type { Channel, Connection } from "../types.ts";
import { useVHost } from "../vhost.ts";
import { channelColumns } from "./channels.tsx";

const columns: Column<Connection>[] = [
  {
    label: "Name",
    sort: "name",
    head: true,
    cell: (c) => (
      <>
        <a class="name" href={link("connections", c.name)} title={c.name}>
          {c.user_provided_name || c.name}
        </a>
        {c.user_provided_name && <div class="muted">{c.name}</div>}
      </>
    ),
  },
  { label: "User", sort: "user", clip: true, cell: (c) => c.user },
  { label: "Vhost", sort: "vhost", cell: (c) => <VHost name={c.vhost ?? ""} /> },
  { label: "State", sort: "state", cell: (c) => <State state={c.state} /> },
  {
    label: "TLS",
    extra: true,
    sort: "ssl",
    minor: true,
    cell: (c) => (c.ssl ? <span class="badge green">{c.ssl_protocol || "TLS"}</span> : <span class="muted">no</span>),
  },
  { label: "Channels", sort: "channels", num: true, cell: (c) => count(c.channels) },
  {
    label: "From client",
    sort: "recv_oct_details.rate",
    num: true,
    cell: (c) => <span class={c.recv_oct_details?.rate ? "" : "zero"}>{bytes(c.recv_oct_details?.rate ?? 0)}/s</span>,
  },
  {
    label: "To client",
    sort: "send_oct_details.rate",
    num: true,
    cell: (c) => <span class={c.send_oct_details?.rate ? "" : "zero"}>{bytes(c.send_oct_details?.rate ?? 0)}/s</span>,
  },
  {
    label: "Lately",
    extra: true,
    minor: true,
    tight: true,
    cell: (c, at) => (
      <Spark
        label="Bytes a second, lately"
        color="var(--c-deliver)"
        values={remember("c " + c.name, (c.recv_oct_details?.rate ?? 0) + (c.send_oct_details?.rate ?? 0), at)}
      />
    ),
  },
  {
    label: "Since",
    sort: "connected_at",
    num: true,
    minor: true,
    cell: (c) => (c.connected_at ? duration(Date.now() - c.connected_at) : "–"),
  },
];

export function ConnectionsPage(_: PageProps): JSX.Element {
  const vhost = useVHost();
  return (
    <>
      <Head title="Connections" />
      <Panel flush>
        <Remote
          path={vhost === "" ? "/api/connections" : path("vhosts", vhost, "connections")}
          columns={columns}
          rowKey={(c: Connection) => c.name}
          noun="connection"
          sort=""
          empty={<p>No client is connected.</p>}
        />
      </Panel>
    </>
  );
}

export function ConnectionPage(p: PageProps): JSX.Element {
  const name = p.params[0] ?? "";
  const live = useLive<Connection>(path("connections", name));
  const channels = useLive<Channel[]>(path("connections", name, "channels"));
  const [closing, close] = useState(false);
  const c = live.data;
  return (
    <>
      <Head
        crumb={<a href={link("connections")}>Connections</a>}
        title={c?.user_provided_name || name}
        sub={
          c && (
            <>
              <State state={c.state} />
              <span>{c.user}</span>
              <VHost name={c.vhost ?? ""} />
              {c.ssl && <span class="badge green">{c.ssl_protocol || "TLS"}</span>}
            </>
          )
        }
      >
        <button type="button" class="button danger" onClick={() => close(true)} disabled={!c}>
          Close…
        </button>
      </Head>
      {live.error && live.error.status !== 0 ? (
        <div class="empty">
          <p>{live.error.status === 404 ? "This connection is closed." : say(live.error)}</p>
        </div>
      ) : (
        <div class="stack">
          <div class="strip">
            <Stat label="Received" value={bytes(c?.recv_oct)} title={count(c?.recv_cnt) + " reads"} />
            <Stat label="Receiving" value={bytes(c?.recv_oct_details?.rate ?? 0)} unit="/s" />
            <Stat label="Sent" value={bytes(c?.send_oct)} title={count(c?.send_cnt) + " writes"} />
            <Stat label="Sending" value={bytes(c?.send_oct_details?.rate ?? 0)} unit="/s" />
            <Stat label="Waiting to go" value={bytes(c?.send_pend ?? 0)} />
            <Stat label="Channels" value={count(c?.channels)} />
          </div>
          <div class="cols">
            <Panel title="Connection">
              <Facts
                rows={[
                  ["Name", name],
                  ["Client", `${c?.peer_host ?? "–"} : ${c?.peer_port ?? "–"}`],
                  ["Broker", `${c?.host ?? "–"} : ${c?.port ?? "–"}`],
                  ["Connected", c?.connected_at ? `${moment(c.connected_at)} (${duration(Date.now() - c.connected_at)})` : "–"],
                  ["Protocol", c?.protocol],
                  ["Authentication", c?.auth_mechanism],
                  ["Heartbeat", c?.timeout ? c.timeout + " s" : "none"],
                  ["Frames up to", bytes(c?.frame_max)],
                  ["Channels up to", count(c?.channel_max)],
                  c?.ssl && ["Cipher", c.ssl_cipher ?? "–"],
                  c?.peer_cert_subject ? ["Certificate", c.peer_cert_subject] : undefined,
                ]}
              />
            </Panel>
            <Panel
              title="What the client says of itself"
              tools={c && <Copy text={JSON.stringify(c.client_properties ?? {}, null, 2)} />}
            >
              <Values of={c?.client_properties} none="nothing" />
            </Panel>
          </div>
          <Panel title="Channels" flush>
            <Local
              rows={channels.data}
              live={channels}
              columns={channelColumns.filter((x) => !["User", "Vhost"].includes(x.label))}
              rowKey={(x: Channel) => x.name}
              noun="channel"
              sort="number"
              empty={<p>It has no channel open.</p>}
            />
          </Panel>
        </div>
      )}
      {closing && <CloseDialog name={name} onClose={() => close(false)} />}
    </>
  );
}

function CloseDialog(p: { name: string; onClose(): void }): JSX.Element {
  const [reason, setReason] = useState("Closed by an operator");
  return (
    <FormDialog
      title="Close the connection"
      action="Close it"
      danger
      onClose={p.onClose}
      onDone={() => go(link("connections"))}
      run={async () => {
        await api.del(path("connections", p.name), undefined, { "X-Reason": encodable(reason) });
        return "The connection is closed.";
      }}
    >
      <p>
        <strong>{p.name}</strong> is told that it was closed by force. What it had not acked goes back to its queues. Most clients
        connect again.
      </p>
      <Text label="Reason" value={reason} onChange={setReason} hint="The client is told, and the broker's log has it." />
    </FormDialog>
  );
}

/** encodable leaves out what a header cannot carry. */
function encodable(s: string): string {
  return s.replace(/[^\x20-\x7e]/g, "?");
}
