// LSTM, GRU and plain recurrent layers, as ONNX has them.

import { sigmoid } from "./functions.js";
import { inPanels, up4 } from "./products.js";

const ACTIVATIONS = {
  Sigmoid: sigmoid,
  Tanh: Math.tanh,
  Relu: (x) => Math.max(0, x),
  HardSigmoid: (x) => Math.max(0, Math.min(1, 0.2 * x + 0.5)),
  Softsign: (x) => x / (1 + Math.abs(x)),
};

/**
 * A step of a cell: the gates [N][gates × H] of the input and of the state, to the new state, in
 * place.
 */
const CELLS = {
  LSTM: { gates: 4, defaults: ["Sigmoid", "Tanh", "Tanh"], step: lstmStep },
  GRU: { gates: 3, defaults: ["Sigmoid", "Tanh"], step: gruStep },
  RNN: { gates: 1, defaults: ["Tanh"], step: plainStep },
};

function lstmStep(size, input, at, state, from, h, c, place, [f, g, k], peephole) {
  for (let i = 0; i < size; i++) {
    const gate = (number) => input[at + number * size + i] + state[from + number * size + i];
    const old = c[place + i];
    const [p, q, r] = peephole
      ? [peephole[i], peephole[2 * size + i], peephole[size + i]]
      : [0, 0, 0];
    const cell = f(gate(2) + q * old) * old + f(gate(0) + p * old) * g(gate(3));
    c[place + i] = cell;
    h[place + i] = f(gate(1) + r * cell) * k(cell);
  }
}

function gruStep(size, input, at, state, from, h, c, place, [f, g], _, biasState) {
  for (let i = 0; i < size; i++) {
    const z = f(input[at + i] + state[from + i] + biasState[i]);
    const r = f(input[at + size + i] + state[from + size + i] + biasState[size + i]);
    const n = g(
      input[at + 2 * size + i] + r * (state[from + 2 * size + i] + biasState[2 * size + i]),
    );
    h[place + i] = (1 - z) * n + z * h[place + i];
  }
}

function plainStep(size, input, at, state, from, h, c, place, [f]) {
  for (let i = 0; i < size; i++) h[place + i] = f(input[at + i] + state[from + i]);
}

/** The inputs of a layer and its sizes; what does not fit is told. */
function layerOf(call) {
  const kind = call.node.operator;
  const [x, weights, recurrence] = [0, 1, 2].map((i) => call.input(i));
  const [bias, lengths, h0] = call.inputs.slice(3, 6);
  const [c0, peephole] = kind === "LSTM" ? call.inputs.slice(6, 8) : [];
  const direction = call.attribute("direction", "forward");
  const [directions, wide, features] = weights.shape;
  const size = recurrence.shape[2];
  const [times, n] = x.shape;
  if (["layout", "input_forget", "clip"].some((name) => call.attribute(name, 0))) {
    throw call.fault("this runtime has it without layout, input_forget and clip");
  }
  if (call.node.attributes.activation_alpha || call.node.attributes.activation_beta) {
    throw call.fault("this runtime has it without activation_alpha and activation_beta");
  }
  if (kind === "GRU" && !call.attribute("linear_before_reset", 0)) {
    throw call.fault("this runtime has it with linear_before_reset only, as PyTorch does");
  }
  const both = direction === "bidirectional" ? 2 : 1;
  if (wide !== CELLS[kind].gates * size || directions !== both || x.shape[2] !== features) {
    const told = [x, weights, recurrence].map(({ shape }) => `[${shape}]`).join(", ");
    throw call.fault(`an input and weights of ${told} do not fit`);
  }
  const sizes = [
    times * n * features,
    weights.size,
    directions * wide * size,
    directions * 2 * wide,
  ];
  sizes.push(n, directions * n * size);
  if (kind === "LSTM") sizes.push(directions * n * size, directions * 3 * size);
  sizes.forEach((one, i) => call.sized(i, one));
  if ([weights, recurrence, bias].some((one) => one && !one.known)) {
    throw call.fault("this runtime has it with weights that are in the file");
  }
  return {
    kind,
    x,
    weights,
    recurrence,
    bias,
    lengths,
    h0,
    c0,
    peephole,
    direction,
    directions,
    wide,
    features,
    size,
    times,
    n,
  };
}

/** What a layer computes each gate with: [functions, whether they are the usual ones]. */
function activationsOf(call, { kind, directions }) {
  const { defaults } = CELLS[kind];
  const names = call.attribute("activations", Array(directions).fill(defaults).flat());
  const usual = names.every((name, i) => name === defaults[i % defaults.length]);
  return [names.map((name) => ACTIVATIONS[name] ?? unknown(call, name)), usual];
}

/** Where the weights of a direction are for the kernels. */
function placesOf(call, layer, functions, d) {
  const { kind, weights, recurrence, bias, direction, directions, wide, features, size } = layer;
  const part = (value, inner) => () =>
    inPanels(value.data, inner, wide, 1, inner, d * wide * inner);
  const of = bias
    ? bias.data.subarray(d * 2 * wide, (d + 1) * 2 * wide)
    : new Float32Array(2 * wide);
  const joined = () =>
    Float32Array.from({ length: up4(wide) }, (_, i) =>
      i < wide ? of[i] + (kind === "GRU" ? 0 : of[wide + i]) : 0,
    );
  return {
    input: call.packed(`input${d}`, [weights], up4(wide) * features, part(weights, features)),
    state: call.packed(`state${d}`, [recurrence], up4(wide) * size, part(recurrence, size)),
    bias: call.packed(`bias${d}`, [weights, bias], up4(wide), joined),
    zeros: call.packed("zeros", [weights], up4(wide), () => new Float32Array(up4(wide))),
    biasState: of.slice(wide),
    backwards: direction === "reverse" || d === 1,
    functions: functions.slice((d * functions.length) / directions),
  };
}

/** The steps of a direction, for what the kernel of the usual LSTM does not compute. */
function steps(kernels, layer, of, { rows, states, y, h, c }, d) {
  const { kind, lengths, peephole, directions, wide, size, times, n } = layer;
  const { step } = CELLS[kind];
  const start = d * n * size;
  const holes = peephole?.data.subarray(d * 3 * size, (d + 1) * 3 * size);
  for (let t = 0; t < times; t++) {
    const from = h.at + 4 * start;
    kernels.product(from, of.state, of.zeros, states.at, n, size, wide, -Infinity, Infinity);
    const [input, state, to] = [rows.data, states.data, y.data];
    for (let i = 0; i < n; i++) {
      const length = lengths ? lengths.data[i] : times;
      if (t >= length) continue;
      const time = of.backwards ? length - 1 - t : t;
      const place = start + i * size;
      const [at, gates] = [(time * n + i) * wide, i * wide];
      step(
        size,
        input,
        at,
        state,
        gates,
        h.data,
        c?.data,
        place,
        of.functions,
        holes,
        of.biasState,
      );
      to.set(h.data.subarray(place, place + size), ((time * directions + d) * n + i) * size);
    }
  }
}

/** The usual LSTM of a direction, which a kernel computes. */
function lstm(kernels, { directions, size, times, n }, of, { rows, states, y, h, c }, d) {
  const start = 4 * d * n * size;
  const [backwards, far] = [of.backwards ? 1 : 0, directions * n * size];
  const [atH, atC, to] = [h.at + start, c.at + start, y.at + start];
  kernels.lstm(
    rows.at,
    of.state,
    of.zeros,
    states.at,
    atH,
    atC,
    to,
    times,
    n,
    size,
    far,
    backwards,
  );
}

function recurrent(call) {
  const layer = layerOf(call);
  const { kind, x, lengths, h0, c0, peephole, directions, wide, features, size, times, n } = layer;
  const [functions, usual] = activationsOf(call, layer);
  const y = call.out("float32", [times, directions, n, size]);
  const h = call.out("float32", [directions, n, size]);
  const c = kind === "LSTM" ? call.out("float32", [directions, n, size]) : null;
  const rows = call.scratch("float32", [times * n, wide]);
  const states = call.scratch("float32", [n, wide]);
  call.work(times * n * directions * wide * (features + size), call.kernels.price);
  call.work(times * n * directions * wide, 20);
  const places = Array.from({ length: directions }, (_, d) => placesOf(call, layer, functions, d));
  const { kernels } = call;
  const values = { rows, states, y, h, c };
  return () => {
    const wrong = lengths?.data.find((length) => !(length >= 0 && length <= times));
    if (wrong !== undefined) {
      throw call.fault(`a sequence is ${wrong} long, and the input ${times}: look at the inputs`);
    }
    const whole = !lengths || lengths.data.every((length) => length === times);
    const direction = kind === "LSTM" && usual && !peephole && whole ? lstm : steps;
    y.data.fill(0);
    for (const [value, first] of [
      [h, h0],
      [c, c0],
    ]) {
      if (value) first ? value.data.set(first.data) : value.data.fill(0);
    }
    places.forEach((of, d) => {
      const { input, bias } = of;
      kernels.product(x.at, input, bias, rows.at, times * n, features, wide, -Infinity, Infinity);
      direction(kernels, layer, of, values, d);
    });
  };
}

function unknown(call, name) {
  throw call.fault(
    `this runtime has no activation ${name}; it has ${Object.keys(ACTIVATIONS).join(", ")}`,
  );
}

export const RECURRENT = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
