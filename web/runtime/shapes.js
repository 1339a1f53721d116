// Shapes: axes, broadcasting, and walking over elements with steps.

import { RunError } from "./values.js";

/** An axis from 0, of one that may count from the end. */
export function axisOf(axis, axes) {
  const found = axis < 0 ? axis + axes : axis;
  if (!(found >= 0 && found < Math.max(axes, 1))) throw new RunError(`there is no axis ${axis} of ${axes}: the file is made wrongly`);
  return found;
}

/** How far apart the neighbours along each axis are. */
export function stepsOf(shape) {
  const steps = new Array(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; step *= shape[i--]) steps[i] = step;
  return steps;
}

/** The shape that shapes have together. */
export function broadcast(...shapes) {
  const axes = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: axes }, (_, i) => {
    let size = 1;
    for (const shape of shapes) {
      const one = shape[i - axes + shape.length] ?? 1;
      if (one === 1 || one === size) continue;
      if (size !== 1) throw new RunError(`the shapes ${shapes.map((each) => `[${each}]`).join(" and ")} do not fit each other`);
      size = one;
    }
    return size;
  });
}

/** The steps of a shape along the axes of a larger one, 0 where it repeats. */
export function stepsIn(shape, larger) {
  const steps = stepsOf(shape);
  const less = larger.length - shape.length;
  return larger.map((_, i) => (i < less || shape[i - less] === 1 ? 0 : steps[i - less]));
}

/** Axes that can be walked as one, joined: [shape, ...steps of each]. */
export function joined(shape, ...steps) {
  const sizes = [];
  const found = steps.map(() => []);
  shape.forEach((size, i) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    if (last >= 0 && steps.every((one, k) => found[k][last] === one[i] * size)) {
      sizes[last] *= size;
      found.forEach((one, k) => (one[last] = steps[k][i]));
    } else {
      sizes.push(size);
      found.forEach((one, k) => one.push(steps[k][i]));
    }
  });
  if (!sizes.length) return [[1], ...found.map(() => [1])];
  return [sizes, ...found];
}

/**
 * Calls `row(places)` for each row along the last axis, with where it begins in each array.
 * @param {number[]} shape not empty
 * @param {number[][]} steps of each array
 * @param {(places: number[]) => void} row
 */
export function walk(shape, steps, row) {
  const outer = shape.length - 1;
  const places = steps.map(() => 0);
  if (shape.includes(0)) return;
  const counts = new Array(outer).fill(0);
  for (;;) {
    row(places);
    let axis = outer - 1;
    for (; axis >= 0; axis--) {
      for (let k = 0; k < places.length; k++) places[k] += steps[k][axis];
      if (++counts[axis] < shape[axis]) break;
      for (let k = 0; k < places.length; k++) places[k] -= steps[k][axis] * shape[axis];
      counts[axis] = 0;
    }
    if (axis < 0) return;
  }
}
