// Runs the tests beside the sources (*.test.ts), bundled for Node.js: those of what needs
// no browser.

import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const tests = readdirSync(join(here, "src"), { recursive: true }).filter((f) => f.endsWith(".test.ts"));
if (tests.length === 0) throw new Error("there are no tests");

const dir = mkdtempSync(join(tmpdir(), "leveret-ui-"));
try {
  await build({
    absWorkingDir: here,
    entryPoints: tests.map((f) => join("src", f)),
    outdir: dir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".css": "empty" },
    // What a browser has at once and Node.js has not.
    banner: {
      js: "globalThis.matchMedia ??= () => ({ matches: false, addEventListener() {} }); globalThis.document ??= { hidden: false, documentElement: { dataset: {} }, addEventListener() {} }; globalThis.dispatchEvent ??= () => true;",
    },
    logLevel: "warning",
  });
  const files = readdirSync(dir, { recursive: true })
    .filter((f) => f.endsWith(".mjs"))
    .map((f) => join(dir, f));
  const run = spawnSync(process.execPath, ["--test", "--test-reporter=dot", ...files], {
    stdio: "inherit",
    env: { ...process.env, TZ: "UTC" },
  });
  process.exitCode = run.status ?? 1;
} finally {
  rmSync(dir, { recursive: true });
}
