// LSTM, GRU and plain recurrent layers, as ONNX has them.

import { sigmoid } from "./functions.js";
import { inPanels } from "./products.js";

const ACTIVATIONS = {
  Sigmoid: sigmoid,
  Tanh: Math.tanh,
  Relu: (x) => Math.max(0, x),
  HardSigmoid: (x) => Math.max(0, Math.min(1, 0.2 * x + 0.5)),
  Softsign: (x) => x / (1 + Math.abs(x)),
};
const up4 = (n) => Math.ceil(n / 4) * 4;

/** A step of a cell: the gates [N][gates × H] of the input and of the state, to the new state, in place. */
const CELLS = {
  LSTM: { gates: 4, defaults: ["Sigmoid", "Tanh", "Tanh"], step: lstmStep },
  GRU: { gates: 3, defaults: ["Sigmoid", "Tanh"], step: gruStep },
  RNN: { gates: 1, defaults: ["Tanh"], step: plainStep },
};

function lstmStep(size, input, at, state, from, h, c, place, [f, g, k], peephole) {
  for (let i = 0; i < size; i++) {
    const gate = (number) => input[at + number * size + i] + state[from + number * size + i];
    const old = c[place + i];
    const [p, q, r] = peephole ? [peephole[i], peephole[2 * size + i], peephole[size + i]] : [0, 0, 0];
    const cell = f(gate(2) + q * old) * old + f(gate(0) + p * old) * g(gate(3));
    c[place + i] = cell;
    h[place + i] = f(gate(1) + r * cell) * k(cell);
  }
}

function gruStep(size, input, at, state, from, h, c, place, [f, g], _, biasState) {
  for (let i = 0; i < size; i++) {
    const z = f(input[at + i] + state[from + i] + biasState[i]);
    const r = f(input[at + size + i] + state[from + size + i] + biasState[size + i]);
    const n = g(input[at + 2 * size + i] + r * (state[from + 2 * size + i] + biasState[2 * size + i]));
    h[place + i] = (1 - z) * n + z * h[place + i];
  }
}

function plainStep(size, input, at, state, from, h, c, place, [f]) {
  for (let i = 0; i < size; i++) h[place + i] = f(input[at + i] + state[from + i]);
}

function recurrent(call) {
  const kind = call.node.operator;
  const { gates, defaults, step } = CELLS[kind];
  const [x, weights, recurrence, bias, lengths, h0] = [call.input(0), call.input(1), call.input(2), ...call.inputs.slice(3, 6)];
  const [c0, peephole] = kind === "LSTM" ? [call.inputs[6], call.inputs[7]] : [];
  const direction = call.attribute("direction", "forward");
  const [directions, wide, features] = weights.shape;
  const size = recurrence.shape[2];
  if (call.attribute("layout", 0) || call.attribute("input_forget", 0) || call.attribute("clip", 0)) throw call.fault("this runtime has it without layout, input_forget and clip");
  if (kind === "GRU" && !call.attribute("linear_before_reset", 0)) throw call.fault("this runtime has it with linear_before_reset only, as PyTorch does");
  if (x.type !== "float32" || wide !== gates * size || directions !== (direction === "bidirectional" ? 2 : 1) || x.shape[2] !== features) {
    throw call.fault(`an input of ${x.type}[${x.shape}], weights of [${weights.shape}] and [${recurrence.shape}] do not fit`);
  }
  const [times, n] = x.shape;
  call.sized(0, times * n * features);
  call.sized(2, directions * wide * size);
  call.sized(3, directions * 2 * wide);
  call.sized(4, n);
  call.sized(5, directions * n * size);
  if (kind === "LSTM") call.sized(6, directions * n * size);
  if (kind === "LSTM") call.sized(7, directions * 3 * size);
  const names = call.attribute("activations", Array.from({ length: directions }, () => defaults).flat());
  const functions = names.map((name) => ACTIVATIONS[name] ?? unknown(call, name));
  const y = call.out("float32", [times, directions, n, size]);
  const [h, c] = [call.out("float32", [directions, n, size]), kind === "LSTM" ? call.out("float32", [directions, n, size]) : null];
  const rows = call.scratch("float32", [times * n, wide]);
  const states = call.scratch("float32", [n, wide]);
  call.work(times * n * directions * wide * (features + size), call.kernels.price);
  call.work(times * n * directions * wide, 20);
  for (const one of [weights, recurrence, bias]) if (one && !one.known) throw call.fault("this runtime has it with weights that are in the file");
  const part = (value, d, inner) => () => inPanels(value.data, inner, wide, 1, inner, d * wide * inner);
  const places = Array.from({ length: directions }, (_, d) => {
    const of = bias ? bias.data.subarray(d * 2 * wide, (d + 1) * 2 * wide) : new Float32Array(2 * wide);
    const joinedBias = Float32Array.from({ length: up4(wide) }, (_, i) => (i < wide ? of[i] + (kind === "GRU" ? 0 : of[wide + i]) : 0));
    return {
      input: call.packed(`input${d}`, [weights], up4(wide) * features, part(weights, d, features)),
      state: call.packed(`state${d}`, [recurrence], up4(wide) * size, part(recurrence, d, size)),
      bias: call.packed(`bias${d}`, [weights, bias], up4(wide), () => joinedBias),
      zeros: call.packed("zeros", [weights], up4(wide), () => new Float32Array(up4(wide))),
      biasState: of.slice(wide),
      backwards: direction === "reverse" || d === 1,
      functions: functions.slice((d * functions.length) / directions),
    };
  });
  const { kernels } = call;
  const usual = kind === "LSTM" && !peephole && names.every((name, i) => name === defaults[i % 3]);
  return () => {
    const wrong = lengths?.data.find((length) => !(length >= 0 && length <= times));
    if (wrong !== undefined) throw call.fault(`a sequence is ${wrong} long, and the input ${times}: look at the inputs`);
    const plain = usual && (!lengths || lengths.data.every((length) => length === times)); // what the kernel computes
    y.data.fill(0);
    for (const [value, first] of [[h, h0], [c, c0]]) if (value) first ? value.data.set(first.data) : value.data.fill(0);
    places.forEach((of, d) => {
      kernels.product(x.at, of.input, of.bias, rows.at, times * n, features, wide, -Infinity, Infinity);
      const start = d * n * size;
      const holes = peephole?.data.subarray(d * 3 * size, (d + 1) * 3 * size);
      if (plain) {
        const to = y.at + 4 * start;
        kernels.lstm(rows.at, of.state, of.zeros, states.at, h.at + 4 * start, c.at + 4 * start, to, times, n, size, directions * n * size, of.backwards ? 1 : 0);
        return;
      }
      for (let t = 0; t < times; t++) {
        kernels.product(h.at + 4 * start, of.state, of.zeros, states.at, n, size, wide, -Infinity, Infinity);
        const [input, state, to] = [rows.data, states.data, y.data];
        for (let i = 0; i < n; i++) {
          const length = lengths ? lengths.data[i] : times;
          if (t >= length) continue;
          const time = of.backwards ? length - 1 - t : t;
          const place = start + i * size;
          step(size, input, (time * n + i) * wide, state, i * wide, h.data, c?.data, place, of.functions, holes, of.biasState);
          to.set(h.data.subarray(place, place + size), ((time * directions + d) * n + i) * size);
        }
      }
    });
  };
}

function unknown(call, name) {
  throw call.fault(`this runtime has no activation ${name}; it has ${Object.keys(ACTIVATIONS).join(", ")}`);
}

export const RECURRENT = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
