// Times a file in the runtime of web/ and its ONNX in onnxruntime-web, in alternation, in a page or in Node.

const ARRAYS = { float32: Float32Array, int64: BigInt64Array };

/** How often to call `of` so that it takes `milliseconds`, by the fastest of three; clocks of pages have steps of 0.1 ms. */
async function repeats(of, milliseconds) {
  for (let count = 1; ; count *= 2) {
    let took = Infinity;
    for (let attempt = 0; attempt < 3; attempt++) {
      const start = performance.now();
      for (let i = 0; i < count; i++) await of();
      took = Math.min(took, performance.now() - start);
    }
    if (took > milliseconds / 2) return Math.max(1, Math.round((count * milliseconds) / took));
  }
}

/** The inputs of a run as arrays. */
function arrays(inputs) {
  const made = ([name, { type, shape, data }]) => [name, { type, data: ARRAYS[type].from(data, type === "int64" ? BigInt : Number), shape }];
  return Object.fromEntries(Object.entries(inputs).map(made));
}

/** Milliseconds of a run of `model` alone, by the fastest round, and what its own account says of it. */
export async function alone(model, inputs, { rounds: count, milliseconds }) {
  const given = arrays(inputs);
  const once = () => model.run(given);
  for (const end = performance.now() + 8 * milliseconds; performance.now() < end; ) once();
  const times = await repeats(once, milliseconds);
  let fastest = Infinity;
  for (let round = 0; round < count; round++) {
    const start = performance.now();
    for (let i = 0; i < times; i++) once();
    fastest = Math.min(fastest, (performance.now() - start) / times);
  }
  const [plan] = model.single.plans.values();
  return { fastest, account: plan ? plan.asked / 1e6 : null };
}

/**
 * @param {object} model of web/index.js
 * @param {object} ort onnxruntime-web
 * @param {Uint8Array} onnx
 * @param {Object<string, {type: string, shape: number[], data: (number|string)[]}>} inputs
 * @param {{rounds: number, milliseconds: number}} effort of each side of a round
 * @returns {Promise<{ours: number[], theirs: number[], difference: number, outputs: object}>} milliseconds of a run in each round
 */
export async function rounds(model, ort, onnx, inputs, { rounds: count, milliseconds }) {
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(onnx, { executionProviders: ["wasm"] });
  const given = arrays(inputs);
  const feeds = Object.fromEntries(Object.entries(given).map(([name, { type, data, shape }]) => [name, new ort.Tensor(type, data, shape)]));
  const sides = [() => model.run(given), () => session.run(feeds)];
  const [found, other] = [model.run(given), await session.run(feeds)];
  let difference = 0;
  for (const name of Object.keys(found)) found[name].data.forEach((v, i) => (difference = Math.max(difference, Math.abs(Number(v) - Number(other[name].data[i])))));
  for (const side of sides) for (const end = performance.now() + 8 * milliseconds; performance.now() < end; ) await side(); // until all is compiled
  const times = [await repeats(sides[0], milliseconds), await repeats(sides[1], milliseconds)];
  const taken = [[], []];
  for (let round = 0; round < count; round++) {
    for (const side of round % 2 ? [1, 0] : [0, 1]) {
      const start = performance.now();
      for (let i = 0; i < times[side]; i++) await sides[side]();
      taken[side].push((performance.now() - start) / times[side]);
    }
  }
  await session.release();
  const outputs = Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, Array.from(data, Number)]));
  return { ours: taken[0], theirs: taken[1], difference, outputs };
}
