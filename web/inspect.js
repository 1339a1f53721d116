#!/usr/bin/env node
// Prints what .shoe files hold, as JSON.
//
// node web/inspect.js FILE.shoe ...   a line for each tensor, then one for the graph (or graphs, or the names and notes)
// node web/inspect.js --stdin-list    file paths on standard input, one a line; a line for each file
// --max-bytes=N                       what a file's tensors may take; 1 GiB unless told
// --max-seconds=N                     the work that decoding a file may be; 1 s and 1 s for each MB of tensors unless told

import { readFileSync } from "node:fs";
import { argv, exit, stdin, stdout, stderr, resourceUsage } from "node:process";
import { createInterface } from "node:readline";

import { crc32, decode, ShoeError } from "./shoe.js";

// Whoever reads what is printed may stop early (`| head`): that is no error.
process.stdout.on("error", (error) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

/** CRC-32 of the bytes of a tensor, each element with its lowest byte first. */
function crcOf({ bits }) {
  return crc32(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength));
}

function tensorLine(tensor) {
  const { member, type, shape, coding, model } = tensor;
  return { member, type, shape, coding, model, crc: crcOf(tensor) };
}

/** A signature, in hexadecimal. */
function told({ kind, bytes }) {
  return { kind, bytes: Buffer.from(bytes).toString("hex") };
}

/** What JSON.stringify is to make of a value: a tensor is told by its CRC, and what JSON has no number for is a string. */
function plain(key, value) {
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value?.bits) return { element: value.element, shape: value.shape, crc: crcOf(value) };
  return value;
}

function inspect(path, options) {
  const { version, graph, entries, tensors, names, notes, signature } = decode(new Uint8Array(readFileSync(path)), options);
  return { version, tensors: tensors.map(tensorLine), graph, entries, names, notes, signature: signature && told(signature) };
}

const print = (line) => stdout.write(`${JSON.stringify(line, plain)}\n`);

/** The number that an option has; undefined where it is not there. */
function option(name) {
  const word = argv.find((each) => each.startsWith(`${name}=`));
  return word && Number(word.slice(name.length + 1));
}

const options = { maxBytes: option("--max-bytes"), maxSeconds: option("--max-seconds") };
const paths = argv.slice(2).filter((word) => !word.startsWith("--"));

/** Kilobytes that this process has had at most. Linux counts in maxRSS what the process that began this one had. */
function peak() {
  try {
    return Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
  } catch {
    return resourceUsage().maxRSS;
  }
}

if (argv.includes("--stdin-list")) {
  for await (const path of createInterface({ input: stdin })) {
    const start = performance.now();
    let line;
    try {
      line = inspect(path, options);
    } catch (error) {
      // `error` is what the decoder says of a file, or the system of a call; `crash` is a fault of the decoder itself.
      line = error instanceof ShoeError || error.syscall ? { error: error.message } : { crash: String(error.stack) };
    }
    const measured = { milliseconds: Math.round(performance.now() - start), peak_kilobytes: peak() };
    print({ file: path, ...line, ...measured });
    globalThis.gc?.(); // with --expose-gc: what one file took is not counted for the next
  }
} else if (paths.length === 0) {
  stderr.write("node web/inspect.js FILE.shoe ... | --stdin-list [--max-bytes=N] [--max-seconds=N]\n");
  exit(2);
} else {
  for (const path of paths) {
    try {
      const { version, tensors, graph, entries, names, notes, signature } = inspect(path, options);
      tensors.forEach(print);
      const about = { names, notes, signature };
      print(graph ? { version, graph, ...about } : entries ? { version, entries, ...about } : { version, ...about });
    } catch (error) {
      if (!(error instanceof ShoeError)) throw error;
      stderr.write(`${path}: ${error.message}\n`);
      exit(1);
    }
  }
}
