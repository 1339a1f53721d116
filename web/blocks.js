// Tensors in blocks: each block decodes alone, plane by plane.

import { decodeLanes } from "./lanes.js";
import { checkBools, crc32, FLOATS, Reader, ShoeError } from "./reader.js";
import { bitsOf } from "./tensors.js";

const [PLANES, SPARSE, LEVELS] = [0, 1, 2]; // kinds of blocks
const [STORED, CONSTANT, CODED] = [0, 1, 2]; // kinds of planes

/**
 * Decodes a tensor in blocks.
 * @param {object} entry of `readList` in tensors.js
 * @param {{size: number, blocks: {bytes: Uint8Array, crc: number}[]}} table of `readTable` in indexed.js
 * @returns {{element: number, type: string, shape: number[], member: ?number, coding: string, model: null,
 *   bits: Uint8Array|Uint16Array|Uint32Array|BigUint64Array}}
 * @throws {ShoeError} where a block is damaged, or not as docs/format.md says
 */
export function decodeBlocks(entry, { size, blocks }) {
  const { element, type, shape, member, width, count, number } = entry;
  const bytes = new Uint8Array(count * width); // which `readList` has claimed
  blocks.forEach((block, i) => {
    const what = `block ${i} of tensor ${number}`;
    if (crc32(block.bytes) !== block.crc) throw new ShoeError(`${what} is damaged: its CRC-32 is not what the index says`);
    const part = bytes.subarray(i * size * width, Math.min((i + 1) * size, count) * width);
    decodeBlock(new Reader(block.bytes, what), part, element, width);
    checkBools(element, part, what);
  });
  return { element, type, shape, member, coding: "blocks", model: null, bits: bitsOf(bytes, width) };
}

function decodeBlock(reader, out, element, width) {
  const float = FLOATS.has(element);
  const kind = reader.byte();
  const planes = new Planes(reader);
  const count = out.length / width;
  if (kind === PLANES) {
    planes.elements(count, width, out);
    planes.end();
    if (float) unrotate(out, width);
  } else if (kind === SPARSE) {
    const given = new Uint8Array(count);
    if (planes.take(count, given, 0, 1) === STORED) throw reader.fault("the plane of what is given is stored");
    if (given.some((one) => one > 1)) throw reader.fault("an element is neither given nor zero");
    const values = new Uint8Array(given.reduce((sum, one) => sum + one, 0) * width);
    planes.elements(values.length / width, width, values);
    planes.end();
    if (float) unrotate(values, width);
    const [from, to] = [bitsOf(values, width), bitsOf(out, width)];
    for (let i = 0, next = 0; i < count; i++) if (given[i]) to[i] = from[next++];
  } else if (kind === LEVELS) {
    const stored = reader.bytes((reader.byte() + 1) * width).slice();
    checkBools(element, stored, `${reader.what}, a level`); // those that no element has too
    const levels = bitsOf(stored, width);
    const places = new Uint8Array(count);
    planes.take(count, places, 0, 1);
    planes.end();
    const beyond = places.find((place) => place >= levels.length);
    if (beyond !== undefined) throw reader.fault(`there is no level ${beyond} of ${levels.length}`);
    const to = bitsOf(out, width);
    for (let i = 0; i < count; i++) to[i] = levels[places[i]];
  } else throw reader.fault(`there is no kind of block ${kind}`);
}

/** The planes of a block, one after the other; stored ones get their symbols at its end. */
class Planes {
  constructor(reader) {
    this.reader = reader;
    this.stored = [];
    this.carried = [];
  }

  /** Takes the planes of `count` elements of `width` bytes, from the highest to the lowest. */
  elements(count, width, out) {
    for (let plane = width - 1; plane >= 0; plane--) this.take(count, out, plane, width);
  }

  /** Takes a plane, whose symbol i goes to out[from + i x stride]; returns its kind. */
  take(count, out, from, stride) {
    const { reader } = this;
    const kind = reader.byte();
    const end = from + count * stride;
    if (kind === STORED) this.stored.push({ count, out, from, stride });
    else if (kind === CONSTANT) {
      const byte = reader.byte();
      for (let at = from; at < end; at += stride) out[at] = byte;
    } else if (kind !== CODED) throw reader.fault(`there is no kind of plane ${kind}`);
    else if (count === 0) throw reader.fault("a coded plane has no symbols");
    else this.carried.push(decodeLanes(reader, count, out, from, stride));
    return kind;
  }

  /** Gives the stored planes their symbols: first what the lanes carry, then what is left of the block. */
  end() {
    const { reader, stored } = this;
    const carried = new Uint8Array(this.carried.reduce((sum, bytes) => sum + bytes.length, 0));
    this.carried.reduce((at, bytes) => (carried.set(bytes, at), at + bytes.length), 0);
    const wanted = stored.reduce((sum, { count }) => sum + count, 0);
    const first = carried.subarray(0, Math.min(wanted, carried.length));
    if (carried.subarray(first.length).some((byte) => byte !== 0)) throw reader.fault("its lanes carry what no plane wants");
    const rest = reader.bytes(wanted - first.length);
    reader.end();
    let place = 0; // among all stored bytes
    for (const { count, out, from, stride } of stored) {
      let at = from;
      const split = Math.min(Math.max(first.length - place, 0), count); // symbols that are carried
      for (let i = 0; i < split; i++, at += stride) out[at] = first[place + i];
      const offset = place - first.length;
      for (let i = split; i < count; i++, at += stride) out[at] = rest[offset + i];
      place += count;
    }
  }
}

/** Puts the lowest bit of each number, its sign, back to the top. */
function unrotate(bytes, width) {
  if (width === 2) {
    const words = bitsOf(bytes, 2);
    for (let i = 0; i < words.length; i++) words[i] = (words[i] >>> 1) | (words[i] << 15);
    return;
  }
  const words = bitsOf(bytes, 4);
  if (width === 4) for (let i = 0; i < words.length; i++) words[i] = (words[i] >>> 1) | (words[i] << 31);
  else {
    for (let i = 0; i < words.length; i += 2) {
      const [low, high] = [words[i], words[i + 1]];
      words[i] = (low >>> 1) | (high << 31);
      words[i + 1] = (high >>> 1) | (low << 31);
    }
  }
}
