// The labelling page: shows an example, takes a key, and shows the next at once. The network is never waited for.

import { BoxView } from "./boxes.js";
import { countSeconds } from "./busy.js";
import { ChoiceView } from "./choice.js";
import { Classes } from "./classes.js";
import { counted, fill, h, say, the } from "./dom.js";
import { classOf } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Refusal, ask, drawn, picture } from "./server.js";
import { drawSide, saidBy } from "./side.js";
import { SpanView } from "./spans.js";
import { Supply } from "./supply.js";

const EVERY = 3000; // milliseconds between looks at how things stand
const REMEMBERED = 500; // answers that can be undone

const session = drawn();
const stage = the("stage");
let about;
let by = "";
let view;
let classes;
let outbox;
let supply;
let current = null; // the example on the page
let seen = false; // whether the current example is on the page: nobody can label what does not show yet
let closed = false; // whether it is a picture that does not open: nobody can say what it shows
let begun = 0;
let hidden = 0; // milliseconds for which nobody could see the page
let hiddenSince = 0;
let complete = true;
let past = [];
const answered = new Set(); // the examples that this page answered
let status = null;
const troubles = { outbox: "", supply: "", name: "" };

async function start() {
  try {
    about = await ask("/api/project");
  } catch (error) {
    trouble("supply", error.message);
    if (error instanceof Refusal && error.status === 0) setTimeout(start, 2000);
    return;
  }
  trouble("supply", "");
  document.title = `${about.title} – label`;
  fill(the("title"), `label ${about.title}`);
  const given = new URLSearchParams(location.search).get("by")?.trim();
  if (given) begin(given);
  else askName();
}

function askName() {
  const form = the("start");
  const input = /** @type {HTMLInputElement} */ (the("by"));
  input.value = remembered();
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return;
    try {
      localStorage.setItem("shoestring-label-by", name);
    } catch {
      // it is asked again next time
    }
    form.hidden = true;
    begin(name);
  });
  input.focus();
}

function remembered() {
  try {
    return localStorage.getItem("shoestring-label-by") ?? "";
  } catch {
    return "";
  }
}

function begin(name) {
  by = name.slice(0, 200);
  fill(the("who"), `you are ${by}`);
  the("work").hidden = false;
  const names = () => classes.names;
  view = { choice: () => new ChoiceView(stage), span: () => new SpanView(stage, names, edited), box: () => new BoxView(stage, names, edited) }[about.kind]();
  const filter = /** @type {HTMLInputElement} */ (the("filter"));
  classes = new Classes({ list: the("classes"), row: the("filter-row"), filter }, take);
  classes.set(about.names);
  outbox = new Outbox(about.id, session, ({ waiting, trouble: sentence }) => {
    fill(the("queue"), waiting ? `${waiting.toLocaleString("en")} on the way` : "all saved");
    const waits = waiting === 1 ? "1 label waits in this browser and is" : `${waiting.toLocaleString("en")} labels wait in this browser and are`;
    trouble("outbox", sentence && (waiting ? `${sentence}: ${waits} sent again by itself.` : sentence));
    document.documentElement.dataset.waiting = String(waiting);
    document.documentElement.dataset.saved = String(outbox?.acknowledged ?? 0);
  });
  supply = new Supply(
    () => ({ by, session, done: answered, held: [...(current ? [current.index] : []), ...outbox.held()] }),
    (told) => {
      trouble("supply", supply.failed && (current ? "" : supply.failed));
      trouble("name", told.sameName ? `Somebody labels as ${by} in another window too: if that is not you, open this page again under another name.` : "");
      if (!current) next();
    },
    renewed,
  );
  actions();
  document.addEventListener("keydown", key);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenSince = performance.now();
    else if (hiddenSince) hidden += performance.now() - hiddenSince;
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => event.persisted && supply.more(true));
  addEventListener("beforeunload", (event) => outbox.waiting().length && event.preventDefault());
  namesChanged();
  if (!classes.names.length) toAdding();
  supply.more();
  look();
  setInterval(() => countSeconds(the("side")), 250); // so that no second is left out
}

/** Nothing can be taken where there is no class. */
function namesChanged() {
  const button = document.getElementById("do-done");
  if (button && about.kind === "choice") button.hidden = !classes.names.length;
}

/** The source is another now: numbers of examples mean others, and what the page has is no longer what is asked. */
function renewed() {
  past.forEach((one) => forgetPicture(one.example));
  past = [];
  answered.clear();
  outbox.mine.clear();
  current = null;
  seen = false;
  say("the source has changed: here is what it has now");
}

/** What this page had is free for others, but for what it has labelled and not sent yet. */
function leave() {
  if (outbox.waiting().length) return;
  ask("/api/release", { session }, { keepalive: true }).catch(() => {});
}

async function look() {
  try {
    status = await ask("/api/status");
    classes.set(status.names);
    namesChanged();
    side();
    if (supply.ready.length || current) await supply.more(true); // what this page has stays its own
    else supply.more();
    outbox.flush();
  } catch {
    // the outbox and the supply say it
  }
  setTimeout(look, EVERY);
}

function side() {
  drawSide(the("side"), status, { about, by, deliver, open: decide });
  countSeconds(the("side"));
}

async function deliver() {
  try {
    status = { ...status, ...(await ask("/api/deliver", {})) };
  } catch (error) {
    status = { ...status, delivered: error.message };
  }
  side();
}

/** Show an example of which people said different things, for a new answer. */
async function decide(row) {
  let example;
  try {
    example = await ask("/api/open", { index: row.index });
  } catch (error) {
    trouble("supply", error.message);
    return;
  }
  if (example.picture) example.image = picture(example.index).catch((error) => error);
  example.told = `${saidBy(row.said)}. What you say now counts.`;
  if (current && !current.told) supply.back(current);
  the("main").focus({ preventScroll: true });
  show(example, row.said.find((one) => one.by === by)?.labels ?? null);
}

// -- examples

function next() {
  show(supply.take());
  supply.more();
}

async function show(example, labels = null, isComplete = true) {
  current = example;
  seen = false;
  closed = false;
  document.documentElement.dataset.shown = example ? String(example.index) : "";
  if (!example) {
    nothing();
    return;
  }
  the("work").classList.remove("done");
  const image = example.image ? await Promise.race([example.image, wait(50)]) : null;
  if (current !== example) return;
  if (image === undefined) {
    fill(stage, h("p", {}, "the picture is on its way…"));
    await example.image;
    if (current !== example) return;
    show(example, labels, isComplete);
    return;
  }
  closed = image instanceof Error;
  const said = closed ? null : example.prediction;
  fill(the("example-name"), example.name);
  complete = isComplete;
  view.show(example, image, labels ?? (said ? said.labels : []));
  const guess = labels?.[0]?.name ?? said?.labels[0]?.name;
  classes.point(about.kind === "choice" && guess !== undefined ? classes.names.indexOf(guess) : -1);
  fill(the("guess"), closed ? CLOSED : guessed(said, labels));
  drawActions();
  seen = true;
  begun = performance.now();
  hidden = 0;
  document.documentElement.dataset.painted = String(example.index);
}

const CLOSED = "This picture does not open, so that nobody can label it: skip it with s.";

/** Whether the example cannot be labelled, which is said. */
function refused() {
  if (closed) {
    fill(the("guess"), CLOSED);
    say(CLOSED);
  }
  return closed;
}

function guessed(said, labels) {
  if (current.told) return current.told;
  if (labels) return "Your answer so far: change it, or take it again with Space.";
  if (!said) return "";
  const sure = said.score === null ? "" : ` (${Math.round(100 * said.score)} % sure)`;
  if (about.kind === "choice") return `${said.by || "The model"} says ${said.labels[0]?.name ?? "nothing"}${sure}: Space takes it.`;
  return `${said.by || "The model"} marked ${said.labels.length}${sure}: check them.`;
}

function wait(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

function nothing() {
  fill(the("example-name"), "");
  fill(the("guess"), "");
  the("work").classList.add("done");
  const sentence = supply.empty ? finished() : supply.failed || "the next example is on its way…";
  fill(stage, h("p", { class: "finished" }, sentence));
}

function finished() {
  return "Nothing is left for you here: every example is labelled, is with somebody else now, or waits for a second person.";
}

// -- answers

function take(name) {
  if (!seen || refused()) return;
  if (about.kind === "choice") answer([{ name }]);
  else view.mark(name);
  if (document.activeElement instanceof HTMLButtonElement) document.activeElement.blur();
}

/** All is said of this example. */
function done() {
  if (!seen || refused()) return;
  if (about.kind !== "choice") answer(view.labels());
  else if (classes.at >= 0) answer([{ name: classes.names[classes.at] }]);
  else if (!classes.names.length) toAdding();
  else {
    fill(the("guess"), "No class is marked: press the key of one, or move to it by the arrows.");
    say("choose a class first");
  }
}

function answer(labels, skipped = false) {
  const seconds = Math.max(0, performance.now() - begun - hidden) / 1000;
  const entry = { id: drawn(), example: current.name, digest: current.digest, by, labels, complete, skipped, seconds, at: Date.now() / 1000, undoes: "", decides: Boolean(current.told) };
  const { index } = current;
  past.push({ example: current, entry });
  answered.add(index);
  if (past.length > REMEMBERED) forgetPicture(past.shift().example);
  current = null;
  seen = false;
  outbox.put(entry, index); // before the next is asked for, which is told of it
  next();
  const names = [...new Set(labels.map((one) => one.name))].join(", ");
  say(skipped ? "skipped" : about.kind === "choice" ? names : counted(labels.length, "mark", "marks"));
}

function forgetPicture(example) {
  Promise.resolve(example.image).then((image) => image instanceof HTMLImageElement && URL.revokeObjectURL(image.src));
}

function undo() {
  if (seen && about.kind !== "choice" && view.undo()) return;
  const last = past.pop();
  if (!last) {
    say("there is nothing to undo on this page");
    return;
  }
  if (current) supply.back(current);
  answered.delete(last.example.index);
  outbox.put({ id: drawn(), example: last.example.name, digest: last.example.digest, by, labels: [], at: Date.now() / 1000, undoes: last.entry.id }, last.example.index);
  show(last.example, last.entry.skipped ? null : last.entry.labels, last.entry.complete);
  say("undone");
}

function edited() {
  drawActions();
}

function more() {
  complete = !complete;
  say(complete ? "all is marked" : "there may be more: what is not marked is unknown");
  drawActions();
}

// -- keys and buttons

const ACTIONS = {
  done: ["Space", "Next", done],
  more: ["m", "There may be more", more],
  skip: ["s", "Cannot tell", () => seen && answer([], true)],
  undo: ["⌫", "Undo", undo],
};

function actions() {
  const shown = about.kind === "choice" ? ["done", "skip", "undo"] : ["done", "more", "skip", "undo"];
  fill(
    the("actions"),
    shown.map((name) => {
      const [label, words, call] = ACTIONS[name];
      const button = h("button", { type: "button", id: `do-${name}`, class: name === "done" ? "main" : "quiet", onclick: call }, h("kbd", {}, label), h("span", {}, name === "done" && about.kind === "choice" ? "Take the marked class" : words));
      button.addEventListener("pointerdown", (event) => event.preventDefault());
      return button;
    }),
  );
  if (about.kind === "box") {
    the("actions").append(h("button", { type: "button", class: "quiet", onclick: () => view.frame && view.add() }, h("kbd", {}, "b"), h("span", {}, "New box")));
  }
  the("adding").addEventListener("submit", add);
  the("adding-name").addEventListener("keydown", (event) => event.key === "Escape" && toExample());
}

/** Open the field for a class, and write there. */
function toAdding() {
  the("more-classes").setAttribute("open", "");
  the("adding-name").focus();
  say("there is no class yet: write the name of the first one, and press Enter");
}

/** The keys mean classes again. */
function toExample() {
  the("adding-name").blur();
  the("main").focus({ preventScroll: true });
}

function drawActions() {
  const button = document.getElementById("do-more");
  button?.setAttribute("aria-pressed", String(!complete));
}

async function add(event) {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (the("adding-name"));
  if (!input.value.trim()) return;
  try {
    classes.set((await ask("/api/names", { name: input.value })).names);
    say(`added ${input.value.trim()}`);
    input.value = "";
    namesChanged();
    toExample();
    trouble("supply", "");
  } catch (error) {
    trouble("supply", error.message);
  }
}

/** @param {KeyboardEvent} event */
function key(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest?.("input, textarea, select") || event.isComposing) return;
  const native = target.closest?.("button, summary, a") && (event.key === " " || event.key === "Enter");
  if (native || event.ctrlKey || event.metaKey) return;
  const call = meant(event);
  if (!call) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) call();
}

/** What a key does; null for nothing. */
function meant(event) {
  if (event.key === "Backspace") return undo;
  if (event.key === "/") return () => the("filter-row").hidden || the("filter").focus();
  if (!seen) return null;
  if (event.key === " " || event.key === "Enter") return done;
  if (about.kind !== "choice" && view.key(event)) return () => {};
  if (about.kind === "choice" && !event.altKey) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step) return () => classes.move(step);
  }
  if (event.altKey) return null;
  const letter = event.key.toLowerCase();
  if (letter === "s") return ACTIONS.skip[2];
  if (letter === "m" && about.kind !== "choice") return more;
  if (!classes.names.length && /^[\p{L}\p{N}]$/u.test(event.key)) return toAdding;
  const at = classOf(event, classes.keys);
  return at < 0 ? null : () => take(classes.names[at]);
}

function trouble(whose, sentence) {
  troubles[whose] = sentence || "";
  const all = Object.values(troubles).filter(Boolean).join(" ");
  the("trouble").hidden = !all;
  if (the("trouble").textContent !== all) fill(the("trouble"), all);
}

start();
