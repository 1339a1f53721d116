// A graph made ready for inputs of given shapes: the steps of a run, and a place in memory for every value.

import { Call, NEEDS_NUMBERS, NOTHING } from "./call.js";
import { begin } from "./operations.js";
import { evaluate } from "./prepare.js";
import { ARRAYS, LARGE, RunError, Value } from "./values.js";

const BYTES = (value) => value.size * ARRAYS[value.type].BYTES_PER_ELEMENT;

export class Plan {
  /**
   * @param {object} entry what `prepare` gives, with kernels, store, opset, seconds and the cache of packed weights
   * @param {{type: string, shape: number[]}[]} inputs
   * @param {Scope} scope what is kept for these shapes; whoever made the plan releases it
   * @param {?Array} arrays the inputs themselves, where the graph is to run at once, node by node
   * @throws {RunError} where the graph does not fit the shapes, or asks for too much
   */
  constructor(entry, inputs, scope, arrays = null) {
    Object.assign(this, { entry, scope, kernels: entry.kernels, store: entry.store, opset: entry.opset });
    this.running = arrays !== null;
    this.asked = 0;
    this.steps = [];
    this.operators = []; // the node of each step
    this.values = new Map(entry.statics);
    const places = new Set();
    try {
      this.inputs = inputs.map(({ type, shape }, i) => {
        const value = new Value(type, shape, null);
        value.place = { store: this.store, at: this.store.take(BYTES(value)), bytes: BYTES(value), array: [], readers: 0 };
        if (arrays) value.data.set(arrays[i]);
        this.hold(i, value, places);
        return value;
      });
      for (const node of entry.nodes) this.add(node, places);
      this.outputs = entry.results.map((id) => this.values.get(id));
      const copied = ({ size, type }) => size * (ARRAYS[type].BYTES_PER_ELEMENT + (LARGE[type] ? 8 : 0));
      this.copies = this.outputs.reduce((sum, value) => sum + copied(value), 0);
      this.store.afford(this.copies);
      if (arrays) this.results = this.outputs.map((value) => value.data.slice());
    } finally {
      for (const place of places) this.store.give(place.at, place.bytes);
    }
    this.values = null;
  }

  /** Counts a value's readers, and keeps its place until the last of them has run. */
  hold(id, value, places) {
    this.values.set(id, value);
    if (!value.place.store) return;
    value.place.readers += this.entry.uses.get(id) ?? 0;
    places.add(value.place);
  }

  /** Holds the outputs of a node; one that nobody takes has its place until it is dropped. */
  holdAll(node, outputs, places) {
    outputs.forEach((value, i) => {
      const id = node.outputs[i] ?? null;
      if (id !== null) this.hold(id, value, places);
      else if (value.place.store) places.add(value.place);
    });
  }

  add(node, places) {
    const inputs = node.inputs.map((id) => (id === null ? null : this.values.get(id)));
    const constant = !this.running && inputs.every((value) => value === null || value.known);
    if (constant) {
      this.holdAll(node, evaluate(this, node, inputs), places);
      return this.release(inputs, places);
    }
    const call = new Call(this, node, inputs);
    let run;
    try {
      run = begin(call);
      if (this.running) {
        run();
        call.finish();
      } else if (run !== NOTHING) {
        this.operators.push(node);
        this.steps.push(call.finishes ? () => (run(), call.finish()) : run);
      }
    } catch (error) {
      for (const { place } of [...call.outputs, ...call.scratches]) if (place.store && !places.has(place)) places.add(place);
      throw error instanceof RunError || error === NEEDS_NUMBERS ? error : failed(node, error);
    }
    for (const { place } of call.scratches) this.store.give(place.at, place.bytes);
    this.holdAll(node, call.outputs, places);
    for (const { place } of call.outputs) this.drop(place, places);
    this.release(inputs, places);
  }

  release(inputs, places) {
    for (const value of inputs) {
      if (!value?.place.store) continue;
      value.place.readers--;
      this.drop(value.place, places);
    }
  }

  drop(place, places) {
    if (place.readers > 0 || !places.delete(place)) return;
    this.store.give(place.at, place.bytes);
  }

  spend(nanoseconds) {
    this.asked += nanoseconds;
    if (this.asked <= this.entry.seconds * 1e9) return;
    throw new RunError(
      `a run takes ${(this.asked / 1e9).toFixed(1)} s or more by the account of this runtime, and ${this.entry.seconds} s are allowed: ` +
        "run fewer examples at once, or raise maxSeconds if you trust this file",
    );
  }

  /** Where an array is that all shapes have together. */
  packed(node, key, make) {
    const { packs } = this.entry;
    if (!packs.has(node)) packs.set(node, new Map());
    const of = packs.get(node);
    if (!of.has(key)) of.set(key, this.store.keep(make()));
    return of.get(key);
  }

  /** @returns {Array} the numbers of each output, for the numbers of each input */
  run(arrays) {
    this.store.afford(this.copies);
    arrays.forEach((array, i) => this.inputs[i].data.set(array));
    let i = 0;
    try {
      for (; i < this.steps.length; i++) this.steps[i]();
    } catch (error) {
      throw error instanceof RunError ? error : failed(this.operators[i], error);
    }
    return this.outputs.map((value) => value.data.slice());
  }
}

/** What an operator threw that is no sentence of ours: a graph that is not as ONNX says. */
function failed(node, error) {
  if (error instanceof RangeError) return new RunError(`${node.operator}: there is not enough memory (${error.message}): run fewer examples at once`);
  return new RunError(`${node.operator}: the graph is not as ONNX says (${error.message})`);
}
