"""C for products of computed matrices, and for normalisation."""

from __future__ import annotations

from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.emit_layers import Functions, place_of
from shoestring.artifact.plain_c.layers import Multiply, Normalize


def multiply(now: Functions, layer: Multiply) -> tuple[str, list[str]]:
    """The function of a product of matrices, which all of one shape share."""
    variables = [f"b{place}" for place in range(len(layer.batch))]
    names = ", ".join([*variables, "row", "column", "i"])
    lines = [
        "static void @(const float *a, const float *b, float *out)",
        "{",
        f"    unsigned {names};",
    ]
    pad = "    "
    for variable, (length, _, _) in zip(variables, layer.batch, strict=True):
        lines += [f"{pad}for ({variable} = 0; {variable} < {length}; {variable}++) {{"]
        pad += "    "
    starts = [
        place_of(0, tuple(part[which] for part in layer.batch), variables) for which in (1, 2)
    ]
    lines += [
        f"{pad}for (row = 0; row < {layer.rows}; row++) {{",
        f"{pad}    for (column = 0; column < {layer.columns}; column++) {{",
        f"{pad}        const float *left = a + {starts[0]} + row * {layer.inner};",
        f"{pad}        const float *right = b + {starts[1]} + column;",
        f"{pad}        float sum = 0.0f;",
        f"{pad}        for (i = 0; i < {layer.inner}; i++) {{",
        f"{pad}            sum += left[i] * right[i * {layer.columns}];",
        f"{pad}        }}",
        f"{pad}        *out++ = sum;",
        f"{pad}    }}",
        f"{pad}}}",
    ]
    lines += ["    " * depth + "}" for depth in range(len(layer.batch), 0, -1)]
    return now.function("multiply", "\n".join([*lines, "}", ""])), []


def normalize(now: Functions, layer: Normalize) -> tuple[str, list[str]]:
    """The function of a normalisation, which all of one kind share."""
    now.needs.add("math")
    at = "slice" if layer.by_slice else "i"
    lines = [
        "static void @(const float *in, float *out, const FLASH float *scale,",
        "    const FLASH float *shift, unsigned outer, unsigned count, float epsilon)",
        "{",
        "    unsigned slice, i;",
        "    for (slice = 0; slice < outer; slice++) {",
        "        float mean = 0.0f, square = 0.0f;",
        "        for (i = 0; i < count; i++) {",
        "            mean += in[i];",
        "        }",
        "        mean /= (float)count;",
        "        for (i = 0; i < count; i++) {",
        "            square += (in[i] - mean) * (in[i] - mean);",
        "        }",
        "        square = 1.0f / sqrtf(square / (float)count + epsilon);",
        "        for (i = 0; i < count; i++) {",
        f"            *out++ = (*in++ - mean) * square * scale[{at}] + shift[{at}];",
        "        }",
        "    }",
        "}",
        "",
    ]
    call = [now.constant("float", layer.scale), now.constant("float", layer.shift)]
    call += [str(layer.outer), str(layer.count), float_literal(layer.epsilon)]
    return now.function("normalize", "\n".join(lines)), call
