// Elements from plain values. Text goes in as text, never as markup: what is labelled may hold anything.

/**
 * An element. `given`: its attributes; `on…` are listeners, and null and false leave an attribute out.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...any} children
 * @returns {HTMLElement}
 */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/** Put new children in the place of the old ones. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

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
