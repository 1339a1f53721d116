// The frame of version 4: blocks, an index, and a signature.

import { crc32, Reader, ShoeError } from "./reader.js";

const HEAD = 5; // bytes of the magic number and the version, before the blocks
const MOST = Number.MAX_SAFE_INTEGER; // for lengths that the bytes that are left limit
const SIGNATURES = [0, 64]; // bytes of a signature, by its kind
const SMALLEST_BLOCK = 14; // of elements, as a power of two
const LARGEST_BLOCK = 22;
const LEAST_ELEMENTS = 2 ** 14; // of a tensor in blocks

/**
 * The parts of a file of version 4, as they are.
 * @param {Uint8Array} bytes of the whole file, of which the first five have been read
 * @returns {{graph: Uint8Array, list: Uint8Array, names: Uint8Array, stream: Uint8Array, table: Uint8Array, plain: Uint8Array,
 *   blocks: Uint8Array, signature: ?{kind: number, bytes: Uint8Array}}} `blocks`: all of them, one after the other;
 *   `signature`: null where there is none, otherwise of kind 1, which is not checked: it is Ed25519 of all bytes before it
 * @throws {ShoeError} where the index is damaged, or not where it should be
 */
export function readFrame(bytes) {
  const kind = bytes[bytes.length - 1];
  const signed = bytes.length - 1 - (SIGNATURES[kind] ?? 0);
  const tail = signed - 12; // where the length of the index is
  if (tail < HEAD) throw new ShoeError("the file: it ends too early");
  if (SIGNATURES[kind] === undefined) throw new ShoeError(`the file: there is no kind of signature ${kind}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getBigUint64(tail, true);
  if (length > BigInt(tail - HEAD)) throw new ShoeError(`the file: it ends too early for an index of ${length} bytes`);
  const start = tail - Number(length);
  if (crc32(bytes.subarray(start, tail + 8)) !== view.getUint32(tail + 8, true)) {
    throw new ShoeError("the index is damaged: its CRC-32 is not what it says");
  }
  const index = new Reader(bytes.subarray(start, tail), "the index");
  const parts = ["graphs", "tensor list", "names", "code stream", "table of blocks"];
  const lengths = parts.map((what) => index.varint(MOST, `the length of the ${what}`));
  const [graph, list, names, stream, table] = lengths.map((each) => index.bytes(each));
  const plain = index.bytes(index.left);
  const signature = kind === 0 ? null : { kind, bytes: bytes.slice(signed, bytes.length - 1) };
  return { graph, list, names, stream, table, plain, blocks: bytes.subarray(HEAD, start), signature };
}

/**
 * Reads the table of blocks.
 * @param {Uint8Array} table of `readFrame`; empty where there are no blocks
 * @param {Uint8Array} blocks all blocks, one after the other
 * @param {object[]} entries of `readList` in tensors.js
 * @returns {Map<number, {size: number, blocks: {bytes: Uint8Array, crc: number}[]}>} of each tensor in blocks, by its place in
 *   the list, how many elements a block has, and the blocks
 * @throws {ShoeError} where it names no such tensors, or the blocks are not all that is before the index
 */
export function readTable(table, blocks, entries) {
  const reader = new Reader(table, "the table of blocks");
  const body = new Reader(blocks, "the blocks");
  const found = new Map();
  let last = -1;
  for (let left = table.length ? reader.varint(entries.length, "the number of tensors") : 0; left > 0; left--) {
    last += 1 + reader.varint(entries.length, "how many tensors come between");
    const entry = entries[last];
    if (!entry) throw reader.fault(`there is no tensor ${last} of ${entries.length}`);
    if (entry.coding !== 0) throw reader.fault(`tensor ${last} is in blocks and has coding ${entry.coding}`);
    if (entry.count < LEAST_ELEMENTS) throw reader.fault(`tensor ${last} has ${entry.count} elements, too few for blocks`);
    const power = reader.byte();
    if (power < SMALLEST_BLOCK || power > LARGEST_BLOCK) throw reader.fault(`a block of 2^${power} elements`);
    const size = 2 ** power;
    const count = reader.varint(MOST, "the number of blocks");
    if (count !== Math.ceil(entry.count / size)) {
      throw reader.fault(`tensor ${last} has ${count} blocks, which is not one for each ${size} of its ${entry.count} elements`);
    }
    const parts = [];
    for (let i = 0; i < count; i++) {
      const bytes = body.bytes(reader.varint(MOST, "the length of a block"));
      const stored = reader.bytes(4);
      parts.push({ bytes, crc: new DataView(stored.buffer, stored.byteOffset, 4).getUint32(0, true) });
    }
    found.set(last, { size, blocks: parts });
  }
  reader.end();
  body.end();
  return found;
}
