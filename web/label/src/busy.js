// The seconds of what takes long, from when this page first saw it.

import { fill } from "./dom.js";

const begun = new Map(); // by what is done

/** Write the seconds into each line that has `data-since`: what is done. `data-then`: what stands behind them. */
export function countSeconds(element) {
  const now = performance.now();
  const lines = [...element.querySelectorAll("[data-since]")];
  for (const line of lines) {
    const { since, then } = line.dataset;
    if (!begun.has(since)) begun.set(since, now);
    fill(line, `for ${Math.floor((now - begun.get(since)) / 1000)} s${then}`);
  }
  const shown = new Set(lines.map((line) => line.dataset.since));
  for (const what of begun.keys()) if (!shown.has(what)) begun.delete(what);
}
