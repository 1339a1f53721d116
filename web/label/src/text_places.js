// Places in a text. A browser counts 16-bit units; labels count code points, as Python does.

export class Places {
  constructor(text) {
    this.text = text;
  }

  /** The number of code points before a unit. */
  points(unit) {
    let count = 0;
    for (let at = 0; at < unit; at += this.text.codePointAt(at) > 0xffff ? 2 : 1) count += 1;
    return count;
  }

  /** The unit at which a code point begins. */
  unit(point) {
    let at = 0;
    for (let count = 0; count < point && at < this.text.length; count += 1) at += this.text.codePointAt(at) > 0xffff ? 2 : 1;
    return at;
  }

  /** A selection without the spaces at its ends, and with whole characters as people see them; null where nothing is left. */
  trimmed(start, end) {
    const { text } = this;
    [start, end] = [this.edge(start, false), this.edge(end, true)];
    while (start < end && /\s/u.test(text[start])) start += 1;
    while (start < end && /\s/u.test(text[end - 1])) end -= 1;
    return start < end ? [start, end] : null;
  }

  /** The edge of the character that a unit is in: an accent belongs to its letter, a flag is one. */
  edge(unit, after) {
    if (unit <= 0 || unit >= this.text.length) return Math.max(0, Math.min(unit, this.text.length));
    // Graphemes are found from the beginning of the line, so that a long text costs no more than its line.
    const line = this.text.lastIndexOf("\n", unit - 1) + 1;
    this.characters ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
    const found = this.characters.segment(this.text.slice(line)).containing(unit - line);
    if (!found || line + found.index === unit) return unit;
    return line + found.index + (after ? found.segment.length : 0);
  }

  /** The words, as [start, end] in units. */
  words() {
    if (!this.found) {
      this.found = [];
      for (const { index, segment } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(this.text)) {
        if (segment.trim()) this.found.push([index, index + segment.length]);
      }
    }
    return this.found;
  }
}
