// Publishing a message by hand, to an exchange or straight to a queue.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { defaultExchange } from "../components/bits.tsx";
import { FormDialog } from "../components/dialog.tsx";
import { Arguments, Choose, Field, table, Text, type Arg, type Known } from "../components/form.tsx";
import { plural } from "../format.ts";

const properties: readonly Known[] = [
  { key: "content_type", type: "string", value: "application/json", about: "What the payload is" },
  { key: "content_encoding", type: "string", about: "How the payload is packed" },
  { key: "priority", type: "number", about: "In a queue with x-max-priority" },
  { key: "expiration", type: "string", about: "It lives this many ms" },
  { key: "correlation_id", type: "string", about: "What it answers" },
  { key: "reply_to", type: "string", about: "The queue where an answer is wanted" },
  { key: "message_id", type: "string", about: "Its own name" },
  { key: "timestamp", type: "number", about: "Seconds since 1970" },
  { key: "type", type: "string", about: "Its kind, as applications agree" },
  { key: "user_id", type: "string", about: "Must be your own user’s name" },
  { key: "app_id", type: "string", about: "The application" },
];

export function Publish(p: { vhost: string; exchange: string; queue?: string; onClose(): void }): JSX.Element {
  const [key, setKey] = useState(p.queue ?? "");
  const [mode, setMode] = useState("2");
  const [headers, setHeaders] = useState<Arg[]>([]);
  const [props, setProps] = useState<Arg[]>([]);
  const [payload, setPayload] = useState("");
  const [encoding, setEncoding] = useState("string");
  const [times, setTimes] = useState("1");
  return (
    <FormDialog
      title={p.queue !== undefined ? `Publish to queue ${p.queue}` : `Publish to exchange ${p.exchange || "(default)"}`}
      action="Publish"
      wide
      stay
      onClose={p.onClose}
      run={async () => {
        const all: Record<string, unknown> = { ...table(props), delivery_mode: Number(mode) };
        const h = table(headers);
        if (Object.keys(h).length > 0) all["headers"] = h;
        const n = Math.max(1, Math.min(1000, Math.floor(Number(times)) || 1));
        let routed = 0;
        for (let i = 0; i < n; i++) {
          const answer = await api.post<{ routed: boolean }>(
            path("exchanges", p.vhost, p.exchange || defaultExchange, "publish"),
            {
              properties: all,
              routing_key: key,
              payload: encoding === "base64" ? payload.replace(/\s/g, "") : payload,
              payload_encoding: encoding,
            },
          );
          if (answer.routed) routed++;
        }
        const lost = n - routed;
        if (lost > 0) throw new Error(`${plural(lost, "message")} reached no queue: no binding fits the routing key.`);
        return `Published ${plural(n, "message")}.`;
      }}
    >
      <div class="two">
        {p.queue === undefined && <Text label="Routing key" value={key} onChange={setKey} />}
        <Choose
          label="Delivery mode"
          value={mode}
          onChange={setMode}
          options={[
            ["2", "Persistent: survives a restart"],
            ["1", "Transient"],
          ]}
        />
        {p.queue !== undefined && (
          <Text label="How many times" type="number" min={1} max={1000} value={times} onChange={setTimes} />
        )}
      </div>
      <Field label="Payload">
        {(id) => (
          <textarea
            id={id}
            rows={6}
            spellcheck={false}
            autofocus
            value={payload}
            onInput={(e) => setPayload(e.currentTarget.value)}
          />
        )}
      </Field>
      <div class="two">
        <Choose
          label="The payload is"
          value={encoding}
          onChange={setEncoding}
          options={[
            ["string", "text"],
            ["base64", "base64 of bytes"],
          ]}
        />
        {p.queue === undefined && (
          <Text label="How many times" type="number" min={1} max={1000} value={times} onChange={setTimes} />
        )}
      </div>
      <Arguments label="Properties" value={props} onChange={setProps} known={properties} />
      <Arguments label="Headers" value={headers} onChange={setHeaders} />
    </FormDialog>
  );
}
