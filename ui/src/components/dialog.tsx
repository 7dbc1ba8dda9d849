// Dialogs are the browser's own: they keep the focus, close on Escape, and give the
// focus back to where it was.

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api.ts";
import { answered, refreshAll } from "../live.ts";
import { CloseIcon } from "./icons.tsx";
import { toast } from "./toast.tsx";

export function Dialog(p: {
  title: ComponentChildren;
  onClose(): void;
  wide?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const title = useId();
  useLayoutEffect(() => {
    const d = ref.current;
    if (!d) return;
    const before = document.activeElement;
    d.showModal();
    const first =
      d.querySelector<HTMLElement>("[autofocus]") ??
      d.querySelector<HTMLElement>(".body input:not(:disabled), .body select, .body textarea, .body button");
    first?.focus();
    return () => {
      d.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={p.wide ? "wide" : ""}
      aria-labelledby={title}
      onCancel={(e) => {
        e.preventDefault();
        p.onClose();
      }}
      onMouseDown={(e) => {
        const d = ref.current;
        if (!d || e.target !== d) return; // within
        const r = d.getBoundingClientRect();
        const inside = e.clientX >= r.left && e.clientX <= r.right && e.clientY >= r.top && e.clientY <= r.bottom;
        if (!inside) p.onClose();
      }}
    >
      <header>
        <h2 id={title}>{p.title}</h2>
        <button type="button" class="button quiet icon" aria-label="Close" onClick={p.onClose}>
          <CloseIcon />
        </button>
      </header>
      <div class="body">{p.children}</div>
    </dialog>
  );
}

/** say is what an error tells a person. */
export function say(err: unknown): string {
  if (err instanceof ApiError) {
    if (err.status === 0) return "The broker does not answer.";
    return err.reason && err.reason !== err.error ? `${err.reason}` : `${err.error || "failed"} (${err.status})`;
  }
  return err instanceof Error ? err.message : String(err);
}

/**
 * FormDialog asks for something and does it. run's promise is awaited; what it throws is
 * shown in the dialog, which stays; the text it returns is a toast (or stands in a dialog
 * that stays), and all that the page shows is asked for anew.
 */
export function FormDialog(p: {
  title: ComponentChildren;
  action: string;
  danger?: boolean;
  wide?: boolean;
  onClose(): void;
  run(): Promise<string | void>;
  /** Called after it was done, once the dialog is closed. */
  onDone?(): void;
  /** Keep the dialog open after success: for what is done several times. */
  stay?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [done, setDone] = useState("");
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setError("");
    setDone("");
    try {
      const said = await p.run();
      answered();
      if (p.stay) setDone(said ?? "");
      else if (said) toast(said);
      if (!p.stay) p.onClose();
      if (p.onDone)
        p.onDone(); // it leads elsewhere: what is shown here may be no more
      else refreshAll();
    } catch (err) {
      setError(say(err));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={p.title} onClose={p.onClose} wide={p.wide ?? false}>
      <form onSubmit={submit}>
        <div class="form">
          {p.children}
          {error && (
            <div class="error" role="alert">
              {error}
            </div>
          )}
          {done && (
            <div class="note done" role="status">
              {done}
            </div>
          )}
          <div class="form-actions">
            <button type="button" class="button" onClick={p.onClose}>
              {p.stay ? "Close" : "Cancel"}
            </button>
            <button type="submit" class={"button " + (p.danger ? "danger solid" : "primary")} aria-busy={busy} disabled={busy}>
              {p.action}
            </button>
          </div>
        </div>
      </form>
    </Dialog>
  );
}
