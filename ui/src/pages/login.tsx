import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, logIn, type Session } from "../api.ts";

/** Asks for a user's name and password. */
export function Login({ onLogin, note }: { onLogin: (who: Session) => void; note?: string }) {
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => first.current?.focus(), []);

  async function submit(event: SubmitEvent) {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
    setBusy(true);
    setFailure("");
    try {
      onLogin(await logIn(field("username").value, field("password").value));
    } catch (err) {
      setFailure(explain(err));
      setBusy(false);
      field("password").select();
    }
  }

  return (
    <main class="login">
      <form class="panel" onSubmit={submit} aria-labelledby="login-title">
        <img src="favicon.svg" alt="" width="48" height="48" />
        <h1 id="login-title">Leveret</h1>
        {note && !failure && (
          <p class="note" role="status">
            {note}
          </p>
        )}
        {failure && (
          <p class="error" role="alert">
            {failure}
          </p>
        )}
        <label class="field">
          <span>User</span>
          <input name="username" required autocomplete="username" autocapitalize="none" spellcheck={false} ref={first} />
        </label>
        <label class="field">
          <span>Password</span>
          <input name="password" type="password" required autocomplete="current-password" />
        </label>
        <button class="button primary" type="submit" disabled={busy}>
          Log in
        </button>
      </form>
    </main>
  );
}

function explain(err: unknown): string {
  if (err instanceof ApiError) {
    if (err.status === 401 && (err.reason || "Login failed") === "Login failed")
      return "Login failed: wrong user or password. The user guest may log in from the broker’s own machine only.";
    return err.reason;
  }
  return String(err);
}
