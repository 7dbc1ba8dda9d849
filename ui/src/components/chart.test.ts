import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { lengths, nice, rates, sampled, spanOf } from "./chart.tsx";

// The API has the newest sample first.
const details = {
  rate: 0,
  samples: [
    { sample: 30, timestamp: 15_000 },
    { sample: 30, timestamp: 10_000 },
    { sample: 10, timestamp: 5_000 },
  ],
};

test("lengths are the samples, oldest first", () => {
  deepEqual(lengths(details), [
    [5, 10],
    [10, 30],
    [15, 30],
  ]);
  deepEqual(lengths(undefined), []);
});

test("rates are a counter's steps by the seconds between them", () => {
  deepEqual(rates(details), [
    [10, 4],
    [15, 0],
  ]);
});

test("a counter that begins anew has no negative rate, and two samples of one moment none", () => {
  deepEqual(
    rates({
      rate: 0,
      samples: [
        { sample: 1, timestamp: 5000 },
        { sample: 50, timestamp: 0 },
      ],
    }),
    [[5, 0]],
  );
  deepEqual(
    rates({
      rate: 0,
      samples: [
        { sample: 1, timestamp: 0 },
        { sample: 0, timestamp: 0 },
      ],
    }),
    [],
  );
});

test("a scale ends above the highest value, at a number that reads well", () => {
  for (const max of [1, 7, 9.99, 10, 99, 123, 1024, 1e6, 3.3e9]) {
    for (const base of [10, 1024]) equal(nice(max, base) >= max, true, `${max} on ${base}`);
  }
  equal(nice(null, 10), 1);
  equal(nice(0, 10), 1);
  equal(nice(130, 10), 150);
  equal(nice(900, 10), 1000);
  equal(nice(3000, 1024), 4096);
  equal(nice(1000 * 1024, 1024), 2 * 1024 * 1024);
});

test("a span that is not offered is ten minutes, and a long one has wide steps", () => {
  equal(spanOf("7"), "600");
  equal(spanOf(null), "600");
  equal(sampled("3600", "lengths", "msg_rates"), "lengths_age=3600&lengths_incr=30&msg_rates_age=3600&msg_rates_incr=30");
});
