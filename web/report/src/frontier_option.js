// The frontier as ECharts draws it.

import { axisStyle, lettering } from "./charts.js";
import { cut, limitWords, quantity, short } from "./format.js";
import { valueOf } from "./pareto.js";
import { logTicks } from "./view.js";

const SHAPES = { before: "rect", delivered: "diamond" };

const PLAIN = { type: "scatter", silent: true, animation: false };
const LARGE = 300; // beaten points, above which they are one path and not a path each

/** @typedef {ReturnType<typeof import("./view.js").viewOf>} View */

function frame(width) {
  const narrow = width < 480;
  return {
    narrow,
    grid: { left: narrow ? 52 : 60, right: narrow ? 24 : 34, top: 30, bottom: 46, outerBoundsMode: "none" },
  };
}

/** Where a point lies, and whether the picture has it. */
function placing(state, view) {
  const at = (point) => [valueOf(point, state.xAxis), valueOf(point, state.yAxis)];
  return { at, inside: (point) => at(point)[1] >= view.yRange[0] && at(point)[1] <= view.yRange[1] };
}

/**
 * ECharts' option of the frontier: axes, budget and points.
 * @param {import("./state.js").State} state
 * @param {View} view
 */
export function chartOption(state, view, palette, width) {
  const { narrow, grid } = frame(width);
  const { at, inside } = placing(state, view);
  const front = state.front.filter(inside);
  return {
    textStyle: lettering(palette),
    grid,
    xAxis: xAxis(state.xAxis, view, palette, narrow),
    yAxis: yAxis(state.yAxis, view, palette, grid.left),
    series: [
      { ...PLAIN, id: "region", data: [], markArea: region(state, view, palette, width - 90) },
      {
        ...PLAIN,
        id: "beaten",
        z: 2,
        symbolSize: trained(view.dim, state, 7, 4) ?? 6,
        large: true,
        largeThreshold: LARGE,
        data: view.dim.map(at),
        itemStyle: { color: "transparent", borderColor: palette.muted, borderWidth: 1.2, opacity: 0.45 },
      },
      {
        id: "step",
        type: "line",
        step: "end",
        silent: true,
        showSymbol: false,
        z: 3,
        data: stairs(state, view, front.map(at)),
        lineStyle: { color: palette.accent, width: 1.5, opacity: 0.75 },
      },
      {
        ...PLAIN,
        id: "front",
        z: 4,
        symbolSize: trained(front, state, 11, 6) ?? 9,
        data: front.map(at),
        itemStyle: { color: palette.accent, borderColor: palette.card, borderWidth: 1 },
      },
      special(state, view, palette, at, inside),
    ],
  };
}

/**
 * ECharts' option of what lies above the points: the one that is looked at, and the pinned ones. It is a chart of its
 * own, on the same axes, so that a mouse which goes over a thousand points does not draw them all again and again.
 * @param {import("./state.js").State} state
 * @param {View} view
 */
export function overlayOption(state, view, palette, width) {
  const { narrow, grid } = frame(width);
  const { at, inside } = placing(state, view);
  const hidden = { show: false, splitLine: { show: false } };
  return {
    textStyle: lettering(palette),
    grid,
    xAxis: { ...hidden, type: view.logarithmic ? "log" : "value", min: view.xRange[0], max: view.xRange[1] },
    yAxis: { ...hidden, type: "value", min: view.yRange[0], max: view.yRange[1] },
    series: [
      looked(state, view, palette, at, inside, narrow ? 24 : 48),
      pinned(state, palette, at, inside),
    ],
  };
}

/** Whether a mark is small, since its network was trained for a part of a training only. */
export function isPart(point) {
  return point.fidelity !== null && point.fidelity < 1;
}

/** The size of each mark of a search for networks, by how long it was trained; null elsewhere. */
function trained(points, state, whole, part) {
  if (state.given.kind !== "networks") return null;
  return (_, { dataIndex }) => (isPart(points[dataIndex]) ? part : whole);
}

/** The steps of the frontier; they go on from the last point to the edge, as far as that point is the best. */
function stairs(state, view, front) {
  if (front.length === 0) return front;
  const [low, high] = view.xRange;
  return [...front, [state.xAxis.better === "lower" ? high : low, front.at(-1)[1]]];
}

function title(axis) {
  return `${cut(axis.name, 26)} (${axis.better} is better)`;
}

function xAxis(axis, view, palette, narrow) {
  const ticks = view.logarithmic ? thin(logTicks(view.xRange), narrow ? 5 : 10) : null;
  const style = axisStyle(palette);
  const custom = ticks === null ? {} : { customValues: ticks };
  return {
    ...style,
    type: view.logarithmic ? "log" : "value",
    min: view.xRange[0],
    max: view.xRange[1],
    name: title(axis),
    nameLocation: "middle",
    nameGap: 28,
    ...(ticks === null ? { interval: view.xStep * (narrow ? 2 : 1) } : {}),
    axisTick: { ...style.axisTick, ...custom },
    axisLabel: { ...style.axisLabel, ...custom, formatter: (value) => short(value, axis.unit) },
    splitLine: { show: false },
  };
}

function thin(ticks, most) {
  const every = Math.ceil(ticks.length / most);
  return ticks.filter((_, at) => at % every === 0);
}

function yAxis(axis, view, palette, left) {
  const style = axisStyle(palette);
  return {
    ...style,
    type: "value",
    min: view.yRange[0],
    max: view.yRange[1],
    interval: view.yStep,
    name: title(axis),
    // Over the axis and not along it: there it is read without turning one's head, and needs no room beside long numbers.
    nameLocation: "end",
    nameGap: 12,
    nameTextStyle: { ...style.nameTextStyle, align: "left", padding: [0, 0, 0, -left + 4] },
    axisLabel: { ...style.axisLabel, formatter: (value) => short(value, axis.unit) },
  };
}

/** What the budget admits, as far as it says something of these axes. */
function region(state, view, palette, plot) {
  /** @type {[number, number][]} */
  const spans = [
    [view.xRange, view.xLimits],
    [view.yRange, view.yLimits],
  ].map(([[low, high], limits]) => [
    limits.least === null ? low : Math.max(low, limits.least),
    limits.most === null ? high : Math.min(high, limits.most),
  ]);
  const limits = state.given.budget?.limits ?? [];
  const here = limits.filter((limit) => [state.xAxis.field, state.yAxis.field].includes(limit.field));
  if (here.length === 0 || spans.some(([low, high]) => low >= high)) return undefined;
  const axes = [state.xAxis, state.yAxis];
  const told = here.map((limit) =>
    limitWords(
      limit,
      axes.find((axis) => axis.field === limit.field),
    ),
  );
  const whole = `within the budget: ${cut(told.join(", "), 60)}`;
  const words = needed(whole) < plot * 0.75 ? whole : "budget";
  return {
    silent: true,
    itemStyle: { color: palette.region, borderColor: palette.accent, borderWidth: 1, borderType: "dashed", opacity: 1 },
    label: {
      show: true,
      ...beside(spans[0], view, plot, words),
      color: palette["accent-ink"],
      fontSize: 12,
      formatter: words,
      backgroundColor: palette.card,
      padding: [1, 4],
      borderRadius: 3,
    },
    data: [[{ coord: [spans[0][0], spans[1][0]] }, { coord: [spans[0][1], spans[1][1]] }]],
  };
}

/** Where the name of the region has room: in it, or on its right or left. */
function beside([low, high], view, plot, words) {
  const [left, right] = [low, high].map((x) => plot * share(x, view));
  if (right - left > needed(words)) return { position: "insideTopLeft", distance: 6 };
  if (plot - right > needed(words)) return { position: ["100%", 4], offset: [5, 0] };
  return left > needed(words)
    ? { position: [0, 4], align: "right", offset: [-5, 0] }
    : { position: "insideTop", distance: 4 };
}

/** About how many pixels words take. */
function needed(words) {
  return words.length * 7 + 12;
}

/** How far from left to right a value lies, from 0 to 1. */
function share(x, view) {
  const [low, high] = view.xRange;
  return view.logarithmic ? Math.log(x / low) / Math.log(high / low) : (x - low) / (high - low);
}

/** The points with names: each has a shape and its names beside it. */
function special(state, view, palette, at, inside) {
  const points = [...state.names]
    .map(([id, names]) => ({ point: state.byId.get(id), names }))
    .filter(({ point }) => point && state.placed.includes(point) && inside(point));
  const data = points.map(({ point, names }) => {
    const delivered = names.includes("delivered") || names.includes("best so far");
    const before = names.includes("before");
    const symbol = delivered ? SHAPES.delivered : before ? SHAPES.before : "triangle";
    return {
      value: at(point),
      symbol,
      symbolSize: delivered ? 17 : before ? 12 : 13,
      itemStyle: {
        color: before && !delivered ? palette.card : palette.accent,
        borderColor: before ? palette.ink : palette.card,
        borderWidth: before ? 2 : 1.5,
      },
      label: {
        show: true,
        formatter: names.map((name) => cut(name, 24)).join(", "),
        // The model that came in stands alone at the end of the line, where its name has room above.
        ...corner(side(at(point), view), (state.yAxis.better === "higher") !== (before && !delivered)),
        color: palette.ink,
        fontWeight: delivered ? 700 : 500,
        fontSize: 12.5,
        backgroundColor: palette.card,
        padding: [1, 4],
        borderRadius: 3,
      },
    };
  });
  return { ...PLAIN, id: "named", z: 6, data, labelLayout: { moveOverlap: "shiftY" } };
}

/** Beside a mark, on the side of the frontier where nothing better lies, and off its line. */
function corner(where, below) {
  const across = where === "right" ? { align: "left" } : { align: "right" };
  return {
    ...across,
    position: [where === "right" ? "115%" : "-15%", below ? "70%" : "30%"],
    verticalAlign: below ? "top" : "bottom",
  };
}

/** The side of a point on which there is room for words. */
function side([x], view) {
  return share(x, view) > 0.72 ? "left" : "right";
}

/** The point that is looked at: a ring, its intervals, and its two values. */
function looked(state, view, palette, at, inside, longest) {
  const point = state.current;
  const series = { ...PLAIN, id: "active", z: 8, symbolSize: 24, data: [] };
  if (point === null || !state.placed.includes(point) || !inside(point)) return series;
  const value = at(point);
  const shown = [state.xAxis, state.yAxis].map((axis, index) => quantity(value[index], axis.unit)).join(" · ");
  const high = (value[1] - view.yRange[0]) / (view.yRange[1] - view.yRange[0]) > 0.75;
  const where = side(value, view);
  series.data = [
    {
      value,
      symbol: "circle",
      itemStyle: { color: "transparent", borderColor: palette.ink, borderWidth: 2 },
      label: {
        show: state.active !== null,
        formatter: `{name|${braces(cut(point.label, longest))}}\n${braces(shown)}`,
        position: high ? "bottom" : "top",
        align: where === "right" ? "left" : "right",
        distance: 8,
        lineHeight: 17,
        padding: [4, 8],
        borderRadius: 4,
        color: palette.ink,
        backgroundColor: palette.card,
        borderColor: palette.muted,
        borderWidth: 1,
        rich: { name: { fontWeight: 700, color: palette.ink, lineHeight: 17 } },
      },
    },
  ];
  series.markLine = whiskers(state, point, value, palette);
  return series;
}

/** ECharts reads `{style|text}` in labels: braces and bars of a name are no style. */
function braces(text) {
  return text
    .replaceAll("{", "(")
    .replaceAll("}", ")")
    .replaceAll("|", "¦")
    .replace(/[\r\n]+/g, " ");
}

/** Lines for what was measured with an interval. */
function whiskers(state, point, [x, y], palette) {
  const [across, up] = [point.intervals[state.xAxis.field], point.intervals[state.yAxis.field]];
  const lines = [];
  if (across) lines.push([{ coord: [across[0], y] }, { coord: [across[1], y] }]);
  if (up) lines.push([{ coord: [x, up[0]] }, { coord: [x, up[1]] }]);
  if (lines.length === 0) return undefined;
  return {
    silent: true,
    symbol: "none",
    animation: false,
    label: { show: false },
    lineStyle: { color: palette.ink, width: 1.5, type: "solid" },
    data: lines,
  };
}

function pinned(state, palette, at, inside) {
  const data = state.pins
    .map((id, place) => ({ point: state.byId.get(id), letter: "AB"[place] }))
    .filter(({ point }) => point && state.placed.includes(point) && inside(point))
    .map(({ point, letter }) => ({
      value: at(point),
      label: { show: true, formatter: letter, position: "inside", color: palette.card, fontWeight: 700, fontSize: 12 },
    }));
  return {
    ...PLAIN,
    id: "pins",
    z: 10,
    symbol: "circle",
    symbolSize: 20,
    itemStyle: { color: palette.ink, borderColor: palette.card, borderWidth: 2 },
    data,
  };
}
