// The coder of blocks: range asymmetric numeral systems with up to 2,048 lanes, states of 32 bits, words of 16 and
// frequencies of 12.

const TOTAL = 4096; // what the frequencies of a table add up to
const SEGMENT = 4096; // symbols that have one table
const MOST_TABLES = 8;
const MOST_LANES_IN_BITS = 11;
const SYMBOLS_OF_A_LANE = 1024;
const LEAST_STATE = 65536;

/** How many lanes so many symbols have. */
export function lanesFor(count) {
  return 2 ** Math.min(MOST_LANES_IN_BITS, Math.floor(Math.log2(Math.max(1, Math.floor(count / SYMBOLS_OF_A_LANE)))));
}

/**
 * Decodes a coded plane, whose symbols are bytes.
 * @param {import("./reader.js").Reader} reader of the block, where the plane's kind has been read
 * @param {number} count how many symbols; at least 1
 * @param {Uint8Array} out gets symbol i at `from` + i x `stride`
 * @param {number} from
 * @param {number} stride
 * @returns {Uint8Array} what the lanes carry: the last states less 65536, of two bytes each
 * @throws {ShoeError} where the plane is not as docs/format.md says
 */
export function decodeLanes(reader, count, out, from, stride) {
  const least = reader.byte();
  const values = reader.byte() + 1;
  const tables = reader.byte() + 1;
  if (least + values > 256) throw reader.fault(`${values} values from ${least} on are not all bytes`);
  if (tables > MOST_TABLES) throw reader.fault(`a plane has ${tables} tables, more than ${MOST_TABLES}`);
  const slots = new Int32Array(TOTAL * tables);
  for (let table = 0; table < tables; table++) readSlots(reader, least, values, slots, table * TOTAL);
  const segments = Math.ceil(count / SEGMENT);
  const tableOf = tables > 1 ? reader.bytes(segments) : new Uint8Array(segments);
  const beyond = tableOf.find((table) => table >= tables);
  if (beyond !== undefined) throw reader.fault(`a segment has table ${beyond} of ${tables}`);
  const length = reader.varint(Number.MAX_SAFE_INTEGER, "the number of words");
  const lanes = lanesFor(count);
  const states = new Uint32Array(reader.bytes(4 * lanes).slice().buffer); // tensors.js has made sure of the lowest byte first
  if (states.some((state) => state < LEAST_STATE)) throw reader.fault(`a lane begins with a state below ${LEAST_STATE}`);
  const stored = reader.bytes(2 * length);
  // A damaged plane wants more words than there are: a segment may run into the zeros at the end, and then it is found out.
  const words = new Uint16Array(length + SEGMENT + 1);
  new Uint8Array(words.buffer).set(stored);
  const taken = takeSymbols(slots, tableOf, new Int32Array(states.buffer), words, length, count, out, from, stride);
  if (taken !== length) throw reader.fault(`the lanes want ${taken > length ? "more" : "less"} than the ${length} words`);
  if (states.some((state) => state < LEAST_STATE || state >= 2 * LEAST_STATE)) {
    throw reader.fault(`a lane does not end with a state from ${LEAST_STATE} to ${2 * LEAST_STATE - 1}`);
  }
  return new Uint8Array(Uint16Array.from(states, (state) => state - LEAST_STATE).buffer);
}

/**
 * Reads a table. Slot q, from 0 to 4095, has all that a state with these lowest bits wants, in 32 bits: from the highest, the
 * frequency less one (12), how far q is in the symbol's interval (12), and the symbol (8).
 */
function readSlots(reader, least, values, slots, base) {
  let start = 0;
  for (let value = 0; value < values; value++) {
    const frequency = reader.varint(TOTAL - start, "a frequency, with those before it in its table");
    for (let i = 0; i < frequency; i++) {
      slots[base + start + i] = ((frequency - 1) << 20) | (i << 8) | (least + value);
    }
    start += frequency;
  }
  if (start !== TOTAL) throw reader.fault(`the frequencies of a table are ${start} together, not ${TOTAL}`);
}

/** The loop; returns how many words were taken, or, where that is more than there are, any number above `length`. */
function takeSymbols(slots, tableOf, states, words, length, count, out, from, stride) {
  const mask = states.length - 1;
  let next = 0;
  for (let segment = 0, i = 0, at = from; i < count; segment++) {
    const base = tableOf[segment] * TOTAL;
    const end = Math.min(i + SEGMENT, count);
    for (; i < end; i++, at += stride) {
      const lane = i & mask;
      const state = states[lane];
      const slot = slots[base | (state & 4095)];
      out[at] = slot; // its lowest 8 bits
      // Below 2^32, so that 32 bits hold it, whichever sign they are read with: f <= 4096 and the quotient is below 2^20.
      const rest = (Math.imul((slot >>> 20) + 1, state >>> 12) + ((slot >>> 8) & 4095)) | 0;
      // Without a branch, which would be foretold wrongly half the time: 1 where it is below 65536, and 0 otherwise.
      const wants = ((rest >>> 16) - 1) >>> 31;
      states[lane] = (rest << (wants << 4)) | (words[next] & -wants);
      next += wants;
    }
    if (next > length) return next;
  }
  return next;
}
