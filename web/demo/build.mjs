// Makes the page small: node web/demo/build.mjs [FOLDER], by default build/demo. `npm ci` here once before.
//
// The folder is whole: the page, its two networks, and nothing from elsewhere. Any static server will do.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { moduleBytes } from "../runtime/kernels_bytes.js";
import { OWN, bundled, styled } from "./bundled.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const FILES = "../../benchmarks/results/files/";
const NETWORKS = ["lenet5_rate_5e-05.shoe", "baseline_lenet5.shoe"];

/**
 * What the built page goes without, to be small, and what stands in its place: the kernels in JavaScript (browsers run those in
 * WebAssembly since 2023; 1.1 KB), recurrent layers (1.1 KB), and products of integers, which few files have
 * (0.8 KB). A file that has such layers is told so by their names. The kernels are a file of their own, since text is a third longer.
 */
const LEFT_OUT = {
  "runtime/kernels_plain":
    "export class PlainKernels { constructor() { throw new Error(\"this browser does not run WebAssembly with SIMD, which the " +
    "built page needs; the page's sources do without\"); } }",
  "runtime/recurrent": "export const RECURRENT = {};",
  "runtime/integers": "export const INTEGERS = {};",
  "runtime/kernels_bytes":
    'export const moduleBytes = async () => (await fetch(new URL("kernels.wasm", import.meta.url))).arrayBuffer();',
};

/** The page without the comments and line breaks that are for its writers. */
function page(text) {
  const apart = text.replaceAll(FILES, "").replace(/<!--.*?-->\n?/gs, "");
  return apart.replace(/\n+/g, "\n").replace(/\n?(<\/?(section|div|tr|tbody|thead|table|main|header|head|body|html|meta|link|script|p|h2)\b)/g, "$1");
}

async function main(folder) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const made = {
    "index.html": page(await readFile(`${here}index.html`, "utf8")),
    "demo.css": await styled(`${here}demo.css`),
    "demo.js": await bundled(`${here}demo.js`, LEFT_OUT),
    "worker.js": await bundled(`${here}worker.js`, LEFT_OUT, OWN),
    "kernels.wasm": await moduleBytes(),
  };
  for (const [name, text] of Object.entries(made)) await writeFile(`${folder}/${name}`, text);
  for (const name of NETWORKS) await cp(`${here}${FILES}${name}`, `${folder}/${name}`);
  let sum = 0;
  for (const name of Object.keys(made)) {
    const size = gzipSync(await readFile(`${folder}/${name}`), { level: 9 }).length;
    sum += size;
    console.log(`${String(size).padStart(8)}  ${name}, gzipped`);
  }
  console.log(`${String(sum).padStart(8)}  the page in all`);
}

await main(argv[2] ?? fileURLToPath(new URL("../../build/demo", import.meta.url)));
