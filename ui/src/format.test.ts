import { equal } from "node:assert/strict";
import { test } from "node:test";
import { bytes, count, duration, moment, plural, rate, short, text } from "./format.ts";

test("a number that is not known is a dash, whatever it would be", () => {
  for (const f of [count, short, rate, bytes, duration]) for (const n of [undefined, null, NaN, Infinity]) equal(f(n), "–");
  equal(moment(null), "–");
  equal(moment(""), "–");
});

test("numbers in short keep what matters, and round up into the next unit", () => {
  equal(short(0), "0");
  equal(short(9999), "9,999");
  equal(short(10_000), "10k");
  equal(short(12_345), "12.3k");
  equal(short(999_400), "999k");
  equal(short(999_940), "1M");
  equal(short(1_500_000), "1.5M");
  equal(short(2e9), "2G");
  equal(short(-12_345), "-12.3k");
});

test("a rate that is small is not shown as none", () => {
  equal(rate(0), "0");
  equal(rate(0.01), "<0.1");
  equal(rate(0.24), "0.2");
  equal(rate(9.96), "10");
  equal(rate(1234), "1,234");
});

test("sizes count in steps of 1024", () => {
  equal(bytes(0), "0 B");
  equal(bytes(1023), "1023 B");
  equal(bytes(1024), "1.0 KiB");
  equal(bytes(1023.99 * 1024), "1.0 MiB");
  equal(bytes(150 * 1024), "150 KiB");
  equal(bytes(5.5 * 1024 ** 3), "5.5 GiB");
});

test("durations name their two largest parts", () => {
  equal(duration(12), "12 ms");
  equal(duration(59_999), "59 s");
  equal(duration(60_000), "1 min");
  equal(duration(61_000), "1 min 1 s");
  equal(duration(3_600_000 * 25), "1 d 1 h");
});

test("a moment that is none is shown as it came", () => {
  equal(moment(0), "1970-01-01 00:00:00");
  equal(moment("2026-11-22T07:24:37.731+00:00"), "2026-11-22 07:24:37");
  equal(moment("yesterday"), "yesterday");
});

test("one is no plural, and values of JSON are one line", () => {
  equal(plural(1, "queue"), "1 queue");
  equal(plural(0, "queue"), "0 queues");
  equal(plural(2, "more is", "more are"), "2 more are");
  equal(text({ a: [1, "b"] }), '{"a":[1,"b"]}');
  equal(text("as it is"), "as it is");
  equal(text(undefined), "");
});
