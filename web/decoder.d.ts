/** Types of the decoder: what a `.shoe` file holds. */

/** A fault of a file, or of a run: the message says what was wrong, and what to do. */
export class ShoeError extends Error {}

export type ElementType =
  | "float32" | "float64" | "float16" | "bfloat16" | "int64" | "int32" | "int16" | "int8"
  | "uint64" | "uint32" | "uint16" | "uint8" | "bool";

export interface Constant {
  element: number;
  type: ElementType;
  shape: number[];
  /** The bits of the elements, in row-major order. */
  bits: Uint8Array | Uint16Array | Uint32Array | BigUint64Array;
}

export interface Tensor extends Constant {
  /** Its place among the distinct parameters and buffers of the module; null for a constant of the graph. */
  member: number | null;
  coding: string;
  model: object | null;
  /** What the file spends on it: bits of the code stream, bytes of plain values and blocks, bytes in the tensor list. */
  stored: { bits: number; bytes: number; described: number };
}

export interface Attribute {
  /** ONNX's number of its type. */
  type: number;
  value: number | string | number[] | string[] | Constant;
}

export interface GraphNode {
  operator: string;
  /** Numbers of values; null for what is left out. */
  inputs: (number | null)[];
  outputs: (number | null)[];
  attributes: Record<string, Attribute>;
}

export interface Port {
  name: string;
  element: number;
  type: ElementType;
}

export interface Graph {
  opset: number;
  inputs: (Port & { shape: (number | string)[] })[];
  constants: Constant[];
  nodes: GraphNode[];
  outputs: (Port & { value: number })[];
  arguments: object;
  structure: object;
}

export interface Decoded {
  version: number;
  /** Null in a checkpoint, and in a file with several entries. */
  graph: Graph | null;
  entries: Record<string, Graph> | null;
  tensors: Tensor[];
  names: string[];
  notes: Record<string, string>;
  /** It is not checked. */
  signature: { kind: number; bytes: Uint8Array } | null;
  /** The bytes that parts of the file take. */
  sections: { graph: number; list: number; names: number; stream: number; table: number };
}

export interface Limits {
  /** The memory that a file may take, in bytes; 1 GiB unless told. */
  maxBytes?: number;
  /** The work that decoding may be, by an account that does not depend on the machine. */
  maxSeconds?: number;
}

/** @throws {ShoeError} where the bytes are no `.shoe` file, or damaged, or ask for too much */
export function decode(bytes: Uint8Array, options?: Limits): Decoded;

export function values(
  tensor: Pick<Constant, "type" | "bits">,
): Float32Array | Float64Array | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | BigUint64Array | BigInt64Array;

export function crc32(bytes: Uint8Array): number;
