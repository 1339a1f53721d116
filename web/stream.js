// The code stream: range asymmetric numeral systems with a state of 64 bits, words of 32 and frequencies of 24.
//
// The state is kept in two halves of 32 bits, and its products are split so that all parts stay below 2^53, where numbers are
// exact: a BigInt in these loops would make them some fifty times slower.

import { ShoeError } from "./reader.js";

const TOTAL = 2 ** 24;
const MASK = TOTAL - 1;
const WORD = 2 ** 32;
const MOST_BUCKET_BITS = 12;

/** The weight that a code byte stands for: 0 to 15 << 30. */
function weightOf(code) {
  const exponent = code >> 3;
  const digits = code & 7;
  return exponent === 0 ? digits : (8 + digits) * 2 ** (exponent - 1);
}

/** A table of symbols: what interval of 0 to 2^24 - 1 each has, and where to look for the one that a number is in. */
export class Frequencies {
  /** @param {Uint8Array} codes a code byte for each symbol; at least 2 and at most 65,536 */
  constructor(codes) {
    const n = codes.length;
    let sum = 0; // at most 2^16 x 2^34: exact
    let heaviest = 0;
    for (let i = 0; i < n; i++) {
      sum += weightOf(codes[i]);
      if (weightOf(codes[i]) > weightOf(codes[heaviest])) heaviest = i;
    }
    sum = Math.max(sum, 1);
    /** starts[s] is where the interval of symbol s begins; starts[n] is 2^24. */
    this.starts = new Uint32Array(n + 1);
    let rest = TOTAL;
    for (let i = 0; i < n; i++) {
      // Exact although it passes 2^53: the weight has four digits in binary and the rest is zeros.
      const product = weightOf(codes[i]) * (TOTAL - n);
      // The quotient is a whole number below 2^24: rounding sets right what a double could not hold of the dividend.
      const frequency = 1 + Math.round((product - (product % sum)) / sum);
      this.starts[i + 1] = frequency;
      rest -= frequency;
    }
    this.starts[heaviest + 1] += rest;
    for (let i = 0; i < n; i++) this.starts[i + 1] += this.starts[i];
    const bits = Math.min(MOST_BUCKET_BITS, Math.floor(Math.log2(n)));
    /** A number q is in symbols first[q >> shift] to first[(q >> shift) + 1]. */
    this.shift = 24 - bits;
    this.first = new Uint16Array(2 ** bits + 1);
    for (let bucket = 0, symbol = 0; bucket < 2 ** bits; bucket++) {
      while (this.starts[symbol + 1] <= bucket * 2 ** this.shift) symbol++;
      this.first[bucket] = symbol;
    }
    this.first[2 ** bits] = n - 1;
  }

  /** @returns {number} the symbol whose interval q, from 0 to 2^24 - 1, is in */
  find(q) {
    const { starts, first } = this;
    let low = first[q >> this.shift];
    let high = first[(q >> this.shift) + 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= q) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** The stream that all tensors of a file share; symbols come off it in the order in which the tensors want them. */
export class Stream {
  /**
   * @param {Uint8Array} body
   * @throws {ShoeError} where it is not whole words, or its last is zero
   */
  constructor(body) {
    if (body.length % 4) throw new ShoeError(`the code stream: its ${body.length} bytes are not whole words of 4`);
    this.words = new Uint32Array(body.slice().buffer); // tensors.js has made sure that the lowest byte is first here too
    this.at = this.words.length; // words that are left
    if (this.at && this.words[this.at - 1] === 0) throw new ShoeError("the code stream: its last word is zero");
    /** The lower and upper 32 bits of the state; a typed array, so that they are never boxed. */
    this.state = new Uint32Array(2);
    this.more = 0; // bits of the last symbols that the state, which is small then, does not tell
    while (this.at && this.state[1] === 0) this.push();
  }

  /** Bits that are left, with fractions: what a symbol takes from them is its information. */
  get bits() {
    const state = this.state[1] * WORD + this.state[0];
    return 32 * this.at + (state ? Math.log2(state) : 0) - this.more;
  }

  push() {
    this.state[1] = this.state[0];
    this.state[0] = this.words[--this.at];
  }

  /** Takes a symbol of frequency `f`, at most 2^24, whose interval begins `offset` before the state's lowest 24 bits. */
  advance(f, offset) {
    const { state } = this;
    const low = state[0];
    const high = state[1];
    // floor(state / 2^24) has 40 bits: the upper 24 and the lower 16 are multiplied apart.
    const upper = (high >>> 8) * f; // below 2^48, to be multiplied by 2^16
    const lower = (((high & 255) << 8) | (low >>> 24)) * f + offset; // below 2^41
    const carried = Math.floor(upper / 65536);
    const sum = (upper - carried * 65536) * 65536 + lower; // below 2^42
    const over = Math.floor(sum / WORD);
    state[0] = sum - over * WORD;
    state[1] = carried + over;
    if (carried + over === 0 && this.at) this.push();
  }

  /**
   * @param {number} p the chance of a 1 in 65,536ths, 0 to 65,535
   * @returns {number} 0 or 1
   */
  bit(p) {
    // 1 + floor((65536 - p) x (2^24 - 2) / 65536), without the division: (65536 - p) / 32768 is above 0 and at most 2.
    const zero = 65536 - p;
    const f = 1 + zero * 256 - (zero > 32768 ? 2 : 1);
    const q = this.state[0] & MASK;
    if (q < f) {
      this.advance(f, q);
      return 0;
    }
    this.advance(TOTAL - f, q - f);
    return 1;
  }

  /**
   * @param {number} count how many symbols; the caller has checked that 2 bytes for each are acceptable
   * @param {Frequencies} frequencies
   * @returns {Uint16Array} the next `count` symbols
   */
  symbols(count, frequencies) {
    const { starts } = frequencies;
    const found = new Uint16Array(count);
    const before = this.bits;
    for (let i = 0; i < count; i++) {
      const q = this.state[0] & MASK;
      const symbol = frequencies.find(q);
      found[i] = symbol;
      this.advance(starts[symbol + 1] - starts[symbol], q - starts[symbol]);
    }
    if (!this.at) {
      const counts = new Float64Array(starts.length - 1);
      for (const symbol of found) counts[symbol]++;
      const told = counts.reduce((sum, one, symbol) => sum + one * (24 - Math.log2(starts[symbol + 1] - starts[symbol])), 0);
      this.more += told - (before - this.bits);
    }
    return found;
  }

  /** Throws ShoeError unless all symbols have been taken. */
  end() {
    if (!this.at && !this.state[0] && !this.state[1]) return;
    throw new ShoeError("the code stream: it does not end with the last tensor");
  }
}
