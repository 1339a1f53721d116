// Which layer hurts: a heat map of layers and actions, and its table.

import { chartBox, chartIn, lettering, rowSlider, tooltip } from "./charts.js";
import { chooser, fill, h, refill } from "./dom.js";
import { count, cut, inPoints, number, quantity, scoreAmount, shortener } from "./format.js";
import { sortedTable } from "./table.js";

const KINDS = [
  ["score_lost", "score lost"],
  ["bytes_saved", "bytes saved"],
  ["milliseconds_saved", "milliseconds saved"],
];
const MOST = 40; // layers that are seen at once
const ROW = 24;

/** The heat map with its choice, and the same as a table. */
export function sensitivityPart(state) {
  let kind = "score_lost";
  const intro = h("p", { class: "lead" });
  const controls = h("div", { class: "controls" });
  const box = chartBox("heat", "What each action does to each layer; the table beside it has the same numbers");
  const chart = chartIn(box, (palette, width) => heat(state, kind, palette, width));
  const table = sortedTable({ caption: "Sensitivity of the layers", columns: [], noun: "cells", page: 12 });
  const element = h("div", { class: "beside" }, h("div", {}, intro, controls, box), table.element);
  function draw() {
    const { sensitivity, scores } = state.given;
    const unit = scores[0]?.unit ?? "";
    const there = KINDS.filter(([field]) => sensitivity.cells.some((cell) => cell[field] !== null));
    if (!there.some(([field]) => field === kind)) kind = there[0]?.[0] ?? "score_lost";
    if (controls.dataset.key !== JSON.stringify([there, kind])) {
      controls.dataset.key = JSON.stringify([there, kind]);
      refill(
        controls,
        there.length > 1
          ? chooser("shown", there, kind, (chosen) => {
              kind = chosen;
              draw();
            }).element
          : null,
      );
    }
    const missing =
      sensitivity.layers.length * sensitivity.actions.length -
      sensitivity.cells.filter((cell) => cell[kind] !== null).length;
    fill(intro, cut(sensitivity.words, 600), missing ? ` ${count(missing, "cell")} ${missing === 1 ? "was" : "were"} not measured (hatched).` : "");
    box.style.height = `${Math.min(sensitivity.layers.length, MOST) * ROW + 110}px`;
    chart.draw();
    table.update(sensitivity.cells, cellColumns(there, unit, shortener(sensitivity.layers)));
  }
  return { element, draw };
}

function cellColumns(there, unit, named) {
  return [
    {
      name: "layer",
      value: (cell) => cell.layer,
      shown: (cell) => h("span", { title: cut(cell.layer, 300) }, named(cell.layer, 34)),
    },
    { name: "action", value: (cell) => cell.action },
    ...there.map(([field, name]) => ({
      name,
      numeric: true,
      value: (cell) => cell[field],
      text: (cell) => shown(cell, field, unit),
    })),
    { name: "note", wide: true, value: (cell) => cell.note },
  ];
}

function shown(cell, field, unit) {
  const value = cell[field];
  if (value === null) return "";
  if (field === "bytes_saved") return quantity(value, "B");
  if (field === "milliseconds_saved") return quantity(value, "ms");
  if (cell.score_error === null) return scoreAmount(value, unit);
  return `${scoreAmount(value, unit).replace(/ points?$/, "")} ± ${scoreAmount(cell.score_error, unit)}`;
}

function heat(state, kind, palette, width) {
  const { sensitivity, scores } = state.given;
  const named = shortener(sensitivity.layers);
  const unit = scores[0]?.unit ?? "";
  const acted = shortener(sensitivity.actions);
  const known = new Map(sensitivity.cells.map((cell) => [`${cell.layer}\n${cell.action}`, cell]));
  const cells = sensitivity.layers.flatMap((layer, row) =>
    sensitivity.actions.map((action, column) => {
      const cell = known.get(`${layer}\n${action}`);
      return { row, column, layer, action, cell: cell && cell[kind] !== null ? cell : null };
    }),
  );
  const measured = cells.filter(({ cell }) => cell !== null);
  const most = measured.reduce((so, { cell }) => Math.max(so, Math.abs(cell[kind])), 0) || 1;
  const below = measured.some(({ cell }) => cell[kind] < 0);
  const room = width < 480 ? 100 : 190;
  const wide = (width - room) / (sensitivity.actions.length || 1);
  const many = sensitivity.layers.length > MOST;
  return {
    textStyle: lettering(palette),
    grid: { left: room, right: many ? 40 : 8, top: 30, bottom: 66 },
    tooltip: tooltip(palette, ({ data }) => [
      cut(data.at.layer, 120),
      cut(data.at.action, 120),
      data.at.cell
        ? `${KINDS.find(([field]) => field === kind)[1]}: ${shown(data.at.cell, kind, unit)}`
        : "not measured",
      cut(data.at.cell?.note, 160),
    ]),
    xAxis: {
      type: "category",
      position: "top",
      data: sensitivity.actions,
      axisTick: { show: false },
      axisLine: { show: false },
      axisLabel: {
        color: palette.ink,
        interval: 0,
        width: Math.max(wide - 4, 20),
        overflow: "truncate",
        formatter: (name) => acted(name, Math.max(5, Math.floor(wide / 7))),
      },
    },
    yAxis: {
      type: "category",
      inverse: true,
      data: sensitivity.layers.map((_, at) => String(at)),
      axisTick: { show: false },
      axisLine: { show: false },
      axisLabel: {
        color: palette.ink,
        interval: 0,
        formatter: (at) => named(sensitivity.layers[at], Math.floor(room / 7.2)),
      },
    },
    dataZoom: many ? [rowSlider(palette, MOST)] : [],
    visualMap: {
      type: "continuous",
      min: below ? -most : 0,
      max: most,
      orient: "horizontal",
      left: room,
      bottom: 6,
      itemHeight: Math.min(220, width - room - 120),
      itemWidth: 12,
      text: [mapText(most, kind, unit), mapText(below ? -most : 0, kind, unit)],
      textStyle: { color: palette.muted },
      seriesIndex: 0,
      calculable: false,
      inRange: { color: below ? [palette.low, palette.middle, palette.high] : [palette.middle, palette.high] },
    },
    series: [
      {
        type: "heatmap",
        data: measured.map((at) => ({ value: [at.column, at.row, at.cell[kind]], at })),
        itemStyle: { borderColor: palette.card, borderWidth: 2 },
        label: {
          show: wide > 58,
          color: palette.ink,
          fontSize: 11.5,
          textBorderColor: palette.card,
          textBorderWidth: 2,
          formatter: ({ data }) => mapText(data.value[2], kind, unit),
        },
      },
      {
        type: "heatmap",
        data: cells.filter(({ cell }) => cell === null).map((at) => ({ value: [at.column, at.row, 0], at })),
        itemStyle: {
          color: palette.card,
          borderColor: palette.card,
          borderWidth: 2,
          decal: {
            symbol: "rect",
            dashArrayX: [1, 0],
            dashArrayY: [1, 5],
            rotation: -Math.PI / 4,
            color: palette.muted,
          },
        },
      },
    ],
  };
}

function mapText(value, kind, unit) {
  if (kind === "bytes_saved") return quantity(value, "B");
  if (kind === "milliseconds_saved") return quantity(value, "ms");
  return inPoints(unit) ? number(value * 100, 2) : number(value, 2);
}
