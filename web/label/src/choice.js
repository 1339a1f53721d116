// One class for a whole example: a text, a picture or a row.

import { counted, fill, h } from "./dom.js";

const LONGEST = 20_000; // characters that are shown at once

/** The example itself, without anything to mark on it. */
export function shown(example, image) {
  if (image instanceof Error) return unopened(example, image);
  if (image) {
    image.className = "picture";
    image.alt = `the picture ${example.name}`;
    return image;
  }
  if (example.text !== null) return textBox(example.text);
  return table(example.fields);
}

/** What stands in the place of a picture that does not open. */
export function unopened(example, error) {
  return h("p", { class: "unopened" }, `${example.name}: ${error.message}. Skip it with s: it is left out of training.`);
}

/** Other columns that came with an example. */
export function table(fields) {
  const rows = Object.entries(fields).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)));
  return h("table", { class: "fields" }, h("tbody", {}, rows));
}

function textBox(text) {
  const box = h("div", { class: "text", tabindex: "0", dir: "auto", role: "region", "aria-label": "The text" });
  const part = text.slice(0, LONGEST);
  fill(box, part);
  if (part.length < text.length) {
    const rest = text.length - part.length;
    const more = h("button", { type: "button", onclick: () => fill(box, text) }, `Show ${counted(rest, "more character", "more characters")}`);
    box.append(more);
  }
  return box;
}

export class ChoiceView {
  constructor(stage) {
    this.stage = stage;
  }

  show(example, image) {
    const others = example.text !== null || image ? Object.keys(example.fields).length > 0 : false;
    fill(this.stage, shown(example, image), others && h("details", {}, h("summary", {}, "Other columns"), table(example.fields)));
  }
}
