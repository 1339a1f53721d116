// The classes as buttons: by key, by arrows, by pointer, or by a part of their names.

import { fill, h, tint } from "./dom.js";
import { keysOf } from "./keys.js";

const FILTERED_FROM = 12; // classes
const EDGE = 4; // pixels: the list's padding

export class Classes {
  /**
   * @param {{list: HTMLElement, row: HTMLElement, filter: HTMLInputElement}} parts
   * @param {(name: string) => void} take
   */
  constructor({ list, row, filter }, take) {
    this.list = list;
    this.row = row;
    this.filter = filter;
    this.take = take;
    this.names = [];
    this.keys = [];
    this.drawn = false;
    this.at = -1;
    filter.addEventListener("input", () => this.find());
    filter.addEventListener("keydown", (event) => this.filterKey(event));
  }

  set(names) {
    if (this.drawn && names.length === this.names.length && names.every((name, at) => name === this.names[at])) return;
    this.drawn = true;
    const kept = new Map(this.names.map((name, at) => [name, this.keys[at]]).filter(([, key]) => key));
    this.keys = keysOf(names, kept);
    this.names = names;
    this.row.hidden = names.length < FILTERED_FROM;
    fill(
      this.list,
      names.map((name, at) => {
        const key = this.keys[at] && h("kbd", {}, this.keys[at]);
        const button = h("button", { type: "button", class: "class", "data-at": at, onclick: () => this.take(name) }, key, h("span", {}, name));
        // A part of a text stays selected while its class is tapped.
        button.addEventListener("pointerdown", (event) => event.preventDefault());
        return tint(button, at);
      }),
    );
    if (!names.length) fill(this.list, h("p", {}, "There is no class yet: write the name of the first one, and press Enter."));
    this.point(this.at);
  }

  /** Point at a class; -1 for none. */
  point(at) {
    this.at = at >= 0 && at < this.names.length ? at : -1;
    for (const button of this.list.querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
    const button = this.button(this.at);
    button?.setAttribute("aria-current", "true");
    if (button) this.reveal(button);
  }

  /** Scroll the list, and never the page, until a button of it shows. */
  reveal(button) {
    const [inner, outer] = [button.getBoundingClientRect(), this.list.getBoundingClientRect()];
    if (inner.top < outer.top) this.list.scrollTop -= outer.top - inner.top + EDGE;
    else if (inner.bottom > outer.bottom) this.list.scrollTop += inner.bottom - outer.bottom + EDGE;
  }

  button(at) {
    return this.list.querySelector(`button[data-at="${at}"]`);
  }

  move(step) {
    const seen = this.names.map((_, at) => at).filter((at) => this.button(at)?.hidden === false);
    if (!seen.length) return;
    const now = seen.indexOf(this.at);
    this.point(seen[(now < 0 ? (step > 0 ? 0 : seen.length - 1) : now + step + seen.length) % seen.length]);
  }

  /** Show the classes whose names have the words of the filter. */
  find() {
    const wanted = this.filter.value.trim().toLowerCase();
    let first = -1;
    this.names.forEach((name, at) => {
      const button = this.button(at);
      button.hidden = !name.toLowerCase().includes(wanted);
      if (first < 0 && !button.hidden) first = at;
    });
    if (wanted) this.point(first);
  }

  filterKey(event) {
    if (event.key === "Enter" && this.at >= 0) {
      event.preventDefault();
      event.stopPropagation();
      const name = this.names[this.at];
      this.clear();
      this.take(name);
    } else if (event.key === "Escape") {
      this.clear();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.move(event.key === "ArrowDown" ? 1 : -1);
    }
  }

  clear() {
    this.filter.value = "";
    this.find();
    this.filter.blur();
  }
}
