// The parts of the page below the three answers. A part without data is left out.

import { billPart, layersPart } from "./bill.js";
import { commandBox, fill, h } from "./dom.js";
import { cut } from "./format.js";
import { codePart, curvePart } from "./networks.js";
import { sensitivityPart } from "./sensitivity.js";
import { frontierTable, ledgerTable, trialTable } from "./trials.js";

/**
 * A part: its id and heading, whether a document has data for it, the data that it shows, and what draws it.
 * @typedef {{element: HTMLElement, draw: () => void}} Drawn
 * @typedef {{
 *   id: string, name: string, there: (given: any) => boolean, data: (given: any) => any, make: (state: any) => Drawn,
 * }} Part
 */

/** @type {Part[]} */
export const PARTS = [
  {
    id: "curve",
    name: "What time bought",
    make: curvePart,
    there: (given) => (given.networks?.curve.length ?? 0) > 0,
    data: (given) => [given.networks, given.scores],
  },
  {
    id: "code",
    name: "The network as Python",
    make: codePart,
    there: (given) => (given.networks?.code ?? "") !== "",
    data: (given) => given.networks,
  },
  {
    id: "frontier-table",
    name: "The frontier as a table",
    make: frontierTable,
    there: (given) =>
      given.points.some((point) => point.state === "ok") && given.resources.length > 0 && given.scores.length > 0,
    data: (given) => [given.points, given.resources, given.scores, given.named],
  },
  {
    id: "rates",
    name: "Exchange rates",
    make: ratesPart,
    there: (given) => given.rates.length > 0,
    data: (given) => [given.rates, given.points, given.scores],
  },
  {
    id: "bill",
    name: "Where the bytes go",
    make: billPart,
    there: (given) => (given.bill?.rows.length ?? 0) > 0,
    data: (given) => given.bill,
  },
  {
    id: "layers",
    name: "Bits of every layer",
    make: layersPart,
    there: (given) => given.layers.length > 0,
    data: (given) => given.layers,
  },
  {
    id: "sensitivity",
    name: "Which layer hurts",
    make: sensitivityPart,
    there: (given) => (given.sensitivity?.cells.length ?? 0) > 0,
    data: (given) => [given.sensitivity, given.scores],
  },
  {
    id: "trials",
    name: "Trials",
    make: trialTable,
    there: (given) => given.points.length > 0 && given.kind !== "file",
    data: (given) => [given.points, given.resources, given.scores, given.named],
  },
  {
    id: "ledger",
    name: "The ledger",
    make: ledgerTable,
    there: (given) => given.ledger.length > 0,
    data: (given) => [given.ledger, given.scores],
  },
  {
    id: "commands",
    name: "Do it again",
    make: commandsPart,
    there: (given) => given.commands.length > 0,
    data: (given) => [given.commands, given.named, given.after?.id],
  },
  {
    id: "made",
    name: "Made with",
    make: madePart,
    there: (given) => given.machine !== "" || Object.keys(given.versions).length > 0,
    data: (given) => [given.machine, given.versions],
  },
];

/** The parts in an element, with links to those that are there. Returns what draws them for the document of now. */
export function partsIn(element, links, state) {
  const made = new Map();
  return () => {
    const shown = PARTS.filter((part) => part.there(state.given));
    for (const part of PARTS) {
      if (!shown.includes(part)) {
        if (made.has(part.id)) made.get(part.id).section.hidden = true;
        continue;
      }
      if (!made.has(part.id)) made.set(part.id, begin(part, element, state));
      const { section, drawn } = made.get(part.id);
      section.hidden = false;
      // What did not change stays as it is, with its focus and its page.
      const before = made.get(part.id).data;
      const data = part.data(state.given);
      if (before !== null && JSON.stringify(before) === JSON.stringify(data)) continue;
      made.get(part.id).data = data;
      drawn.draw();
    }
    links.parentElement.hidden = shown.length === 0;
    fill(
      links,
      shown.map((part) => h("li", {}, h("a", { href: `#${part.id}` }, part.name))),
    );
  };
}

function begin(part, element, state) {
  const drawn = part.make(state);
  const section = h(
    "section",
    { id: part.id, "aria-labelledby": `${part.id}-name`, class: "part" },
    h("h2", { id: `${part.id}-name` }, part.name),
    drawn.element,
  );
  // In the order of PARTS, whichever came first.
  const after = PARTS.slice(PARTS.indexOf(part) + 1)
    .map((one) => document.getElementById(one.id))
    .find(Boolean);
  element.insertBefore(section, after ?? null);
  return { section, drawn, data: null };
}

/** What is given and got from each point of the frontier to the next. */
function ratesPart(state) {
  const element = h("ul", { class: "rates" });
  const called = (id) => cut(state.byId.get(id)?.label ?? id, 80);
  const draw = () =>
    fill(
      element,
      state.given.rates.map((rate) =>
        h(
          "li",
          {},
          rate.clear === false ? cut(rate.words, 300) : h("strong", {}, cut(rate.words, 300)),
          h("span", { class: "pair" }, `, from ${called(rate.from)} to ${called(rate.to)}`),
        ),
      ),
    );
  return { element, draw };
}

/** The commands; those of every point of the frontier are folded away, since each stands with its point. */
function commandsPart(state) {
  const element = h("div", {});
  const item = (one) =>
    h("li", {}, h("p", {}, cut(one.words, 300)), commandBox(one.command, cut(one.words, 80) || "the command"));
  const draw = () => {
    const { commands } = state.given;
    const first = commands.filter((one) => !one.id || state.names.has(one.id));
    const rest = commands.filter((one) => !first.includes(one));
    fill(
      element,
      h("ul", { class: "commands" }, first.map(item)),
      rest.length
        ? h(
            "details",
            {},
            h("summary", {}, `The other points of the frontier (${rest.length})`),
            h("ul", { class: "commands" }, rest.map(item)),
          )
        : null,
    );
  };
  return { element, draw };
}

function madePart(state) {
  const element = h("dl", { class: "made" });
  const draw = () => {
    const { machine, versions } = state.given;
    fill(
      element,
      machine ? h("div", {}, h("dt", {}, "machine"), h("dd", {}, cut(machine, 300))) : null,
      Object.entries(versions).map(([name, version]) =>
        h("div", {}, h("dt", {}, cut(name, 60)), h("dd", {}, cut(version, 120))),
      ),
    );
  };
  return { element, draw };
}
