// Sums, softmax, normalisation and pools: operators that compute numbers from many.

import { NOTHING } from "./call.js";
import { each, INTEGERS, safe, whole as integer } from "./elements.js";
import { copied } from "./layout.js";
import { geometry } from "./products.js";
import { axisOf, broadcast, joined, stepsIn, stepsOf, walk } from "./shapes.js";
import { sizeOf } from "./values.js";

const sum = (a, b) => a + b;

/** `of` [start, one more, at the end of `count`] along axes. */
function reduced(start, of, last = (sum) => sum) {
  return (call) => {
    const x = call.input(0);
    const [more, end] = INTEGERS.has(x.type) ? [(a, b) => safe(of(a, b)), (all, count) => integer(call, x.type, last(all, count))] : [of, last];
    const given = call.inputs[1] ? call.numbers(1) : call.attribute("axes", null);
    if (!given?.length && call.attribute("noop_with_empty_axes", 0)) return each((one) => end(more(start, one), 1))(call);
    const axes = given?.length ? given.map((axis) => axisOf(axis, x.shape.length)) : x.shape.map((_, i) => i);
    const kept = x.shape.map((size, i) => (axes.includes(i) ? 1 : size));
    const y = call.out(x.type, call.attribute("keepdims", 1) ? kept : kept.filter((_, i) => !axes.includes(i)));
    const steps = stepsOf(x.shape);
    const outer = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
    const pick = (list, from) => (from.length ? from.map((i) => list[i]) : [0]);
    const size = (from) => (from.length ? from.map((i) => x.shape[i]) : [1]);
    const [shape, stepsOuter] = joined(size(outer), pick(steps, outer));
    const [inner, stepsInner] = joined(size(axes), pick(steps, axes));
    const count = sizeOf(inner);
    const [n, step, m, stepM] = [inner.at(-1), stepsInner.at(-1), shape.at(-1), stepsOuter.at(-1)];
    call.work(x.size);
    const simple = more === sum && inner.length === 1; // the usual case, in one loop
    return () => {
      const [from, to] = [x.data, y.data];
      let at = 0;
      walk(shape, [stepsOuter], ([place]) => {
        for (let j = 0; simple && j < m; j++) {
          let all = 0;
          for (let k = 0, i = place + j * stepM; k < n; k++, i += step) all += from[i];
          to[at++] = end(all, count);
        }
        if (simple) return;
        for (let j = 0; j < m; j++) {
          let sum = start;
          walk(inner, [stepsInner], ([p]) => {
            for (let k = 0, i = place + j * stepM + p; k < n; k++, i += step) sum = more(sum, from[i]);
          });
          to[at++] = end(sum, count);
        }
      });
    };
  };
}

/** The place of the largest along an axis, of `sign` times the numbers. */
function argument(sign) {
  return (call) => {
    const x = call.input(0);
    const axis = axisOf(call.attribute("axis", 0), x.shape.length);
    const last = call.attribute("select_last_index", 0);
    const shape = x.shape.flatMap((size, i) => (i === axis ? (call.attribute("keepdims", 1) ? [1] : []) : [size]));
    const [size, inner] = [x.shape[axis], stepsOf(x.shape)[axis]];
    if (size === 0 && sizeOf(shape)) throw call.fault(`axis ${axis} of [${x.shape}] has no elements: look at the inputs`);
    const y = call.out("int64", shape);
    return () => {
      const [from, to] = [x.data, y.data];
      for (let i = 0; i < to.length; i++) {
        const start = Math.floor(i / inner) * size * inner + (i % inner);
        let best = 0;
        for (let k = 1; k < size; k++) {
          const more = sign * (from[start + k * inner] - from[start + best * inner]);
          if (more > 0 || (last && more === 0)) best = k;
        }
        to[i] = best;
      }
    };
  };
}

/** Above 0 where u is the larger, and NaN is larger than all numbers. */
const order = (u, v) => (u > v ? 1 : u < v ? -1 : +(u !== u) - +(v !== v));

function topK(call) {
  const x = call.input(0);
  const axis = axisOf(call.attribute("axis", -1), x.shape.length);
  const [k] = call.numbers(1) ?? call.missing(1);
  const [size, inner] = [x.shape[axis], stepsOf(x.shape)[axis]];
  if (k > size) throw call.fault(`the ${k} largest of ${size} are wanted: the file is made wrongly`);
  const shape = x.shape.map((one, i) => (i === axis ? k : one));
  const [y, places] = [call.out(x.type, shape), call.out("int64", shape)];
  const sign = call.attribute("largest", 1) ? 1 : -1;
  call.work(x.size, 100);
  return () => {
    const from = x.data;
    for (let o = 0; o < x.size / size; o++) {
      const [block, rest] = [Math.floor(o / inner), o % inner];
      const value = (i) => from[(block * size + i) * inner + rest];
      const sorted = Array.from({ length: size }, (_, i) => i).sort((a, b) => sign * order(value(b), value(a)) || a - b);
      for (let i = 0; i < k; i++) {
        const at = (block * k + i) * inner + rest;
        y.data[at] = value(sorted[i]);
        places.data[at] = sorted[i];
      }
    }
  };
}

function softmax(logarithm) {
  return (call) => {
    const x = call.input(0);
    const y = call.out(x.type, x.shape);
    const axis = axisOf(call.attribute("axis", call.opset < 13 ? 1 : -1), x.shape.length);
    const flat = call.opset < 13; // over all axes from this one
    const inner = flat ? 1 : stepsOf(x.shape)[axis] ?? 1;
    const size = flat ? sizeOf(x.shape.slice(axis)) : x.shape[axis] ?? 1;
    call.work(x.size, 20);
    const { kernels } = call;
    if (inner === 1 && !logarithm && x.type === "float32" && size) {
      const from = x.at;
      return () => kernels.softmax(from, y.at, x.size / size, size);
    }
    return () => {
      const [from, to] = [x.data, y.data];
      for (let o = 0; o < x.size / size; o++) {
        const start = Math.floor(o / inner) * size * inner + (o % inner);
        const end = start + size * inner;
        let most = -Infinity;
        for (let i = start; i < end; i += inner) if (from[i] > most) most = from[i];
        let sum = 0;
        for (let i = start; i < end; i += inner) sum += to[i] = Math.exp(from[i] - most);
        const rest = most + Math.log(sum);
        for (let i = start; i < end; i += inner) to[i] = logarithm ? from[i] - rest : to[i] / sum;
      }
    };
  };
}

/** Rows of `size` numbers to mean 0 and variance 1, then times `scale(i)` plus `shift(i)`. */
function normalise(from, to, start, size, epsilon, centred, scale, shift) {
  let mean = 0;
  if (centred) {
    for (let i = start; i < start + size; i++) mean += from[i];
    mean /= size;
  }
  let variance = 0;
  for (let i = start; i < start + size; i++) variance += (from[i] - mean) ** 2;
  const factor = 1 / Math.sqrt(variance / size + epsilon);
  for (let i = 0; i < size; i++) to[start + i] = (from[start + i] - mean) * factor * scale(i) + shift(i);
}

function layerNormalisation(centred) {
  return (call) => {
    const x = call.input(0);
    const axis = axisOf(call.attribute("axis", -1), x.shape.length);
    const row = x.shape.slice(axis);
    const size = sizeOf(row);
    const whole = (one) => {
      if (!one || one.size === size) return [one, NOTHING];
      if (`${broadcast(one.shape, row)}` !== `${row}`) throw call.fault(`[${one.shape}] does not fit axes from ${axis} of [${x.shape}]`);
      const made = call.scratch(one.type, row);
      return [made, copied(one, made, stepsIn(one.shape, row))];
    };
    const [[scale, first], [bias, second]] = [whole(call.input(1)), whole(call.inputs[2])];
    if (call.node.outputs.slice(1).some((id) => id !== null)) throw call.fault("this runtime has its first output only");
    const y = call.out(x.type, x.shape);
    const epsilon = call.attribute("epsilon", 1e-5);
    call.work(x.size, 10);
    const { kernels } = call;
    if (centred && x.type === "float32") {
      const [from, atScale, atBias] = [x.at, scale.at, bias ? bias.at : call.packed("bias", [scale], size, () => new Float32Array(size))];
      return () => (first(), second(), kernels.normalise(from, atScale, atBias, y.at, x.size / size, size, epsilon));
    }
    return () => {
      first(), second();
      const [from, to, s, b] = [x.data, y.data, scale.data, bias?.data];
      for (let at = 0; at < x.size; at += size) normalise(from, to, at, size, epsilon, centred, (i) => s[i], b ? (i) => b[i] : () => 0);
    };
  };
}

/** Instance and group normalisation: `groups` of channels at once, scales of channels. */
function groupNormalisation(groupsOf) {
  return (call) => {
    const [x, scale, bias] = [call.input(0), call.input(1), call.input(2)];
    const y = call.out(x.type, x.shape);
    const groups = groupsOf(call, x.shape[1]);
    call.sized(1, x.shape[1], groups);
    call.sized(2, scale.size);
    const inner = sizeOf(x.shape.slice(2));
    const per = x.shape[1] / groups;
    const size = per * inner;
    if (!(groups >= 1 && Number.isInteger(per))) throw call.fault(`${x.shape[1]} channels are not ${groups} groups: the file is made wrongly`);
    const slices = scale.size === x.shape[1] ? inner : size; // before opset 21 a scale is of a group
    call.work(x.size, 10);
    return () => {
      const [from, to, s, b] = [x.data, y.data, scale.data, bias.data];
      for (let at = 0, g = 0; at < x.size; at += size, g = (g + 1) % groups) {
        const first = (g * size) / slices;
        normalise(from, to, at, size, call.attribute("epsilon", 1e-5), true, (i) => s[first + Math.floor(i / slices)], (i) => b[first + Math.floor(i / slices)]);
      }
    };
  };
}

function batchNormalisation(call) {
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => call.input(i));
  if (call.attribute("training_mode", 0)) throw call.fault("it is in training mode, and a file is run without");
  const parameters = [scale, bias, mean, variance];
  const [channels, inner] = [x.shape[1] ?? 1, sizeOf(x.shape.slice(2))];
  if (x.type !== "float32" || parameters.some((one) => !one.known || one.size !== channels)) {
    throw call.fault(`this runtime has it for float32 and parameters that are in the file, ${channels} each`);
  }
  const y = call.out(x.type, x.shape);
  const epsilon = call.attribute("epsilon", 1e-5);
  const factor = (i) => scale.data[i] / Math.sqrt(variance.data[i] + epsilon);
  const factors = call.packed("factors", parameters, channels, () => Float32Array.from({ length: channels }, (_, i) => factor(i)));
  const shifts = call.packed("shifts", parameters, channels, () => Float32Array.from({ length: channels }, (_, i) => bias.data[i] - mean.data[i] * factor(i)));
  const { low, high } = call.node;
  const { kernels } = call;
  const from = x.at;
  return () => {
    for (let i = 0; i < x.size; i += channels * inner) kernels.affine(from + 4 * i, factors, shifts, y.at + 4 * i, channels, inner, low, high);
  };
}

/** Pools: `start`, `more` numbers, and what becomes of the sum of `count`. */
function pool(start, more, end) {
  return (call) => {
    const x = call.input(0);
    const [n, channels, ...image] = x.shape;
    const shape = geometry(call, image, call.attribute("kernel_shape", image));
    const y = call.out(x.type, [n, channels, ...shape.outputs]);
    if (call.node.outputs.slice(1).some((id) => id !== null)) throw call.fault("this runtime has its first output only");
    const { height, width, tall, wide, rows, columns, down, across, dilatedDown, dilatedAcross, top, left, bottom, right } = shape;
    const planes = n * channels;
    const withPads = call.attribute("count_include_pad", 0);
    call.work(y.size * tall * wide, 2);
    const { kernels } = call;
    const simple = tall === 2 && wide === 2 && down === 2 && across === 2 && dilatedDown === 1 && dilatedAcross === 1;
    if (more === Math.max && simple && !(top + left) && x.type === "float32" && 2 * rows <= height && 2 * columns <= width) {
      return () => kernels.pool(x.at, y.at, planes, height, width, rows, columns);
    }
    return () => {
      const [from, to] = [x.data, y.data];
      for (let p = 0, at = 0; p < planes; p++) {
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < columns; c++) {
            let [sum, count] = [start, 0];
            for (let t = 0; t < tall; t++) {
              const i = r * down + t * dilatedDown - top;
              if (i >= height + bottom) break; // ceil_mode leads beyond the padding, where nothing counts
              for (let k = 0; k < wide; k++) {
                const j = c * across + k * dilatedAcross - left;
                if (j >= width + right) break;
                const inside = i >= 0 && i < height && j >= 0 && j < width;
                if (inside) sum = more(sum, from[(p * height + i) * width + j]);
                if (inside || withPads) count++;
              }
            }
            to[at++] = end(sum, count);
          }
        }
      }
    };
  };
}

/** A pool of whole images, as a reduction of all axes but two. */
function whole(reduction) {
  return (call) => {
    const part = Object.create(call);
    const axes = call.input(0).shape.map((_, i) => i).slice(2);
    part.inputs = [call.input(0)];
    part.attribute = (name, otherwise) => (name === "axes" ? axes : otherwise);
    return reduction(part);
  };
}

function cumulated(call) {
  const x = call.input(0);
  const axis = axisOf((call.numbers(1) ?? call.missing(1))[0], x.shape.length);
  if (call.attribute("exclusive", 0) || call.attribute("reverse", 0)) throw call.fault("this runtime has it forwards and with each number itself only");
  const y = call.out(x.type, x.shape);
  const step = stepsOf(x.shape)[axis];
  return () => {
    const [from, to] = [x.data, y.data];
    for (let i = 0; i < to.length; i++) to[i] = from[i] + (Math.floor(i / step) % x.shape[axis] ? to[i - step] : 0);
  };
}

const mean = reduced(0, sum, (all, count) => all / count);
const largest = reduced(-Infinity, Math.max);

export const REDUCTIONS = {
  ReduceSum: reduced(0, sum),
  ReduceMean: mean,
  ReduceMax: largest,
  ReduceMin: reduced(Infinity, Math.min),
  ReduceProd: reduced(1, (a, b) => a * b),
  ReduceL1: reduced(0, (a, b) => a + Math.abs(b)),
  ReduceL2: reduced(0, (a, b) => a + b * b, Math.sqrt),
  ReduceSumSquare: reduced(0, (a, b) => a + b * b),
  ReduceLogSum: reduced(0, sum, Math.log),
  ArgMax: argument(1),
  ArgMin: argument(-1),
  TopK: topK,
  Softmax: softmax(false),
  LogSoftmax: softmax(true),
  LayerNormalization: layerNormalisation(true),
  RMSNormalization: layerNormalisation(false),
  InstanceNormalization: groupNormalisation((call, channels) => channels),
  GroupNormalization: groupNormalisation((call) => call.attribute("num_groups", 1)),
  BatchNormalization: batchNormalisation,
  MaxPool: pool(-Infinity, Math.max, (most) => most),
  AveragePool: pool(0, sum, (all, count) => all / count),
  GlobalAveragePool: whole(mean),
  GlobalMaxPool: whole(largest),
  CumSum: cumulated,
};
