// Order 0: a matrix number by number, where every bit counts for the next.

import { averageOf, chanceFrom, chanceOf, clipped, featureOf, MODELLED_PLACES, STRETCH } from "./context.js";
import { DECISION } from "./work.js";

/**
 * Decodes a matrix one by one.
 * @param {import("./context.js").Contexts} contexts
 * @returns {Int16Array} the numbers, row by row
 */
export function decodeOneByOne(contexts) {
  const { rows, columns, width } = contexts.model;
  const numbers = new Int16Array(rows * columns);
  // Two rows with zeros on both sides, as far as neighbours are looked for, so that no place need be compared with the edges.
  const before = 2 * width + 2;
  let above = new Int16Array(before + columns + width + 1);
  let row = new Int16Array(above.length);
  const progress = { decisions: 0, most: contexts.account.left(DECISION) }; // after the first of each number
  for (let r = 0; r < rows; r++) {
    for (const { counts } of contexts.planes.filter(Boolean)) counts[0] = counts[1] = 0;
    for (let c = 0; c < columns; c++) {
      numbers[r * columns + c] = row[before + c] = decodeNumber(contexts, progress, c, above, row, before + c);
    }
    [above, row] = [row, above];
    row.fill(0);
  }
  contexts.account.spend(progress.decisions * DECISION);
  return numbers;
}

function decodeNumber(contexts, progress, c, above, row, at) {
  const { width, digits } = contexts.model;
  const a = above[at];
  const b = row[at - 1];
  const other1 = above[at + 1];
  const other2 = row[at - 2];
  let over = 0;
  let [other3, other4, other5, other6] = [0, 0, 0, 0];
  if (width) {
    over = row[at - width];
    other3 = above[at + width];
    other4 = row[at - 2 * width];
    other5 = row[at - width - 1];
    other6 = width > 1 ? row[at - width + 1] : 0;
  }
  const group = contexts.group + (width ? Math.floor(c / width) : 0);
  const far0 = contexts.far + 3 * (+!!other1 + +!!other2 + +!!other3 + +!!other4 + +!!other5 + +!!other6);
  const near = contexts.near + 9 * capped(a) + 3 * capped(b) + capped(over);
  const far = far0 + Math.min(capped(b) + capped(over), 2);
  if (!decodeBit(contexts, 0, c, group, near, far)) return 0;
  const signs =
    Math.sign(other1) + Math.sign(other2) + Math.sign(other3) + Math.sign(other4) + Math.sign(other5) + Math.sign(other6);
  const nearSign = contexts.near + 9 * Math.sign(a) + 3 * Math.sign(b) + Math.sign(over) + 13;
  const farSign = contexts.far + 3 * (Math.min(Math.max(signs, -2), 2) + 2) + Math.sign(b) + 1;
  const positive = decodeBit(contexts, 1, c, group, nearSign, farSign);
  let length = 1;
  while (length < digits && decodeBit(contexts, length + 1, c, group, near, far)) length++;
  const magnitude = decodeDigits(contexts, length);
  progress.decisions += 2 * length + 1 - (length === digits ? 1 : 0); // the number itself counts as one
  if (progress.decisions > progress.most) contexts.account.spend(progress.decisions * DECISION);
  return positive ? magnitude : -magnitude;
}

function capped(number) {
  return Math.min(Math.abs(number), 2);
}

function decodeDigits(contexts, length) {
  let v = 1;
  for (let place = 1; place < length; place++) {
    let bit;
    if (place <= MODELLED_PLACES) {
      const node = contexts.node(length, v);
      bit = contexts.stream.bit(chanceOf(node[0], node[1]));
      node[bit]++;
    } else bit = contexts.stream.bit(32768);
    v = 2 * v + bit;
  }
  return v;
}

function decodeBit(contexts, k, c, group, near, far) {
  const { strength, rate, width } = contexts.model;
  const plane = contexts.plane(k);
  const { counts, weights } = plane;
  const average = averageOf(plane);
  const column = contexts.column + c;
  const feature0 = featureOf(counts, 0, strength, average);
  const feature1 = featureOf(counts, column, strength, average);
  const feature2 = width ? featureOf(counts, group, strength, average) : 0;
  const feature3 = featureOf(counts, near, strength, average);
  const feature4 = featureOf(counts, far, strength, average);
  const sum =
    weights[0] * feature0 + weights[1] * feature1 + weights[2] * feature2 + weights[3] * feature3 + weights[4] * feature4;
  const p = chanceFrom(sum, STRETCH[average]);
  const bit = contexts.stream.bit(p);
  // An error is below 2^17 and a feature below 2^13: of one bit, all fits into the 32 bits that a shift takes.
  const error = 65536 * bit - p;
  const half = 1 << (rate - 1);
  weights[0] = clipped(weights[0] + ((error * feature0 + half) >> rate));
  weights[1] = clipped(weights[1] + ((error * feature1 + half) >> rate));
  weights[2] = clipped(weights[2] + ((error * feature2 + half) >> rate));
  weights[3] = clipped(weights[3] + ((error * feature3 + half) >> rate));
  weights[4] = clipped(weights[4] + ((error * feature4 + half) >> rate));
  counts[bit]++; // of the row
  counts[2 * column + bit]++;
  counts[2 * group + bit]++;
  counts[2 * near + bit]++;
  counts[2 * far + bit]++;
  if (bit) plane.ones += 16;
  else plane.zeros += 16;
  return bit;
}
