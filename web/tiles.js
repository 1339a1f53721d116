// Orders 1 to 4: a matrix in tiles, where all bits of a plane in a tile have the chances that they have at its beginning.

import { averageOf, chanceFrom, chanceOf, featureOf, learned, MODELLED_PLACES, STRETCH } from "./context.js";
import { blockEnds, digitsWork, LARGEST_BLOCK, passWork } from "./work.js";


/**
 * Decodes a matrix in tiles.
 * @param {import("./context.js").Contexts} contexts
 * @returns {Int16Array} the numbers, row by row
 */
export function decodeTiles(contexts) {
  const { rows, columns, order } = contexts.model;
  const tallest = Math.max(1, Math.floor(LARGEST_BLOCK / columns));
  const room = Math.min(rows, tallest) * columns; // numbers of a tile at most: with an odd width it may be the whole block
  const tile = new Tile(contexts, new Int16Array(rows * columns), room);
  const ends = blockEnds(rows, columns, order);
  for (let i = 1; i < ends.length; i++) {
    for (const parity of [0, 1]) {
      tile.choose(ends[i - 1], ends[i], parity);
      tile.decode();
    }
  }
  return tile.numbers;
}

/** The numbers that are decoded together, with the contexts of each; place i of each array is the i-th of them. */
class Tile {
  constructor(contexts, numbers, room) {
    const { columns, width } = contexts.model;
    this.contexts = contexts;
    this.numbers = numbers;
    this.count = 0;
    this.height = 0; // rows of the block
    this.row = new Uint32Array(room);
    this.column = new Uint32Array(room);
    this.near = new Uint8Array(room);
    this.far = new Uint8Array(room);
    this.nearSign = new Uint8Array(room);
    this.farSign = new Uint8Array(room);
    this.bits = new Uint8Array(room);
    this.length = new Uint8Array(room);
    this.value = new Int16Array(room);
    this.listed = new Uint32Array(room);
    this.longer = new Uint32Array(room);
    /** The group of each column. */
    this.groupOf = new Uint32Array(columns);
    if (width) for (let c = 0; c < columns; c++) this.groupOf[c] = Math.floor(c / width);
  }

  /** Takes the numbers of rows `from` to `to` - 1 with row + column + group of this parity, and looks around them. */
  choose(from, to, parity) {
    const { columns } = this.contexts.model;
    const { row, column, groupOf } = this;
    this.height = to - from;
    let n = 0;
    for (let r = from; r < to; r++) {
      for (let c = 0; c < columns; c++) {
        if (((r + c + groupOf[c]) & 1) !== parity) continue;
        row[n] = r;
        column[n++] = c;
      }
    }
    this.count = n;
    if (parity === 0) {
      this.near.fill(0, 0, n);
      this.far.fill(0, 0, n);
      this.nearSign.fill(13, 0, n);
      this.farSign.fill(6, 0, n);
    } else for (let i = 0; i < n; i++) this.look(i);
  }

  /** The neighbourhoods of number i of a second tile. What is not decoded yet, the tile itself among it, is 0 in `numbers`. */
  look(i) {
    const { rows, columns, width } = this.contexts.model;
    const { numbers } = this;
    const r = this.row[i];
    const c = this.column[i];
    const at = r * columns + c;
    const above = r > 0 ? numbers[at - columns] : 0;
    const below = r + 1 < rows ? numbers[at + columns] : 0;
    const left = c > 0 ? numbers[at - 1] : 0;
    const right = c + 1 < columns ? numbers[at + 1] : 0;
    const before = width && c >= width ? numbers[at - width] : 0;
    const after = width && c + width < columns ? numbers[at + width] : 0;
    const m1 = Math.min(Math.abs(above), 3) + Math.min(Math.abs(below), 3);
    const m2 = Math.min(Math.abs(left), 3) + Math.min(Math.abs(right), 3);
    const m3 = Math.min(Math.abs(before), 3) + Math.min(Math.abs(after), 3);
    this.near[i] = 27 + 9 * Math.min(m1, 2) + 3 * Math.min(m2, 2) + Math.min(m3, 2);
    this.far[i] = 21 + Math.min(m1 + m2 + m3, 20);
    const s1 = Math.sign(above) + Math.sign(below);
    const s2 = Math.sign(left) + Math.sign(right);
    const s3 = Math.sign(before) + Math.sign(after);
    this.nearSign[i] = 40 + 9 * Math.sign(s1) + 3 * Math.sign(s2) + Math.sign(s3);
    this.farSign[i] = 27 + s1 + s2 + s3;
  }

  /** Decodes the numbers that were chosen, plane by plane, and puts them into the matrix. */
  decode() {
    const { listed, longer, bits, length, value } = this;
    const { columns, digits } = this.contexts.model;
    for (let i = 0; i < this.count; i++) listed[i] = i;
    this.decodePlane(0, listed, this.count, this.near, this.far);
    let n = 0;
    for (let i = 0; i < this.count; i++) if (bits[i]) listed[n++] = i;
    this.decodePlane(1, listed, n, this.nearSign, this.farSign);
    // Until its digits are known, the value of a number is its sign.
    for (let j = 0; j < n; j++) value[listed[j]] = bits[listed[j]] ? 1 : -1;
    for (let j = 0; j < n; j++) length[(longer[j] = listed[j])] = 1;
    for (let k = 1, left = n; k < digits && left; k++) {
      this.decodePlane(k + 1, longer, left, this.near, this.far);
      let still = 0;
      for (let j = 0; j < left; j++) {
        if (!bits[longer[j]]) continue;
        length[longer[j]] = k + 1;
        longer[still++] = longer[j];
      }
      left = still;
    }
    this.decodeDigits(n);
    for (let j = 0; j < n; j++) this.numbers[this.row[listed[j]] * columns + this.column[listed[j]]] = value[listed[j]];
  }

  /** The bits of plane k of `count` numbers, `chosen`, into `bits`. */
  decodePlane(k, chosen, count, nears, fars) {
    if (!count) return;
    // What the first plane asks for is known beforehand.
    if (k) this.contexts.account.spend(passWork(this.contexts.model, this.height, count));
    const { contexts, row, column, groupOf, bits } = this;
    const { strength, rate, width } = contexts.model;
    const { stream, feature, when, column: columnsFrom, group: groupsFrom, near: nearFrom, far: farFrom } = contexts;
    const plane = contexts.plane(k);
    const { counts, weights } = plane;
    const [weight0, weight1, weight2, weight3, weight4] = weights;
    const average = averageOf(plane);
    const base = STRETCH[average];
    const now = ++contexts.now;
    let [sum0, sum1, sum2, sum3, sum4] = [0, 0, 0, 0, 0];
    let ones = 0;
    // A context's feature is taken when it is first met in the tile, before its counts change.
    const met = (context) => {
      when[context] = now;
      return (feature[context] = featureOf(counts, context, strength, average));
    };
    for (let j = 0; j < count; j++) {
      const i = chosen[j];
      const context0 = row[i];
      const context1 = columnsFrom + column[i];
      const context2 = groupsFrom + groupOf[column[i]];
      const context3 = nearFrom + nears[i];
      const context4 = farFrom + fars[i];
      const feature0 = when[context0] === now ? feature[context0] : met(context0);
      const feature1 = when[context1] === now ? feature[context1] : met(context1);
      const feature2 = width === 0 ? 0 : when[context2] === now ? feature[context2] : met(context2);
      const feature3 = when[context3] === now ? feature[context3] : met(context3);
      const feature4 = when[context4] === now ? feature[context4] : met(context4);
      const p = chanceFrom(
        weight0 * feature0 + weight1 * feature1 + weight2 * feature2 + weight3 * feature3 + weight4 * feature4,
        base,
      );
      const bit = stream.bit(p);
      const error = 65536 * bit - p;
      sum0 += error * feature0;
      sum1 += error * feature1;
      sum2 += error * feature2;
      sum3 += error * feature3;
      sum4 += error * feature4;
      counts[2 * context0 + bit]++;
      counts[2 * context1 + bit]++;
      counts[2 * context2 + bit]++;
      counts[2 * context3 + bit]++;
      counts[2 * context4 + bit]++;
      bits[i] = bit;
      ones += bit;
    }
    [sum0, sum1, sum2, sum3, sum4].forEach((sum, kind) => (weights[kind] = learned(weights[kind], sum, rate)));
    plane.ones += 16 * ones;
    plane.zeros += 16 * (count - ones);
  }

  /** The digits after the first of the `n` numbers that are not zero, place by place; `value` holds their signs. */
  decodeDigits(n) {
    const { contexts, listed, length, value, longer } = this;
    const { stream } = contexts;
    let left = 0;
    for (let j = 0; j < n; j++) if (length[listed[j]] > 1) longer[left++] = listed[j];
    for (let place = 1; left; place++) {
      contexts.account.spend(digitsWork(left));
      const seen = new Map(); // of each node: its chance, and the zeros and ones that it is to learn
      let still = 0;
      for (let j = 0; j < left; j++) {
        const i = longer[j];
        const v = Math.abs(value[i]);
        let bit;
        if (place <= MODELLED_PLACES) {
          const node = contexts.node(length[i], v);
          if (!seen.has(node)) seen.set(node, [0, 0, chanceOf(node[0], node[1])]);
          const learns = seen.get(node);
          bit = stream.bit(learns[2]);
          learns[bit]++;
        } else bit = stream.bit(32768);
        value[i] = value[i] < 0 ? 2 * value[i] - bit : 2 * value[i] + bit;
        if (place + 1 < length[i]) longer[still++] = i;
      }
      for (const [node, [zeros, ones]] of seen) {
        node[0] += zeros;
        node[1] += ones;
      }
      left = still;
    }
  }
}
