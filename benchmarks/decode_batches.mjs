// Decodes files that come on standard input, in batches, for benchmarks/fuzz_both.py.
//
// Each file is its length and maxBytes in four bytes each, the lowest first, and then its bytes. For each, a line of JSON: {error}, {crash} (a
// fault of the decoder itself) or what the file holds; always with milliseconds.

import { cpuUsage, stdin, stdout } from "node:process";

import { crc32, decode, ShoeError } from "../web/shoe.js";

function crcOf({ bits }) {
  return crc32(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength));
}

/** What JSON has no number for is a string, and a tensor is told by its CRC. */
function plain(key, value) {
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value?.bits) return { element: value.element, shape: value.shape, crc: crcOf(value) };
  return value;
}

function told(bytes, maxBytes) {
  try {
    const { version, graph, entries, tensors, names, notes } = decode(bytes, { maxBytes });
    const listed = tensors.map((one) => ({ member: one.member, type: one.type, shape: one.shape, crc: crcOf(one) }));
    return { version, tensors: listed, graph, entries, names, notes };
  } catch (error) {
    return error instanceof ShoeError ? { error: error.message } : { crash: String(error.stack) };
  }
}

/** What a file holds, and the milliseconds that it took: of the processor, where they are many. */
function timed(bytes, maxBytes) {
  const began = performance.now();
  const line = told(bytes, maxBytes);
  let milliseconds = performance.now() - began;
  if (milliseconds > 1000) {
    const before = cpuUsage();
    told(bytes, maxBytes);
    const spent = cpuUsage(before);
    milliseconds = (spent.user + spent.system) / 1000;
  }
  return JSON.stringify({ ...line, milliseconds }, plain);
}

let held = Buffer.alloc(0);
for await (const chunk of stdin) {
  held = Buffer.concat([held, chunk]);
  const lines = [];
  let at = 0;
  while (held.length >= at + 8 && held.length >= at + 8 + held.readUInt32LE(at)) {
    const end = at + 8 + held.readUInt32LE(at);
    lines.push(`${timed(Uint8Array.from(held.subarray(at + 8, end)), held.readUInt32LE(at + 4))}\n`);
    at = end;
  }
  held = held.subarray(at);
  if (lines.length) stdout.write(lines.join(""));
}
