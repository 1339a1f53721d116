// Convolutions and products of integers: float32 has all integers up to 2^24, so the kernels of
// floats compute them.

import { nearest } from "./functions.js";
import { convolution, matrices, outputOf, slowly } from "./products.js";
import { stepsOf } from "./shapes.js";
import { sizeOf } from "./values.js";

const EXACT = 2 ** 24; // float32 has all integers up to it

/**
 * Integers minus their zero point, as float32 in a scratch: [value, run]. `axis`: of a zero point
 * for each slice.
 */
function floated(call, value, zero, axis) {
  const made = call.scratch("float32", value.shape);
  const inner = zero && zero.size > 1 ? stepsOf(value.shape)[axis] : value.size || 1;
  return [
    made,
    () => {
      const [from, to, zeros] = [value.data, made.data, zero ? zero.data : [0]];
      for (let i = 0; i < to.length; i++)
        to[i] = from[i] - zeros[Math.floor(i / inner) % zeros.length];
    },
  ];
}

function convInteger(call) {
  const [x, weights, zeroX, zeroW] = [call.input(0), call.input(1), call.inputs[2], call.inputs[3]];
  call.sized(2, 1);
  call.sized(3, 1, weights.shape[0]);
  const { y, shape } = outputOf(call, x, weights, "int32");
  const inner = sizeOf(weights.shape.slice(1));
  if (!(inner * 255 * 255 <= EXACT) && !small(weights, zeroW, 255)) {
    throw call.fault(
      `a sum of ${inner} products of ${x.type} and ${weights.type} may have more than 24 bits, ` +
        "which this runtime does not compute",
    );
  }
  const [fromX, first] = floated(call, x, zeroX, 0);
  const [fromW, second] = floated(call, weights, zeroW, 0);
  const sums = call.scratch("float32", y.shape);
  const run = convolution(call, fromX, fromW, null, sums, shape);
  return () => {
    first();
    second();
    run();
    y.data.set(sums.data);
  };
}

/** Whether every sum with known weights surely has 24 bits. */
function small(weights, zero, most) {
  if (!weights.known || (zero && !zero.known)) return false;
  const inner = sizeOf(weights.shape.slice(1));
  for (let o = 0; o < weights.shape[0]; o++) {
    let sum = 0;
    const of = zero ? zero.data[zero.size > 1 ? o : 0] : 0;
    for (let k = 0; k < inner; k++) sum += Math.abs(weights.data[o * inner + k] - of);
    if (sum * most > EXACT) return false;
  }
  return true;
}

/**
 * Sums of integers, rescaled: scales of the inputs over that of the output, to the nearest, around
 * its zero point.
 */
function requantised(call, sums, y, scales, axis, bias) {
  const inner = axis < 0 ? 1 : stepsOf(y.shape)[axis];
  const width = y.shape.at(axis) ?? 1;
  const [least, most] = y.type === "int8" ? [-128, 127] : [0, 255];
  return () => {
    const [a, b, to, zeros] = [
      scales[0].data[0],
      scales[1].data,
      scales[2].data[0],
      scales[3] ? scales[3].data[0] : 0,
    ];
    const [from, out] = [sums.data, y.data];
    for (let i = 0; i < out.length; i++) {
      const channel = Math.floor(i / inner) % width;
      const factor = Math.fround(Math.fround(a * b[b.length > 1 ? channel : 0]) / to);
      const found =
        nearest(Math.fround((from[i] + (bias ? bias.data[channel] : 0)) * factor)) + zeros;
      out[i] = found < least ? least : found > most ? most : found;
    }
  };
}

/** A part of a node as a node of its own, whose output is a scratch of this one: [output, run]. */
function within(call, inputs, make) {
  const part = Object.create(call);
  let made;
  part.inputs = inputs;
  part.out = (type, shape) => (made = call.scratch(type, shape));
  const run = make(part);
  return [made, run];
}

function qlinearConv(call) {
  const [x, scaleX, zeroX, weights, scaleW, zeroW, scaleY, zeroY] = [0, 1, 2, 3, 4, 5, 6, 7].map(
    (i) => call.input(i),
  );
  for (const i of [1, 6, 7]) call.sized(i, 1);
  call.sized(4, 1, weights.shape[0]);
  call.sized(8, weights.shape[0]);
  const [sums, run] = within(call, [x, weights, zeroX, zeroW], convInteger);
  const y = call.out(zeroY.type, sums.shape);
  const rescale = requantised(call, sums, y, [scaleX, scaleW, scaleY, zeroY], 1, call.inputs[8]);
  return () => (run(), rescale());
}

function matmulInteger(call) {
  const [a, b, zeroA, zeroB] = [call.input(0), call.input(1), call.inputs[2], call.inputs[3]];
  const found = matrices(call, a, b);
  call.sized(2, 1, found.m);
  call.sized(3, 1, found.n);
  const y = call.out("int32", found.shape);
  return slowly(call, a, b, y, found, zeroOf(zeroA), zeroOf(zeroB));
}

const zeroOf = (zero) => (zero ? (i) => zero.data[zero.size > 1 ? i : 0] : () => 0);

function qlinearMatmul(call) {
  const [a, scaleA, zeroA, b, scaleB, zeroB, scaleY, zeroY] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
    call.input(i),
  );
  for (const i of [1, 6, 7]) call.sized(i, 1);
  call.sized(4, 1, b.shape.at(-1));
  const [sums, run] = within(call, [a, b, zeroA, zeroB], matmulInteger);
  const y = call.out(zeroY.type, sums.shape);
  const rescale = requantised(call, sums, y, [scaleA, scaleB, scaleY, zeroY], -1, null);
  return () => (run(), rescale());
}

export const INTEGERS = {
  ConvInteger: convInteger,
  MatMulInteger: matmulInteger,
  QLinearConv: qlinearConv,
  QLinearMatMul: qlinearMatmul,
};
