import { api, check, path, place, same, scenario, until } from "./steps.mjs";

/** drawn is what a chart shows, as something that can be compared. */
function drawn(page, label) {
  return page.evaluate((label) => document.querySelector(`figure[aria-label="${label}"] canvas`)?.toDataURL(), label);
}

scenario("overview", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  // Traffic flows: the chart has lines, and moves on as time passes.
  const rate = () =>
    page.locator('figure[aria-label="Message rates"] .legend button', { hasText: "Publish" }).locator("b").textContent();
  await until("the rate of publishing is seen", async () => Number(await rate()) > 10, 40_000);
  const first = await drawn(page, "Message rates");
  await until("the chart moves", async () => (await drawn(page, "Message rates")) !== first);
  await user.shot("light", { fullPage: true });
  await page.locator('figure[aria-label="Messages in queues"] canvas').waitFor();
  await user.button("1 min").click();
  await until("the address has the span", () => page.evaluate(() => location.hash.includes("span=60")));
});

scenario("a queue's life", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  await page.getByRole("link", { name: "Queues" }).first().click();
  await user.heading("Queues");
  await user.button("Declare a queue").click();
  let dialog = user.dialog("Declare a queue");
  await dialog.getByLabel("Name", { exact: true }).fill("orders");
  await user.button("x-max-priority", dialog).click();
  await user.shot("declare");
  await user.button("Declare", dialog).click();
  await user.heading("orders");
  same((await api("GET", path("queues", "/", "orders"))).arguments, { "x-max-priority": 10 }, "arguments");

  await user.button("Publish…").click();
  dialog = user.dialog("Publish to queue orders");
  await dialog.getByLabel("Payload", { exact: true }).fill('{"item": "clover", "count": 3}');
  await user.button("content_type", dialog).click();
  await user.button("Publish", dialog).click();
  await user.told("Published 1 message");
  await dialog.getByLabel("Payload", { exact: true }).fill("a second message");
  await dialog.getByLabel("How many times").fill("4");
  await user.button("Publish", dialog).click();
  await user.told("Published 4 messages");
  await user.shot("publish");
  await user.button("Close", dialog).first().click();
  await dialog.waitFor({ state: "detached" });

  // The depth is seen to rise, in number and chart.
  await until(
    "the depth is five",
    async () => (await page.locator(".strip > *", { hasText: "Ready" }).first().locator(".v").textContent()) === "5",
  );
  const legend = page.locator('figure[aria-label="Messages in the queue"] .legend button', { hasText: "Ready" }).locator("b");
  await until("the chart shows five", async () => (await legend.textContent()) === "5", 40_000);
  await user.shot("depth");

  // Peek, at the head and further on, changes nothing.
  await page
    .getByRole("navigation", { name: "Parts of the queue" })
    .getByRole("link", { name: /^Messages/ })
    .click();
  await page.getByRole("row").filter({ hasText: "clover" }).waitFor();
  await page.locator(".disclose").first().click();
  await page.locator("pre.payload", { hasText: '"count": 3' }).waitFor();
  await page.getByText("application/json").first().waitFor();
  await user.shot("peek");
  await page.getByLabel("From position").fill("4");
  await page.getByLabel("From position").press("Enter");
  await until("one message is left from there on", async () => (await page.locator(".disclose").count()) === 1);
  const seen = JSON.parse(
    JSON.stringify(
      (await api("POST", path("queues", "/", "orders", "get"), { count: 1, ackmode: "ack_requeue_true", encoding: "auto" }))[0],
    ),
  );
  same([seen.redelivered, seen.message_count], [false, 4], "a message after it was peeked at");

  // Get, and take one away.
  await user.button("Get…").click();
  dialog = user.dialog("Get messages from orders");
  await dialog.getByLabel("Afterwards").selectOption("ack_requeue_false");
  await user.button("Get and take away", dialog).click();
  await dialog.locator("pre.payload", { hasText: "clover" }).waitFor();
  await user.shot("get");
  await user.button("Close", dialog).first().click();
  await until(
    "four are left",
    async () => (await api("GET", path("queues", "/", "orders", "peek") + "?count=10")).messages === 4,
  );

  // Bind, route through the exchange, unbind.
  await user.button("Bind…").click();
  dialog = user.dialog("Bind queue orders");
  await dialog.getByLabel("From exchange").fill("amq.topic");
  await dialog.getByLabel("Routing key").fill("order.#");
  await user.button("Bind", dialog).click();
  await dialog.waitFor({ state: "detached" });
  await user.open(place("exchanges", "/", "amq.topic"), "amq.topic");
  await page.getByRole("row").filter({ hasText: "order.#" }).waitFor();
  await user.button("Publish…").click();
  dialog = user.dialog("Publish to exchange amq.topic");
  await dialog.getByLabel("Routing key").fill("order.new");
  await dialog.getByLabel("Payload", { exact: true }).fill("by topic");
  await user.button("Publish", dialog).click();
  await user.told("Published 1 message");
  await dialog.getByLabel("Routing key").fill("elsewhere");
  await user.button("Publish", dialog).click();
  await user.told("reached no queue");
  same(
    (await api("GET", path("queues", "/", "orders", "peek") + "?count=10")).items.map((m) => m.routing_key).at(-1),
    "order.new",
    "the newest message's routing key",
  );
  await user.button("Close", dialog).first().click();
  await user.shot("exchange");
  await user.button("Unbind orders from amq.topic").click();
  await user.button("Unbind", user.dialog("Unbind")).click();
  await page.getByRole("row").filter({ hasText: "order.#" }).waitFor({ state: "detached" });

  await user.open(place("queues", "/", "orders") + "?tab=storage", "orders");
  await page
    .getByText(/compress|segment|log/i)
    .first()
    .waitFor();
  await user.shot("storage");
  await user.button("Purge…").click();
  await user.button("Purge", user.dialog("Purge orders")).click();
  await user.told("purged");
  same((await api("GET", path("queues", "/", "orders", "peek") + "?count=10")).messages, 0, "messages after the purge");
  user.expect("/orders"); // asked for once more, maybe, while it is deleted
  await user.button("Delete…").click();
  await user.button("Delete", user.dialog("Delete orders")).click();
  await user.heading("Queues");
  await page.getByRole("link", { name: "orders", exact: true }).waitFor({ state: "detached" });
  const queues = await api("GET", "/api/queues");
  check(!queues.some((q) => q.name === "orders"), "the queue is still there");
});

scenario("an exchange's life", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  await user.open("/exchanges", "Exchanges");
  await user.button("Declare an exchange").click();
  const dialog = user.dialog("Declare an exchange");
  await dialog.getByLabel("Name", { exact: true }).fill("fields");
  await dialog.getByLabel("Type", { exact: true }).selectOption("fanout");
  await user.button("Declare", dialog).click();
  await user.heading("fields");
  same((await api("GET", path("exchanges", "/", "fields"))).type, "fanout", "its type");
  user.expect("/fields");
  await user.button("Delete…").click();
  await user.button("Delete", user.dialog("Delete the exchange")).click();
  await user.heading("Exchanges");
  await page.getByRole("link", { name: "fields", exact: true }).waitFor({ state: "detached" });
});

scenario("lists", {}, async (user) => {
  const { page } = user;
  for (let i = 0; i < 120; i++) await api("PUT", path("queues", "/", `list.${String(i).padStart(3, "0")}`), { durable: true });
  await api("POST", path("exchanges", "/", "amq.default", "publish"), {
    routing_key: "list.077",
    payload: "x",
    payload_encoding: "string",
    properties: {},
  });
  await user.logIn();
  await user.open("/queues", "Queues");
  await page.getByRole("link", { name: "list.000" }).waitFor();
  await user.button("Next ›").click();
  await page.getByRole("link", { name: "list.060" }).waitFor();
  await user.shot("second-page");

  await page.keyboard.press("/");
  await page.keyboard.type("list.07");
  await until("ten are found", async () => (await page.getByRole("link", { name: /^list\./ }).count()) === 10);
  await user.button("Ready").click();
  await until(
    "the longest is first",
    async () =>
      (await page
        .getByRole("link", { name: /^list\./ })
        .first()
        .textContent()) === "list.077",
  );
  await user.shot("search");
  // The place can be kept: it says all of this.
  await page.reload();
  await until(
    "the reloaded page is the same",
    async () =>
      (await page
        .getByRole("link", { name: /^list\./ })
        .first()
        .textContent()
        .catch(() => "")) === "list.077",
  );
  await page.getByRole("searchbox").fill("list.0[01]5");
  await user.button("Search by regular expression").click();
  await until("two match", async () => (await page.getByRole("link", { name: /^list\./ }).count()) === 2);
  await page.getByRole("searchbox").fill("nothing like it");
  await page.getByText("No queue matches").waitFor();
  await page.getByRole("searchbox").press("Escape");
  for (let i = 0; i < 120; i++) await api("DELETE", path("queues", "/", `list.${String(i).padStart(3, "0")}`));
});

scenario("connections", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  await user.open("/connections", "Connections");
  await page.getByRole("link", { name: "traffic" }).click();
  await user.heading("traffic");
  await page.getByText("AMQP 0-9-1").first().waitFor();
  await user.shot("one");
  await user.open("/channels", "Channels");
  await page.getByRole("row").nth(1).waitFor();
  await user.shot("channels");
  await user.open("/consumers", "Consumers");
  await page.getByRole("row").filter({ hasText: "reader" }).waitFor();
  await page.getByRole("link", { name: "flow" }).first().click();
  await user.heading("flow");
  await user.open("/bindings", "Bindings");
  await page.getByRole("row").filter({ hasText: "flow" }).waitFor();
  await user.open("/nothing/here", "Nothing here");
});
