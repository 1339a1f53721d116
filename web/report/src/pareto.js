// What the frontier of two axes is, what the budget admits, and which differences are noise.

import { alike, inPoints } from "./format.js";

/** @typedef {import("../document.d.ts").Point} Point */
/** @typedef {import("../document.d.ts").Axis} Axis */
/** @typedef {import("../document.d.ts").Document} Document */

/** A point's value on an axis; null where nobody measured it. */
export function valueOf(point, axis) {
  const value = point.costs[axis.field] ?? point.scores[axis.field];
  return Number.isFinite(value) ? value : null;
}

/** Whether a point has a place in the picture of two axes. */
export function placed(point, x, y) {
  return point.state === "ok" && valueOf(point, x) !== null && valueOf(point, y) !== null;
}

/** Below 0 where `a` is better than `b`. */
function order(axis, a, b) {
  return axis.better === "lower" ? a - b : b - a;
}

/**
 * The points that no other point beats on both axes, the best on x first. Of equal ones the first is kept.
 * @param {Point[]} points
 * @param {Axis} x
 * @param {Axis} y
 */
export function frontierOf(points, x, y) {
  const sorted = points
    .filter((point) => placed(point, x, y))
    .map((point) => ({
      point,
      x: valueOf(point, x),
      y: valueOf(point, y),
    }));
  sorted.sort((a, b) => order(x, a.x, b.x) || order(y, a.y, b.y));
  const kept = [];
  for (const one of sorted) {
    if (kept.length === 0 || order(y, one.y, kept.at(-1).y) < 0) kept.push(one);
  }
  return kept.map((one) => one.point);
}

/** The points among which the frontier is: of a search for networks not those that were trained for a part of a training. */
export function comparedOf(given) {
  if (given.networks === null) return given.points;
  return given.points.filter((point) => given.networks.compared.includes(point.id));
}

/** The points that are worth a place on the frontier of a score: those with its least or more, or all where none has that. */
export function useful(points, y) {
  const { least } = y;
  if (least == null) return points;
  const kept = points.filter((point) => (valueOf(point, y) ?? -Infinity) >= least);
  return kept.length ? kept : points;
}

/** The axes of a document: those of resources and those of scores. */
export function axisOf(given, field) {
  return [...given.resources, ...given.scores].find((axis) => axis.field === field);
}

/** The limits of the budget on an axis: {most, least}, null where there is none. */
export function limitsOn(given, axis) {
  const limits = (given.budget?.limits ?? []).filter((limit) => limit.field === axis.field);
  const numbers = (name) => limits.map((limit) => limit[name]).filter((value) => value !== null);
  const most = numbers("at_most");
  const least = numbers("at_least");
  return { most: most.length ? Math.min(...most) : null, least: least.length ? Math.max(...least) : null };
}

/**
 * Whether noise may have made the difference of two points on an axis: their intervals overlap (a value without one is its
 * own), or the task's own scores are
 * within two standard errors of their difference. The errors are of differences from the model that came in, or of scores, and
 * are taken as independent; one that nobody knows counts as 0.
 * @param {Document} given
 */
export function noisy(given, axis, a, b) {
  if (!a || !b) return false;
  const [left, right] = [valueOf(a, axis), valueOf(b, axis)];
  if (left === null || right === null) return false;
  if (axis.field === given.scores[0]?.field) return withinNoise(left - right, a, b);
  const [one, other] = [a.intervals[axis.field], b.intervals[axis.field]];
  return Boolean(one || other) && alike(one ?? [left, left], other ?? [right, right]);
}

/** Whether a difference of the task's own scores of two points is less than two standard errors. */
export function withinNoise(gone, a, b) {
  return Math.abs(gone) < 2 * Math.hypot(a.error ?? 0, b.error ?? 0);
}

/**
 * What is lost of y for what is saved of x between two points; null where one of them is at least as good in both.
 * @returns {{from: Point, to: Point, saved: number, lost: number, each: number} | null} `to` saves on x and loses on y; `each` is
 *   what is saved for a point of y, or for 1 of what is not told in points
 */
export function exchange(a, b, x, y) {
  const [xs, ys] = [x, y].map((axis) => [valueOf(a, axis), valueOf(b, axis)]);
  if ([...xs, ...ys].includes(null)) return null;
  const cheaper = order(x, xs[0], xs[1]);
  const worse = order(y, ys[0], ys[1]);
  if (cheaper * worse >= 0) return null;
  const [from, to] = cheaper > 0 ? [a, b] : [b, a];
  const [saved, lost] = [Math.abs(xs[0] - xs[1]), Math.abs(ys[0] - ys[1])];
  return { from, to, saved, lost, each: (saved / lost) * (inPoints(y.unit) ? 0.01 : 1) };
}

/** How many points of each state there are, and how many of the good ones have no place on two axes. */
export function tally(points, x, y) {
  const counts = { ok: 0, failed: 0, nan: 0, unplaced: 0 };
  for (const point of points) {
    counts[point.state] += 1;
    if (point.state === "ok" && !placed(point, x, y)) counts.unplaced += 1;
  }
  return counts;
}
