// Numbers and text as people read them.

const MINUS = "\u2212";
const THIN = "\u202f";

/** Text that is no longer than `most` characters; what is cut ends in "…". */
export function cut(text, most = 160) {
  const whole = oneLine(String(text ?? "").slice(0, most + 1));
  if (whole.length <= most) return whole;
  // Not within a surrogate pair.
  const end = /[\ud800-\udbff]/.test(whole[most - 2]) ? most - 2 : most - 1;
  return `${whole.slice(0, end)}…`;
}

/** Charts would break lines where a name has them. */
function oneLine(text) {
  return text.replace(/[\s\u0000-\u001f]/g, " ");
}

/** Text whose long decimals are rounded to six digits: "bytes=2853.2507739938083" is "bytes=2853.25". */
export function brief(text) {
  return cut(text, 4000).replace(/\d+\.\d{4,}(?![\d.e])/g, (digits) => String(Number(Number(digits).toPrecision(6))));
}

/** What is said of two measurements whose intervals overlap. */
export const UNCLEAR = "no clear change";

/** Whether two intervals overlap, so that what lies in them is not told apart. */
export function alike(one, other) {
  return Boolean(one && other && one[0] <= other[1] && other[0] <= one[1]);
}

/**
 * Short names for tensors: what all of them begin with is left out where it must be, and what is still too long is cut in
 * the middle, since "encoder.layers.11.attention.weight" has its number at the front and its kind at the end.
 * @param {string[]} names
 * @returns {(name: string, most: number) => string}
 */
export function shortener(names) {
  const different = [...new Set(names)];
  const shared = different.length > 1 ? different.reduce((so, name) => common(so, name)) : "";
  const left = shared.lastIndexOf(".") + 1;
  return (name, most) => {
    const whole = String(name ?? "");
    if (whole.length <= most) return oneLine(whole);
    const rest = left > 0 && whole.startsWith(shared) ? whole.slice(left) : whole;
    if (rest.length < most) return oneLine(`…${rest}`);
    const head = Math.ceil((most - 1) * 0.6);
    return oneLine(`${rest.slice(0, head)}…${rest.slice(rest.length - (most - 1 - head))}`);
  };
}

/** What two names begin with. */
function common(one, other) {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return one.slice(0, at);
}

const formats = new Map();

/** A number with at most `digits` significant digits, and commas between thousands. */
export function number(value, digits = 3) {
  const integral = Number.isInteger(value) || Math.abs(value) >= 10 ** digits;
  const key = integral ? "whole" : digits;
  if (!formats.has(key)) {
    const options = integral ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits };
    formats.set(key, new Intl.NumberFormat("en-US", options));
  }
  return formats.get(key).format(value).replace("-", MINUS);
}

/** A number with so many decimals. */
export function fixed(value, decimals) {
  const key = `fixed ${decimals}`;
  if (!formats.has(key)) {
    const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    formats.set(key, new Intl.NumberFormat("en-US", options));
  }
  return formats.get(key).format(value).replace("-", MINUS);
}

const LARGE = {
  B: [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "KB"],
  ],
  "": [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "K"],
  ],
};

/**
 * A value with its unit: "1,394 B", "12.4 MB", "0.081 ms", "98.25 %".
 * @param {number | null | undefined} value
 * @param {string} unit
 */
export function quantity(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "%") return `${fixed(value * 100, 2)}${THIN}%`;
  if (unit === "min" || unit === "s") return duration(unit === "min" ? value * 60 : value);
  if (unit === "B" && Math.abs(value) < 1e7) return `${number(Math.round(value))}${THIN}B`;
  if (unit === "B" || (unit === "" && Math.abs(value) >= 1e7)) return short(value, unit, 4);
  if (unit === "") return number(value, 4);
  return `${number(value, 3)}${THIN}${unit}`;
}

/** An interval, with its unit once: "0.0251 to 0.0277 ms". */
export function range([low, high], unit) {
  const [from, to] = [low, high].map((value) => quantity(value, unit));
  const [, , ending] = /^(.*?)(\u202f\D+)$/.exec(to) ?? [null, null, ""];
  return ending && from.endsWith(ending) ? `${from.slice(0, -ending.length)} to ${to}` : `${from} to ${to}`;
}

/** Seconds as "2.35 s", "14 min 5 s" or "3 h 20 min". */
function duration(seconds) {
  if (Math.abs(seconds) < 60) return `${number(seconds, 3)}${THIN}s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  /** @type {[number, string][]} */
  const said = hours
    ? [
        [hours, "h"],
        [minutes, "min"],
      ]
    : [
        [minutes, "min"],
        [rest, "s"],
      ];
  return said
    .filter(([many]) => many > 0)
    .map(([many, unit]) => `${number(many)}${THIN}${unit}`)
    .join(" ");
}

/** The same in little room, for the ticks of an axis: "1.4 KB". */
export function short(value, unit, digits = 3) {
  if (unit === "%") return `${number(value * 100, 4)}${THIN}%`;
  for (const [factor, name] of LARGE[unit] ?? []) {
    if (Math.abs(value) >= factor) return `${number(value / factor, digits)}${THIN}${name}`;
  }
  return unit ? `${number(value, digits)}${THIN}${unit}` : number(value, digits);
}

/** Whether differences of a score are told in points, which are hundredths. */
export function inPoints(unit) {
  return unit === "%";
}

/** Points or the score's own unit: "0.40 points", "1.00 point". */
export function scoreAmount(value, unit) {
  if (!inPoints(unit)) return number(value, 3);
  const shown = fixed(value * 100, 2);
  return `${shown} ${Math.abs(Number(shown.replace(MINUS, "-"))) === 1 ? "point" : "points"}`;
}

/** With its sign: "+0.40 points", "−1,200 B"; "the same" for none. */
export function difference(value, unit) {
  if (value === 0) return "the same";
  const size = Math.abs(value);
  const shown = inPoints(unit) || unit === "score" ? scoreAmount(size, unit) : quantity(size, unit);
  return `${value > 0 ? "+" : MINUS}${shown}`;
}

/** How a resource changed, in words: "152 times smaller", "12 % more". */
export function change(before, after, [less, more]) {
  if (before === after) return "the same";
  if (!(before > 0) || !(after > 0)) return "";
  const factor = before > after ? before / after : after / before;
  const word = before > after ? less : more;
  if (factor >= 1.5) return `${number(factor, factor < 10 ? 2 : 3)} times ${word}`;
  const percent = (Math.abs(after - before) / before) * 100;
  return `${number(percent, 2)}${THIN}% ${word}`;
}

const NAMES = new Map([
  ["bytes", "size of the file"],
  ["milliseconds", "latency of a run"],
  ["seconds", "time of this trial"],
  ["processor_seconds", "processor time"],
]);

/** What an axis is called where there is room for words. */
export function rowName(axis) {
  return NAMES.get(axis.field) ?? cut(axis.name, 32);
}

/** @type {Map<string, [string, string]>} */
const COMPARATIVES = new Map([
  ["bytes", ["smaller", "larger"]],
  ["milliseconds", ["faster", "slower"]],
]);

/** The two comparatives of a resource: fewer of it, more of it. */
export function comparatives(field) {
  return COMPARATIVES.get(field) ?? ["less", "more"];
}

/** "3 trials", "1 trial". */
export function count(many, noun, plural = `${noun}s`) {
  return `${number(many)} ${many === 1 ? noun : plural}`;
}

// One for all: making one takes longer than using it a hundred times.
const MOMENTS = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** A moment, as the reader's machine writes it; "" for what is no time. */
export function moment(time) {
  const date = new Date(typeof time === "number" ? time * 1000 : time);
  if (Number.isNaN(date.getTime())) return "";
  return MOMENTS.format(date);
}

/** "size ≤ 10 KB", from the sentence that came with it or from its numbers. */
export function limitWords(limit, axis) {
  const name = axis?.name ?? limit.field;
  const unit = axis?.unit ?? "";
  if (limit.at_most !== null) return `${name} ≤ ${short(limit.at_most, unit, 4)}`;
  if (limit.at_least !== null) return `${name} ≥ ${short(limit.at_least, unit, 4)}`;
  return limit.words;
}
