// Makes shoestring/label/collect/page.html: one file with everything in it. `npm ci && node build.mjs [OUT]`, in this folder.
//
// The same sources and the versions of package-lock.json give the same bytes on every machine.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = resolve(argv[2] ?? join(HERE, "..", "..", "shoestring", "label", "collect", "page.html"));

/** One bundle, minified; `</script` cannot stand in it, since esbuild writes it as `<\/script`. */
async function bundled(entry, more) {
  const made = await build({
    absWorkingDir: HERE,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    legalComments: "none",
    charset: "utf8",
    logLevel: "warning",
    ...more,
  });
  return made.outputFiles[0].text.trim();
}

/** What the policy of the page lets in: these very bytes, and no others. */
function hash(text) {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** `what` in the only place where `mark` stands. */
function put(page, mark, what) {
  const parts = page.split(mark);
  if (parts.length !== 2) throw new Error(`${mark} stands ${parts.length - 1} times in the template: once is right`);
  return parts.join(what);
}

const script = await bundled("src/main.js", { format: "iife", target: "es2022" });
const style = await bundled("style.css", { loader: { ".css": "css" } });

let page = readFileSync(join(HERE, "template.html"), "utf8");
for (const [mark, what] of [
  ["<!--style-->", style],
  ["<!--style hash-->", hash(style)],
  ["<!--script hash-->", hash(script)],
  ["<!--script-->", script],
]) {
  page = put(page, mark, what);
}
writeFileSync(OUT, page);
console.log(`written: ${OUT}, ${Buffer.byteLength(page).toLocaleString("en")} bytes`);
