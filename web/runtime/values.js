// Values of a graph: typed arrays outside the memory of the kernels, or places in it.

import { ShoeError } from "../reader.js";

/** What goes wrong while a file is made ready or run: the message says what was wrong, with the value, and what to do. */
export class RunError extends ShoeError {
  constructor(message) {
    super(message);
    this.name = "RunError";
  }
}

/** The array that holds the numbers of each type. int64 and uint64 are numbers up to 2^53, and float16 is kept as float32. */
export const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Float32Array,
  int64: Float64Array,
  uint64: Float64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** The arrays in which a caller is given integers of 64 bits. */
export const LARGE = { int64: BigInt64Array, uint64: BigUint64Array };

/** `data`, the numbers of a type of 64 bits; throws where one is no integer that float64 holds exactly. */
export function exact(type, data, where) {
  for (let i = 0; i < data.length; i++) {
    if (Number.isSafeInteger(data[i]) && (data[i] >= 0 || type === "int64")) continue;
    throw new RunError(`${where}: ${data[i]} is no ${type} of up to 53 bits: look at the inputs, or run it with ONNX Runtime, after shoestring export`);
  }
  return data;
}

/** @param {number[]} shape */
export const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** A value: its type, its shape and, from when it is computed, its `data`. Several values may share one place. */
export class Value {
  constructor(type, shape, place) {
    this.type = type;
    this.shape = shape;
    this.size = sizeOf(shape);
    this.place = place;
    this.known = false; // whether its numbers are the same in every run of these shapes
    this.lasting = false; // whether they are the same for all shapes
  }

  get data() {
    const { place } = this;
    if (!place.store) return place.array;
    if (place.array.buffer !== place.store.buffer) place.array = place.store.view(this.type, place.at, this.size);
    return place.array;
  }

  /** Where it is in the memory of the kernels, in bytes; what is outside is copied into it, once. */
  get at() {
    const { place } = this;
    place.at ??= place.home.keep(place.array);
    return place.at;
  }
}

/** A value that is known, with its numbers outside the memory of the kernels. */
export function known(type, shape, array, home) {
  const value = new Value(type, shape, { store: null, array, home });
  value.known = true;
  return value;
}

const FIRST = 16384; // bytes of the memory that are the stack of the kernels
const BLOCK = 2 ** 18; // how much is taken at once for what stays
const SPARE = 32; // kernels read a vector beyond the end
const rounded = (bytes) => Math.ceil((bytes + SPARE) / 16) * 16;

/** The memory of the kernels: what stays (weights), and what is free again when its last reader has run. */
export class Store {
  /**
   * @param {object} kernels whose memory it is
   * @param {number} maxBytes
   */
  constructor(kernels, maxBytes) {
    this.kernels = kernels;
    this.maxBytes = maxBytes;
    this.outside = 0; // bytes of known values outside the memory
    this.clear();
  }

  /** Forgets everything that is in the memory. */
  clear() {
    this.end = FIRST;
    this.free = []; // {at, bytes}, in order
    this.room = { at: 0, bytes: 0 }; // what is left of the last block for what stays
  }

  get buffer() {
    return this.kernels.memory.buffer;
  }

  view(type, at, size) {
    return new ARRAYS[type](this.buffer, at, size);
  }

  /** Counts bytes against maxBytes before they are taken. */
  afford(bytes) {
    if (this.end + this.outside + bytes <= this.maxBytes) return;
    throw new RunError(
      `running this file takes more memory than maxBytes, ${this.maxBytes}: ${Math.ceil(this.end + this.outside + bytes)} bytes; ` +
        "run fewer examples at once, or raise maxBytes",
    );
  }

  /** Counts what is outside the memory of the kernels. */
  count(bytes) {
    this.afford(bytes);
    this.outside += bytes;
  }

  extend(bytes) {
    this.afford(bytes);
    const at = this.end;
    this.kernels.grow(at + bytes);
    this.end = at + bytes;
    return at;
  }

  /** A place for so many bytes, until `give`. */
  take(bytes) {
    const wanted = rounded(bytes);
    const found = this.free.findIndex((one) => one.bytes >= wanted);
    if (found >= 0) {
      const hole = this.free[found];
      const { at } = hole;
      if (hole.bytes === wanted) this.free.splice(found, 1);
      else this.free[found] = { at: at + wanted, bytes: hole.bytes - wanted };
      return at;
    }
    const last = this.free.at(-1);
    if (last && last.at + last.bytes === this.end) {
      this.free.pop();
      this.extend(wanted - last.bytes);
      return last.at;
    }
    return this.extend(wanted);
  }

  give(at, size) {
    const hole = { at, bytes: rounded(size) };
    let i = this.free.findIndex((one) => one.at > at);
    if (i < 0) i = this.free.length;
    this.free.splice(i, 0, hole);
    for (const j of [i, i - 1]) {
      const [left, right] = [this.free[j], this.free[j + 1]];
      if (!left || !right || left.at + left.bytes !== right.at) continue;
      this.free.splice(j, 2, { at: left.at, bytes: left.bytes + right.bytes });
    }
  }

  /** A place for so many bytes that stays, in new memory: to a place that was given back, steps of other plans still write. */
  stay(bytes) {
    const wanted = rounded(bytes);
    if (this.room.bytes < wanted) {
      const block = Math.max(wanted, Math.min(BLOCK, this.maxBytes - this.end - this.outside));
      this.room = { at: this.extend(block), bytes: block };
    }
    const { at } = this.room;
    this.room = { at: at + wanted, bytes: this.room.bytes - wanted };
    return at;
  }

  /** Copies an array to where it stays. */
  keep(array) {
    const at = this.stay(array.byteLength);
    new array.constructor(this.buffer, at, array.length).set(array);
    return at;
  }
}

/** What is kept for inputs of given shapes: copies for the kernels, and known values outside their memory. */
export class Scope {
  /**
   * @param {Store} store
   * @param {(bytes: number) => number} place where copies go: `stay` of the store, unless nothing runs after the scope is over
   */
  constructor(store, place) {
    Object.assign(this, { store, place, copies: [], counted: 0 });
  }

  keep(array) {
    const bytes = array.byteLength;
    const at = this.place(bytes);
    this.copies.push({ at, bytes });
    new array.constructor(this.store.buffer, at, array.length).set(array);
    return at;
  }

  count(bytes) {
    this.store.count(bytes);
    this.counted += bytes;
  }

  /** Gives all back. */
  release() {
    for (const { at, bytes } of this.copies) this.store.give(at, bytes);
    this.store.outside -= this.counted;
    Object.assign(this, { copies: [], counted: 0 });
  }
}
