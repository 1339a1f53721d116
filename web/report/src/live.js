// A page that a server sends asks it for the document again and again.

import { fill } from "./dom.js";

const EVERY = 2000; // milliseconds
const GONE = 3; // answers that failed, one after the other, before the page says so

/**
 * Ask for ./document.json every two seconds.
 * @param {HTMLElement} told where the page says how things stand
 * @param {import("../document.d.ts").Document} given
 * @param {(given: import("../document.d.ts").Document) => void} take
 */
export function follow(told, given, take) {
  let last = null;
  let failed = 0;
  let said = "";
  const say = (sentence, kind) => {
    if (sentence === said) return;
    said = sentence;
    told.className = `live ${kind}`;
    fill(told, sentence);
  };
  const standing = (now) => {
    if (now.working) say("working…", "working");
    else if (now.points.length === 0) say("waiting…", "working");
    else say("finished", "finished");
  };
  told.hidden = false;
  standing(given);
  async function ask() {
    try {
      const answer = await fetch("./document.json", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      failed = 0;
      if (text !== last) {
        const fresh = JSON.parse(text);
        if (fresh.schema !== 1) throw new Error("schema");
        last = text;
        given = fresh;
        take(fresh);
      }
      standing(given);
    } catch {
      failed += 1;
      if (failed >= GONE) say("the server has gone: this is what it said last", "gone");
    }
    setTimeout(ask, EVERY);
  }
  setTimeout(ask, EVERY);
}
