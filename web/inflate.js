// Raw deflate (RFC 1951) with a dictionary before the data. Browsers inflate, but take no dictionary.

import { ShoeError } from "./reader.js";

const LENGTHS = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCES = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193,
  12289, 16385, 24577,
];
const DISTANCE_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST = 15; // bits of a code
const END = 256; // the symbol that ends a block
// A length and a distance of one bit each can stand for 258 bytes: no data inflates to more than this many times its size.
const MOST_TIMES = 1032;

/**
 * Inflates data that must come to exactly `length` bytes and use up all of `data`.
 * @param {Uint8Array} data raw deflate, without a header
 * @param {number} length bytes that come out; the caller has checked that so many are acceptable
 * @param {Uint8Array} dictionary bytes that the data may refer back to; may be empty
 * @param {string} what what is inflated, for messages
 * @returns {Uint8Array} of `length` bytes
 * @throws {ShoeError} where the data is not deflate, is too short or too long, or refers to what is not there
 */
export function inflate(data, length, dictionary, what) {
  if (length > data.length * MOST_TIMES) throw new ShoeError(`${what}: ${data.length} bytes cannot inflate to ${length}`);
  return new Inflater(data, length, dictionary, what).run();
}

class Inflater {
  constructor(data, length, dictionary, what) {
    this.data = data;
    this.at = 0;
    this.held = 0; // bits that were taken from the data and not used yet, the next one lowest
    this.holds = 0; // how many
    this.out = new Uint8Array(dictionary.length + length);
    this.out.set(dictionary);
    this.start = dictionary.length;
    this.to = dictionary.length;
    this.what = what;
  }

  fault(message) {
    return new ShoeError(`${this.what}: it does not inflate: ${message}`);
  }

  run() {
    let last;
    do {
      last = this.bits(1);
      const kind = this.bits(2);
      if (kind === 0) this.stored();
      else if (kind === 1) this.block(FIXED_LITERALS, FIXED_DISTANCES);
      else if (kind === 2) this.block(...this.codes());
      else throw this.fault("there is no kind of block 3");
    } while (!last);
    // Fewer than eight bits are held now, all of the last byte.
    if (this.at < this.data.length) throw this.fault(`${this.data.length - this.at} bytes follow its end`);
    if (this.to < this.out.length) {
      throw this.fault(`${this.to - this.start} bytes come out, and ${this.out.length - this.start} were promised`);
    }
    return this.out.subarray(this.start);
  }

  /** The next `count` bits, 0 to 13, as a number. Takes no byte before a bit of it is wanted. */
  bits(count) {
    while (this.holds < count) {
      if (this.at >= this.data.length) throw this.fault("it ends too early");
      this.held |= this.data[this.at++] << this.holds;
      this.holds += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.holds -= count;
    return value;
  }

  /** The next symbol of a code: one bit at a time, which is fast enough for the few kilobytes that are inflated here. */
  symbol({ counts, symbols }) {
    let code = 0;
    let first = 0;
    let place = 0;
    for (let size = 1; size <= LONGEST; size++) {
      code |= this.bits(1);
      const count = counts[size];
      if (code - first < count) return symbols[place + code - first];
      place += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw this.fault("a code is not in its table");
  }

  stored() {
    this.held = 0;
    this.holds = 0;
    if (this.data.length - this.at < 4) throw this.fault("it ends too early");
    const length = this.data[this.at] | (this.data[this.at + 1] << 8);
    const check = this.data[this.at + 2] | (this.data[this.at + 3] << 8);
    if (length !== (check ^ 0xffff)) throw this.fault("the two lengths of a stored block do not agree");
    this.at += 4;
    if (length > this.data.length - this.at) throw this.fault("it ends too early");
    this.room(length);
    this.out.set(this.data.subarray(this.at, this.at + length), this.to);
    this.at += length;
    this.to += length;
  }

  room(length) {
    if (length <= this.out.length - this.to) return;
    throw this.fault(`more than the promised ${this.out.length - this.start} bytes come out`);
  }

  /** The two codes at the beginning of a block that brings its own. */
  codes() {
    const literals = this.bits(5) + 257;
    const distances = this.bits(5) + 1;
    const sizes = this.bits(4) + 4;
    if (literals > 286 || distances > 30) throw this.fault("a block has more symbols than there are");
    const lengths = new Uint8Array(19);
    for (let i = 0; i < sizes; i++) lengths[LENGTH_ORDER[i]] = this.bits(3);
    const code = tableOf(lengths);
    if (!code.full) throw this.fault("the code of the code lengths is not one");
    const all = new Uint8Array(literals + distances);
    for (let i = 0; i < all.length; ) {
      const symbol = this.symbol(code);
      if (symbol < 16) {
        all[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) throw this.fault("there is no code length to repeat");
      const value = symbol === 16 ? all[i - 1] : 0;
      const times = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
      if (times > all.length - i) throw this.fault("a block has more code lengths than symbols");
      all.fill(value, i, i + times);
      i += times;
    }
    if (!all[END]) throw this.fault("a block has no code for its end");
    const codes = [tableOf(all.subarray(0, literals)), tableOf(all.subarray(literals))];
    for (const { full, single } of codes) if (!full && !single) throw this.fault("a block's code is not one");
    return codes;
  }

  block(literals, distances) {
    for (;;) {
      const symbol = this.symbol(literals);
      if (symbol === END) return;
      if (symbol < END) {
        this.room(1);
        this.out[this.to++] = symbol;
        continue;
      }
      if (symbol - 257 >= LENGTHS.length) throw this.fault(`there is no length symbol ${symbol}`);
      const length = LENGTHS[symbol - 257] + this.bits(LENGTH_BITS[symbol - 257]);
      const far = this.symbol(distances);
      if (far >= DISTANCES.length) throw this.fault(`there is no distance symbol ${far}`);
      const distance = DISTANCES[far] + this.bits(DISTANCE_BITS[far]);
      if (distance > this.to) throw this.fault("it refers to bytes before its beginning");
      this.room(length);
      // Byte by byte: what is copied may overlap what it makes.
      for (let i = 0; i < length; i++, this.to++) this.out[this.to] = this.out[this.to - distance];
    }
  }
}

/**
 * A canonical code from the lengths of its symbols' codes (0: none). `full`: every bit string begins with a code of it.
 * `single`: no code, or one of a single bit, which deflate allows although it is not full. Too many codes are neither.
 */
function tableOf(lengths) {
  const counts = new Uint16Array(LONGEST + 1);
  for (const length of lengths) counts[length]++;
  const places = new Uint16Array(LONGEST + 2);
  let left = 1;
  let over = false;
  for (let size = 1; size <= LONGEST; size++) {
    left = 2 * left - counts[size];
    if (left < 0) {
      over = true;
      break;
    }
    places[size + 1] = places[size] + counts[size];
  }
  const used = lengths.length - counts[0];
  counts[0] = 0;
  const symbols = new Uint16Array(used);
  if (!over) lengths.forEach((length, symbol) => length && (symbols[places[length]++] = symbol));
  return { counts, symbols, full: !over && left === 0, single: !over && (used === 0 || (used === 1 && counts[1] === 1)) };
}

const FIXED_LITERALS = tableOf(Uint8Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)));
const FIXED_DISTANCES = tableOf(new Uint8Array(30).fill(5));
