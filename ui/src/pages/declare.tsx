// Dialogs that make things: a queue, an exchange, a binding.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { FormDialog } from "../components/dialog.tsx";
import { Arguments, Check, Choose, Field, table, Text, type Arg, type Known } from "../components/form.tsx";
import { useLive } from "../live.ts";
import { go, link } from "../router.ts";
import type { Overview } from "../types.ts";
import { useVHost, useVHostNames } from "../vhost.ts";

/** VHostField chooses where a new object goes. */
function VHostField(p: { value: string; onChange(v: string): void }): JSX.Element {
  const all = useVHostNames();
  const options = all.some(([name]) => name === p.value) ? all : [[p.value, p.value] as const, ...all];
  return <Choose label="Virtual host" value={p.value} options={options} onChange={p.onChange} />;
}

const queueArguments: readonly Known[] = [
  { key: "x-message-ttl", type: "number", about: "Messages live this many ms" },
  { key: "x-expires", type: "number", about: "The queue is deleted after this many ms without use" },
  { key: "x-max-length", type: "number", about: "At most this many messages" },
  { key: "x-max-length-bytes", type: "number", about: "At most this many bytes of bodies" },
  {
    key: "x-overflow",
    type: "string",
    value: "drop-head",
    about: "Over its length: drop-head, reject-publish or reject-publish-dlx",
  },
  { key: "x-dead-letter-exchange", type: "string", about: "Where messages go that expire, are rejected or do not fit" },
  { key: "x-dead-letter-routing-key", type: "string", about: "The routing key that dead letters get" },
  { key: "x-dead-letter-strategy", type: "string", value: "at-least-once", about: "at-most-once, or at-least-once" },
  { key: "x-max-priority", type: "number", value: "10", about: "Priorities from 0 to this" },
  { key: "x-single-active-consumer", type: "boolean", about: "One consumer at a time; the next one takes over" },
  { key: "x-delivery-limit", type: "number", about: "A message that was returned more often becomes a dead letter" },
  { key: "x-queue-type", type: "string", value: "quorum", about: "classic or quorum" },
];

const exchangeArguments: readonly Known[] = [
  { key: "alternate-exchange", type: "string", about: "Where messages go that no binding wants" },
  { key: "hash-header", type: "string", about: "Consistent hash: over this header instead of the routing key" },
  { key: "hash-property", type: "string", about: "Consistent hash: over message_id, correlation_id or timestamp" },
  { key: "x-delayed-type", type: "string", value: "direct", about: "Delayed: how it routes what is due" },
];

export function DeclareQueue(p: { onClose(): void }): JSX.Element {
  const chosen = useVHost();
  const [vhost, setVHost] = useState(chosen || "/");
  const [name, setName] = useState("");
  const [durable, setDurable] = useState("true");
  const [autoDelete, setAutoDelete] = useState(false);
  const [args, setArgs] = useState<Arg[]>([]);
  return (
    <FormDialog
      title="Declare a queue"
      action="Declare"
      onClose={p.onClose}
      onDone={() => go(link("queues", vhost, name))}
      run={async () => {
        await api.put(path("queues", vhost, name), {
          durable: durable === "true",
          auto_delete: autoDelete,
          arguments: table(args),
        });
        return `Queue ${name} is there.`;
      }}
    >
      <div class="two">
        <Text label="Name" value={name} onChange={setName} required autofocus />
        <VHostField value={vhost} onChange={setVHost} />
      </div>
      <Choose
        label="Durability"
        value={durable}
        onChange={setDurable}
        options={[
          ["true", "Durable: it is there after a restart"],
          ["false", "Transient: gone after a restart, with its messages"],
        ]}
      />
      <Check label="Delete it when its last consumer goes" value={autoDelete} onChange={setAutoDelete} />
      <Arguments label="Arguments" value={args} onChange={setArgs} known={queueArguments} hint={about(args, queueArguments)} />
    </FormDialog>
  );
}

/** about tells what the arguments do that are there. */
function about(args: Arg[], known: readonly Known[]): JSX.Element | undefined {
  const told = args.map((a) => known.find((k) => k.key === a.key)).filter((k) => k !== undefined);
  return told.length === 0 ? undefined : (
    <>
      {told.map((k) => (
        <div key={k.key}>
          <code>{k.key}</code>: {k.about}.
        </div>
      ))}
    </>
  );
}

export function DeclareExchange(p: { onClose(): void }): JSX.Element {
  const chosen = useVHost();
  const overview = useLive<Overview>("/api/overview", 0);
  const [vhost, setVHost] = useState(chosen || "/");
  const [name, setName] = useState("");
  const [type, setType] = useState("direct");
  const [durable, setDurable] = useState("true");
  const [autoDelete, setAutoDelete] = useState(false);
  const [internal, setInternal] = useState(false);
  const [args, setArgs] = useState<Arg[]>([]);
  const types = overview.data?.exchange_types?.map((t) => t.name) ?? ["direct", "fanout", "headers", "topic"];
  if (!types.includes(type)) types.unshift(type);
  return (
    <FormDialog
      title="Declare an exchange"
      action="Declare"
      onClose={p.onClose}
      onDone={() => go(link("exchanges", vhost, name))}
      run={async () => {
        await api.put(path("exchanges", vhost, name), {
          type,
          durable: durable === "true",
          auto_delete: autoDelete,
          internal,
          arguments: table(args),
        });
        return `Exchange ${name} is there.`;
      }}
    >
      <div class="two">
        <Text label="Name" value={name} onChange={setName} required autofocus />
        <VHostField value={vhost} onChange={setVHost} />
        <Choose
          label="Type"
          value={type}
          options={types.map((t) => [t, t] as const)}
          onChange={(t) => {
            setType(t);
            if (t === "x-delayed-message" && !args.some((a) => a.key === "x-delayed-type"))
              setArgs([...args, { key: "x-delayed-type", value: "direct", type: "string" }]);
          }}
        />
        <Choose
          label="Durability"
          value={durable}
          onChange={setDurable}
          options={[
            ["true", "Durable"],
            ["false", "Transient"],
          ]}
        />
      </div>
      <Check label="Delete it when its last binding goes" value={autoDelete} onChange={setAutoDelete} />
      <Check
        label="Internal"
        hint="Clients cannot publish to it, only other exchanges."
        value={internal}
        onChange={setInternal}
      />
      <Arguments
        label="Arguments"
        value={args}
        onChange={setArgs}
        known={exchangeArguments}
        hint={about(args, exchangeArguments)}
      />
    </FormDialog>
  );
}

/** Bind makes a binding: to a queue that is given, or from an exchange that is given. */
export function Bind(p: { vhost: string; queue?: string; exchange?: string; onClose(): void }): JSX.Element {
  const [other, setOther] = useState("");
  const [kind, setKind] = useState<"q" | "e">("q");
  const [key, setKey] = useState("");
  const [args, setArgs] = useState<Arg[]>([]);
  const toQueue = p.queue !== undefined;
  const named = useLive<{ items?: { name: string }[] }>(
    "/api/" +
      (toQueue || kind === "e" ? "exchanges" : "queues") +
      "/" +
      encodeURIComponent(p.vhost) +
      "?page=1&page_size=30&columns=name" +
      (other ? "&name=" + encodeURIComponent(other) : ""),
    0,
  );
  return (
    <FormDialog
      title={toQueue ? `Bind queue ${p.queue}` : `Bind from exchange ${p.exchange}`}
      action="Bind"
      onClose={p.onClose}
      run={async () => {
        const source = toQueue ? other : p.exchange!;
        const to = toQueue ? ["q", p.queue!] : [kind, other];
        await api.post(path("bindings", p.vhost, "e", source, ...to), { routing_key: key, arguments: table(args) });
        return "Bound.";
      }}
    >
      {!toQueue && (
        <Choose
          label="To"
          value={kind}
          onChange={setKind}
          options={[
            ["q", "a queue"],
            ["e", "an exchange"],
          ]}
        />
      )}
      <Field label={toQueue ? "From exchange" : kind === "q" ? "Queue" : "Exchange"}>
        {(id) => (
          <>
            <input
              id={id}
              type="text"
              list={id + "l"}
              required
              autofocus
              spellcheck={false}
              autocomplete="off"
              value={other}
              onInput={(e) => setOther(e.currentTarget.value)}
            />
            <datalist id={id + "l"}>
              {named.data?.items
                ?.filter((x) => x.name !== "")
                .map((x) => (
                  <option key={x.name} value={x.name} />
                ))}
            </datalist>
          </>
        )}
      </Field>
      <Text
        label="Routing key"
        value={key}
        onChange={setKey}
        hint="For a topic exchange a pattern: * stands for one word, # for any number of them."
      />
      <Arguments
        label="Arguments"
        value={args}
        onChange={setArgs}
        known={[
          { key: "x-match", type: "string", value: "all", about: "Headers exchange: all of the others must match, or any" },
        ]}
      />
    </FormDialog>
  );
}
