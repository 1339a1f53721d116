// The page: a combobox whose list is what the network says may follow.

import { modelBytes, pageBytes } from "./embedded.js";
import { opened } from "./network.js";

const TOP = 5;
const byId = (id) => document.getElementById(id);
const [text, list, box, ghost, rest, typed] = ["text", "list", "box", "ghost", "rest", "typed"].map(byId);

let search = null;
let found = []; // the completions that the list shows
let chosen = -1; // which of them the arrows stand on
let round = 0; // of answers: an old one is not shown
let keys = 0; // characters that were typed and not taken from a completion
let before = "";

/** Looks for completions of what stands in the box, and shows them. */
async function answer() {
  const mine = ++round;
  const prefix = text.value;
  const began = performance.now();
  const completions = await search.find(prefix, TOP, () => mine === round);
  if (!completions || mine !== round) return;
  show(completions, prefix);
  byId("speed").textContent = milliseconds(performance.now() - began);
  text.dispatchEvent(new CustomEvent("answer", { detail: { prefix, completions } }));
}

function show(completions, prefix) {
  found = completions;
  chosen = -1;
  list.replaceChildren(...completions.map((one, i) => row(one, prefix, i)));
  open(completions.length > 0 && document.activeElement === text);
  byId("said").textContent = completions.length ? `${completions.length} completions; the first: ${completions[0].text.trim()}` : "no completions";
}

/** A completion in the list: the end of what was typed, what follows, and how likely that is. */
function row({ text: follows, probability }, prefix, i) {
  const item = document.createElement("li");
  Object.assign(item, { id: `way-${i}`, role: "option", ariaSelected: "false" });
  const way = document.createElement("span");
  way.className = "way";
  const shown = prefix.length > 40 ? `…${prefix.slice(-38)}` : prefix;
  const new_ = document.createElement("b");
  new_.textContent = follows;
  way.append(shown, new_);
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.ariaHidden = "true";
  const part = document.createElement("i");
  part.style.width = `${Math.max(2, 100 * probability)}%`;
  bar.append(part);
  const percent = document.createElement("span");
  percent.className = "percent";
  percent.textContent = `${probability < 0.01 ? "<1" : Math.round(100 * probability)} %`;
  item.append(way, bar, percent);
  item.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
  item.addEventListener("click", () => take(i));
  return item;
}

function open(is) {
  list.hidden = !is;
  box.classList.toggle("open", is);
  text.setAttribute("aria-expanded", String(is));
  choose(is ? chosen : -1);
}

/** Marks a completion, and shows its text behind what is typed: the first where none is chosen. */
function choose(which) {
  chosen = which;
  [...list.children].forEach((item, i) => (item.ariaSelected = String(i === which)));
  if (which < 0) text.removeAttribute("aria-activedescendant");
  else text.setAttribute("aria-activedescendant", `way-${which}`);
  const follows = list.hidden ? "" : (found[Math.max(which, 0)]?.text ?? "");
  typed.textContent = text.value;
  const fits = text.scrollWidth <= text.clientWidth && text.selectionStart === text.value.length;
  rest.textContent = fits ? follows : "";
}

/** Puts a completion behind what was typed. */
function take(which) {
  const one = found[which];
  if (!one) return;
  set(text.value + one.text);
  text.setSelectionRange(text.value.length, text.value.length);
  text.scrollLeft = text.scrollWidth;
  text.focus();
}

/** Puts a text in the box that was not typed. */
function set(value) {
  before = text.value = value;
  changed();
}

function changed() {
  byId("clear").hidden = !text.value;
  if (!text.value) keys = 0;
  byId("keystrokes").textContent = `${Math.min(keys, [...text.value].length)} of ${[...text.value].length} characters`;
  typed.textContent = text.value;
  rest.textContent = "";
  found = [];
  answer().catch(fault);
}

text.addEventListener("input", () => {
  keys += Math.max(0, [...text.value].length - [...before].length);
  before = text.value;
  changed();
});

text.addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  const { key } = event;
  if ((key === "ArrowDown" || key === "ArrowUp") && found.length) {
    const last = found.length - 1;
    if (list.hidden) open(true);
    else if (key === "ArrowDown") choose(chosen === last ? -1 : chosen + 1);
    else choose(chosen === -1 ? last : chosen - 1);
  } else if (key === "Tab" && !event.shiftKey && !list.hidden && found.length && text.value) take(Math.max(chosen, 0));
  else if (key === "Enter" && !list.hidden && chosen >= 0) take(chosen);
  else if (key === "Enter") open(false);
  else if (key === "Escape" && !list.hidden) open(false);
  else if (key === "Escape" && text.value) {
    keys = 0;
    set("");
  } else return;
  event.preventDefault();
});
text.addEventListener("focus", () => open(found.length > 0));
text.addEventListener("blur", () => open(false));
byId("clear").addEventListener("click", () => {
  keys = 0;
  set("");
  text.focus();
});
for (const button of document.querySelectorAll(".tries button")) {
  button.addEventListener("click", () => {
    keys = [...button.textContent].length;
    text.focus();
    set(button.textContent);
    text.setSelectionRange(text.value.length, text.value.length);
  });
}

function milliseconds(time) {
  return time < 9.95 ? `${time.toFixed(1)} ms` : `${Math.round(time)} ms`;
}

function fault(error) {
  const shown = byId("fault");
  shown.hidden = false;
  shown.textContent = `The network does not run here: ${error.message}`;
}

async function begin() {
  const bytes = await modelBytes();
  byId("bytes").textContent = `${bytes.length.toLocaleString("en")} bytes`;
  const network = await opened(bytes);
  search = network.search;
  byId("told").textContent = network.about;
  const size = pageBytes();
  byId("page").textContent = size === null ? "its sources" : `${size.toLocaleString("en")} bytes`;
  text.disabled = false;
  text.placeholder = "Type, or take what stands below";
  text.focus({ preventScroll: true });
  await answer();
  byId("ready").textContent = milliseconds(performance.now());
  performance.mark("ready");
}

begin().catch(fault);
