// The point that is looked at, and two pinned ones side by side.

import { commandBox, h, refill } from "./dom.js";
import {
  brief,
  change,
  comparatives,
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
import { exchange, noisy, valueOf } from "./pareto.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("../document.d.ts").Point} Point */

const STEP = 220; // characters of a step that are shown at once

/** What is known of the point that is looked at. */
export function showDetails(element, state) {
  const point = state.current;
  if (point === null) {
    refill(element, h("p", { class: "empty" }, "No point has been measured yet."));
    return;
  }
  const at = state.pins.indexOf(point.id);
  refill(
    element,
    h(
      "div",
      { class: "point-head" },
      h("h3", {}, cut(point.label, 120)),
      h(
        "button",
        { type: "button", class: "quiet", "aria-pressed": String(at >= 0), onclick: () => state.pin(point.id) },
        at < 0 ? "Pin" : `Pinned as ${"AB"[at]}`,
      ),
    ),
    h(
      "p",
      { class: "badges" },
      badges(state, point).map((badge) => h("span", { class: badge.kind ?? null }, badge.text)),
    ),
    h("div", { class: "point-body" }, steps(point), values(state, point)),
    point.note ? h("p", { class: "note" }, cut(point.note, 600)) : null,
  );
}

function badges(state, point) {
  const said = (state.names.get(point.id) ?? []).map((text) => ({ text: cut(text, 40) }));
  if (state.onFront.has(point.id)) said.push({ text: "on the frontier" });
  if (point.state === "failed") said.push({ text: "failed", kind: "missed" });
  if (point.state === "nan") said.push({ text: "score is no number", kind: "missed" });
  if (point.fits === true) said.push({ text: "keeps the budget", kind: "kept" });
  if (point.fits === false) said.push({ text: "misses the budget", kind: "missed" });
  return said;
}

/** The chain, a step a line. */
function steps(point) {
  const settings =
    point.technique ||
    (point.steps.some((step) => step.length > STEP || brief(step) !== step) ? point.steps.join(", ") : "");
  return h(
    "div",
    { class: "chain" },
    point.steps.length
      ? h(
          "ol",
          { class: "steps" },
          point.steps.map((step) => h("li", {}, stepOf(step))),
        )
      : h("p", { class: "muted" }, "No technique."),
    settings
      ? h("details", {}, h("summary", {}, "All settings"), h("code", { class: "whole" }, cut(settings, 4000)))
      : null,
  );
}

/** The name of a technique, and its settings fainter. */
function stepOf(step) {
  const [name, ...settings] = cut(brief(step), STEP).split(/(?=\()/);
  return h("code", {}, h("b", {}, name), settings.length ? h("span", { class: "muted" }, settings.join("")) : null);
}

function values(state, point) {
  const { given } = state;
  const rows = [];
  for (const axis of [...given.resources, ...given.scores]) {
    const value = valueOf(point, axis);
    if (value !== null) rows.push([rowName(axis), quantity(value, axis.unit), spread(state, point, axis)]);
  }
  const unit = given.scores[0]?.unit ?? "";
  if (point.test !== null)
    rows.push([`${cut(given.scores[0]?.name ?? "score", 24)} (test)`, quantity(point.test, unit), newest(point)]);
  if (point.minutes !== null && point.costs.seconds === undefined)
    rows.push(["minutes", quantity(point.minutes, "min"), ""]);
  if (point.fidelity !== null && point.fidelity < 1)
    rows.push(["share of the training", `${number(100 * point.fidelity, 2)} %`, ""]);
  if (point.seed !== null) rows.push(["seed", String(point.seed), ""]);
  return h(
    "dl",
    { class: "values" },
    rows.map(([name, value, extra]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value, extra ? h("small", {}, extra) : null)),
    ),
  );
}

function newest(point) {
  return point.tests > 1 ? `the newest of ${point.tests}` : "";
}

function spread(state, point, axis) {
  const interval = point.intervals[axis.field];
  if (interval) return range(interval, axis.unit);
  if (axis === state.given.scores[0] && point.error !== null) return `± ${scoreAmount(point.error, axis.unit)}`;
  return "";
}

/** Two pinned points, their differences, the exchange rate between them, and the commands that pick their files. */
export function showComparison(element, state) {
  const pins = state.pins.map((id) => state.byId.get(id));
  if (pins.length === 0) {
    refill(
      element,
      namedPoints(state),
      h(
        "p",
        { class: "hint" },
        "Click a point, or press Enter on it, to pin it. Two pinned points stand here side by side, with what one costs in the other.",
      ),
    );
    return;
  }
  if (pins.length === 1) {
    refill(
      element,
      head(state),
      h("p", { class: "empty" }, h("b", {}, "A"), ` is ${cut(pins[0].label, 120)}. Pin another point to compare it.`),
      picks(state, pins),
    );
    return;
  }
  refill(element, head(state), rate(state, pins), table(state, pins), picks(state, pins));
}

/** The points that have names, which are where to begin. */
function namedPoints(state) {
  const points = [...state.names.keys()].map((id) => state.byId.get(id)).filter(Boolean);
  if (points.length === 0) return null;
  const axes = [state.xAxis, state.yAxis].filter(Boolean);
  return h(
    "table",
    { class: "named" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "called"),
        h("th", { scope: "col", class: "by" }, "made by"),
        axes.map((axis) => h("th", { scope: "col", class: "number" }, cut(axis.name, 30))),
        h("td", {}),
      ),
    ),
    h(
      "tbody",
      {},
      points.slice(0, 5).map((point) =>
        h(
          "tr",
          {},
          h(
            "th",
            { scope: "row" },
            state.names
              .get(point.id)
              .map((name) => cut(name, 30))
              .join(", "),
          ),
          h("td", { class: "by" }, cut(point.label, 90)),
          axes.map((axis) => h("td", { class: "number" }, quantity(valueOf(point, axis), axis.unit))),
          h(
            "td",
            {},
            h(
              "button",
              {
                type: "button",
                class: "quiet small",
                "aria-label": `Pin ${cut(point.label, 60)}`,
                onclick: () => state.pin(point.id),
              },
              "Pin",
            ),
          ),
        ),
      ),
    ),
  );
}

function head(state) {
  return h(
    "div",
    { class: "point-head" },
    h("h3", {}, state.pins.length === 2 ? "A and B" : "Pinned"),
    h("button", { type: "button", class: "quiet", onclick: () => state.unpin() }, "Let go"),
  );
}

function table(state, [a, b]) {
  const { given } = state;
  const rows = [];
  for (const axis of [...given.resources, ...given.scores]) {
    const [left, right] = [valueOf(a, axis), valueOf(b, axis)];
    if (left === null && right === null) continue;
    const score = given.scores.includes(axis);
    const both = left !== null && right !== null;
    const apart = both ? difference(right - left, score && !inPoints(axis.unit) ? "score" : axis.unit) : "";
    const unclear = both && noisy(given, axis, a, b);
    const factor = unclear ? UNCLEAR : both && !score ? change(left, right, comparatives(axis.field)) : "";
    rows.push([
      rowName(axis),
      quantity(left, axis.unit),
      quantity(right, axis.unit),
      apart,
      factor === "the same" ? "" : factor,
    ]);
  }
  return h(
    "table",
    { class: "two" },
    h("caption", { class: "hidden-text" }, "The two pinned points"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("td", {}),
        h("th", { scope: "col" }, "A"),
        h("th", { scope: "col" }, "B"),
        h("th", { scope: "col" }, "B against A"),
      ),
    ),
    h(
      "tbody",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "row" }, "made by"),
        [a, b].map((point) => h("td", { class: "words" }, cut(point.label, 70))),
        h("td", {}),
      ),
      rows.map(([name, left, right, apart, factor]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          h("td", {}, left),
          h("td", {}, right),
          h("td", {}, apart, factor ? h("small", {}, factor) : null),
        ),
      ),
    ),
  );
}

/** The exchange rate on the chosen axes, as a sentence. */
function rate(state, [a, b]) {
  if (!state.drawable) return null;
  const { xAxis, yAxis } = state;
  const found = exchange(a, b, xAxis, yAxis);
  if (found === null) return h("p", { class: "rate" }, withoutRate(a, b, xAxis, yAxis));
  const unclear = [yAxis, xAxis].find((axis) => noisy(state.given, axis, a, b));
  if (unclear)
    return h("p", { class: "rate" }, `No exchange rate: ${UNCLEAR} of ${cut(unclear.name, 30)} between A and B.`);
  const letter = (point) => (point === a ? "A" : "B");
  const lost = scoreAmount(found.lost, yAxis.unit);
  const saved = quantity(found.saved, xAxis.unit);
  const each = quantity(found.each, xAxis.unit);
  const what = inPoints(yAxis.unit) ? `each point of ${cut(yAxis.name, 30)}` : `each 1 of ${cut(yAxis.name, 30)}`;
  return h(
    "p",
    { class: "rate" },
    `From ${letter(found.from)} to ${letter(found.to)}: ${saved} of ${cut(xAxis.name, 30)} saved for ${lost} of ${cut(yAxis.name, 30)}, `,
    h("strong", {}, `${each} for ${what}`),
    ".",
  );
}

/** Why there is no exchange rate: a measurement is missing, or one point is at least as good in both. */
function withoutRate(a, b, x, y) {
  const names = `${cut(x.name, 30)} and ${cut(y.name, 30)}`;
  const apart = [x, y].map((axis) => [axis, valueOf(a, axis), valueOf(b, axis)]);
  const missing = apart.find(([, left, right]) => left === null || right === null);
  if (missing) return `No exchange rate: ${cut(missing[0].name, 30)} was not measured of both.`;
  const gains = apart.map(([axis, left, right]) => (axis.better === "lower" ? left - right : right - left));
  if (gains.every((gain) => gain === 0)) return `A and B are the same in ${names}.`;
  const letter = gains.some((gain) => gain > 0) ? "B" : "A";
  return gains.includes(0) ? `${letter} is better in one of ${names}, and the same in the other.` : `${letter} is better in both ${names}.`;
}

/** The commands that pick the files of these points. */
function picks(state, points) {
  const commands = state.given.commands;
  return points.map((point, at) => {
    const found = commands.find((one) => one.id === point.id);
    return found
      ? h(
          "div",
          { class: "pick" },
          h("span", {}, `${"AB"[at]}: ${cut(found.words, 120)}`),
          commandBox(found.command, `the command for ${"AB"[at]}`),
        )
      : null;
  });
}
