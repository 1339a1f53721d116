// Makes the page small: node web/demo/build.mjs [FOLDER], by default build/demo. `npm ci` here once before.
//
// The folder is whole: the page, its two networks, and nothing from elsewhere. Any static server will do.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { minify } from "terser";

const here = fileURLToPath(new URL(".", import.meta.url));
const FILES = "../../benchmarks/results/files/";
const NETWORKS = ["lenet5_rate_5e-05.shoe", "baseline_lenet5.shoe"];

/**
 * What the built page goes without, to be small, and what stands in its place: the kernels in JavaScript (browsers run those in
 * WebAssembly since 2023; 1.1 KB) and recurrent layers (a file that has them is told so by their names; 1.1 KB).
 */
const LEFT_OUT = {
  kernels_plain:
    "export class PlainKernels { constructor() { throw new Error(\"this browser does not run WebAssembly with SIMD, which the " +
    "built page needs; the page's sources do without\"); } }",
  recurrent: "export const RECURRENT = {};",
};

const leftOut = {
  name: "left out",
  setup({ onLoad }) {
    for (const [name, contents] of Object.entries(LEFT_OUT)) {
      onLoad({ filter: new RegExp(`/runtime/${name}\\.js$`) }, () => ({ contents }));
    }
  },
};

async function bundled(name) {
  const { outputFiles } = await build({
    entryPoints: [`${here}${name}`],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    external: ["node:*"],
    plugins: [leftOut],
  });
  const compress = { passes: 4, keep_fargs: false, unsafe_arrows: true, unsafe_methods: true };
  const options = { module: true, ecma: 2020, compress };
  const { code } = await minify(outputFiles[0].text, options);
  return code;
}

/** The page without the comments and line breaks that are for its writers. */
function page(text) {
  const apart = text.replaceAll(FILES, "").replace(/<!--.*?-->\n?/gs, "");
  return apart.replace(/\n+/g, "\n").replace(/\n?(<\/?(section|div|tr|tbody|thead|table|main|header|head|body|html|meta|link|script|p|h2)\b)/g, "$1");
}

async function main(folder) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const { outputFiles } = await build({ entryPoints: [`${here}demo.css`], minify: true, write: false });
  const made = {
    "index.html": page(await readFile(`${here}index.html`, "utf8")),
    "demo.css": outputFiles[0].text,
    "demo.js": await bundled("demo.js"),
    "worker.js": await bundled("worker.js"),
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
