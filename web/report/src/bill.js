// Where the bytes of the file go, and how many bits each layer has.

import { chartBox, chartIn, lettering, axisStyle, rowSlider, tooltip } from "./charts.js";
import { fill, h } from "./dom.js";
import { count, cut, number, quantity, short, shortener } from "./format.js";
import { sortedTable } from "./table.js";

const HUES = { codes: "hue-1", values: "hue-2", description: "hue-3", graph: "hue-4", frame: "hue-5" };
const FURTHER = ["hue-6", "hue-7"];
const MOST_AREAS = 36; // tensors with an area of their own

/** The treemap of the bill, with the same as a table. */
export function billPart(state) {
  const intro = h("p", { class: "lead" });
  const keys = h("ul", { class: "keys" });
  const box = chartBox("bill", "The bytes of the file as areas; the table beside it has the same numbers");
  const chart = chartIn(box, (palette) => treemap(state.given.bill, palette));
  const table = sortedTable({
    caption: "The bytes of the file",
    columns: columns(state),
    noun: "entries",
    page: 12,
    order: { column: "bytes", down: true },
  });
  const element = h("div", { class: "beside" }, h("div", {}, intro, keys, box), table.element);
  function draw() {
    const { bill } = state.given;
    const hues = hueOf(bill);
    const tensors = new Set(bill.rows.map((row) => row.tensor).filter(Boolean));
    const sums = sumsBy(bill.rows, (row) => row.section);
    fill(
      intro,
      `${quantity(bill.total, "B")} in ${count(tensors.size, "tensor")}. `,
      "Each area is a tensor, and in it a section of the file.",
      bill.rows
        .filter((row) => row.tensor === "" && row.words)
        .slice(0, 3)
        .map((row) => ` The ${cut(row.section, 30)}: ${cut(row.words, 120)}.`),
    );
    fill(
      keys,
      [...sums]
        .sort((a, b) => b[1] - a[1])
        .map(([section, bytes]) =>
          h(
            "li",
            {},
            h("span", { class: `swatch ${hues.get(section)}`, "aria-hidden": "true" }),
            `${cut(section, 30)} ${quantity(bytes, "B")}`,
          ),
        ),
    );
    chart.draw();
    table.update(bill.rows, columns(state));
  }
  return { element, draw };
}

function columns(state) {
  const named = namerOf(state.given.bill);
  const total = () => state.given.bill?.total || 1;
  return [
    {
      name: "tensor",
      value: (row) => row.tensor || row.section,
      shown: (row) => h("span", { title: cut(row.words, 300) || null }, named(row.tensor || row.section, 36)),
    },
    { name: "section", value: (row) => row.section },
    { name: "bytes", numeric: true, value: (row) => row.bytes, text: (row) => number(row.bytes) },
    {
      name: "share",
      numeric: true,
      value: (row) => row.bytes / total(),
      text: (row) => `${number((100 * row.bytes) / total(), 2)} %`,
    },
  ];
}

function sumsBy(rows, key) {
  const sums = new Map();
  for (const row of rows) sums.set(key(row), (sums.get(key(row)) ?? 0) + row.bytes);
  return sums;
}

/** The hue of each section: those that every file has keep theirs. */
function hueOf(bill) {
  const others = [...new Set(bill.rows.map((row) => row.section))].filter((section) => !Object.hasOwn(HUES, section));
  /** @type {[string, string][]} */
  const further = others.map((section, at) => [section, FURTHER[at % FURTHER.length]]);
  return new Map([...Object.entries(HUES), ...further]);
}

function namerOf(bill) {
  return shortener(bill?.rows.map((row) => row.tensor).filter(Boolean) ?? []);
}

/** The rows of each tensor, the largest first; where there are many tensors, the small ones together. */
function grouped(bill) {
  const groups = new Map();
  for (const row of bill.rows) {
    const name = row.tensor || row.section;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  const bytes = (rows) => rows.reduce((sum, row) => sum + row.bytes, 0);
  const sorted = [...groups].sort(([, a], [, b]) => bytes(b) - bytes(a));
  if (sorted.length <= MOST_AREAS) return sorted;
  const rest = sorted.slice(MOST_AREAS - 1);
  const name = `${rest.length} smaller ones`;
  const sums = sumsBy(
    rest.flatMap(([, rows]) => rows),
    (row) => row.section,
  );
  const rows = [...sums].map(([section, sum]) => ({ tensor: name, section, bytes: sum, words: "" }));
  return [...sorted.slice(0, MOST_AREAS - 1), [name, rows]];
}

function treemap(bill, palette) {
  const hues = hueOf(bill);
  const named = namerOf(bill);
  const leaf = (row) => ({
    name: cut(row.section, 40),
    value: row.bytes,
    about: row.words,
    of: row.tensor,
    itemStyle: { color: palette[hues.get(row.section)] },
  });
  const data = grouped(bill).map(([name, rows]) => ({
    // Its colour is seen where the sections are too small to be drawn.
    itemStyle: { color: leaf(rows.reduce((most, row) => (row.bytes > most.bytes ? row : most))).itemStyle.color },
    name: named(name, 40),
    value: rows.reduce((sum, row) => sum + row.bytes, 0),
    children: rows.map(leaf),
  }));
  return {
    textStyle: lettering(palette),
    aria: { enabled: false },
    tooltip: tooltip(palette, ({ data: node, name, value }) => [
      node?.of ? cut(node.of, 120) : name,
      node?.of ? `${name}: ${quantity(value, "B")}` : quantity(value, "B"),
      cut(node?.about, 160),
    ]),
    series: [
      {
        type: "treemap",
        data,
        left: 0,
        right: 0,
        top: 0,
        bottom: 0,
        roam: false,
        nodeClick: false,
        breadcrumb: { show: false },
        visibleMin: 1,
        // A few letters say nothing.
        labelLayout: ({ rect }) => (rect.width < NARROW ? { x: -NARROW * 100 } : {}),
        childrenVisibleMin: 1,
        label: {
          show: true,
          color: "#fff",
          fontSize: 12,
          lineHeight: 16,
          opacity: 1,
          overflow: "truncate",
          formatter: ({ name, value }) => `${name}\n${short(value, "B")}`,
        },
        upperLabel: {
          show: true,
          height: 18,
          color: palette.ink,
          fontSize: 11.5,
          opacity: 1,
          overflow: "truncate",
          formatter: ({ name, value }) => `${name}  ${short(value, "B")}`,
        },
        itemStyle: { borderColor: palette.card, gapWidth: 1 },
        levels: [
          { itemStyle: { borderWidth: 0, gapWidth: 3, borderColor: palette.card }, upperLabel: { show: false } },
          { itemStyle: { borderColor: palette.rule, borderWidth: 2, gapWidth: 1 } },
        ],
        emphasis: { itemStyle: { borderColor: palette.ink }, upperLabel: { color: palette.ink } },
      },
    ],
  };
}

const NARROW = 34; // pixels of a tile that has no room for words
const BAR = 24; // pixels for a layer
const MOST = 24; // layers that are seen at once

/** Bits of each layer as bars, with the same as a table. */
export function layersPart(state) {
  const intro = h("p", { class: "lead" });
  const box = chartBox("layers", "Bits for each number of every tensor; the table beside it has the same numbers");
  const drawn = () => {
    const real = state.given.layers.filter(
      (layer) => layer.numbers > 1 && !/\bscalar\b/.test(layer.kind) && layer.tensor !== "constant",
    );
    return real.length ? real : state.given.layers;
  };
  const chart = chartIn(box, (palette, width) => bars(drawn(), palette, width));
  const table = sortedTable({ caption: "Layers and their bits", columns: [], noun: "tensors", page: 12 });
  const element = h("div", { class: "beside" }, h("div", {}, intro, box), table.element);
  function draw() {
    const { layers } = state.given;
    const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
    const numbers = layers.reduce((sum, layer) => sum + layer.numbers, 0);
    fill(
      intro,
      `${number((8 * bytes) / (numbers || 1), 3)} bits for each of ${number(numbers)} numbers, measured in the file; a float32 has 32.`,
      drawn().length < layers.length
        ? ` ${count(layers.length - drawn().length, "scalar or constant", "scalars and constants")} in the table alone.`
        : "",
    );
    box.style.height = `${Math.min(drawn().length, MOST) * BAR + 64}px`;
    chart.draw();
    table.update(layers, layerColumns(shortener(layers.map((layer) => layer.tensor))));
  }
  return { element, draw };
}

const layerColumns = (named) => [
  {
    name: "tensor",
    value: (row) => row.tensor,
    shown: (row) => h("span", { title: cut(row.tensor, 300) }, named(row.tensor, 36)),
  },
  { name: "numbers", numeric: true, value: (row) => row.numbers, text: (row) => number(row.numbers) },
  { name: "bits", numeric: true, value: (row) => row.bits, text: (row) => number(row.bits, 3) },
  {
    name: "zeros",
    words: "share of the numbers that are 0",
    numeric: true,
    value: (row) => row.zeros,
    text: (row) => (row.zeros === null ? "" : `${number(100 * row.zeros, 3)} %`),
  },
  { name: "bytes", numeric: true, value: (row) => row.bytes, text: (row) => number(row.bytes) },
  { name: "kind", value: (row) => row.kind },
];

function bars(layers, palette, width) {
  const named = shortener(layers.map((layer) => layer.tensor));
  const style = axisStyle(palette);
  const room = width < 480 ? 110 : 190;
  const many = layers.length > MOST;
  return {
    textStyle: lettering(palette),
    grid: { left: room, right: many ? 58 : 46, top: 6, bottom: 40 },
    tooltip: tooltip(palette, ({ dataIndex: at }) => {
      const layer = layers[at];
      return [
        cut(layer.tensor, 120),
        `${number(layer.bits, 3)} bits for each of ${number(layer.numbers)} numbers`,
        `${quantity(layer.bytes, "B")}, ${cut(layer.kind, 80)}`,
      ];
    }),
    xAxis: { ...style, type: "value", name: "bits a number", nameLocation: "middle", nameGap: 26 },
    yAxis: {
      ...style,
      type: "category",
      inverse: true,
      data: layers.map((layer, at) => String(at)),
      axisTick: { show: false },
      axisLabel: {
        color: palette.ink,
        interval: 0,
        formatter: (at) => named(layers[at]?.tensor, Math.floor(room / 7.2)),
      },
    },
    dataZoom: many ? [rowSlider(palette, MOST)] : [],
    series: [
      {
        type: "bar",
        data: layers.map((layer) => layer.bits),
        barMaxWidth: 14,
        itemStyle: { color: palette.accent, borderRadius: [0, 2, 2, 0] },
        label: { show: true, position: "right", color: palette.muted, formatter: ({ value }) => number(value, 3) },
      },
    ],
  };
}
