// A drawing, or a picture, as the numbers that a network takes.

/** Cells of the picture that MNIST's networks see, on each side; a digit is fitted into 20 of them. */
export const CELLS = 28;
const BOX = 20;
const NEAR = 0.06; // a drawing that is this close to the size of the box is left as large as it is
const MOST_TIMES = 3; // how much larger a small drawing is made

/**
 * A drawing as MNIST was made: its longer side is fitted into 20 cells by averaging over areas, and the result is moved by whole
 * cells until its centre of mass is in the middle of 28 × 28. A digit of MNIST that is drawn cell by cell comes out unchanged.
 * @param {Uint8ClampedArray} pixels of a square canvas, four bytes each, of which the last (alpha) is the ink
 * @param {number} width pixels on each side, 28 or more
 * @returns {?Float32Array} 28 × 28 numbers from 0 (paper) to 1 (ink), in steps of 1/255; null where nothing is drawn
 */
export function asMnist(pixels, width) {
  const box = boxOf(pixels, width);
  if (!box) return null;
  const cell = width / CELLS;
  const fitted = Math.max(box.width, box.height) / BOX; // pixels that become one cell
  const step = Math.abs(fitted / cell - 1) <= NEAR ? cell : Math.max(fitted, cell / MOST_TIMES);
  const [columns, rows] = [box.width, box.height].map((side) => Math.min(CELLS, Math.ceil(side / step - 1e-9)));
  const small = averaged(pixels, width, box, step, rows, columns);
  const [down, right] = middle(small, rows, columns);
  const out = new Float32Array(CELLS * CELLS);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) out[(y + down) * CELLS + x + right] = Math.round(small[y * columns + x]) / 255;
  }
  return out;
}

/** The smallest box that has all ink; null where there is none. */
function boxOf(pixels, width) {
  let [left, right, top, bottom] = [width, -1, -1, -1];
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) {
      if (!pixels[4 * (y * width + x) + 3]) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (top < 0) top = y;
      bottom = y;
    }
  }
  return bottom < 0 ? null : { left, top, width: right + 1 - left, height: bottom + 1 - top };
}

/** The mean ink, 0 to 255, of each square of `step` pixels of a box; beyond its edges there is none. */
function averaged(pixels, width, { left, top, ...box }, step, rows, columns) {
  const across = new Float64Array(box.height * columns);
  for (let y = 0; y < box.height; y++) {
    for (let x = 0; x < columns; x++) {
      across[y * columns + x] = mean(x, step, box.width, (at) => pixels[4 * ((y + top) * width + at + left) + 3]);
    }
  }
  const out = new Float64Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) out[y * columns + x] = mean(y, step, box.height, (at) => across[at * columns + x]);
  }
  return out;
}

/** The mean of `ink` over place `i` of places that are `step` wide, where it is 0 from `end` on. */
function mean(i, step, end, ink) {
  const [from, to] = [i * step, Math.min(end, (i + 1) * step)];
  let sum = 0;
  for (let at = Math.floor(from); at < to; at++) sum += ink(at) * (Math.min(to, at + 1) - Math.max(from, at));
  return sum / step;
}

/** How far down and right a picture goes so that its centre of mass is in the middle and all of it within the cells. */
function middle(small, rows, columns) {
  let [sum, y0, x0] = [0, 0, 0];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const ink = small[y * columns + x];
      sum += ink;
      y0 += ink * y;
      x0 += ink * x;
    }
  }
  const offset = (mass, size) => Math.min(CELLS - size, Math.max(0, CELLS / 2 - Math.floor(mass / sum + 0.5)));
  return [offset(y0, rows), offset(x0, columns)];
}

/**
 * A picture as planes of numbers from 0 to 1, channel by channel.
 * @param {Uint8ClampedArray} pixels four bytes each: red, green, blue, alpha; on white where it is transparent
 * @param {number} channels 1 (grey, by the luminance of ITU-R BT.601), 3, or 4 (with alpha)
 * @param {boolean} inverted 1 - each number (not of alpha): for a network that was trained on light ink
 * @returns {Float32Array} `channels` planes, each of as many numbers as there are pixels
 */
export function asPlanes(pixels, channels, inverted) {
  const count = pixels.length / 4;
  const out = new Float32Array(channels * count);
  for (let i = 0; i < count; i++) {
    const alpha = pixels[4 * i + 3] / 255;
    const [red, green, blue] = [0, 1, 2].map((one) => {
      const on = channels === 4 ? pixels[4 * i + one] / 255 : 1 + alpha * (pixels[4 * i + one] / 255 - 1);
      return inverted ? 1 - on : on;
    });
    if (channels === 1) out[i] = 0.299 * red + 0.587 * green + 0.114 * blue;
    else [red, green, blue, alpha].slice(0, channels).forEach((one, c) => (out[c * count + i] = one));
  }
  return out;
}
