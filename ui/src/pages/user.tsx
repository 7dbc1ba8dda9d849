// One user: permissions, topic permissions, limits.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Facts, Head, Panel, RowButtons } from "../components/bits.tsx";
import { FormDialog, say } from "../components/dialog.tsx";
import { Choose, Text } from "../components/form.tsx";
import { Local, type Column } from "../components/table.tsx";
import { useLive } from "../live.ts";
import { go, link, type PageProps } from "../router.ts";
import { useVHostNames } from "../vhost.ts";
import { LimitsPanel } from "./limits.tsx";
import { Pattern, PermissionDialog, permissionColumns, type Permission } from "./permissions.tsx";
import { Tags, tagsOf, UserDialog, type User } from "./users.tsx";

interface TopicPermission {
  user: string;
  vhost: string;
  exchange: string;
  write: string;
  read: string;
}

type Asked =
  | { what: "edit" | "delete" }
  | { what: "permission"; of?: Permission }
  | { what: "topic"; of?: TopicPermission }
  | { what: "clear"; of: Permission }
  | { what: "clear-topic"; of: TopicPermission };

export function UserPage(p: PageProps): JSX.Element {
  const name = p.params[0]!;
  const user = useLive<User>(path("users", name));
  const permissions = useLive<Permission[]>(path("users", name, "permissions"));
  const topics = useLive<TopicPermission[]>(path("users", name, "topic-permissions"));
  const [asked, ask] = useState<Asked | undefined>();
  const close = () => ask(undefined);
  const u = user.data;

  const access = permissionColumns("vhost", {
    change: (of) => ask({ what: "permission", of }),
    clear: (of) => ask({ what: "clear", of }),
  });
  const routing: Column<TopicPermission>[] = [
    { label: "Virtual host", sort: "vhost", head: true, cell: (x) => <span class="name">{x.vhost}</span> },
    { label: "Exchange", sort: "exchange", cell: (x) => <span class="name">{x.exchange || "(default)"}</span> },
    { label: "Write", cell: (x) => <Pattern text={x.write} /> },
    { label: "Read", cell: (x) => <Pattern text={x.read} /> },
    {
      label: "",
      tight: true,
      cell: (x) => (
        <RowButtons
          onChange={() => ask({ what: "topic", of: x })}
          onClear={() => ask({ what: "clear-topic", of: x })}
          of={x.exchange}
        />
      ),
    },
  ];

  return (
    <>
      <Head crumb={<a href={link("users")}>Users</a>} title={name} sub={u && <Tags of={tagsOf(u)} />}>
        <button type="button" class="button" disabled={!u} onClick={() => ask({ what: "edit" })}>
          Change…
        </button>
        <button type="button" class="button danger" disabled={!u} onClick={() => ask({ what: "delete" })}>
          Delete…
        </button>
      </Head>
      {user.error && (
        <div class="error" role="alert">
          {user.error.status === 404 ? "There is no such user." : say(user.error)}
        </div>
      )}
      {u && (
        <div class="stack">
          <div class="cols">
            <Panel title="Login">
              <Facts
                rows={[
                  [
                    "Password",
                    u.password_hash ? `yes (${algorithm(u.hashing_algorithm)})` : "none: only a certificate lets it in",
                  ],
                  ["Tags", <Tags of={tagsOf(u)} />],
                ]}
              />
            </Panel>
            <LimitsPanel
              at={["user-limits", name]}
              limits={u.limits}
              names={[
                ["max-connections", "Connections at a time"],
                ["max-channels", "Channels at a time, over all connections"],
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
              columns={access}
              rowKey={(x) => x.vhost}
              noun="permission"
              sort="vhost"
              empty={<p>It may enter no virtual host.</p>}
            />
          </Panel>
          <Panel
            title="Topic permissions"
            flush
            tools={
              <button type="button" class="button small" onClick={() => ask({ what: "topic" })}>
                Set topic permissions…
              </button>
            }
          >
            <Local
              rows={topics.data}
              live={topics}
              columns={routing}
              rowKey={(x) => JSON.stringify([x.vhost, x.exchange])}
              noun="topic permission"
              sort="vhost"
              empty={<p>None: where it may write to or read from a topic exchange, it may use any routing key.</p>}
            />
          </Panel>
        </div>
      )}
      {asked?.what === "edit" && u && <UserDialog user={u} onClose={close} />}
      {asked?.what === "delete" && (
        <FormDialog
          title={`Delete user ${name}?`}
          action="Delete user"
          danger
          onClose={close}
          onDone={() => go(link("users"))}
          run={async () => {
            await api.del(path("users", name));
            return `User ${name} was deleted.`;
          }}
        >
          <p>
            Its permissions go with it, and its connections are closed.
            {name === p.session.name && " This is you: you are signed out."}
          </p>
        </FormDialog>
      )}
      {asked?.what === "permission" && <PermissionDialog user={name} of={asked.of} onClose={close} />}
      {asked?.what === "topic" && <TopicDialog user={name} of={asked.of} onClose={close} />}
      {asked?.what === "clear" && (
        <FormDialog
          title={`Clear ${name}’s permissions in ${asked.of.vhost}?`}
          action="Clear"
          danger
          onClose={close}
          run={async () => {
            await api.del(path("permissions", asked.of.vhost, name));
            return "The permissions were cleared.";
          }}
        >
          <p>
            It may no longer enter the virtual host. Connections that are there stay, but may do nothing that needs a permission.
          </p>
        </FormDialog>
      )}
      {asked?.what === "clear-topic" && (
        <FormDialog
          title={`Clear ${name}’s topic permissions on ${asked.of.exchange}?`}
          action="Clear"
          danger
          onClose={close}
          run={async () => {
            await api.del(path("topic-permissions", asked.of.vhost, name, asked.of.exchange));
            return "The topic permissions were cleared.";
          }}
        >
          <p>It may then use any routing key there.</p>
        </FormDialog>
      )}
    </>
  );
}

function algorithm(name: string): string {
  return /sha512/i.test(name)
    ? "SHA-512, salted; the next change makes it Argon2id"
    : /sha256/i.test(name)
      ? "SHA-256, salted; the next change makes it Argon2id"
      : /argon2/i.test(name)
        ? "Argon2id"
        : name;
}

function TopicDialog(p: { user: string; of?: TopicPermission | undefined; onClose(): void }): JSX.Element {
  const vhosts = useVHostNames();
  const [vhost, setVHost] = useState(p.of?.vhost ?? "");
  const [exchange, setExchange] = useState(p.of?.exchange ?? "amq.topic");
  const [write, setWrite] = useState(p.of?.write ?? ".*");
  const [read, setRead] = useState(p.of?.read ?? ".*");
  const where = vhost || vhosts[0]?.[0] || "";
  return (
    <FormDialog
      title={p.of ? `Topic permissions of ${p.user} on ${p.of.exchange}` : `Topic permissions of ${p.user}`}
      action="Set topic permissions"
      onClose={p.onClose}
      run={async () => {
        await api.put(path("topic-permissions", where, p.user), { exchange, write, read });
        return `The topic permissions on ${exchange} were set.`;
      }}
    >
      {!p.of && <Choose label="Virtual host" value={where} options={vhosts} onChange={setVHost} />}
      {!p.of && <Text label="Topic exchange" value={exchange} onChange={setExchange} required />}
      <Text
        label="Write"
        value={write}
        onChange={setWrite}
        hint="A regular expression for the routing keys that it may publish with. {username} and {vhost} stand for the connection’s."
      />
      <Text label="Read" value={read} onChange={setRead} hint="… bind a queue with." />
    </FormDialog>
  );
}
