import { api, check, path, place, same, scenario, until } from "./steps.mjs";

const names = [
  `<script>window.pwned=1</script>`,
  `"><img src=x onerror="window.pwned=2">`,
  `'; window.pwned=3; //`,
  `javascript:window.pwned=4`,
  `日本語 🐇 ‮gnp.exe‬ é`,
  `a/b?c#d%2F&e=f;g+h`,
  ` leading and trailing `,
  `{{7*7}} \${7*7} <%= 7*7 %>`,
  "x".repeat(255),
  "&lt;b&gt;",
  "..x/../y",
];

scenario("names that are not nice", {}, async (user) => {
  const { page } = user;
  const made = [];
  const put = async (p, body, header) => {
    await api("PUT", p, body, header);
    made.unshift(p);
  };
  for (const n of names) {
    await put(path("vhosts", n), { description: n });
    await put(path("users", n), { password: "x", tags: n.replaceAll(",", "") });
    await put(path("permissions", n, "guest"), { configure: ".*", write: ".*", read: ".*" });
    await put(path("exchanges", n, n), { type: "topic", durable: true });
    await put(path("queues", n, n), { durable: true, arguments: { "x-dead-letter-exchange": n } });
    await put(path("policies", n, n), { pattern: "^$", definition: { "dead-letter-routing-key": n }, "apply-to": "queues" });
    await put(path("topic-permissions", n, n), { exchange: n, write: "^a$", read: "^b$" });
    await api("POST", path("bindings", n, "e", n, "q", n), { routing_key: n.slice(0, 255), arguments: { [n.slice(0, 100)]: n } });
    await api("POST", path("exchanges", n, n, "publish"), {
      routing_key: n,
      payload: n,
      payload_encoding: "string",
      properties: { headers: { [n.slice(0, 100)]: n }, correlation_id: n, content_type: n },
    });
  }
  await user.logIn();
  const text = (n) => page.getByText(n.trim(), { exact: true }).first().waitFor({ state: "attached" });
  for (const [at, heading] of [
    ["/queues", "Queues"],
    ["/exchanges", "Exchanges"],
    ["/bindings", "Bindings"],
    ["/vhosts", "Virtual hosts"],
    ["/users", "Users"],
    ["/policies", "Policies"],
  ]) {
    await user.open(at + (at === "/exchanges" ? "?size=500" : ""), heading);
    for (const n of names) await text(n);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(over <= 0, `${heading} is wider than the window by ${over} px: tables scroll by themselves`);
    if (at === "/queues" || at === "/bindings") await user.shot(heading, { fullPage: true });
  }
  await user.open("/audit", "Audit log");
  await text(names[0]);
  for (const n of names) {
    await user.open(place("queues", n, n), n.trim());
    await page
      .getByRole("navigation", { name: "Parts of the queue" })
      .getByRole("link", { name: /^Messages/ })
      .click();
    await page.locator(".disclose").click();
    await until("the payload is shown as it is", async () => (await page.locator("pre.payload").textContent()) === n);
    await page
      .getByRole("navigation", { name: "Parts of the queue" })
      .getByRole("link", { name: /^Bindings/ })
      .click();
    await text(n);
    await user.open(place("exchanges", n, n), n.trim());
    await text(n);
    await user.open(place("users", n), n.trim());
    await text("^a$");
    await user.open(place("vhosts", n), n.trim());
    await text("guest");
  }
  await user.open(place("queues", names[0], names[0]) + "?tab=messages", names[0]);
  await page.locator(".disclose").click();
  await user.shot("message");
  for (const p of made.filter((p) => p.startsWith("/api/vhosts") || p.startsWith("/api/users"))) await api("DELETE", p);
});

scenario("keyboard alone", {}, async (user) => {
  const { page } = user;
  const press = (...keys) => keys.reduce((done, k) => done.then(() => page.keyboard.press(k)), Promise.resolve());
  const focused = () =>
    page.evaluate(
      () =>
        document.activeElement?.textContent?.trim() ||
        document.activeElement?.getAttribute("aria-label") ||
        document.activeElement?.tagName,
    );
  /** reach goes on with Tab until what has the focus is called so. */
  const reach = async (what) => {
    for (let i = 0; i < 80; i++) {
      if ((await focused()) === what) return;
      await press("Tab");
    }
    throw new Error(`Tab does not reach ${what}; it stays at ${await focused()}`);
  };
  await page.goto("/");
  await page.locator("input[name=username]:focus").waitFor();
  await page.keyboard.type("guest");
  await press("Tab");
  await page.keyboard.type("guest");
  await press("Enter");
  await user.heading("Overview");
  await press("g", "q");
  await user.heading("Queues");
  await reach("Declare a queue");
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check(ring !== "none", "what has the focus is not seen to have it");
  await user.shot("focus");
  await press("Enter");
  await user.dialog("Declare a queue").waitFor();
  await page.keyboard.type("typed");
  await press("Enter");
  await user.heading("typed");
  await reach("Publish…");
  await press("Enter");
  await user.dialog("Publish to queue typed").waitFor();
  await reach("Publish");
  await press("Enter");
  await user.told("Published 1 message");
  await press("Escape");
  await user.dialog("Publish to queue typed").waitFor({ state: "detached" });
  same(await focused(), "Publish…", "where the focus is after the dialog");
  await reach("Delete…");
  await press("Enter");
  user.expect("/typed"); // asked for once more, maybe, while it is deleted
  await user.dialog("Delete typed").waitFor();
  await reach("Delete");
  await press("Enter");
  await user.heading("Queues");
  await page.getByRole("link", { name: "typed", exact: true }).waitFor({ state: "detached" });
  await press("?");
  await user.dialog("Keys").waitFor();
  await press("Escape");
  await reach("Sign out");
  await press("Enter");
  await page.getByLabel("User").waitFor();
});

/** All places, with the heading of each. */
const places = [
  ["/", "Overview"],
  ["/connections", "Connections"],
  ["/channels", "Channels"],
  ["/consumers", "Consumers"],
  ["/exchanges", "Exchanges"],
  ["/queues", "Queues"],
  ["/bindings", "Bindings"],
  ["/storage", "Storage"],
  ["/policies", "Policies"],
  ["/vhosts", "Virtual hosts"],
  ["/users", "Users"],
  ["/definitions", "Definitions"],
  ["/audit", "Audit log"],
  [place("queues", "/", "flow"), "flow"],
  [place("queues", "/", "flow") + "?tab=messages", "flow"],
  [place("queues", "/", "flow") + "?tab=consumers", "flow"],
  [place("queues", "/", "flow") + "?tab=storage", "flow"],
  [place("exchanges", "/", "amq.topic"), "amq.topic"],
  [place("users", "guest"), "guest"],
  [place("vhosts", "/"), "/"],
];

/** settled waits until nothing on the page is still to come. */
async function settled(page) {
  await until("all is there", async () => (await page.locator(".empty", { hasText: /^…$/ }).count()) === 0);
  await page.waitForLoadState("networkidle");
}

/** unnamed are the things to press or fill in that a screen reader has no words for. */
function unnamed() {
  const nameless = (el) =>
    !el.closest("[hidden]") &&
    !(el.getAttribute("aria-label") ?? "").trim() &&
    !el.getAttribute("aria-labelledby") &&
    !(el.labels && [...el.labels].some((l) => l.textContent.trim())) &&
    !(el.matches("a, button") && el.textContent.trim());
  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  return [
    ...[...document.querySelectorAll("a[href], button, input, select, textarea")]
      .filter(nameless)
      .map((el) => el.outerHTML.slice(0, 120)),
    ...[...document.querySelectorAll("img:not([alt])")].map((el) => el.outerHTML.slice(0, 120)),
    ...ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => `two elements have the id ${id}`),
  ];
}

scenario(
  "phone",
  { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
  async (user) => {
    const { page } = user;
    const long = "a.very.long.name.".repeat(14);
    await api("PUT", path("queues", "/", long), { durable: true, arguments: { "x-dead-letter-exchange": long } });
    await api("PUT", path("policies", "/", long), { pattern: "^" + long, definition: { "dead-letter-exchange": long } });
    await user.logIn();
    const wide = [];
    for (const [at, heading] of [...places, [place("queues", "/", long), long]]) {
      await user.open(at, heading);
      await settled(page);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) wide.push(`${at} by ${over} px`);
      await user.shot(heading.slice(0, 20) + (at.includes("tab=") ? at.split("tab=")[1] : ""));
    }
    same(wide, [], "pages that are wider than the phone");
    await user.button("Menu").click();
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Queues" }).click();
    await user.heading("Queues");
    await user.button("Declare a queue").click();
    await user.dialog("Declare a queue").waitFor();
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(over <= 0, `the dialog makes the page wider by ${over} px`);
    await user.shot("dialog");
    await api("DELETE", path("policies", "/", long));
    await api("DELETE", path("queues", "/", long));
  },
);

/** contrast of the text that is seen, WCAG's ratio: the places where it is under 4.5. */
function faint() {
  const parse = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
  const linear = (v) => ((v /= 255), v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (el) => {
    for (; el; el = el.parentElement) {
      const c = getComputedStyle(el).backgroundColor;
      if (!/^rgba?\(/.test(c)) return null; // a mixed colour: not judged here
      const [r, g, b, a = 1] = parse(c);
      if (a === 1) return [r, g, b];
      if (a > 0) return null;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const el = n.parentElement;
    if (!n.data.trim() || !el.checkVisibility({ opacityProperty: true }) || el.closest(":disabled, .sr, .zero")) continue;
    const style = getComputedStyle(el);
    const back = behind(el);
    if (!back || style.opacity !== "1" || !/^rgb\(/.test(style.color)) continue;
    const [x, y] = [light(parse(style.color)), light(back)].sort((a, b) => b - a);
    const ratio = (x + 0.05) / (y + 0.05);
    if (ratio < 4.5)
      found.add(`${el.tagName.toLowerCase()}.${el.className}, as in “${n.data.trim().slice(0, 30)}”: ${ratio.toFixed(1)}`);
  }
  return [...found];
}

for (const colorScheme of ["light", "dark"]) {
  scenario(`${colorScheme} look`, { colorScheme }, async (user) => {
    const { page } = user;
    await page.goto("/");
    await page.getByLabel("User").waitFor();
    const pale = new Map(); // by element, the first place where it was seen
    const look = async (at) => {
      for (const f of await page.evaluate(faint)) if (!pale.has(f.split(",")[0])) pale.set(f.split(",")[0], `${at}: ${f}`);
    };
    await look("login");
    await user.shot("login");
    await user.logIn();
    const ground = await page.evaluate(() =>
      getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).slice(0, 3).map(Number),
    );
    check(
      ground.every((v) => (colorScheme === "dark" ? v < 80 : v > 180)),
      `the ground is ${ground}`,
    );
    for (const [at, heading] of places) {
      await user.open(at, heading);
      await settled(page);
      await look(at);
      same(await page.evaluate(unnamed), [], `what has no name at ${at}`);
      await user.shot(heading + (at.includes("tab=") ? at.split("tab=")[1] : ""));
    }
    same([...pale.values()], [], "text that is hard to read");
  });
}

scenario("colours are chosen", { colorScheme: "light" }, async (user) => {
  const { page } = user;
  await user.logIn();
  const dark = () => page.evaluate(() => document.documentElement.dataset.theme === "dark");
  check(!(await dark()), "it is dark in a light system");
  const button = page.getByRole("button", { name: /^Colours are/ });
  for (let i = 0; i < 3 && !(await dark()); i++) await button.click();
  check(await dark(), "it does not become dark");
  await page.reload();
  await user.heading("Overview");
  check(await dark(), "the choice is forgotten");
});
