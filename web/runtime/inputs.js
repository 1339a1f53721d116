// What a caller gives: arrays of any kind, checked and made what the graph takes.

import { values } from "../shoe.js";
import { ARRAYS, RunError, sizeOf } from "./values.js";

const LIMITS = {
  int64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int8: [-128, 127],
  uint8: [0, 255],
  bool: [0, 1],
};

/**
 * The numbers of a tensor or constant of a file, as this runtime keeps them.
 * @param {object} tensor of `decode`
 * @param {{count: (bytes: number) => void}} account that counts a copy before it is made: of float16 and of integers of 64 bits
 */
export function numbersOf(tensor, account) {
  if (!ARRAYS[tensor.type]) throw new RunError(`this runtime does not compute with ${tensor.type}, which a tensor of the file has`);
  if (tensor.type === "float16") account.count(4 * tensor.bits.length);
  if (tensor.type.endsWith("t64") && tensor.type !== "float64") account.count(8 * tensor.bits.length);
  const found = values(tensor);
  return found instanceof BigInt64Array || found instanceof BigUint64Array ? Float64Array.from(found, Number) : found;
}

const told = (input) => `${input.name}: ${input.type}[${input.shape.join(", ")}]`;
const isArray = (given) => ArrayBuffer.isView(given) || Array.isArray(given) || given instanceof ArrayBuffer;

/**
 * The inputs in order: {type, shape, data} each.
 * @param {{name: string, type: string, shape: (number|string)[]}[]} inputs what the graph takes
 * @param {*} given by name, or the only one
 */
export function arrayOf(inputs, given) {
  const takes = `this file takes ${inputs.map(told).join(", ") || "no inputs"}`;
  if (given === null || typeof given !== "object") throw new RunError(`run was given ${given === null ? "null" : typeof given}: ${takes}`);
  const only = isArray(given) || (isArray(given.data) && !inputs.some((input) => input.name === "data"));
  if (only && inputs.length !== 1) throw new RunError(`run was given one array, and ${takes}: give them by name, as in run({${inputs[0]?.name}: ...})`);
  const named = only ? { [inputs[0].name]: given } : given;
  for (const name of Object.keys(named)) {
    if (!inputs.some((input) => input.name === name)) throw new RunError(`there is no input ${JSON.stringify(name.slice(0, 200))}; ${takes}`);
  }
  const sizes = new Map();
  return inputs.map((input) => {
    if (!Object.hasOwn(named, input.name)) throw new RunError(`the input ${JSON.stringify(input.name)} is missing; ${takes}`);
    const { data, shape } = dataAndShape(input, named[input.name]);
    input.shape.forEach((size, i) => {
      const wanted = typeof size === "number" ? size : (sizes.get(size) ?? shape[i]);
      if (shape.length !== input.shape.length || shape[i] !== wanted) throw misfit(input, shape, sizes);
      if (typeof size === "string") bounded(input, size, shape[i], sizes);
    });
    if (shape.length !== input.shape.length) throw misfit(input, shape, sizes);
    return { type: input.type, shape, data: convert(input, data) };
  });
}

function misfit(input, shape, sizes) {
  const fixed = [...sizes].map(([name, size]) => `${name} is ${size}`).join(", ");
  return new RunError(`the input ${JSON.stringify(input.name)} has the shape [${shape}], and [${input.shape.join(", ")}] is wanted${fixed && `, where ${fixed}`}`);
}

/** The sizes that an axis may have, whose name may have bounds: "T (up to 16)", "H (32 to 512, multiple of 4)". */
export function boundsOf(name) {
  const words = /\(([^()]*)\)$/.exec(name)?.[1] ?? "";
  const least = Number(/^(\d+) (?:or more|to)/.exec(words)?.[1] ?? 0);
  const most = Number(/(?:up to|\d+ to) (\d+)/.exec(words)?.[1] ?? Infinity);
  const multiple = Number(/multiple of (\d+)/.exec(words)?.[1] ?? 1);
  return { least, most, multiple };
}

/** Notes the size of an axis that varies; one out of its bounds is told. */
function bounded(input, name, size, sizes) {
  sizes.set(name, size);
  const { least, most, multiple } = boundsOf(name);
  if (size >= least && size <= most && size % multiple === 0) return;
  throw new RunError(`the axis of ${JSON.stringify(input.name)} is ${size} long, and this file takes ${name}`);
}

/** The numbers of an input, flat, and its shape. */
function dataAndShape(input, given) {
  if (isArray(given?.data)) {
    const flat = flattened(input, given.data);
    const shape = given.shape ? Array.from(given.shape, Number) : guessed(input, flat);
    if (sizeOf(shape) !== flat.data.length) {
      throw new RunError(`the input ${JSON.stringify(input.name)} has ${flat.data.length} numbers, and its shape [${shape}] has ${sizeOf(shape)}`);
    }
    return { data: flat.data, shape };
  }
  if (!isArray(given)) throw new RunError(`the input ${JSON.stringify(input.name)} is no array: give {data, shape}, a typed array or nested arrays of numbers`);
  const flat = flattened(input, given);
  return { data: flat.data, shape: guessed(input, flat) };
}

/** Nested arrays as one, with their shape; a flat array has no shape. */
function flattened(input, given) {
  if (given instanceof ArrayBuffer || given instanceof DataView) throw new RunError(`the input ${JSON.stringify(input.name)} is bytes without a type: give a typed array`);
  if (!Array.isArray(given) || !Array.isArray(given[0]) && !ArrayBuffer.isView(given[0])) return { data: given, shape: null };
  const shape = [];
  for (let level = given; Array.isArray(level) || ArrayBuffer.isView(level); level = level[0]) shape.push(level.length);
  const data = [];
  const visit = (level, depth) => {
    const nested = Array.isArray(level) || ArrayBuffer.isView(level);
    if (nested !== depth < shape.length || (nested && level.length !== shape[depth])) {
      throw new RunError(`the input ${JSON.stringify(input.name)} has arrays of different lengths side by side: all must be alike`);
    }
    if (!nested) return data.push(level);
    for (const one of level) visit(one, depth + 1);
  };
  visit(given, 0);
  return { data, shape };
}

/** The shape of flat numbers, where one axis at most is open. */
function guessed(input, { data, shape }) {
  if (shape) return shape;
  if (data instanceof Uint8ClampedArray) {
    throw new RunError(`the input ${JSON.stringify(input.name)} is the bytes of a canvas, four for each pixel: give the numbers that the model was trained on, as {data, shape}`);
  }
  if (input.shape.length === 1) return [data.length];
  const open = input.shape.filter((size) => typeof size === "string");
  const rest = sizeOf(input.shape.filter((size) => typeof size === "number"));
  if (open.length > 1 || (open.length ? data.length % rest : data.length !== rest)) {
    throw new RunError(`the input ${JSON.stringify(input.name)} has ${data.length} numbers in one row, which do not make [${input.shape.join(", ")}]: give {data, shape}`);
  }
  return input.shape.map((size) => (typeof size === "string" ? data.length / rest : size));
}

/** The numbers in the array of the type, or an error that tells the first that does not fit. */
function convert(input, data) {
  const Wanted = ARRAYS[input.type];
  if (!Wanted) throw new RunError(`this runtime does not compute with ${input.type}, which the input ${JSON.stringify(input.name)} is of`);
  if (data instanceof Wanted && !LIMITS[input.type]) return data;
  const limits = LIMITS[input.type];
  if (limits && data instanceof Wanted && input.type !== "bool" && !input.type.endsWith("64")) return data;
  if (limits && (data instanceof Float32Array || data instanceof Float64Array)) {
    throw new RunError(`the input ${JSON.stringify(input.name)} is a ${data.constructor.name}, and ${input.type} is wanted: give an array of integers`);
  }
  const found = new Wanted(data.length);
  for (let i = 0; i < data.length; i++) {
    const one = data[i];
    const number = typeof one === "number" ? one : typeof one === "bigint" || typeof one === "boolean" ? Number(one) : undefined;
    const fits = number !== undefined && (!limits || (Number.isInteger(number) && number >= limits[0] && number <= limits[1]));
    if (!fits) throw new RunError(`the input ${JSON.stringify(input.name)} has ${String(one).slice(0, 60)} at place ${i}, which is no ${input.type}`);
    found[i] = number;
  }
  return found;
}
