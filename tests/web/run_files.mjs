// Runs .shoe files with the runtime of a module: node run_files.mjs MODULE, with cases as JSON lines on standard input.
//
// A case: {file, backend, inputs: {name: {path, type, shape}}, out, options}, where a path has the numbers as they lie in memory.
// A JSON line for each: {outputs: {name: {path, type, shape}}}, with the numbers written to out + name, or {error, kind}.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { argv, stdin } from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { load, values } = await import(pathToFileURL(resolve(argv[2])).href);
const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
};
const models = new Map(); // of all cases, so that one model meets several shapes
// A pending WebAssembly.compile keeps no event loop alive. With nothing else to wait for, Node drains its workers, and may wait for one that waits
// for a collection in this thread (nodejs/node#54918): of 100 runs of 1,256 cases with Node 20, about 25 hung; with a timer, none.
const timer = setInterval(() => {}, 1000);

async function modelOf({ file, backend, options }) {
  const key = JSON.stringify([file, backend, options]);
  if (!models.has(key)) {
    models.clear();
    models.set(key, await load(new Uint8Array(readFileSync(file)), { backend, ...options }));
  }
  return models.get(key);
}

for await (const line of createInterface({ input: stdin })) {
  const one = JSON.parse(line);
  try {
    const model = await modelOf(one);
    const given = Object.entries(one.inputs).map(([name, { path, type, shape }]) => {
      const bytes = new Uint8Array(readFileSync(path));
      if (type === "float16") return [name, { data: values({ type, bits: new Uint16Array(bytes.buffer) }), shape }];
      return [name, { data: new ARRAYS[type](bytes.buffer), shape }];
    });
    const runs = one.entry ? model.entry(one.entry) : model;
    const found = Object.entries(runs.run(Object.fromEntries(given))).map(([name, { data, type, shape }], i) => {
      const path = `${one.out}${i}`;
      writeFileSync(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return [name, { path, type: type === "float16" ? "float32" : type, shape }]; // a float16 is kept as float32
    });
    console.log(JSON.stringify({ outputs: Object.fromEntries(found), backend: model.kernels.name, unsupported: model.unsupported }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message, kind: error.constructor.name, stack: error.stack }));
  }
}
clearInterval(timer);
