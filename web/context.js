// Whole numbers in context: the model of a matrix, and the chances that it gives to the bits of its numbers.

const STRENGTHS = [2, 6, 20, 64];
const SHARES = [26214, 45875];
const RATES = [13, 15, 17, 19];
const TILED = 4; // the highest order
const MOST_ONE_BY_ONE = 2 ** 24; // numbers
const MOST_COLUMNS = 2 ** 20; // in tiles
const NEAR = 54; // contexts of the near neighbourhood: 0 to 26 one by one and in the first tile, 27 to 53 in the second
const FAR = 40;
const MOST_WEIGHT = 2 ** 19;
const STEEPEST = 2816;
const FIRST_HALF = [
  1, 2, 3, 5, 8, 13, 22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4972, 7812, 11955, 17625, 24743, 32768,
];
export const MODELLED_PLACES = 3; // digits after the first that have nodes

/** SQUASH[x + 2816] is the chance, in 65,536ths, for x from -2816 to 2816. */
export const SQUASH = new Int32Array(2 * STEEPEST + 1);
/** STRETCH[p] is the least x with squash(x) >= p, for p from 0 to 65535. */
export const STRETCH = new Int16Array(65536);
{
  const point = [...FIRST_HALF, ...FIRST_HALF.slice(0, -1).reverse().map((y) => 65536 - y)];
  for (let x = 0, p = 0; x < SQUASH.length; x++) {
    const i = x >> 7;
    SQUASH[x] = i === 44 ? point[44] : point[i] + (((point[i + 1] - point[i]) * (x & 127) + 64) >> 7);
    for (; p <= SQUASH[x]; p++) STRETCH[p] = x - STEEPEST;
  }
}

/**
 * Reads the model of a matrix.
 * @param {import("./reader.js").Reader} reader
 * @param {number[]} shape of the tensor
 * @returns {{order: number, across: boolean, share: number, strength: number, rate: number, digits: number, form: number,
 *   width: number, rows: number, columns: number}} rows and columns are those of what is coded, in [columns, rows] of the
 *   tensor's matrix where it is across; `width` is 0 where there are no groups
 * @throws {ShoeError} where it is not a model, or not one for this shape
 */
export function readModel(reader, shape) {
  if (!shape.length || shape.includes(0)) throw reader.fault(`a tensor of shape [${shape}] cannot be a matrix`);
  const first = reader.byte();
  const second = reader.byte();
  const order = first >> 5;
  const across = (first & 16) !== 0;
  const digits = (second >> 2) & 15;
  if (order > TILED) throw reader.fault(`there is no order ${order}`);
  if (digits === 0) throw reader.fault("a model of magnitudes without digits");
  const height = shape.length === 1 ? 1 : shape[0];
  const breadth = shape.reduce((product, axis) => product * axis, 1) / height;
  let width = 0;
  if (first & 4) {
    width = reader.varint(breadth, "the width of a group");
    if (width === 0 || across) throw reader.fault(across ? "a width in a matrix across" : "a width of 0");
  }
  const [rows, columns] = across ? [breadth, height] : [height, breadth];
  const numbers = rows * columns;
  if (order === 0 && numbers > MOST_ONE_BY_ONE) throw reader.fault(`${numbers} numbers one by one: more than 2^24`);
  if (order > 0 && columns > MOST_COLUMNS) throw reader.fault(`${columns} columns in tiles: more than 2^20`);
  const share = SHARES[(first >> 3) & 1];
  const strength = STRENGTHS[first & 3];
  return { order, across, share, strength, rate: RATES[second >> 6], digits, form: second & 3, width, rows, columns };
}

/**
 * What the contexts of a matrix learn. A context is named by a number: first those of the rows, then those of the columns,
 * the groups, the near and the far neighbourhoods, each kind from the places `column`, `group`, `near` and `far` on.
 */
export class Contexts {
  /**
   * @param {ReturnType<typeof readModel>} model
   * @param {import("./stream.js").Stream} stream what gives bits for chances
   * @param {import("./work.js").Work} account of what it asks for beyond what is known beforehand
   */
  constructor(model, stream, account) {
    const groups = model.width ? Math.ceil(model.columns / model.width) : 1;
    this.model = model;
    this.stream = stream;
    this.account = account;
    this.column = model.order ? model.rows : 1; // one by one, a row is done with before the next begins
    this.group = this.column + model.columns;
    this.near = this.group + groups;
    this.far = this.near + NEAR;
    this.size = this.far + FAR;
    this.planes = [];
    this.nodes = [];
    // In tiles the feature of a context stays as it is while a plane of a tile is decoded: it is kept, with the number of that
    // plane and tile in `when`.
    const kept = model.order ? this.size : 0;
    this.feature = new Int32Array(kept);
    this.when = new Uint32Array(kept);
    this.now = 0;
  }

  /** Plane number `k`, made when it is first wanted: most matrices have few of the 16 that there may be. */
  plane(k) {
    if (!this.planes[k]) {
      const [zeros, ones] = k === 0 ? [16, 2] : k === 1 ? [8, 8] : [10, 6];
      // counts[2 c] and counts[2 c + 1] are the zeros and ones of context c.
      const weights = new Float64Array(5).fill(this.model.share);
      this.planes[k] = { zeros, ones, weights, counts: new Uint32Array(2 * this.size) };
    }
    return this.planes[k];
  }

  /** The counts of zeros and ones of node (length, v), for the digits after the first of numbers of `length` digits. */
  node(length, v) {
    const place = (length << MODELLED_PLACES) | v;
    return (this.nodes[place] ??= [1, 1]);
  }
}

/** The chance of a 1, from 0 to 65535, by the counts of zeros and ones. */
export function chanceOf(zeros, ones) {
  return Math.floor((65536 * ones) / (zeros + ones));
}

/** The average of a plane: the chance by its totals, from 1 to 65535. */
export function averageOf(plane) {
  return Math.min(Math.max(chanceOf(plane.zeros, plane.ones), 1), 65535);
}

/**
 * The feature of a context.
 * @param {Uint32Array} counts of the plane
 * @param {number} context its number
 * @param {number} strength of the average, in bits seen
 * @param {number} average of the plane
 * @returns {number} from -5632 to 5632; 0 where the context has seen nothing
 */
export function featureOf(counts, context, strength, average) {
  const zeros = counts[2 * context];
  const ones = counts[2 * context + 1];
  if (zeros + ones === 0) return 0;
  // All parts are below 2^53, and the quotient below 2^17 by a divisor below 2^35: rounding cannot lift it to a whole number.
  const chance = Math.floor((65536 * ones + strength * average) / (zeros + ones + strength));
  return STRETCH[Math.min(chance, 65535)] - STRETCH[average];
}

/** The chance for a sum of weights times features over 65,536, and the stretched average. */
export function chanceFrom(sum, base) {
  const x = Math.floor(sum / 65536) + base;
  return SQUASH[(x < -STEEPEST ? -STEEPEST : x > STEEPEST ? STEEPEST : x) + STEEPEST];
}

/** A weight after bits whose errors times features have the sum `sum` (below 2^53). */
export function learned(weight, sum, rate) {
  return clipped(weight + Math.floor((sum + 2 ** (rate - 1)) / 2 ** rate));
}

/** A weight, from -2^19 to 2^19. */
export function clipped(weight) {
  return weight < -MOST_WEIGHT ? -MOST_WEIGHT : weight > MOST_WEIGHT ? MOST_WEIGHT : weight;
}
