// The worker in which files are decoded and run. It is ended from outside when it takes too long: see job.js.

import { kernels } from "../runtime/kernels.js";
import { Model } from "../runtime/model.js";
import { decode } from "../shoe.js";
import { told } from "./told.js";

const FEW = 2 ** 17; // bytes of a file that is decoded several times, for the median
const TIMES = 7;
const SHORTEST = 4; // milliseconds that are measured at once: a browser's clock is coarse

let model = null;
let kept = null; // the bytes of a small file, to decode it again

const ACTS = {
  async open({ bytes, maxBytes, maxSeconds }) {
    model = kept = null;
    const limits = { maxBytes, maxSeconds };
    const began = performance.now();
    const file = decode(bytes, limits);
    const milliseconds = performance.now() - began; // without the bill, which a file does not need to run
    const about = { ...told(file, bytes.length), milliseconds, decodings: 1 };
    if (bytes.length < FEW) kept = { bytes, limits };
    if (about.kind === "checkpoint") return about;
    model = new Model(file, await kernels(), { bytes: bytes.length, ...limits });
    return { ...about, unsupported: model.unsupported.slice(0, 50) };
  },

  /** The median time of decoding a small file several times; null where it is not small. */
  decoding() {
    if (!kept) return null;
    const times = [];
    while (times.length < TIMES) {
      const began = performance.now();
      decode(kept.bytes, kept.limits);
      times.push(performance.now() - began);
      if (times[0] > 200) break;
    }
    return { milliseconds: median(times), decodings: times.length };
  },

  async run({ inputs, entry }) {
    const began = performance.now();
    const outputs = await (entry === undefined ? opened() : opened().entry(entry)).run(inputs);
    return { outputs, milliseconds: performance.now() - began };
  },

  async loaded() {
    const parts = performance.getEntriesByType("resource");
    return parts.map(({ name, encodedBodySize }) => ({ name, size: encodedBodySize }));
  },

  async time({ inputs }) {
    const running = opened();
    const once = async (count) => {
      const began = performance.now();
      for (let i = 0; i < count; i++) await running.run(inputs);
      return (performance.now() - began) / count;
    };
    const count = Math.min(50, Math.max(1, Math.ceil(SHORTEST / Math.max(0.05, await once(1)))));
    const times = [];
    while (times.length < TIMES) times.push(await once(count));
    return median(times);
  },
};

function opened() {
  if (!model) throw new Error("there is no network that could be run");
  return model;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

onmessage = async ({ data: { id, act, ...message } }) => {
  try {
    postMessage({ id, answer: await ACTS[act](message) });
  } catch (error) {
    const enough = !(error instanceof RangeError); // an array that cannot be made
    postMessage({ id, refused: enough ? String(error?.message ?? error) : `there is not enough memory: ${error.message}` });
  }
};

postMessage({ ready: true }); // what comes before this is lost where a part of the worker is still being fetched
