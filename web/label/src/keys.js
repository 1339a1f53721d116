// Which key stands for which class: no two classes have the same one.

const DIGITS = [..."1234567890"];
const TAKEN = new Set(["s", "m", "b"]); // skip, there may be more, a new box
const LETTERS = [..."qwertyuiopasdfghjklzxcvbnm"].filter((letter) => !TAKEN.has(letter));
const KEYS = [...DIGITS, ...LETTERS];

/**
 * The key of each class; undefined for those that find none. A class that is called as a key has that key, the others have what is
 * left, by place. `kept`: keys that were given before, by class: they stay, since hands have learned them.
 * @param {string[]} names
 * @param {Map<string, string>} [kept]
 */
export function keysOf(names, kept = new Map()) {
  const given = new Map(names.filter((name) => kept.has(name)).map((name) => [name, kept.get(name)]));
  const free = new Set(KEYS);
  for (const key of given.values()) free.delete(key);
  const give = (name, key) => {
    given.set(name, key);
    free.delete(key);
  };
  for (const name of names) {
    const own = name.trim().toLowerCase();
    if (!given.has(name) && free.has(own)) give(name, own);
  }
  for (const name of names) {
    const [key] = free;
    if (!given.has(name) && key !== undefined) give(name, key);
  }
  return names.map((name) => given.get(name));
}

/** The number of the class that a key stands for, by the key of each; -1 for none. */
export function classOf(event, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey) return -1;
  // On keyboards whose digits need Shift, the place of the key tells.
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code ?? "");
  return keys.indexOf(digit ? digit[1] : event.key.toLowerCase());
}
