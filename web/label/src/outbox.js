// Answers on their way: each stays in this browser until the server says that it is on the disk.
//
// They outlive the page, and a browser that was closed for a day: whichever page of the project opens next sends them. Sending one
// twice does no harm, since its id is its own.

import { Refusal, ask } from "./server.js";

const MOST = 100; // answers of a request
const PATIENCE = [300, 600, 1200, 2500, 5000]; // milliseconds between tries

export class Outbox {
  /**
   * @param {string} project
   * @param {string} session
   * @param {(state: {waiting: number, trouble: string}) => void} tell
   */
  constructor(project, session, tell) {
    this.prefix = `shoestring-label/${project}/`;
    this.session = session;
    this.tell = tell;
    this.memory = new Map(); // what has no room in the browser's store
    this.mine = new Map(); // the examples of what this page said, until that is saved
    this.count = 0;
    this.failed = 0;
    this.busy = false;
    this.trouble = "";
    this.acknowledged = 0;
    this.aside = 0; // answers that are kept and count for nothing
    this.flush();
  }

  /** Keep an answer and send it. `index`: of its example. */
  put(entry, index) {
    this.mine.set(entry.id, index);
    const kept = { ...entry, order: this.count++ };
    try {
      localStorage.setItem(this.prefix + entry.id, JSON.stringify(kept));
    } catch {
      this.memory.set(entry.id, kept); // full, or switched off
    }
    this.flush();
  }

  /** All that waits, in the order in which it was said. */
  waiting() {
    const found = [...this.memory.values()];
    try {
      for (let at = 0; at < localStorage.length; at += 1) {
        const key = localStorage.key(at) ?? "";
        if (key.startsWith(this.prefix)) found.push(JSON.parse(localStorage.getItem(key) ?? "null"));
      }
    } catch {
      // no store: what is in memory is all
    }
    return found.filter(Boolean).sort((a, b) => a.at - b.at || a.order - b.order);
  }

  /** The examples whose answers are on their way. */
  held() {
    return [...new Set(this.mine.values())];
  }

  forget(id) {
    this.mine.delete(id);
    this.memory.delete(id);
    try {
      localStorage.removeItem(this.prefix + id);
    } catch {
      // it was not there
    }
  }

  /** Send what waits; one request at a time, so that the order holds. */
  async flush() {
    if (this.busy) return;
    this.busy = true;
    clearTimeout(this.timer);
    try {
      for (let sent = this.waiting().slice(0, MOST); sent.length; sent = this.waiting().slice(0, MOST)) {
        this.report();
        const answers = sent.map(({ order, ...one }) => one);
        const told = await ask("/api/answers", { session: this.session, answers });
        for (const id of told.stored) this.forget(id);
        this.acknowledged += told.stored.length;
        this.aside += told.aside?.length ?? 0;
        for (const { id, why } of told.refused) {
          const entry = sent.find((one) => one.id === id);
          this.forget(entry?.id ?? id);
          this.refused = `a label was not taken (${why}); it was: ${JSON.stringify(entry?.labels)} for ${entry?.example}`;
        }
        this.failed = 0;
        this.trouble = "";
      }
    } catch (error) {
      this.trouble = error instanceof Refusal ? error.message : String(error);
      const pause = PATIENCE[Math.min(this.failed, PATIENCE.length - 1)];
      this.failed += 1;
      this.timer = setTimeout(() => this.flush(), pause);
    } finally {
      this.busy = false;
      this.report();
    }
  }

  report() {
    const which = this.aside === 1 ? "1 label is of an example" : `${this.aside.toLocaleString("en")} labels are of examples`;
    const aside = this.aside ? `${which} that the source no longer has as the page showed it: kept, and not counted` : "";
    this.tell({ waiting: this.waiting().length, trouble: this.trouble || this.refused || aside });
  }
}
