// Users: who they are, what their tags let them do, where they have permissions.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Head, Panel } from "../components/bits.tsx";
import { FormDialog } from "../components/dialog.tsx";
import { Check, Text } from "../components/form.tsx";
import { Remote, type Column } from "../components/table.tsx";
import { useLive } from "../live.ts";
import { link } from "../router.ts";
import { LimitBadges } from "./limits.tsx";
import type { Permission } from "./permissions.tsx";

export interface User {
  name: string;
  password_hash: string;
  hashing_algorithm: string;
  tags: string[] | string;
  limits?: Record<string, number>;
}

/** tagsOf are a user's tags; an older API gives them with commas. */
export function tagsOf(u: User): string[] {
  return typeof u.tags === "string"
    ? u.tags
        .split(",")
        .map((t) => t.trim())
        .filter(Boolean)
    : u.tags;
}

const meanings: Record<string, string> = {
  administrator: "everything, users and permissions too",
  policymaker: "policies and parameters in its virtual hosts",
  monitoring: "all connections and channels, nodes, storage",
  management: "this page and the API, for its virtual hosts",
  impersonator: "publish with another user’s user-id",
};

export function Tags(p: { of: string[] }): JSX.Element {
  if (p.of.length === 0) return <span class="muted">none</span>;
  return (
    <span class="badges">
      {p.of.map((t) => (
        <span
          key={t}
          class={"badge " + (t === "administrator" ? "brown" : t in meanings ? "green" : "")}
          title={meanings[t] ?? "A tag without a meaning to the broker"}
        >
          {t}
        </span>
      ))}
    </span>
  );
}

export function UsersPage(): JSX.Element {
  const [adding, add] = useState(false);
  const permissions = useLive<Permission[]>("/api/permissions", 10_000);
  const columns: Column<User>[] = [
    {
      label: "Name",
      sort: "name",
      head: true,
      cell: (u) => (
        <a class="name" href={link("users", u.name)} title={u.name}>
          {u.name}
        </a>
      ),
    },
    { label: "Tags", cell: (u) => <Tags of={tagsOf(u)} /> },
    {
      label: "Virtual hosts",
      cell: (u) => {
        const in_ = (permissions.data ?? []).filter((p) => p.user === u.name).map((p) => p.vhost);
        if (in_.length === 0)
          return (
            <span class="badge red" title="It can log in but may enter no virtual host">
              no access
            </span>
          );
        return (
          <span class="badges">
            {in_.slice(0, 5).map((v) => (
              <span key={v} class="badge">
                {v}
              </span>
            ))}
            {in_.length > 5 && <span class="muted">and {in_.length - 5} more</span>}
          </span>
        );
      },
    },
    {
      label: "Password",
      minor: true,
      cell: (u) =>
        u.password_hash ? (
          <span>yes</span>
        ) : (
          <span class="badge amber" title="Only a certificate lets it in">
            none
          </span>
        ),
    },
    { label: "Limits", minor: true, cell: (u) => <LimitBadges of={u.limits} /> },
  ];
  return (
    <>
      <Head title="Users" />
      <Panel flush>
        <Remote<User>
          path="/api/users"
          columns={columns}
          rowKey={(u) => u.name}
          noun="user"
          sort="name"
          tools={
            <button type="button" class="button primary" onClick={() => add(true)}>
              Add user
            </button>
          }
          empty={<p>There are no users.</p>}
        />
      </Panel>
      {adding && <UserDialog onClose={() => add(false)} />}
    </>
  );
}

/** UserDialog makes a user, or changes the one that is given. */
export function UserDialog(p: { user?: User; onClose(): void }): JSX.Element {
  const had = p.user ? tagsOf(p.user) : [];
  const [name, setName] = useState(p.user?.name ?? "");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [without, setWithout] = useState(p.user !== undefined && p.user.password_hash === "");
  const [tags, setTags] = useState<string[]>(had.filter((t) => t in meanings));
  const [others, setOthers] = useState(had.filter((t) => !(t in meanings)).join(", "));
  const run = async () => {
    const all = [
      ...tags,
      ...others
        .split(",")
        .map((t) => t.trim())
        .filter(Boolean),
    ];
    const body: Record<string, unknown> = { tags: all };
    if (without) body["password_hash"] = "";
    else if (password !== "") {
      if (password !== again) throw new Error("The two passwords differ.");
      body["password"] = password;
    } else if (p.user?.password_hash) {
      body["password_hash"] = p.user.password_hash;
      body["hashing_algorithm"] = p.user.hashing_algorithm;
    } else throw new Error("A password is missing.");
    await api.put(path("users", name), body);
    return p.user ? `User ${name} was changed.` : `User ${name} was added.`;
  };
  return (
    <FormDialog
      title={p.user ? `Change ${p.user.name}` : "Add user"}
      action={p.user ? "Save" : "Add user"}
      onClose={p.onClose}
      run={run}
    >
      {!p.user && <Text label="Name" value={name} onChange={setName} required autofocus />}
      {!without && (
        <div class="two">
          <Text
            label={p.user?.password_hash ? "New password" : "Password"}
            type="password"
            value={password}
            onChange={setPassword}
            autocomplete="new-password"
            hint={p.user?.password_hash ? "Left empty it stays as it is." : undefined}
          />
          <Text label="Once more" type="password" value={again} onChange={setAgain} autocomplete="new-password" />
        </div>
      )}
      <Check label="No password" hint="Only a certificate lets such a user in." value={without} onChange={setWithout} />
      <div class="field" role="group" aria-label="Tags">
        <span class="label">Tags</span>
        <div class="tags">
          {Object.entries(meanings).map(([t, what]) => (
            <Check
              key={t}
              label={t}
              hint={what}
              value={tags.includes(t)}
              onChange={(on) => setTags(on ? [...tags, t] : tags.filter((x) => x !== t))}
            />
          ))}
        </div>
      </div>
      <Text
        label="Other tags"
        value={others}
        onChange={setOthers}
        hint="With commas between; the broker keeps them and does nothing with them."
      />
    </FormDialog>
  );
}
