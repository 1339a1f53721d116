// Convolutions and matrix products.

import { safe, times } from "./elements.js";
import { clamp } from "./functions.js";
import { broadcast, stepsIn, walk } from "./shapes.js";
import { LARGE, sizeOf } from "./values.js";

/** Up to a whole number of panels. */
export const up4 = (n) => Math.ceil(n / 4) * 4;

/** Weights [outputs][inner] with any steps in panels of four outputs, as kernels.c has them. */
export function inPanels(weights, inner, n, stepK, stepN, start = 0, factor = 1) {
  const found = new Float32Array(up4(n) * inner);
  for (let o = 0; o < n; o++) {
    let to = (o >> 2) * inner * 4 + (o & 3);
    for (let k = 0, from = start + o * stepN; k < inner; k++, to += 4, from += stepK) found[to] = weights[from] * factor;
  }
  return found;
}

/** A vector with zeros up to a whole number of panels. */
function padded(data, n, factor = 1) {
  const found = new Float32Array(up4(n));
  if (data) for (let i = 0; i < n; i++) found[i] = data[data.length === 1 ? 0 : i] * factor;
  return found;
}

/** What a convolution does to the axes of an image: `outputs`, their sizes, and all numbers of two axes, by name. */
export function geometry(call, image, kernel) {
  const axes = image.length;
  if (axes < 1 || axes > 2) throw call.fault(`this runtime has convolutions and pools of one and two axes, not of ${axes}`);
  if (kernel.length !== axes || kernel.some((size) => !(size >= 1))) throw call.fault(`a kernel of [${kernel}] does not fit an image of [${image}]`);
  const ones = kernel.map(() => 1);
  const [strides, dilations] = ["strides", "dilations"].map((name) => call.attribute(name, ones));
  const reach = kernel.map((size, i) => (size - 1) * dilations[i] + 1);
  const auto = call.attribute("auto_pad", "NOTSET");
  let pads = call.attribute("pads", [...kernel, ...kernel].map(() => 0));
  if (auto === "VALID") pads = pads.map(() => 0);
  if (auto.startsWith("SAME")) {
    const all = image.map((size, i) => Math.max(0, (Math.ceil(size / strides[i]) - 1) * strides[i] + reach[i] - size));
    const less = all.map((one) => one >> 1);
    const more = all.map((one, i) => one - less[i]);
    pads = auto === "SAME_UPPER" ? [...less, ...more] : [...more, ...less];
  }
  if (strides.length !== axes || dilations.length !== axes || [...strides, ...dilations].some((one) => !(one >= 1)) || pads.some((one) => !(one >= 0)) || pads.length !== 2 * axes) {
    throw call.fault(`strides [${strides}], dilations [${dilations}] or pads [${pads}] are wrong: the file is made wrongly`);
  }
  const ceil = call.attribute("ceil_mode", 0);
  const outputs = image.map((size, i) => {
    const places = (size + pads[i] + pads[i + axes] - reach[i]) / strides[i];
    const found = (ceil ? Math.ceil(places) : Math.floor(places)) + 1;
    return ceil && (found - 1) * strides[i] >= size + pads[i] ? found - 1 : found; // none may begin in the padding
  });
  if (outputs.some((one) => one < 1)) throw call.fault(`an image of [${image}] is smaller than the kernel [${kernel}]: give larger inputs`);
  const two = (list) => (axes === 1 ? [1, list[0]] : list);
  const [[height, width], [tall, wide], [rows, columns]] = [two(image), two(kernel), two(outputs)];
  const [[down, across], [dilatedDown, dilatedAcross]] = [two(strides), two(dilations)];
  const [top, left, bottom, right] = axes === 1 ? [0, pads[0], 0, pads[1]] : pads;
  return { outputs, height, width, tall, wide, rows, columns, down, across, dilatedDown, dilatedAcross, top, left, bottom, right };
}

/**
 * A convolution of float32 values: `x` [N, C, ...] and `weights` [O, C / group, ...].
 * @returns {() => void} the run, which writes `y`
 */
export function convolution(call, x, weights, bias, y, shape) {
  const { kernels } = call;
  const group = call.attribute("group", 1);
  const [n, channels] = x.shape;
  const [outputs, each] = weights.shape;
  const { height, width, tall, wide, rows, columns, down, across, dilatedDown, dilatedAcross, top, left, bottom, right } = shape;
  const { low, high } = call.node;
  const inner = each * tall * wide;
  const per = outputs / group;
  call.work(n * outputs * rows * columns * inner, call.kernels.price);
  const depthwise = each === 1 && per === 1;
  const plain = tall === 1 && wide === 1 && down === 1 && across === 1 && top + left + bottom + right === 0;
  const [highPadded, widePadded] = [height + top + bottom, width + left + right];
  const room = top + left + bottom + right ? call.scratch("float32", [channels, highPadded, widePadded]) : null;
  const atWeights = placeOfWeights(call, weights, group, per, inner, depthwise);
  const atBias = depthwise ? placeOfBias(call, weights, bias, 1, outputs) : placeOfBias(call, weights, bias, group, per);
  // Narrow images as one long row, in which some pixels between two rows are computed for nothing.
  const long = (rows - 1) * widePadded + columns;
  const asRow = !depthwise && columns < 8 && columns > 3 && long >= 8 && down === 1 && across === 1 && dilatedAcross === 1 && (wide === 3 || wide === 5);
  const row = asRow ? call.scratch("float32", [per, long]) : null;
  const sizes = asRow ? [highPadded, widePadded, per, 1, long] : plain ? [1, height * width, per, 1, rows * columns] : [highPadded, widePadded, per, rows, columns];
  const rest = [tall, wide, down, across, dilatedDown, dilatedAcross, low, high];
  return () => {
    const [fromWeights, fromBias] = [atWeights(), atBias()];
    for (let i = 0; i < n; i++) {
      let from = x.at + 4 * i * channels * height * width;
      const to = y.at + 4 * i * outputs * rows * columns;
      if (room) {
        kernels.pad(from, room.at, channels, height, width, top, left, highPadded, widePadded, 0);
        from = room.at;
      }
      if (depthwise) {
        kernels.depthwise(from, fromWeights, fromBias, to, channels, highPadded, widePadded, rows, columns, ...rest);
        continue;
      }
      for (let g = 0; g < group; g++) {
        kernels.conv(
          from + 4 * g * each * highPadded * widePadded,
          fromWeights + 4 * g * up4(per) * inner,
          fromBias + 4 * g * up4(per),
          row ? row.at : to + 4 * g * per * rows * columns,
          each,
          ...sizes,
          ...rest,
        );
        if (row) kernels.crop(row.at, to + 4 * g * per * rows * columns, per, long, rows, columns, widePadded);
      }
    }
  };
}

/** Where the weights are for the kernels: made once where they are known, and in each run otherwise. */
function placeOfWeights(call, weights, group, per, inner, depthwise) {
  if (depthwise) {
    const at = weights.at;
    return () => at;
  }
  const make = (data) => {
    const found = new Float32Array(group * up4(per) * inner);
    for (let g = 0; g < group; g++) found.set(inPanels(data, inner, per, 1, inner, g * per * inner), g * up4(per) * inner);
    return found;
  };
  return placeOf(call, weights, "weights", [weights], group * up4(per) * inner, make);
}

function placeOfBias(call, weights, bias, group, per) {
  const outputs = group * per;
  const make = (data) => {
    const found = new Float32Array(group * up4(per));
    for (let o = 0; data && o < outputs; o++) found[Math.floor(o / per) * up4(per) + (o % per)] = data[o];
    return found;
  };
  return placeOf(call, bias, "bias", [weights, bias], group * up4(per), make);
}

function placeOf(call, value, key, from, size, make) {
  if (!value || value.known) {
    const at = call.packed(key, from, size, () => make(value?.data));
    return () => at;
  }
  const room = call.scratch("float32", [size]);
  return () => {
    room.data.set(make(value.data));
    return room.at;
  };
}

function conv(call) {
  const [x, weights, bias] = [call.input(0), call.input(1), call.inputs[2]];
  const { y, shape } = outputOf(call, x, weights, "float32");
  call.sized(2, weights.shape[0]);
  if ([x, weights, bias].some((one) => one && !["float32", "float16"].includes(one.type))) {
    throw call.fault(`this runtime has it for float32, not for ${x.type} and ${weights.type}`);
  }
  return convolution(call, x, weights, bias, y, shape);
}

/** The output of a convolution, and its geometry; what does not fit is told. */
export function outputOf(call, x, weights, type) {
  const group = call.attribute("group", 1);
  const [n, channels, ...image] = x.shape;
  const [outputs, each, ...kernel] = weights.shape;
  if (kernel.length !== image.length || !(group >= 1) || channels !== each * group || outputs % group) {
    throw call.fault(`an input of [${x.shape}] and weights of [${weights.shape}] in ${group} groups do not fit`);
  }
  const shape = geometry(call, image, kernel);
  return { y: call.out(type === "float32" ? x.type : type, [n, outputs, ...shape.outputs]), shape };
}

/** The convolution whose gradient a convolution is: every input adds its kernel to the output. */
function transposed(call) {
  const [x, weights, bias] = [call.input(0), call.input(1), call.inputs[2]];
  const [n, channels, ...image] = x.shape;
  const [inputs, per, ...kernel] = weights.shape;
  const axes = image.length;
  const group = call.attribute("group", 1);
  const ones = kernel.map(() => 1);
  const [strides, dilations] = ["strides", "dilations"].map((name) => call.attribute(name, ones));
  const pads = call.attribute("pads", [...kernel, ...kernel].map(() => 0));
  const more = call.attribute("output_padding", kernel.map(() => 0));
  if (axes < 1 || axes > 2 || x.type !== "float32" || inputs !== channels || channels % group || kernel.length !== axes) {
    throw call.fault(`this runtime has it for one and two axes of float32; ${x.type}[${x.shape}] and [${weights.shape}] are given`);
  }
  if (call.attribute("auto_pad", "NOTSET") !== "NOTSET" || call.attribute("output_shape", null)) throw call.fault("this runtime has it without auto_pad and output_shape");
  call.sized(2, per * group);
  const sizes = image.map((size, i) => (size - 1) * strides[i] + more[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] - pads[i + axes]);
  const y = call.out("float32", [n, per * group, ...sizes]);
  call.work(x.size * per * sizeOf(kernel), 3);
  const two = (list, fill) => (axes === 1 ? [fill, ...list] : list);
  const [[height, width], [rows, columns], [tall, wide]] = [two(image, 1), two(sizes, 1), two(kernel, 1)];
  const [[down, across], [dilatedDown, dilatedAcross], [top, left]] = [two(strides, 1), two(dilations, 1), two(pads.slice(0, axes), 0)];
  const { low, high } = call.node;
  return () => {
    const [from, w, to, added] = [x.data, weights.data, y.data, bias?.data];
    for (let i = 0; i < n * per * group; i++) to.fill(added ? added[i % (per * group)] : 0, i * rows * columns, (i + 1) * rows * columns);
    for (let i = 0; i < n * channels; i++) {
      const c = i % channels;
      const first = (Math.floor(i / channels) * group + Math.floor((c * group) / channels)) * per;
      for (let o = 0; o < per; o++) {
        for (let t = 0; t < tall; t++) {
          for (let k = 0; k < wide; k++) {
            const weight = w[((c * per + o) * tall + t) * wide + k];
            for (let r = 0; r < height; r++) {
              const row = r * down + t * dilatedDown - top;
              if (row < 0 || row >= rows) continue;
              const at = ((first + o) * rows + row) * columns;
              for (let q = 0, column = k * dilatedAcross - left; q < width; q++, column += across) {
                if (column >= 0 && column < columns) to[at + column] += weight * from[(i * height + r) * width + q];
              }
            }
          }
        }
      }
    }
    clamp(to, 0, to.length, low, high);
  };
}

/** The shapes of a product, with vectors as matrices. */
export function matrices(call, a, b) {
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  if (!a.shape.length || !b.shape.length || left.at(-1) !== right.at(-2)) {
    throw call.fault(`the shapes [${a.shape}] and [${b.shape}] do not fit: a product needs as many columns as rows`);
  }
  const batch = broadcast(left.slice(0, -2), right.slice(0, -2));
  const [m, inner, n] = [left.at(-2), left.at(-1), right.at(-1)];
  const shape = [...batch, ...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])];
  const steps = [left, right].map((one) => stepsIn(one.slice(0, -2), batch));
  return { batch, m, inner, n, shape, steps: [steps[0].map((s) => s * m * inner), steps[1].map((s) => s * inner * n)] };
}

/** Calls `of(number, from, from)` for each pair of matrices in a batch. */
function batches({ batch, steps }, of) {
  let i = 0;
  walk([...batch, 1], steps.map((one) => [...one, 0]), ([from, other]) => of(i++, from, other));
}

function matmul(call) {
  const [a, b, bias] = [call.input(0), call.input(1), call.inputs[2]];
  const found = matrices(call, a, b);
  const { m, inner, n, shape } = found;
  const y = call.out(a.type, shape);
  call.work(sizeOf(shape) * inner, call.kernels.price);
  if (!["float32", "float16"].includes(a.type)) return slowly(call, a, b, y, found);
  const { kernels } = call;
  const { low, high } = call.node;
  const atBias = call.packed("bias", [b, bias], up4(n), () => padded(bias?.data, n));
  if (b.known && b.shape.length <= 2) {
    const at = call.packed("weights", [b], up4(n) * inner, () => inPanels(b.data, inner, n, n, 1));
    return () => kernels.product(a.at, at, atBias, y.at, a.size / inner, inner, n, low, high);
  }
  const room = call.scratch("float32", [up4(n), inner]);
  return () => {
    let packed = -1;
    batches(found, (i, from, other) => {
      if (other !== packed) kernels.panels(b.at + 4 * other, room.at, inner, n, n, 1);
      packed = other;
      kernels.product(a.at + 4 * from, room.at, atBias, y.at + 4 * i * m * n, m, inner, n, low, high);
    });
  };
}

/** A product of other types. */
export function slowly(call, a, b, y, found, zeroA = () => 0, zeroB = () => 0) {
  const { m, inner, n } = found;
  const { low, high } = call.node;
  call.work(y.size * inner, 4);
  const product = times(a.type);
  const exact = LARGE[a.type] ? safe : (one) => one;
  return () => {
    const [p, q, to] = [a.data, b.data, y.data];
    batches(found, (i, from, other) => {
      for (let r = 0; r < m; r++) {
        for (let c = 0; c < n; c++) {
          let sum = 0;
          for (let k = 0; k < inner; k++) sum = exact(sum + exact(product(p[from + r * inner + k] - zeroA(r), q[other + k * n + c] - zeroB(c))));
          to[(i * m + r) * n + c] = sum;
        }
      }
    });
    clamp(to, 0, to.length, low, high);
  };
}

function gemm(call) {
  const [a, b, c] = [call.input(0), call.input(1), call.inputs[2]];
  const [transA, transB] = ["transA", "transB"].map((name) => call.attribute(name, 0));
  const [alpha, beta] = ["alpha", "beta"].map((name) => call.attribute(name, 1));
  if (a.shape.length !== 2 || b.shape.length !== 2 || !["float32", "float16"].includes(a.type)) {
    throw call.fault(`this runtime has it for matrices of float32, not for ${a.type}[${a.shape}] and ${b.type}[${b.shape}]`);
  }
  const [m, inner] = transA ? [a.shape[1], a.shape[0]] : a.shape;
  const [other, n] = transB ? [b.shape[1], b.shape[0]] : b.shape;
  if (inner !== other) throw call.fault(`the shapes [${a.shape}] and [${b.shape}] do not fit: ${inner} columns and ${other} rows`);
  if (c && broadcast(c.shape, [m, n]).join() !== `${m},${n}`) throw call.fault(`a bias of [${c.shape}] does not fit [${m}, ${n}]`);
  const y = call.out(a.type, [m, n]);
  call.work(m * n * inner, call.kernels.price);
  const { kernels } = call;
  const { low, high } = call.node;
  const [stepK, stepN] = transB ? [1, inner] : [n, 1];
  const row = c && c.known && sizeOf(c.shape.slice(0, -1)) === 1; // one bias for each column
  const scaled = b.known ? alpha : 1;
  const at = b.known ? call.packed("weights", [b], up4(n) * inner, () => inPanels(b.data, inner, n, stepK, stepN, 0, alpha)) : 0;
  const room = b.known ? null : call.scratch("float32", [up4(n), inner]);
  const turned = transA ? call.scratch("float32", [m, inner]) : null;
  const whole = scaled === alpha && (!c || row); // whether the kernel does it all
  const atBias = call.packed("bias", [b, c], up4(n), () => padded(whole ? c?.data : null, n, beta));
  const limits = whole ? [low, high] : [-Infinity, Infinity];
  const steps = c ? stepsIn(c.shape, [m, n]) : [0, 0];
  return () => {
    if (room) kernels.panels(b.at, room.at, inner, n, stepK, stepN);
    if (turned) {
      const [from, to] = [a.data, turned.data];
      for (let i = 0; i < m; i++) for (let k = 0; k < inner; k++) to[i * inner + k] = from[k * m + i];
    }
    kernels.product(turned ? turned.at : a.at, room ? room.at : at, atBias, y.at, m, inner, n, ...limits);
    if (whole) return;
    const [to, added] = [y.data, c?.data];
    for (let i = 0, k = 0; i < m; i++) {
      for (let j = 0; j < n; j++, k++) {
        to[k] = to[k] * (b.known ? 1 : alpha) + (added ? beta * added[i * steps[0] + j * steps[1]] : 0);
      }
    }
    clamp(to, 0, to.length, low, high);
  };
}

export const PRODUCTS = {
  Conv: conv,
  Gemm: gemm,
  MatMul: matmul,
  ConvTranspose: transposed,
};
