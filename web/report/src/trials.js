// Tables of points and of the rows of a ledger.

import { h } from "./dom.js";
import { brief, cut, inPoints, moment, quantity, scoreAmount, UNCLEAR } from "./format.js";
import { exchange, noisy, valueOf } from "./pareto.js";
import { order } from "./frontier.js";
import { sortedTable } from "./table.js";

/** The same points as the chart's frontier, for those who read rather than look. */
export function frontierTable(state) {
  const table = sortedTable({
    caption: "The points of the frontier",
    columns: [],
    noun: "points",
    page: 12,
    mark: looked(state),
  });
  state.listen((what) => (what === "axes" ? draw() : table.again()));
  function draw() {
    const along = order(state).filter((point) => state.onFront.has(point.id));
    const before = new Map(along.map((point, at) => [point.id, along[at - 1]]));
    const [x, y] = [state.xAxis, state.yAxis];
    const unclear = (point) => state.drawable && [x, y].some((axis) => noisy(state.given, axis, before.get(point.id), point));
    const rate = (point) => {
      const found = before.get(point.id) && state.drawable ? exchange(before.get(point.id), point, x, y) : null;
      return found && !unclear(point) ? found.each : null;
    };
    const columns = [
      ...base(state),
      {
        name: `${x?.field === "bytes" ? "bytes" : cut(x?.name ?? "", 24)} ${inPoints(y?.unit) ? "per point" : "per 1 of score"}`,
        words: `${x?.name} given or saved against the row before, for each point of ${y?.name}`,
        numeric: true,
        value: rate,
        text: (point) => (unclear(point) ? UNCLEAR : rate(point) === null ? "" : quantity(rate(point), x.unit)),
      },
      pinning(state),
    ];
    table.update(along, columns);
  }
  return { element: table.element, draw };
}

/** All trials. */
export function trialTable(state) {
  const table = sortedTable({ caption: "Trials", columns: [], noun: "trials", mark: looked(state) });
  state.listen((what) => what !== "axes" && table.again());
  function draw() {
    const { given } = state;
    const points = given.points;
    const some = (name) => points.some((point) => point[name] !== null);
    const columns = [
      ...base(state),
      { name: "state", value: (point) => stateWords(point) },
      some("error") && {
        name: "± score",
        words: "standard error of the score's difference",
        numeric: true,
        value: (point) => point.error,
        text: (point) => (point.error === null ? "" : scoreAmount(point.error, given.scores[0]?.unit ?? "")),
      },
      some("minutes") &&
        !given.resources.some((axis) => ["seconds", "minutes"].includes(axis.field)) &&
        numeric("minutes", "minutes that it took", (point) => point.minutes, "min"),
      some("fidelity") && numeric("share of the training", "of the full one", (point) => point.fidelity, ""),
      some("seed") && SEED,
      { name: "note", wide: true, value: (point) => point.note },
      pinning(state),
    ].filter(Boolean);
    table.update(points, columns);
  }
  return { element: table.element, draw };
}

function looked(state) {
  return (point) =>
    [point.id === state.current?.id ? "looked-at" : "", point.state === "ok" ? "" : "bad"].filter(Boolean).join(" ") ||
    null;
}

function numeric(name, words, value, unit) {
  return { name, words, numeric: true, value, text: (row) => (value(row) == null ? "" : quantity(value(row), unit)) };
}

/** The columns that every table of points has. */
function base(state) {
  const { given } = state;
  const called = (point) => (state.names.get(point.id) ?? []).join(", ");
  return [
    {
      name: "made by",
      wide: true,
      value: (point) => point.label,
      text: (point) => `${cut(point.label, 500)} ${called(point)}`,
      shown: (point) =>
        h(
          "button",
          {
            type: "button",
            class: "link",
            title: cut(point.technique, 600) || null,
            onclick: () => state.look(point.id),
          },
          cut(point.label, 90),
          called(point) ? h("span", { class: "tag" }, called(point)) : null,
        ),
    },
    ...[...given.resources, ...given.scores].map((axis) =>
      numeric(axis.name, axis.words, (point) => valueOf(point, axis), axis.unit),
    ),
  ];
}

function pinning(state) {
  return {
    name: "compare",
    value: (point) => state.pins.indexOf(point.id) + 1 || null,
    text: () => "",
    shown: (point) => {
      const at = state.pins.indexOf(point.id);
      return h(
        "button",
        {
          type: "button",
          class: "quiet small",
          "aria-pressed": String(at >= 0),
          "aria-label": `Pin ${cut(point.label, 60)}`,
          onclick: () => state.pin(point.id),
        },
        at < 0 ? "Pin" : "AB"[at],
      );
    },
  };
}

function stateWords(point) {
  if (point.state === "failed") return "failed";
  if (point.state === "nan") return "score is no number";
  return point.fits === null ? "" : point.fits ? "keeps the budget" : "misses the budget";
}

/** The seed of a point, or of a row of a ledger. */
const SEED = { name: "seed", numeric: true, value: (one) => one.seed, text: (one) => String(one.seed ?? "") };

const COSTS = [
  ["bytes", "bytes", "B"],
  ["milliseconds", "ms", "ms"],
];

/** The rows of the ledger. */
export function ledgerTable(state) {
  const table = sortedTable({ caption: "The ledger", columns: [], noun: "rows" });
  function draw() {
    const rows = state.given.ledger;
    const unit = state.given.scores[0]?.unit ?? "";
    const some = (value) => rows.some((row) => value(row) != null && value(row) !== "");
    const text = (name, value, more = {}) => some(value) && { name, value, ...more };
    const value = (name, words, of, kind) => some(of) && numeric(name, words, of, kind);
    const costs = COSTS.flatMap(([field, name, kind]) => [
      value(`${name} before`, "", (row) => row.cost_before[field], kind),
      value(`${name} after`, "", (row) => row.cost_after[field], kind),
    ]);
    table.update(
      rows,
      [
        { name: "row", numeric: true, value: (row) => row.id, text: (row) => String(row.id) },
        { name: "when", value: (row) => row.time, text: (row) => moment(row.time) },
        { name: "kind", value: (row) => row.kind },
        {
          name: "technique",
          wide: true,
          value: (row) => row.gist,
          shown: (row) => h("span", { title: cut(row.technique, 600) }, cut(brief(row.gist), 90)),
        },
        text("task", (row) => row.task),
        some(SEED.value) && SEED,
        value("score before", "", (row) => row.score_before, unit),
        value("score after", "", (row) => row.score_after, unit),
        ...costs,
        text("file", (row) => row.file, { wide: true }),
        text("run", (row) => row.run),
        text("note", (row) => row.note, { wide: true }),
        text("machine", (row) => row.machine, { wide: true }),
      ].filter(Boolean),
    );
  }
  return { element: table.element, draw };
}
