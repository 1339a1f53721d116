// The small things of docs/format.md: numbers, texts, elements and shapes, read from bytes without ever leaving them.

/** What is wrong with a file, in a sentence. Every fault of a file is reported as one of these. */
export class ShoeError extends Error {
  constructor(message) {
    super(message);
    this.name = "ShoeError";
  }
}

/** Element types by ONNX number: their name and how many bytes one takes. */
export const ELEMENTS = new Map([
  [1, { type: "float32", width: 4 }],
  [2, { type: "uint8", width: 1 }],
  [3, { type: "int8", width: 1 }],
  [4, { type: "uint16", width: 2 }],
  [5, { type: "int16", width: 2 }],
  [6, { type: "int32", width: 4 }],
  [7, { type: "int64", width: 8 }],
  [9, { type: "bool", width: 1 }],
  [10, { type: "float16", width: 2 }],
  [11, { type: "float64", width: 8 }],
  [12, { type: "uint32", width: 4 }],
  [13, { type: "uint64", width: 8 }],
  [16, { type: "bfloat16", width: 2 }],
]);

export const FLOAT32 = 1;
export const INT8 = 3;
export const INT16 = 5;
export const INT64 = 7;
const BOOL = 9;
export const FLOATS = new Set([1, 10, 11, 16]);

const MOST_AXES = 32;
const MOST_ELEMENTS = 2 ** 40;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Four tables, one after the other: what a byte makes of the rest, with no byte after it, with one that is 0, two, three. */
const CRC_TABLES = new Int32Array(4 * 256);
for (let i = 0; i < 4 * 256; i++) {
  let rest = i < 256 ? i : CRC_TABLES[i - 256];
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  CRC_TABLES[i] = rest;
}

/**
 * The CRC-32 (of zlib and PNG).
 * @param {Uint8Array} bytes
 * @returns {number} from 0 to 2^32 - 1
 */
export function crc32(bytes) {
  let rest = -1;
  let i = 0;
  for (const last = bytes.length - 4; i <= last; i += 4) {
    rest ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    const lower = CRC_TABLES[768 + (rest & 255)] ^ CRC_TABLES[512 + ((rest >>> 8) & 255)];
    rest = lower ^ CRC_TABLES[256 + ((rest >>> 16) & 255)] ^ CRC_TABLES[rest >>> 24];
  }
  for (; i < bytes.length; i++) rest = CRC_TABLES[(rest ^ bytes[i]) & 255] ^ (rest >>> 8);
  return ~rest >>> 0;
}

/**
 * How many elements a shape has.
 * @param {number[]} shape
 * @returns {number} exact: the product is checked to be at most 2^40 where a shape is read
 */
export function elementsOf(shape) {
  return shape.reduce((product, axis) => product * axis, 1);
}

/**
 * Refuses bools that are neither 0 nor 1, which would make an engine that reads them do anything.
 * @param {number} element ONNX number of the element type
 * @param {Uint8Array} bytes the elements
 * @param {string} what what they are, for the message
 */
export function checkBools(element, bytes, what) {
  if (element !== BOOL) return;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] > 1) throw new ShoeError(`${what}: a bool must be 0 or 1, not ${bytes[i]}`);
  }
}

/** A place in bytes, which moves on as they are read; each method throws ShoeError where the bytes end too early. */
export class Reader {
  /**
   * @param {Uint8Array} bytes
   * @param {string} what what they are, for messages: "the graph"
   */
  constructor(bytes, what) {
    this.all = bytes;
    this.at = 0;
    this.what = what;
  }

  /** How many bytes are left. */
  get left() {
    return this.all.length - this.at;
  }

  /** @returns {ShoeError} with `message` said of what is read here */
  fault(message) {
    return new ShoeError(`${this.what}: ${message}`);
  }

  /** Throws unless all has been read. */
  end() {
    if (this.left) throw this.fault(`${this.left} bytes are left over at its end`);
  }

  /** @returns {number} the next byte */
  byte() {
    if (this.at >= this.all.length) throw this.fault("it ends too early");
    return this.all[this.at++];
  }

  /**
   * @param {number} length
   * @returns {Uint8Array} a view of the next `length` bytes, not a copy
   */
  bytes(length) {
    if (length > this.left) throw this.fault(`it ends too early: ${length} bytes are wanted and ${this.left} are left`);
    this.at += length;
    return this.all.subarray(this.at - length, this.at);
  }

  /** @returns {bigint} the next varint, from 0 to 2^64 - 1 */
  bigVarint() {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      // The tenth byte holds the last of 64 bits: more than a 1 in it, or an eleventh byte, is beyond them.
      if (shift === 63n && byte > 1) throw this.fault("a number has more than 64 bits");
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) {
        if (byte === 0 && shift) throw this.fault("a number is not in its shortest form");
        return value;
      }
    }
  }

  /**
   * The next varint, where nothing above `most` makes sense.
   * @param {number} most at most 2^53 - 1, so that the result is exact
   * @param {string} what what is counted, for the message
   * @returns {number}
   */
  varint(most, what) {
    const start = this.at;
    let value = 0;
    let unit = 1;
    // Seven bytes are 49 bits, which a number holds exactly; anything longer goes the long way.
    for (let i = 0; i < 7; i++, unit *= 128) {
      const byte = this.byte();
      value += (byte & 127) * unit;
      if (byte < 128) {
        if (byte === 0 && i) throw this.fault("a number is not in its shortest form");
        if (value > most) throw this.fault(`${what}: ${value} is more than ${most}`);
        return value;
      }
    }
    this.at = start;
    const long = this.bigVarint();
    if (long > BigInt(most)) throw this.fault(`${what}: ${long} is more than ${most}`);
    return Number(long);
  }

  /**
   * @param {string} what what is counted, for the message
   * @returns {number} the length of a list whose items take a byte or more
   */
  count(what) {
    const count = this.varint(Number.MAX_SAFE_INTEGER, what);
    if (count > this.left) throw this.fault(`${what}: ${count} is more than the bytes that are left`);
    return count;
  }

  /** @returns {bigint} the next signed integer, from -2^63 to 2^63 - 1 */
  signed() {
    const value = this.bigVarint();
    return value & 1n ? -(value >> 1n) - 1n : value >> 1n;
  }

  /**
   * @param {string} what what it names, for the message
   * @param {number} most how many bytes it may have
   * @returns {string}
   */
  text(what, most = Number.MAX_SAFE_INTEGER) {
    const bytes = this.bytes(this.varint(most, `the length of ${what}`));
    try {
      return UTF8.decode(bytes);
    } catch {
      throw this.fault(`${what} is not UTF-8`);
    }
  }

  /** @returns {number} the ONNX number of an element type that a file may hold */
  element() {
    const element = this.byte();
    if (!ELEMENTS.has(element)) throw this.fault(`there is no element type ${element}`);
    return element;
  }

  /** @returns {number} how many axes follow */
  axes() {
    return this.varint(MOST_AXES, "the number of axes");
  }

  /**
   * @param {number} axes how many, if they were read already
   * @returns {number[]} the axes; the product, an axis of 0 counted as 1, is at most 2^40
   */
  shape(axes = this.axes()) {
    const shape = [];
    let product = 1;
    for (let i = 0; i < axes; i++) {
      const axis = this.varint(MOST_ELEMENTS, "an axis");
      shape.push(axis);
      product *= axis || 1; // Both are at most 2^40: a double may round what is above 2^53, but not to below 2^40.
      if (product > MOST_ELEMENTS) throw this.fault(`a shape of ${shape} ... has more than 2^40 elements`);
    }
    return shape;
  }
}
