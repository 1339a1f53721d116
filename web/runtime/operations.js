// The operators that this runtime has, by name. Each is given a Call, declares its outputs and returns its run.

import { NOTHING } from "./call.js";
import { ELEMENTS } from "./elements.js";
import { INTEGERS } from "./integers.js";
import { LAYOUT } from "./layout.js";
import { PRODUCTS } from "./products.js";
import { QUANTISED } from "./quantised.js";
import { RECURRENT } from "./recurrent.js";
import { REDUCTIONS } from "./reductions.js";
import { typed } from "./types.js";

/** @type {Object<string, (call: import("./call.js").Call) => () => void>} */
export const OPERATIONS = Object.assign(Object.create(null), ELEMENTS, PRODUCTS, INTEGERS, QUANTISED, LAYOUT, REDUCTIONS, RECURRENT);

/**
 * The run of a call, which declares its outputs: NOTHING where they have no elements, however long their axes are.
 * Inputs of other types than its operator takes are told.
 */
export function begin(call) {
  typed(call);
  const run = (call.node.make ?? OPERATIONS[call.node.operator])(call);
  return call.outputs.length && call.outputs.every(({ size }) => !size) ? NOTHING : run;
}
