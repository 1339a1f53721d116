/** Types of the runtime: load(address or bytes), then run(inputs). */

import { Decoded, ElementType, Graph, Limits, ShoeError, Tensor } from "./decoder.js";
export * from "./decoder.js";

/** What was wrong with a run, its inputs or the graph, and what to do. */
export class RunError extends ShoeError {}

export type Numbers =
  | Float32Array | Float64Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array
  | BigInt64Array | BigUint64Array;

export type Nested = ArrayLike<number | bigint | boolean> | readonly Nested[];

/** An input: numbers with their shape, or numbers alone where one axis at most is open, or nested arrays. */
export type Input = { data: Nested; shape?: readonly number[] } | Nested;

export interface Output {
  data: Numbers;
  shape: number[];
  type: ElementType;
}

export interface InputPort {
  name: string;
  type: ElementType;
  /** An axis that varies is its name, a string. */
  shape: (number | string)[];
}

export interface OutputPort {
  name: string;
  type: ElementType;
  /** Null where it depends on numbers of the inputs; "?" is an axis that varies with several. */
  shape: (number | string)[] | null;
}

/** A graph of a file. */
export interface Runnable {
  readonly inputs: InputPort[];
  readonly outputs: OutputPort[];
  /** Operators that the graph needs and this runtime does not have; it runs where there are none. */
  readonly unsupported: string[];
  /**
   * The outputs by name, for inputs by name, or for the only input.
   * @throws {RunError}
   */
  run(inputs: Record<string, Input> | Input): Record<string, Output>;
}

export interface Model extends Runnable {
  /** The names of the entries of a file that is called in several ways; otherwise none. */
  readonly entries: string[];
  entry(name: string): Runnable;
  /** The size of the file, in bytes. */
  readonly bytes: number;
  readonly tensors: Tensor[];
  /** Null in a checkpoint, which does not run, and in a file with several entries. */
  readonly graph: Graph | null;
  /** Which kernels run it. */
  readonly kernels: { readonly name: "webassembly" | "javascript" };
  /** What `decode` gives. */
  readonly file: Decoded;
  readonly version: number;
  readonly signature: Decoded["signature"];
  readonly names: Decoded["names"];
  readonly notes: Decoded["notes"];
}

export interface Options extends Limits {
  /** "javascript" for the kernels in plain JavaScript, which are also taken where there is no WebAssembly SIMD. */
  backend?: "webassembly" | "javascript";
}

export type Source = string | URL | Response | Uint8Array | ArrayBuffer;

/** Loads a file from an address (in Node also a path), or from memory. */
export function load(source: Source, options?: Options): Promise<Model>;

/** Makes a file that is in memory ready to run. */
export function open(file: Uint8Array | ArrayBuffer, options?: Options): Promise<Model>;

/** The operators that this runtime has, by name. */
export const OPERATIONS: Readonly<Record<string, Function>>;
