// Quantised numbers: to integers and back.

import { typeOf } from "./elements.js";
import { nearest } from "./functions.js";
import { axisOf, stepsOf } from "./shapes.js";

export const RANGES = { int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767], uint16: [0, 65535] };

/** Which scale an element has: the number of elements that have one in turn, and how many scales there are. */
function slices(call, x, scale) {
  call.sized(2, scale.size);
  if (call.attribute("block_size", 0)) throw call.fault("this runtime has no scales for blocks");
  if (scale.size === 1) return [x.size || 1, 1];
  const axis = axisOf(call.attribute("axis", 1), x.shape.length);
  if (scale.size !== x.shape[axis]) throw call.fault(`${scale.size} scales do not fit axis ${axis} of [${x.shape}]`);
  return [stepsOf(x.shape)[axis], scale.size];
}

function quantise(call) {
  const [x, scale, zero] = [call.input(0), call.input(1), call.inputs[2]];
  const asked = call.attribute("output_dtype", 0);
  const y = call.out(zero ? zero.type : asked ? typeOf(call, asked) : "uint8", x.shape);
  if (!RANGES[y.type]) throw call.fault(`this runtime does not quantise to ${y.type}`);
  const [least, most] = RANGES[y.type];
  const [inner, count] = slices(call, x, scale);
  call.work(x.size, 10);
  return () => {
    const [from, to, scales, zeros] = [x.data, y.data, scale.data, zero?.data];
    for (let i = 0; i < to.length; ) {
      const slice = count === 1 ? 0 : Math.floor(i / inner) % count;
      const [by, around] = [scales[slice], zeros ? zeros[slice] : 0];
      for (const end = Math.min(i + inner, to.length); i < end; i++) {
        const found = nearest(Math.fround(from[i] / by)) + around;
        to[i] = found > most ? most : found > least ? found : least; // NaN is the least, as in ONNX Runtime
      }
    }
  };
}

/** A float32 quantised and back at once: `node.grid` has the scale, the zero point, and the least and largest integer. */
export function roundTrip(call) {
  const x = call.input(0);
  if (x.type === "float64") throw call.fault("this runtime has it for float32, not for float64");
  const y = call.out("float32", x.shape);
  const { scale, zero, least, most } = call.node.grid;
  const { kernels } = call;
  const from = x.at;
  return () => kernels.grid(from, y.at, x.size, scale, zero, least, most);
}

function dequantise(call) {
  const [x, scale, zero] = [call.input(0), call.input(1), call.inputs[2]];
  const y = call.out(scale.type, x.shape);
  const [inner, count] = slices(call, x, scale);
  return () => {
    const [from, to, scales, zeros] = [x.data, y.data, scale.data, zero?.data];
    for (let i = 0; i < to.length; ) {
      const slice = count === 1 ? 0 : Math.floor(i / inner) % count;
      const [by, around] = [scales[slice], zeros ? zeros[slice] : 0];
      for (const end = Math.min(i + inner, to.length); i < end; i++) to[i] = (from[i] - around) * by;
    }
  };
}

function dynamicallyQuantise(call) {
  const x = call.input(0);
  const y = call.out("uint8", x.shape);
  const [scale, zero] = [call.out("float32", []), call.out("uint8", [])];
  return () => {
    const from = x.data;
    let [least, most] = [0, 0];
    for (let i = 0; i < from.length; i++) {
      if (from[i] < least) least = from[i];
      if (from[i] > most) most = from[i];
    }
    const by = Math.fround(Math.fround(most - least) / 255) || 1;
    const around = Math.max(0, Math.min(255, nearest(Math.fround(-least / by))));
    scale.data[0] = by;
    zero.data[0] = around;
    const to = y.data;
    for (let i = 0; i < to.length; i++) to[i] = Math.max(0, Math.min(255, nearest(Math.fround(from[i] / by)) + around));
  };
}

export const QUANTISED = {
  QuantizeLinear: quantise,
  DequantizeLinear: dequantise,
  DynamicQuantizeLinear: dynamicallyQuantise,
};
