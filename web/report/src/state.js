// What the reader chose. It outlives the documents that a server sends.

import { brief } from "./format.js";
import { axisOf, comparedOf, frontierOf, placed, useful } from "./pareto.js";

/** @typedef {import("../document.d.ts").Document} Document */
/** @typedef {import("../document.d.ts").Point} Point */
/** @typedef {import("../document.d.ts").Axis} Axis */

/** The document with what the reader chose of it; tells those who listen when either changes. */
export class State {
  /** @param {Document} given */
  constructor(given) {
    this.listeners = [];
    this.x = null;
    this.y = null;
    this.logarithmic = null; // null: as the axis says
    this.everything = false; // whether the far points are in the picture too
    this.active = null; // the id of the point that is looked at; null: the delivered one
    this.pins = [];
    this.take(given);
  }

  /** Another document, which keeps the choices as far as it can. */
  take(given) {
    for (const point of [given.before, ...given.points, given.after].filter(Boolean)) {
      bare(point);
      point.label = brief(point.label);
    }
    this.given = given;
    this.byId = new Map(allPoints(given).map((point) => [point.id, point]));
    this.names = namesOf(given);
    this.pins = this.pins.filter((id) => this.byId.has(id));
    if (this.active !== null && !this.byId.has(this.active)) this.active = null;
    this.settle();
  }

  /** The axes, the frontier of them and who is looked at, from what was chosen. */
  settle() {
    const { given } = this;
    this.xAxis = axisOf(given, this.x) ?? given.resources[0] ?? given.scores[1] ?? null;
    this.yAxis = axisOf(given, this.y) ?? given.scores[0] ?? given.resources[1] ?? null;
    this.drawable = this.xAxis !== null && this.yAxis !== null;
    const points = [...this.byId.values()];
    this.placed = this.drawable ? points.filter((point) => placed(point, this.xAxis, this.yAxis)) : [];
    this.front = this.drawable
      ? frontierOf(useful(comparedOf(given), this.yAxis), this.xAxis, this.yAxis)
      : [];
    this.onFront = new Set(this.front.map((point) => point.id));
  }

  /** The point that is looked at: the chosen one, or the delivered one, or the first of the frontier. */
  get current() {
    return (
      this.byId.get(this.active) ?? this.byId.get(this.given.after?.id) ?? this.front[0] ?? this.given.points[0] ?? null
    );
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  tell(what) {
    for (const listener of this.listeners) listener(what);
  }

  choose(changes) {
    Object.assign(this, changes);
    this.settle();
    this.tell("axes");
  }

  look(id) {
    if (id === this.active) return;
    this.active = id;
    this.tell("active");
  }

  /** Pin a point, or let it go; a third pin takes the place of the second. */
  pin(id) {
    if (this.pins.includes(id)) this.pins = this.pins.filter((one) => one !== id);
    else this.pins = [...this.pins.slice(0, 1), id];
    this.tell("pins");
  }

  unpin() {
    this.pins = [];
    this.tell("pins");
  }
}

/** What was measured has the names that tasks give it, and one may be "constructor". */
function bare(point) {
  for (const values of [point.costs, point.scores, point.intervals]) Object.setPrototypeOf(values, null);
}

/** The model that came in and every point, each once. */
export function allPoints(given) {
  const points = new Map();
  for (const point of [given.before, ...given.points, given.after]) {
    if (point && !points.has(point.id)) points.set(point.id, point);
  }
  return [...points.values()];
}

/** What points are called: id -> ["delivered", "tiny"]. */
function namesOf(given) {
  const names = new Map();
  const add = (id, name) => names.set(id, [...(names.get(id) ?? []), name]);
  if (given.before) add(given.before.id, "before");
  if (given.after) add(given.after.id, given.working ? "best so far" : "delivered");
  for (const name of ["free", "balanced", "tiny"]) if (given.named[name]) add(given.named[name], name);
  for (const [name, id] of Object.entries(given.named)) if (!["free", "balanced", "tiny"].includes(name)) add(id, name);
  return names;
}
