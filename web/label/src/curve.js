// The scores so far against the labels: a line on two axes, with the numbers in a list for those who do not see it.

import { counted, h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [240, 130];
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 10, 8, 32]; // around the axes
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const plusMinus = (one) => (one.error === null ? "" : ` ± ${(100 * one.error).toFixed(1)}`);

function drawing(tag, given, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, typeof value === "number" ? value.toFixed(1) : value);
  if (text) element.textContent = text;
  return element;
}

/** The picture. The score's axis ends at 100 % and begins at the tenth below all that is drawn. */
function picture(points) {
  const most = Math.max(...points.map((one) => one.labels));
  const low = Math.min(...points.map((one) => one.score - (one.error ?? 0)));
  const least = Math.min(0.9, Math.max(0, Math.floor(low * 10) / 10));
  const [right, bottom] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
  const x = (labels) => LEFT + ((right - LEFT) * labels) / most;
  const y = (score) => bottom - ((bottom - TOP) * (Math.min(Math.max(score, least), 1) - least)) / (1 - least);
  const parts = [drawing("path", { class: "axis", d: `M${LEFT},${TOP}V${bottom}H${right}` })];
  for (const score of [least, (least + 1) / 2, 1]) {
    parts.push(drawing("path", { class: "axis", d: `M${LEFT - 3},${y(score).toFixed(1)}H${LEFT}` }));
    parts.push(drawing("text", { class: "score", x: LEFT - 5, y: y(score) + 3.5, "text-anchor": "end" }, `${Math.round(100 * score)} %`));
  }
  for (const labels of new Set([0, Math.round(most / 2), most])) {
    const anchor = labels === most ? "end" : "middle";
    parts.push(drawing("path", { class: "axis", d: `M${x(labels).toFixed(1)},${bottom}V${bottom + 3}` }));
    parts.push(drawing("text", { class: "labels", x: labels === most ? WIDTH : x(labels), y: bottom + 14, "text-anchor": anchor }, labels.toLocaleString("en")));
  }
  parts.push(drawing("text", { x: (LEFT + right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "labels"));
  parts.push(drawing("polyline", { points: points.map((one) => `${x(one.labels).toFixed(1)},${y(one.score).toFixed(1)}`).join(" ") }));
  for (const one of points) {
    const at = x(one.labels);
    if (one.error) parts.push(drawing("path", { class: "error", d: `M${at.toFixed(1)},${y(one.score - one.error).toFixed(1)}V${y(one.score + one.error).toFixed(1)}` }));
    parts.push(drawing("circle", { cx: at, cy: y(one.score), r: 2.5 }));
  }
  const all = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", "aria-hidden": "true" });
  all.append(...parts);
  return all;
}

/** All about the score; null where there is none yet. */
export function curve(status) {
  const points = status.curve;
  if (!points.length) return null;
  const last = points[points.length - 1];
  return h(
    "div",
    {},
    h("h3", {}, "The model's score"),
    picture(points),
    h("p", {}, `${percent(last.score)}${plusMinus(last)} with ${counted(last.labels, "label", "labels")}, on examples that it did not learn from`),
    h("ol", { class: "hidden-text" }, points.map((one) => h("li", {}, `${counted(one.labels, "label", "labels")}: ${percent(one.score)}${plusMinus(one)}`))),
    status.forecast && h("p", { class: "forecast" }, status.forecast),
  );
}
