// Runs all scenarios and tells of each in a line of JSON.

import { readdirSync } from "node:fs";
import { play, scenarios, startBrowser } from "./steps.mjs";

for (const file of readdirSync(import.meta.dirname ?? new URL(".", import.meta.url).pathname).sort()) {
  if (file.endsWith(".scenario.mjs")) await import("./" + file);
}
const chosen = scenarios.filter((s) => s.name.includes(process.env.SCENARIO ?? ""));

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

say({ plan: chosen.map((s) => s.name) });
const browser = await startBrowser();
try {
  for (const s of chosen) say(await play(browser, s));
} finally {
  await browser.close();
}
