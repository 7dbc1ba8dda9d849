// What the scenarios share: the browser, the page as its user sees it, the API behind its
// back.

import { join } from "node:path";
import { chromium } from "playwright-core";

export const url = process.env.PAGE_URL;
const shots = process.env.SCREENSHOTS;

export const scenarios = [];

/** scenario names a program; options are the browser context's. */
export function scenario(name, options, run) {
  scenarios.push({ name, options, run });
}

export async function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** play runs one scenario in a profile of its own and tells how it ended. */
export async function play(browser, { name, options, run }) {
  const began = Date.now();
  const context = await browser.newContext({
    baseURL: url,
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (err) => wrong.push("uncaught: " + (err.stack || err)));
  page.on("console", (m) => {
    if (m.type() !== "error" && m.type() !== "warning") return;
    const at = m.location().url;
    // A browser calls each 4xx an error. Those that a scenario causes it names.
    if (/Failed to load resource/.test(m.text()) && user.expected.some((e) => at.includes(e))) return;
    wrong.push(`console: ${m.text()} (${at})`);
  });
  await page.exposeFunction("tellViolation", (what) => wrong.push("the policy prevented " + what));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) =>
      window.tellViolation(`${e.violatedDirective}: ${e.blockedURI} ${e.sample}`),
    );
  });
  const user = new User(name, page, context);
  let error = "";
  try {
    await run(user);
    if (await page.evaluate(() => window.pwned !== undefined)) wrong.push("a name ran as a script");
  } catch (err) {
    error = String(err.stack || err);
    await user.shot("failed").catch(() => {});
  }
  await context.close();
  return { name, error: [error, ...wrong].filter(Boolean).join("\n"), ms: Date.now() - began, screenshots: user.shots };
}

/** User is who sits before the page. */
class User {
  shots = [];
  expected = [];

  constructor(name, page, context) {
    this.name = name;
    this.page = page;
    this.context = context;
  }

  /** expect names a part of a URL whose refusal is part of the scenario. */
  expect(part) {
    this.expected.push(part);
  }

  async shot(what, options) {
    const file = `${this.name}-${what}.png`.replace(/[^\w.-]+/g, "-");
    await this.page.screenshot({ path: join(shots, file), ...options });
    this.shots.push(file);
  }

  async logIn(name = "guest", password = "guest") {
    const { page } = this;
    await page.goto("/");
    await page.getByLabel("User").fill(name);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in" }).click();
    await this.heading("Overview");
  }

  /** open goes to a place, as a bookmark does, and waits for its heading. */
  async open(place, heading) {
    await this.page.goto("/#" + place);
    await this.heading(heading);
  }

  heading(text) {
    return this.page.getByRole("heading", { level: 1, name: text, exact: true }).waitFor();
  }

  button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }

  dialog(title) {
    return this.page.getByRole("dialog", { name: title });
  }

  /** told waits until the page says so, at its edge or in a dialog. */
  async told(text) {
    await this.page.getByText(text).last().waitFor();
  }

  /** row is the table's row with that text in a cell. */
  row(text) {
    return this.page.getByRole("row").filter({ has: this.page.getByText(text, { exact: true }) });
  }
}

const basic = "Basic " + Buffer.from("guest:guest").toString("base64");

/** api asks the management API, behind the page's back. */
export async function api(method, path, body, header = {}) {
  const answer = await fetch(url + path, {
    method,
    headers: { Authorization: basic, ...header },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** path makes a path of the API of names. */
export function path(...names) {
  return "/api/" + names.map(encodeURIComponent).join("/");
}

/** place makes a place of the page of names. */
export function place(...names) {
  return "/" + names.map(encodeURIComponent).join("/");
}

/** until waits for a condition that nothing in the page announces. */
export async function until(what, ok, within = 30_000) {
  for (const end = Date.now() + within; Date.now() < end;) {
    const got = await ok();
    if (got) return got;
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error(`not within ${within} ms: ${what}`);
}

export function check(ok, what) {
  if (!ok) throw new Error(what);
}

/** text is a value as text, whatever the order of its fields. */
function text(value) {
  const sorted = (_, v) =>
    v && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v;
  return JSON.stringify(value, sorted);
}

export function same(got, want, what) {
  if (text(got) !== text(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}
