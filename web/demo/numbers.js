// Numbers that somebody typed, as the tensor that an input takes.

/** The arrays of the types that a form can make; of the types that a runtime takes as float32, that. */
export const TYPES = {
  float32: Float32Array,
  float16: Float32Array,
  bfloat16: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/**
 * The shape of an input whose varying axes are asked for.
 * @param {{name: string, shape: (number|string)[]}} input
 * @param {(axis: string) => number} lengthOf
 * @returns {number[]}
 */
export function shapeOf({ name, shape }, lengthOf) {
  return shape.map((axis) => {
    const length = typeof axis === "string" ? lengthOf(axis) : axis;
    if (!Number.isInteger(length) || length < 0) throw new Error(`axis ${axis} of input ${name} must be a whole number, not ${length}`);
    return length;
  });
}

/**
 * @param {string} text numbers with spaces, commas or brackets between them; zeros where it is empty
 * @param {string} type of `TYPES`
 * @param {number} many how many there must be
 * @param {string} name of the input, for messages
 * @returns {ArrayBufferView}
 */
export function numbersOf(text, type, many, name) {
  const Kind = TYPES[type];
  const words = text.split(/[\s,;[\](){}]+/).filter(Boolean);
  if (!words.length) return new Kind(many);
  const out = new Kind(many);
  words.slice(0, many).forEach((word, i) => (out[i] = numberOf(word, type, name)));
  if (words.length !== many) throw new Error(`input ${name} takes ${many} numbers, and there are ${words.length}`);
  return out;
}

function numberOf(word, type, name) {
  const said = `input ${name}: “${word.slice(0, 40)}” is not`;
  if (type === "bool") {
    if (!/^(0|1|true|false)$/i.test(word)) throw new Error(`${said} 0, 1, true or false`);
    return /^(1|true)$/i.test(word) ? 1 : 0;
  }
  const value = /^nan$/i.test(word) ? NaN : Number(word.replace(/^([+-]?)inf$/i, "$1Infinity"));
  if (Number.isNaN(value) && !/^nan$/i.test(word)) throw new Error(`${said} a number`);
  if (type.startsWith("float") || type === "bfloat16") return value;
  if (!/^[+-]?\d+$/.test(word)) throw new Error(`${said} a whole number`);
  const whole = BigInt(word.replace(/^\+/, ""));
  const bits = BigInt(type.replace(/\D/g, ""));
  const [least, most] = type.startsWith("u") ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
  if (whole < least || whole > most) throw new Error(`${said} from ${least} to ${most}, as ${type} is`);
  return bits === 64n ? whole : Number(whole);
}
