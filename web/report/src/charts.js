// ECharts, with what this page draws and no more; colours come from the style sheet.

import * as echarts from "echarts/core";
import { BarChart, HeatmapChart, LineChart, ScatterChart, TreemapChart } from "echarts/charts";
import {
  AriaComponent,
  DataZoomComponent,
  GridComponent,
  MarkAreaComponent,
  MarkLineComponent,
  TooltipComponent,
  VisualMapComponent,
} from "echarts/components";
import { LabelLayout } from "echarts/features";
import { SVGRenderer } from "echarts/renderers";

import { h } from "./dom.js";

echarts.use([
  AriaComponent,
  BarChart,
  DataZoomComponent,
  GridComponent,
  HeatmapChart,
  LabelLayout,
  LineChart,
  MarkAreaComponent,
  MarkLineComponent,
  ScatterChart,
  SVGRenderer,
  TooltipComponent,
  TreemapChart,
  VisualMapComponent,
]);

const NAMES = [
  "card",
  "ink",
  "muted",
  "rule",
  "accent",
  "accent-soft",
  "accent-ink",
  "region",
  "hue-1",
  "hue-2",
  "hue-3",
  "hue-4",
  "hue-5",
  "hue-6",
  "hue-7",
  "low",
  "middle",
  "high",
];

/** The colours of the style sheet, as they are now: {ink, muted, …}. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** The text style of every chart. */
export function lettering(palette) {
  return { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12, color: palette.ink };
}

/** A slider along the rows of a chart, of which it shows `most` at once. */
export function rowSlider(palette, most) {
  return {
    type: "slider",
    yAxisIndex: 0,
    startValue: 0,
    endValue: most - 1,
    width: 14,
    right: 4,
    showDetail: false,
    brushSelect: false,
    borderColor: palette.rule,
    fillerColor: palette["accent-soft"],
  };
}

/** The style of an axis. */
export function axisStyle(palette) {
  return {
    axisLine: { show: true, lineStyle: { color: palette.muted } },
    axisTick: { lineStyle: { color: palette.muted } },
    axisLabel: { color: palette.muted, hideOverlap: true },
    nameTextStyle: { color: palette.ink, fontWeight: 600 },
    splitLine: { lineStyle: { color: palette.rule } },
  };
}

/** A tooltip whose content is made of elements, so that text stays text. */
export function tooltip(palette, lines) {
  return {
    trigger: "item",
    confine: true,
    transitionDuration: 0,
    backgroundColor: palette.card,
    borderColor: palette.muted,
    textStyle: { color: palette.ink, fontSize: 12 },
    formatter: (given) =>
      h(
        "div",
        { class: "tip" },
        lines(given)
          .filter(Boolean)
          .map((line, at) => h(at ? "div" : "strong", {}, line)),
      ),
  };
}

const live = new Set();
const waiting = new WeakMap();
const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting) wake(entry.target);
  },
  { rootMargin: "400px" },
);

function wake(element) {
  seen.unobserve(element);
  waiting.get(element)?.();
  waiting.delete(element);
}

/**
 * A chart in an element. Nothing is drawn before the reader comes near, which keeps the opening fast.
 *
 * `option`: makes ECharts' option from the palette; it is asked again when colours or width change.
 * Returns {draw, element, chart}: `draw` draws anew, `chart()` is ECharts' own, null until the first drawing.
 */
export function chartIn(element, option, { eager = false, ready = (/** @type {any} */ _) => {} } = {}) {
  let chart = null;
  let width = 0;
  const shown = () => {
    if (element.clientWidth === 0) return;
    if (chart === null) {
      chart = echarts.init(element, null, { renderer: "svg" });
      ready(chart);
    } else chart.resize();
    width = element.clientWidth;
    chart.setOption(
      { animation: false, ...option(colours(), width) },
      { replaceMerge: ["series", "dataZoom", "visualMap"] },
    );
  };
  const draw = () => {
    if (chart !== null || eager) shown();
    else {
      waiting.set(element, shown);
      seen.observe(element);
    }
  };
  const sizes = new ResizeObserver(() => {
    if (chart !== null && Math.abs(element.clientWidth - width) > 1) shown();
  });
  sizes.observe(element);
  live.add({ element, draw });
  return { draw, element, chart: () => chart };
}

/** Draw every chart again, for other colours. */
export function redrawAll() {
  for (const one of live) one.draw();
}

/** Draw those too that nobody has come near yet, for paper. */
export function drawAllNow() {
  for (const one of live) if (waiting.has(one.element)) wake(one.element);
}

/** A box for a chart, with words for those who do not see it. */
export function chartBox(kind, words) {
  return h("div", { class: `chart ${kind}`, role: "img", "aria-label": words });
}
