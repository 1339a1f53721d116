// Runs `.shoe` files in browsers and in Node: load(address or bytes), then run(inputs).

import { kernels } from "./runtime/kernels.js";
import { Model } from "./runtime/model.js";
import { RunError } from "./runtime/values.js";
import { crc32, decode, ShoeError, values } from "./shoe.js";

export { crc32, decode, RunError, ShoeError, values };
export { OPERATIONS } from "./runtime/operations.js";

const GIB = 2 ** 30;
const SECONDS = 20;
const BACKENDS = ["webassembly", "javascript"];

/**
 * Decodes a file that is in memory and makes it ready to run.
 * @param {Uint8Array|ArrayBuffer} file the bytes of the whole file
 * @param {{maxBytes?: number, maxSeconds?: number, backend?: "webassembly"|"javascript"}} [options] maxBytes: what its tensors
 *   may take, and what a run may take besides, in bytes; 1 GiB unless told. maxSeconds: the work that decoding and each run may
 *   be, by accounts that do not depend on the machine; unless told, that of the format for decoding, and 20 s for a run.
 *   backend: "javascript" for the kernels in plain JavaScript.
 * @returns {Promise<Model>}
 * @throws {ShoeError} where it is no `.shoe` file or is damaged, and for options that there are not
 */
export async function open(file, { maxBytes = GIB, maxSeconds, backend = BACKENDS[0], ...others } = {}) {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new RunError(`there is no option ${unknown}: give maxBytes, maxSeconds or backend`);
  if (!BACKENDS.includes(backend)) throw new RunError(`there is no backend ${backend}: give ${BACKENDS.join(" or ")}`);
  const bytes = file instanceof ArrayBuffer ? new Uint8Array(file) : file;
  const decoded = decode(bytes, { maxBytes, maxSeconds });
  return new Model(decoded, await kernels(backend), { bytes: bytes.length, maxBytes, maxSeconds: maxSeconds ?? SECONDS });
}

/**
 * Loads a file, from an address where it is not in memory.
 * @param {string|URL|Response|Uint8Array|ArrayBuffer} source an address is fetched; in Node it may be a path
 * @param {object} [options] see `open`
 * @returns {Promise<Model>}
 * @throws {ShoeError} see `open`; also where the address does not answer, or not with a file, or with more than maxBytes
 */
export async function load(source, options = {}) {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return open(source, options);
  return open(await read(source, options.maxBytes ?? GIB), options);
}

async function read(source, maxBytes) {
  if (typeof source !== "string" && !(source instanceof URL) && !(source instanceof Response)) {
    throw new RunError(`load was given ${source === null ? "null" : typeof source}: give an address, a Response, a Uint8Array or an ArrayBuffer`);
  }
  const failed = (error) => {
    throw new RunError(`${source} could not be read (${error.message}): look at the address`);
  };
  const path = source instanceof Response ? null : localPath(source);
  if (path !== null) {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(path).catch(failed));
  }
  const answer = source instanceof Response ? source : await fetch(source).catch(failed);
  if (!answer.ok) throw new RunError(`${answer.url || source} answered ${answer.status} ${answer.statusText}: look at the address`);
  const announced = Number(answer.headers.get("content-length") ?? 0);
  if (announced > maxBytes) throw new RunError(`${answer.url} has ${announced} bytes, more than maxBytes, ${maxBytes}`);
  return whole(answer, maxBytes);
}

/** The body, read no further than maxBytes. */
async function whole(answer, maxBytes) {
  if (!answer.body) return new Uint8Array(await answer.arrayBuffer());
  const parts = [];
  let length = 0;
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    parts.push(part.value);
    if (length <= maxBytes) continue;
    await reader.cancel();
    throw new RunError(`${answer.url || "the answer"} has more than maxBytes, ${maxBytes}, bytes`);
  }
  const bytes = new Uint8Array(length);
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}

/** A path of Node's, for a file: address and for what is no address there; null where it is fetched. */
function localPath(source) {
  if (typeof globalThis.process?.versions?.node !== "string" || typeof globalThis.document !== "undefined") return null;
  if (source instanceof URL) return source.protocol === "file:" ? source : null;
  if (source.startsWith("file:")) return new URL(source);
  return /^(https?|data|blob):/.test(source) ? null : source;
}
