// Virtual hosts: what is in them, who may enter, their limits.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Count, Facts, Head, Panel } from "../components/bits.tsx";
import { FormDialog, say } from "../components/dialog.tsx";
import { Choose, Text } from "../components/form.tsx";
import { Local, Remote, type Column } from "../components/table.tsx";
import { useLive } from "../live.ts";
import { go, link, type PageProps } from "../router.ts";
import { chooseVHost } from "../vhost.ts";
import { LimitBadges, LimitsPanel } from "./limits.tsx";
import { PermissionDialog, permissionColumns, type Permission } from "./permissions.tsx";

interface VHost {
  name: string;
  description?: string;
  tags?: string[];
  default_queue_type?: string;
  cluster_state?: Record<string, string>;
  messages?: number;
  messages_ready?: number;
  messages_unacknowledged?: number;
}

interface VHostLimits {
  vhost: string;
  value: Record<string, number>;
}

const administrates = (p: PageProps) => p.session.tags.includes("administrator");

export function VHostsPage(p: PageProps): JSX.Element {
  const [adding, add] = useState(false);
  const limits = useLive<VHostLimits[]>("/api/vhost-limits", 10_000);
  const columns: Column<VHost>[] = [
    {
      label: "Name",
      sort: "name",
      head: true,
      cell: (v) =>
        administrates(p) ? (
          <a class="name" href={link("vhosts", v.name)} title={v.name}>
            {v.name}
          </a>
        ) : (
          <span class="name">{v.name}</span>
        ),
    },
    { label: "Description", clip: true, cell: (v) => <>{v.description || <span class="muted">–</span>}</> },
    {
      label: "Tags",
      minor: true,
      cell: (v) => (
        <span class="badges">
          {(v.tags ?? []).map((t) => (
            <span key={t} class="badge">
              {t}
            </span>
          ))}
        </span>
      ),
    },
    { label: "State", minor: true, cell: (v) => <State of={v} /> },
    { label: "Ready", num: true, sort: "messages_ready", cell: (v) => <Count n={v.messages_ready ?? 0} /> },
    { label: "Unacked", num: true, sort: "messages_unacknowledged", cell: (v) => <Count n={v.messages_unacknowledged ?? 0} /> },
    { label: "Total", num: true, sort: "messages", cell: (v) => <Count n={v.messages ?? 0} /> },
    { label: "Limits", minor: true, cell: (v) => <LimitBadges of={limits.data?.find((l) => l.vhost === v.name)?.value} /> },
  ];
  return (
    <>
      <Head title="Virtual hosts" />
      <Panel flush>
        <Remote<VHost>
          path="/api/vhosts"
          columns={columns}
          rowKey={(v) => v.name}
          noun="virtual host"
          sort="name"
          tools={
            administrates(p) && (
              <button type="button" class="button primary" onClick={() => add(true)}>
                Add virtual host
              </button>
            )
          }
          empty={<p>There is no virtual host that you may see.</p>}
        />
      </Panel>
      {adding && <VHostDialog onClose={() => add(false)} />}
    </>
  );
}

function State(p: { of: VHost }): JSX.Element {
  const state = Object.values(p.of.cluster_state ?? {})[0] ?? "running";
  return <span class={"badge " + (state === "running" ? "green" : "red")}>{state}</span>;
}

const types = [
  ["undefined", "as the broker has it"],
  ["classic", "classic"],
  ["quorum", "quorum"],
  ["stream", "stream"],
] as const;

function VHostDialog(p: { vhost?: VHost; onClose(): void }): JSX.Element {
  const [name, setName] = useState(p.vhost?.name ?? "");
  const [description, setDescription] = useState(p.vhost?.description ?? "");
  const [tags, setTags] = useState((p.vhost?.tags ?? []).join(", "));
  const [type, setType] = useState(p.vhost?.default_queue_type ?? "undefined");
  const run = async () => {
    const body: Record<string, unknown> = {
      description,
      tags: tags
        .split(",")
        .map((t) => t.trim())
        .filter(Boolean)
        .join(","),
    };
    if (type !== "undefined") body["default_queue_type"] = type;
    await api.put(path("vhosts", name), body);
    return p.vhost ? `Virtual host ${name} was changed.` : `Virtual host ${name} was added, with all permissions for you.`;
  };
  return (
    <FormDialog
      title={p.vhost ? `Change ${p.vhost.name}` : "Add virtual host"}
      action={p.vhost ? "Save" : "Add virtual host"}
      onClose={p.onClose}
      run={run}
    >
      {!p.vhost && <Text label="Name" value={name} onChange={setName} required autofocus />}
      <Text label="Description" value={description} onChange={setDescription} />
      <Text label="Tags" value={tags} onChange={setTags} hint="With commas between." />
      <Choose
        label="Type of new queues"
        value={type}
        options={types}
        onChange={setType}
        hint="For queues whose declaration names no type."
      />
    </FormDialog>
  );
}

type Asked = { what: "edit" | "delete" | "permission" } | { what: "change" | "clear"; of: Permission };

export function VHostPage(p: PageProps): JSX.Element {
  const name = p.params[0]!;
  const vhost = useLive<VHost>(path("vhosts", name));
  const limits = useLive<VHostLimits[]>(path("vhost-limits", name));
  const permissions = useLive<Permission[]>(path("vhosts", name, "permissions"));
  const [asked, ask] = useState<Asked | undefined>();
  const close = () => ask(undefined);
  const v = vhost.data;
  const columns = permissionColumns("user", {
    change: (of) => ask({ what: "change", of }),
    clear: (of) => ask({ what: "clear", of }),
  });
  return (
    <>
      <Head crumb={<a href={link("vhosts")}>Virtual hosts</a>} title={name} sub={v?.description}>
        <a class="button" href={link("queues")} onClick={() => chooseVHost(name)}>
          Its queues
        </a>
        <button type="button" class="button" disabled={!v} onClick={() => ask({ what: "edit" })}>
          Change…
        </button>
        <button type="button" class="button danger" disabled={!v} onClick={() => ask({ what: "delete" })}>
          Delete…
        </button>
      </Head>
      {vhost.error && (
        <div class="error" role="alert">
          {vhost.error.status === 404 ? "There is no such virtual host." : say(vhost.error)}
        </div>
      )}
      {v && (
        <div class="stack">
          <div class="cols">
            <Panel title="Details">
              <Facts
                rows={[
                  ["State", <State of={v} />],
                  [
                    "Messages",
                    <>
                      <Count n={v.messages ?? 0} /> ({v.messages_ready ?? 0} ready, {v.messages_unacknowledged ?? 0} unacked)
                    </>,
                  ],
                  ["Description", v.description || "–"],
                  ["Tags", (v.tags ?? []).join(", ") || "–"],
                  ["Type of new queues", types.find(([t]) => t === v.default_queue_type)?.[1] ?? v.default_queue_type ?? "–"],
                ]}
              />
            </Panel>
            <LimitsPanel
              at={["vhost-limits", name]}
              limits={limits.data?.[0]?.value}
              names={[
                ["max-connections", "Connections at a time"],
                ["max-queues", "Queues"],
              ]}
            />
          </div>
          <Panel
            title="Permissions"
            flush
            tools={
              <button type="button" class="button small" onClick={() => ask({ what: "permission" })}>
                Set permissions…
              </button>
            }
          >
            <Local
              rows={permissions.data}
              live={permissions}
              columns={columns}
              rowKey={(x) => x.user}
              noun="permission"
              sort="user"
              empty={<p>Nobody may enter.</p>}
            />
          </Panel>
        </div>
      )}
      {asked?.what === "edit" && v && <VHostDialog vhost={v} onClose={close} />}
      {asked?.what === "delete" && <DeleteDialog name={name} messages={v?.messages ?? 0} onClose={close} />}
      {asked?.what === "permission" && <PermissionDialog vhost={name} onClose={close} />}
      {asked?.what === "change" && <PermissionDialog of={asked.of} onClose={close} />}
      {asked?.what === "clear" && (
        <FormDialog
          title={`Clear ${asked.of.user}’s permissions in ${name}?`}
          action="Clear"
          danger
          onClose={close}
          run={async () => {
            await api.del(path("permissions", name, asked.of.user));
            return "The permissions were cleared.";
          }}
        >
          <p>It may no longer enter the virtual host.</p>
        </FormDialog>
      )}
    </>
  );
}

/** What is lost with a virtual host cannot be had back, so that its name is to be typed. */
function DeleteDialog(p: { name: string; messages: number; onClose(): void }): JSX.Element {
  const [typed, type] = useState("");
  return (
    <FormDialog
      title={`Delete virtual host ${p.name}?`}
      action="Delete virtual host"
      danger
      onClose={p.onClose}
      onDone={() => go(link("vhosts"))}
      run={async () => {
        if (typed !== p.name) throw new Error("That is not its name.");
        await api.del(path("vhosts", p.name));
        chooseVHost("");
        return `Virtual host ${p.name} was deleted.`;
      }}
    >
      <p>
        All that is in it is deleted for good: queues, {p.messages > 0 ? <strong>their messages</strong> : "exchanges"}, bindings,
        policies, permissions. Its connections are closed.
      </p>
      <Text label={`Type ${p.name} to delete it`} value={typed} onChange={type} required autofocus />
    </FormDialog>
  );
}
