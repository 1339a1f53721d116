// A file that somebody drops on the page: opened in a worker of its own, shown, and run.

import { inputsForm } from "./inputs.js";
import { Job, MOST_BYTES } from "./job.js";
import { shownFile } from "./shown.js";
import { cut, sentence } from "./told.js";
import { bytes, element } from "./words.js";

export const OPENING_SECONDS = 10; // that decoding a file may take
const MEBIBYTE = 2 ** 20;
const get = (id) => document.getElementById(id);

let job = null; // of the file that is open
let newest = 0; // so that a file which is dropped later wins

/** Makes the section work; opens the file that the address names, as `shoestring demo FILE.shoe` does. */
export function start() {
  get("file").addEventListener("change", chosen);
  chosen(); // what somebody chose while this was being fetched
  for (const name of ["dragenter", "dragover"]) addEventListener(name, (event) => over(event, true));
  for (const name of ["dragleave", "drop"]) addEventListener(name, (event) => over(event, false));
  addEventListener("drop", ({ dataTransfer, target }) => {
    if (target.closest?.("#opened form")) return; // a picture for an input
    const files = dataTransfer?.files ?? [];
    if (files.length) openFile(files[0], files.length - 1);
  });
  const named = new URLSearchParams(location.search).get("file");
  if (named) openAddress(named);
}

function chosen() {
  const field = get("file");
  if (field.files[0]) openFile(field.files[0]);
  field.value = ""; // the same file can be chosen again
}

function over(event, inside) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  get("drop").classList.toggle("over", inside);
}

/** @param {File} file; @param {number} others that came with it and are left out */
async function openFile(file, others = 0) {
  const left = others ? ` ${others === 1 ? "Another file was" : `${others} other files were`} dropped with it and left out.` : "";
  await open(file.name, file.size, async () => new Uint8Array(await file.arrayBuffer()), left);
}

async function openAddress(named) {
  const address = URL.canParse(named, location.href) ? new URL(named, location.href) : null;
  if (address === null) return say(named, "this is no address");
  const name = decoded(address.pathname.split("/").at(-1)) || named;
  if (address.origin !== location.origin) return say(name, "it is on another site; this page opens files of its own site only");
  const fetched = async () => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`it could not be fetched: ${answer.status} ${answer.statusText}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  await open(name, null, fetched, "");
  get("own").scrollIntoView();
}

/** A part of an address as people write it; as it is where it is not encoded as addresses are. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function open(name, size, read, left) {
  const mine = ++newest;
  job?.end();
  job = null;
  if (size !== null && size > MOST_BYTES) {
    return say(name, `it has ${bytes(size)}; this page opens files of up to ${MOST_BYTES / MEBIBYTE} MiB`);
  }
  if (size === 0) return say(name, "it is empty: it has 0 bytes");
  show(element("p", { class: "quiet" }, `Opening ${cut(name, 120)} …`));
  const working = new Job();
  job = working;
  try {
    const about = await working.open(await read(), OPENING_SECONDS);
    Object.assign(about, await working.decoding(OPENING_SECONDS));
    if (mine !== newest) return working.end();
    const parts = shownFile(cut(name, 120), about, left);
    if (about.kind !== "checkpoint") parts.push(inputsForm(about, working));
    show(...parts);
  } catch (error) {
    working.end();
    if (mine === newest) say(name, error.message);
  }
}

function show(...parts) {
  get("opened").replaceChildren(...parts);
}

/** A sentence on why a file is not opened. */
function say(name, why) {
  const said = sentence(why);
  show(element("p", { class: "fault" }, element("strong", {}, cut(name, 120)), ` was not opened: ${said}`));
}
