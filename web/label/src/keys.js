// Which key stands for which class: by place, so that no two names can collide.

const DIGITS = [..."1234567890"];
const TAKEN = new Set(["s", "m", "b"]); // skip, there may be more, a new box
const LETTERS = [..."qwertyuiopasdfghjklzxcvbnm"].filter((letter) => !TAKEN.has(letter));
export const KEYS = [...DIGITS, ...LETTERS];

/** The number of the class that a key stands for; -1 for none. */
export function classOf(event, count) {
  if (event.ctrlKey || event.metaKey || event.altKey) return -1;
  // On keyboards whose digits need Shift, the place of the key tells.
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code ?? "");
  const at = KEYS.indexOf(digit ? digit[1] : event.key.toLowerCase());
  return at < count ? at : -1;
}
