// Permissions of users in virtual hosts, as both their pages show and set them.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { RowButtons } from "../components/bits.tsx";
import { FormDialog } from "../components/dialog.tsx";
import { Choose, Text } from "../components/form.tsx";
import type { Column } from "../components/table.tsx";
import { useLive } from "../live.ts";
import { link } from "../router.ts";
import { useVHostNames } from "../vhost.ts";

export interface Permission {
  user: string;
  vhost: string;
  configure: string;
  write: string;
  read: string;
}

/** permissionColumns show permissions of one user by vhost, or of one vhost by user. */
export function permissionColumns(
  by: "user" | "vhost",
  on: { change(x: Permission): void; clear(x: Permission): void },
): Column<Permission>[] {
  return [
    {
      label: by === "user" ? "User" : "Virtual host",
      sort: by,
      head: true,
      cell: (x) => (
        <a class="name" href={link(by === "user" ? "users" : "vhosts", x[by])}>
          {x[by]}
        </a>
      ),
    },
    { label: "Configure", cell: (x) => <Pattern text={x.configure} /> },
    { label: "Write", cell: (x) => <Pattern text={x.write} /> },
    { label: "Read", cell: (x) => <Pattern text={x.read} /> },
    {
      label: "",
      tight: true,
      cell: (x) => <RowButtons of={x[by]} onChange={() => on.change(x)} onClear={() => on.clear(x)} />,
    },
  ];
}

export function Pattern(p: { text: string }): JSX.Element {
  if (p.text === "")
    return (
      <span class="badge" title="The empty pattern">
        nothing
      </span>
    );
  if (p.text === ".*")
    return (
      <span class="badge green" title=".*">
        everything
      </span>
    );
  return <code>{p.text}</code>;
}

export function PermissionDialog(p: {
  user?: string;
  vhost?: string;
  of?: Permission | undefined;
  onClose(): void;
}): JSX.Element {
  const vhosts = useVHostNames();
  const users = useLive<{ name: string }[]>(p.user === undefined && !p.of ? "/api/users?columns=name" : undefined);
  const [vhost, setVHost] = useState(p.of?.vhost ?? p.vhost ?? "");
  const [user, setUser] = useState(p.of?.user ?? p.user ?? "");
  const [configure, setConfigure] = useState(p.of?.configure ?? ".*");
  const [write, setWrite] = useState(p.of?.write ?? ".*");
  const [read, setRead] = useState(p.of?.read ?? ".*");
  const where = vhost || vhosts[0]?.[0] || "";
  const names = (users.data ?? []).map((u) => [u.name, u.name] as const);
  const who = user || names[0]?.[0] || "";
  return (
    <FormDialog
      title={
        p.of
          ? `Permissions of ${p.of.user} in ${p.of.vhost}`
          : p.user !== undefined
            ? `Permissions of ${p.user}`
            : `Permissions in ${p.vhost ?? ""}`
      }
      action="Set permissions"
      onClose={p.onClose}
      run={async () => {
        await api.put(path("permissions", where, who), { configure, write, read });
        return `The permissions of ${who} in ${where} were set.`;
      }}
    >
      {!p.of && p.vhost === undefined && <Choose label="Virtual host" value={where} options={vhosts} onChange={setVHost} />}
      {!p.of && p.user === undefined && <Choose label="User" value={who} options={names} onChange={setUser} />}
      <Text
        label="Configure"
        value={configure}
        onChange={setConfigure}
        hint="A regular expression for the names of queues and exchanges that it may declare and delete."
      />
      <Text label="Write" value={write} onChange={setWrite} hint="… publish to, bind to." />
      <Text
        label="Read"
        value={read}
        onChange={setRead}
        hint="… consume, get and purge, bind from. ‘.*’ is everything, the empty pattern nothing."
      />
    </FormDialog>
  );
}
