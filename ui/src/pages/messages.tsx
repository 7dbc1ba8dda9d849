// A queue's messages: peeked at, which changes nothing, or fetched, which does.

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Copy, Facts, Values } from "../components/bits.tsx";
import { Dialog, say } from "../components/dialog.tsx";
import { Choose, Segmented, Text } from "../components/form.tsx";
import { bytes, count, moment, plural, text } from "../format.ts";
import { refreshAll, useLive } from "../live.ts";
import type { Message, Peek, Peeked } from "../types.ts";

const pageSize = 50;
type Show = "all" | "ready" | "unacked";

/** PeekView pages through a queue from any position. */
export function PeekView(p: { vhost: string; queue: string }): JSX.Element {
  const [position, setPosition] = useState(0);
  const [state, setState] = useState<Show>("all");
  const [open, setOpen] = useState<number | undefined>();
  const live = useLive<Peek>(
    path("queues", p.vhost, p.queue, "peek") + `?position=${position}&count=${pageSize}&state=${state}&truncate=50000`,
  );
  const d = live.data;
  const last = d ? Math.max(0, d.messages - pageSize) : 0;
  const to = (n: number) => {
    setOpen(undefined);
    setPosition(Math.max(0, Math.floor(n) || 0));
  };
  return (
    <>
      <h2 class="sr">Messages</h2>
      <div class="toolbar">
        <Segmented
          label="Which messages"
          value={state}
          options={[
            ["all", "All"],
            ["ready", "Ready"],
            ["unacked", "Unacked"],
          ]}
          onChange={(s) => {
            setState(s);
            to(0);
          }}
        />
        <label class="row nowrap">
          From position
          <input
            type="number"
            min={0}
            value={position}
            style={{ width: "110px" }}
            onChange={(e) => to(Number(e.currentTarget.value))}
          />
        </label>
        {d && <span class="muted nowrap">of {count(d.messages)}</span>}
        <span class="grow" />
        <div class="row">
          <button type="button" class="button small" disabled={position === 0} onClick={() => to(0)}>
            Head
          </button>
          <button type="button" class="button small" disabled={position === 0} onClick={() => to(position - pageSize)}>
            ‹ Previous
          </button>
          <button type="button" class="button small" disabled={d?.next == null} onClick={() => to(d?.next ?? 0)}>
            Next ›
          </button>
          <button type="button" class="button small" disabled={!d || position >= last} onClick={() => to(last)}>
            Tail
          </button>
        </div>
      </div>
      {live.error && live.error.status !== 0 && (
        <div class="error" role="alert" style={{ margin: "10px 12px" }}>
          {say(live.error)}
        </div>
      )}
      {d && !live.error && d.items.length === 0 && (
        <div class="empty">
          <p>{d.messages === 0 ? "The queue is empty." : "No message of that kind from this position on."}</p>
        </div>
      )}
      {d && d.items.length > 0 && (
        <div class="scroll">
          <table class={"list cards" + (live.stale ? " stale" : "")}>
            <thead>
              <tr>
                <th scope="col" class="tight">
                  Position
                </th>
                <th scope="col">State</th>
                <th scope="col">Exchange</th>
                <th scope="col">Routing key</th>
                <th scope="col">Payload</th>
                <th scope="col" class="num">
                  Size
                </th>
                <th scope="col" class="num">
                  Published
                </th>
              </tr>
            </thead>
            <tbody>
              {d.items.map((m) => (
                <PeekRow
                  key={m.message_id}
                  m={m}
                  open={open === m.message_id}
                  toggle={() => setOpen(open === m.message_id ? undefined : m.message_id)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {!d && !live.error && <div class="empty">…</div>}
    </>
  );
}

function PeekRow(p: { m: Peeked; open: boolean; toggle(): void }): JSX.Element {
  const { m } = p;
  return (
    <>
      <tr class={p.open ? "open" : ""}>
        <td class="head tight">
          <button type="button" class="disclose" aria-expanded={p.open} onClick={p.toggle}>
            {count(m.position)}
          </button>
        </td>
        <td data-label="State">
          <span class="badges">
            <span class={"badge " + (m.state === "unacked" ? "brown" : "green")}>{m.state}</span>
            {m.redelivered && <span class="badge amber">redelivered</span>}
          </span>
        </td>
        <td data-label="Exchange" class="clip" title={m.exchange}>
          {m.exchange || <span class="muted">(default)</span>}
        </td>
        <td data-label="Routing key" class="clip mono full" title={m.routing_key}>
          {m.routing_key}
        </td>
        <td data-label="Payload" class="full plain fill">
          {m.error ? <span class="bad">cannot be read</span> : <span class="preview">{preview(m)}</span>}
        </td>
        <td data-label="Size" class="num">
          {bytes(m.payload_bytes)}
        </td>
        <td data-label="Published" class="num nowrap minor">
          {m.published ? moment(m.published) : "–"}
        </td>
      </tr>
      {p.open && (
        <tr class="detail">
          <td colSpan={7} class="full plain detail">
            {m.error ? (
              <div class="error" role="alert">
                {m.error}
              </div>
            ) : (
              <MessageView
                m={m}
                more={[
                  ["Returned", plural(m.delivery_count, "time")],
                  ["Published", moment(m.published)],
                  ["Expires", m.expires ? moment(m.expires) : "never"],
                ]}
                truncated={m.truncated}
              />
            )}
          </td>
        </tr>
      )}
    </>
  );
}

function preview(m: Message): string {
  if (m.payload_bytes === 0) return "(empty)";
  const s = m.payload_encoding === "base64" ? hexOf(unpack(m.payload.slice(0, 64)), 24) : m.payload;
  return s.slice(0, 160).replace(/\s+/g, " ");
}

/** MessageView shows all of a message: its payload as text, JSON or bytes, its properties, its headers. */
export function MessageView(p: { m: Message; more?: [string, ComponentChildren][]; truncated?: boolean }): JSX.Element {
  const { m } = p;
  const json = m.payload_encoding === "string" ? pretty(m.payload) : undefined;
  const ways: [string, string][] =
    m.payload_encoding === "base64"
      ? [
          ["hex", "Bytes"],
          ["base64", "base64"],
        ]
      : json
        ? [
            ["json", "JSON"],
            ["text", "Text"],
            ["hex", "Bytes"],
          ]
        : [
            ["text", "Text"],
            ["hex", "Bytes"],
          ];
  const [chosen, choose] = useState("");
  const way = ways.some(([w]) => w === chosen) ? chosen : ways[0]![0];
  const shown = way === "json" ? json! : way === "hex" ? dump(m) : m.payload;
  const { headers, ...properties } = (Array.isArray(m.properties) ? {} : m.properties) as Record<string, unknown> & {
    headers?: Record<string, unknown>;
  };
  return (
    <div class="message">
      <div class="row wrap">
        <h3>Payload, {bytes(m.payload_bytes)}</h3>
        <span class="grow" />
        <Segmented label="Show the payload as" value={way} options={ways} onChange={choose} />
        <Copy text={shown} />
      </div>
      {m.payload_bytes === 0 ? (
        <p class="muted">It is empty.</p>
      ) : (
        <pre class={"payload" + (way === "hex" ? " hex" : "")} tabIndex={0}>
          {shown}
        </pre>
      )}
      {p.truncated && <p class="muted">Only the first part is shown: {bytes(m.payload_bytes)} in all.</p>}
      <div class="cols three">
        <div>
          <h3>Message</h3>
          <Facts
            rows={[
              ["Exchange", m.exchange || "(default)"],
              ["Routing key", <span class="mono">{m.routing_key}</span>],
              ["Redelivered", m.redelivered ? "yes" : "no"],
              ...(p.more ?? []),
            ]}
          />
        </div>
        <div>
          <h3>Properties</h3>
          {Object.keys(properties).length === 0 ? (
            <span class="muted">none</span>
          ) : (
            <Facts
              rows={Object.entries(properties).map(([k, v]): [string, ComponentChildren] => [
                k,
                k === "delivery_mode" ? (
                  `${text(v)} (${v === 2 ? "persistent" : "transient"})`
                ) : k === "timestamp" && typeof v === "number" ? (
                  `${v} (${moment(v * 1000)})`
                ) : (
                  <span class="mono">{text(v)}</span>
                ),
              ])}
            />
          )}
        </div>
        <div>
          <h3>Headers</h3>
          <Values of={headers} />
        </div>
      </div>
    </div>
  );
}

function pretty(s: string): string | undefined {
  if (!/^\s*[[{]/.test(s) || s.length > 1_000_000) return undefined;
  try {
    return JSON.stringify(JSON.parse(s), null, 2);
  } catch {
    return undefined;
  }
}

function unpack(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64.slice(0, base64.length - (base64.length % 4))), (c) => c.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function hexOf(b: Uint8Array, n: number): string {
  return [...b.slice(0, n)].map((x) => x.toString(16).padStart(2, "0")).join(" ");
}

/** dump shows bytes as people who look at bytes expect. */
function dump(m: Message): string {
  const all = m.payload_encoding === "base64" ? unpack(m.payload) : new TextEncoder().encode(m.payload);
  const b = all.slice(0, 16 << 10);
  const lines: string[] = [];
  for (let i = 0; i < b.length; i += 16) {
    const part = b.slice(i, i + 16);
    const letters = [...part].map((x) => (x >= 32 && x < 127 ? String.fromCharCode(x) : "·")).join("");
    lines.push(`${i.toString(16).padStart(8, "0")}  ${hexOf(part, 16).padEnd(47)}  ${letters}`);
  }
  if (all.length > b.length) lines.push("…");
  return lines.join("\n");
}

const ackModes = [
  ["ack_requeue_true", "Put back: nack, requeue"],
  ["reject_requeue_true", "Put back: reject, requeue"],
  ["ack_requeue_false", "Take away: ack"],
  ["reject_requeue_false", "Take away: reject (dead-letter)"],
] as const;
type AckMode = (typeof ackModes)[number][0];

/** Get fetches messages, as a consumer would. */
export function Get(p: { vhost: string; queue: string; onClose(): void }): JSX.Element {
  const [mode, setMode] = useState<AckMode>("ack_requeue_true");
  const [n, setN] = useState("1");
  const [encoding, setEncoding] = useState<"auto" | "base64">("auto");
  const [got, setGot] = useState<{ list: Message[]; mode: AckMode } | undefined>();
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const takes = mode === "ack_requeue_false" || mode === "reject_requeue_false";
  const fetch = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setError("");
    try {
      const list = await api.post<Message[]>(path("queues", p.vhost, p.queue, "get"), {
        count: Math.max(1, Math.floor(Number(n)) || 1),
        ackmode: mode,
        encoding,
        truncate: 50_000,
      });
      setGot({ list, mode });
      refreshAll();
    } catch (err) {
      setError(say(err));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Get messages from ${p.queue}`} wide onClose={p.onClose}>
      <form class="form" onSubmit={fetch}>
        <div class="two">
          <Choose label="Afterwards" value={mode} options={ackModes} onChange={setMode} />
          <div class="two">
            <Text label="Messages" type="number" min={1} max={1000} value={n} onChange={setN} />
            <Choose
              label="Payload"
              value={encoding}
              onChange={setEncoding}
              options={[
                ["auto", "text if it is"],
                ["base64", "base64"],
              ]}
            />
          </div>
        </div>
        <div class={"note" + (takes ? " warn" : "")}>
          {mode === "ack_requeue_false"
            ? "The messages are removed from the queue for good. Copy what you need before you close this."
            : mode === "reject_requeue_false"
              ? "The messages leave the queue: to its dead-letter exchange if it has one, otherwise for good."
              : "The messages go back to their places, marked as redelivered; their delivery counts rise, and a delivery limit may be passed. Peek changes nothing."}
        </div>
        {error && (
          <div class="error" role="alert">
            {error}
          </div>
        )}
        <div class="form-actions">
          <button type="button" class="button" onClick={p.onClose}>
            Close
          </button>
          <button type="submit" class={"button " + (takes ? "danger solid" : "primary")} disabled={busy}>
            {takes ? "Get and take away" : "Get"}
          </button>
        </div>
        {got && (
          <div class="stack" aria-live="polite">
            <h3>
              {got.list.length === 0
                ? "The queue has no message that is ready."
                : `${plural(got.list.length, "message")}; ${plural(got.list[got.list.length - 1]!.message_count ?? 0, "more is", "more are")} ready`}
            </h3>
            {got.list.map((m, i) => (
              <section key={i} class="panel">
                <div class="body">
                  <MessageView
                    m={m}
                    truncated={m.payload_encoding === "string" && new TextEncoder().encode(m.payload).length < m.payload_bytes}
                  />
                </div>
              </section>
            ))}
          </div>
        )}
      </form>
    </Dialog>
  );
}
