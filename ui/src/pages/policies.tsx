// Policies and operator policies.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Head, Panel, RowButtons, VHost } from "../components/bits.tsx";
import { FormDialog } from "../components/dialog.tsx";
import { Arguments, argsOf, Choose, Segmented, table, Text, type Known } from "../components/form.tsx";
import { Remote, type Column } from "../components/table.tsx";
import { text } from "../format.ts";
import { setQuery, usePlace, type PageProps } from "../router.ts";
import { useVHost, useVHostNames, within } from "../vhost.ts";

interface Policy {
  vhost: string;
  name: string;
  pattern: string;
  "apply-to": string;
  definition: Record<string, unknown>;
  priority: number;
}

type Kind = "policies" | "operator-policies";

const known: Known[] = [
  { key: "message-ttl", type: "number", about: "Milliseconds that a message lives" },
  { key: "expires", type: "number", about: "Milliseconds without use after which a queue goes" },
  { key: "max-length", type: "number", about: "Ready messages at most" },
  { key: "max-length-bytes", type: "number", about: "Bytes of ready messages at most" },
  {
    key: "overflow",
    type: "string",
    about: "What a full queue does: drop-head, reject-publish or reject-publish-dlx",
    value: "reject-publish",
  },
  { key: "dead-letter-exchange", type: "string", about: "Where messages go that expire, are rejected or dropped" },
  { key: "dead-letter-routing-key", type: "string", about: "The routing key of dead letters, if not their own" },
  { key: "dead-letter-strategy", type: "string", about: "at-most-once or at-least-once", value: "at-least-once" },
  { key: "delivery-limit", type: "number", about: "Deliveries after which a message is dead-lettered" },
  { key: "consumer-timeout", type: "number", about: "Milliseconds that a delivery may wait for its ack" },
  { key: "alternate-exchange", type: "string", about: "Where an exchange sends what it cannot route" },
];

const ofOperators = ["message-ttl", "expires", "max-length", "max-length-bytes", "delivery-limit"];

const targets = [
  ["all", "queues and exchanges"],
  ["queues", "queues"],
  ["classic_queues", "classic queues"],
  ["quorum_queues", "quorum queues"],
  ["exchanges", "exchanges"],
] as const;
const ofQueues = [
  ["queues", "queues"],
  ["classic_queues", "classic queues"],
  ["quorum_queues", "quorum queues"],
] as const;

export function PoliciesPage(p: PageProps): JSX.Element {
  const { query } = usePlace();
  const kind: Kind = query.get("of") === "operator" ? "operator-policies" : "policies";
  const vhost = useVHost();
  const [asked, ask] = useState<{ what: "put"; of?: Policy } | { what: "delete"; of: Policy } | undefined>();
  const may =
    kind === "operator-policies"
      ? p.session.tags.includes("administrator")
      : p.session.tags.some((t) => t === "administrator" || t === "policymaker");
  const noun = kind === "policies" ? "policy" : "operator policy";
  const columns: Column<Policy>[] = [
    {
      label: "Name",
      sort: "name",
      head: true,
      cell: (x) => (
        <span class="name" title={x.name}>
          {x.name}
        </span>
      ),
    },
    { label: "Virtual host", sort: "vhost", cell: (x) => <VHost name={x.vhost} /> },
    { label: "Pattern", sort: "pattern", cell: (x) => <code>{x.pattern}</code> },
    { label: "Applies to", sort: "apply-to", cell: (x) => targets.find(([t]) => t === x["apply-to"])?.[1] ?? x["apply-to"] },
    { label: "Priority", sort: "priority", num: true, cell: (x) => x.priority },
    { label: "Definition", full: true, cell: (x) => <Definition of={x.definition} /> },
    ...(may
      ? [
          {
            label: "",
            tight: true,
            cell: (x: Policy) => (
              <RowButtons
                of={x.name}
                clear="Delete"
                onChange={() => ask({ what: "put", of: x })}
                onClear={() => ask({ what: "delete", of: x })}
              />
            ),
          },
        ]
      : []),
  ];
  return (
    <>
      <Head
        title="Policies"
        sub="Settings for all queues and exchanges whose name matches. The one of the highest priority applies; an operator policy bounds it."
      >
        <Segmented
          label="Which"
          value={kind}
          options={[
            ["policies", "Policies"],
            ["operator-policies", "Operator policies"],
          ]}
          onChange={(k) => setQuery({ of: k === "policies" ? "" : "operator", page: "", name: "" })}
        />
      </Head>
      <Panel flush>
        <Remote<Policy>
          key={kind}
          path={within("/api/" + kind, vhost)}
          columns={columns}
          rowKey={(x) => JSON.stringify([x.vhost, x.name])}
          noun={noun}
          sort="name"
          tools={
            may && (
              <button type="button" class="button primary" onClick={() => ask({ what: "put" })}>
                Add {noun}
              </button>
            )
          }
          empty={
            <p>
              There is no {noun}
              {vhost !== "" && " in this virtual host"}.
            </p>
          }
        />
      </Panel>
      {asked?.what === "put" && <PolicyDialog kind={kind} of={asked.of} vhost={vhost} onClose={() => ask(undefined)} />}
      {asked?.what === "delete" && (
        <FormDialog
          title={`Delete ${noun} ${asked.of.name}?`}
          action="Delete"
          danger
          onClose={() => ask(undefined)}
          run={async () => {
            await api.del(path(kind, asked.of.vhost, asked.of.name));
            return `The ${noun} ${asked.of.name} was deleted.`;
          }}
        >
          <p>What it said of queues and exchanges in {asked.of.vhost} holds no more from then on.</p>
        </FormDialog>
      )}
    </>
  );
}

function Definition(p: { of: Record<string, unknown> }): JSX.Element {
  return (
    <span class="badges">
      {Object.entries(p.of).map(([k, v]) => (
        <span key={k} class="badge" title={`${k}: ${text(v)}`}>
          {k} {text(v)}
        </span>
      ))}
    </span>
  );
}

function PolicyDialog(p: { kind: Kind; of?: Policy | undefined; vhost: string; onClose(): void }): JSX.Element {
  const vhosts = useVHostNames();
  const operator = p.kind === "operator-policies";
  const [name, setName] = useState(p.of?.name ?? "");
  const [vhost, setVHost] = useState(p.of?.vhost ?? p.vhost);
  const [pattern, setPattern] = useState(p.of?.pattern ?? "");
  const [to, setTo] = useState(p.of?.["apply-to"] ?? "queues");
  const [priority, setPriority] = useState(String(p.of?.priority ?? 0));
  const [args, setArgs] = useState(argsOf(p.of?.definition));
  const where = vhost || vhosts[0]?.[0] || "";
  const run = async () => {
    const definition = table(args);
    if (Object.keys(definition).length === 0) throw new Error("A policy must say something: its definition is empty.");
    await api.put(path(p.kind, where, name), { pattern, "apply-to": to, priority: Number(priority), definition });
    return `${operator ? "Operator policy" : "Policy"} ${name} was set.`;
  };
  return (
    <FormDialog
      title={p.of ? `Change ${p.of.name}` : operator ? "Add operator policy" : "Add policy"}
      action={p.of ? "Save" : "Add"}
      wide
      onClose={p.onClose}
      run={run}
    >
      {!p.of && (
        <div class="two">
          <Text label="Name" value={name} onChange={setName} required autofocus />
          <Choose label="Virtual host" value={where} options={vhosts} onChange={setVHost} />
        </div>
      )}
      <Text
        label="Pattern"
        value={pattern}
        onChange={setPattern}
        required
        hint="A regular expression, searched for anywhere in the name: ‘^orders\.’ is all that begins so."
      />
      <div class="two">
        <Choose label="Applies to" value={to} options={operator ? ofQueues : targets} onChange={setTo} />
        <Text label="Priority" type="number" value={priority} onChange={setPriority} />
      </div>
      <Arguments
        label="Definition"
        value={args}
        onChange={setArgs}
        known={operator ? known.filter((k) => ofOperators.includes(k.key)) : known}
      />
    </FormDialog>
  );
}
