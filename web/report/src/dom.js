// Elements from plain values. Text goes in as text, never as markup: names and notes may hold anything.

/**
 * An element. `given`: its attributes; `on…` are listeners, `class` is its class, and null and false leave an attribute out.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...(Node | string | number | null | undefined | false | Array<any>)} children
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

/** The children that there are, as nodes. */
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

const FOCUSABLE = "button, select, input, a, summary, [tabindex]";

/** The same, and the focus stays in its place where it was on one of the old ones. */
export function refill(element, ...children) {
  const held = [...element.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  fill(element, ...children);
  if (held >= 0) element.querySelectorAll(FOCUSABLE)[held]?.focus({ preventScroll: true });
  return element;
}

/** Text for screen readers only. */
export function hiddenText(text) {
  return h("span", { class: "hidden-text" }, text);
}

/** A box that scrolls sideways by itself, reachable by keyboard. */
export function scrollBox(label, ...children) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);
}

/** A choice among options, with its label. */
export function chooser(label, options, chosen, onchange) {
  const select = /** @type {HTMLSelectElement} */ (
    h(
      "select",
      {
        onchange: () => onchange(select.value),
      },
      options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
    )
  );
  return { element: h("label", { class: "chooser" }, h("span", {}, label), select), select };
}

/** A box to tick, with its label. */
export function ticker(label, checked, onchange) {
  const input = /** @type {HTMLInputElement} */ (
    h("input", {
      type: "checkbox",
      checked,
      onchange: () => onchange(input.checked),
    })
  );
  return { element: h("label", { class: "ticker" }, input, h("span", {}, label)), input };
}

/** A button that copies text, and says so. */
export function copyButton(text, what) {
  const said = h("span", {}, "Copy");
  const button = h(
    "button",
    {
      type: "button",
      class: "quiet copy",
      "aria-label": `Copy ${what}`,
      onclick: async () => {
        fill(said, (await copy(text)) ? "Copied" : "Select it by hand");
        setTimeout(() => fill(said, "Copy"), 2000);
      },
    },
    said,
  );
  said.setAttribute("aria-live", "polite");
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A page that was opened from a file may not be let to the clipboard that way.
    const area = /** @type {HTMLTextAreaElement} */ (h("textarea", { class: "hidden-text", "aria-hidden": "true" }));
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** A command in its box, with a button that copies it. */
export function commandBox(command, what) {
  return h(
    "div",
    { class: "command" },
    h("pre", { tabindex: "0", role: "region", "aria-label": what }, h("code", {}, command)),
    copyButton(command, what),
  );
}
