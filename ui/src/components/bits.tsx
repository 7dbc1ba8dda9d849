// Small things that many pages show.

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { bytes, count, rate, text } from "../format.ts";
import { link } from "../router.ts";
import { CopyIcon } from "./icons.tsx";
import { Dot } from "./chart.tsx";
import { toast } from "./toast.tsx";

export function Head(p: {
  title: ComponentChildren;
  crumb?: ComponentChildren;
  sub?: ComponentChildren;
  children?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="page-head">
      <div>
        {p.crumb && <div class="crumb">{p.crumb}</div>}
        <h1>{p.title}</h1>
        {p.sub && <div class="sub">{p.sub}</div>}
      </div>
      {p.children && <div class="actions">{p.children}</div>}
    </div>
  );
}

export function Panel(p: {
  title?: ComponentChildren;
  tools?: ComponentChildren;
  flush?: boolean;
  class?: string;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <section class={"panel " + (p.class ?? "")}>
      {(p.title || p.tools) && (
        <header>
          <h2>{p.title}</h2>
          {p.tools}
        </header>
      )}
      {p.flush ? p.children : <div class="body">{p.children}</div>}
    </section>
  );
}

/** Stat is one number of a strip. */
export function Stat(p: {
  label: string;
  value: ComponentChildren;
  unit?: string;
  color?: string;
  href?: string;
  title?: string;
}): JSX.Element {
  const inner = (
    <>
      <span class="k">
        {p.color && <Dot color={p.color} />}
        {p.label}
      </span>
      <span class="v">
        {p.value}
        {p.unit && <small> {p.unit}</small>}
      </span>
    </>
  );
  return p.href ? (
    <a href={p.href} title={p.title}>
      {inner}
    </a>
  ) : (
    <div title={p.title}>{inner}</div>
  );
}

export function Facts(p: { rows: (readonly [string, ComponentChildren] | false | undefined | null)[] }): JSX.Element {
  return (
    <dl class="facts">
      {p.rows.map(
        (r) =>
          r && (
            <>
              <dt key={r[0]}>{r[0]}</dt>
              <dd>{r[1]}</dd>
            </>
          ),
      )}
    </dl>
  );
}

/** Gauge shows how much of a bound is used. */
export function Gauge(p: {
  label: string;
  used: number | undefined;
  limit: number | undefined;
  format?(n: number | undefined): string;
  alarm?: boolean;
  note?: string;
}): JSX.Element {
  const f = p.format ?? count;
  const share = p.used !== undefined && p.limit ? Math.min(1, p.used / p.limit) : 0;
  return (
    <div class="gauge">
      <div class="k">
        <span>{p.label}</span>
        <b>{f(p.used)}</b>
      </div>
      <div class={"meter" + (p.alarm || share > 0.95 ? " bad" : share > 0.8 ? " warn" : "")}>
        <i style={{ width: (share * 100).toFixed(1) + "%" }} />
      </div>
      <small>{p.note ?? (p.limit !== undefined ? `of ${f(p.limit)}` : "")}</small>
    </div>
  );
}

/** Badges are what an object is, in short. */
export function Badges(p: {
  durable?: boolean;
  autoDelete?: boolean;
  exclusive?: boolean;
  internal?: boolean;
  args?: Record<string, unknown> | undefined;
  policy?: string | null | undefined;
  operatorPolicy?: string | null | undefined;
}): JSX.Element {
  const args = Object.entries(p.args ?? {}).filter(([k]) => k !== "x-queue-type" || p.args![k] !== "classic");
  return (
    <span class="badges">
      {p.durable === false && (
        <span class="badge amber" title="Gone after a restart">
          transient
        </span>
      )}
      {p.autoDelete && (
        <span class="badge" title="Deleted when the last user of it goes">
          auto-delete
        </span>
      )}
      {p.exclusive && (
        <span class="badge" title="For one connection only">
          exclusive
        </span>
      )}
      {p.internal && (
        <span class="badge" title="Not to be published to">
          internal
        </span>
      )}
      {args.map(([k, v]) => (
        <span key={k} class="badge" title={`${k}: ${text(v)}`}>
          {short[k] ?? k}
          {v === true ? "" : " " + text(v)}
        </span>
      ))}
      {p.policy && (
        <span class="badge green" title={"Policy " + p.policy}>
          {p.policy}
        </span>
      )}
      {p.operatorPolicy && (
        <span class="badge brown" title={"Operator policy " + p.operatorPolicy}>
          {p.operatorPolicy}
        </span>
      )}
    </span>
  );
}

const short: Record<string, string> = {
  "x-message-ttl": "TTL",
  "x-expires": "expires",
  "x-max-length": "max",
  "x-max-length-bytes": "max bytes",
  "x-overflow": "overflow",
  "x-dead-letter-exchange": "DLX",
  "x-dead-letter-routing-key": "DLK",
  "x-dead-letter-strategy": "DL",
  "x-max-priority": "priorities",
  "x-single-active-consumer": "single active",
  "alternate-exchange": "AE",
  "x-delayed-type": "delayed",
  "x-queue-type": "type",
  "x-queue-mode": "mode",
  "x-consumer-timeout": "timeout",
};

export function State(p: { state: string | undefined }): JSX.Element {
  const s = p.state ?? "";
  const tone =
    s === "running" || s === "idle" || s === ""
      ? ""
      : s === "flow" || s === "blocking"
        ? "amber"
        : s === "blocked" || s === "down" || s === "crashed"
          ? "red"
          : "";
  return <span class={"badge " + (s === "running" ? "green" : tone)}>{s || "–"}</span>;
}

/** Rate is a rate in a table: nothing is grey. */
export function Rate(p: { n: number | undefined }): JSX.Element {
  return <span class={p.n ? "" : "zero"}>{p.n === undefined ? "" : p.n === 0 ? "0" : rate(p.n)}</span>;
}

export function Count(p: { n: number | undefined }): JSX.Element {
  return <span class={p.n ? "" : "zero"}>{p.n === undefined ? "" : count(p.n)}</span>;
}

export function Size(p: { n: number | undefined }): JSX.Element {
  return <span class={p.n ? "" : "zero"}>{bytes(p.n)}</span>;
}

/** VHost is a vhost's name as a quiet label. */
export function VHost(p: { name: string }): JSX.Element {
  return (
    <span class="badge" title={"Virtual host " + p.name}>
      {p.name}
    </span>
  );
}

export const defaultExchange = "amq.default";

export function QueueLink(p: { vhost: string; name: string }): JSX.Element {
  return (
    <a class="name" href={link("queues", p.vhost, p.name)} title={p.name}>
      {p.name}
    </a>
  );
}

export function ExchangeLink(p: { vhost: string; name: string }): JSX.Element {
  return (
    <a class="name" href={link("exchanges", p.vhost, p.name || defaultExchange)} title={p.name || "The default exchange"}>
      {p.name || "(default)"}
    </a>
  );
}

/** ChannelLink names a channel by its client's end and its number. */
export function ChannelLink(p: { name: string }): JSX.Element {
  return (
    <a class="name" href={link("channels", p.name)} title={p.name}>
      {p.name.replace(/ -> \S+/, "")}
    </a>
  );
}

/** Values are arguments, or headers, as they are; inline: within other facts. */
export function Values(p: { of: Record<string, unknown> | undefined; none?: string; inline?: boolean }): JSX.Element {
  const rows = Object.entries(p.of ?? {});
  if (rows.length === 0) return <span class="muted">{p.none ?? "none"}</span>;
  if (p.inline) {
    return (
      <>
        {rows.map(([k, v]) => (
          <div key={k}>
            {k} <span class="mono">{text(v)}</span>
          </div>
        ))}
      </>
    );
  }
  return <Facts rows={rows.map(([k, v]) => [k, <span class="mono">{text(v)}</span>] as const)} />;
}

export function Copy(p: { text: string; label?: string }): JSX.Element {
  const [done, set] = useState(false);
  return (
    <button
      type="button"
      class="button quiet small"
      onClick={async () => {
        try {
          await navigator.clipboard.writeText(p.text);
          set(true);
          setTimeout(() => set(false), 1500);
        } catch {
          toast("The browser does not let this page copy (it needs HTTPS or localhost).", true);
        }
      }}
    >
      <CopyIcon />
      {done ? "Copied" : (p.label ?? "Copy")}
    </button>
  );
}

/** RowButtons change and remove what a row shows. */
export function RowButtons(p: { of: string; onChange?(): void; onClear(): void; clear?: string }): JSX.Element {
  return (
    <span class="row">
      {p.onChange && (
        <button type="button" class="button quiet small" aria-label={`Change ${p.of}`} onClick={p.onChange}>
          Change
        </button>
      )}
      <button type="button" class="button quiet small" aria-label={`${p.clear ?? "Clear"} ${p.of}`} onClick={p.onClear}>
        {p.clear ?? "Clear"}
      </button>
    </span>
  );
}
