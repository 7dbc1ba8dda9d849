import { readFile } from "node:fs/promises";
import { api, check, path, same, scenario, until, url } from "./steps.mjs";

scenario("users", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  await user.open("/users", "Users");
  await user.button("Add user").click();
  let dialog = user.dialog("Add user");
  await dialog.getByLabel("Name").fill("ada");
  await dialog.getByLabel("Password", { exact: true }).fill("one");
  await dialog.getByLabel("Once more").fill("two");
  await dialog.getByLabel("monitoring").check();
  await user.button("Add user", dialog).click();
  await dialog.getByRole("alert").filter({ hasText: "differ" }).waitFor();
  await dialog.getByLabel("Once more").fill("one");
  await user.button("Add user", dialog).click();
  await dialog.waitFor({ state: "detached" });
  await user.row("ada").getByText("no access").waitFor();
  await user.shot("list");

  await page.getByRole("link", { name: "ada", exact: true }).click();
  await user.heading("ada");
  await user.button("Set permissions…").click();
  dialog = user.dialog("Permissions of ada");
  await dialog.getByLabel("Configure").fill("^mine\\.");
  await dialog.getByLabel("Write").fill("");
  await user.button("Set permissions", dialog).click();
  await page.getByText("^mine\\.", { exact: true }).waitFor();
  same(
    await api("GET", path("permissions", "/", "ada")),
    { user: "ada", vhost: "/", configure: "^mine\\.", write: "", read: ".*" },
    "permissions",
  );

  await user.button("Set permissions…").click();
  await dialog.getByLabel("Configure").fill("(");
  user.expect("/api/permissions");
  await user.button("Set permissions", dialog).click();
  await dialog.getByRole("alert").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await user.button("Set topic permissions…").click();
  dialog = user.dialog("Topic permissions of ada");
  await dialog.getByLabel("Write").fill("^{username}\\.");
  await user.button("Set topic permissions", dialog).click();
  await page.getByText("^{username}\\.", { exact: true }).waitFor();

  await user.button("Set limits…").click();
  dialog = user.dialog("Limits of ada");
  await dialog.getByLabel("Connections at a time").fill("7");
  await user.button("Set limits", dialog).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("definition").filter({ hasText: /^7$/ }).waitFor();
  await user.shot("user");

  // Tags change, the password stays.
  const before = await api("GET", path("users", "ada"));
  await user.button("Change…").click();
  dialog = user.dialog("Change ada");
  await dialog.getByLabel("policymaker").check();
  await user.shot("dialog");
  await user.button("Save", dialog).click();
  await dialog.waitFor({ state: "detached" });
  const after = await api("GET", path("users", "ada"));
  same([...after.tags].sort(), ["monitoring", "policymaker"], "tags");
  same(after.password_hash, before.password_hash, "the password's hash");
  same(after.limits, { "max-connections": 7 }, "limits");

  await user.button("Clear /").click();
  await user.button("Clear", user.dialog("Clear ada’s permissions in /?")).click();
  await page.getByText("It may enter no virtual host.").waitFor();

  user.expect("/ada"); // asked for once more, maybe, while it is deleted
  await user.button("Delete…").click();
  await user.button("Delete user", user.dialog("Delete user ada?")).click();
  await user.heading("Users");
  await user.row("ada").waitFor({ state: "detached" });
  const users = await api("GET", "/api/users");
  check(!users.some((u) => u.name === "ada"), "the user is still there");
});

scenario("virtual hosts", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  await user.open("/vhosts", "Virtual hosts");
  await user.button("Add virtual host").click();
  let dialog = user.dialog("Add virtual host");
  await dialog.getByLabel("Name").fill("shop");
  await dialog.getByLabel("Description").fill("All that the shop sells");
  await user.button("Add virtual host", dialog).click();
  await dialog.waitFor({ state: "detached" });
  await user.shot("list");
  await user.row("shop").getByRole("link", { name: "shop" }).click();
  await user.heading("shop");
  await page.getByRole("link", { name: "guest" }).waitFor(); // who made it may do everything in it
  await user.button("Set limits…").click();
  dialog = user.dialog("Limits of shop");
  await dialog.getByLabel("Queues").fill("3");
  await user.button("Set limits", dialog).click();
  await dialog.waitFor({ state: "detached" });
  same(await api("GET", path("vhost-limits", "shop")), [{ vhost: "shop", value: { "max-queues": 3 } }], "limits");
  await user.shot("one");
  await user.button("Delete…").click();
  dialog = user.dialog("Delete virtual host shop?");
  await dialog.getByLabel("Type shop").fill("shed");
  await user.button("Delete virtual host", dialog).click();
  await dialog.getByRole("alert").waitFor();
  await dialog.getByLabel("Type shop").fill("shop");
  user.expect("/shop"); // asked for once more, maybe, while it is deleted
  await user.button("Delete virtual host", dialog).click();
  await user.heading("Virtual hosts");
  await user.row("shop").waitFor({ state: "detached" });
});

scenario("policies", {}, async (user) => {
  const { page } = user;
  await user.logIn();
  await user.open("/policies", "Policies");
  await user.button("Add policy").click();
  let dialog = user.dialog("Add policy");
  await dialog.getByLabel("Name", { exact: true }).fill("short-lived");
  await dialog.getByLabel("Pattern").fill("^short\\.");
  await user.button("Add", dialog).click();
  await dialog.getByRole("alert").filter({ hasText: "empty" }).waitFor();
  await user.button("message-ttl", dialog).click();
  await dialog.locator(".arg-value:focus").waitFor();
  await page.keyboard.type("60000");
  await user.button("max-length", dialog).click();
  await dialog.locator(".arg:last-child .arg-value:focus").waitFor();
  await page.keyboard.type("500");
  await user.shot("dialog");
  await user.button("Add", dialog).click();
  await user.row("short-lived").getByText("message-ttl 60000").waitFor();
  same(
    (await api("GET", path("policies", "/", "short-lived"))).definition,
    { "message-ttl": 60000, "max-length": 500 },
    "the definition",
  );

  await user.button("Change short-lived").click();
  dialog = user.dialog("Change short-lived");
  await dialog.getByLabel("Priority").fill("5");
  await user.button("Remove max-length", dialog).click();
  await user.button("Save", dialog).click();
  await dialog.waitFor({ state: "detached" });
  const now = await api("GET", path("policies", "/", "short-lived"));
  same([now.priority, now.definition], [5, { "message-ttl": 60000 }], "the policy");
  await user.shot("list");

  await user.button("Operator policies").click();
  await user.button("Add operator policy").click();
  dialog = user.dialog("Add operator policy");
  await dialog.getByLabel("Name", { exact: true }).fill("bound");
  await dialog.getByLabel("Pattern").fill("^bound\\.");
  same(await dialog.getByRole("button", { name: "dead-letter-exchange" }).count(), 0, "what an operator policy cannot say");
  await user.button("max-length", dialog).click();
  await dialog.locator(".arg:last-child .arg-value:focus").waitFor();
  await page.keyboard.type("1000000");
  await user.button("Add", dialog).click();
  await user.row("bound").getByText("max-length 1000000").waitFor();
  await user.button("Delete bound").click();
  await user.button("Delete", user.dialog("Delete operator policy bound?")).click();
  await page.getByText("There is no operator policy").waitFor();
  await user.button("Policies").click();
  await user.button("Delete short-lived").click();
  await user.button("Delete", user.dialog("Delete policy short-lived?")).click();
  await user.row("short-lived").waitFor({ state: "detached" });
});

scenario("definitions", {}, async (user) => {
  const { page } = user;
  await api("PUT", path("queues", "/", "defined"), { durable: true });
  await user.logIn();
  await user.open("/definitions", "Definitions");
  const [download] = await Promise.all([page.waitForEvent("download"), user.button("Download").click()]);
  same(download.suggestedFilename(), "leveret-definitions.json", "the file's name");
  const text = await readFile(await download.path(), "utf8");
  const definitions = JSON.parse(text);
  check(
    definitions.queues.some((q) => q.name === "defined"),
    "the queue is not in the file",
  );

  await page.getByLabel("File").setInputFiles({ name: "bad.json", mimeType: "application/json", buffer: Buffer.from("[1,") });
  await page.getByRole("alert").filter({ hasText: "no definitions" }).waitFor();
  await api("DELETE", path("queues", "/", "defined"));
  await page.getByLabel("File").setInputFiles({ name: "good.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await page.getByRole("definition").first().waitFor();
  await user.shot("file");
  await user.button("Import…").click();
  await user.button("Import", user.dialog("Import good.json?")).click();
  await user.told("good.json was imported");
  await api("GET", path("queues", "/", "defined"));
  await api("DELETE", path("queues", "/", "defined"));
});

scenario("audit log", {}, async (user) => {
  const { page } = user;
  await fetch(url + "/api/whoami", { headers: { Authorization: "Basic " + Buffer.from("mallory:guess").toString("base64") } });
  await api("PUT", path("users", "audited"), { password: "x", tags: "" });
  await user.logIn();
  await user.open("/audit", "Audit log");
  await page.getByRole("row").filter({ hasText: "login.refused" }).filter({ hasText: "mallory" }).first().waitFor();
  await page.getByRole("row").filter({ hasText: "user.created" }).filter({ hasText: "audited" }).first().waitFor();
  await user.shot("all");
  // What happens now comes by itself.
  await api("DELETE", path("users", "audited"));
  await page.getByRole("row").filter({ hasText: "user.deleted" }).filter({ hasText: "audited" }).first().waitFor();
  await page.getByLabel("Show").selectOption("login");
  await until("logins alone", async () => (await page.getByRole("row").filter({ hasText: "user.created" }).count()) === 0);
  await page.getByRole("row").filter({ hasText: "mallory" }).first().waitFor();
  same(await page.evaluate(() => location.hash), "#/audit?type=login", "the address");
  // More than a page of them.
  for (let i = 0; i < 120; i++) await api("PUT", path("user-limits", "guest", "max-channels"), { value: 5000 + i });
  await api("DELETE", path("user-limits", "guest", "max-channels"));
  await page.getByLabel("Show").selectOption("");
  await until("a page of entries", async () => (await page.getByRole("row").count()) > 100);
  const shown = await page.getByRole("row").count();
  await user.button("Older entries").click();
  await until("older entries", async () => (await page.getByRole("row").count()) > shown);
});

scenario("storage", {}, async (user) => {
  const { page } = user;
  await api("PUT", path("queues", "/", "kept"), { durable: true });
  await api("POST", path("exchanges", "/", "amq.default", "publish"), {
    routing_key: "kept",
    payload: "a message that stays",
    payload_encoding: "string",
    properties: { delivery_mode: 2 },
  });
  await user.logIn();
  await user.open("/storage", "Storage");
  await page.getByText("Sync, median").waitFor();
  const syncs = () => page.locator(".strip > *").filter({ hasText: "Syncs" }).locator(".v").textContent();
  const first = await syncs();
  await until("syncs are counted on", async () => (await syncs()) !== first);
  await until("the chart of syncs has lines", () =>
    page.evaluate(() => {
      const canvas = document.querySelector('figure[aria-label="How long a sync takes"] canvas');
      const marks = canvas?.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return marks?.some((v, i) => i % 4 === 3 && v > 0);
    }),
  );
  await page.getByRole("row").filter({ hasText: "Log" }).first().waitFor();
  // All that the page wants to show the API has.
  await until(
    "no figure is missing",
    async () => !(await page.locator(".strip .v, .facts dd").allTextContents()).some((t) => t.includes("–")),
  );
  await api("DELETE", path("queues", "/", "kept"));
  await user.shot("page");
  await user.button("1 h").click();
  await until("the address has the span", () => page.evaluate(() => location.hash.includes("span=3600")));
});
