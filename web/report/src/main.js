// The page: reads its document, shows the three answers and the parts, and follows a server where there is one.

import { drawAllNow } from "./charts.js";
import { fill, h } from "./dom.js";
import { count, cut, moment, quantity } from "./format.js";
import { frontierChart, sentence } from "./frontier.js";
import { beforeAfter, showHeadline } from "./headline.js";
import { follow } from "./live.js";
import { axisOf } from "./pareto.js";
import { showComparison, showDetails } from "./point.js";
import { partsIn } from "./sections.js";
import { State } from "./state.js";
import { themeButton } from "./theme.js";

const MOST_NOTES = 12;
const at = (id) => document.getElementById(id);

/** @returns {import("../document.d.ts").Document} */
function read() {
  const element = at("document");
  if (element === null) throw new Error("this page has no document in it: `shoestring report` puts it there");
  const given = JSON.parse(element.textContent);
  if (given.schema !== 1)
    throw new Error(`this page reads documents of schema 1, and this is one of schema ${cut(given.schema, 20)}`);
  return given;
}

function begin() {
  const state = new State(read());
  const announce = (words) => fill(at("said"), words);
  const chart = frontierChart(state, announce);
  at("chart").append(chart.element);
  const drawParts = partsIn(at("parts"), at("links"), state);

  function points() {
    showDetails(at("details"), state);
    showComparison(at("comparison"), state);
  }
  state.listen((what) => {
    points();
    if (what === "pins")
      announce(state.pins.length === 2 ? "Two points are pinned: they are compared." : sentence(state));
  });

  function draw() {
    const { given } = state;
    const shown = `${cut(given.title, 120)}: Shoestring report`;
    if (document.title !== shown) document.title = shown;
    showHeadline(at("headline"), given);
    fill(
      at("notes"),
      given.notes.slice(0, MOST_NOTES).map((note) => h("li", {}, cut(note, 600))),
      given.notes.length > MOST_NOTES ? h("li", {}, `${count(given.notes.length - MOST_NOTES, "more note")}.`) : null,
    );
    at("notes").hidden = given.notes.length === 0;
    fill(at("stamp"), [moment(given.made), `shoestring ${cut(given.version, 40)}`].filter(Boolean).join(" · "));
    const table = beforeAfter(given);
    fill(at("answers"), table);
    showBudget(at("budget"), given);
    const choices = ["study", "networks"].includes(given.kind) || state.placed.length > 0;
    at("got").hidden = (table === null && given.budget === null) || (given.kind === "file" && given.before === null);
    at("else").hidden = !choices;
    at("point").hidden = !choices || state.current === null;
    at("compare").hidden = !choices || state.byId.size < 2;
    const alone = Boolean(at("got").hidden);
    at("top").hidden = alone && !choices;
    at("top").classList.toggle("alone", alone);
    if (choices) {
      chart.draw();
      points();
    }
    drawParts();
  }

  if (state.given.kind === "networks")
    fill(at("measured"), "Every number was measured, unless a note says that it is an estimate.");
  themeButton(at("theme"));
  draw();
  addEventListener("beforeprint", drawAllNow);
  if (state.given.live) {
    fill(at("reach"), "This page asks the server that sent it for news, and nobody else.");
    follow(at("live"), state.given, (given) => {
      state.take(given);
      draw();
    });
  }
  document.documentElement.dataset.ready = "yes";
}

function showBudget(element, given) {
  const { budget } = given;
  element.hidden = budget === null;
  if (budget === null) return;
  const [met, kind] = budget.met === null ? ["undecided", null] : budget.met ? ["kept", "kept"] : ["missed", "missed"];
  const limits = budget.limits.filter((limit) => limit.measured != null);
  fill(
    element,
    h(
      "p",
      {},
      h("b", {}, "Budget "),
      h("b", { class: kind }, met),
      ": ",
      h("code", {}, cut(budget.text, 200) || "none given"),
    ),
    limits.map((limit) => {
      const shown = quantity(limit.measured, limit.field === "time" ? "s" : (axisOf(given, limit.field)?.unit ?? ""));
      const [mark, words] = limit.kept === null ? ["?", "undecided"] : limit.kept ? ["✓", "kept"] : ["✗", "missed"];
      return h(
        "p",
        { class: "limit" },
        h("span", { class: limit.kept === null ? null : words }, `${mark} ${words}`),
        ` ${cut(limit.words, 80)}; measured ${shown}`,
      );
    }),
  );
}

try {
  begin();
} catch (error) {
  fill(at("headline"), "This report cannot be shown");
  fill(at("notes"), h("li", {}, cut(error.message, 400)));
  at("notes").hidden = false;
  at("top").hidden = true;
  console.error(error);
}
