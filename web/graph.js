// The graph: its inputs, constants, nodes and outputs, and how a call's tensors are nested.

import { ATTRIBUTES, OPERATORS } from "./operators.js";
import { checkBools, ELEMENTS, elementsOf, INT64, Reader, ShoeError } from "./reader.js";
import { bitsOf } from "./tensors.js";

const MOST_OPSET = 1000;
const MOST_OUTPUTS = 127;
const MOST_ENTRIES = 8;
const ENTRY_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;
const MOST_AXIS = 2 ** 40; // of an input, with the bit that says whether it varies
const DEEPEST = 16;
const MOST_NAME = 256; // bytes of a text: runtimes copy the name of an axis for each node
const MOST_ITEMS = 1024; // of a list in an attribute
/** The most that the graphs of a file may have together; the tensors of attributes are constants. */
export const MOST_OF = {
  inputs: 1024,
  outputs: 1024,
  "axis names": 1024,
  constants: 16384,
  "elements of constants": 131072,
  nodes: 16384,
  references: 65536,
  "outputs of nodes": 65536,
  "attributes and items": 65536,
  "parts of structures": 8192,
};
const MOST = Number.MAX_SAFE_INTEGER; // for lengths that the bytes that are left limit
const LEAST = { blocksize: 1, batch_dims: 0 }; // attributes that kernels divide by or count with, unchecked
const [NOTHING, TENSOR, TUPLE, LIST, DICTIONARY] = [0, 1, 2, 3, 4];

/** Counts what the graphs of a file have together, each list before it is read. */
export class Tally {
  constructor() {
    this.counts = {};
  }

  /** Counts `count` more of `what`; throws ShoeError where that is too much. */
  add(what, count) {
    const all = (this.counts[what] ?? 0) + count;
    if (all > MOST_OF[what]) throw new ShoeError(`the graph has ${all} ${what}, and a file may have ${MOST_OF[what]}`);
    this.counts[what] = all;
    return count;
  }
}

/**
 * Reads a graph.
 *
 * Values have numbers: first the inputs, then the tensors, then the constants, then the outputs of the nodes, in order.
 * @param {import("./reader.js").Reader} reader
 * @param {number} version 1, 2 or 3
 * @param {number} tensors how many the tensor list has
 * @param {Tally} tally counts what all graphs of the file have
 * @returns {object} `opset`; `inputs`: {name, element, type, shape} each, where an axis that varies is its name, a string;
 *   `constants`: {element, type, shape, bits} each; `nodes`: {operator, inputs, outputs, attributes} each, where inputs and
 *   outputs are numbers of values or null, and attributes {type, value} by name (`type` is ONNX's number); `outputs`:
 *   {name, element, type, value} each; `arguments` and `structure`: trees {kind, ...}, of kind "nothing", "tensor" (with
 *   `index`), "tuple" and "list" (with `items`) and "dictionary" (with `items`, pairs of a key and a tree)
 * @throws {ShoeError} where it is not as docs/format.md says
 */
export function readGraph(reader, version, tensors, tally) {
  const opset = reader.varint(MOST_OPSET, "the opset");
  const inputs = readInputs(reader, tally);
  const listed = reader.varint(MOST, "the number of tensors");
  if (listed !== tensors) throw reader.fault(`it has ${listed} tensors and the list has ${tensors}`);
  const constants = [];
  for (let left = reader.count("the number of constants"); left > 0; left--) constants.push(readConstant(reader, tally));
  const values = new Values(reader, version, inputs.length + tensors + constants.length);
  const nodes = [];
  for (let left = tally.add("nodes", reader.varint(MOST, "the number of nodes")); left > 0; left--) {
    nodes.push(readNode(reader, values, tally));
  }
  const outputs = [];
  for (let left = tally.add("outputs", reader.count("the number of outputs")); left > 0; left--) {
    const name = newName(reader, "an output");
    const element = reader.element();
    const value = values.reference();
    if (value === null) throw reader.fault(`output ${JSON.stringify(name)} is absent`);
    outputs.push({ name, element, type: ELEMENTS.get(element).type, value });
  }
  checkNames(reader, inputs, "inputs");
  checkNames(reader, outputs, "outputs");
  const taken = readTree(reader, tally, inputs.length, "the arguments");
  const [positional, named] = taken.items ?? [];
  if (taken.kind !== "tuple" || taken.items.length !== 2 || positional.kind !== "tuple" || named.kind !== "dictionary") {
    throw reader.fault("the arguments are not a tuple of a tuple and a dictionary");
  }
  const structure = readTree(reader, tally, outputs.length, "what is returned");
  reader.end();
  return { opset, inputs, constants, nodes, outputs, arguments: taken, structure };
}

/**
 * Reads the graphs of a file with several entries.
 * @param {import("./reader.js").Reader} reader
 * @param {number} tensors how many the tensor list has
 * @param {boolean} unnamed whether the name of a single entry may be empty
 * @returns {Object<string, object>} the graph of each entry by its name, as `readGraph` gives it
 * @throws {ShoeError} where it is not as docs/format.md says
 */
export function readEntries(reader, tensors, unnamed = false) {
  const count = reader.varint(MOST_ENTRIES, "the number of entries");
  if (count === 0) throw reader.fault("there is no entry");
  const entries = {};
  const tally = new Tally();
  for (let left = count; left > 0; left--) {
    const name = reader.text("the name of an entry");
    const allowed = ENTRY_NAME.test(name) || (unnamed && count === 1 && name === "");
    if (!allowed) throw reader.fault("the name of an entry is not a letter, then letters, digits and underscores");
    if (Object.hasOwn(entries, name)) throw reader.fault(`two entries are called ${name}`);
    const body = reader.bytes(reader.varint(MOST, `the length of the graph of ${name}`));
    entries[name] = readGraph(new Reader(body, `the graph of ${name}`), 3, tensors, tally);
  }
  reader.end();
  return entries;
}

function newName(reader, what) {
  const name = reader.text("a name", MOST_NAME);
  if (!name) throw reader.fault(`the name of ${what} is empty`);
  return name;
}

function checkNames(reader, ports, what) {
  if (new Set(ports.map((port) => port.name)).size < ports.length) throw reader.fault(`two ${what} have one name`);
}

function readInputs(reader, tally) {
  const inputs = [];
  for (let left = tally.add("inputs", reader.count("the number of inputs")); left > 0; left--) {
    const name = newName(reader, "an input");
    const element = reader.element();
    const shape = [];
    for (let axes = reader.axes(); axes > 0; axes--) shape.push(reader.varint(MOST_AXIS, "an axis of an input"));
    inputs.push({ name, element, type: ELEMENTS.get(element).type, shape });
  }
  const names = [];
  const named = tally.add("axis names", reader.count("the number of axis names"));
  for (let left = named; left > 0; left--) names.push(newName(reader, "an axis"));
  for (const input of inputs) {
    input.shape = input.shape.map((axis) => {
      const half = Math.floor(axis / 2); // not a shift: an axis may have more than 32 bits
      if (axis % 2 === 0) return half;
      if (half >= names.length) throw reader.fault(`there is no axis name ${half}`);
      return names[half];
    });
  }
  return inputs;
}

function readConstant(reader, tally) {
  tally.add("constants", 1);
  const element = reader.element();
  const shape = reader.shape();
  const { type, width } = ELEMENTS.get(element);
  const count = elementsOf(shape);
  if (count > reader.left) throw reader.fault(`it ends too early: a constant of ${count} and ${reader.left} bytes are left`);
  tally.add("elements of constants", count);
  if (element !== INT64) {
    const bytes = reader.bytes(count * width).slice();
    checkBools(element, bytes, "a constant");
    return { element, type, shape, bits: bitsOf(bytes, width) };
  }
  const bits = new BigUint64Array(count);
  for (let i = 0; i < count; i++) bits[i] = BigInt.asUintN(64, reader.signed());
  return { element, type, shape, bits };
}

/** The values that there are so far, and the references to them. */
class Values {
  constructor(reader, version, given) {
    this.reader = reader;
    this.version = version;
    this.given = given; // inputs, tensors and constants
    this.absent = []; // of each output of a node so far
    this.next = 0;
  }

  get count() {
    return this.given + this.absent.length;
  }

  /** @returns {?number} the next reference: the number of a value, or null */
  reference() {
    const r = this.reader.bigVarint();
    if (r === 0n) return null;
    const half = r >> 1n;
    if (r & 1n) {
      const number = this.version === 1 ? half : BigInt(this.next) + (half & 1n ? -(half >> 1n) - 1n : half >> 1n);
      if (number < 0n || number >= BigInt(this.given)) {
        throw this.reader.fault(`there is no input, tensor or constant ${number}`);
      }
      this.next = Number(number) + 1;
      return Number(number);
    }
    const number = BigInt(this.count) - half;
    if (number < BigInt(this.given)) throw this.reader.fault(`value ${number} is not an output of a node`);
    if (this.absent[Number(number) - this.given]) throw this.reader.fault(`value ${number} is an absent output`);
    return Number(number);
  }
}

function readNode(reader, values, tally) {
  const operator = OPERATORS[reader.varint(MOST, "an operator")];
  if (operator === undefined) throw reader.fault("there is no operator of that number: is the file newer than this decoder?");
  const inputs = [];
  const references = tally.add("references", reader.count("the number of inputs"));
  for (let left = references; left > 0; left--) inputs.push(values.reference());
  const packed = reader.varint(2 * MOST_OUTPUTS + 1, "twice the number of outputs");
  const count = packed >> 1;
  if (count === 0) throw reader.fault(`${operator} has no outputs`);
  tally.add("outputs of nodes", count);
  const absent = packed & 1 ? reader.bigVarint() : 0n;
  if (packed & 1 && (absent === 0n || absent >> BigInt(count))) {
    throw reader.fault(`the absent outputs of ${operator}, ${absent.toString(2)} in binary, are not some of ${count}`);
  }
  const outputs = [];
  for (let k = 0; k < count; k++) {
    const gone = ((absent >> BigInt(k)) & 1n) === 1n;
    outputs.push(gone ? null : values.count);
    values.absent.push(gone);
  }
  const attributes = {};
  for (let left = tally.add("attributes and items", reader.count("the number of attributes")); left > 0; left--) {
    const name = ATTRIBUTES[reader.varint(MOST, "an attribute")];
    if (name === undefined) throw reader.fault("there is no attribute of that number: is the file newer than this decoder?");
    if (Object.hasOwn(attributes, name)) throw reader.fault(`${operator} has ${name} twice`);
    attributes[name] = readAttribute(reader, name, tally);
  }
  return { operator, inputs, outputs, attributes };
}

function readFloat(reader) {
  const bytes = reader.bytes(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
}

function readInt(reader, name) {
  const value = reader.signed();
  if (value < -(2n ** 31n) || value >= 2n ** 31n) throw reader.fault(`${name} is ${value}, which has more than 32 bits`);
  if (value < LEAST[name]) throw reader.fault(`${name} must be at least ${LEAST[name]}, not ${value}`);
  return Number(value);
}

function readItems(reader, tally, what, read) {
  const items = [];
  for (let left = tally.add(what, reader.count("the length of a list")); left > 0; left--) items.push(read());
  return items;
}

/** An attribute: its ONNX type and its value, a number, a string, a tensor or an array of numbers or strings. */
function readAttribute(reader, name, tally) {
  const type = reader.byte();
  const text = () => reader.text(name, MOST_NAME);
  const items = (read) => readItems(reader, tally, "attributes and items", read);
  const readers = {
    1: () => readFloat(reader),
    2: () => readInt(reader, name),
    3: text,
    4: () => readConstant(reader, tally),
    6: () => items(() => readFloat(reader)),
    7: () => items(() => readInt(reader, name)),
    8: () => items(text),
  };
  if (!Object.hasOwn(readers, type)) throw reader.fault(`${name} is of type ${type}, which is none of an attribute`);
  const value = readers[type]();
  if (Array.isArray(value) && value.length > MOST_ITEMS) throw reader.fault(`${name} has ${value.length} items, more than ${MOST_ITEMS}`);
  return { type, value };
}

/** A tree in which `tensors` tensors must be met. */
function readTree(reader, tally, tensors, what) {
  let met = 0;
  const items = (one) => readItems(reader, tally, "parts of structures", one);
  const read = (depth) => {
    if (depth > DEEPEST) throw reader.fault(`${what} are nested more than ${DEEPEST} deep`);
    const kind = reader.byte();
    if (kind === NOTHING) return { kind: "nothing" };
    if (kind === TENSOR) return { kind: "tensor", index: met++ };
    if (kind === TUPLE) return { kind: "tuple", items: items(() => read(depth + 1)) };
    if (kind === LIST) return { kind: "list", items: items(() => read(depth + 1)) };
    if (kind !== DICTIONARY) throw reader.fault(`there is no tree of kind ${kind}`);
    const pairs = items(() => [reader.text("a key", MOST_NAME), read(depth + 1)]);
    if (new Set(pairs.map(([key]) => key)).size < pairs.length) throw reader.fault(`a dictionary of ${what} has a key twice`);
    return { kind: "dictionary", items: pairs };
  };
  const tree = read(0);
  if (met !== tensors) throw reader.fault(`${what} have ${met} tensors, and the graph ${tensors}`);
  return tree;
}
