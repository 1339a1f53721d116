// The three answers: what was got, what it cost, and whether the budget is kept.

import { h, fill } from "./dom.js";
import {
  change,
  comparatives,
  count,
  cut,
  difference,
  inPoints,
  number,
  quantity,
  range,
  rowName,
  scoreAmount,
  UNCLEAR,
} from "./format.js";
import { noisy, withinNoise } from "./pareto.js";

/** @typedef {import("../document.d.ts").Document} Document */

/**
 * The headline as pieces of text: {text, strong}.
 * @param {Document} given
 */
export function headline(given) {
  const title = { text: cut(given.title, 80), name: true };
  const { after } = given;
  if (after !== null && (given.kind !== "file" || given.before !== null)) {
    const said = [size(after), smaller(given), ...lost(given), verdict(given)].filter(Boolean);
    return [title, { text: ": " }, ...joined(said)];
  }
  if (given.kind === "file") return [title, { text: ": " }, ...joined(fileWords(given))];
  if (given.kind === "ledger") return [title, { text: ": " }, ...joined(ledgerWords(given))];
  return [title, { text: `: ${nothing(given)}` }];
}

function joined(said) {
  return said.flatMap((one, at) => (at === 0 ? [one] : [{ text: ", " }, one])).concat({ text: "." });
}

function size(after) {
  const bytes = after.costs.bytes;
  return bytes === undefined ? { text: cut(after.label, 60) } : { text: `${number(bytes)} bytes`, strong: true };
}

function smaller({ before, after }) {
  const [was, is] = [before?.costs.bytes, after.costs.bytes];
  return was === undefined || is === undefined ? null : { text: change(was, is, comparatives("bytes")), strong: true };
}

/** The test score where both were proved, else the validation score, and which it is. */
function lost(given) {
  const axis = given.scores[0];
  const { before, after } = given;
  if (before === null || axis === undefined) return [];
  const tested = before.test !== null && after.test !== null;
  const [was, is] = tested ? [before.test, after.test] : [before.scores[axis.field], after.scores[axis.field]];
  if (was === undefined || is === undefined) return [];
  const split = tested ? "test" : "validation";
  const gone = axis.better === "higher" ? was - is : is - was;
  if (withinNoise(gone, before, after)) return [{ text: `${UNCLEAR} of ${cut(axis.name, 40)} (${split})` }];
  if (gone === 0) return [{ text: `no loss of ${cut(axis.name, 40)} (${split})` }];
  const accuracy = /^accuracy$/i.test(axis.name);
  const amount = scoreAmount(Math.abs(gone), axis.unit);
  const word = gone > 0 ? "lower" : "higher";
  const shown = accuracy
    ? `${amount} ${gone > 0 ? "less" : "more"} accurate`
    : `${cut(axis.name, 40)} ${amount} ${better(axis, word)}`;
  return [{ text: `${shown} (${split})` }];
}

function better(axis, word) {
  if (axis.better === "higher") return word;
  return word === "lower" ? "higher" : "lower";
}

function verdict({ budget }) {
  if (budget === null) return null;
  if (budget.met === null) return { text: "undecided whether it keeps the budget" };
  return budget.met ? { text: "keeps the budget", kept: true } : { text: "misses the budget", missed: true };
}

function fileWords(given) {
  const total = given.bill?.total;
  const numbers = given.layers.reduce((sum, layer) => sum + layer.numbers, 0);
  const bits = given.layers.reduce((sum, layer) => sum + 8 * layer.bytes, 0);
  /** @type {{text: string, strong?: boolean}[]} */
  const said = total === undefined ? [] : [{ text: `${number(total)} bytes`, strong: true }];
  if (numbers) {
    said.push({ text: count(given.layers.length, "tensor") });
    said.push({ text: `${number(numbers)} numbers of ${number(bits / numbers)} bits each` });
  }
  return said.length ? said : [{ text: "a file" }];
}

function ledgerWords(given) {
  const techniques = new Set(given.ledger.map((row) => row.gist)).size;
  return [{ text: count(given.ledger.length, "row"), strong: true }, { text: count(techniques, "technique") }];
}

/** What a page that a server keeps fresh waits for, while there is no trial; "" where it waits for nothing. */
export function waitingFor(given) {
  if (given.points.some((point) => !["before", "packed"].includes(point.id))) return "";
  if (!given.working) return given.live && given.points.length === 0 ? "waiting for the search." : "";
  return given.points.length === 0
    ? "working: measuring the model as it came in."
    : "working: the model as it came in is measured, and no other file yet.";
}

function nothing(given) {
  const failed = given.points.filter((point) => point.state !== "ok").length;
  if (given.points.length === 0) return waitingFor(given) || "no trial was measured.";
  if (waitingFor(given)) return waitingFor(given);
  if (failed === given.points.length) return `none of ${count(failed, "trial")} has a file and a score.`;
  return `${count(given.points.length - failed, "file")} measured, none delivered${given.working ? " yet" : ""}.`;
}

/** Puts the headline in its element. */
export function showHeadline(element, given) {
  fill(
    element,
    headline(given).map((piece) => {
      if (piece.strong) return h("strong", {}, piece.text);
      if (piece.name) return h("span", { class: "file" }, piece.text);
      if (piece.kept || piece.missed) return h("span", { class: piece.kept ? "kept" : "missed" }, piece.text);
      return piece.text;
    }),
  );
}

/** The costs of getting a model, in contrast to those of having it. */
const GETTING = new Set([
  "labels",
  "seconds",
  "minutes",
  "person_seconds",
  "training_operations",
  "communicated_bytes",
  "processor_seconds",
  "training_joules",
  "settings",
]);

/** The table of what came in and what goes out, in two groups; null where nothing was delivered. */
export function beforeAfter(given) {
  const { before, after } = given;
  if (after === null) return null;
  const measured = given.resources.filter((axis) => after.costs[axis.field] !== undefined);
  const rows = (axes) => axes.map((axis) => resourceRow(given, axis));
  const got = rows(measured.filter((axis) => !GETTING.has(axis.field)));
  const spent = measured.filter((axis) => GETTING.has(axis.field));
  const cost = [...scoreRows(given), ...rows(spent)];
  if (after.minutes !== null && spent.length === 0)
    cost.push(row("time of this trial", "that making it took", "", quantity(after.minutes, "min"), ""));
  if (given.search_seconds != null)
    cost.push(row("the whole search", "from its begin to its end", "", quantity(given.search_seconds, "s"), ""));
  return h(
    "table",
    { class: "before-after" },
    h("caption", { class: "hidden-text" }, "The model that came in and the file that was delivered"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        [given.working ? "Best so far" : "What you got", "before", "after", "change"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h("tbody", {}, got),
    cost.length ? group("What it cost", cost) : null,
  );
}

function group(name, rows) {
  return h("tbody", {}, h("tr", { class: "group" }, h("th", { colspan: "4", scope: "rowgroup" }, name)), rows);
}

function row(name, words, before, after, changed) {
  return h(
    "tr",
    {},
    h("th", { scope: "row", title: words || null }, name),
    h("td", {}, before),
    h("td", { class: "after" }, after),
    h("td", { class: "change" }, changed),
  );
}

function resourceRow(given, axis) {
  const { before, after } = given;
  const was = before?.costs[axis.field];
  const is = after.costs[axis.field];
  const speed = axis.field === "milliseconds" ? given.speed : null;
  const unclear = speed ? !speed.clear : noisy(given, axis, before, after);
  // Pairs that were timed in alternation tell more than two medians.
  const [from, to] = speed ? [1, speed.median] : [was, is];
  const words = was === undefined && !speed ? "" : unclear ? UNCLEAR : change(from, to, comparatives(axis.field));
  const changed = speed ? [words, h("small", {}, speed.words)] : words;
  return row(rowName(axis), axis.words, withInterval(before, axis), withInterval(after, axis), changed);
}

/** A value with its interval below it, where one was measured. */
export function withInterval(point, axis) {
  const value = point?.costs[axis.field] ?? point?.scores[axis.field];
  const interval = point?.intervals[axis.field];
  const shown = value === undefined ? "" : quantity(value, axis.unit);
  if (!interval) return shown;
  return [shown, h("small", {}, range(interval, axis.unit))];
}

function scoreRows(given) {
  const { before, after } = given;
  const rows = [];
  const [first] = given.scores;
  if (first && after.test !== null && (before?.test != null || given.kind === "networks")) {
    // A ledger has no error of a score on test data: that on validation data stands in for it.
    const unclear = before !== null && withinNoise(after.test - before.test, before, after);
    rows.push(
      scoreRow(`${cut(first.name, 24)} (test)`, testWords(before, after), first, before?.test, after.test, unclear),
    );
  }
  for (const axis of given.scores) {
    if (after.scores[axis.field] === undefined) continue;
    const name = `${cut(axis.name, 24)} (validation)`;
    const error = axis === first ? after.error : null;
    const unclear = noisy(given, axis, before, after);
    rows.push(scoreRow(name, axis.words, axis, before?.scores[axis.field], after.scores[axis.field], unclear, error));
  }
  return rows;
}

/** How often the score on test data was measured, since each look at it makes it less of a test. */
function testWords(before, after) {
  const times = [before?.tests ?? 0, after.tests ?? 0];
  if (Math.max(...times) < 2) return "measured on the test data, once";
  const [was, is] = times.map((many) => count(many, "time"));
  return `measured on the test data, ${was} before and ${is} after: the newest is shown`;
}

function scoreRow(name, words, axis, was, is, unclear, error = null) {
  const known = was != null && is != null;
  const changed = unclear ? UNCLEAR : known ? difference(is - was, inPoints(axis.unit) ? axis.unit : "score") : "";
  const spread = known && error ? h("small", {}, `± ${scoreAmount(error, axis.unit)}`) : null;
  return row(name, words, quantity(was, axis.unit), quantity(is, axis.unit), [changed, spread]);
}
