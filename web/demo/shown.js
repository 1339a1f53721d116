// What a file is, what each of its bytes is for, and its graph, as elements of the page.

import { bar, bytes, count, element, milliseconds, percent } from "./words.js";

const FIRST = 14; // lines of the bill that are shown at once
const KINDS = { network: "a network", entries: "a network with several entries", checkpoint: "a checkpoint: tensors without a graph" };

/**
 * @param {string} name of the file
 * @param {object} about what `told` in told.js says of it
 * @param {string} left a sentence on what was not opened, or ""
 * @returns {HTMLElement[]}
 */
export function shownFile(name, about, left) {
  const shown = [element("h3", { class: "file" }, name), facts(about)];
  if (left) shown.push(element("p", { class: "quiet" }, left.trim()));
  shown.push(element("h3", {}, "What each byte is for"), billed(about));
  for (const entry of about.entries) shown.push(graph(entry));
  return shown;
}

function facts(about) {
  const { size, version, kind, numbers, uncompressed, notes, moreNotes, signature, tensors, unsupported = [] } = about;
  const times = size && uncompressed / size;
  const lines = [
    ["what", `${KINDS[kind]}, version ${version} of the format`],
    ["size", `${bytes(size)}${times > 1.05 ? `, ${times >= 10 ? count(times) : times.toFixed(1)} times smaller than its numbers at 4 bytes each` : ""}`],
    ["tensors", `${count(tensors)}${about.named ? ", with names" : ", without names"}, ${count(numbers)} numbers, ${bytes(uncompressed)} at 4 bytes each`],
    ["decoded in", `${milliseconds(about.milliseconds)}${about.decodings > 1 ? `, the median of ${about.decodings}` : ", once"}`],
    ["signature", signature ? `there is one (${signature}); this page does not check it: \`shoestring verify\` does, with a key` : "none"],
    ["licence", notes.find(([key]) => key === "licence")?.[1] ?? "none is given"],
    ["note", notes.find(([key]) => key === "note")?.[1] ?? "none"],
    ...notes.filter(([key]) => key !== "licence" && key !== "note").map(([key, text]) => [`note “${key}”`, text]),
  ];
  if (moreNotes) lines.push(["more notes", `${count(moreNotes)}, which are not shown`]);
  if (unsupported.length) lines.push(["not run here", `${unsupported.join(", ")}: this page's runtime lacks them; ONNX Runtime runs the file (\`shoestring run\`)`]);
  const list = element("dl", { class: "facts" });
  for (const [term, text] of lines) list.append(element("dt", {}, term), element("dd", {}, text));
  return list;
}

function billed({ size, bill: { listed, others, othersBytes } }) {
  const most = Math.max(1, ...listed.map((line) => line.bytes));
  const rows = listed.map((line) => row(line, size, most));
  if (others) rows.push(row({ what: `${count(others)} smaller ones`, bytes: othersBytes, about: "" }, size, Math.max(most, othersBytes)));
  const box = element("div", {}, element("ol", { class: "bill" }, ...rows.slice(0, FIRST)));
  if (rows.length > FIRST) {
    const rest = element("ol", { class: "bill" }, ...rows.slice(FIRST));
    box.append(element("details", {}, element("summary", {}, `${count(rows.length - FIRST)} more lines`), rest));
  }
  return box;
}

function row({ what, bytes: its, about }, size, most) {
  return element(
    "li",
    {},
    element("span", { class: "name" }, what, about ? element("small", {}, about) : ""),
    bar(its / most),
    element("span", { class: "amount" }, bytes(its), element("small", {}, percent(its / size))),
  );
}

/** The graph of an entry: its inputs, its steps and its outputs, one after the other. */
function graph({ name, inputs, outputs, nodes, listed }) {
  const steps = listed.map(({ step, operator, from, more, attributes }) =>
    element(
      "li",
      { value: String(step) },
      element("strong", {}, operator),
      from.length ? ` of ${from.join(", ")}${more ? ` and ${count(more)} more` : ""}` : "",
      attributes.length ? element("small", {}, attributes.join("; ")) : "",
    ),
  );
  const shown = element("details", { class: "graph" }, element("summary", {}, `The graph${name ? ` of ${name}` : ""}: ${count(nodes)} steps`));
  shown.append(
    element("p", { class: "quiet" }, `Takes ${inputs.map((one) => one.name).join(", ") || "nothing"}.`),
    element("ol", { class: "steps" }, ...steps),
  );
  if (nodes > listed.length) shown.append(element("p", { class: "quiet" }, `${count(nodes - listed.length)} more steps are not shown.`));
  shown.append(element("p", { class: "quiet" }, `Gives ${outputs.map((one) => `${one.name} (${one.from})`).join(", ") || "nothing"}.`));
  return shown;
}
