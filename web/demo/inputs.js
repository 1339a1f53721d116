// The form that runs a file of somebody's own: a picture or a row of numbers for each input.

import { numbersOf, shapeOf, TYPES } from "./numbers.js";
import { asPlanes } from "./picture.js";
import { cut, sentence, sizes } from "./told.js";
import { bar, count, element, milliseconds, short } from "./words.js";

export const RUNNING_SECONDS = 20; // that a run may take
const MOST_NUMBERS = 2 ** 24; // of an input
const MOST_PICTURE = 100 * 2 ** 20; // bytes of a picture's file
const TOP = 10; // values of an output that are shown
const MOST_OUTPUTS = 16;

/**
 * @param {object} about of the file, see `told` in told.js
 * @param {import("./job.js").Job} job that has the file
 * @returns {HTMLElement} the form, with what it gives
 */
export function inputsForm(about, job) {
  const box = element("div", {}, element("h3", {}, "Run it"));
  const result = element("div", { class: "result", "aria-live": "polite" });
  const place = element("div", {});
  const show = (entry) => {
    result.replaceChildren();
    place.replaceChildren(formOf(entry, about.kind === "entries", job, result));
  };
  if (about.entries.length > 1) box.append(entryChoice(about.entries, show));
  show(about.entries[0]);
  box.append(place, result);
  return box;
}

function entryChoice(entries, show) {
  const select = element("select", {}, ...entries.map(({ name }, i) => element("option", { value: String(i) }, name)));
  select.addEventListener("change", () => show(entries[Number(select.value)]));
  return element("label", { class: "field" }, "Entry ", select);
}

function formOf(entry, named, job, result) {
  const fields = entry.inputs.map((input) => new Field(input));
  const button = element("button", { class: "first" }, "Run");
  const form = element("form", {}, ...fields.map((field) => field.box), element("p", {}, button));
  if (entry.moreInputs) {
    form.replaceChildren(element("p", {}, `It has ${count(entry.inputs.length + entry.moreInputs)} inputs, too many for a form.`));
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    result.replaceChildren(element("p", { class: "quiet" }, "Running …"));
    try {
      const inputs = {};
      for (const field of fields) inputs[field.input.name] = await field.value();
      const { outputs, milliseconds: time } = await job.run(inputs, RUNNING_SECONDS, named ? entry.name : undefined);
      result.replaceChildren(...shownOutputs(outputs, time));
    } catch (error) {
      const again = job.ended === null ? "" : " Open the file again to try another input.";
      result.replaceChildren(element("p", { class: "fault" }, `It was not run: ${sentence(error.message)}${again}`));
    }
    button.disabled = job.ended !== null;
  });
  return form;
}

/** An input's part of the form. */
class Field {
  constructor(input) {
    this.input = input;
    const { name, type, shape } = input;
    const legend = element("legend", {}, `${cut(name, 80)} `, element("small", {}, `${type}, ${sizes(shape)}`));
    this.box = element("fieldset", {}, legend);
    this.axes = new Map();
    for (const axis of new Set(shape.filter((one) => typeof one === "string"))) this.axes.set(axis, this.axisField(axis));
    this.isPicture = shape.length === 4 && type.startsWith("float") && [1, 3, 4].includes(shape[1]);
    if (this.isPicture) this.pictureField();
    this.numbersField();
  }

  axisField(axis) {
    const start = axis === this.input.shape[0] ? 1 : 8;
    const field = element("input", { type: "number", min: "0", max: "1000000", value: String(start), required: "" });
    this.box.append(element("label", { class: "field" }, `Length of axis ${cut(axis, 40)} `, field));
    return field;
  }

  pictureField() {
    this.file = element("input", { type: "file", accept: "image/*" });
    this.inverted = element("input", { type: "checkbox" });
    const [, channels, height, width] = this.input.shape;
    const about = `A picture, which is made ${width} × ${height}, ${channels === 1 ? "grey" : "in colour"}, numbers from 0 to 1 `;
    this.box.append(
      element("label", { class: "field" }, about, this.file),
      element("label", { class: "field" }, this.inverted, " inverted: dark ink on light paper becomes light on dark"),
    );
  }

  numbersField() {
    this.text = element("textarea", { rows: "3", spellcheck: "false", placeholder: "0 1.5 -2 …" });
    const words = this.isPicture ? "Or numbers, where there is no picture; all zeros if empty" : "Numbers, in row-major order; all zeros if empty";
    const random = element("button", { type: "button" }, "Random numbers");
    random.addEventListener("click", () => this.random());
    this.box.append(element("label", { class: "field" }, words, this.text), random);
  }

  shape() {
    return shapeOf(this.input, (axis) => Number(this.axes.get(axis).value));
  }

  /** Fills in numbers: from 0 to 1, or 0 and 1 where they are whole. */
  random() {
    const many = this.shape().reduce((all, one) => all * one, 1);
    const whole = !this.input.type.startsWith("float");
    this.text.value =
      many > 10_000
        ? `(${count(many)} numbers are too many to write down: leave this empty for zeros)`
        : Array.from({ length: many }, () => (whole ? Math.floor(2 * Math.random()) : Math.random().toFixed(3))).join(" ");
  }

  /** @returns {Promise<{data: ArrayBufferView, shape: number[]}>} throws where that is not what the input takes */
  async value() {
    const { name, type } = this.input;
    if (!(type in TYPES)) throw new Error(`input ${name} takes ${type}, which this form cannot make`);
    const shape = this.shape();
    const many = shape.reduce((all, one) => all * one, 1);
    if (!(many <= MOST_NUMBERS)) throw new Error(`input ${name} would have ${count(many)} numbers, more than ${count(MOST_NUMBERS)}`);
    const picture = this.file?.files[0];
    if (picture) return { data: TYPES[type].from(await this.picture(picture, shape)), shape };
    return { data: numbersOf(this.text.value, type, many, name), shape };
  }

  async picture(file, [batch, channels, height, width]) {
    if (batch !== 1) throw new Error(`one picture is one example: the first axis must be 1, not ${batch}`);
    if (file.size > MOST_PICTURE) throw new Error(`the picture has ${count(file.size)} bytes; up to ${count(MOST_PICTURE)} are read`);
    let image;
    try {
      image = await createImageBitmap(file, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
    } catch {
      throw new Error(`the browser cannot read ${cut(file.name, 80)} as a picture`);
    }
    const ink = new OffscreenCanvas(width, height).getContext("2d");
    ink.drawImage(image, 0, 0);
    image.close();
    return asPlanes(ink.getImageData(0, 0, width, height).data, channels, this.inverted.checked);
  }
}

/** The outputs of a run: of each its shape and its largest values. */
function shownOutputs(outputs, time) {
  const shown = Object.entries(outputs);
  const parts = [element("p", { class: "quiet" }, `Run once, in ${milliseconds(time)}.`)];
  for (const [name, { data, shape, type }] of shown.slice(0, MOST_OUTPUTS)) {
    parts.push(element("h4", {}, `${cut(name, 80)} `, element("small", {}, `${type ?? ""} ${sizes(shape)}`)), largest(data, shape));
  }
  if (shown.length > MOST_OUTPUTS) parts.push(element("p", {}, `${count(shown.length - MOST_OUTPUTS)} more outputs are not shown.`));
  return parts;
}

/** The largest values, with their places and a bar from the least that is shown to the most. */
function largest(data, shape) {
  const top = [];
  for (let i = 0; i < data.length; i++) {
    const value = Number(data[i]);
    if (top.length === TOP && !(value > top.at(-1).value)) continue;
    top.push({ i, value });
    top.sort((a, b) => b.value - a.value);
    if (top.length > TOP) top.pop();
  }
  if (!top.length) return element("p", {}, "It has no numbers.");
  const [most, least] = [top[0].value, Math.min(0, top.at(-1).value)];
  const rows = top.map(({ i, value }) => {
    const share = most > least && Number.isFinite(value) ? (value - least) / (most - least) : 0;
    const name = element("span", { class: "name" }, `at ${placeOf(i, shape)}`);
    return element("li", {}, name, bar(share), element("span", { class: "amount" }, short(value)));
  });
  const list = element("ol", { class: "bill" }, ...rows);
  if (data.length <= TOP) return list;
  return element("div", {}, list, element("p", { class: "quiet" }, `The ${TOP} largest of ${count(data.length)} numbers.`));
}

/** Where the i-th number of a tensor is: its place on each axis. */
function placeOf(i, shape) {
  const place = [];
  for (const axis of [...shape].reverse()) {
    place.unshift(i % axis);
    i = Math.floor(i / axis);
  }
  return place.length > 1 && shape[0] === 1 ? place.slice(1).join(", ") : place.join(", ") || "0";
}
