// Makes a graph ready, once for all shapes: computes what no input changes, and joins nodes that one kernel computes.

import { Call } from "./call.js";
import { begin } from "./operations.js";
import { RANGES, roundTrip } from "./quantised.js";
import { known } from "./values.js";

/**
 * What `decode` gives of a graph, with known values apart.
 * @param {object} graph see readGraph in graph.js
 * @param {Value[]} tensors known
 * @param {Value[]} constants known
 * @param {object} context {kernels, store, scope, opset, spend}
 * @returns {{nodes: object[], statics: Map<number, Value>, uses: Map<number, number>, outputs: number[]}}
 */
export function prepare(graph, tensors, constants, context) {
  const statics = new Map();
  [...tensors, ...constants].forEach((value, i) => statics.set(graph.inputs.length + i, lasting(value)));
  let nodes = [];
  for (const { operator, inputs, outputs, attributes } of graph.nodes) {
    const node = { operator, inputs: [...inputs], outputs: [...outputs], attributes, low: -Infinity, high: Infinity };
    if (inputs.every((id) => id === null || statics.has(id))) fold(node, statics, context);
    else nodes.push(node);
  }
  const results = graph.outputs.map((output) => output.value);
  nodes = new Joining(nodes, statics, results, context).all();
  return { nodes, statics, uses: usesOf(nodes, results), outputs: results };
}

/** A value that no shape changes. */
const lasting = (value) => Object.assign(value, { lasting: true });

/** How often each value is read, by nodes and as an output. */
function usesOf(nodes, results) {
  const uses = new Map();
  for (const id of [...nodes.flatMap((node) => node.inputs), ...results]) {
    if (id !== null) uses.set(id, (uses.get(id) ?? 0) + 1);
  }
  return uses;
}

/** Computes a node whose inputs are known. */
function fold(node, statics, context) {
  const inputs = node.inputs.map((id) => (id === null ? null : statics.get(id)));
  evaluate(context, node, inputs).forEach((value, i) => node.outputs[i] !== null && value && statics.set(node.outputs[i], lasting(value)));
}

/** The outputs of a node of known inputs, outside the memory of the kernels. */
export function evaluate(plan, node, inputs) {
  const { store, scope } = plan;
  const call = new Call(plan, node, inputs);
  begin(call)();
  call.finish();
  const made = call.outputs.map((value) => {
    if (!value.place.store) return Object.assign(value, { known: true });
    scope.count(value.data.byteLength);
    return known(value.type, value.shape, value.data.slice(), scope);
  });
  for (const { place } of call.outputs) if (place.store) store.give(place.at, place.bytes);
  call.scratches.forEach(({ place }) => store.give(place.at, place.bytes));
  return made;
}

const WITH_LIMITS = new Set(["Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Add", "Sub", "Mul", "Div"]);

class Joining {
  constructor(nodes, statics, results, context) {
    Object.assign(this, { nodes, statics, context });
    this.uses = usesOf(nodes, results);
    this.makers = new Map();
    this.next = -1; // numbers of values that no graph has
  }

  all() {
    const kept = [];
    for (const node of this.nodes) {
      const before = this.makers.get(node.inputs[0]);
      if (before && this.uses.get(node.inputs[0]) === 1 && this.join(before, node)) {
        before.outputs = [node.outputs[0]];
        this.makers.set(node.outputs[0], before);
        continue;
      }
      kept.push(node);
      if (node.outputs.length === 1) this.makers.set(node.outputs[0], node);
    }
    return kept;
  }

  /** Whether the node is computed together with the one before it from now on. */
  join(before, node) {
    if (node.outputs.length !== 1) return false;
    const open = before.low === -Infinity && before.high === Infinity;
    if (node.operator === "BatchNormalization") return open && before.operator === "Conv" && this.normalised(before, node);
    if (node.operator === "Add" && before.operator === "MatMul") return open && this.biased(before, node);
    if (node.operator === "DequantizeLinear" && before.operator === "QuantizeLinear") return this.back(before, node);
    if (!WITH_LIMITS.has(before.operator) || !open) return false;
    if (node.operator === "Relu") {
      before.low = 0;
      return true;
    }
    if (node.operator !== "Clip" || node.attributes.min || node.attributes.max) return false; // which old files have
    const [low, high] = [1, 2].map((i) => this.constant(node.inputs[i]));
    if (low === undefined || high === undefined) return false;
    before.low = low ?? -Infinity;
    before.high = high ?? Infinity;
    return true;
  }

  /** The number of a known float32 of one element; null where there is no input, undefined where it is not known. */
  constant(id) {
    if (id === undefined || id === null) return null;
    const value = this.statics.get(id);
    return value?.type === "float32" && value.size === 1 ? value.data[0] : undefined;
  }

  known(type, shape, array) {
    this.context.store.count(array.byteLength);
    this.statics.set(this.next, lasting(known(type, shape, array, this.context.store)));
    return this.next--;
  }

  /** Numbers that are quantised and dequantised by one known scale stay float32, on its grid. */
  back(before, node) {
    const [scale, zero] = [1, 2].map((i) => this.statics.get(before.inputs[i]));
    const [other, around] = [1, 2].map((i) => this.statics.get(node.inputs[i]));
    const range = RANGES[zero?.type];
    const same = scale?.size === 1 && other?.size === 1 && zero?.size === 1 && around?.size === 1;
    if (!range || !same || scale.type !== "float32" || other.type !== "float32" || around.type !== zero.type) return false;
    if (scale.data[0] !== other.data[0] || zero.data[0] !== around.data[0] || before.make) return false;
    before.make = roundTrip;
    before.grid = { scale: scale.data[0], zero: zero.data[0], least: range[0], most: range[1] };
    before.inputs = [before.inputs[0]];
    return true;
  }

  biased(before, node) {
    const [weights, bias] = [this.statics.get(before.inputs[1]), this.statics.get(node.inputs[1])];
    const n = weights?.shape.at(-1);
    if (weights?.type !== "float32" || weights.shape.length !== 2 || before.inputs.length !== 2) return false;
    if (bias?.type !== "float32" || bias.size !== n || bias.shape.length !== 1) return false;
    before.inputs.push(node.inputs[1]);
    return true;
  }

  normalised(conv, node) {
    const weights = this.statics.get(conv.inputs[1]);
    const bias = conv.inputs[2] === undefined || conv.inputs[2] === null ? null : this.statics.get(conv.inputs[2]);
    const parameters = node.inputs.slice(1, 5).map((id) => this.statics.get(id));
    if (weights?.type !== "float32" || bias === undefined || node.attributes.training_mode?.value) return false;
    const [outputs] = weights.shape;
    if (parameters.length !== 4 || parameters.some((one) => one?.type !== "float32" || one.size !== outputs)) return false;
    const [scale, shift, mean, variance] = parameters.map((one) => one.data);
    if ((node.attributes.epsilon?.type ?? 1) !== 1) return false;
    const epsilon = node.attributes.epsilon?.value ?? 1e-5;
    const factors = Float64Array.from(scale, (one, i) => one / Math.sqrt(variance[i] + epsilon));
    const inner = weights.size / outputs;
    const scaled = Float32Array.from(weights.data, (one, i) => one * factors[Math.floor(i / inner)]);
    const shifted = Float32Array.from(shift, (one, i) => one + ((bias?.data[i] ?? 0) - mean[i]) * factors[i]);
    conv.inputs = [conv.inputs[0], this.known("float32", weights.shape, scaled), this.known("float32", [outputs], shifted)];
    return true;
  }
}
