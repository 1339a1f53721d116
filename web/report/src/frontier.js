// The chart of what else could have been had.

import { chartIn } from "./charts.js";
import { chooser, fill, h, refill, ticker } from "./dom.js";
import { count, cut, number, quantity } from "./format.js";
import { chartOption, isPart, overlayOption } from "./frontier_option.js";
import { comparedOf, tally, valueOf } from "./pareto.js";
import { viewOf } from "./view.js";

const REACH = 28; // how near, in pixels, the mouse must come to a point

/**
 * The chart with its controls, its caption and its keys.
 * @param {import("./state.js").State} state
 * @param {(sentence: string) => void} announce
 */
export function frontierChart(state, announce) {
  const controls = h("div", { class: "controls" });
  const drawing = h("div", { class: "chart frontier", "aria-hidden": "true" });
  const above = h("div", { class: "chart frontier above", "aria-hidden": "true" });
  const box = h(
    "div",
    {
      class: "frontier-box",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": "Frontier of the points",
      "aria-describedby": "frontier-keys",
    },
    drawing,
    above,
  );
  const keys = h(
    "p",
    { id: "frontier-keys", class: "hidden-text" },
    "Left and right arrow keys go along the frontier, Enter pins a point, Escape lets the pinned ones go. The table below has the same points.",
  );
  const caption = h("p", { class: "caption", id: "frontier-caption" });
  const empty = h("p", { class: "empty" });
  const element = h("div", { class: "frontier-part" }, controls, keys, box, empty, caption);

  let spots = [];
  let view = null;
  let key = "";
  const overlay = chartIn(above, (palette, width) => overlayOption(state, view, palette, width), { eager: true });
  const chart = chartIn(
    drawing,
    (palette, width) => {
      spots = [];
      return chartOption(state, view, palette, width);
    },
    {
      eager: true,
      ready: (made) => {
        const zr = made.getZr();
        zr.on("mousemove", (event) => {
          const id = nearest(event.offsetX, event.offsetY);
          zr.setCursorStyle(id === null ? "default" : "pointer");
          if (id !== null) state.look(id);
        });
        zr.on("click", (event) => {
          const id = nearest(event.offsetX, event.offsetY);
          if (id === null) return;
          state.look(id);
          state.pin(id);
        });
      },
    },
  );

  function places() {
    if (spots.length === 0 && chart.chart() !== null) {
      spots = view.shown.map((point) => {
        const [x, y] = chart
          .chart()
          .convertToPixel({ gridIndex: 0 }, [valueOf(point, state.xAxis), valueOf(point, state.yAxis)]);
        // Those that matter win over those that others beat, where both are near.
        const rank = state.names.has(point.id) ? 0 : state.onFront.has(point.id) ? 3 : 8;
        return { id: point.id, x, y, rank };
      });
    }
    return spots;
  }

  function nearest(x, y) {
    let best = null;
    let least = Infinity;
    for (const spot of places()) {
      const away = Math.hypot(spot.x - x, spot.y - y);
      if (away <= REACH && away + spot.rank < least) [best, least] = [spot.id, away + spot.rank];
    }
    return best;
  }

  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !state.drawable) return;
    const id = afterKey(state, view.shown, event.key);
    if (id === undefined) return;
    event.preventDefault();
    if (event.key === "Escape") state.unpin();
    else if (event.key === "Enter" || event.key === " ") {
      if (id !== null) state.pin(id);
    } else if (id !== null) state.look(id);
    announce(sentence(state));
  });

  function draw() {
    const some = state.placed.length > 0;
    box.hidden = !some;
    empty.hidden = some;
    controls.hidden = !state.drawable || state.given.points.length === 0;
    if (some) {
      view = viewOf(state);
      key = viewKey(view);
      chart.draw();
      overlay.draw();
    } else fill(empty, whyEmpty(state));
    fill(caption, captionOf(state, view));
  }

  state.listen((what) => {
    if (what === "axes") fillControls(controls, state);
    // A pin may widen the picture; what is looked at never does.
    const same = what === "active" || (what === "pins" && state.placed.length > 0 && viewKey(viewOf(state)) === key);
    if (same && view !== null) overlay.draw();
    else draw();
  });
  return {
    element,
    draw: () => {
      fillControls(controls, state);
      draw();
    },
    at: (id) => places().find((spot) => spot.id === id),
  };
}

function viewKey(view) {
  return JSON.stringify([view.xRange, view.yRange, view.logarithmic, view.shown.length]);
}

/** The points that the arrow keys reach, from left to right in the picture. */
export function order(state) {
  const wanted = new Map(state.front.map((point) => [point.id, point]));
  for (const point of state.placed) if (state.names.has(point.id)) wanted.set(point.id, point);
  return [...wanted.values()].sort((a, b) => valueOf(a, state.xAxis) - valueOf(b, state.xAxis));
}

/** The point that a key leads to, null where there is none, and undefined for a key that means nothing here. */
function afterKey(state, shown, key) {
  const along = order(state).filter((point) => shown.includes(point));
  const here = along.findIndex((point) => point.id === state.current?.id);
  const to = (at) => along[Math.max(0, Math.min(along.length - 1, at))]?.id ?? null;
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (key in steps) return here < 0 ? to(0) : to(here + steps[key]);
  if (key === "Home") return to(0);
  if (key === "End") return to(along.length - 1);
  if (["Enter", " ", "Escape"].includes(key)) return state.current?.id ?? null;
  return undefined;
}

/** What a screen reader says of the point that is looked at. */
export function sentence(state) {
  const point = state.current;
  if (point === null) return "";
  const values = state.drawable
    ? [state.xAxis, state.yAxis].map((axis) => `${cut(axis.name, 40)} ${quantity(valueOf(point, axis), axis.unit)}`)
    : [];
  const pinned = state.pins.indexOf(point.id);
  return [
    cut(point.label, 120),
    ...values,
    ...(state.names.get(point.id) ?? []),
    state.onFront.has(point.id) ? "on the frontier" : "",
    pinned < 0 ? "" : `pinned as ${"AB"[pinned]}`,
    point.steps.length ? `steps: ${point.steps.map((step) => cut(step, 80)).join("; ")}` : "",
  ]
    .filter(Boolean)
    .join(", ");
}

function fillControls(element, state) {
  if (!state.drawable) return;
  const { given } = state;
  const key = JSON.stringify([
    given.resources,
    given.scores,
    state.xAxis.field,
    state.yAxis.field,
    state.logarithmic,
    state.everything,
  ]);
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  const named = (axis) => [axis.field, cut(axis.name, 32)];
  const x = chooser("across", given.resources.map(named), state.xAxis.field, (field) =>
    state.choose({ x: field, logarithmic: null }),
  );
  const y = chooser("up", given.scores.map(named), state.yAxis.field, (field) => state.choose({ y: field }));
  const { logarithmic, positive } = viewOf(state);
  const log = ticker("logarithmic", logarithmic, (on) => state.choose({ logarithmic: on }));
  log.input.disabled = !positive;
  const all = ticker("far points too", state.everything, (on) => state.choose({ everything: on }));
  refill(element, x.element, y.element, log.element, all.element);
}

/** Whether a point counts: the model that came in is there to compare with, where its file is a point too. */
function beatable(state, point) {
  return point.id !== state.given.before?.id || state.onFront.has(point.id);
}

function whyEmpty(state) {
  const { given } = state;
  if (given.points.length === 0)
    return given.working || given.live
      ? "Points appear here as they are measured."
      : "No trial was measured, so there is nothing to choose from.";
  const { ok, failed, nan } = tally(given.points, state.xAxis ?? { field: "" }, state.yAxis ?? { field: "" });
  const said = [
    failed ? `${count(failed, "trial")} failed` : "",
    nan ? `${count(nan, "trial")} had a score that is no number` : "",
    ok ? `${count(ok, "trial")} lack a measurement on these axes` : "",
  ];
  return `There is no point to draw: ${said.filter(Boolean).join(", ")}. The table of trials has them.`;
}

function captionOf(state, view) {
  if (!state.drawable || state.placed.length === 0) return "";
  const { given, xAxis, yAxis } = state;
  const counts = tally(given.points, xAxis, yAxis);
  const said = [
    `${number(state.front.length)} of ${count(comparedOf(given).filter((point) => beatable(state, point)).length, "point")} on the frontier (●); the others (○) are beaten by one of them.`,
  ];
  if (given.kind === "networks" && given.points.some(isPart))
    said.push("Small marks were trained for a part of a training only, and are not compared.");
  const chosen = state.byId.get(given.named.chosen);
  if (chosen && !isPart(chosen) && !comparedOf(given).includes(chosen))
    said.push("The chosen network is not compared, since the delivered file is.");
  const picked = given.points.filter((point) => point.number != null).length;
  if (picked > state.front.length) said.push(`${number(picked)} can be picked, on the frontier of all that the budget limits.`);
  if (counts.failed) said.push(`${count(counts.failed, "trial")} failed.`);
  if (counts.nan) said.push(`${count(counts.nan, "trial")} had a score that is no number.`);
  if (counts.unplaced)
    said.push(`${count(counts.unplaced, "point")} without ${cut(xAxis.name, 30)} or ${cut(yAxis.name, 30)} left out.`);
  const best = view?.farFront ? `, of which ${number(view.farFront)} on the frontier,` : "";
  if (view?.far) said.push(`${count(view.far, "point")}${best} too far to be shown: tick “far points too”.`);
  const other = (given.budget?.limits ?? []).filter((limit) => ![xAxis.field, yAxis.field].includes(limit.field));
  if (other.length) said.push(`The budget also limits ${other.map((limit) => cut(limit.words, 60)).join(", ")}.`);
  return said.join(" ");
}
