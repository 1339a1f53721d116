// What only a search for networks has: what time bought, and the code of the network.

import { axisStyle, chartBox, chartIn, lettering, tooltip } from "./charts.js";
import { copyButton, fill, h } from "./dom.js";
import { cut, quantity, short } from "./format.js";
import { sortedTable } from "./table.js";

/** The best score so far against the minutes of training, with the same as a table. */
export function curvePart(state) {
  const lead = h("p", { class: "lead" });
  const box = chartBox("curve", "The best score so far against the minutes of training; the table has the same numbers");
  const table = sortedTable({ caption: "Trainings as they ended", columns: [], noun: "trainings", page: 8 });
  const chart = chartIn(box, (palette, width) => option(state, palette, width));
  function draw() {
    fill(lead, cut(state.given.networks.words, 1000));
    chart.draw();
    table.update(state.given.networks.curve, columns(state));
  }
  return { element: h("div", {}, lead, h("div", { class: "beside" }, box, table.element)), draw };
}

function columns(state) {
  const unit = state.given.scores[0]?.unit ?? "";
  const amount = (name, words, value, of) => ({
    name,
    words,
    numeric: true,
    value,
    text: (row) => (value(row) === null ? "" : quantity(value(row), of)),
  });
  return [
    amount("minutes", "of training by then, of all processes", (row) => row.minutes, "min"),
    {
      name: "network",
      value: (row) => row.id,
      shown: (row) =>
        h("button", { type: "button", class: "link", onclick: () => state.look(row.id) }, named(row)),
    },
    amount("trained", "the share of a full training", (row) => row.share, "%"),
    amount("score", "on validation data", (row) => row.score, unit),
    amount("best so far", "of networks that keep the limits", (row) => row.best, unit),
  ];
}

function named(row) {
  return row.id.replace("-", " ");
}

function option(state, palette, width) {
  const { curve } = state.given.networks;
  const unit = state.given.scores[0]?.unit ?? "";
  const style = axisStyle(palette);
  const best = curve.filter((one) => one.best !== null);
  const full = (one) => one.share === 1;
  const dots = (rows, shape, words) => ({
    type: "scatter",
    name: words,
    symbol: shape,
    symbolSize: shape === "circle" ? 6 : 10,
    itemStyle: { color: shape === "circle" ? "transparent" : palette.accent, borderColor: palette.accent, borderWidth: 1.2 },
    data: rows.map((one) => ({ value: [one.minutes, one.score], one })),
  });
  return {
    textStyle: lettering(palette),
    grid: { left: 60, right: 24, top: 30, bottom: 46, outerBoundsMode: "none" },
    tooltip: tooltip(palette, ({ data }) =>
      data.one === undefined
        ? ["best so far", quantity(data[1], unit)]
        : [
            named(data.one),
            `${quantity(data.one.share, "%")} of a training: ${quantity(data.one.score, unit)}`,
            `after ${quantity(data.one.minutes, "min")}`,
          ],
    ),
    xAxis: {
      ...style,
      type: "value",
      min: 0,
      name: "minutes of training",
      nameLocation: "middle",
      nameGap: 28,
      splitNumber: width < 480 ? 3 : 6,
      splitLine: { show: false },
    },
    yAxis: {
      ...style,
      type: "value",
      scale: true,
      name: "score (higher is better)",
      nameLocation: "end",
      nameGap: 12,
      nameTextStyle: { ...style.nameTextStyle, align: "left", padding: [0, 0, 0, -56] },
      axisLabel: { ...style.axisLabel, formatter: (value) => short(value, unit) },
    },
    series: [
      {
        type: "line",
        step: "end",
        name: "best so far",
        showSymbol: false,
        lineStyle: { color: palette.accent, width: 2 },
        data: best.map((one) => [one.minutes, one.best]),
      },
      dots(
        curve.filter((one) => !full(one)),
        "circle",
        "trained for a part",
      ),
      dots(curve.filter(full), "diamond", "trained fully"),
    ],
  };
}

/** The code of the network, to be read and copied. */
export function codePart(state) {
  const element = h("div", {});
  function draw() {
    const { code, file } = state.given.networks;
    fill(
      element,
      h("p", { class: "lead" }, `Also in ${cut(file, 120)}: plain Python that needs torch and nothing of ours.`),
      h(
        "div",
        { class: "command" },
        h("pre", { tabindex: "0", role: "region", "aria-label": "the network as Python", class: "code" }, h("code", {}, code)),
        copyButton(code, "the code of the network"),
      ),
    );
  }
  return { element, draw };
}
