// How things stand, beside the example: counts, pace, agreement, the curve, the model, the file.

import { fill, h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const percent = (value) => `${(100 * value).toFixed(1)} %`;

/**
 * @param {HTMLElement} element
 * @param {any} status what the server says
 * @param {{about: any, by: string, deliver: () => void, refresh: () => void}} more
 */
export function drawSide(element, status, { about, by, deliver }) {
  const opened = new Set([...element.querySelectorAll("details[open]")].map((one) => one.id));
  const held = element.contains(document.activeElement) ? document.activeElement?.id : "";
  fill(
    element,
    h("p", { class: "big" }, `${status.labelled.toLocaleString("en")} of ${status.all.toLocaleString("en")}`, h("span", {}, " labelled")),
    progress(status),
    status.skipped > 0 && h("p", {}, `${status.skipped.toLocaleString("en")} skipped`),
    people(status, by),
    agreement(status, about),
    curve(status),
    model(status),
    ...status.notes.map((note) => h("p", { class: "note" }, note)),
    about.target && delivery(status, about, deliver),
    about.notes.length > 0 && h("details", { id: "notes", open: opened.has("notes") }, h("summary", {}, "Notes on the source"), h("ul", {}, about.notes.map((note) => h("li", {}, note)))),
    h("details", { id: "keys", open: opened.has("keys") }, h("summary", { id: "keys-summary" }, "Keys"), keys(about.kind)),
    h("p", { class: "file" }, "The labels are in ", h("code", {}, about.file)),
  );
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
}

function progress(status) {
  return h("progress", { max: status.all, value: status.labelled, "aria-label": "Share of the examples that is labelled" });
}

function people(status, by) {
  if (!status.people.length) return null;
  const row = (one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.by, one.by === by && " (you)"),
      h("td", {}, one.labels.toLocaleString("en")),
      h("td", {}, one.hourly === null ? "" : Math.round(one.hourly).toLocaleString("en")),
    );
  const head = h("tr", {}, ["who", "labels", "an hour"].map((name) => h("th", { scope: "col" }, name)));
  return h("table", {}, h("thead", {}, head), h("tbody", {}, status.people.map(row)));
}

function agreement(status, about) {
  if (!about.agreement) return null;
  const rows = status.agreements.map((one) => {
    const name = one.kind === "kappa" ? "Cohen's kappa" : "F1 of their marks";
    const value = one.value === null ? "not defined: one class alone was given" : one.value.toFixed(2);
    const range = one.low === null ? " (too few for an interval)" : ` (95 %: ${one.low.toFixed(2)} to ${one.high.toFixed(2)})`;
    return h("p", {}, `${one.one} and ${one.other}, ${one.examples} examples: ${name} ${value}${one.value === null ? "" : range}`);
  });
  const waits = status.second > 0 ? `${status.second.toLocaleString("en")} examples wait for a second person` : "";
  return h("div", { class: "agreement" }, h("h3", {}, "Agreement"), rows, !rows.length && h("p", {}, "no example has two answers yet"), waits && h("p", {}, waits));
}

/** The scores so far against the labels, as a line, with the numbers in a list for those who do not see it. */
function curve(status) {
  const points = status.curve;
  if (!points.length) return null;
  const [width, height, edge] = [240, 90, 6];
  const most = Math.max(...points.map((one) => one.labels));
  const low = Math.min(...points.map((one) => one.score));
  const least = Math.max(0, Math.floor(low * 10) / 10);
  const x = (labels) => edge + ((width - 2 * edge) * labels) / most;
  const y = (score) => height - edge - ((height - 2 * edge) * (score - least)) / (1 - least || 1);
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("class", "curve");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.map((one) => `${x(one.labels).toFixed(1)},${y(one.score).toFixed(1)}`).join(" "));
  picture.append(line);
  for (const one of points) {
    const dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("cx", x(one.labels).toFixed(1));
    dot.setAttribute("cy", y(one.score).toFixed(1));
    dot.setAttribute("r", "2.5");
    picture.append(dot);
  }
  const last = points[points.length - 1];
  const error = last.error === null ? "" : ` ± ${(100 * last.error).toFixed(1)}`;
  return h(
    "div",
    {},
    h("h3", {}, "The model's score"),
    picture,
    h("p", {}, `${percent(last.score)}${error} with ${last.labels.toLocaleString("en")} labels, on examples that it did not learn from`),
    h("ol", { class: "hidden-text" }, points.map((one) => h("li", {}, `${one.labels} labels: ${percent(one.score)}`))),
    status.forecast && h("p", { class: "forecast" }, status.forecast),
  );
}

function model(status) {
  if (status.model === null) return h("p", { class: "note" }, "No model helps here: the order is random.");
  return h("p", { class: "note", "data-learning": String(status.learning) }, `The model ${status.model}.`);
}

function delivery(status, about, deliver) {
  const busy = status.delivered.endsWith("…");
  return h(
    "div",
    { class: "deliver" },
    h("button", { type: "button", id: "deliver", disabled: busy, onclick: deliver }, "Train the file"),
    h("p", { role: "status" }, status.delivered || `trains a model from the labels, and writes ${about.target}`),
  );
}

function keys(kind) {
  const rows = {
    choice: [
      ["1 … 0, letters", "the class that shows the key"],
      ["arrows", "move among the classes"],
      ["Space, Enter", "take the class that is marked, at first the model's"],
    ],
    span: [
      ["← →", "select a word; with Shift more words"],
      ["1 … 0, letters", "mark what is selected as that class"],
      ["Delete", "remove the mark that was clicked"],
      ["Space, Enter", "all is marked: next"],
      ["m", "there may be more: what is not marked is unknown"],
    ],
    box: [
      ["drag, b", "a new box"],
      ["Tab", "the next box"],
      ["arrows", "move the box by a pixel, with Shift by 10; with Alt its size"],
      ["1 … 0, letters", "its class, and that of the next box"],
      ["Delete", "remove the box"],
      ["Space, Enter", "all is marked: next"],
      ["m", "there may be more: one box of the herd is enough"],
    ],
  }[kind];
  const all = [...rows, ["Backspace", "undo"], ["s", "cannot tell: skip"], ["/", "find a class by its name"]];
  return h("table", { class: "keys-table" }, h("tbody", {}, all.map(([key, what]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, what)))));
}
