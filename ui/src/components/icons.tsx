// The few drawings, in strokes of the text's colour.

import type { JSX } from "preact";

function Stroke(p: { d: string }): JSX.Element {
  return (
    <svg
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={p.d} />
    </svg>
  );
}

export const SearchIcon = () => <Stroke d="M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14" />;
export const MenuIcon = () => <Stroke d="M2.5 4h11M2.5 8h11M2.5 12h11" />;
export const CloseIcon = () => <Stroke d="m4 4 8 8m0-8-8 8" />;
export const PlusIcon = () => <Stroke d="M8 3v10M3 8h10" />;
export const SunIcon = () => (
  <Stroke d="M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7" />
);
export const MoonIcon = () => <Stroke d="M13.5 9.5A5.8 5.8 0 0 1 6.5 2.5a5.8 5.8 0 1 0 7 7Z" />;
export const SystemIcon = () => <Stroke d="M2 3h12v8H2zM6 14h4M8 11v3" />;
export const CopyIcon = () => <Stroke d="M5.5 5.5h7v8h-7zM3.5 10.5v-8h7" />;

/** Hare is the mark, as in favicon.svg. */
export function Hare(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#4d6b35" />
      <path
        fill="#f4ead9"
        d="M11.2 4.5c-1.7-.2-2.4 1.7-1.9 4.5.4 2.5 1.3 4.6 2.3 6.100C9 16.5 7.5 19 7.5 21.700c0 3.9 3.8 6.3 8.5 6.300s8.5-2.4 8.5-6.300c0-2.7-1.5-5.2-4.1-6.6 1-1.5 1.9-3.6 2.3-6.1.5-2.8-.2-4.7-1.9-4.5-1.9.2-3.7 3.6-4.2 9.300a11 11 0 0 0-1.2 0c-.5-5.7-2.3-9.1-4.2-9.300z"
      />
      <circle cx="12.7" cy="20.5" r="1.4" fill="#3a2a1c" />
      <circle cx="19.3" cy="20.5" r="1.4" fill="#3a2a1c" />
      <path fill="#b5835a" d="M14.7 23.3h2.6L16 24.8z" />
    </svg>
  );
}
