// Limits of a user or of a virtual host.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Facts, Panel } from "../components/bits.tsx";
import { FormDialog } from "../components/dialog.tsx";
import { Text } from "../components/form.tsx";
import { count } from "../format.ts";

/** LimitsPanel shows limits and changes them; `at` is where the API has them. */
export function LimitsPanel(p: {
  at: [string, string];
  limits: Record<string, number> | undefined;
  names: readonly (readonly [string, string])[];
}): JSX.Element {
  const [open, set] = useState(false);
  return (
    <Panel
      title="Limits"
      tools={
        <button type="button" class="button small" onClick={() => set(true)}>
          Set limits…
        </button>
      }
    >
      <Facts
        rows={p.names.map(([name, what]) => {
          const n = p.limits?.[name];
          return [what, n === undefined || n < 0 ? <span class="muted">no limit</span> : count(n)] as const;
        })}
      />
      {open && <LimitsDialog {...p} onClose={() => set(false)} />}
    </Panel>
  );
}

function LimitsDialog(p: {
  at: [string, string];
  limits: Record<string, number> | undefined;
  names: readonly (readonly [string, string])[];
  onClose(): void;
}): JSX.Element {
  const before = (name: string) => {
    const n = p.limits?.[name];
    return n === undefined || n < 0 ? "" : String(n);
  };
  const [values, set] = useState<Record<string, string>>(Object.fromEntries(p.names.map(([name]) => [name, before(name)])));
  const run = async () => {
    for (const [name] of p.names) {
      const now = (values[name] ?? "").trim();
      if (now === before(name)) continue;
      if (now === "") await api.del(path(...p.at, name));
      else await api.put(path(...p.at, name), { value: Number(now) });
    }
    return "The limits were set.";
  };
  return (
    <FormDialog title={`Limits of ${p.at[1]}`} action="Set limits" onClose={p.onClose} run={run}>
      {p.names.map(([name, what]) => (
        <Text
          key={name}
          label={what}
          type="number"
          min={0}
          value={values[name] ?? ""}
          onChange={(v) => set({ ...values, [name]: v })}
          hint={name}
        />
      ))}
      <p class="note">An empty field is no limit. What is over a new limit stays until it closes.</p>
    </FormDialog>
  );
}

/** LimitBadges are limits in a cell of a table. */
export function LimitBadges(p: { of: Record<string, number> | undefined }): JSX.Element {
  const rows = Object.entries(p.of ?? {});
  if (rows.length === 0) return <span class="muted">none</span>;
  return (
    <span class="badges">
      {rows.map(([k, v]) => (
        <span key={k} class="badge amber">
          {k} {v}
        </span>
      ))}
    </span>
  );
}
