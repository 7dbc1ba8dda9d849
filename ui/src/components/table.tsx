// Lists: search, sort and pages. Remote asks the API for one page at a time, with its own
// parameters, so that a list of a hundred thousand queues costs what a page costs. Some
// lists the API may give whole; those, and lists that a page has already, are searched
// and cut here.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLive, type Live } from "../live.ts";
import { count } from "../format.ts";
import { place, setQuery, usePlace } from "../router.ts";
import { say } from "./dialog.tsx";
import { SearchIcon } from "./icons.tsx";

export interface Column<T> {
  label: string;
  /** The API's field to sort by; '' or absent: not to be sorted. */
  sort?: string;
  /** For lists cut here: what to sort by, where it is not the field. */
  by?(row: T): string | number;
  num?: boolean;
  /** Left out where there is no room for all. */
  extra?: boolean;
  /** Left out on a phone. */
  minor?: boolean;
  /** The row's name: the card's head on a phone. */
  head?: boolean;
  /** The whole width of a card on a phone. */
  full?: boolean;
  /** Long text in one line, cut off. */
  clip?: boolean;
  tight?: boolean;
  cell(row: T, at: number): ComponentChildren;
}

export interface Paged<T> {
  items: T[];
  item_count: number;
  filtered_count: number;
  total_count: number;
  page: number;
  page_size: number;
  page_count: number;
}

interface View {
  name: string;
  regex: boolean;
  sort: string;
  desc: boolean;
  page: number;
  size: number;
}

const sizes = [25, 50, 100, 250, 500];

function viewOf(q: URLSearchParams, sort: string, desc: boolean): View {
  const number = (k: string, otherwise: number) => {
    const n = Number(q.get(k));
    return Number.isInteger(n) && n > 0 ? n : otherwise;
  };
  const named = q.get("sort");
  return {
    name: q.get("name") ?? "",
    regex: q.get("regex") === "true",
    sort: named ?? sort,
    desc: named === null ? desc : q.get("desc") === "true",
    page: number("page", 1),
    size: Math.min(number("size", 50), 500),
  };
}

/** Remote is a list of the API's, a page at a time; what is looked for stands in the address. */
export function Remote<T>(p: {
  path: string;
  columns: Column<T>[];
  rowKey(row: T): string;
  /** What one row is called: 'queue'. */
  noun: string;
  /** How it is sorted at first; "": by name, within each virtual host, which costs the broker nothing. */
  sort: string;
  desc?: boolean;
  /** Where the API's filter by name says too little: the text to be searched, here. */
  searchText?(row: T): string;
  tools?: ComponentChildren;
  empty: ComponentChildren;
  /** More parameters for the API. */
  more?: string;
}): JSX.Element {
  const { query } = usePlace();
  const view = viewOf(query, p.sort, p.desc ?? false);
  const here = p.searchText !== undefined && view.name !== ""; // searched here, so had whole
  const q = new URLSearchParams();
  if (!here) {
    q.set("page", String(view.page));
    q.set("page_size", String(view.size));
    if (view.sort) q.set("sort", view.sort); // else as the broker has them: it need not look at all for one page
    if (view.desc) q.set("sort_reverse", "true");
    if (view.name) {
      q.set("name", view.name);
      q.set("use_regex", String(view.regex));
    }
  }
  const live = useLive<Paged<T> | T[]>(p.path + "?" + q.toString() + (p.more ? "&" + p.more : ""));
  const change = (c: Partial<View>) => {
    const n = { ...view, page: 1, ...c };
    setQuery({
      name: n.name,
      regex: n.regex ? "true" : "",
      sort: n.sort === p.sort && n.desc === (p.desc ?? false) ? "" : n.sort,
      desc: n.desc && !(n.sort === p.sort && n.desc === (p.desc ?? false)) ? "true" : "",
      page: n.page > 1 ? String(n.page) : "",
      size: n.size === 50 ? "" : String(n.size),
    });
  };
  useEffect(() => {
    if (live.error?.status === 400 && view.page > 1 && /page/i.test(live.error.error + live.error.reason)) change({ page: 1 });
  }, [live.error]);
  const shown = useMemo(() => {
    const d = live.data;
    if (d === undefined) return undefined;
    return Array.isArray(d) ? cut(d, view, p.columns, p.searchText ?? ((r) => String((r as { name?: string }).name ?? ""))) : d;
  }, [live.data, view.name, view.regex, view.sort, view.desc, view.page, view.size]);
  return <Sheet {...p} view={view} change={change} live={live} shown={shown} />;
}

/** Local is a list that is here already. */
export function Local<T>(p: {
  rows: T[] | undefined;
  columns: Column<T>[];
  rowKey(row: T): string;
  noun: string;
  sort?: string;
  searchText?(row: T): string;
  tools?: ComponentChildren;
  empty: ComponentChildren;
  live?: Live<unknown>;
}): JSX.Element {
  const [view, set] = useState<View>({ name: "", regex: false, sort: p.sort ?? "", desc: false, page: 1, size: 50 });
  const shown = useMemo(() => p.rows && cut(p.rows, view, p.columns, p.searchText ?? ((r) => JSON.stringify(r))), [p.rows, view]);
  const idle = { error: undefined, at: Date.now(), stale: false };
  const few = (p.rows?.length ?? 0) <= 8 && view.name === "";
  return (
    <Sheet {...p} quiet={few} view={view} change={(c) => set({ ...view, page: 1, ...c })} live={p.live ?? idle} shown={shown} />
  );
}

/** cut does to a whole list what the API does to one that is asked for by page. */
function cut<T>(all: T[], view: View, columns: Column<T>[], textOf: (row: T) => string): Paged<T> {
  let rows = all;
  if (view.name) {
    let match = (s: string) => s.toLowerCase().includes(view.name.toLowerCase());
    if (view.regex) {
      try {
        const re = new RegExp(view.name, "i");
        match = (s) => re.test(s);
      } catch {
        match = () => false;
      }
    }
    rows = rows.filter((r) => match(textOf(r)));
  }
  const column = columns.find((c) => c.sort === view.sort);
  if (view.sort && column) {
    const key = column.by ?? ((r: T) => field(r, view.sort));
    const keys = new Map(rows.map((r) => [r, key(r)]));
    rows = [...rows].sort((a, b) => {
      const x = keys.get(a)!;
      const y = keys.get(b)!;
      return typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    });
    if (view.desc) rows.reverse();
  }
  const pages = Math.max(1, Math.ceil(rows.length / view.size));
  const page = Math.min(view.page, pages);
  const items = rows.slice((page - 1) * view.size, page * view.size);
  return {
    items,
    item_count: items.length,
    filtered_count: rows.length,
    total_count: all.length,
    page,
    page_size: view.size,
    page_count: pages,
  };
}

function field(row: unknown, name: string): string | number {
  let v: unknown = row;
  for (const part of name.split(".")) v = (v as Record<string, unknown> | undefined)?.[part];
  return typeof v === "number" ? v : v === undefined || v === null ? "" : String(v);
}

function Sheet<T>(p: {
  columns: Column<T>[];
  rowKey(row: T): string;
  noun: string;
  searchText?(row: T): string;
  tools?: ComponentChildren;
  empty: ComponentChildren;
  view: View;
  change(c: Partial<View>): void;
  live: Pick<Live<unknown>, "error" | "at" | "stale">;
  shown: Paged<T> | undefined;
  quiet?: boolean;
}): JSX.Element {
  const { view, shown, live } = p;
  const many = shown && shown.page_count > 1;
  return (
    <div>
      {!(p.quiet && !p.tools) && (
        <div class="toolbar">
          {!p.quiet && <Search noun={p.noun} view={view} change={p.change} />}
          {shown && !p.quiet && (
            <span class="muted nowrap" aria-live="polite">
              {shown.filtered_count === shown.total_count
                ? count(shown.total_count)
                : `${count(shown.filtered_count)} of ${count(shown.total_count)}`}
            </span>
          )}
          <span class="grow" />
          {p.tools}
        </div>
      )}
      {live.error && live.error.status !== 0 && !(shown && live.error.status === 0) && (
        <div class="body">
          <div class="error" role="alert" style={{ margin: "10px 12px" }}>
            {say(live.error)}
          </div>
        </div>
      )}
      {shown && shown.items.length > 0 && <Grid {...p} rows={shown.items} at={live.at} stale={live.stale} />}
      {shown && shown.items.length === 0 && (
        <div class="empty">
          {view.name ? (
            <p>
              No {p.noun} matches “{view.name}”.
            </p>
          ) : (
            p.empty
          )}
        </div>
      )}
      {!shown && !live.error && <div class="empty">…</div>}
      {shown && (many || view.size !== 50) && (
        <nav class="pager" aria-label="Pages">
          <button
            type="button"
            class="button small"
            disabled={shown.page <= 1}
            onClick={() => p.change({ page: shown.page - 1 })}
          >
            ‹ Previous
          </button>
          <span>
            Page{" "}
            <input
              aria-label="Page"
              type="number"
              min={1}
              max={shown.page_count}
              value={shown.page}
              style={{ width: "72px", minHeight: "26px" }}
              onChange={(e) => p.change({ page: Math.max(1, Math.min(shown.page_count, Number(e.currentTarget.value) || 1)) })}
            />{" "}
            of {count(shown.page_count)}
          </span>
          <button
            type="button"
            class="button small"
            disabled={shown.page >= shown.page_count}
            onClick={() => p.change({ page: shown.page + 1 })}
          >
            Next ›
          </button>
          <span class="grow" />
          <label>
            <select
              aria-label="Rows a page"
              value={String(view.size)}
              onChange={(e) => p.change({ size: Number(e.currentTarget.value) })}
              style={{ minHeight: "26px" }}
            >
              {sizes.map((s) => (
                <option key={s} value={String(s)}>
                  {s}
                </option>
              ))}
            </select>{" "}
            a page
          </label>
        </nav>
      )}
    </div>
  );
}

function Search(p: { noun: string; view: View; change(c: Partial<View>): void }): JSX.Element {
  const [typed, type] = useState(p.view.name);
  const timer = useRef(0);
  const sent = useRef(p.view.name);
  const change = useRef(p.change); // of now: while the timer runs, other things may change
  change.current = p.change;
  useEffect(() => {
    if (p.view.name !== sent.current) {
      sent.current = p.view.name;
      type(p.view.name);
    }
  }, [p.view.name]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const send = (name: string, wait: number) => {
    type(name);
    clearTimeout(timer.current);
    const from = place().parts.join("/");
    timer.current = window.setTimeout(() => {
      if (place().parts.join("/") !== from) return; // another page by now
      sent.current = name;
      change.current({ name });
    }, wait);
  };
  return (
    <div class="row grow" role="search" style={{ flex: "1 1 240px", maxWidth: "440px" }}>
      <div class="search" style={{ flex: "1" }}>
        <SearchIcon />
        <input
          type="search"
          class="page-search"
          aria-label={`Search for a ${p.noun} by name`}
          placeholder={p.view.regex ? "Regular expression" : "Search"}
          spellcheck={false}
          autocomplete="off"
          value={typed}
          onInput={(e) => send(e.currentTarget.value, 250)}
          onKeyDown={(e) => {
            if (e.key === "Enter") send(typed, 0);
            if (e.key === "Escape") {
              if (typed) send("", 0);
              else e.currentTarget.blur();
            }
          }}
        />
        {!typed && <kbd aria-hidden="true">/</kbd>}
      </div>
      <button
        type="button"
        class={"button small icon mono" + (p.view.regex ? " primary" : " quiet")}
        aria-pressed={p.view.regex}
        title="Search by regular expression"
        aria-label="Search by regular expression"
        onClick={() => p.change({ regex: !p.view.regex })}
      >
        .*
      </button>
    </div>
  );
}

/** Grid is the table itself: arrow keys go from row to row, and it becomes cards on a phone. */
export function Grid<T>(p: {
  columns: Column<T>[];
  rows: T[];
  rowKey(row: T): string;
  noun: string;
  view?: View;
  change?(c: Partial<View>): void;
  at?: number;
  stale?: boolean;
}): JSX.Element {
  const { view } = p;
  return (
    <div class="scroll">
      <table class={"list cards" + (p.stale ? " stale" : "")} onKeyDown={arrows}>
        <thead>
          <tr>
            {p.columns.map((c) => {
              const sorted = view && c.sort && view.sort === c.sort;
              const cls = [c.num && "num", c.minor && "minor", c.extra && "extra", c.tight && "tight"].filter(Boolean).join(" ");
              return (
                <th
                  key={c.label}
                  scope="col"
                  class={cls}
                  {...(sorted ? { "aria-sort": view.desc ? "descending" : "ascending" } : {})}
                >
                  {c.sort && p.change && view ? (
                    <button
                      type="button"
                      onClick={() => p.change!(sorted ? { desc: !view.desc } : { sort: c.sort!, desc: c.num ?? false })}
                    >
                      {c.label}
                      {sorted && (
                        <span class="arrow" aria-hidden="true">
                          {view.desc ? "▼" : "▲"}
                        </span>
                      )}
                    </button>
                  ) : (
                    c.label || <span class="sr">What can be done</span>
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {p.rows.map((r) => (
            <tr key={p.rowKey(r)}>
              {p.columns.map((c) => (
                <td
                  key={c.label}
                  data-label={c.label}
                  class={[
                    c.num && "num",
                    c.minor && "minor",
                    c.extra && "extra",
                    c.head && "head",
                    c.full && "full",
                    c.clip && "clip",
                    c.tight && "tight",
                    !c.label && "plain",
                  ]
                    .filter(Boolean)
                    .join(" ")}
                >
                  <span class="cell">{c.cell(r, p.at ?? 0)}</span>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function arrows(e: KeyboardEvent): void {
  const down = e.key === "ArrowDown";
  if ((!down && e.key !== "ArrowUp") || !(e.target instanceof HTMLElement) || e.target.matches("input, select, textarea")) return;
  const row = e.target.closest("tr");
  if (!row) return;
  const other =
    row.parentElement?.tagName === "THEAD"
      ? down
        ? row.closest("table")?.querySelector("tbody tr")
        : null
      : down
        ? row.nextElementSibling
        : row.previousElementSibling;
  const next = other?.querySelector<HTMLElement>("a, button");
  if (!next) return;
  e.preventDefault();
  next.focus();
}
