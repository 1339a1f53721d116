// A program that uses the package as its types say; `tsc --noEmit` checks it, nothing runs it.

import { decode, load, open, RunError, ShoeError, values, type Input, type Model, type Output } from "shoestring-web";
import { decode as alone } from "shoestring-web/decoder";

export async function example(bytes: Uint8Array): Promise<number> {
  const model: Model = await load("lenet5.shoe", { maxBytes: 2 ** 26, maxSeconds: 5 });
  const same = await open(bytes, { backend: "javascript" });
  const first: string = model.inputs[0].name;
  const size: number | string = model.inputs[0].shape[0];
  const shape: (number | string)[] | null = model.outputs[0].shape;
  const flat: Record<string, Output> = model.run(new Float32Array(784));
  const input: Input = { data: new Float32Array(784), shape: [1, 1, 28, 28] };
  const named = same.run({ [first]: input, other: [[1, 2], [3, 4]] });
  const entry = model.entry("encode").run([1n, 2n]);
  if (model.unsupported.length || model.entries.length) throw new RunError("no");
  // @ts-expect-error a backend is one of two
  await load(bytes, { backend: "webgpu" });
  // @ts-expect-error an output has data, not values
  void flat.output.values;
  const held = decode(bytes);
  void [size, shape, named, entry, alone(bytes).graph?.nodes[0].operator, new ShoeError("x"), values(held.tensors[0])];
  return Number(flat.output.data[0]);
}
