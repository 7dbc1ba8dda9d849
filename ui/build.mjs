// Builds the page into httpd/page/dist, from where package page embeds it: one script
// and one style sheet under names that change with their contents, so that browsers
// may keep them for ever, and the index that names them.

import { build } from "esbuild";
import { readFileSync, readdirSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "../httpd/page/dist");

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: dist,
  entryNames: "assets/[name]-[hash]",
  assetNames: "assets/[name]-[hash]",
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  legalComments: "eof",
  loader: { ".svg": "file", ".woff2": "file" },
  metafile: true,
  write: false,
  logLevel: "warning",
});

// What an older build has left would be embedded too.
mkdirSync(join(dist, "assets"), { recursive: true });
for (const name of readdirSync(dist)) {
  if (name !== ".keep") rmSync(join(dist, name), { recursive: true });
}
mkdirSync(join(dist, "assets"));

let script = "";
let style = "";
for (const file of result.outputFiles) {
  writeFileSync(file.path, file.contents);
  const path = "assets/" + basename(file.path);
  if (path.endsWith(".js")) script = path;
  if (path.endsWith(".css")) style = path;
}

const index = readFileSync(join(here, "src/index.html"), "utf8").replace("app.css", style).replace("app.js", script);
writeFileSync(join(dist, "favicon.svg"), readFileSync(join(here, "src/favicon.svg")));
writeFileSync(join(dist, "index.html"), index); // last: that it is there says that all is
