// Boxes on a picture: drag them, or make, move and size them by keys.

import { unopened } from "./choice.js";
import { counted, fill, h, say, tint } from "./dom.js";

const LEAST = 2; // pixels of the picture: less is a click
const FIRST = 0.25; // of the picture's sides: a box that a key makes

export class BoxView {
  /**
   * @param {HTMLElement} stage
   * @param {() => string[]} names
   * @param {() => void} changed
   */
  constructor(stage, names, changed) {
    this.stage = stage;
    this.names = names;
    this.changed = changed;
    this.boxes = [];
    this.name = "";
  }

  show(example, image, labels) {
    this.boxes = labels.map((one) => ({ ...one }));
    this.chosen = -1;
    this.drawn = null;
    if (!(image instanceof HTMLImageElement)) {
      this.frame = null;
      fill(this.stage, unopened(example, image ?? new Error("there is no picture")));
      return;
    }
    image.className = "picture";
    image.alt = `the picture ${example.name}`;
    [this.width, this.height] = [image.naturalWidth, image.naturalHeight];
    this.frame = h("div", { class: "frame" }, image);
    this.frame.addEventListener("pointerdown", (event) => this.down(event));
    this.frame.addEventListener("pointermove", (event) => this.moved(event));
    for (const end of ["pointerup", "pointercancel"]) this.frame.addEventListener(end, () => this.up());
    this.list = h("p", { class: "count" });
    fill(this.stage, this.frame, this.list);
    this.draw();
  }

  labels() {
    return this.boxes.map(({ left, top, width, height, name }) => ({ left, top, width, height, name }));
  }

  /** The class of the next box, and of the one that is chosen. */
  mark(name) {
    this.name = name;
    if (this.chosen >= 0) {
      this.boxes[this.chosen].name = name;
      this.draw();
      this.changed();
    }
    say(this.chosen >= 0 ? `box ${this.chosen + 1} is ${name}` : `the next box is ${name}`);
  }

  place(event) {
    const area = this.frame.getBoundingClientRect();
    const inside = (value, most) => Math.min(Math.max(value, 0), most);
    return [
      inside(((event.clientX - area.left) / area.width) * this.width, this.width),
      inside(((event.clientY - area.top) / area.height) * this.height, this.height),
    ];
  }

  down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.frame.setPointerCapture(event.pointerId);
    const from = this.place(event);
    const target = event.target.closest?.(".box");
    const at = target ? Number(target.dataset.at) : -1;
    const sized = event.target.classList.contains("corner");
    if (at >= 0) {
      this.chosen = at;
      this.drag = { from, before: { ...this.boxes[at] }, sized };
      this.draw(true);
    } else {
      this.chosen = -1;
      this.drag = { from, fresh: true };
    }
  }

  moved(event) {
    if (!this.drag) return;
    const [x, y] = this.place(event);
    const { from, before, fresh, sized } = this.drag;
    if (fresh) {
      if (Math.abs(x - from[0]) < LEAST || Math.abs(y - from[1]) < LEAST) return;
      if (this.chosen < 0) {
        const name = this.name || this.names()[0];
        if (!name) return say("add a class first");
        this.chosen = this.boxes.push({ left: 0, top: 0, width: 1, height: 1, name }) - 1;
      }
      Object.assign(this.boxes[this.chosen], {
        left: Math.min(x, from[0]),
        top: Math.min(y, from[1]),
        width: Math.abs(x - from[0]),
        height: Math.abs(y - from[1]),
      });
    } else if (sized) {
      this.size(before.width + x - from[0], before.height + y - from[1]);
    } else {
      this.put(before.left + x - from[0], before.top + y - from[1]);
    }
    this.draw();
  }

  up() {
    if (this.drag && this.chosen >= 0) {
      this.draw(true);
      this.changed();
      const box = this.boxes[this.chosen];
      say(`box ${this.chosen + 1}, ${box.name}`);
    }
    this.drag = null;
  }

  put(left, top) {
    const box = this.boxes[this.chosen];
    box.left = Math.min(Math.max(left, 0), this.width - box.width);
    box.top = Math.min(Math.max(top, 0), this.height - box.height);
  }

  size(width, height) {
    const box = this.boxes[this.chosen];
    box.width = Math.min(Math.max(width, 1), this.width - box.left);
    box.height = Math.min(Math.max(height, 1), this.height - box.top);
  }

  /** Keys that only boxes have. Whether the key was one. */
  key(event) {
    if (!this.frame) return false;
    if (event.key.toLowerCase() === "b" && !event.ctrlKey && !event.metaKey) {
      this.add();
      return true;
    }
    if (this.chosen < 0) return false;
    if (event.key === "Delete") {
      this.remove(this.chosen);
      return true;
    }
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!x && !y) return false;
    const pixels = event.shiftKey ? 10 : 1;
    const box = this.boxes[this.chosen];
    if (event.altKey) this.size(box.width + x * pixels, box.height + y * pixels);
    else this.put(box.left + x * pixels, box.top + y * pixels);
    this.draw(true);
    this.changed();
    return true;
  }

  /** A box in the middle, for those who draw by keys. */
  add() {
    const name = this.name || this.names()[0];
    if (!name) return say("add a class first");
    const [width, height] = [this.width * FIRST, this.height * FIRST];
    this.chosen = this.boxes.push({ left: (this.width - width) / 2, top: (this.height - height) / 2, width, height, name }) - 1;
    this.draw(true);
    this.changed();
    say(`box ${this.chosen + 1}, ${name}: arrows move it, Alt and arrows size it`);
  }

  remove(at) {
    const [gone] = this.boxes.splice(at, 1);
    this.chosen = -1;
    this.draw();
    this.changed();
    if (gone) say(`removed box ${at + 1}, ${gone.name}`);
  }

  /** Take the boxes back one by one, the last first. Whether there was one. */
  undo() {
    if (!this.boxes.length) return false;
    this.remove(this.boxes.length - 1);
    return true;
  }

  /** `focus`: put the focus on the chosen box. */
  draw(focus = false) {
    const names = this.names();
    for (const old of this.frame.querySelectorAll(".box")) old.remove();
    this.boxes.forEach((box, at) => {
      const label = `Box ${at + 1}, ${box.name}: ${Math.round(box.left)}, ${Math.round(box.top)}, ${Math.round(box.width)} by ${Math.round(box.height)} pixels`;
      const element = h("div", { class: "box", role: "button", tabindex: "0", "data-at": at, "aria-label": label, "aria-pressed": String(at === this.chosen) });
      element.append(h("span", { class: "box-name", "aria-hidden": "true" }, box.name), h("span", { class: "corner", "aria-hidden": "true" }));
      element.addEventListener("focus", () => this.focused(at));
      Object.assign(element.style, {
        left: `${(100 * box.left) / this.width}%`,
        top: `${(100 * box.top) / this.height}%`,
        width: `${(100 * box.width) / this.width}%`,
        height: `${(100 * box.height) / this.height}%`,
      });
      tint(element, names.indexOf(box.name));
      this.frame.append(element);
      if (focus && at === this.chosen) element.focus({ preventScroll: true });
    });
    fill(this.list, counted(this.boxes.length, "box", "boxes"), this.name && `, the next is ${this.name}`);
  }

  focused(at) {
    if (this.chosen === at || this.drag) return;
    this.chosen = at;
    for (const one of this.frame.querySelectorAll(".box")) one.setAttribute("aria-pressed", String(Number(one.dataset.at) === at));
  }
}
