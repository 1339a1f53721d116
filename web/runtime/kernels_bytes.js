// The module of the kernels, as it travels in a .js file, so that a page needs no second fetch.

import { inflate } from "../inflate.js";
import { KERNELS, LENGTH } from "./kernels_wasm.js";

/** The bytes of the module. */
export async function moduleBytes() {
  const deflated = Uint8Array.from(atob(KERNELS), (letter) => letter.charCodeAt(0));
  return inflate(deflated, LENGTH, new Uint8Array(0), "the kernels");
}
