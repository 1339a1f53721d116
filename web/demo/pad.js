// The pad that one draws on, with a mouse, a finger, a pen or the keyboard.

import { asMnist, CELLS } from "./picture.js";

const STROKE = 2.3; // cells that a line is wide; a digit of MNIST has lines of 2 to 3
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAST = 4; // cells that an arrow moves with Shift

/** Fires "change" on the canvas when the drawing is another; whoever paints on the canvas fires it too. */
export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas square, see-through where nothing is drawn
   * @param {HTMLElement} cursor is moved to where the keyboard draws
   * @param {(words: string) => void} say tells a screen reader what the keyboard did
   */
  constructor(canvas, cursor, say) {
    Object.assign(this, { canvas, cursor, say, stroke: null, penIsDown: false, held: new Set(), at: [CELLS / 2, CELLS / 4] });
    this.isExample = false;
    this.ink = canvas.getContext("2d", { willReadFrequently: true });
    this.cell = canvas.width / CELLS;
    for (const [name, act] of Object.entries({
      pointerdown: (event) => this.begin(event),
      pointermove: (event) => this.move(event),
      pointerup: () => (this.stroke = null),
      pointercancel: () => (this.stroke = null),
      keydown: (event) => this.key(event),
      keyup: (event) => this.held.delete(event.key),
      focus: () => this.showCursor(),
      blur: () => this.leave(),
    })) {
      canvas.addEventListener(name, act);
    }
  }

  /** @returns {?Float32Array} the drawing as a network sees it: see `asMnist` */
  picture() {
    const { width, height } = this.canvas;
    return asMnist(this.ink.getImageData(0, 0, width, height).data, width);
  }

  clear() {
    this.ink.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.isExample = false;
    this.changed();
  }

  /**
   * Draws lines, which the first stroke of a person replaces.
   * @param {number[][][]} lines of points, in cells
   */
  example(lines) {
    this.clear();
    for (const line of lines) line.slice(1).forEach((to, i) => this.line(line[i], to));
    this.isExample = true;
    this.changed();
  }

  changed() {
    this.canvas.dispatchEvent(new Event("change"));
  }

  /** Draws a line between two places, in cells; of a pen, its pressure makes it thinner or thicker. */
  line(from, to, pressure = 0.5) {
    const { ink, cell } = this;
    ink.lineCap = ink.lineJoin = "round";
    ink.lineWidth = STROKE * cell * (0.7 + 0.6 * pressure);
    ink.beginPath();
    ink.moveTo(from[0] * cell, from[1] * cell);
    ink.lineTo(to[0] * cell, to[1] * cell);
    ink.stroke();
  }

  /** Where a pointer is, in cells. */
  place(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * CELLS, ((event.clientY - top) / height) * CELLS];
  }

  begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true, focusVisible: false });
    this.cursor.hidden = true;
    if (this.isExample) this.clear();
    this.canvas.setPointerCapture(event.pointerId);
    this.stroke = { pointer: event.pointerId, at: this.place(event) };
    this.line(this.stroke.at, this.stroke.at, pressureOf(event));
    this.changed();
  }

  move(event) {
    if (this.stroke?.pointer !== event.pointerId) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const one of passed.length ? passed : [event]) {
      const to = this.place(one);
      this.line(this.stroke.at, to, pressureOf(one));
      this.stroke.at = to;
    }
    this.changed();
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in ARROWS) {
      this.held.add(event.key); // two together go aslant
      this.step(event.shiftKey ? FAST : 1);
    } else if (event.key === " " && !event.repeat) this.toggle();
    else if (event.key === "Escape" || event.key === "Delete") {
      this.penIsDown = false;
      this.clear();
      this.say("Cleared.");
      this.showCursor();
    } else if (event.key !== " ") return;
    event.preventDefault();
  }

  toggle() {
    this.penIsDown = !this.penIsDown;
    if (this.penIsDown) {
      if (this.isExample) this.clear();
      this.line(this.at, this.at);
      this.changed();
    }
    this.say(this.penIsDown ? "Pen down: arrows draw." : "Pen up: arrows move.");
    this.showCursor();
  }

  step(cells) {
    const from = this.at;
    this.at = [0, 1].map((axis) => {
      const by = [...this.held].reduce((sum, key) => sum + ARROWS[key][axis], 0);
      return Math.min(CELLS - 1, Math.max(1, from[axis] + cells * by));
    });
    if (this.penIsDown) {
      this.line(from, this.at);
      this.changed();
    }
    this.showCursor();
  }

  showCursor() {
    if (!this.canvas.matches(":focus-visible")) return;
    this.cursor.hidden = false;
    this.cursor.classList.toggle("down", this.penIsDown);
    this.cursor.style.left = `${(100 * this.at[0]) / CELLS}%`;
    this.cursor.style.top = `${(100 * this.at[1]) / CELLS}%`;
  }

  leave() {
    this.cursor.hidden = true;
    this.held.clear();
    this.penIsDown = false;
  }
}

/** 0 to 1 of a pen; others have no pressure, or one that says nothing. */
function pressureOf(event) {
  return event.pointerType === "pen" ? event.pressure : 0.5;
}
