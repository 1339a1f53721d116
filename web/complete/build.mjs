// Makes the page one file: node web/complete/build.mjs [PAGE.html] [FILE.shoe], by default build/complete.html and
// benchmarks/results/files/complete.shoe. `npm ci` in web/demo once before.
//
// The page has its style, its code, the kernels and the network in it, and fetches nothing: its policy forbids it.

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

import { OWN, bundled, styled } from "../demo/bundled.mjs";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Digits of a number to the base 85: letters that a page may have within a script as they are. */
const DIGITS = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter((one) => !"\"&'<>\\`/|".includes(one)).join("");

/** Bytes as text, five letters for four of them: base64 would take a fifteenth more. */
function written(bytes) {
  const padded = new Uint8Array(4 * Math.ceil(bytes.length / 4));
  padded.set(bytes);
  const words = new DataView(padded.buffer);
  let text = "";
  for (let at = 0; at < padded.length; at += 4) {
    let word = words.getUint32(at);
    const five = [];
    for (let i = 0; i < 5; i++, word = Math.floor(word / 85)) five.unshift(DIGITS[word % 85]);
    text += five.join("");
  }
  return text;
}

/** What the page has in the place of embedded.js. */
const EMBEDDED = `
const own = () => document.getElementById("network");
export async function modelBytes() {
  const { dataset: { bytes, digits }, textContent: text } = own();
  const of = new Map(Array.from(digits, (letter, i) => [letter, i]));
  const words = new DataView(new ArrayBuffer((4 * text.length) / 5));
  for (let at = 0; at < text.length; at += 5) {
    let word = 0;
    for (let i = 0; i < 5; i++) word = 85 * word + of.get(text[at + i]);
    words.setUint32((4 * at) / 5, word);
  }
  return new Uint8Array(words.buffer, 0, Number(bytes));
}
export function pageBytes() {
  return Number(own().dataset.page);
}`;

/** What such a network does not need: kernels in JavaScript, recurrent layers and integers. */
const LEFT_OUT = {
  "runtime/kernels_plain":
    'export class PlainKernels { constructor() { throw new Error("this browser does not run WebAssembly with SIMD, which the page needs"); } }',
  "runtime/recurrent": "export const RECURRENT = {};",
  "runtime/integers": "export const INTEGERS = {};",
  "runtime/quantised": "export const QUANTISED = {}, RANGES = {}; export const roundTrip = null;",
  "complete/embedded": EMBEDDED,
};

/** The code of the page, as a script within it may stand. */
async function code() {
  const text = await bundled(at("complete.js"), LEFT_OUT, OWN);
  return text.trim().replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
}

const hashed = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** The page, given its parts. `size`: the bytes that it says it has. */
function page(html, { style, code, network, bytes, size }) {
  const policy =
    `default-src 'none'; script-src ${hashed(code)} 'wasm-unsafe-eval'; style-src ${hashed(style)}; img-src data:; ` +
    "base-uri 'none'; form-action 'none'";
  const inline =
    `<script type="application/octet-stream" id="network" data-page="${size}" data-bytes="${bytes}" data-digits="${DIGITS.slice(0, 85)}">${network}</script>\n` +
    `<script type="module">${code}</script>\n</body>`;
  return html
    .replace(/(<meta http-equiv="Content-Security-Policy" content=")[^"]*/, (_, begin) => begin + policy)
    .replace(/<link rel="stylesheet"[^>]*>/, () => `<style>${style}</style>`)
    .replace(/<script type="module" src[^>]*><\/script>\n/, "")
    .replace("</body>", () => inline);
}

async function main(out, shoe) {
  const html = await readFile(at("index.html"), "utf8");
  const bytes = await readFile(shoe);
  const parts = { style: (await styled(at("complete.css"))).trim(), code: await code(), network: written(bytes), bytes: bytes.length };
  let size = Buffer.byteLength(page(html, { ...parts, size: 100000 }));
  size = Buffer.byteLength(page(html, { ...parts, size }));
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, page(html, { ...parts, size }));
  console.log(`${out}: ${size} bytes, of which the code ${Buffer.byteLength(parts.code)} and the network ${parts.network.length}`);
}

await main(argv[2] ?? at("../../build/complete.html"), argv[3] ?? at("../../benchmarks/results/files/complete.shoe"));
