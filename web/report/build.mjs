// Makes shoestring/report/page.html: one file with everything in it. `npm ci && node build.mjs [OUT]`, in this folder.
//
// The same sources and the versions of package-lock.json give the same bytes on every machine.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = resolve(argv[2] ?? join(HERE, "..", "..", "shoestring", "report", "page.html"));
const LICENSED = {
  echarts: ["LICENSE", "NOTICE", join("licenses", "LICENSE-d3")],
  zrender: ["LICENSE"],
  tslib: ["LICENSE.txt"],
};

const read = (...path) => readFileSync(join(HERE, ...path), "utf8");

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

function licences() {
  return Object.entries(LICENSED)
    .flatMap(([name, files]) => {
      const { version } = JSON.parse(read("node_modules", name, "package.json"));
      return [`${name} ${version}`, ...files.map((file) => read("node_modules", name, file).trim())];
    })
    .join("\n\n");
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** `what` in the only place where `mark` stands. */
function put(page, mark, what) {
  const parts = page.split(mark);
  if (parts.length !== 2) throw new Error(`${mark} stands ${parts.length - 1} times in the template: once is right`);
  return parts.join(what);
}

const script = await bundled("src/main.js", {
  format: "iife",
  target: "es2022",
  define: { "process.env.NODE_ENV": '"production"', __DEV__: "false" },
});
const style = await bundled("style.css", { loader: { ".css": "css" } });
const hash = `sha256-${createHash("sha256").update(script).digest("base64")}`;

let page = read("template.html");
for (const [mark, what] of [
  ["<!--style-->", style],
  ["<!--hash-->", hash],
  ["<!--licences-->", escaped(licences())],
  ["<!--script-->", script],
]) {
  page = put(page, mark, what);
}
for (const mark of ["<!--document-->", "<!--title-->", "connect-src 'none'"]) put(page, mark, mark);
mkdirSync(dirname(OUT), { recursive: true });
writeFileSync(OUT, page);
console.log(`written: ${OUT}, ${Buffer.byteLength(page).toLocaleString("en")} bytes`);
