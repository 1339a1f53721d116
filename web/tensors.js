// The tensor list, and the tensors that it says are in the plain values and the code stream.

import { Contexts, readModel } from "./context.js";
import { decodeOneByOne } from "./one_by_one.js";
import { checkBools, ELEMENTS, elementsOf, FLOAT32, FLOATS, INT16, INT8, ShoeError } from "./reader.js";
import { Frequencies } from "./stream.js";
import { decodeTiles } from "./tiles.js";
import { roomOf } from "./work.js";

export const CODINGS = ["raw", "levels", "sparse", "planes", "levels in context", "grid", "grid of slices", "zeros"];
const [RAW, LEVELS, SPARSE, PLANES, CONTEXT, GRID, SLICES, ZEROS] = CODINGS.keys();
const CODINGS_OF_VERSION_1 = 3;
const MOST_TENSORS = 32768;
const MOST_LEVELS = 65536;
const MOST_STEP = 2 ** 32;
const MANY_AXES = 7; // in the first byte of a tensor: the number of axes comes later
const AS_IT_IS = 0;
const FLOAT16 = 1;
const UPPER_HALF = 2;

// All engines run on machines with the lowest byte first, as in the file; views of other types rely on it below.
if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw new ShoeError("this machine does not have the lowest byte first");

/**
 * Reads the tensor list.
 * @param {import("./reader.js").Reader} list
 * @param {number} version 1 to 4
 * @param {number} maxBytes what all tensors may take, of 4 bytes or the width for each element, whichever is more, with what
 *   decoding one of them takes for a while
 * @returns {object[]} what is known of each tensor before its values: element, type, shape, member, coding (a number), model,
 *   declared (bytes)
 */
export function readList(list, version, maxBytes) {
  const count = list.varint(MOST_TENSORS, "the number of tensors");
  const entries = [];
  let member = -1;
  let declared = 0;
  for (let i = 0; i < count; i++) {
    const start = list.at;
    const entry = version === 1 ? readHead1(list) : readHead(list);
    const { type, width } = ELEMENTS.get(entry.element);
    Object.assign(entry, { type, width, count: elementsOf(entry.shape), number: i, model: null });
    entry.declared = entry.count * Math.max(4, width);
    declared += entry.declared;
    afford(declared, maxBytes);
    member += entry.step;
    entry.member = entry.step ? member : null;
    readNeeds(list, entry);
    entry.described = list.at - start;
    entries.push(entry);
  }
  list.end();
  afford(entries.reduce((most, entry) => Math.max(most, roomOf(entry)), 0) + declared, maxBytes);
  return entries;
}

/** Throws ShoeError where so many bytes are more than are allowed. */
export function afford(bytes, maxBytes) {
  if (bytes <= maxBytes) return;
  throw new ShoeError(
    `the tensors take ${bytes} bytes or more while they are decoded, more than ${maxBytes} bytes: raise maxBytes if you ` +
      "trust the file",
  );
}

function readHead(list) {
  const first = list.byte();
  const step = first & 128 ? list.varint(MOST_STEP, "a step") : 1;
  const element = first & 64 ? list.element() : FLOAT32;
  const axes = (first >> 3) & 7;
  return { coding: first & 7, step, element, shape: list.shape(axes === MANY_AXES ? list.axes() : axes) };
}

function readHead1(list) {
  const step = list.varint(MOST_STEP, "a step");
  const element = list.element();
  const shape = list.shape();
  const coding = list.byte();
  if (coding >= CODINGS_OF_VERSION_1) throw list.fault(`there is no coding ${coding} in version 1`);
  return { coding, step, element, shape };
}

/** Reads what the coding of a tensor needs. */
function readNeeds(list, entry) {
  const { coding, element, count, width, shape } = entry;
  if (coding === LEVELS || coding === CONTEXT) {
    if (coding === CONTEXT) entry.model = readModel(list, shape);
    const most = coding === LEVELS ? Math.min(MOST_LEVELS, count) : MOST_LEVELS;
    entry.levels = list.varint(most, "the number of levels");
    if (coding === CONTEXT) entry.zero = list.varint(MOST_LEVELS, "the place of the level that is called 0");
    if (entry.levels === 0) throw list.fault("a tensor of no levels");
    entry.form = coding === LEVELS ? list.byte() : entry.model.form;
    if (coding === LEVELS && entry.levels > 1) entry.codes = list.bytes(entry.levels);
  } else if (coding === SPARSE) entry.codes = list.bytes(2);
  else if (coding === PLANES) {
    const coded = list.byte();
    if (coded >> width) throw list.fault(`bytes ${coded.toString(2)} in binary are coded, and an element has ${width}`);
    entry.planes = [];
    for (let plane = width - 1; plane >= 0; plane--) entry.planes[plane] = (coded >> plane) & 1 ? readPlane(list) : null;
  } else if (coding === GRID || coding === SLICES) {
    const integers = coding === GRID && (element === INT8 || element === INT16);
    if (element !== FLOAT32 && !integers) throw list.fault(`a grid must be of float32, int8 or int16, not ${entry.type}`);
    entry.model = readModel(list, shape);
    entry.form = entry.model.form;
    if (!integers) entry.levels = coding === SLICES && shape.length > 1 ? shape[0] : 1; // steps
  }
  if (entry.form > UPPER_HALF) throw list.fault(`there is no form ${entry.form}`);
  if (entry.form && element !== FLOAT32) throw list.fault(`form ${entry.form} is for float32, not ${entry.type}`);
}

function readPlane(list) {
  const least = list.byte();
  const values = list.byte() + 1;
  if (least + values > 256) throw list.fault(`${values} values from ${least} on are not all bytes`);
  return { least, codes: values > 1 ? list.bytes(values) : null };
}

/**
 * Decodes the tensor of an entry of the list.
 * @param {object} entry of `readList`
 * @param {import("./reader.js").Reader} plain the plain values
 * @param {import("./stream.js").Stream} stream
 * @param {import("./work.js").Work} account of what matrices ask for beyond what is known beforehand
 * @returns {{element: number, type: string, shape: number[], member: ?number, coding: string, model: ?object,
 *   bits: Uint8Array|Uint16Array|Uint32Array|BigUint64Array}}
 */
export function decodeTensor(entry, plain, stream, account) {
  const bytes = decodeBytes(entry, plain, stream, account);
  checkBools(entry.element, bytes, `tensor ${entry.number}`);
  const { element, type, shape, member, coding, model } = entry;
  return { element, type, shape, member, coding: CODINGS[coding], model, bits: bitsOf(bytes, entry.width) };
}

/** Bytes as unsigned integers of `width` bytes, in place where that is possible. */
export function bitsOf(bytes, width) {
  const aligned = bytes.byteOffset % width ? bytes.slice() : bytes;
  const Kind = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[width];
  return new Kind(aligned.buffer, aligned.byteOffset, aligned.length / width);
}

function decodeBytes(entry, plain, stream, account) {
  const { coding, count, width } = entry;
  if (coding === RAW) return plain.bytes(count * width).slice();
  if (coding === PLANES) return decodePlanes(entry, plain, stream);
  const bytes = new Uint8Array(count * width);
  const bits = bitsOf(bytes, width);
  if (coding === LEVELS) {
    const levels = formed(entry, plain, entry.levels);
    if (entry.levels === 1) bits.fill(levels[0]);
    else {
      const symbols = stream.symbols(count, new Frequencies(entry.codes));
      for (let i = 0; i < count; i++) bits[i] = levels[symbols[i]];
    }
  } else if (coding === SPARSE) {
    const given = stream.symbols(count, new Frequencies(entry.codes));
    const values = bitsOf(plain.bytes(given.reduce((sum, one) => sum + one, 0) * width).slice(), width);
    for (let i = 0, next = 0; i < count; i++) if (given[i]) bits[i] = values[next++];
  } else if (coding !== ZEROS) decodeMatrix(entry, bits, plain, stream, account);
  return bytes;
}

/** A tensor whose bytes of one weight are together, plane by plane from the highest. */
function decodePlanes({ count, width, planes, element }, plain, stream) {
  const bytes = new Uint8Array(count * width);
  for (let plane = width - 1; plane >= 0; plane--) {
    const coded = planes[plane];
    const given = coded === null ? plain.bytes(count) : coded.codes && stream.symbols(count, new Frequencies(coded.codes));
    const least = coded === null ? 0 : coded.least;
    for (let i = 0; i < count; i++) bytes[i * width + plane] = given === null ? least : least + given[i];
  }
  if (!FLOATS.has(element)) return bytes;
  // The sign was put lowest, so that the highest plane holds whole exponents: it goes back to the top.
  const words = width === 2 ? bitsOf(bytes, 2) : bitsOf(bytes, 4);
  if (width < 8) for (let i = 0; i < count; i++) words[i] = (words[i] >>> 1) | ((words[i] & 1) << (8 * width - 1));
  else {
    for (let i = 0; i < words.length; i += 2) {
      const sign = words[i] & 1;
      words[i] = (words[i] >>> 1) | (words[i + 1] << 31);
      words[i + 1] = (words[i + 1] >>> 1) | (sign << 31);
    }
  }
  return bytes;
}

/** Levels or a grid whose whole numbers are coded in context. */
function decodeMatrix(entry, bits, plain, stream, account) {
  const { model, coding, levels: steps } = entry;
  const { rows, columns, across } = model;
  if (coding === GRID && entry.element !== FLOAT32) return decodeIntegers(entry, bits, stream, account);
  const given = formed(entry, plain, entry.levels);
  const grid = coding !== CONTEXT && new Float32Array(given.buffer, given.byteOffset, given.length);
  if (grid && !grid.every(Number.isFinite)) throw new ShoeError(`tensor ${entry.number}: the step of a grid must be finite`);
  const contexts = new Contexts(model, stream, account);
  const numbers = model.order ? decodeTiles(contexts) : decodeOneByOne(contexts);
  const values = grid && new Float32Array(bits.buffer, bits.byteOffset, bits.length);
  for (let r = 0, i = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, i++) {
      const at = across ? c * rows + r : i;
      if (grid) {
        // Exact as a double, of 15 and 24 binary digits: it is rounded where it is stored. Adding 0 makes 0 of -0.
        values[at] = numbers[i] * grid[steps === 1 ? 0 : across ? c : r] + 0;
        continue;
      }
      const level = numbers[i] + entry.zero;
      if (level < 0 || level >= given.length) {
        throw new ShoeError(`tensor ${entry.number}: there is no level ${level} of ${given.length}`);
      }
      bits[at] = given[level];
    }
  }
}

/** Whole numbers that are the elements themselves. */
function decodeIntegers({ model, width, type, number }, bits, stream, account) {
  const { rows, columns, across } = model;
  const contexts = new Contexts(model, stream, account);
  const numbers = model.order ? decodeTiles(contexts) : decodeOneByOne(contexts);
  const end = 2 ** (8 * width - 1);
  for (let r = 0, i = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, i++) {
      if (numbers[i] < -end || numbers[i] >= end) throw new ShoeError(`tensor ${number}: ${numbers[i]} is no ${type}`);
      bits[across ? c * rows + r : i] = numbers[i];
    }
  }
}

let fromHalf; // the number that each float16 is, made when it is first wanted

/** The next `n` levels or steps of the plain values, as bits; those that no element has must be right too. */
function formed({ form, element, width }, plain, n) {
  if (form === AS_IT_IS) {
    const bytes = plain.bytes(n * width).slice();
    checkBools(element, bytes, "a level");
    return bitsOf(bytes, width);
  }
  const halves = bitsOf(plain.bytes(n * 2).slice(), 2);
  if (form === UPPER_HALF) {
    const upper = new Uint32Array(n);
    for (let i = 0; i < n; i++) upper[i] = halves[i] << 16;
    return upper;
  }
  fromHalf ??= Float32Array.from({ length: 65536 }, (_, bits) => fromFloat16(bits));
  const values = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    if ((halves[i] & 0x7fff) > 0x7c00) throw plain.fault("a float16 that is not a number");
    values[i] = fromHalf[halves[i]];
  }
  return new Uint32Array(values.buffer);
}

/**
 * The number that a float16 is, exactly.
 * @param {number} bits 0 to 65535
 * @returns {number}
 */
export function fromFloat16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
