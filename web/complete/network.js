// The network of the page: its bytes, decoded, and one step of it.

import { kernels } from "../runtime/kernels.js";
import { Model } from "../runtime/model.js";
import { decode } from "../shoe.js";
import { Search } from "./search.js";

const LIMITS = { maxBytes: 64 * 2 ** 20, maxSeconds: 20 };

/**
 * A file that completes texts, ready.
 * @param {Uint8Array} bytes of a `.shoe` file that `shoestring learn complete` made
 * @returns {Promise<{search: Search, about: string}>} `about`: what the file's note and licence say
 * @throws {Error} with a sentence, where it is another file
 */
export async function opened(bytes) {
  const file = decode(bytes, LIMITS);
  const step = stepOf(file.notes);
  const model = new Model(file, await kernels(), { bytes: bytes.length, ...LIMITS });
  if (model.unsupported.length) throw new Error(`this page does not run ${model.unsupported.join(", ")}, which the file needs`);
  const [ids, state] = model.inputs;
  const [scores, states] = model.graph.outputs;
  const width = state.shape[1];
  const run = (bytesOfBeams, before) => {
    const found = model.run({
      [ids.name]: { data: bytesOfBeams, shape: [bytesOfBeams.length] },
      [state.name]: { data: before, shape: [bytesOfBeams.length, width] },
    });
    return { scores: found[scores.name].data, states: found[states.name].data };
  };
  const { licence = "", note = "" } = file.notes;
  return { search: new Search(run, width, step), about: [note, licence].filter(Boolean).join(" ") };
}

/** How the file's note says that texts become bytes, and how completions are looked for. */
function stepOf(notes) {
  const note = notes["input chain"];
  const [step] = note === undefined ? [] : JSON.parse(note).steps;
  if (step?.kind !== "byte_prefix") throw new Error("this file does not complete texts: make one with shoestring learn complete");
  return step;
}
