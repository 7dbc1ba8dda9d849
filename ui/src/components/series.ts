// The lines of the charts that several pages have.

import type { Lengths, MessageStats } from "../types.ts";
import { lengths, rates, type Details, type Series } from "./chart.tsx";

/** rateSeries are the lines of a chart of message rates. */
export function rateSeries(
  s: MessageStats | undefined,
  what: readonly (readonly [string, keyof MessageStats, string])[],
): Series[] {
  return what.map(([label, key, color]) => ({
    label,
    color,
    points: rates(s?.[`${key}_details` as keyof MessageStats] as Details | undefined),
  }));
}

export const broad = [
  ["Publish", "publish", "--c-publish"],
  ["Confirm", "confirm", "--c-confirm"],
  ["Deliver", "deliver_get", "--c-deliver"],
  ["Ack", "ack", "--c-ack"],
  ["Redelivered", "redeliver", "--c-redeliver"],
  ["Unroutable", "return_unroutable", "--c-return"],
] as const;

export function depthSeries(l: Lengths | undefined): Series[] {
  return [
    { label: "Total", color: "--c-total", points: lengths(l?.messages_details) },
    { label: "Ready", color: "--c-ready", points: lengths(l?.messages_ready_details) },
    { label: "Unacked", color: "--c-unacked", points: lengths(l?.messages_unacknowledged_details) },
  ];
}
