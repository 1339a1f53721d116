// Operators that compute each element alone.

import { broadcast, joined, stepsIn, walk } from "./shapes.js";
import { half } from "./call.js";
import { clamp, erf, nearest, sigmoid } from "./functions.js";
import { LARGE } from "./values.js";

export const INTEGERS = new Set(["int64", "uint64", "int32", "uint32", "int16", "uint16", "int8", "uint8"]);
const KERNELS = { Add: "add", Sub: "sub", Mul: "mul", Div: "div" };

/** y = of(a, b), over shapes that are broadcast. */
export function pairs(call, a, b, type, of) {
  const y = call.out(type, broadcast(a.shape, b.shape));
  const { low, high, operator } = call.node;
  const [shape, stepsA, stepsB] = joined(y.shape, stepsIn(a.shape, y.shape), stepsIn(b.shape, y.shape));
  const n = shape.at(-1);
  const [stepA, stepB] = [stepsA.at(-1), stepsB.at(-1)];
  const kernel = KERNELS[operator];
  if (kernel && a.type === "float32" && b.type === "float32" && stepA < 2 && stepB < 2 && (n >= 8 || y.size === n || low > -Infinity || high < Infinity)) {
    const { kernels } = call;
    const [fromA, fromB] = [a.at, b.at];
    return () => {
      let to = y.at;
      walk(shape, [stepsA, stepsB], (from) => {
        const [i, j] = [from[0], from[1]];
        kernels[kernel](fromA + 4 * i, fromB + 4 * j, to, n, stepA, stepB, low, high);
        to += 4 * n;
      });
    };
  }
  return () => {
    const [p, q, to] = [a.data, b.data, y.data];
    let at = 0;
    walk(shape, [stepsA, stepsB], ([i, j]) => {
      for (let k = 0; k < n; k++, i += stepA, j += stepB) to[at++] = of(p[i], q[j]);
    });
    clamp(to, 0, at, low, high);
  };
}

function same(call) {
  const [a, b] = [call.input(0), call.input(1)];
  if (a.type !== b.type) throw call.fault(`its inputs are of types ${a.type} and ${b.type}: the file is made wrongly`);
  return [a, b];
}

/** The product of two numbers of a type: integers of up to 32 bits overflow as they do in ONNX Runtime. */
export const times = (type) => (INTEGERS.has(type) && !LARGE[type] ? Math.imul : (a, b) => a * b);

/** An integer that float64 has; Infinity, which stays, for one of more than 53 bits. */
export const safe = (one) => (Number.isSafeInteger(one) ? one : Infinity);

/**
 * A number without what follows its point, as an integer of a type. One beyond 32 bits is told, because what becomes of it is
 * the processor's choice; `finish` of the call tells those of 64 bits.
 */
export function whole(call, type, number) {
  const found = Math.trunc(number);
  if (LARGE[type] || (found >= -(2 ** 31) && found < (type === "uint32" ? 2 ** 32 : 2 ** 31))) return found;
  throw call.fault(`${number} is no ${type}: look at the inputs`);
}

/** Arithmetic: integers stay integers. */
function arithmetic(of, ofIntegers = of) {
  return (call) => {
    const [a, b] = same(call);
    return pairs(call, a, b, a.type, INTEGERS.has(a.type) ? (p, q) => ofIntegers(p, q, call) : of);
  };
}

function power(call) {
  const { type } = call.input(0);
  return pairs(call, call.input(0), call.input(1), type, INTEGERS.has(type) ? (a, b) => whole(call, type, a ** b) : (a, b) => a ** b);
}

function quotient(p, q, call) {
  if (q === 0) throw call.fault("an integer is divided by 0: look at the inputs");
  return Math.trunc(p / q);
}

function remainder(p, q, call) {
  if (q === 0) throw call.fault("an integer is divided by 0: look at the inputs");
  return p - q * Math.floor(p / q);
}

const compared = (of) => (call) => pairs(call, ...same(call), "bool", of);

/** Of any number of inputs, two at a time. */
function folded(of) {
  return (call) => {
    const values = call.inputs;
    if (values.length === 1) return call.same(call.input(0), values[0].shape);
    if (values.length === 2) return pairs(call, ...same(call), values[0].type, of);
    const y = call.out(call.input(0).type, broadcast(...values.map((value) => value.shape)));
    const steps = values.map((value) => stepsIn(value.shape, y.shape));
    const n = y.shape.at(-1) ?? 1;
    const shape = y.shape.length ? y.shape : [1];
    return () => {
      const arrays = values.map((value) => value.data);
      let at = 0;
      walk(shape, steps.map((one) => (one.length ? one : [0])), (places) => {
        for (let k = 0; k < n; k++) {
          let found = arrays[0][places[0] + k * (steps[0].at(-1) ?? 0)];
          for (let v = 1; v < arrays.length; v++) found = of(found, arrays[v][places[v] + k * (steps[v].at(-1) ?? 0)]);
          y.data[at++] = found;
        }
      });
    };
  };
}

/** y = of(x); `type` of y, that of x unless told; `kernel` of float32, where there is one. */
export function each(of, type, kernel) {
  return (call) => {
    const x = call.input(0);
    const y = call.out(type ?? x.type, x.shape);
    call.work(x.size, 15);
    const { kernels } = call;
    if (kernel && x.type === "float32") {
      const from = x.at;
      return () => kernels[kernel](from, y.at, x.size);
    }
    return () => {
      const [from, to] = [x.data, y.data];
      for (let i = 0; i < to.length; i++) to[i] = of(from[i]);
    };
  };
}

/** y = of(x, alpha, beta), with attributes and their defaults. */
function shaped(defaults, of) {
  return (call) => {
    const [a, b] = Object.entries(defaults).map(([name, otherwise]) => call.attribute(name, otherwise));
    return each((x) => of(x, a, b))(call);
  };
}

function gelu(call) {
  if (call.attribute("approximate", "none") === "tanh") {
    return each((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))))(call);
  }
  return each((x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)), undefined, "gelus")(call);
}

function clip(call) {
  const x = call.input(0);
  const y = call.out(x.type, x.shape);
  const limit = (i, name, otherwise) => call.inputs[i] ?? { data: [call.attribute(name, otherwise)] }; // an attribute before opset 11
  const [low, high] = [limit(1, "min", -Infinity), limit(2, "max", Infinity)];
  return () => {
    const [from, to, least, most] = [x.data, y.data, low.data[0], high.data[0]];
    for (let i = 0; i < to.length; i++) {
      const v = from[i] < least ? least : from[i];
      to[i] = v > most ? most : v;
    }
  };
}

function where(call) {
  const [condition, a, b] = [0, 1, 2].map((i) => call.input(i));
  const y = call.out(a.type, broadcast(condition.shape, a.shape, b.shape));
  const [shape, ...steps] = joined(y.shape, ...[condition, a, b].map((value) => stepsIn(value.shape, y.shape)));
  const n = shape.at(-1);
  const [stepC, stepA, stepB] = steps.map((one) => one.at(-1));
  return () => {
    const [chosen, p, q, to] = [condition.data, a.data, b.data, y.data];
    let at = 0;
    walk(shape, steps, ([h, i, j]) => {
      for (let k = 0; k < n; k++, h += stepC, i += stepA, j += stepB) to[at++] = chosen[h] ? p[i] : q[j];
    });
  };
}

const NAMES = { 1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64" };

/** The type that ONNX gives a number. */
export function typeOf(call, number) {
  return NAMES[number] ?? unknownType(call, number);
}

function unknownType(call, number) {
  throw call.fault(`this runtime has no type ${number} of ONNX`);
}

export function converted(call, type) {
  const x = call.input(0);
  if (x.type === type) return call.same(x, x.shape);
  const y = call.out(type, x.shape);
  const cut = INTEGERS.has(type) && !INTEGERS.has(x.type);
  return () => {
    const [from, to] = [x.data, y.data];
    if (type === "bool") for (let i = 0; i < to.length; i++) to[i] = from[i] !== 0 ? 1 : 0;
    else if (type === "float16") for (let i = 0; i < to.length; i++) to[i] = half(from[i]);
    else if (cut) for (let i = 0; i < to.length; i++) to[i] = whole(call, type, from[i]);
    else to.set(from);
  };
}

const dropout = (call) => {
  if (call.inputs[2] && call.numbers(2)[0]) throw call.fault("it draws random numbers in training mode, and a file is run without");
  return call.same(call.input(0), call.input(0).shape);
};

export const ELEMENTS = {
  Add: arithmetic((a, b) => a + b),
  Sub: arithmetic((a, b) => a - b),
  Mul: (call) => arithmetic(times(call.input(0).type))(call),
  Div: arithmetic((a, b) => a / b, quotient),
  Mod: (call) => (call.attribute("fmod", 0) ? arithmetic((a, b) => a % b) : arithmetic(remainder))(call),
  Pow: power,
  PRelu: (call) => pairs(call, ...same(call), call.input(0).type, (x, slope) => (x < 0 ? x * slope : x)),
  Max: folded((a, b) => Math.max(a, b)),
  Min: folded((a, b) => Math.min(a, b)),
  Sum: folded((a, b) => a + b),
  Equal: compared((a, b) => +(a === b)),
  Less: compared((a, b) => +(a < b)),
  LessOrEqual: compared((a, b) => +(a <= b)),
  Greater: compared((a, b) => +(a > b)),
  GreaterOrEqual: compared((a, b) => +(a >= b)),
  And: compared((a, b) => a & b),
  Or: compared((a, b) => a | b),
  Xor: compared((a, b) => a ^ b),
  Not: each((x) => 1 - x),
  Abs: each(Math.abs),
  Neg: each((x) => -x),
  Sign: each(Math.sign),
  Floor: each(Math.floor),
  Ceil: each(Math.ceil),
  Round: each(nearest),
  Sqrt: each(Math.sqrt),
  Reciprocal: each((x) => 1 / x),
  Exp: each(Math.exp),
  Log: each(Math.log),
  Sin: each(Math.sin),
  Cos: each(Math.cos),
  Tan: each(Math.tan),
  Tanh: each(Math.tanh, undefined, "tanhs"),
  Atan: each(Math.atan),
  Erf: each(erf, undefined, "erfs"),
  Relu: each((x) => (x < 0 ? 0 : x)),
  Sigmoid: each(sigmoid, undefined, "sigmoids"),
  Softplus: each((x) => (x > 20 ? x : Math.log1p(Math.exp(x)))),
  Softsign: each((x) => x / (1 + Math.abs(x))),
  Mish: each((x) => x * Math.tanh(Math.log1p(Math.exp(x)))),
  HardSwish: each((x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))),
  Swish: shaped({ alpha: 1 }, (x, alpha) => x * sigmoid(alpha * x)),
  HardSigmoid: shaped({ alpha: 0.2, beta: 0.5 }, (x, alpha, beta) => Math.max(0, Math.min(1, alpha * x + beta))),
  LeakyRelu: shaped({ alpha: 0.01 }, (x, alpha) => (x < 0 ? alpha * x : x)),
  Elu: shaped({ alpha: 1 }, (x, alpha) => (x < 0 ? alpha * Math.expm1(x) : x)),
  Celu: shaped({ alpha: 1 }, (x, alpha) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha))),
  Selu: shaped({ alpha: 1.67326319217681884765625, gamma: 1.05070102214813232421875 }, (x, alpha, gamma) => gamma * (x <= 0 ? alpha * Math.expm1(x) : x)),
  ThresholdedRelu: shaped({ alpha: 1 }, (x, alpha) => (x > alpha ? x : 0)),
  IsNaN: each((x) => +Number.isNaN(x), "bool"),
  Gelu: gelu,
  Clip: clip,
  Where: where,
  Cast: (call) => converted(call, typeOf(call, call.attribute("to", 1))),
  CastLike: (call) => converted(call, call.input(1).type),
  Identity: (call) => call.same(call.input(0), call.input(0).shape),
  Dropout: dropout,
};
