// Operators that move elements, and those of shapes.

import { typeOf } from "./elements.js";
import { numbersOf } from "./inputs.js";
import { axisOf, broadcast, joined, stepsIn, stepsOf, walk } from "./shapes.js";
import { sizeOf } from "./values.js";

/** Copies elements from where `steps` lead, beginning at `start`, to `y` in order. */
export function copied(x, y, steps, start = 0) {
  const [shape, from] = joined(y.shape, steps);
  const n = shape.at(-1);
  const step = from.at(-1);
  return () => {
    const [data, to] = [x.data, y.data];
    let at = 0;
    walk(shape, [from], (places) => {
      let i = start + places[0];
      if (step === 1 && n > 16) {
        to.set(data.subarray(i, i + n), at);
        at += n;
      } else for (let k = 0; k < n; k++, i += step) to[at++] = data[i];
    });
  };
}

function transpose(call) {
  const x = call.input(0);
  const order = call.attribute("perm", x.shape.map((_, i) => x.shape.length - 1 - i));
  if ([...order].sort((a, b) => a - b).some((axis, i) => axis !== i) || order.length !== x.shape.length) {
    throw call.fault(`the order [${order}] is not one of ${x.shape.length} axes: the file is made wrongly`);
  }
  const steps = stepsOf(x.shape);
  return copied(x, call.out(x.type, order.map((axis) => x.shape[axis])), order.map((axis) => steps[axis]));
}

function reshape(call) {
  const x = call.input(0);
  const wanted = call.numbers(1) ?? call.missing(1);
  const shape = wanted.map((size, i) => (size === 0 && !call.attribute("allowzero", 0) ? x.shape[i] : size));
  const open = shape.indexOf(-1);
  if (open >= 0) shape[open] = x.size / sizeOf(shape.filter((_, i) => i !== open)) || 0;
  return call.same(x, shape);
}

function flatten(call) {
  const x = call.input(0);
  const axis = call.attribute("axis", 1);
  const first = sizeOf(x.shape.slice(0, axis));
  return call.same(x, [first, x.size / first || sizeOf(x.shape.slice(axis))]);
}

/** Axes: an input since opset 13, an attribute before. */
function axesOf(call, i = 1) {
  return call.inputs[i] ? call.numbers(i) : call.attribute("axes", null);
}

function squeeze(call) {
  const x = call.input(0);
  const axes = axesOf(call)?.map((axis) => axisOf(axis, x.shape.length));
  return call.same(x, x.shape.filter((size, i) => (axes ? !axes.includes(i) : size !== 1)));
}

function unsqueeze(call) {
  const x = call.input(0);
  const given = axesOf(call) ?? call.missing(1);
  call.sensible(given.map(() => 1));
  const axes = given.map((axis) => axisOf(axis, x.shape.length + given.length));
  const left = [...x.shape];
  return call.same(x, Array.from({ length: x.shape.length + axes.length }, (_, i) => (axes.includes(i) ? 1 : left.shift())));
}

function shapeOf(call) {
  const { shape } = call.input(0);
  const found = shape.slice(call.attribute("start", 0), call.attribute("end", shape.length));
  return call.constant("int64", [found.length], found);
}

function expand(call) {
  const x = call.input(0);
  const y = call.out(x.type, broadcast(x.shape, call.numbers(1) ?? call.missing(1)));
  return copied(x, y, stepsIn(x.shape, y.shape));
}

function tile(call) {
  const x = call.input(0);
  const times = call.numbers(1) ?? call.missing(1);
  call.sized(1, x.shape.length);
  const y = call.out(x.type, x.shape.map((size, i) => size * times[i]));
  const steps = stepsOf(x.shape);
  const inner = x.shape.flatMap((size, i) => [times[i], size]);
  const [shape, from] = joined(inner, inner.map((_, i) => (i % 2 ? steps[i >> 1] : 0)));
  return copied(x, { shape, get data() { return y.data; } }, from);
}

function concat(call) {
  const values = call.inputs;
  const axis = axisOf(call.attribute("axis", 0), call.input(0).shape.length);
  const shape = [...values[0].shape];
  shape[axis] = values.reduce((sum, value) => sum + value.shape[axis], 0);
  for (const value of values) {
    if (value.type !== values[0].type || value.shape.length !== shape.length || value.shape.some((size, i) => i !== axis && size !== shape[i])) {
      throw call.fault(`[${value.shape}] does not fit behind [${values[0].shape}] along axis ${axis}`);
    }
  }
  const y = call.out(values[0].type, shape);
  const outer = sizeOf(shape.slice(0, axis));
  return () => {
    const arrays = values.map((value) => value.data);
    const to = y.data;
    for (let i = 0, at = 0; i < outer; i++) {
      for (const array of arrays) {
        const n = array.length / outer;
        if (n < 16) for (let k = 0; k < n; k++) to[at + k] = array[i * n + k];
        else to.set(array.subarray(i * n, (i + 1) * n), at);
        at += n;
      }
    }
  };
}

function split(call) {
  const x = call.input(0);
  const axis = axisOf(call.attribute("axis", 0), x.shape.length);
  const count = call.attribute("num_outputs", call.node.outputs.length);
  if (count !== call.node.outputs.length) throw call.fault(`it has ${call.node.outputs.length} outputs, and num_outputs is ${count}`);
  const whole = Math.ceil(x.shape[axis] / count);
  const even = Array.from({ length: count }, (_, i) => Math.max(0, Math.min(whole, x.shape[axis] - i * whole)));
  const sizes = (call.inputs[1] ? call.numbers(1) : call.attribute("split", null)) ?? even;
  if (sizes.reduce((sum, size) => sum + size, 0) !== x.shape[axis] || sizes.length < call.node.outputs.length) {
    throw call.fault(`parts of [${sizes}] are not ${x.shape[axis]} together`);
  }
  const steps = stepsOf(x.shape);
  let start = 0;
  const runs = sizes.map((size) => {
    const run = copied(x, call.out(x.type, x.shape.map((one, i) => (i === axis ? size : one))), steps, start * steps[axis]);
    start += size;
    return run;
  });
  return () => runs.forEach((run) => run());
}

function slice(call) {
  const x = call.input(0);
  const starts = call.numbers(1) ?? call.attribute("starts", []);
  const ends = call.numbers(2) ?? call.attribute("ends", []);
  const axes = (call.numbers(3) ?? call.attribute("axes", null) ?? starts.map((_, i) => i)).map((axis) => axisOf(axis, x.shape.length));
  const by = call.numbers(4) ?? starts.map(() => 1);
  const steps = stepsOf(x.shape);
  const shape = [...x.shape];
  let first = 0;
  axes.forEach((axis, i) => {
    const size = x.shape[axis];
    const step = by[i];
    if (!step) throw call.fault("a step is 0: the file is made wrongly");
    const within = (place, least, most) => Math.max(least, Math.min(most, place < 0 ? place + size : place));
    const [start, end] = step > 0 ? [within(starts[i], 0, size), within(ends[i], 0, size)] : [within(starts[i], 0, size - 1), within(ends[i], -1, size - 1)];
    shape[axis] = size && Math.max(0, Math.ceil((end - start) / step));
    first += start * steps[axis];
    steps[axis] *= step;
  });
  return copied(x, call.out(x.type, shape), steps, first);
}

/** Where an element comes from that lies `at` places from the start of an axis of `size`; far below 0 for the fill. */
const OUTSIDE = {
  constant: (at, size) => (at < 0 || at >= size ? -1e9 : at),
  edge: (at, size) => Math.max(0, Math.min(size - 1, at)),
  reflect: (at, size) => {
    const period = Math.max(1, 2 * (size - 1));
    const place = ((at % period) + period) % period;
    return place < size ? place : period - place;
  },
  wrap: (at, size) => ((at % size) + size) % size,
};

function pad(call) {
  const x = call.input(0);
  const given = call.numbers(1) ?? call.attribute("pads", []);
  const axes = (call.numbers(3) ?? x.shape.map((_, i) => i)).map((axis) => axisOf(axis, x.shape.length));
  const [before, after] = [x.shape.map(() => 0), x.shape.map(() => 0)];
  axes.forEach((axis, i) => ([before[axis], after[axis]] = [given[i], given[i + axes.length]]));
  if (given.length !== 2 * axes.length) throw call.fault(`${given.length} pads do not fit ${axes.length} axes: the file is made wrongly`);
  const source = OUTSIDE[call.attribute("mode", "constant")];
  const cut = before.map((size) => Math.max(0, -size)); // negative pads take elements away before others are repeated
  const left = x.shape.map((size, i) => size - cut[i] - Math.max(0, -after[i]));
  const y = call.out(x.type, x.shape.map((size, i) => size + before[i] + after[i]));
  if (source !== OUTSIDE.constant && left.some((size, i) => size < 1 && y.shape[i])) throw call.fault(`pads of [${given}] leave nothing of [${x.shape}]`);
  const fill = call.inputs[2];
  const steps = stepsOf(x.shape);
  call.work(y.shape.reduce((sum, size) => sum + size, 0));
  const places = y.shape.map((size, axis) => Int32Array.from({ length: size }, (_, i) => cut[axis] + source(i - Math.max(0, before[axis]), left[axis])));
  const last = places.pop() ?? Int32Array.of(0);
  const outer = y.shape.slice(0, -1);
  const value = () => (fill ? fill.data[0] : call.attribute("value", 0));
  return () => {
    const [from, to, constant] = [x.data, y.data, value()];
    const counts = outer.map(() => 0);
    for (let at = 0; at < to.length; at += last.length) {
      let row = 0;
      for (let axis = 0; axis < outer.length && row >= 0; axis++) {
        const place = places[axis][counts[axis]];
        row = place < 0 ? -1 : row + place * steps[axis];
      }
      if (row < 0) to.fill(constant, at, at + last.length);
      else for (let i = 0; i < last.length; i++) to[at + i] = last[i] < 0 ? constant : from[row + last[i]];
      for (let axis = outer.length - 1; axis >= 0 && ++counts[axis] === outer[axis]; axis--) counts[axis] = 0;
    }
  };
}

/** An index of an axis from 0; one outside is told. */
function index(call, i, size) {
  if (i >= -size && i < size) return i < 0 ? i + size : i;
  throw call.fault(`there is no index ${i} of ${size}: look at the numbers of the input`);
}

function gather(call) {
  const [x, indices] = [call.input(0), call.input(1)];
  const axis = axisOf(call.attribute("axis", 0), x.shape.length);
  const y = call.out(x.type, [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)]);
  const [outer, size, inner] = [sizeOf(x.shape.slice(0, axis)), x.shape[axis], sizeOf(x.shape.slice(axis + 1))];
  return () => {
    const [from, chosen, to] = [x.data, indices.data, y.data];
    for (let o = 0, at = 0; o < outer; o++) {
      for (let k = 0; k < chosen.length; k++, at += inner) {
        const start = (o * size + index(call, chosen[k], size)) * inner;
        if (inner < 16) for (let i = 0; i < inner; i++) to[at + i] = from[start + i];
        else to.set(from.subarray(start, start + inner), at);
      }
    }
  };
}

function gatherElements(call) {
  const [x, indices] = [call.input(0), call.input(1)];
  const axis = axisOf(call.attribute("axis", 0), x.shape.length);
  if (indices.shape.length !== x.shape.length || indices.shape.some((size, i) => i !== axis && size > x.shape[i])) {
    throw call.fault(`indices of [${indices.shape}] do not fit [${x.shape}]`);
  }
  const y = call.out(x.type, indices.shape);
  const steps = stepsOf(x.shape);
  const size = x.shape[axis];
  const rest = steps.map((one, i) => (i === axis ? 0 : one));
  const [step, last] = [steps[axis], rest.at(-1) ?? 0];
  const shape = y.shape.length ? y.shape : [1];
  return () => {
    const [from, chosen, to] = [x.data, indices.data, y.data];
    let at = 0;
    walk(shape, [rest.length ? rest : [0]], ([place]) => {
      for (let k = 0, i = place; k < shape.at(-1); k++, i += last, at++) {
        const picked = chosen[at];
        to[at] = from[i + (picked >= 0 && picked < size ? picked : index(call, picked, size)) * step];
      }
    });
  };
}

function gatherNd(call) {
  const [x, indices] = [call.input(0), call.input(1)];
  const batch = call.attribute("batch_dims", 0);
  const depth = indices.shape.at(-1);
  if (batch + depth > x.shape.length) throw call.fault(`indices of [${indices.shape}] do not fit [${x.shape}]`);
  const tail = x.shape.slice(batch + depth);
  const y = call.out(x.type, [...indices.shape.slice(0, -1), ...tail]);
  const [inner, groups, steps] = [sizeOf(tail), sizeOf(x.shape.slice(0, batch)), stepsOf(x.shape).slice(batch)];
  return () => {
    const [from, chosen, to] = [x.data, indices.data, y.data];
    const count = chosen.length / depth;
    for (let i = 0; i < count; i++) {
      let start = Math.floor((i * groups) / count) * (x.size / groups);
      for (let k = 0; k < depth; k++) start += index(call, chosen[i * depth + k], x.shape[batch + k]) * steps[k];
      for (let k = 0; k < inner; k++) to[i * inner + k] = from[start + k];
    }
  };
}

function range(call) {
  const [start, limit, step] = [0, 1, 2].map((i) => (call.numbers(i) ?? call.missing(i))[0]);
  if (!step) throw call.fault("its step is 0: the file is made wrongly");
  const y = call.out(call.input(0).type, [Math.max(0, Math.ceil((limit - start) / step))]);
  return () => {
    for (let i = 0; i < y.size; i++) y.data[i] = start + i * step;
  };
}

function filled(call) {
  const shape = call.numbers(0) ?? call.missing(0);
  const value = call.attribute("value", null);
  const y = call.out(value ? value.type : "float32", shape);
  const [fill] = value ? numbersOf(value, call.plan.scope) : [0];
  return () => y.data.fill(fill);
}

function trilu(call) {
  const x = call.input(0);
  const [rows, columns] = x.shape.slice(-2);
  const y = call.out(x.type, x.shape);
  if (x.shape.length < 2) throw call.fault(`[${x.shape}] is no matrix: the file is made wrongly`);
  const upper = call.attribute("upper", 1);
  const k = call.numbers(1)?.[0] ?? 0;
  return () => {
    const [from, to] = [x.data, y.data];
    for (let i = 0; i < to.length; i++) {
      const [r, c] = [Math.floor(i / columns) % rows, i % columns];
      to[i] = (upper ? c - r >= k : c - r <= k) ? from[i] : 0;
    }
  };
}

/** Of blocks of channels to places in the image, or back. */
function blocks(call, toSpace) {
  const x = call.input(0);
  const [n, c, h, w] = x.shape;
  const b = call.attribute("blocksize", 1);
  if (x.shape.length !== 4 || (toSpace ? c % (b * b) : h % b || w % b)) throw call.fault(`[${x.shape}] does not divide into blocks of ${b}`);
  const y = call.out(x.type, toSpace ? [n, c / b / b, h * b, w * b] : [n, c * b * b, h / b, w / b]);
  const s = stepsOf(x.shape);
  const depth = c / b / b;
  const first = call.attribute("mode", "DCR") === "DCR";
  const [shape, steps] = toSpace
    ? [[n, depth, h, b, w, b], [s[0], first ? s[1] : s[1] * b * b, s[2], first ? s[1] * depth * b : s[1] * b, s[3], first ? s[1] * depth : s[1]]]
    : [[n, b, b, c, h / b, w / b], [s[0], s[2], s[3], s[1], s[2] * b, s[3] * b]];
  return copied(x, { shape, get data() { return y.data; } }, steps);
}

function oneHot(call) {
  const [indices, pair] = [call.input(0), call.input(2)];
  call.sized(2, 2);
  const depth = (call.numbers(1) ?? call.missing(1))[0];
  const axis = axisOf(call.attribute("axis", -1), indices.shape.length + 1);
  const y = call.out(pair.type, [...indices.shape.slice(0, axis), depth, ...indices.shape.slice(axis)]);
  const inner = sizeOf(indices.shape.slice(axis));
  return () => {
    const [off, on] = pair.data;
    y.data.fill(off);
    indices.data.forEach((i, k) => {
      const at = i < 0 ? i + depth : i;
      if (at >= 0 && at < depth) y.data[(Math.floor(k / inner) * depth + at) * inner + (k % inner)] = on;
    });
  };
}

export const LAYOUT = {
  Transpose: transpose,
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Shape: shapeOf,
  Size: (call) => call.constant("int64", [], [call.input(0).size]),
  Expand: expand,
  Tile: tile,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
  Range: range,
  ConstantOfShape: filled,
  Trilu: trilu,
  DepthToSpace: (call) => blocks(call, true),
  SpaceToDepth: (call) => blocks(call, false),
  OneHot: oneHot,
};
