// One exchange: what passes it, what is bound, publishing.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { api, path } from "../api.ts";
import { Badges, defaultExchange, Facts, Head, Panel, Stat, Values, VHost } from "../components/bits.tsx";
import { Chart, sampled, spanOf, spans } from "../components/chart.tsx";
import { FormDialog, say } from "../components/dialog.tsx";
import { Check, Segmented } from "../components/form.tsx";
import { rateSeries } from "../components/series.ts";
import { count, rate } from "../format.ts";
import { useLive } from "../live.ts";
import { go, link, setQuery, type PageProps } from "../router.ts";
import type { Binding, Exchange } from "../types.ts";
import { BindingTable } from "./bindings.tsx";
import { Bind } from "./declare.tsx";
import { Publish } from "./publish.tsx";

const passing = [
  ["In", "publish_in", "--c-publish"],
  ["Out", "publish_out", "--c-deliver"],
] as const;

export function ExchangePage(p: PageProps): JSX.Element {
  const [vhost = "", name = ""] = p.params;
  const byDefault = name === defaultExchange;
  const span = spanOf(p.query.get("span"));
  const live = useLive<Exchange>(path("exchanges", vhost, name) + "?" + sampled(span, "msg_rates"));
  const out = useLive<Binding[]>(byDefault ? undefined : path("exchanges", vhost, name, "bindings", "source"));
  const into = useLive<Binding[]>(byDefault ? undefined : path("exchanges", vhost, name, "bindings", "destination"));
  const [dialog, show] = useState<"publish" | "bind" | "delete" | undefined>();
  const close = () => show(undefined);
  const x = live.data;
  const s = x?.message_stats;
  const flow = useMemo(() => rateSeries(s, passing), [s]);
  const own = !byDefault && !name.startsWith("amq.");
  return (
    <>
      <Head
        crumb={<a href={link("exchanges")}>Exchanges</a>}
        title={byDefault ? "(default)" : name}
        sub={
          <>
            {x && <span class="badge brown">{x.type}</span>}
            <VHost name={vhost} />
            {x && (
              <Badges
                durable={x.durable ?? true}
                autoDelete={x.auto_delete ?? false}
                internal={x.internal ?? false}
                policy={x.policy}
              />
            )}
          </>
        }
      >
        <button type="button" class="button primary" disabled={!x} onClick={() => show("publish")}>
          Publish…
        </button>
        {!byDefault && (
          <button type="button" class="button" disabled={!x} onClick={() => show("bind")}>
            Bind…
          </button>
        )}
        {own && (
          <button type="button" class="button danger" disabled={!x} onClick={() => show("delete")}>
            Delete…
          </button>
        )}
      </Head>
      {live.error && live.error.status !== 0 ? (
        <div class="empty">
          <p>{live.error.status === 404 ? "There is no such exchange." : say(live.error)}</p>
        </div>
      ) : (
        <div class="stack">
          <div class="cols wide-left">
            <Panel
              title="Message rates, a second"
              tools={
                <Segmented
                  label="Span of the chart"
                  value={span}
                  options={spans.slice(0, 2)}
                  onChange={(v) => setQuery({ span: v === "600" ? "" : v })}
                />
              }
            >
              <Chart label="Message rates" series={flow} format={rate} empty={s ? undefined : "Nothing has passed yet."} />
            </Panel>
            <div class="stack">
              <div class="strip">
                <Stat
                  label="In"
                  color="--c-publish"
                  value={rate(s?.publish_in_details?.rate ?? 0)}
                  unit="/s"
                  title={count(s?.publish_in ?? 0) + " in all"}
                />
                <Stat
                  label="Out"
                  color="--c-deliver"
                  value={rate(s?.publish_out_details?.rate ?? 0)}
                  unit="/s"
                  title={count(s?.publish_out ?? 0) + " in all"}
                />
              </div>
              <Panel title="Exchange">
                <Facts
                  rows={[
                    ["Arguments", <Values of={x?.arguments} inline />],
                    ["Policy", x?.policy || <span class="muted">none</span>],
                    ["Came in", count(s?.publish_in ?? 0)],
                    ["Went out", count(s?.publish_out ?? 0)],
                    x?.user_who_performed_action ? ["Made by", x.user_who_performed_action] : undefined,
                  ]}
                />
              </Panel>
            </div>
          </div>
          {byDefault ? (
            <div class="note">Every queue is bound to the default exchange under its own name, and nothing else can be.</div>
          ) : (
            <>
              <Panel title="Bindings from it" flush>
                <BindingTable
                  rows={out.data}
                  live={out}
                  without="From"
                  empty="Nothing is bound to it: what is published here goes nowhere."
                />
              </Panel>
              {into.data && into.data.length > 0 && (
                <Panel title="Bindings to it" flush>
                  <BindingTable rows={into.data} live={into} without="To" empty="" />
                </Panel>
              )}
            </>
          )}
        </div>
      )}
      {dialog === "publish" && <Publish vhost={vhost} exchange={byDefault ? "" : name} onClose={close} />}
      {dialog === "bind" && <Bind vhost={vhost} exchange={name} onClose={close} />}
      {dialog === "delete" && <DeleteExchange vhost={vhost} name={name} onClose={close} />}
    </>
  );
}

function DeleteExchange(p: { vhost: string; name: string; onClose(): void }): JSX.Element {
  const [unused, setUnused] = useState(true);
  return (
    <FormDialog
      title="Delete the exchange"
      action="Delete"
      danger
      onClose={p.onClose}
      onDone={() => go(link("exchanges"))}
      run={async () => {
        await api.del(path("exchanges", p.vhost, p.name) + (unused ? "?if-unused=true" : ""));
        return `Exchange ${p.name} is deleted.`;
      }}
    >
      <p>
        <strong>{p.name}</strong> goes with its bindings; clients that publish to it have their channels closed. Messages in
        queues stay.
      </p>
      <Check label="Only if nothing is bound to it" value={unused} onChange={setUnused} />
    </FormDialog>
  );
}
