// Elements of the page, beside those that the report page has too. Text goes in as text, never as markup.

import { fill, h } from "../../report/src/dom.js";

export { fill, h };

/** A number with its noun: "1 example", "2 examples". */
export function counted(number, one, more) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
}

/** The element of an id. */
export function the(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Say something to those who hear the page. */
export function say(sentence) {
  fill(the("said"), sentence);
}

/** A colour for a class, by its number: far from that of its neighbours. */
export function tint(element, number) {
  element.style.setProperty("--hue", String(Math.round((number * 137.508 + 210) % 360)));
  return element;
}
