// Numbers in words, and elements of a page.

/** 1376 -> "1,376 bytes" */
export const bytes = (number) => `${count(number)} bytes`;

/** 1376 -> "1,376" */
export const count = (number) => number.toLocaleString("en", { maximumFractionDigits: 0 });

/** 0.4213 -> "0.42 ms" */
export const milliseconds = (number) => `${short(number < 1 ? Number(number.toPrecision(2)) : number)} ms`;

/** Three digits of a number, but whole numbers whole. */
export function short(number) {
  if (!Number.isFinite(number) || number === 0) return String(number);
  if (Number.isInteger(number)) return String(number);
  const size = Math.abs(number);
  if (size < 1e-4 || size >= 1e7) return number.toExponential(2);
  return size >= 1000 ? count(number) : String(Number(number.toPrecision(3)));
}

/** 0.98765 -> "98.8 %"; never 100 % or 0 % of what is not */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  if (share < 1 && share >= 0.9995) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * An element. Its texts are texts, whatever they hold: nothing is read as HTML.
 * @param {string} name
 * @param {Object<string, string>} attributes
 * @param {...(Node|string)} inside
 */
export function element(name, attributes, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

/** A bar that is filled to a share, 0 to 1. */
export function bar(share) {
  const fill = element("span", { class: "fill" });
  fillTo(fill, share);
  return element("span", { class: "bar" }, fill);
}

export function fillTo(fill, share) {
  fill.style.transform = `translateX(${100 * share - 100}%)`;
}
