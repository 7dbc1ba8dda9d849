// Talks to the management API as whoever is logged in. The browser keeps the session
// in a cookie that scripts cannot see; the header says that the page asks, and no
// other site in the user's browser.

/** Who is logged in. */
export interface Session {
  name: string;
  tags: string[];
}

/** An answer that is no success. Status 0: there was none. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    readonly reason: string,
  ) {
    super(reason || error);
    this.name = "ApiError";
  }
}

let signedOut: () => void = () => {};

/** Sets what happens when the session has ended. */
export function onSignedOut(fn: () => void): void {
  signedOut = fn;
}

const header = { "X-Leveret-Page": "1" };

async function send(
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
  signal?: AbortSignal,
): Promise<Response> {
  const init: RequestInit = {
    method,
    headers: { ...header, ...headers },
    cache: "no-store",
    credentials: "same-origin",
    redirect: "error",
  };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  if (signal) init.signal = signal;
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (err) {
    if (signal?.aborted) throw err;
    throw new ApiError(0, "unreachable", "The broker does not answer.");
  }
  if (answer.ok) return answer;
  const failure = await explain(answer);
  if (answer.status === 401 && path !== "/page/session") void ended();
  throw failure;
}

/** Finds out whether the session has ended: 401 is also what a user is told who lacks a tag. */
async function ended(): Promise<void> {
  try {
    if ((await whoAmI()) === null) signedOut();
  } catch {
    // not to be known now; the next answer may tell
  }
}

async function explain(answer: Response): Promise<ApiError> {
  let error = `HTTP ${answer.status}`;
  let reason = answer.statusText;
  try {
    const told: unknown = await answer.json();
    if (told && typeof told === "object") {
      if ("error" in told && typeof told.error === "string") error = told.error;
      if ("reason" in told) reason = typeof told.reason === "string" ? told.reason : JSON.stringify(told.reason);
    }
  } catch {
    // no body, or none of ours: the status says it
  }
  return new ApiError(answer.status, error, reason);
}

async function json<T>(answer: Response): Promise<T> {
  const text = await answer.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** The management API. Paths are whole: `/api/queues/%2F/name`; see `path`. */
export const api = {
  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return json<T>(await send("GET", path, undefined, undefined, signal));
  },
  async put<T = void>(path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
    return json<T>(await send("PUT", path, body, headers));
  },
  async post<T = void>(path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
    return json<T>(await send("POST", path, body, headers));
  },
  async del<T = void>(path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
    return json<T>(await send("DELETE", path, body, headers));
  },
};

/** Makes a path of names, which may hold anything: `path("queues", "/", "a b")`. */
export function path(...names: string[]): string {
  return "/api/" + names.map(segment).join("/");
}

/** Escapes a name for a path. A browser would take "." and ".." for steps in the tree,
 * escaped or not, so that these two cannot be asked for. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

/** Begins a session. */
export async function logIn(username: string, password: string): Promise<Session> {
  await send("POST", "/page/session", { username, password });
  const who = await whoAmI();
  if (!who) throw new ApiError(0, "cookie", "The browser kept no cookie; without one there is no session.");
  return who;
}

/** Ends the session. */
export async function logOut(): Promise<void> {
  await send("DELETE", "/page/session");
}

/** Who is logged in, or null. */
export async function whoAmI(): Promise<Session | null> {
  return (await json<Session | undefined>(await send("GET", "/page/session"))) ?? null;
}
