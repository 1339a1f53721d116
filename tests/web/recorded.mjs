// Writes files whose matrices have models that our writer rarely or never chooses, for the other decoder to read.
//
// node recorded.mjs FOLDER COUNT: COUNT small ones and some large ones, both orders of these from 300; a JSON line for each file. The bits are made up while the decoder asks for them; with the
// chances that it gave they are encoded to a file, which must then decode to the same numbers, here and in Python.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";

import { Contexts, readModel } from "../../web/context.js";
import { decodeOneByOne } from "../../web/one_by_one.js";
import { Reader } from "../../web/reader.js";
import { crc32, decode } from "../../web/shoe.js";
import { decodeTiles } from "../../web/tiles.js";
import { Work } from "../../web/work.js";

let seed = 1;
function random() {
  // Mulberry32: small, and the same everywhere.
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const whole = (below) => Math.floor(random() * below);

/** A stream that makes up its bits: each a 1 as likely as `choose` says of its chance and place. */
class Recorder {
  constructor(choose) {
    this.choose = choose;
    this.chances = [];
    this.bits = [];
  }

  bit(p) {
    const bit = random() < this.choose(p, this.bits.length) ? 1 : 0;
    this.chances.push(p);
    this.bits.push(bit);
    return bit;
  }

  /** The words of the bits, written as the page says: backwards. */
  encoded() {
    const words = [];
    let state = 0n;
    for (let i = this.bits.length - 1; i >= 0; i--) {
      const zero = 1n + (BigInt(65536 - this.chances[i]) * (2n ** 24n - 2n)) / 65536n;
      const [f, start] = this.bits[i] ? [2n ** 24n - zero, zero] : [zero, 0n];
      if (state >> 40n >= f) {
        words.push(Number(state & 0xffffffffn));
        state >>= 32n;
      }
      state = (state / f) * 2n ** 24n + start + (state % f);
    }
    for (; state; state >>= 32n) words.push(Number(state & 0xffffffffn));
    return new Uint8Array(Uint32Array.from(words).buffer);
  }
}

function varint(n) {
  const bytes = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
  return [...bytes, n];
}

/** A checkpoint of one tensor of float32, a grid of step 1. */
function file(shape, model, stream) {
  const list = [0, 1, 5 | (shape.length << 3), ...shape.flatMap(varint), ...model];
  const text = [1, 97, 0];
  const names = [...varint(text.length), ...deflateRawSync(Uint8Array.from(text))];
  const lengths = [0, list.length, names.length, stream.length].flatMap(varint);
  const body = [...[0x53, 0x48, 0x4f, 0x45, 2], ...lengths, ...list, ...names];
  const all = new Uint8Array(body.length + stream.length + 4 + 4);
  all.set(body);
  all.set(stream, body.length);
  all.set([0, 0, 0x80, 0x3f], body.length + stream.length);
  new DataView(all.buffer).setUint32(all.length - 4, crc32(all.subarray(0, all.length - 4)), true);
  return all;
}

function write(name, shape, model, choose) {
  const read = readModel(new Reader(Uint8Array.from(model), "a model"), shape);
  const recorder = new Recorder(choose);
  const contexts = new Contexts(read, recorder, new Work(Infinity));
  const numbers = read.order ? decodeTiles(contexts) : decodeOneByOne(contexts);
  const bytes = file(shape, model, recorder.encoded());
  const path = join(process.argv[2], `${name}.shoe`);
  writeFileSync(path, bytes);
  const decoded = new Float32Array(decode(bytes).tensors[0].bits.buffer);
  const { across, rows, columns } = read;
  const same = numbers.every((n, i) => n === decoded[across ? (i % columns) * rows + Math.floor(i / columns) : i]);
  const crc = crc32(new Uint8Array(decoded.buffer));
  console.log(JSON.stringify({ path, shape, model: read, same, crc, zero_chance: recorder.chances.includes(0) }));
}

function randomModel(shape, order, digits) {
  const columns = shape.length === 1 ? shape[0] : shape.slice(1).reduce((product, axis) => product * axis, 1);
  const grouped = random() < 0.6;
  const across = !grouped && random() < 0.5;
  const first = (order << 5) | (across << 4) | (whole(2) << 3) | (grouped << 2) | whole(4);
  const width = random() < 0.3 ? columns : 1 + whole(Math.min(columns, 8));
  return [first, (whole(4) << 6) | (digits << 2), ...(grouped ? varint(width) : [])];
}

const count = Number(process.argv[3]);
for (let i = 0; i < count; i++) {
  const shape = Array.from({ length: 1 + whole(3) }, () => 1 + whole(random() < 0.2 ? 40 : 9));
  const bias = [0.05, 0.3, 0.5, 0.8, 0.97][whole(5)];
  const choose = random() < 0.5 ? (p) => p / 65536 : () => bias;
  write(`small_${i}`, shape, randomModel(shape, i % 5, 1 + whole(15)), choose);
}
// Blocks that are cut (more than 2^18 numbers), rows that are longer than a block, and columns of one number.
for (const [i, shape] of [[700, 900], [2, 300000], [300000, 2], [5, 7, 11, 13]].entries()) {
  for (const order of count < 300 ? [1 + 2 * (i % 2)] : [1, 3]) write(`cut_${i}_${order}`, shape, randomModel(shape, order, 3), (p) => p / 65536);
}
// A node that has seen more than 65,536 zeros, so that its chance of a 1 is 0: all numbers are 2 or -2.
const twos = (run) => (p, at) => [1, 0.5, 1, 0][Math.floor(at / run) % 4];
write("node_one_by_one", [70000], [0, (1 << 6) | (2 << 2)], twos(1));
write("node_in_tiles", [300, 800], [1 << 5, (1 << 6) | (2 << 2)], twos(120000));
