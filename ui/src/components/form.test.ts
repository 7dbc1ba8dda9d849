import { deepEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { argsOf, table, type Arg } from "./form.tsx";

const arg = (key: string, value: string, type: Arg["type"]): Arg => ({ key, value, type });

test("arguments keep the types that were chosen for them", () => {
  deepEqual(
    table([
      arg("n", " 12 ", "number"),
      arg("s", "12", "string"),
      arg("b", "true", "boolean"),
      arg("l", '["a",1]', "json"),
      arg("", "", "string"),
    ]),
    { n: 12, s: "12", b: true, l: ["a", 1] },
  );
});

test("what is no number, no JSON, named twice or not at all is refused with the reason", () => {
  throws(() => table([arg("x-message-ttl", "soon", "number")]), /x-message-ttl: “soon” is not a number/);
  throws(() => table([arg("x-message-ttl", "", "number")]), /is not a number/);
  throws(() => table([arg("l", "[1", "json")]), /l: not valid JSON/);
  throws(() => table([arg("a", "1", "string"), arg("a", "2", "string")]), /a is given twice/);
  throws(() => table([arg("", "1", "string")]), /a value but no name/);
});

test("a table that is edited and left alone is the same table", () => {
  const t = { n: 1.5, s: "", b: false, l: [1, { a: null }], t: { k: "v" }, z: null };
  deepEqual(table(argsOf(t)), t);
});

test("names that objects have by birth are names like others", () => {
  for (const name of ["constructor", "toString", "__proto__"]) {
    deepEqual(JSON.stringify(table([arg(name, "x", "string")])), `{"${name}":"x"}`);
  }
});
