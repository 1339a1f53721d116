// The kernels in WebAssembly SIMD, or those in JavaScript where there is none.

import { moduleBytes } from "./kernels_bytes.js";
import { PlainKernels } from "./kernels_plain.js";

const PAGE = 65536;
let compiled; // a promise of the module, or of null

/** The module, compiled once; null where this engine has no WebAssembly SIMD or the page's policy forbids it. */
async function compile() {
  try {
    return await WebAssembly.compile(await moduleBytes());
  } catch {
    return null;
  }
}

/** Functions of kernels.c, with a memory of their own. */
class CompiledKernels {
  constructor(memory, functions) {
    this.name = "webassembly";
    this.price = 0.5; // nanoseconds of a multiplication and an addition, by the account
    this.memory = memory;
    Object.assign(this, functions);
  }

  grow(bytes) {
    const more = bytes - this.memory.buffer.byteLength;
    if (more > 0) this.memory.grow(Math.ceil(more / PAGE));
  }
}

/**
 * Kernels with a memory of their own.
 * @param {"webassembly"|"javascript"} [kind] JavaScript only where it is asked for, or there is nothing else
 */
export async function kernels(kind = "webassembly") {
  if (kind === "javascript") return new PlainKernels();
  const module = await (compiled ??= compile());
  if (!module) return new PlainKernels();
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return new CompiledKernels(memory, exports);
}
