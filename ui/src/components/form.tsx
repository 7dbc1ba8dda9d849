// Fields, and the editor for AMQP's tables of arguments.

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { CloseIcon } from "./icons.tsx";

export function Field(p: { label: string; hint?: ComponentChildren; children: (id: string) => ComponentChildren }): JSX.Element {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{p.label}</label>
      {p.children(id)}
      {p.hint && <small>{p.hint}</small>}
    </div>
  );
}

export function Text(p: {
  label: string;
  value: string;
  onChange(v: string): void;
  hint?: ComponentChildren;
  type?: "text" | "password" | "number";
  required?: boolean;
  placeholder?: string;
  autofocus?: boolean;
  autocomplete?: string;
  min?: number;
  max?: number;
}): JSX.Element {
  return (
    <Field label={p.label} hint={p.hint}>
      {(id) => (
        <input
          id={id}
          {...({ type: p.type ?? "text" } as { type: "text" })}
          value={p.value}
          required={p.required ?? false}
          placeholder={p.placeholder}
          autofocus={p.autofocus ?? false}
          autocomplete={p.autocomplete ?? "off"}
          spellcheck={false}
          {...(p.min === undefined ? {} : { min: p.min })}
          {...(p.max === undefined ? {} : { max: p.max })}
          onInput={(e) => p.onChange(e.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function Choose<T extends string>(p: {
  label: string;
  value: T;
  options: readonly (readonly [NoInfer<T>, string])[];
  onChange(v: NoInfer<T>): void;
  hint?: ComponentChildren;
}): JSX.Element {
  return (
    <Field label={p.label} hint={p.hint}>
      {(id) => (
        <select id={id} value={p.value} onChange={(e) => p.onChange(e.currentTarget.value as T)}>
          {p.options.map(([v, label]) => (
            <option key={v} value={v} selected={v === p.value}>
              {label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Check(p: {
  label: ComponentChildren;
  value: boolean;
  onChange(v: boolean): void;
  hint?: ComponentChildren;
  disabled?: boolean;
}): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={p.value}
        disabled={p.disabled ?? false}
        onChange={(e) => p.onChange(e.currentTarget.checked)}
      />
      <span>
        {p.label}
        {p.hint && <small>{p.hint}</small>}
      </span>
    </label>
  );
}

/** Segmented is a choice of a few, all in sight. */
export function Segmented<T extends string>(p: {
  label: string;
  value: T;
  options: readonly (readonly [NoInfer<T>, string])[];
  onChange(v: NoInfer<T>): void;
}): JSX.Element {
  return (
    <div class="segmented" role="group" aria-label={p.label}>
      {p.options.map(([v, label]) => (
        <button key={v} type="button" aria-pressed={v === p.value} onClick={() => p.onChange(v)}>
          {label}
        </button>
      ))}
    </div>
  );
}

// --- tables of arguments

export type ArgType = "string" | "number" | "boolean" | "json";

export interface Arg {
  key: string;
  value: string;
  type: ArgType;
}

/** Known is an argument that is offered: its name, its type, what it does. */
export interface Known {
  key: string;
  type: ArgType;
  about: string;
  value?: string;
}

/** table is what a list of arguments says; it throws with a reason for a person. */
export function table(args: Arg[]): Record<string, unknown> {
  const out = new Map<string, unknown>();
  for (const a of args) {
    if (a.key === "" && a.value === "") continue;
    if (a.key === "") throw new Error("An argument has a value but no name.");
    if (out.has(a.key)) throw new Error(`${a.key} is given twice.`);
    out.set(a.key, value(a));
  }
  return Object.fromEntries(out); // which makes even __proto__ a name like others
}

function value(a: Arg): unknown {
  switch (a.type) {
    case "string":
      return a.value;
    case "number": {
      const n = Number(a.value.trim());
      if (a.value.trim() === "" || !Number.isFinite(n)) throw new Error(`${a.key}: “${a.value}” is not a number.`);
      return n;
    }
    case "boolean":
      return a.value === "true";
    case "json":
      try {
        return JSON.parse(a.value) as unknown;
      } catch {
        throw new Error(`${a.key}: not valid JSON (a list is written ["a", "b"], a table {"k": 1}).`);
      }
  }
}

/** argsOf is the editor's form of a table. */
export function argsOf(t: Record<string, unknown> | undefined): Arg[] {
  return Object.entries(t ?? {}).map(([key, v]) =>
    typeof v === "string"
      ? { key, value: v, type: "string" }
      : typeof v === "number"
        ? { key, value: String(v), type: "number" }
        : typeof v === "boolean"
          ? { key, value: String(v), type: "boolean" }
          : { key, value: JSON.stringify(v), type: "json" },
  );
}

export function Arguments(p: {
  label: string;
  value: Arg[];
  onChange(v: Arg[]): void;
  known?: readonly Known[];
  hint?: ComponentChildren;
}): JSX.Element {
  // As they are now: two changes may come before the first is drawn.
  const now = useRef(p.value);
  now.current = p.value;
  const put = (list: Arg[]) => {
    now.current = list;
    p.onChange(list);
  };
  const set = (i: number, change: Partial<Arg>) => put(now.current.map((a, j) => (j === i ? { ...a, ...change } : a)));
  const focus = useRef<"key" | "value" | undefined>(undefined);
  const box = useRef<HTMLDivElement>(null);
  const add = (a: Arg, at: "key" | "value") => {
    focus.current = at;
    put([...now.current, a]);
  };
  // At once, before the next key is pressed.
  useLayoutEffect(() => {
    if (!focus.current) return;
    const rows = box.current?.querySelectorAll(".arg");
    const last = rows?.[rows.length - 1];
    last?.querySelector<HTMLElement>(focus.current === "key" ? ".arg-key" : ".arg-value")?.focus();
    focus.current = undefined;
  }, [p.value.length]);
  const offered = (p.known ?? []).filter((k) => !p.value.some((a) => a.key === k.key));
  return (
    <div class="field" role="group" aria-label={p.label}>
      <span class="label">{p.label}</span>
      <div class="args" ref={box}>
        {p.value.map((a, i) => {
          const known = p.known?.find((k) => k.key === a.key);
          return (
            <div key={i} class="arg">
              <input
                class="arg-key mono"
                aria-label="Name"
                placeholder="name"
                spellcheck={false}
                autocomplete="off"
                value={a.key}
                onInput={(e) => set(i, { key: e.currentTarget.value })}
              />
              {a.type === "boolean" ? (
                <select
                  class="arg-value"
                  aria-label="Value"
                  value={a.value === "true" ? "true" : "false"}
                  onChange={(e) => set(i, { value: e.currentTarget.value })}
                >
                  <option value="true">true</option>
                  <option value="false">false</option>
                </select>
              ) : (
                <input
                  class="arg-value mono"
                  aria-label="Value"
                  title={known?.about ?? ""}
                  placeholder={a.type === "json" ? '["a", 1]' : "value"}
                  inputMode={a.type === "number" ? "decimal" : "text"}
                  spellcheck={false}
                  autocomplete="off"
                  value={a.value}
                  onInput={(e) => set(i, { value: e.currentTarget.value })}
                />
              )}
              <select
                aria-label="Type"
                value={a.type}
                onChange={(e) => {
                  const type = e.currentTarget.value as ArgType;
                  set(i, type === "boolean" ? { type, value: "true" } : { type });
                }}
              >
                <option value="string">string</option>
                <option value="number">number</option>
                <option value="boolean">boolean</option>
                <option value="json">list, table</option>
              </select>
              <button
                type="button"
                class="button quiet icon"
                aria-label={"Remove " + (a.key || "argument")}
                onClick={() => put(now.current.filter((_, j) => j !== i))}
              >
                <CloseIcon />
              </button>
            </div>
          );
        })}
      </div>
      <div class="chips">
        {offered.map((k) => (
          <button
            key={k.key}
            type="button"
            class="chip"
            title={k.about}
            onClick={() => add({ key: k.key, value: k.value ?? (k.type === "boolean" ? "true" : ""), type: k.type }, "value")}
          >
            {k.key}
          </button>
        ))}
        <button type="button" class="chip" onClick={() => add({ key: "", value: "", type: "string" }, "key")}>
          {p.known ? "other…" : "add…"}
        </button>
      </div>
      {p.hint && <small>{p.hint}</small>}
    </div>
  );
}
