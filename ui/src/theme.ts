// Light or dark: what the system says, until somebody chooses.

import { useEffect, useState } from "preact/hooks";

export type Theme = "light" | "dark";
export type Choice = Theme | "system";

const key = "leveret.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function choice(): Choice {
  try {
    const v = localStorage.getItem(key);
    return v === "light" || v === "dark" ? v : "system";
  } catch {
    return "system"; // storage is shut off
  }
}

export function theme(): Theme {
  const c = choice();
  return c === "system" ? (dark.matches ? "dark" : "light") : c;
}

export function choose(c: Choice): void {
  try {
    if (c === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, c);
  } catch {
    // it holds until the page is left
  }
  apply();
}

function apply(): void {
  document.documentElement.dataset["theme"] = theme();
  dispatchEvent(new Event("leveret:theme"));
}

/** useTheme is the theme that is shown, and what was chosen. */
export function useTheme(): { theme: Theme; choice: Choice } {
  const [now, set] = useState({ theme: theme(), choice: choice() });
  useEffect(() => {
    const changed = () => set({ theme: theme(), choice: choice() });
    addEventListener("leveret:theme", changed);
    return () => removeEventListener("leveret:theme", changed);
  }, []);
  return now;
}

dark.addEventListener("change", apply);
apply();
