import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { link, place, withQuery } from "./router.ts";

function at(href: string): ReturnType<typeof place> {
  Object.assign(globalThis, { location: { href } });
  return place();
}

test("a name with any character in it comes back from the address as it was", () => {
  for (const name of ["/", "a/b", "100%", "%2F", "?x=1#y", "ü 日本", '<b>"&', " ", "..", "+"]) {
    deepEqual(at("http://h/" + link("queues", name, name)).parts, ["queues", name, name], JSON.stringify(name));
  }
});

test("a link's parameters are the place's, and empty ones are left out", () => {
  const href = withQuery(link("queues", "/", "q?"), { tab: "messages", span: "", name: undefined, like: "a&b=c" });
  const here = at("http://h/" + href);
  deepEqual(here.parts, ["queues", "/", "q?"]);
  equal(here.query.get("tab"), "messages");
  equal(here.query.get("like"), "a&b=c");
  equal(here.query.has("span"), false);
});

test("an address without a place is the first page, and one that somebody mistyped does no harm", () => {
  deepEqual(at("http://h/").parts, []);
  deepEqual(at("http://h/#").parts, []);
  deepEqual(at("http://h/#/").parts, []);
  deepEqual(at("http://h/#/queues/").parts, ["queues"]);
  deepEqual(at("http://h/#/queues/%zz/x").parts, ["queues", "%zz", "x"]);
});
