// Examples that come next, fetched before they are needed, with their pictures decoded.

import { ask, picture } from "./server.js";

const FEWEST = 8;
const MOST = 40;
const RATE_MILLISECONDS = 2000; // so much work lies ready, at the pace of the last moments
const TRY_AGAIN = 700; // milliseconds

export class Supply {
  /**
   * @param {() => {by: string, session: string, held: number[], done: Set<number>}} who `held`: what the page shows or sends
   * now; `done`: what it has answered, which an answer of the server that comes late may still have
   * @param {(told: any) => void} arrived
   * @param {() => void} renewed the server was started again with a source that was changed
   */
  constructor(who, arrived, renewed) {
    this.who = who;
    this.arrived = arrived;
    this.renewed = renewed;
    this.source = undefined;
    this.ready = [];
    this.times = [];
    this.asking = false;
    this.empty = false;
  }

  /** The next example; null where none is here yet. Ask for `more` once the page has it as its own. */
  take() {
    const now = performance.now();
    this.times = [...this.times.filter((time) => now - time < RATE_MILLISECONDS), now];
    return this.ready.shift() ?? null;
  }

  /** Put an example back before the others. */
  back(example) {
    this.ready.unshift(example);
  }

  wanted() {
    return Math.min(MOST, Math.max(FEWEST, this.times.length));
  }

  /** Ask for more where there are too few. `always`: ask in any case, to keep what is here. */
  async more(always = false) {
    const want = this.wanted() - this.ready.length;
    if (this.asking || (!always && want < this.wanted() / 4)) return;
    this.asking = true;
    try {
      const who = this.who();
      const held = [...who.held, ...this.ready.map((one) => one.index)];
      const told = await ask("/api/next", { by: who.by, session: who.session, held, want: Math.max(want, 0), source: this.source });
      if (this.source !== undefined && told.source !== this.source) {
        this.ready = [];
        this.renewed();
      }
      this.source = told.source;
      const lost = new Set(told.lost);
      const now = this.who();
      const known = new Set([...now.held, ...now.done, ...this.ready.map((one) => one.index)]);
      for (const example of told.examples) {
        if (known.has(example.index)) continue;
        if (example.picture) example.image = picture(example.index).catch((error) => error);
        this.ready.push(example);
      }
      this.ready = this.ready.filter((one) => !lost.has(one.index));
      this.empty = want > 0 && told.examples.length === 0 && this.ready.length === 0;
      this.failed = "";
      this.arrived(told);
    } catch (error) {
      this.failed = error.message;
      this.empty = false;
      setTimeout(() => this.more(), TRY_AGAIN);
      this.arrived({ lost: [], sameName: false });
    } finally {
      this.asking = false;
    }
  }
}
