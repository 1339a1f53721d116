// A network in a worker, with a limit on its time and on its memory.

export const MOST_BYTES = 256 * 2 ** 20; // that a file's tensors may take, and that a file may have

/** What a worker answered that something cannot be done; its message is a sentence for people. */
export class Refused extends Error {}

/** A worker that holds one network at a time. What takes longer than it may is ended with the worker. */
export class Job {
  constructor() {
    this.waiting = new Map();
    this.count = 0;
    this.ended = null;
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.ready = new Promise((resolve) => {
      this.worker.onmessage = ({ data }) => (data.ready ? resolve() : this.settle(data));
    });
    this.worker.onerror = (event) => {
      event.preventDefault?.();
      this.end(`the worker failed${event.message ? `: ${event.message}` : ", or ran out of memory"}`);
    };
  }

  /**
   * Decodes a file and keeps it.
   * @param {Uint8Array} bytes which go to the worker and are gone here
   * @param {number} seconds that this may take
   * @returns {Promise<object>} what `told` in told.js says of it
   */
  open(bytes, seconds) {
    return this.ask({ act: "open", bytes, maxBytes: MOST_BYTES, maxSeconds: seconds }, [bytes.buffer], seconds);
  }

  /**
   * Runs the network.
   * @param {Object<string, {data: ArrayBufferView, shape: number[]}>} inputs by name
   * @param {number} seconds that this may take
   * @param {string} [entry] of a file with several
   * @returns {Promise<{outputs: object, milliseconds: number}>}
   */
  run(inputs, seconds, entry) {
    return this.ask({ act: "run", inputs, entry }, [], seconds);
  }

  /** @returns {Promise<number>} the milliseconds of a run, the median of several */
  time(inputs, seconds) {
    return this.ask({ act: "time", inputs }, [], seconds);
  }

  /** @returns {Promise<?{milliseconds: number, decodings: number}>} of decoding again what is small; null of others */
  decoding(seconds) {
    return this.ask({ act: "decoding" }, [], seconds);
  }

  /** @returns {Promise<{name: string, size: number}[]>} the files that the worker consists of, with their bytes as they came */
  loaded() {
    return this.ask({ act: "loaded" }, [], 10);
  }

  ask(message, transfer, seconds) {
    if (this.ended) return Promise.reject(new Refused(this.ended));
    const id = this.count++;
    return new Promise((resolve, reject) => {
      const clock = setTimeout(
        () => this.end(`it took more than ${seconds} s, which is what this page allows, and was stopped`),
        1000 * seconds,
      );
      this.waiting.set(id, { resolve, reject, clock });
      this.ready.then(() => this.worker.postMessage({ id, ...message }, transfer));
    });
  }

  settle({ id, answer, refused }) {
    const one = this.waiting.get(id);
    if (!one) return;
    this.waiting.delete(id);
    clearTimeout(one.clock);
    if (refused === undefined) one.resolve(answer);
    else one.reject(new Refused(refused));
  }

  /** Ends the worker; whoever waits for it is told why. */
  end(why = "it was closed") {
    this.ended ??= why;
    this.worker.terminate();
    for (const { reject, clock } of this.waiting.values()) {
      clearTimeout(clock);
      reject(new Refused(why));
    }
    this.waiting.clear();
  }
}
