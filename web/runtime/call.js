// What an operator is given while a graph is made ready: its inputs, its attributes, and places for what it computes.

import { isOf } from "./types.js";
import { ARRAYS, exact, known, LARGE, RunError, sizeOf, Value } from "./values.js";

/** Thrown where shapes depend on numbers that only a run knows. */
export const NEEDS_NUMBERS = Symbol("needs numbers");

/** The run of an operator that computes nothing. */
export const NOTHING = () => {};

const MOST_AXES = 64; // of a value

/** Operators that compute integers. Others only move them or compare, so that they may be given any: a slice may end at 2^63 - 1. */
const COMPUTING = /^(Add|Sub|Mul|Div|Mod|Pow|Neg|Abs|Cast|Reduce|CumSum|Range|MatMul)/;

/** The nearest float16, halves to even. */
export function half(x) {
  const size = Math.abs(x);
  if (!(size < 65520)) return size >= 65520 ? Math.sign(x) * Infinity : x;
  const step = 2 ** (Math.max(Math.floor(Math.log2(size || 1e-9)), -14) - 10);
  const low = Math.floor(size / step);
  const rest = size / step - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 === 1);
  return (x < 0 || Object.is(x, -0) ? -1 : 1) * (low + (up ? 1 : 0)) * step;
}

/** One node, for inputs of given shapes. */
export class Call {
  /**
   * @param {object} plan the plan that it is part of
   * @param {{operator: string, attributes: object, inputs: (?number)[], outputs: (?number)[]}} node
   * @param {(?Value)[]} inputs
   */
  constructor(plan, node, inputs) {
    Object.assign(this, { plan, node, inputs, outputs: [], scratches: [] });
    this.kernels = plan.kernels;
    this.opset = plan.opset;
  }

  /** An attribute, or its default. */
  attribute(name, otherwise) {
    if (!Object.hasOwn(this.node.attributes, name)) return otherwise;
    const { type, value } = this.node.attributes[name];
    if (isOf(name, type)) return value;
    throw this.fault(`its attribute ${name} is of the type ${type} of ONNX, which is wrong`);
  }

  fault(message) {
    return new RunError(`${this.node.operator}: ${message}`);
  }

  /** An input that must be there. */
  input(i) {
    return this.inputs[i] ?? this.missing(i);
  }

  missing(i) {
    throw this.fault(`its input ${i} is missing: the file is made wrongly`);
  }

  /** Throws where an input is there and its number of elements is none of `sizes`. */
  sized(i, ...sizes) {
    const size = this.inputs[i]?.size ?? sizes[0];
    if (sizes.includes(size)) return;
    throw this.fault(`its input ${i} has ${size} elements, and ${sizes.join(" or ")} are wanted: the file is made wrongly`);
  }

  /** The numbers of an input on which the shapes of outputs depend; null where there is no such input. */
  numbers(i) {
    const value = this.inputs[i];
    if (!value) return null;
    if (!value.known && !this.plan.running) throw NEEDS_NUMBERS;
    return Array.from(value.data);
  }

  /** The next output. */
  out(type, shape) {
    const value = this.made(type, shape);
    this.outputs.push(value);
    return value;
  }

  /** The next output, which is the numbers of an input in another shape. */
  same(value, shape, type = value.type) {
    this.sensible(shape);
    if (sizeOf(shape) !== value.size) {
      throw this.fault(`${value.size} elements, of shape [${value.shape}], do not fit the shape [${shape}]`);
    }
    const made = new Value(type, shape, value.place);
    made.known = value.known;
    this.outputs.push(made);
    return NOTHING;
  }

  /** The next output, which is the same in every run of these shapes. */
  constant(type, shape, numbers) {
    this.outputs.push(known(type, shape, ARRAYS[type].from(numbers), this.plan.scope));
    return NOTHING;
  }

  /** Throws where no value can have the shape. */
  sensible(shape) {
    if (shape.length > MOST_AXES) throw this.fault(`an output would have ${shape.length} axes, and this runtime has ${MOST_AXES}`);
    if (shape.every((size) => Number.isInteger(size) && size >= 0 && size < 2 ** 31)) return;
    throw this.fault(`an output would have the shape [${shape}]: look at the shapes of the inputs`);
  }

  /** A place that is free again after the node. */
  scratch(type, shape) {
    const value = this.made(type, shape);
    this.scratches.push(value);
    return value;
  }

  made(type, shape) {
    this.sensible(shape);
    if (!ARRAYS[type]) throw this.fault(`this runtime does not compute with ${type}`);
    const bytes = sizeOf(shape) * ARRAYS[type].BYTES_PER_ELEMENT;
    this.work(sizeOf(shape));
    const { store } = this.plan;
    const place = { store, at: store.take(bytes), bytes, array: [], readers: 0 };
    return new Value(type, shape, place);
  }

  /** Counts elementary operations; `price`: nanoseconds of one. */
  work(operations, price = 5) {
    this.plan.spend(operations * price);
  }

  /** The inputs and outputs of integers of 64 bits, where the node computes with them; none where it only moves them. */
  get large() {
    const computed = COMPUTING.test(this.node.operator) && this.outputs[0].place !== this.inputs[0].place;
    return computed ? [...this.inputs, ...this.outputs].filter((value) => value && LARGE[value.type]) : [];
  }

  /** Whether a run has something to finish. */
  get finishes() {
    return this.large.length > 0 || this.outputs.some((value) => value.type === "float16");
  }

  /** Rounds what is kept as float32 to float16, which it is, and checks integers of 64 bits, which are kept as float64. */
  finish() {
    for (const { type, data } of this.outputs) if (type === "float16") for (let i = 0; i < data.length; i++) data[i] = half(data[i]);
    for (const { type, data } of this.large) exact(type, data, this.node.operator);
  }

  /**
   * Where the array is that `make` makes of known inputs for the kernels: made once for all shapes where no shape changes the
   * inputs, and once for these shapes otherwise.
   * @param {string} key of the array among those of the node
   * @param {(?Value)[]} from all inputs on which the array or its length depends
   * @param {number} length of the float32 array
   * @param {() => Float32Array} make
   */
  packed(key, from, length, make) {
    const { plan } = this;
    const afforded = () => {
      plan.store.afford(4 * length);
      return make();
    };
    const lasting = from.every((value) => !value || value.lasting);
    return lasting ? plan.packed(this.node, key, afforded) : plan.scope.keep(afforded());
  }
}
