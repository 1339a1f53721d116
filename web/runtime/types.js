// The element types that operators take: of inputs that are not of them, kernels would read other numbers.

const FLOATS = ["float32", "float64", "float16"];
const BYTES = ["int8", "uint8"];
const NUMBERS = [...FLOATS, ...BYTES, "int16", "uint16", "int32", "uint32", "int64", "uint64"];

/** What letters stand for: types. Inputs with the same letter are of the same type; other letters: any. */
const KINDS = {
  F: FLOATS,
  G: FLOATS,
  H: FLOATS,
  S: ["float32"],
  N: NUMBERS,
  M: NUMBERS,
  I: ["int64", "int32"],
  J: ["int32"],
  L: ["int64"],
  B: ["bool"],
  Q: BYTES,
  R: BYTES,
  P: BYTES,
  D: [...BYTES, "int16", "uint16", "int32"],
};

/**
 * Operators by the letters of their inputs, of which the last goes on for all others; those that are not here take floats, all
 * of one type, and reductions numbers and axes.
 */
const INPUTS = {
  N:
    "Abs Add ArgMax ArgMin Clip Div Greater GreaterOrEqual Less LessOrEqual MatMul Max MaxPool Min Mod Mul Neg PRelu " +
    "Range Relu Sign Sub Sum",
  NM: "Pow",
  NL: "TopK",
  NI: "CumSum",
  NMT: "OneHot",
  FGGHH: "BatchNormalization",
  SSSSJS: "GRU LSTM RNN",
  S: "DynamicQuantizeLinear",
  B: "And Not Or Xor",
  BT: "Where",
  T: "Cast Concat DepthToSpace Equal Flatten Identity Shape Size SpaceToDepth Transpose",
  TI: "Gather GatherElements Slice",
  TL: "Expand GatherND Reshape Split Squeeze Tile Trilu Unsqueeze",
  TLTI: "Pad",
  TUV: "CastLike Dropout",
  L: "ConstantOfShape",
  QRQR: "ConvInteger MatMulInteger",
  QSQRSRSPJ: "QLinearConv",
  QSQRSRSP: "QLinearMatMul",
  FGT: "QuantizeLinear",
  DGD: "DequantizeLinear",
};
const LETTERS = new Map(
  Object.entries(INPUTS).flatMap(([letters, names]) => names.split(" ").map((name) => [name, letters])),
);

/** Attributes by the type that ONNX gives them; all others are integers, which are 2. */
const ATTRIBUTES = {
  1: "alpha beta clip epsilon gamma max min",
  3: "approximate auto_pad direction mode",
  7: "axes dilations ends kernel_shape output_padding output_shape pads perm split starts strides",
  8: "activations",
};
const TYPES = new Map(Object.entries(ATTRIBUTES).flatMap(([type, names]) => names.split(" ").map((name) => [name, +type])));

/** Whether an attribute is of a type; `value` is a tensor (4), or a float of old pads. */
export const isOf = (name, type) => (name === "value" ? type === 4 || type === 1 : type === (TYPES.get(name) ?? 2));

/**
 * Tells the first input of a call whose type its operator does not take.
 * @param {import("./call.js").Call} call
 * @throws {RunError}
 */
export function typed(call) {
  const { operator } = call.node;
  const letters = LETTERS.get(operator) ?? (operator.startsWith("Reduce") ? "NL" : "F");
  const kinds = { ...KINDS };
  call.inputs.forEach((value, i) => {
    if (!value) return;
    const letter = letters[i] ?? letters.at(-1);
    const wanted = (kinds[letter] ??= [value.type]);
    if (!wanted.includes(value.type)) {
      throw call.fault(`its input ${i} is of ${value.type}, and ${wanted.join(", ")} is wanted`);
    }
    kinds[letter] = [value.type];
  });
}
