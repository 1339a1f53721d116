// What a worker tells a page of a file: small whatever the file holds, and nothing that the page would have to decode.

import { bill } from "./bill.js";

const MOST_TENSORS = 300; // that are listed; the others are counted
const MOST_NODES = 300;
const MOST_NOTES = 20;
const MOST_INPUTS = 64;
const MOST_LETTERS = 300;
const MOST_ITEMS = 8; // of an attribute

/** A text of a file, cut where it is long; what would not show is a dot. */
export function cut(text, most = MOST_LETTERS) {
  // eslint-disable-next-line no-control-regex -- these are what is replaced
  const plain = String(text).slice(0, most).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, "·");
  return text.length > most ? `${plain}… (${text.length.toLocaleString("en")} characters)` : plain;
}

/** What went wrong, for people: what a program would have to be told is left out, and it ends with a full stop. */
export function sentence(message) {
  const said = cut(message.replace(/[:;,] (if you trust this file, )?raise max(Bytes|Seconds).*$/, ""), 600);
  return /[.!?…)]$/.test(said) ? said : `${said}.`;
}

/**
 * @param {object} file what `decode` in shoe.js gave
 * @param {number} size bytes of the file
 * @returns {object} `size`, `version`, `kind` ("network", "checkpoint" or "entries"), `numbers`, `uncompressed` (bytes of as many
 *   numbers of 32 bits), `notes` (pairs), `signature`, `tensors` and `lines` of the bill (`listed` and `count`),
 *   `entries` (each with `name`, `inputs`, `outputs` and `nodes`)
 */
export function told(file, size) {
  const { version, graph, entries, tensors, names, notes, signature } = file;
  const graphs = graph ? [["", graph]] : Object.entries(entries ?? {});
  return {
    size,
    version,
    kind: graph ? "network" : entries ? "entries" : "checkpoint",
    numbers: tensors.reduce((sum, { bits }) => sum + bits.length, 0),
    uncompressed: tensors.reduce((sum, { bits }) => sum + 4 * bits.length, 0),
    notes: Object.entries(notes).slice(0, MOST_NOTES).map((pair) => pair.map((text) => cut(text))),
    moreNotes: Math.max(0, Object.keys(notes).length - MOST_NOTES),
    signature: signature ? "Ed25519" : null,
    bill: billTold(file, size),
    tensors: tensors.length,
    named: names.length > 0,
    entries: graphs.map(([name, one]) => entryTold(name, one, file)),
  };
}

/** The lines of the bill, the largest first, and what the others come to. */
function billTold(file, size) {
  const lines = bill(file, size).sort((a, b) => b.bytes - a.bytes);
  const rest = lines.slice(MOST_TENSORS);
  const listed = lines.slice(0, MOST_TENSORS).map(({ what, bytes, tensor }) => {
    const its = tensor === null ? null : file.tensors[tensor];
    return { what: cut(what, 80), bytes, about: its ? `${its.type} ${sizes(its.shape)}, ${its.coding}` : "" };
  });
  return { listed, others: rest.length, othersBytes: rest.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** A shape as people write it. */
export function sizes(shape) {
  if (!shape.length) return "one number";
  const shown = shape.slice(0, MOST_ITEMS).map((axis) => cut(String(axis), 40)).join(" × ");
  return shape.length > MOST_ITEMS ? `${shown} × … (${shape.length} axes)` : shown;
}

function entryTold(name, { inputs, outputs, constants, nodes }, file) {
  const of = namesOfValues(inputs, constants, nodes, file);
  return {
    name,
    inputs: inputs.slice(0, MOST_INPUTS).map(({ name: its, type, shape }) => ({ name: its, type, shape })),
    moreInputs: Math.max(0, inputs.length - MOST_INPUTS),
    outputs: outputs.slice(0, MOST_INPUTS).map(({ name: its, value }) => ({ name: cut(its, 80), from: of(value) })),
    nodes: nodes.length,
    listed: nodes.slice(0, MOST_NODES).map((node, i) => ({
      step: i + 1,
      operator: node.operator,
      from: node.inputs.slice(0, MOST_ITEMS).filter((value) => value !== null).map(of),
      more: Math.max(0, node.inputs.length - MOST_ITEMS),
      attributes: attributesTold(node.attributes),
    })),
  };
}

/** Says what a value is by its number: an input, a tensor, a constant, or what a step made. */
function namesOfValues(inputs, constants, nodes, { tensors, names }) {
  const steps = new Map();
  let next = inputs.length + tensors.length + constants.length;
  nodes.forEach(({ outputs }, step) => outputs.forEach((_, place) => steps.set(next++, [step, place])));
  return (value) => {
    if (value < inputs.length) return cut(inputs[value].name, 80);
    const tensor = value - inputs.length;
    if (tensor < tensors.length) return `${cut(names[tensor] || `tensor ${tensor}`, 80)} (${sizes(tensors[tensor].shape)})`;
    if (!steps.has(value)) return "a constant";
    const [step, place] = steps.get(value);
    return place ? `output ${place + 1} of step ${step + 1}` : `step ${step + 1}`;
  };
}

function attributesTold(attributes) {
  return Object.entries(attributes).map(([name, { value }]) => `${name} ${attributeTold(value)}`);
}

function attributeTold(value) {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    const items = Array.from(value.slice(0, MOST_ITEMS), (item) => cut(String(item), 40)).join(", ");
    return value.length > MOST_ITEMS ? `${items}, … (${value.length})` : items;
  }
  if (value?.bits) return `of ${sizes(value.shape)}`;
  return cut(String(value), 60);
}
