import { api, check, path, same, scenario, until } from "./steps.mjs";

scenario("login", {}, async (user) => {
  const { page, context } = user;
  await page.goto("/");
  await page.locator("input[name=username]:focus").waitFor();
  await user.shot("form");

  await page.getByLabel("User").fill("guest");
  await page.getByLabel("Password").fill("wrong");
  user.expect("/page/session");
  await user.button("Log in").click();
  await page.getByRole("alert").filter({ hasText: "Login failed" }).waitFor();
  await user.shot("refused");
  same(await context.cookies(), [], "cookies after a login that was refused");

  await page.getByLabel("Password").fill("guest");
  await page.keyboard.press("Enter");
  await user.heading("Overview");
  const [cookie] = await context.cookies();
  check(cookie.httpOnly && cookie.sameSite === "Strict" && cookie.expires === -1, `cookie ${JSON.stringify(cookie)}`);
  same(await page.evaluate(() => document.cookie), "", "what a script sees of the cookie");

  // The session outlives the page, but not a logout.
  await page.reload();
  await user.heading("Overview");
  await user.button("Sign out").click();
  await page.getByLabel("User").waitFor();
  same(await context.cookies(), [], "cookies after the logout");
  await page.goto("/#/queues");
  await page.reload();
  await page.getByLabel("User").waitFor();
  await user.shot("signed-out");
});

scenario("a session that ends", {}, async (user) => {
  const { page } = user;
  await api("PUT", path("users", "short"), { password: "lived", tags: "monitoring" });
  await api("PUT", path("permissions", "/", "short"), { configure: "", write: "", read: ".*" });
  await user.logIn("short", "lived");
  same(await page.getByRole("link", { name: "Users" }).count(), 0, "links to a page that is not for it");
  user.expect("/api/"); // the next that it asks for is refused
  await api("DELETE", path("users", "short"));
  await page.getByText("The session has ended").waitFor();
  await page.getByLabel("User").waitFor();
});

scenario("other sites", {}, async (user) => {
  await user.logIn();
  const { page } = user;
  // Another site's page, in the browser of who is logged in.
  const other = await user.context.newPage();
  await other.route("http://evil.example/**", (r) =>
    r.fulfill({ contentType: "text/html", body: "<!doctype html><p>another site" }),
  );
  await other.goto("http://evil.example/");
  const target = new URL(page.url()).origin;
  const answers = await other.evaluate(async (target) => {
    const tell = async (what) => {
      try {
        const r = await what();
        return r.type === "opaque" ? "sent" : String(r.status);
      } catch {
        return "failed";
      }
    };
    return {
      plain: await tell(() => fetch(target + "/api/vhosts/evil", { method: "PUT", credentials: "include" })),
      blind: await tell(() =>
        fetch(target + "/api/queues/%2F/flow/contents", { method: "POST", mode: "no-cors", credentials: "include", body: "{}" }),
      ),
      logout: await tell(() => fetch(target + "/page/session", { method: "DELETE", credentials: "include" })),
    };
  }, target);
  same(answers.plain, "failed", "a PUT from another site");
  same(answers.logout, "failed", "a logout from another site");
  const form = await other
    .evaluate((target) => {
      const f = document.createElement("form");
      f.method = "post";
      f.action = target + "/api/users/bulk-delete";
      document.body.append(f);
      f.submit();
    }, target)
    .then(() => other.waitForLoadState())
    .then(() => other.textContent("body"));
  check(form.includes("forbidden"), `a form of another site was answered ${form}`);
  await other.close();
  const vhosts = await api("GET", "/api/vhosts");
  check(!vhosts.some((v) => v.name === "evil"), "another site made a vhost");
  await page.reload();
  await user.heading("Overview");
  // Nor may another site put the page into a frame.
  const frame = await user.context.newPage();
  await frame.route("http://evil.example/**", (r) =>
    r.fulfill({ contentType: "text/html", body: `<!doctype html><iframe src="${target}/"></iframe>` }),
  );
  await frame.goto("http://evil.example/");
  await until(
    "the frame is refused",
    async () => frame.frames().length === 2 && !(await frame.frames()[1].content()).includes('id="app"'),
  );
  await frame.close();
});
