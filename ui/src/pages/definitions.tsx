// Definitions: all users, virtual hosts, permissions, policies, queues, exchanges and
// bindings as one file, out and in.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Facts, Head, Panel } from "../components/bits.tsx";
import { FormDialog, say } from "../components/dialog.tsx";
import { Choose } from "../components/form.tsx";
import { toast } from "../components/toast.tsx";
import { count } from "../format.ts";
import type { PageProps } from "../router.ts";
import { useVHostNames } from "../vhost.ts";

const parts = [
  ["vhosts", "Virtual hosts"],
  ["users", "Users"],
  ["permissions", "Permissions"],
  ["topic_permissions", "Topic permissions"],
  ["parameters", "Parameters"],
  ["global_parameters", "Global parameters"],
  ["policies", "Policies"],
  ["queues", "Queues"],
  ["exchanges", "Exchanges"],
  ["bindings", "Bindings"],
] as const;

type Definitions = Record<string, unknown>;

export function DefinitionsPage(_: PageProps): JSX.Element {
  const vhosts = useVHostNames();
  const choices = [["", "the whole broker"] as const, ...vhosts.map(([v]) => [v, v] as const)];
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [busy, setBusy] = useState(false);
  const [file, setFile] = useState<{ name: string; content: Definitions } | undefined>();
  const [wrong, setWrong] = useState("");
  const [asked, ask] = useState(false);

  const download = async () => {
    setBusy(true);
    try {
      const all = await api.get<Definitions>(from === "" ? "/api/definitions" : path("definitions", from));
      save(
        `leveret${from === "" ? "" : "-" + (from.replace(/[^\w.-]+/g, "_") || "vhost")}-definitions.json`,
        JSON.stringify(all, null, 2) + "\n",
      );
    } catch (err) {
      toast(say(err), true);
    } finally {
      setBusy(false);
    }
  };

  const chosen = async (input: HTMLInputElement) => {
    setWrong("");
    setFile(undefined);
    const f = input.files?.[0];
    if (!f) return;
    try {
      const content: unknown = JSON.parse(await f.text());
      if (content === null || typeof content !== "object" || Array.isArray(content)) throw new Error("no object");
      setFile({ name: f.name, content: content as Definitions });
    } catch {
      setWrong(`${f.name} holds no definitions: they are a JSON object.`);
    }
  };

  return (
    <>
      <Head
        title="Definitions"
        sub="Users, virtual hosts, permissions, policies, queues, exchanges and bindings as one JSON file. Messages are not in it; RabbitMQ’s files are understood."
      />
      <div class="cols">
        <Panel title="Export">
          <div class="form">
            <Choose
              label="Of"
              value={from}
              options={choices}
              onChange={setFrom}
              hint={from === "" ? "Passwords are in it as hashes." : "Without users and permissions."}
            />
            <div class="row">
              <button type="button" class="button primary" disabled={busy} aria-busy={busy} onClick={download}>
                Download
              </button>
            </div>
          </div>
        </Panel>
        <Panel title="Import">
          <div class="form">
            <div class="field">
              <label for="definitions-file">File</label>
              <input
                id="definitions-file"
                type="file"
                accept="application/json,.json"
                onChange={(e) => chosen(e.currentTarget)}
              />
            </div>
            <Choose label="Into" value={to} options={choices} onChange={setTo} />
            {wrong && (
              <div class="error" role="alert">
                {wrong}
              </div>
            )}
            {file && (
              <Facts
                rows={parts.map(([key, what]) => {
                  const list = file.content[key];
                  return Array.isArray(list) && ([what, count(list.length)] as const);
                })}
              />
            )}
            <div class="row">
              <button type="button" class="button primary" disabled={!file} onClick={() => ask(true)}>
                Import…
              </button>
            </div>
          </div>
        </Panel>
      </div>
      {asked && file && (
        <FormDialog
          title={`Import ${file.name}?`}
          action="Import"
          onClose={() => ask(false)}
          run={async () => {
            await api.post(to === "" ? "/api/definitions" : path("definitions", to), file.content);
            return `${file.name} was imported.`;
          }}
        >
          <p>
            What the file names is made, or changed to what the file says of it: users get its passwords and tags. Queues,
            exchanges and bindings that are there stay as they are, and nothing is deleted.
          </p>
        </FormDialog>
      )}
    </>
  );
}

/** save lets the browser save text as a file. */
function save(name: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
