// The account of work in docs/format.md: what each thing that a file asks for may cost, in nanoseconds, and the memory that
// decoding takes for a while. It does not depend on the machine: every decoder takes and refuses the same files.

import { lanesFor } from "./lanes.js";
import { ShoeError } from "./reader.js";

const SECOND = 1e9;
const [TENSOR, AXIS, ELEMENT] = [20_000, 1_000, 5];
const [LEVELS, LEVEL] = [15_000, 15]; // levels or scales, and each of them
const [PLANE, PLANE_ELEMENT] = [15_000, 4];
const [TABLE, ENTRY] = [60_000, 160];
const [SYMBOL, SYMBOL_BIT] = [20, 7];
const NUMBER = 25; // to make elements of whole numbers in context
const [MATRIX, ROW, COLUMN] = [60_000, 1_000, 250]; // one by one
export const DECISION = 2_750;
const [TILED, TILE, PASS, CONTEXT, TILED_DECISION] = [120_000, 70_000, 35_000, 50, 220];
const [BLOCK, LANES, STEP, LANE_SYMBOL] = [150_000, 1_500_000, 15_000, 20]; // tensors in blocks
const OLD_BYTE = 24 * DECISION; // what versions 1 to 3 have besides, for each byte of the code stream
const NEIGHBOURHOODS = 96; // contexts, of both tiles of a block
export const LARGEST_BLOCK = 2 ** 18; // numbers in a block of more than one row
const CHUNK = 2 ** 20; // symbols that are decoded at once (in Python)

/** The nanoseconds that a file may ask for whose tensors take `declared` bytes, with `stream` bytes of old code stream. */
export function allowance(declared, stream) {
  return SECOND + 1000 * declared + OLD_BYTE * stream;
}

/** How much of its allowance a file has asked for. */
export class Work {
  /** @param {number} allowed in nanoseconds */
  constructor(allowed) {
    this.allowed = allowed;
    this.asked = 0;
  }

  /** Counts so many nanoseconds more; throws ShoeError where that is more than is left. */
  spend(nanoseconds) {
    this.asked += nanoseconds;
    if (this.asked <= this.allowed) return;
    const [asked, allowed] = [this.asked, this.allowed].map((n) => (n / SECOND).toFixed(1));
    throw new ShoeError(
      `decoding this file takes ${asked} s or more by the account of its format, and ${allowed} s are allowed; if you trust ` +
        "this file, raise maxSeconds",
    );
  }

  /** How many things of this price may still be asked for. */
  left(price) {
    return Math.floor((this.allowed - this.asked) / price);
  }
}

/**
 * The first rows of the blocks of a matrix in tiles, and the number of its rows.
 * @param {number} order 1 to 4
 * @returns {number[]}
 */
export function blockEnds(rows, columns, order) {
  const ends = [0];
  const tallest = Math.max(1, Math.floor(LARGEST_BLOCK / columns));
  const edges = new Set();
  for (let k = 2 * (order - 1); k >= 0; k--) edges.add(Math.ceil(rows / 2 ** k));
  for (const edge of edges) {
    for (let at = ends.at(-1) + tallest; at < edge; at += tallest) ends.push(at);
    ends.push(edge);
  }
  return ends;
}

function groupsOf({ width, columns }) {
  return width ? Math.ceil(columns / width) : 0;
}

/** What is known beforehand of a matrix: a decision for each number, and what comes with it. */
function matrixWork(model) {
  const { order, rows, columns, width } = model;
  if (!order) return MATRIX + ROW * rows + COLUMN * (columns + width) + (NUMBER + DECISION) * rows * columns;
  const blocks = blockEnds(rows, columns, order).length - 1;
  return (
    TILED +
    blocks * 2 * (TILE + PASS) +
    2 * CONTEXT * (blocks * (columns + groupsOf(model) + NEIGHBOURHOODS) + rows) +
    (NUMBER + TILED_DECISION) * rows * columns
  );
}

/** Another plane of a tile in a block of `rows` rows, with so many bits. */
export function passWork(model, rows, bits) {
  return PASS + CONTEXT * (model.columns + groupsOf(model) + NEIGHBOURHOODS + rows) + TILED_DECISION * bits;
}

/** A place of the digits of a tile, with so many bits. */
export function digitsWork(bits) {
  return PASS + TILED_DECISION * bits;
}

/** How many symbols each table of an entry of the tensor list has. */
function tablesOf({ codes, planes }) {
  const each = planes ? planes.filter((plane) => plane?.codes).map((plane) => plane.codes.length) : [];
  return codes ? [...each, codes.length] : each;
}

/** What is known beforehand of the work of decoding an entry of the tensor list, in nanoseconds. */
export function workOf(entry) {
  const { shape, count, levels = 0, planes, model } = entry;
  let total = TENSOR + AXIS * shape.length + ELEMENT * count + (levels && LEVELS + LEVEL * levels);
  if (planes) total += planes.length * (PLANE + PLANE_ELEMENT * count);
  for (const symbols of tablesOf(entry)) {
    total += TABLE + ENTRY * symbols + count * (SYMBOL + SYMBOL_BIT * (32 - Math.clz32(symbols - 1)));
  }
  return model ? total + matrixWork(model) : total;
}

/**
 * The work of decoding a tensor in blocks of `size` elements, in nanoseconds. All planes are taken as coded, and there may be
 * one more, which says which elements are zero.
 */
export function blocksWork({ count, width }, size) {
  const rest = count % size;
  return Math.floor(count / size) * blockWork(size, width) + (rest ? blockWork(rest, width) : 0);
}

function blockWork(count, width) {
  return BLOCK + (width + 1) * (LANES + STEP * Math.ceil(count / lanesFor(count)) + LANE_SYMBOL * count);
}

/** The bytes that decoding a tensor in blocks of `size` elements may need for a while, besides the tensor itself. */
export function blocksRoom({ count, width }, size) {
  return 8 * Math.min(count, size) * width;
}

/** The bytes that decoding an entry of the tensor list may need for a while, besides the tensor itself. */
export function roomOf(entry) {
  const { count, planes, model } = entry;
  if (model) return matrixRoom(model);
  const tables = tablesOf(entry);
  const chunk = 24 * Math.min(count, CHUNK);
  return (tables.length ? 2 * count + chunk + 64 * Math.max(...tables) : 0) + (planes ? chunk : 0);
}

function matrixRoom(model) {
  const { order, rows, columns, width, digits } = model;
  if (!order) {
    const seen = 32 * (1 + digits) * (columns + groupsOf(model) + NEIGHBOURHOODS / 2);
    return 12 * rows * columns + seen + 40 * (columns + 2 * width);
  }
  const block = Math.min(rows * columns, Math.max(columns, LARGEST_BLOCK));
  const seen = 16 * (1 + digits) * (rows + 2 * columns);
  return 4 * (rows + 2) * (columns + 2 * Math.max(width, 1)) + 240 * block + seen;
}
