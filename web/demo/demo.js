// The page: what is drawn goes to the small network, and to the uncompressed one beside it.

import { Job } from "./job.js";
import { Pad } from "./pad.js";
import { CELLS } from "./picture.js";
import { bar, bytes, count, element, fillTo, milliseconds, percent } from "./words.js";

const SECONDS = 20; // that a network of this page may take for anything
const CALM = 250; // milliseconds without a change after which a run is timed, and a screen reader is told
const EXAMPLE = [[[7.5, 8], [20, 8], [17, 13], [14, 18], [12.5, 23]]]; // a seven, in cells
const get = (id) => document.getElementById(id);

/** A network of this page with its column in the table. */
class Network {
  constructor(column, address) {
    Object.assign(this, { column, address, job: new Job(), input: null });
  }

  show(what, text) {
    get(`${this.column}-${what}`).textContent = text;
  }

  async open() {
    const answer = await fetch(this.address);
    if (!answer.ok) throw new Error(`${this.address} could not be fetched: ${answer.status} ${answer.statusText}`);
    const file = new Uint8Array(await answer.arrayBuffer());
    this.show("bytes", bytes(file.length));
    const about = await this.job.open(file, SECONDS);
    this.input = about.entries[0].inputs[0].name;
    this.show("decoded", milliseconds(about.milliseconds));
    this.show("weights", count(about.numbers));
  }

  inputs(picture) {
    return { [this.input]: { data: picture, shape: [1, 1, CELLS, CELLS] } };
  }

  /** @returns {Promise<number[]>} how likely each digit is, 0 to 1 */
  async recognise(picture) {
    const { outputs } = await this.job.run(this.inputs(picture), SECONDS);
    const likely = softmax(Array.from(Object.values(outputs)[0].data));
    const digit = best(likely);
    this.show("answer", `${digit} (${percent(likely[digit])})`);
    return likely;
  }

  async timeDecoding() {
    const again = await this.job.decoding(SECONDS);
    if (again) this.show("decoded", milliseconds(again.milliseconds));
  }

  async time(picture) {
    this.show("run", milliseconds(await this.job.time(this.inputs(picture), SECONDS)));
  }
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((one) => Math.exp(one - most));
  const sum = powers.reduce((all, one) => all + one, 0);
  return powers.map((one) => one / sum);
}

const best = (numbers) => numbers.indexOf(Math.max(...numbers));

const small = new Network("small", get("small-file").href);
let large = null; // until the first answer is there

const bars = Array.from({ length: 10 }, (_, digit) => {
  const words = element("span", { class: "percent" }, "–");
  const row = element("li", {}, element("span", { class: "name" }, String(digit)), bar(0), words);
  get("bars").append(row);
  return { fill: row.querySelector(".fill"), words, row };
});

const pad = new Pad(get("pad"), get("cursor"), say);

function say(words) {
  get("said").textContent = words;
}

function fail(error) {
  get("fault").hidden = false;
  get("fault").textContent = `The demo does not work here: ${error.message}.`;
}

/** Shows what the network sees: its picture, or nothing. */
function showSeen(picture) {
  const canvas = get("seen");
  const image = new ImageData(CELLS, CELLS);
  picture?.forEach((ink, i) => (image.data[4 * i + 3] = Math.round(255 * ink)));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showAnswer(likely) {
  const digit = likely ? best(likely) : null;
  get("digit").textContent = digit ?? "\u00a0";
  get("sure").textContent = likely ? `${percent(likely[digit])} sure` : "Draw a digit from 0 to 9.";
  bars.forEach(({ fill, words, row }, i) => {
    fillTo(fill, likely ? likely[i] : 0);
    words.textContent = likely ? percent(likely[i]) : "–";
    row.classList.toggle("best", i === digit);
  });
}

/** Runs the newest drawing; what came while a run was going on is run after it, once. */
const drawn = { wanted: false, running: false, calm: 0 };

function change() {
  drawn.wanted = true;
  clearTimeout(drawn.calm);
  drawn.calm = setTimeout(settled, CALM);
  get("hint").textContent = pad.isExample ? "This 7 is an example: draw your own." : "";
  if (!drawn.running) work().catch(fail);
}

async function work() {
  drawn.running = true;
  try {
    while (drawn.wanted) {
      await new Promise((next) => requestAnimationFrame(next));
      drawn.wanted = false;
      const picture = pad.picture();
      showSeen(picture);
      if (picture && !small.input) return; // it is still being fetched
      const likely = picture && (await small.recognise(picture));
      showAnswer(likely);
      const beside = picture && large?.input ? await large.recognise(picture) : null;
      get("pad").dispatchEvent(new CustomEvent("answer", { detail: { picture, likely, beside } }));
      if (!picture) for (const one of [small, large]) one?.show("answer", "…");
    }
  } finally {
    drawn.running = false;
  }
}

/** The drawing has been the same for a while. */
async function settled() {
  if (drawn.running) {
    drawn.calm = setTimeout(settled, CALM);
    return;
  }
  const picture = pad.picture();
  if (!picture || !small.input) return;
  if (!pad.isExample) say(`${get("digit").textContent}, ${get("sure").textContent}`);
  try {
    await small.time(picture);
    get("speed").textContent = `in ${get("small-run").textContent}`;
    if (large?.input) await large.time(picture);
  } catch (error) {
    fail(error);
  }
}

/** What the page itself took, as the browser counts it; a worker counts what it loads. */
async function showOwnBytes() {
  const page = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const sizes = new Map((await small.job.loaded()).map(({ name, size }) => [name, size]));
  for (const { name, encodedBodySize } of page) sizes.set(name.split("#")[0], encodedBodySize);
  const own = [...sizes].filter(([name]) => !name.split("?")[0].endsWith(".shoe"));
  const sum = own.reduce((all, [, size]) => all + size, 0);
  get("page-bytes").textContent =
    `The page itself, with the decoder and the runtime, is ${own.length} files of ${bytes(sum)} together, as they came over the wire.`;
}

async function openLarge() {
  get("fetch-large").hidden = true;
  large = new Network("large", get("large-file").href);
  try {
    await large.open();
    change();
  } catch (error) {
    large.show("bytes", `not there: ${error.message}`);
    large = null;
  }
}

/** The first answer is shown: now there is time for the other network. */
function afterFirst() {
  performance.mark("first-answer");
  showOwnBytes().catch(fail);
  small.timeDecoding().catch(fail);
  if (navigator.connection?.saveData) get("fetch-large").hidden = false;
  else setTimeout(openLarge, 100);
}

get("pad").addEventListener("change", change);
get("clear").addEventListener("click", () => pad.clear());
get("fetch-large").addEventListener("click", openLarge);
pad.example(EXAMPLE);

small
  .open()
  .then(async () => {
    drawn.wanted = true;
    await work();
    afterFirst();
  })
  .catch(fail);

import("./own.js").then(({ start }) => start()).catch(fail);
