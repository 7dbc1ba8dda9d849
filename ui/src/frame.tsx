// What is around every page: where one can go, who one is, whether the broker answers.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "./api.ts";
import { Dialog } from "./components/dialog.tsx";
import { Hare, MenuIcon, MoonIcon, SunIcon, SystemIcon } from "./components/icons.tsx";
import { Toasts } from "./components/toast.tsx";
import { moment, short } from "./format.ts";
import { useHealth, useLive } from "./live.ts";
import { go, link, usePlace } from "./router.ts";
import { allowed, find, groups, routes, type Route } from "./routes.tsx";
import { choose, useTheme } from "./theme.ts";
import type { Node, Overview } from "./types.ts";
import { chooseVHost, useVHost } from "./vhost.ts";

export function Frame(p: { session: Session; onSignOut(): void }): JSX.Element {
  const place = usePlace();
  const [open, setOpen] = useState(false);
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const route = find(place.parts);
  const where = place.parts.join("/");
  const overview = useLive<Overview>("/api/overview");

  useEffect(() => {
    setOpen(false);
    if (first.current) first.current = false;
    else {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, [where]);
  useEffect(() => {
    const name = place.parts.length > 1 ? place.parts[place.parts.length - 1]! : "";
    document.title = [name, route?.title, "Leveret"].filter(Boolean).join(" · ");
  }, [where, route]);
  useKeys(
    () => setHelp(true),
    () => setOpen(false),
  );

  const may = (r: Route) => allowed(r, p.session);
  return (
    <div class={"frame" + (open ? " open" : "")}>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <aside class="side" id="side">
        <a class="brand" href={link()}>
          <Hare /> Leveret
        </a>
        <nav class="nav" aria-label="Pages">
          {groups.map((g) => {
            const inside = routes.filter((r) => r.group === g && may(r));
            return (
              inside.length > 0 && (
                <div key={g}>
                  {g && <div class="nav-group">{g}</div>}
                  {inside.map((r) => (
                    <a
                      key={r.path}
                      href={link(...(r.path ? [r.path] : []))}
                      {...(route === r || (route && route.path === r.path) ? { "aria-current": "page" } : {})}
                    >
                      {r.title}
                      {r.total && overview.data?.object_totals && (
                        <span class="count">{short(overview.data.object_totals[r.total])}</span>
                      )}
                    </a>
                  ))}
                </div>
              )
            );
          })}
        </nav>
        <div class="side-foot">
          {overview.data?.cluster_name && <div>{overview.data.cluster_name}</div>}
          <div>{overview.data && version(overview.data)}</div>
        </div>
      </aside>
      {open && <button type="button" class="veil" aria-label="Close the menu" onClick={() => setOpen(false)} />}
      <div class="main">
        <header class="top">
          <button
            type="button"
            class="button quiet icon menu"
            aria-label="Menu"
            aria-expanded={open}
            aria-controls="side"
            onClick={() => setOpen(!open)}
          >
            <MenuIcon />
          </button>
          <VHostChooser />
          <span class="grow" />
          <LiveLight />
          <ThemeButton />
          <span class="muted nowrap who" title={p.session.tags.join(", ")}>
            {p.session.name.length > 24 ? p.session.name.slice(0, 23) + "…" : p.session.name}
          </span>
          <button type="button" class="button quiet small" onClick={p.onSignOut}>
            Sign out
          </button>
        </header>
        <Banners session={p.session} />
        <main class="content" id="main" tabIndex={-1} ref={main}>
          {route && may(route) ? (
            <route.page
              key={route.path + place.parts.join("/")}
              params={place.parts.slice(1)}
              query={place.query}
              session={p.session}
            />
          ) : (
            <div class="empty">
              <h1>{route ? "Not for you" : "Nothing here"}</h1>
              <p>{route ? `This page needs the tag ${route.needs ?? ""}.` : "There is no such page."}</p>
              <a class="button" href={link()}>
                To the overview
              </a>
            </div>
          )}
        </main>
      </div>
      {help && <KeysDialog onClose={() => setHelp(false)} />}
      <Toasts />
    </div>
  );
}

function version(o: Overview): string {
  return o.leveret_version
    ? "Leveret " + o.leveret_version
    : `${o.product_name ?? "RabbitMQ"} ${o.product_version ?? o.rabbitmq_version ?? ""}`;
}

function VHostChooser(): JSX.Element {
  const chosen = useVHost();
  const vhosts = useLive<{ name: string }[]>("/api/vhosts?columns=name", 30_000);
  const names = (vhosts.data ?? []).map((v) => v.name).sort();
  if (chosen && !names.includes(chosen) && vhosts.data) names.push(chosen);
  return (
    <label class="row">
      <span class="sr">Virtual host</span>
      <select value={chosen} onChange={(e) => chooseVHost(e.currentTarget.value)} title="Lists show this virtual host">
        <option value="" selected={chosen === ""}>
          All vhosts
        </option>
        {(vhosts.data ? names : chosen ? [chosen] : []).map((n) => (
          <option key={n} value={n} selected={n === chosen}>
            {n.length > 40 ? n.slice(0, 39) + "…" : n}
          </option>
        ))}
      </select>
    </label>
  );
}

function LiveLight(): JSX.Element {
  const h = useHealth();
  const [state, said] = h.paused ? ["paused", "paused"] : h.away ? ["away", "no answer"] : ["", "live"];
  return (
    <span class={"live " + state} title={h.at ? "Last answer " + moment(h.at).slice(11) : ""}>
      <i />
      <span>{said}</span>
    </span>
  );
}

function ThemeButton(): JSX.Element {
  const { choice } = useTheme();
  const next = choice === "system" ? "light" : choice === "light" ? "dark" : "system";
  const name = { system: "as the system", light: "light", dark: "dark" };
  return (
    <button
      type="button"
      class="button quiet icon theme"
      title={`Colours: ${name[choice]}. Next: ${name[next]}`}
      aria-label={`Colours are ${name[choice]}; make them ${name[next]}`}
      onClick={() => choose(next)}
    >
      {choice === "system" ? <SystemIcon /> : choice === "light" ? <SunIcon /> : <MoonIcon />}
    </button>
  );
}

function Banners(p: { session: Session }): JSX.Element {
  const h = useHealth();
  const sees = p.session.tags.some((t) => t === "administrator" || t === "monitoring");
  const nodes = useLive<Node[]>(sees ? "/api/nodes" : undefined, 10_000);
  const alarms: ComponentChildren[] = [];
  for (const n of nodes.data ?? []) {
    if (n.mem_alarm)
      alarms.push(<span key={n.name + "m"}>Memory is short on {n.name}: publishers wait until there is room.</span>);
    if (n.disk_free_alarm)
      alarms.push(<span key={n.name + "d"}>Disk space is short on {n.name}: publishers wait until there is room.</span>);
  }
  return (
    <>
      {h.away && (
        <div class="banner away" role="alert">
          <span>
            <strong>The broker does not answer.</strong> What is shown is {h.at ? "from " + moment(h.at).slice(11) : "old"}; this
            page goes on asking.
          </span>
        </div>
      )}
      {!h.away && alarms.length > 0 && (
        <div class="banner alarm" role="alert">
          <strong>Alarm</strong> <span>{alarms}</span>
        </div>
      )}
    </>
  );
}

const leaps: Record<string, string> = {
  o: "",
  n: "connections",
  h: "channels",
  c: "consumers",
  e: "exchanges",
  q: "queues",
  b: "bindings",
};

/** useKeys: / searches, g and a letter lead to a page, ? tells of it. */
function useKeys(help: () => void, escape: () => void): void {
  useEffect(() => {
    let g = 0;
    const pressed = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
      if (document.querySelector("dialog[open]")) return;
      if (e.key === "Escape") escape();
      if (e.target instanceof HTMLElement && e.target.matches("input, textarea, select, [contenteditable]")) return;
      if (g && Date.now() - g < 1500) {
        g = 0;
        const to = leaps[e.key];
        if (to === undefined) return;
        e.preventDefault();
        go(link(...(to ? [to] : [])));
        return;
      }
      if (e.key === "g") g = Date.now();
      if (e.key === "?") help();
      if (e.key === "/") {
        const search = document.querySelector<HTMLInputElement>(".page-search");
        if (!search) return;
        e.preventDefault();
        search.focus();
        search.select();
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function KeysDialog(p: { onClose(): void }): JSX.Element {
  const rows: [ComponentChildren, string][] = [
    [<kbd>/</kbd>, "search this list"],
    [
      <>
        <kbd>↑</kbd> <kbd>↓</kbd>
      </>,
      "from row to row in a list",
    ],
    ...Object.entries(leaps).map(([k, to]): [ComponentChildren, string] => [
      <>
        <kbd>g</kbd> <kbd>{k}</kbd>
      </>,
      to || "overview",
    ]),
    [<kbd>Esc</kbd>, "close a dialog, empty the search"],
    [<kbd>?</kbd>, "this help"],
  ];
  return (
    <Dialog title="Keys" onClose={p.onClose}>
      <dl class="facts">
        {rows.map(([k, what]) => (
          <>
            <dt>{k}</dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
    </Dialog>
  );
}
