// A file that runs: its entries, what goes in, what comes out.

import { NEEDS_NUMBERS } from "./call.js";
import { arrayOf, boundsOf, numbersOf } from "./inputs.js";
import { ShoeError } from "../reader.js";
import { OPERATIONS } from "./operations.js";
import { Plan } from "./plan.js";
import { prepare } from "./prepare.js";
import { exact, known, LARGE, RunError, Scope, Store } from "./values.js";

const MOST_PLANS = 16; // shapes that are kept ready; with more, all are made again

/** A graph of a file, ready to run. */
class Entry {
  constructor(owner, name, graph) {
    this.name = name;
    this.graph = graph;
    this.inputs = graph.inputs.map(({ name: of, type, shape }) => ({ name: of, type, shape }));
    this.unsupported = [...new Set(graph.nodes.map((node) => node.operator))].filter((one) => !OPERATIONS[one]).sort();
    Object.assign(this, { owner, kernels: owner.kernels, store: owner.store, opset: graph.opset, seconds: owner.seconds });
    this.plans = new Map();
    this.packs = new Map();
    this.dynamic = false; // whether shapes depend on numbers, so that nothing is planned
  }

  /** The outputs, with the names of the axes that vary as those of the inputs do; a shape is null where it cannot be foretold. */
  get outputs() {
    this.shapes ??= this.foretold();
    return this.graph.outputs.map(({ name, type }, i) => ({ name, type, shape: this.shapes[i] }));
  }

  /** The shapes of the outputs, from plans for two sizes of every axis. */
  foretold() {
    try {
      if (!this.ready) this.prepare();
      const [some, others] = [0, 1].map((more) => {
        const sizes = new Map();
        const sized = (name) => {
          const { least, most, multiple } = boundsOf(name);
          const first = Math.ceil(Math.max(least, 3 + 7 * sizes.size) / multiple) * multiple;
          if (!sizes.has(name)) sizes.set(name, Math.min(most, first + more * multiple));
          return sizes.get(name);
        };
        const inputs = this.inputs.map(({ type, shape }) => ({ type, shape: shape.map((size) => (typeof size === "string" ? sized(size) : size)) }));
        return { sizes, outputs: this.once(inputs).outputs };
      });
      const named = (size, other) => [...some.sizes].find(([name, one]) => one === size && others.sizes.get(name) === other)?.[0] ?? "?";
      return some.outputs.map(({ shape }, i) => shape.map((size, k) => (size === others.outputs[i].shape[k] ? size : named(size, others.outputs[i].shape[k]))));
    } catch {
      return this.graph.outputs.map(() => null);
    }
  }

  get ready() {
    return this.statics !== undefined;
  }

  /** Computes what no input changes. */
  prepare() {
    if (this.unsupported.length) {
      throw new RunError(`this runtime has no operator ${this.unsupported.join(", ")}, which the file needs: run it with ONNX Runtime, after shoestring export`);
    }
    let asked = 0;
    const { store } = this;
    let before = store.outside;
    const packs = new Scope(store, (bytes) => store.take(bytes));
    const context = {
      kernels: this.kernels,
      store,
      scope: store, // what no shape changes stays
      opset: this.opset,
      running: true,
      spend: (nanoseconds) => {
        asked += nanoseconds;
        if (asked > this.seconds * 1e9) throw new RunError(`the constants of this file take more than ${this.seconds} s by the account of this runtime: raise maxSeconds if you trust it`);
      },
      packed: (node, key, make) => packs.keep(make()),
    };
    try {
      const { held } = this.owner;
      before = store.outside; // what all entries have stays counted
      const constants = this.graph.constants.map((one) => known(one.type, one.shape, numbersOf(one, store), store));
      const { nodes, statics, uses, outputs } = prepare(this.graph, held, constants, context);
      Object.assign(this, { nodes, statics, uses, results: outputs });
    } catch (error) {
      store.outside = before;
      throw error instanceof RunError ? error : new RunError(`the graph is not as ONNX says (${error.message})`);
    } finally {
      packs.release();
    }
  }

  /**
   * Runs the graph.
   * @param {Object<string, object>|ArrayLike<number>} given the inputs by name, or the only input
   * @returns {Object<string, {data: object, shape: number[], type: string}>} the outputs by name
   * @throws {RunError}
   */
  run(given) {
    try {
      return this.ran(given);
    } catch (error) {
      if (error instanceof ShoeError) throw error;
      throw new RunError(`the run failed (${error?.message ?? error}): run fewer examples at once, or look at the inputs`);
    }
  }

  ran(given) {
    if (!this.ready) this.prepare();
    const arrays = arrayOf(this.inputs, given);
    const key = arrays.map(({ shape }) => shape.join()).join(";");
    const plan = this.dynamic ? null : this.planned(key, arrays);
    const data = arrays.map((one) => one.data);
    if (plan) return this.named(plan.outputs, plan.run(data));
    const { outputs, results } = this.once(arrays, data);
    return this.named(outputs, results);
  }

  /** A plan that is not run later, of which nothing stays in memory. */
  once(inputs, data) {
    const scope = new Scope(this.store, (bytes) => this.store.take(bytes));
    try {
      return new Plan(this, inputs, scope, data);
    } finally {
      scope.release();
    }
  }

  named(values, results) {
    return Object.fromEntries(
      values.map(({ type, shape }, i) => {
        const { name } = this.graph.outputs[i];
        const data = LARGE[type]?.from(exact(type, results[i], `the output ${JSON.stringify(name)}`), BigInt) ?? results[i];
        return [name, { data, shape: [...shape], type }];
      }),
    );
  }

  /** The plan of these shapes; null where shapes depend on numbers. */
  planned(key, arrays) {
    const found = this.plans.get(key);
    if (found) return found;
    if (this.owner.planCount >= MOST_PLANS) this.owner.forget();
    try {
      return this.made(key, arrays);
    } catch (error) {
      const others = this.owner.planCount > 0;
      this.owner.forget();
      if (!(error instanceof RunError) || !others) throw error;
      return this.made(key, arrays); // others may have taken the memory
    }
  }

  made(key, arrays) {
    const scope = new Scope(this.store, (bytes) => this.store.stay(bytes));
    try {
      const plan = new Plan(this, arrays, scope);
      this.plans.set(key, plan);
      this.owner.planCount++;
      return plan;
    } catch (error) {
      scope.release();
      if (error !== NEEDS_NUMBERS) throw error;
      this.dynamic = true;
      return null;
    }
  }
}

/** A file that is decoded. */
export class Model {
  /**
   * @param {object} file what `decode` gives
   * @param {object} kernels
   * @param {{bytes: number, maxBytes: number, maxSeconds: number}} limits
   */
  constructor(file, kernels, { bytes, maxBytes, maxSeconds }) {
    this.file = file;
    this.bytes = bytes;
    for (const part of ["version", "tensors", "graph", "names", "notes", "signature"]) this[part] = file[part];
    this.kernels = kernels;
    this.seconds = maxSeconds;
    this.planCount = 0;
    this.store = new Store(kernels, Math.min(maxBytes, 2 ** 31 - 2 ** 16));
    const graphs = file.graph ? { "": file.graph } : (file.entries ?? {}); // a checkpoint has none
    this.graphs = new Map(Object.entries(graphs).map(([name, graph]) => [name, new Entry(this, name, graph)]));
  }

  /** The names of the entries; none where the file has one graph without a name. */
  get entries() {
    return [...this.graphs.keys()].filter((name) => name !== "");
  }

  /** Operators that the file needs and this runtime does not have. */
  get unsupported() {
    return [...new Set([...this.graphs.values()].flatMap((one) => one.unsupported))].sort();
  }

  /** The tensors as values, made when a graph is first run. */
  get held() {
    if (this.heldTensors) return this.heldTensors;
    const { store } = this;
    const before = store.outside;
    try {
      this.heldTensors = this.tensors.map((one) => known(one.type, one.shape, numbersOf(one, store), store));
    } catch (error) {
      store.outside = before;
      throw error;
    }
    return this.heldTensors;
  }

  get single() {
    if (!this.graphs.size) throw new RunError("this file is a checkpoint, which has no graph: there is nothing to run, but model.tensors has its weights");
    if (this.graphs.size > 1) throw new RunError(`this file is run by the name of an entry: model.entry(${JSON.stringify(this.entries[0])}).run(...); it has ${this.entries.join(", ")}`);
    return this.graphs.values().next().value;
  }

  get inputs() {
    return this.single.inputs;
  }

  get outputs() {
    return this.single.outputs;
  }

  /** The entry of a name. */
  entry(name) {
    const found = this.graphs.get(name);
    if (!found) throw new RunError(`this file has no entry ${JSON.stringify(name)}; it has ${this.entries.join(", ") || "one graph, which has no name: call run"}`);
    return found;
  }

  run(given) {
    return this.single.run(given);
  }

  /** Forgets the plans, and what is in the memory of the kernels. */
  forget() {
    this.planCount = 0;
    for (const entry of this.graphs.values()) {
      for (const { scope } of entry.plans.values()) scope.release();
      entry.plans.clear();
      entry.packs.clear();
      for (const value of entry.statics?.values() ?? []) delete value.place.at;
    }
    for (const value of this.heldTensors ?? []) delete value.place.at;
    this.store.clear();
  }
}
