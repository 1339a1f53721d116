// Reads the `.shoe` file, versions 1 to 4, as docs/format.md describes it, and from that page alone.

import { decodeBlocks } from "./blocks.js";
import { DICTIONARY } from "./dictionary.js";
import { readEntries, readGraph, Tally } from "./graph.js";
import { readFrame, readTable } from "./indexed.js";
import { inflate } from "./inflate.js";
import { crc32, Reader, ShoeError } from "./reader.js";
import { Stream } from "./stream.js";
import { afford, decodeTensor, fromFloat16, readList } from "./tensors.js";
import { allowance, blocksRoom, blocksWork, Work, workOf } from "./work.js";

export { crc32, ShoeError };

const MARK = [0x53, 0x48, 0x4f, 0x45]; // "SHOE"
const ENTRIES = 3; // the version of a file with named graphs
const INDEXED = 4; // the version of a file with blocks and an index
const MOST = Number.MAX_SAFE_INTEGER; // for lengths that the bytes that are left limit
const LARGEST_GRAPH = 4 * 2 ** 20; // bytes, inflated
const MOST_NOTES = 65536;
const LARGEST_LIST = 16 * 2 ** 20; // bytes, inflated; of names too
const NO_DICTIONARY = new Uint8Array(0);

/**
 * What a `.shoe` file holds. Nothing in it is run.
 * @param {Uint8Array} bytes of the whole file
 * @param {{maxBytes?: number, maxSeconds?: number}} [options] maxBytes: what tensors may take, with what decoding one of them takes meanwhile;
 *   1 GiB unless told (a file of 20 bytes can ask for any number of equal elements); maxSeconds: the most work that decoding
 *   may be, by the account in docs/format.md; 1 s and 1 s for each MB of tensors unless told
 * @returns {{version: number, graph: ?object, entries: ?Object<string, object>, tensors: object[], names: string[],
 *   notes: Object<string, string>, signature: ?{kind: number, bytes: Uint8Array}, sections: Object<string, number>}}
 *   `graph`: see `readGraph` in graph.js; null in a checkpoint, whose tensors have `names`, and in a file with several entries,
 *   which has the graph of each by its name in `entries` (null in others). A file of version 4 may have `names` and `notes`
 *   with a graph too (`names` is empty where there are none), and a `signature`, which is not checked: of kind 1, Ed25519 of
 *   all bytes of the file before it. It is null in others.
 *   `tensors`, each: `element` (ONNX's number of its type), `type` ("float32"), `shape`, `member` (its place among the
 *   distinct parameters and buffers of the module; null for a constant of the graph), `bits` (a Uint8Array, Uint16Array,
 *   Uint32Array or BigUint64Array of its elements' bits in row-major order), `coding` (what the file kept it as; "blocks" of version 4), `model`
 *   (how its numbers were coded in context, or null) and `stored` (what the file spends on it: `bits` of the code stream, `bytes`
 *   of plain values and blocks, and bytes with which it is `described` in the tensor list before that is deflated)
 *   `sections`: the bytes that the `graph` (or graphs), `list`, `names`, `stream` and `table` of blocks take in the file
 * @throws {ShoeError} where the bytes are not a file of a version that is known, whole and undamaged, or take too much memory
 */
export function decode(bytes, { maxBytes = 2 ** 30, maxSeconds } = {}) {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("decode takes a Uint8Array");
  if (MARK.some((letter, i) => bytes[i] !== letter)) throw new ShoeError('not a .shoe file: it does not begin with "SHOE"');
  if (bytes.length < 5) throw new ShoeError("the file: it ends too early");
  const version = bytes[4];
  if (version < 1 || version > INDEXED) throw new ShoeError(`the file is of version ${version}; versions 1 to 4 are known`);
  try {
    const parts = version === 1 ? sections1(bytes) : version === INDEXED ? sections4(bytes) : sections(bytes);
    return decodeParts(version, parts, maxBytes, maxSeconds);
  } catch (error) {
    // An array that the engine cannot make: there is less memory than maxBytes allows.
    if (error instanceof RangeError) throw new ShoeError(`there is not enough memory for the file: ${error.message}`);
    throw error;
  }
}

function decodeParts(version, { graph, list, names, stream, plain, table, blocks, signature, sections }, maxBytes, maxSeconds) {
  const entries = readList(new Reader(list, "the tensor list"), version, maxBytes);
  const reader = graph && new Reader(graph, "the graph");
  const laidOut = version >= ENTRIES; // the graphs, with their names
  const single = laidOut ? null : reader && readGraph(reader, version, entries.length, new Tally());
  const several = laidOut ? reader && readEntries(reader, entries.length, version === INDEXED) : null;
  const named = readNames(names && new Reader(names, "the names"), entries, version, graph === null);
  if (several && !Object.hasOwn(several, "")) checkCopies(several, entries, maxBytes);
  const inBlocks = version === INDEXED ? readTable(table, blocks, entries) : new Map();
  const declared = entries.reduce((sum, entry) => sum + entry.declared, 0);
  const old = version <= ENTRIES ? stream.length : 0;
  const account = new Work(maxSeconds === undefined ? allowance(declared, old) : Math.round(maxSeconds * 1e9));
  account.spend(entries.reduce((sum, entry) => sum + workOf(entry), 0));
  for (const [i, { size }] of inBlocks) {
    account.spend(blocksWork(entries[i], size));
    afford(declared + blocksRoom(entries[i], size), maxBytes);
  }
  const symbols = new Stream(stream);
  const values = new Reader(plain, "the plain values");
  const tensors = entries.map((entry, i) => {
    const [bits, from] = [symbols.bits, values.at];
    const parts = inBlocks.get(i);
    const tensor = parts ? decodeBlocks(entry, parts) : decodeTensor(entry, values, symbols, account);
    const inParts = parts ? parts.blocks.reduce((sum, block) => sum + block.bytes.length, 0) : 0;
    tensor.stored = { bits: bits - symbols.bits, bytes: values.at - from + inParts, described: entry.described };
    return tensor;
  });
  symbols.end();
  values.end();
  // A graph whose entry has the empty name is called without one.
  const [graphs, unnamed] = several && Object.hasOwn(several, "") ? [null, several[""]] : [several, single];
  return { version, graph: unnamed, entries: graphs, tensors, ...named, signature: signature ?? null, sections };
}

/** Throws ShoeError where the copies that the entries have of the tensors that they read take more than `maxBytes`. */
function checkCopies(graphs, entries, maxBytes) {
  let copies = 0;
  for (const { inputs, nodes, outputs } of Object.values(graphs)) {
    const read = new Set(outputs.map((output) => output.value));
    for (const node of nodes) for (const value of node.inputs) read.add(value);
    entries.forEach(({ count, width }, i) => (copies += read.has(inputs.length + i) ? count * width : 0));
  }
  if (copies <= maxBytes) return;
  throw new ShoeError(`the entries read ${copies} bytes of tensors together, more than ${maxBytes}: raise maxBytes`);
}

/** The parts of a file of version 2 or 3, inflated. */
function sections(bytes) {
  if (bytes.length < 9) throw new ShoeError("the file: it ends too early");
  const body = bytes.subarray(0, bytes.length - 4);
  checkCrc(body, bytes.subarray(bytes.length - 4), "the file");
  const file = new Reader(body, "the file");
  file.bytes(5);
  const parts = ["graph", "tensor list", "names", "code stream"];
  const lengths = parts.map((what) => file.varint(MOST, `the length of the ${what}`));
  const [graph, list, names, stream] = lengths.map((length) => file.bytes(length));
  const plain = file.bytes(file.left);
  if (bytes[4] === ENTRIES && !graph.length) throw new ShoeError("the file: it must have graphs");
  if (!graph.length === !names.length) throw new ShoeError("the file: it must have a graph or names, and not both");
  return { ...unsqueezed(graph, list, names), stream, plain, sections: lengthsOf({ graph, list, names, stream }) };
}

/** The lengths of the sections of a file, as they are in it. */
function lengthsOf({ graph, list, names, stream, table }) {
  return { graph: graph.length, list: list.length, names: names?.length ?? 0, stream: stream.length, table: table?.length ?? 0 };
}

function unsqueezed(graph, list, names) {
  return {
    graph: graph.length ? unsqueeze(graph, DICTIONARY, LARGEST_GRAPH, "the graph") : null,
    list: list[0] === 0 ? atMost(list.subarray(1), LARGEST_LIST, "the tensor list") : unsqueezeList(list),
    names: names.length ? unsqueeze(names, NO_DICTIONARY, LARGEST_LIST, "the names") : null,
  };
}

/** The parts of a file of version 4, inflated. */
function sections4(bytes) {
  const { graph, list, names, ...others } = readFrame(bytes);
  const sections = lengthsOf({ graph, list, names, ...others });
  return { ...unsqueezed(graph, list, names), ...others, sections };
}

/** The parts of a file of version 1, inflated. */
function sections1(bytes) {
  const file = new Reader(bytes, "the file");
  file.bytes(5);
  const [graph, list, stream, plain] = [1, 2, 3, 4].map((number) => {
    const start = file.at;
    const found = file.byte();
    if (found !== number) throw new ShoeError(`the file: section ${number} is expected, not ${found}`);
    const section = file.bytes(file.varint(MOST, `the length of section ${number}`));
    const end = file.at;
    checkCrc(bytes.subarray(start, end), file.bytes(4), `section ${number} of the file`);
    return section;
  });
  file.end();
  return {
    graph: unsqueeze(graph, NO_DICTIONARY, LARGEST_GRAPH, "the graph"),
    list: unsqueezeList(list),
    names: null,
    stream,
    plain,
    sections: lengthsOf({ graph, list, stream }),
  };
}

function checkCrc(bytes, stored, what) {
  const view = new DataView(stored.buffer, stored.byteOffset, 4);
  if (crc32(bytes) !== view.getUint32(0, true)) throw new ShoeError(`${what} is damaged: its CRC-32 is not what it says`);
}

function atMost(bytes, most, what) {
  if (bytes.length > most) throw new ShoeError(`${what}: ${bytes.length} bytes are more than ${most}`);
  return bytes;
}

function unsqueeze(bytes, dictionary, most, what) {
  const reader = new Reader(bytes, what);
  const length = reader.varint(most, "its length when inflated");
  return inflate(reader.bytes(reader.left), length, dictionary, what);
}

function unsqueezeList(bytes) {
  return unsqueeze(bytes, NO_DICTIONARY, LARGEST_LIST, "the tensor list");
}

/**
 * The names of the tensors and the notes of a file, for which `reader` is null where it has none. The tensors of a checkpoint
 * are numbered one after the other, and all have names.
 */
function readNames(reader, entries, version, checkpoint) {
  if (checkpoint) {
    entries.forEach(({ member }, i) => {
      if (member !== i) throw new ShoeError(`the tensor list: tensor ${i} of a checkpoint has number ${member}`);
    });
    if (!reader && entries.length) throw new ShoeError("the file: its tensors have no names");
  }
  if (!reader) return { names: [], notes: {} };
  const count = version === INDEXED ? reader.varint(entries.length, "the number of names") : entries.length;
  if (count !== entries.length && (count || checkpoint)) {
    throw reader.fault(`there are ${count} names of ${entries.length} tensors`);
  }
  const names = Array.from({ length: count }, () => reader.text("the name of a tensor"));
  if (new Set(names).size < names.length) throw reader.fault("two tensors have one name");
  const notes = new Map();
  for (let left = reader.varint(MOST_NOTES, "the number of notes"); left > 0; left--) {
    const key = reader.text("the key of a note");
    if (notes.has(key)) throw reader.fault(`there are two notes ${JSON.stringify(key)}`);
    notes.set(key, reader.text("a note"));
  }
  reader.end();
  return { names, notes: Object.fromEntries(notes) };
}

const SAME_WIDTH = {
  float32: Float32Array,
  float64: Float64Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};

/**
 * The numbers of a tensor or a constant.
 * @param {{type: string, bits: Uint8Array|Uint16Array|Uint32Array|BigUint64Array}} tensor
 * @returns {Float32Array|Float64Array|Uint8Array|Int8Array|Uint16Array|Int16Array|Uint32Array|Int32Array|BigUint64Array|
 *   BigInt64Array} in row-major order: a view of the bits, but for float16 and bfloat16, which become float32, exactly. A bool
 *   is 0 or 1.
 */
export function values({ type, bits }) {
  if (type === "float16") return Float32Array.from(bits, fromFloat16);
  if (type === "bfloat16") return new Float32Array(Uint32Array.from(bits, (upper) => upper << 16).buffer);
  return new SAME_WIDTH[type](bits.buffer, bits.byteOffset, bits.length);
}
