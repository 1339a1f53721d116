"""C for the layers that are no convolution or matrix product: a small function for each kind."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.c_text import array
from shoestring.artifact.plain_c.layers import (
    Buffer,
    IntegerAdd,
    Operand,
    Pointwise,
    Rows,
    Softmax,
)

LIMITS = {"uint8_t": (0, 255), "int8_t": (-128, 127)}


@dataclass
class Functions:
    """Functions and constants that have been written; two layers that need the same share it.

    `prefix`: of every name.
    `constants`, `functions`: C at file scope.
    `needs`: what functions call: "nearest", "limited", "rescale", "math".
    """

    prefix: str
    buffers: tuple[Buffer, ...]
    constants: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)

    def constant(self, kind: str, numbers: np.ndarray) -> str:
        """The name of a constant array with these numbers."""
        body = array(kind, "{}", numbers)
        if body not in self._names:
            self._names[body] = f"{self.prefix}_constant_{len(self.constants)}"
            self.constants.append(array(kind, self._names[body], numbers))
        return self._names[body]

    def function(self, kind: str, text: str) -> str:
        """The name of a function with this text, in which `@` stands for its name."""
        if text not in self._names:
            self._names[text] = f"{self.prefix}_{kind}_{len(self.functions)}"
            self.functions.append(text.replace("@", self._names[text]))
        return self._names[text]

    def kind(self, number: int) -> str:
        """The C type of a buffer."""
        return self.buffers[number].kind


def pointwise(now: Functions, layer: Pointwise) -> tuple[str, list[str]]:
    """(the function, what it is called with besides the buffers) of an element-wise layer.

    It is called with the buffers that it reads, each once, then with its target.
    """
    sources = list(dict.fromkeys(layer.reads))
    letters = {number: f"in{place}" for place, number in enumerate(sources)}
    flat = len(layer.axes) == 1 and layer.steps == (1,)
    flat = flat and all(one.steps in ((1,), (0,), ()) for one in layer.operands) and not layer.start
    target = now.kind(layer.target)
    arguments = [f"const {now.kind(number)} *{letters[number]}" for number in sources]
    arguments += [f"{target} *out"] + (["unsigned count"] if flat else [])
    variables = [f"i{place}" for place in range(len(layer.axes))]
    lines = [f"static void @({', '.join(arguments)})", "{", f"    unsigned {', '.join(variables)};"]
    pad = "    "
    if layer.fill is not None:
        value = float_literal(layer.fill) if target == "float" else str(int(layer.fill))
        count = now.buffers[layer.target].count
        lines += [
            f"    for (i0 = 0; i0 < {count}; i0++) {{",
            f"        out[i0] = {value};",
            "    }",
        ]
    for variable, length in zip(variables, layer.axes, strict=True):
        limit = "count" if flat else str(length)
        lines += [f"{pad}for ({variable} = 0; {variable} < {limit}; {variable}++) {{"]
        pad += "    "
    names: dict[int, str] = {}
    for place, operand in enumerate(layer.operands):
        names[place] = _operand(now, operand, letters, variables, lines, pad, place)
    for place, term in enumerate(layer.terms):
        words = [names[one] for one in term.arguments]
        text = term.text.format(*words, p=now.prefix)
        now.needs |= set(term.needs)
        lines += [f"{pad}const {term.kind} t{place} = {text};"]
        names[-1 - place] = f"t{place}"
    result = names[-len(layer.terms)] if layer.terms else names[0]
    lines += [f"{pad}out[{place_of(layer.start, layer.steps, variables)}] = {result};"]
    for depth in range(len(layer.axes), 0, -1):
        lines += ["    " * depth + "}"]
    lines += ["}", ""]
    return now.function("map", "\n".join(lines)), [str(layer.axes[0])] if flat else []


def _operand(
    now: Functions,
    operand: Operand,
    letters: dict[int, str],
    variables: list[str],
    lines: list[str],
    pad: str,
    place: int,
) -> str:
    """C for an operand, which is read into a variable if it is an element of a buffer."""
    if operand.buffer is not None:
        name = letters[operand.buffer]
        if operand.whole:
            return name
        where = place_of(operand.start, operand.steps, variables)
        lines += [f"{pad}const {operand.kind} x{place} = {name}[{where}];"]
        return f"x{place}"
    numbers = operand.constant
    assert numbers is not None
    if numbers.size == 1:
        one = numbers.reshape(-1)[0]
        text = float_literal(float(one)) if operand.kind == "float" else str(int(one))
        return f"({text})" if text.startswith("-") else text
    name = now.constant(operand.kind, numbers)
    return f"{name}[{place_of(operand.start, operand.steps, variables)}]"


def place_of(start: int, steps: tuple[int, ...], variables: list[str]) -> str:
    """C for an index."""
    parts = [str(start)] if start else []
    for step, variable in zip(steps, variables, strict=True):
        if step:
            sign = "- " if step < 0 and parts else "-" if step < 0 else ""
            word = variable if abs(step) == 1 else f"{variable} * {abs(step)}"
            parts.append(f"{sign}{word}")
    text = ""
    for part in parts:
        text += part if not text else f" {part}" if part.startswith("-") else f" + {part}"
    return text or "0"


def softmax(now: Functions, layer: Softmax) -> tuple[str, list[str]]:
    """The function of a softmax, which all softmaxes share."""
    now.needs.add("math")
    last = (
        ["sum = logf(sum);", "at[i * inner] = (at[i * inner] - most) - sum;"]
        if layer.logarithm
        else ["", "at[i * inner] /= sum;"]
    )
    keep = "" if layer.logarithm else "at[i * inner] = "
    add = (
        "sum += expf(at[i * inner] - most);"
        if layer.logarithm
        else f"sum += {keep}expf(at[i * inner] - most);"
    ).replace("sum += at[i * inner] = ", "at[i * inner] = ")
    inner = [add] if layer.logarithm else [add, "sum += at[i * inner];"]
    lines = [
        "static void @(const float *in, float *out, unsigned outer, unsigned count,",
        "    unsigned inner)",
        "{",
        "    unsigned slice, i;",
        "    for (i = 0; i < outer * count * inner; i++) {",
        "        out[i] = in[i];",
        "    }",
        "    for (slice = 0; slice < outer * inner; slice++) {",
        "        float *at = out + slice / inner * (count * inner) + slice % inner;",
        "        float most = -INFINITY, sum = 0.0f;",
        "        for (i = 0; i < count; i++) {",
        "            if (at[i * inner] > most) {",
        "                most = at[i * inner];",
        "            }",
        "        }",
        "        for (i = 0; i < count; i++) {",
        *(f"            {line}" for line in inner),
        "        }",
        *([f"        {last[0]}"] if last[0] else []),
        "        for (i = 0; i < count; i++) {",
        f"            {last[1]}",
        "        }",
        "    }",
        "}",
        "",
    ]
    call = [str(layer.outer), str(layer.count), str(layer.inner)]
    return now.function("softmax", "\n".join(lines)), call


def rows(now: Functions, layer: Rows) -> tuple[str, list[str]]:
    """The function of an embedding, which all embeddings share."""
    table = now.constant("float", layer.table)
    lines = [
        "/* An index below 0 counts from the end; one beyond the table is the nearest row. */",
        "static void @(const int32_t *in, float *out, const FLASH float *table, unsigned count,",
        "    int32_t length, unsigned width)",
        "{",
        "    unsigned i, j;",
        "    for (i = 0; i < count; i++) {",
        "        int32_t index = in[i];",
        "        if (index < 0) {",
        "            index = index < -length ? 0 : index + length;",
        "        }",
        "        if (index >= length) {",
        "            index = length - 1;",
        "        }",
        "        for (j = 0; j < width; j++) {",
        "            *out++ = table[(uint32_t)index * width + j];",
        "        }",
        "    }",
        "}",
        "",
    ]
    count = now.buffers[layer.source].count
    call = [table, str(count), str(len(layer.table)), str(layer.table.shape[1])]
    return now.function("rows", "\n".join(lines)), call


def integer_add(now: Functions, layer: IntegerAdd, exact: bool) -> tuple[str, list[str]]:
    """The function of a sum of integers, which all sums of this type share.

    `exact`: whether a sum of this type has exceptions.
    """
    kind = now.kind(layer.target)
    low, high = LIMITS[kind]
    offset = layer.offset - low * (1 << layer.shift)
    back = f" - {-low}" if low else ""
    more = ", const FLASH int16_t (*odd)[3],\n    unsigned odds, int32_t near" if exact else ""
    check = [
        "        /* So near to a half that the runtime's rounding of floats counts. */",
        "        if (((uint32_t)sum + (uint32_t)near & (((uint32_t)1 << shift) - 1)) <= 2 * "
        "(uint32_t)near) {",
        "            unsigned j;",
        "            for (j = 0; j < odds; j++) {",
        "                if (odd[j][0] == a[i] && odd[j][1] == b[i]) {",
        "                    element += odd[j][2];",
        "                }",
        "            }",
        "        }",
    ]
    check[1] = check[1].replace(
        "((uint32_t)sum + (uint32_t)near & (", "(((uint32_t)sum + (uint32_t)near) & ("
    )
    lines = [
        f"static void @(const {kind} *a, const {kind} *b, {kind} *out, unsigned count,",
        f"    int32_t factor_a, int32_t factor_b, int32_t offset, int shift{more})",
        "{",
        "    unsigned i;",
        "    for (i = 0; i < count; i++) {",
        "        int32_t sum = a[i] * factor_a + b[i] * factor_b + offset;",
        "        int32_t element = sum < 0 ? 0 : sum >> shift;",
        f"        element = element > {high - low} ? {high - low} : element;",
        *(check if exact else []),
        f"        out[i] = ({kind})(element{back});",
        "    }",
        "}",
        "",
    ]
    call = [
        str(now.buffers[layer.target].count),
        str(layer.first),
        str(layer.second),
        str(offset),
        str(layer.shift),
    ]
    if exact:
        call += ["0", "0", "0"]
    if layer.exceptions:
        odd = np.array(layer.exceptions)
        name = f"{now.prefix}_odd_{len(now.constants)}"
        rows = " ".join(f"{{{a}, {b}, {c}}}," for a, b, c in odd.tolist())
        now.constants.append(f"static const FLASH int16_t {name}[][3] = {{{rows}}};\n")
        call[-3:] = [name, str(len(odd)), str(layer.near)]
    return now.function("add", "\n".join(lines)), call
