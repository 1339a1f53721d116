// Parts of a text: select them, by pointer or by keys, and press the key of the class.

import { table } from "./choice.js";
import { fill, h, say, tint } from "./dom.js";
import { Places } from "./text_places.js";

export class SpanView {
  /**
   * @param {HTMLElement} stage
   * @param {() => string[]} names
   * @param {() => void} changed
   */
  constructor(stage, names, changed) {
    this.stage = stage;
    this.names = names;
    this.changed = changed;
    this.marks = [];
  }

  show(example, image, labels) {
    this.text = example.text ?? "";
    this.places = new Places(this.text);
    this.marks = labels.map((one) => ({ start: this.places.unit(one.start), end: this.places.unit(one.end), name: one.name }));
    this.chosen = -1;
    this.word = null;
    this.box = h("div", { class: "text spans", tabindex: "0", dir: "auto", role: "region", "aria-label": "The text, to mark parts of" });
    this.list = h("ul", { class: "marks", "aria-label": "What is marked" });
    const more = Object.keys(example.fields).length > 0;
    fill(this.stage, this.box, this.list, more && h("details", {}, h("summary", {}, "Other columns"), table(example.fields)));
    this.draw();
  }

  labels() {
    const sorted = [...this.marks].sort((a, b) => a.start - b.start || a.end - b.end);
    return sorted.map(({ start, end, name }) => ({ start: this.places.points(start), end: this.places.points(end), name }));
  }

  /** What is selected, in units; null for nothing. */
  selected() {
    const selection = getSelection();
    if (!selection || selection.isCollapsed || selection.rangeCount === 0) return null;
    const range = selection.getRangeAt(0);
    if (!this.box.contains(range.startContainer) || !this.box.contains(range.endContainer)) return null;
    const before = document.createRange();
    before.setStart(this.box, 0);
    before.setEnd(range.startContainer, range.startOffset);
    const start = before.toString().length;
    before.setEnd(range.endContainer, range.endOffset);
    return this.places.trimmed(start, before.toString().length);
  }

  /** Mark what is selected, or give the chosen mark another class. */
  mark(name) {
    const found = this.selected();
    if (found) {
      const [start, end] = found;
      const same = this.marks.find((one) => one.start === start && one.end === end);
      if (same) same.name = name;
      else this.marks.push({ start, end, name });
      this.word = this.words().findIndex(([, last]) => last >= end);
      getSelection()?.removeAllRanges();
      say(`marked ${this.text.slice(start, end).slice(0, 80)} as ${name}`);
    } else if (this.chosen >= 0) {
      this.marks[this.chosen].name = name;
    } else {
      say("select a part of the text first: by pointer, or with the arrow keys");
      return;
    }
    this.draw();
    this.changed();
  }

  remove(at) {
    const [gone] = this.marks.splice(at, 1);
    this.chosen = -1;
    if (gone) say(`removed ${gone.name}`);
    this.draw();
    this.changed();
  }

  words() {
    return this.places.words();
  }

  /** Keys that only a text has. Whether the key was one. */
  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && this.words().length) {
      this.move(step, event.shiftKey);
      return true;
    }
    if (event.key === "Delete" && this.chosen >= 0) {
      this.remove(this.chosen);
      return true;
    }
    return false;
  }

  /** Take the marks back one by one, the last first. Whether there was one. */
  undo() {
    if (!this.marks.length) return false;
    this.remove(this.marks.length - 1);
    return true;
  }

  /** Select the next word, or reach it too. */
  move(step, further) {
    const words = this.words();
    const last = words.length - 1;
    const to = Math.min(Math.max((this.word ?? (step > 0 ? -1 : words.length)) + step, 0), last);
    this.from = further && this.from !== undefined && this.selected() ? this.from : to;
    this.word = to;
    const [start, end] = [words[Math.min(this.from, to)][0], words[Math.max(this.from, to)][1]];
    const [first, firstAt] = this.nodeAt(start);
    const [other, otherAt] = this.nodeAt(end);
    getSelection()?.setBaseAndExtent(first, firstAt, other, otherAt);
    (first.parentElement ?? this.box).scrollIntoView?.({ block: "nearest" });
    say(this.text.slice(start, end).slice(0, 80));
  }

  /** The text node of a unit, and the place in it. */
  nodeAt(unit) {
    const walker = document.createTreeWalker(this.box, NodeFilter.SHOW_TEXT);
    let left = unit;
    let node = walker.nextNode();
    for (let next = node; next; next = walker.nextNode()) {
      node = next;
      if (left <= next.data.length) break;
      left -= next.data.length;
    }
    return [node ?? this.box, node ? Math.min(left, node.data.length) : 0];
  }

  draw() {
    const names = this.names();
    const edges = [...new Set([0, this.text.length, ...this.marks.flatMap((one) => [one.start, one.end])])].sort((a, b) => a - b);
    const parts = edges.slice(1).map((end, at) => {
      const part = this.text.slice(edges[at], end);
      const over = this.marks.filter((one) => one.start <= edges[at] && end <= one.end);
      if (!over.length) return part;
      const inner = over[over.length - 1];
      const ends = over.filter((one) => one.end === end).map((one) => one.name);
      const element = h("mark", { "data-ends": ends.join(" ") || null, onclick: () => this.choose(this.marks.indexOf(inner)) }, part);
      if (over.includes(this.marks[this.chosen])) element.classList.add("chosen");
      return tint(element, names.indexOf(inner.name));
    });
    fill(this.box, parts);
    fill(
      this.list,
      this.marks.map((one, at) => {
        const words = this.text.slice(one.start, one.end);
        const cut = words.length > 60 ? `${[...words].slice(0, 60).join("")}…` : words;
        const item = h("li", {}, h("b", {}, one.name), " ", cut, " ");
        item.append(h("button", { type: "button", class: "quiet", "aria-label": `Remove ${one.name}: ${cut}`, onclick: () => this.remove(at) }, "×"));
        return tint(item, names.indexOf(one.name));
      }),
    );
  }

  choose(at) {
    if (getSelection()?.isCollapsed === false) return;
    this.chosen = this.chosen === at ? -1 : at;
    this.draw();
  }
}
