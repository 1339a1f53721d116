// The likeliest ways to go on with a text, by a beam search over bytes.
//
// shoestring/artifact/chains/byte_search.py is the same search, and byte_prefix.py what stands before it: change both.

const LINE_END = 0x0a;
const SPACE = 0x20;
const SURE = Math.log(0.5);
const [NOTHING, SPACED, WORD, SINGLE] = [0, 1, 2, 3]; // what a piece has so far
const AT_ONCE = 8; // milliseconds after which a page may draw, or learn that its reader typed on

/** Of each byte that begins a character: what it is (-1: nothing), and how many bytes follow it. */
const KIND = new Int8Array(256).fill(-1);
const MISSING = new Uint8Array(256);
KIND.fill(SINGLE, 0x21, 0x7f);
KIND[SPACE] = SPACED;
for (const letter of "0123456789'-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") KIND[letter.charCodeAt(0)] = WORD;
KIND[0xc2] = SINGLE; // signs
KIND.fill(WORD, 0xc3, 0xe2); // letters of Europe, India and others
KIND.fill(SINGLE, 0xe2, 0xf5);
KIND.fill(WORD, 0xea, 0xee); // Korean
MISSING.fill(1, 0xc2, 0xe0).fill(2, 0xe0, 0xf0).fill(3, 0xf0, 0xf5);

const where = (test) => Uint8Array.from({ length: 256 }, (_, byte) => (test(byte) ? 1 : 0));
const STARTS = where((byte) => KIND[byte] === WORD || KIND[byte] === SINGLE);
const BREAKS = where((byte) => byte === LINE_END || KIND[byte] === SPACED || KIND[byte] === SINGLE);
const ANYTHING = where((byte) => STARTS[byte] || BREAKS[byte]);
const AFTER = [where((byte) => STARTS[byte] || KIND[byte] === SPACED), STARTS, where((byte) => KIND[byte] === WORD), where(() => false)];
/** The bytes that may stand second in a character, by its first; without control characters. */
const SECOND = new Map([[0xc2, [0xa0, 0xbf]], [0xe0, [0xa0, 0xbf]], [0xed, [0x80, 0x9f]], [0xf0, [0x90, 0xbf]], [0xf4, [0x80, 0x8f]]]
  .map(([lead, [first, last]]) => [lead, where((byte) => byte >= first && byte <= last)]));
const LATER = where((byte) => byte >= 0x80 && byte <= 0xbf);

/**
 * @typedef {{text: number[], likely: number, kind: number, lead: number, missing: number, before: ?Float32Array}} Beam
 *   `text`: bytes, the first of which is the last of the prefix; `before`: the state before its last byte
 * @typedef {(ids: number[], states: Float32Array) => {scores: Float32Array, states: Float32Array}} Step
 *   a byte of each beam N and states N×H, to log-probabilities N×256 in nats and the next states
 * @typedef {{text: string, probability: number}} Completion
 */

/** The bytes that the network reads: a line end, then the end of the text, of which `most` bytes count. */
export function bytesOf(text, most) {
  const last = new TextEncoder().encode(text.slice(text.lastIndexOf("\n") + 1));
  let start = Math.max(0, last.length - most);
  if (start) while (start < last.length && (last[start] & 0xc0) === 0x80) start++;
  return [LINE_END, ...Array.from(last.subarray(start), (byte) => (byte < SPACE || byte === 0x7f ? SPACE : byte))];
}

/** Looks for completions, and remembers the states of the text before: one more letter takes one step more. */
export class Search {
  /**
   * @param {Step} step
   * @param {number} width of a state, H
   * @param {{most: number, longest: number, beams: number}} settings as in BytePrefix
   */
  constructor(step, width, settings) {
    Object.assign(this, { step, width, settings, read: [], states: [new Float32Array(width)] });
  }

  /**
   * The likeliest completions of a text, the likeliest first.
   * @param {string} text
   * @param {number} top how many at most
   * @param {() => boolean} [wanted] asked now and then: false ends the search
   * @returns {Promise<?Completion[]>} null where it was ended
   */
  async find(text, top, wanted = () => true) {
    const { beams, longest, most } = this.settings;
    const prefix = bytesOf(text, most);
    const pause = pausing(wanted);
    if (!(await this.take(prefix.slice(0, -1), pause))) return null;
    const last = prefix.at(-1);
    let live = [{ text: [last], likely: 0, kind: NOTHING, lead: 0, missing: 0, before: this.states[prefix.length - 1] }];
    const spaced = last !== LINE_END && last !== SPACE;
    let found = [];
    while (live.length && !(found.length === top && Math.max(...live.map((one) => one.likely)) <= found.at(-1).likely)) {
      if (!(await pause())) return null;
      const after = this.run(live);
      live.forEach((one, i) => {
        if (one.kind === WORD && !one.missing) found.push({ likely: one.likely + ended(after.scores[i]), beam: one });
      });
      const more = longer(live, after, beams, spaced);
      for (const one of more) if (whole(one)) found.push({ likely: one.likely, beam: one });
      found = found.sort((a, b) => b.likely - a.likely).slice(0, top);
      live = more.filter((one) => !whole(one) && one.text.length - 1 < longest);
    }
    const kept = await this.grown(found, longest, pause);
    if (!kept) return null;
    const decoder = new TextDecoder();
    return kept
      .sort((a, b) => b.likely - a.likely)
      .map(({ likely, text: bytes }) => ({ text: decoder.decode(Uint8Array.from(bytes.slice(1))), probability: Math.exp(likely) }));
  }

  /** Reads bytes, of which those that were read before are known; false where the search was ended. */
  async take(bytes, pause) {
    let at = 0;
    while (at < bytes.length && bytes[at] === this.read[at]) at++;
    this.read.length = at;
    this.states.length = at + 1;
    for (; at < bytes.length; at++) {
      if (!(await pause())) return false;
      this.states.push(this.step([bytes[at]], this.states[at]).states);
      this.read.push(bytes[at]);
    }
    return true;
  }

  /** The log-probabilities after each beam, and the states. */
  run(live) {
    const { width } = this;
    const before = new Float32Array(live.length * width);
    live.forEach((one, i) => before.set(one.before, i * width));
    const { scores, states } = this.step(live.map((one) => one.text.at(-1)), before);
    return {
      scores: live.map((_, i) => scores.subarray(256 * i, 256 * (i + 1))),
      states: live.map((_, i) => states.subarray(width * i, width * (i + 1))),
    };
  }

  /** Completions with the words that follow them almost surely; null where the search was ended. */
  async grown(found, longest, pause) {
    const kept = found.map(({ likely, beam }) => ({ likely, text: beam.text }));
    let growing = found.map(({ beam }, at) => ({ at, beam }));
    while (growing.length) {
      if (!(await pause())) return null;
      const { scores, states } = this.run(growing.map((one) => one.beam));
      const following = [];
      growing.forEach(({ at, beam }, i) => {
        let { likely, text } = kept[at];
        if (beam.kind === WORD && !beam.missing && beam.text.length > text.length) {
          const end = beam.likely + ended(scores[i]);
          if (end >= likely + SURE) {
            [likely, text] = [end, beam.text];
            kept[at] = { likely, text };
          }
        }
        const byte = best(scores[i], options(beam, beam.text.length === text.length));
        const more = extended(beam, byte, beam.likely + scores[i][byte], states[i]);
        if (byte === LINE_END || more.likely < likely + SURE || more.text.length - 1 > longest) return;
        if (whole(more)) kept[at] = { likely: more.likely, text: more.text };
        following.push({ at, beam: more });
      });
      growing = following;
    }
    return kept;
  }
}

/** Lets the page draw after some milliseconds; tells whether the search is still wanted. */
function pausing(wanted) {
  let began = performance.now();
  return async () => {
    if (performance.now() - began < AT_ONCE) return true;
    await new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
    began = performance.now();
    return wanted();
  };
}

const whole = (beam) => beam.kind === SINGLE && !beam.missing;

/** The log-probability that a word ends before the next byte. */
function ended(scores) {
  let sum = 0;
  for (let byte = 0; byte < 256; byte++) if (BREAKS[byte]) sum += Math.exp(scores[byte]);
  return Math.log(Math.max(sum, 1e-300));
}

/** A beam with one more byte. */
function extended(beam, byte, likely, before) {
  const text = [...beam.text, byte];
  const missing = beam.missing ? beam.missing - 1 : MISSING[byte];
  const [kind, lead] = beam.missing ? [beam.kind, beam.lead] : [KIND[byte], byte];
  return { text, likely, kind, lead: missing ? lead : 0, missing, before };
}

/** The likeliest beams with one more byte. */
function longer(live, { scores, states }, beams, spaced) {
  const likely = [];
  live.forEach((one, at) => {
    const allowed = one.missing ? continues(one) : one.kind === NOTHING && !spaced ? STARTS : AFTER[one.kind];
    for (let byte = 0; byte < 256; byte++) if (allowed[byte]) likely.push({ at, byte, value: one.likely + scores[at][byte] });
  });
  likely.sort((a, b) => b.value - a.value);
  return likely.slice(0, beams).map(({ at, byte, value }) => extended(live[at], byte, value, states[at]));
}

/** Which bytes go on with a character, by the table of well-formed bytes of Unicode. */
function continues(beam) {
  const started = beam.missing < MISSING[beam.lead];
  return (started ? undefined : SECOND.get(beam.lead)) ?? LATER;
}

/** Which bytes may follow while a completion grows. */
function options(beam, atEnd) {
  if (beam.missing) return continues(beam);
  if (atEnd) return beam.kind === WORD ? BREAKS : ANYTHING;
  return AFTER[beam.kind];
}

/** The likeliest byte of those that may follow. */
function best(scores, allowed) {
  let found = -1;
  for (let byte = 0; byte < 256; byte++) if (allowed[byte] && (found < 0 || scores[byte] > scores[found])) found = byte;
  return found;
}
