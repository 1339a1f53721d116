// How things stand, beside the example: counts, pace, agreement, the curve, the model, the file.

import { curve } from "./curve.js";
import { counted, fill, h } from "./dom.js";

const FEWEST = 10; // labels of which a file can be trained

/**
 * @param {HTMLElement} element
 * @param {any} status what the server says
 * @param {{about: any, by: string, deliver: () => void, open: (row: any) => void}} more
 */
export function drawSide(element, status, { about, by, deliver, open }) {
  const opened = new Set([...element.querySelectorAll("details[open]")].map((one) => one.id));
  const held = element.contains(document.activeElement) ? document.activeElement?.id : "";
  fill(
    element,
    h("p", { class: "big" }, `${status.labelled.toLocaleString("en")} of ${status.all.toLocaleString("en")}`, h("span", {}, " labelled")),
    progress(status),
    status.skipped > 0 && h("p", {}, `${status.skipped.toLocaleString("en")} skipped`),
    people(status, by),
    agreement(status, about),
    disagreements(status, opened, open),
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
    return h("p", {}, `${one.one} and ${one.other}, ${counted(one.examples, "example", "examples")}: ${name} ${value}${one.value === null ? "" : range}`);
  });
  const waits = status.second > 0 ? `${counted(status.second, "example waits", "examples wait")} for a second person` : "";
  return h("div", { class: "agreement" }, h("h3", {}, "Agreement"), rows, !rows.length && h("p", {}, "no example has two answers yet"), waits && h("p", {}, waits));
}

/** Who said what in one line, such as "ann: cat, bob: dog". */
export function saidBy(said) {
  const names = (labels) => {
    const kinds = [...new Set(labels.map((one) => one.name))].join(", ");
    if (labels.length && !("start" in labels[0]) && !("left" in labels[0])) return kinds;
    return labels.length ? `${counted(labels.length, "mark", "marks")} (${kinds})` : "nothing to mark";
  };
  return said.map((one) => `${one.by}${one.decides ? " decided" : ""}: ${names(one.labels)}`).join("; ");
}

function disagreements(status, opened, open) {
  const { count, shown, decided, settled } = status.disagreements;
  const row = (one) =>
    h("li", {}, h("button", { type: "button", class: "quiet", id: `decide-${one.index}`, onclick: () => open(one) }, one.name), h("span", {}, saidBy(one.said)));
  const list = (id, all, rows, title, sentence) =>
    h(
      "details",
      { id, class: "decisions", open: opened.has(id) },
      h("summary", { id: `${id}-summary` }, title),
      h("p", {}, sentence),
      h("ul", {}, rows.map(row)),
      rows.length < all && h("p", {}, `and ${(all - rows.length).toLocaleString("en")} more`),
    );
  return [
    count > 0 && list("disagreements", count, shown, counted(count, "disagreement", "disagreements"), "Open one and label it: what you say then is the decision."),
    decided > 0 && list("settled", decided, settled, `${decided.toLocaleString("en")} decided`, "The decision counts. Open one to decide it anew."),
  ];
}

function model(status) {
  if (status.model === null) return h("p", { class: "note" }, "No model helps here: the order is random.");
  const since = status.learning && h("span", { "data-since": status.model, "data-then": "" });
  return h("p", { class: "note", "data-learning": String(status.learning) }, `The model ${status.model}`, since && [" ", since], ".");
}

function delivery(status, about, deliver) {
  const busy = status.delivered.endsWith("…");
  const missing = FEWEST - status.labelled;
  const sentence = missing > 0 ? `A file can be trained from ${FEWEST} labels on: ${counted(missing, "is", "are")} missing.` : `trains a model from the labels, and writes ${about.target}`;
  const long = about.kind === "choice" ? "; it takes about a minute and a half" : "; it can take minutes";
  return h(
    "div",
    { class: "deliver" },
    h("button", { type: "button", id: "deliver", disabled: busy || missing > 0, "aria-describedby": "delivered", onclick: deliver }, "Train the file"),
    h("p", { id: "delivered", role: "status" }, status.delivered || sentence),
    busy && h("p", { class: "note", "data-since": status.delivered, "data-then": long }),
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
