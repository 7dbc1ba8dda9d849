// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en");

/** count is a number with its thousands apart. */
export function count(n: number | undefined | null): string {
  return n === undefined || n === null || !Number.isFinite(n) ? "–" : whole.format(Math.round(n));
}

/** short is a number in at most five characters or so: 12.3k. */
export function short(n: number | undefined | null): string {
  if (n === undefined || n === null || !Number.isFinite(n)) return "–";
  const abs = Math.abs(n);
  if (abs >= 999.5e6) return trim(n / 1e9) + "G";
  if (abs >= 999.5e3) return trim(n / 1e6) + "M";
  if (abs >= 9999.5) return trim(n / 1e3) + "k";
  return whole.format(Math.round(n));
}

function trim(n: number): string {
  return Math.abs(n) >= 100 ? n.toFixed(0) : n.toFixed(1).replace(/\.0$/, "");
}

/** rate is so many a second; small ones keep a digit. */
export function rate(n: number | undefined | null): string {
  if (n === undefined || n === null || !Number.isFinite(n)) return "–";
  if (n === 0) return "0";
  if (Math.abs(n) < 0.05) return "<0.1";
  return Math.abs(n) < 10 ? n.toFixed(1).replace(/\.0$/, "") : short(n);
}

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** bytes is a size. */
export function bytes(n: number | undefined | null): string {
  if (n === undefined || n === null || !Number.isFinite(n)) return "–";
  let i = 0;
  let v = n;
  while (Math.abs(v) >= (i === 0 ? 1024 : 1023.5) && i < units.length - 1) {
    v /= 1024;
    i++;
  }
  return (i === 0 ? String(Math.round(v)) : Math.abs(v) >= 100 ? v.toFixed(0) : v.toFixed(1)) + " " + units[i];
}

/** duration of so many ms, in its two largest parts. */
export function duration(ms: number | undefined | null): string {
  if (ms === undefined || ms === null || !Number.isFinite(ms)) return "–";
  const s = Math.floor(ms / 1000);
  if (s < 1) return Math.round(ms) + " ms";
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s % 60 ? " " + (s % 60) + " s" : "");
  const h = Math.floor(s / 3600);
  if (h < 24) return h + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(h / 24) + " d " + (h % 24) + " h";
}

/** moment is a point in time, to the second, in the reader's own zone. */
export function moment(t: number | string | undefined | null): string {
  if (t === undefined || t === null || t === "") return "–";
  const d = new Date(t);
  if (Number.isNaN(d.getTime())) return String(t);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** plural is "1 queue" or "2 queues". */
export function plural(n: number, one: string, many = one + "s"): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** text is any value of JSON, as one line. */
export function text(v: unknown): string {
  return typeof v === "string" ? v : (JSON.stringify(v) ?? "");
}
