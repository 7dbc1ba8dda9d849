// What the page shows is asked for again every few seconds, unless nobody looks. An
// answer that does not come leaves what was there; whether the broker is away is known
// in one place, for the banner.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api, ApiError } from "./api.ts";

export const interval = 5000;

/** An answer that takes longer than this, in ms, is as good as none: the banner says so while it is waited for. */
const patience = 8000;

export interface Live<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** When data came, in ms; 0: not yet. */
  at: number;
  /** What is shown belongs to another question: its answer is on the way. */
  stale: boolean;
  refresh(): void;
}

// --- whether the broker answers

export interface Health {
  away: boolean;
  /** When the last answer came, ms. */
  at: number;
  paused: boolean;
}

let health: Health = { away: false, at: 0, paused: document.hidden };
const watchers = new Set<(h: Health) => void>();

function tell(change: Partial<Health>): void {
  health = { ...health, ...change };
  for (const w of watchers) w(health);
}

document.addEventListener("visibilitychange", () => tell({ paused: document.hidden }));

export function useHealth(): Health {
  const [now, set] = useState(health);
  useEffect(() => {
    watchers.add(set);
    set(health);
    return () => void watchers.delete(set);
  }, []);
  return now;
}

/** answered is told of each answer, also of one that is an error. */
export function answered(err?: unknown): void {
  const away = err instanceof ApiError && (err.status === 0 || err.status === 502 || err.status === 504);
  tell(away ? { away } : { away, at: Date.now() });
}

// --- what is asked again and again

const asking = new Set<() => void>();

/** refreshAll asks everything on the page anew, as after a change. */
export function refreshAll(): void {
  for (const ask of asking) ask();
}

/** useLive is the answer to GET path, asked again every few seconds; undefined asks nothing. */
export function useLive<T>(path: string | undefined, every = interval): Live<T> {
  const [state, set] = useState<{ path?: string; data?: T; error?: ApiError; at: number }>({ at: 0 });
  const ask = useRef<() => void>(() => {});
  useEffect(() => {
    if (path === undefined) return;
    let timer = 0;
    let request: AbortController | undefined;
    let over = false;
    const run = async () => {
      clearTimeout(timer);
      request?.abort();
      const mine = (request = new AbortController());
      let failed = false;
      const slow = window.setTimeout(() => mine.signal.aborted || answered(new ApiError(0, "slow", "")), patience);
      try {
        const data = await api.get<T>(path, mine.signal);
        if (over || mine.signal.aborted) return;
        answered();
        set({ path, data, at: Date.now() });
      } catch (err) {
        if (over || mine.signal.aborted) return;
        const error = err instanceof ApiError ? err : new ApiError(0, "away", String(err));
        answered(error);
        failed = error.status === 0;
        set((s) => ({ ...(s.path === path ? s : { at: 0 }), path, error }));
      } finally {
        clearTimeout(slow);
      }
      if (!document.hidden && every > 0) timer = window.setTimeout(run, failed ? Math.min(every, 2000) : every);
    };
    const seen = () => {
      if (document.hidden) clearTimeout(timer);
      else void run();
    };
    ask.current = () => void run();
    asking.add(ask.current);
    const mine = ask.current;
    document.addEventListener("visibilitychange", seen);
    void run();
    return () => {
      over = true;
      clearTimeout(timer);
      request?.abort();
      asking.delete(mine);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, every]);
  const refresh = useCallback(() => ask.current(), []);
  const mine = state.path === path;
  return {
    data: state.data,
    error: mine ? state.error : undefined,
    at: state.at,
    stale: !mine && state.data !== undefined,
    refresh,
  };
}
