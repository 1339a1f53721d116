// Which part of the plane the picture shows, and which points of it.

import { limitsOn, valueOf } from "./pareto.js";

const NEAR = 0.1; // share of the best score that a point of the frontier may lose and still be in the picture

/**
 * The view of the chosen axes: ranges, the points in it, and how many are left out.
 * @param {import("./state.js").State} state
 */
export function viewOf(state) {
  const { xAxis, yAxis, given } = state;
  const [xLimits, yLimits] = [limitsOn(given, xAxis), limitsOn(given, yAxis)];
  const y = state.everything ? spanOf(state.placed, yAxis) : nearSpan(state, yLimits);
  const [yRange, yStep] = rounded(y, 0.1, most(yAxis, y));
  const inside = state.placed.filter((point) => within(valueOf(point, yAxis), yRange));
  const x = spanOf(inside, xAxis);
  const positive = x.low > 0;
  const logarithmic = positive && (state.logarithmic ?? (xAxis.log && x.high / x.low > 4));
  for (const limit of [xLimits.most, xLimits.least]) {
    // A limit far away from every point would leave the points no room.
    if (limit !== null && limit > 0 && limit < x.high * 4 && limit > x.low / 4) widen(x, limit);
  }
  const [xRange, xStep] = logarithmic
    ? /** @type {[[number, number], null]} */ ([paddedLog(x), null])
    : rounded(x, 0.04, Infinity);
  const matters = (point) => state.onFront.has(point.id) || state.names.has(point.id) || state.pins.includes(point.id);
  const dim = inside.filter((point) => !matters(point));
  const farFront = state.front.filter((point) => !within(valueOf(point, yAxis), yRange)).length;
  return {
    farFront,
    xRange,
    yRange,
    xStep,
    yStep,
    logarithmic,
    positive,
    xLimits,
    yLimits,
    dim,
    shown: [...dim, ...inside.filter(matters)],
    far: state.placed.length - inside.length,
  };
}

/** What there is to see at first: from the worst named point up, and the limit of the budget. */
function nearSpan(state, limits) {
  const { yAxis, byId } = state;
  const anchors = [...state.names.keys()].map((id) => byId.get(id)).filter((point) => state.placed.includes(point));
  const span = spanOf(anchors, yAxis);
  for (const limit of [limits.least, limits.most]) if (limit !== null && anchors.length) widen(span, limit);
  for (const id of state.pins) if (state.placed.includes(byId.get(id))) widen(span, valueOf(byId.get(id), yAxis));
  const best = state.front.at(-1);
  if (best) widen(span, valueOf(best, yAxis));
  // Points of the frontier that lose little more are worth a look, too.
  const reach = Math.max(span.high - span.low, Math.abs(span.high) * NEAR);
  for (const point of state.front) {
    const value = valueOf(point, yAxis);
    if (value >= span.high - reach && value <= span.low + reach) widen(span, value);
  }
  // One height alone is no picture: then the frontier says what there is to see.
  if (!(span.high > span.low)) return spanOf(state.front.length > 1 ? state.front : state.placed, yAxis);
  return span;
}

function spanOf(points, axis) {
  const span = { low: Infinity, high: -Infinity };
  for (const point of points) widen(span, valueOf(point, axis));
  return span;
}

function widen(span, value) {
  span.low = Math.min(span.low, value);
  span.high = Math.max(span.high, value);
}

function within(value, [low, high]) {
  return value >= low && value <= high;
}

function padded({ low, high }, share) {
  if (!(high >= low)) return [0, 1];
  const room = (high - low) * share || Math.abs(low) * 0.05 || 1;
  return [low - room, high + room];
}

/** No fraction is more than 1. */
function most(axis, { high }) {
  return high <= 1 && axis.unit === "%" ? 1 : Infinity;
}

/**
 * A range that ends at ticks, with room for the marks, and the distance between its ticks.
 * @returns {[[number, number], number]}
 */
function rounded(span, share, ceiling) {
  const [low, high] = padded(span, share);
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const exact = (value) => Number(value.toPrecision(12));
  const bottom = exact(Math.floor(low / step) * step);
  const top = exact(Math.ceil(high / step) * step);
  return [[span.low >= 0 ? Math.max(bottom, 0) : bottom, Math.min(top, ceiling)], step];
}

function paddedLog({ low, high }) {
  const room = Math.max(0.08 * Math.log10(high / low), 0.05);
  return [low / 10 ** room, high * 10 ** room];
}

/** Ticks of a logarithmic range: the 1, 2 and 5 of every decade, or fewer where there are many decades. */
export function logTicks([low, high]) {
  const decades = Math.log10(high / low);
  const factors =
    decades > 6 ? [1] : decades > 3 ? [1, 3] : decades > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(6));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}
