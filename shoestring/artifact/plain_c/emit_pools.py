"""C for pools, and for means, sums and extremes along axes."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.emit_layers import LIMITS, Functions, place_of
from shoestring.artifact.plain_c.emit_products import fixed
from shoestring.artifact.plain_c.layers import Reduce, Windowed


def reduce(now: Functions, layer: Reduce) -> tuple[str, list[str]]:
    """The function of a mean, a sum, or the largest of windows."""
    source, target = now.kind(layer.source), now.kind(layer.target)
    outer = [f"o{place}" for place in range(len(layer.outer))]
    inner = [f"i{place}" for place in range(len(layer.inner))]
    size = int(np.prod([length for length, _ in layer.inner]))
    steps = tuple(step for _, step in (*layer.outer, *layer.inner))
    value = f"in[{place_of(0, steps, [*outer, *inner])}]"
    whole = layer.rescale is not None
    kind = "int32_t" if whole or source == "int32_t" else "float"
    start = {"mean": "0", "sum": "0"}.get(layer.how, "")
    if whole:
        assert layer.zero is not None
        start = str(-layer.zero * size)
    extreme = layer.how in ("max", "min", "argmax")
    if extreme:
        least = {"float": "INFINITY", "int32_t": "INT32_MAX"}[kind]
        most = {"float": "-INFINITY", "int32_t": "INT32_MIN"}[kind]
        start = least if layer.how == "min" else most
    lines = [
        f"static void @(const {source} *in, {target} *out)",
        "{",
        f"    unsigned {', '.join([*outer, *inner])};",
    ]
    pad = "    "
    for variable, (length, _) in zip(outer, layer.outer, strict=True):
        lines += [f"{pad}for ({variable} = 0; {variable} < {length}; {variable}++) {{"]
        pad += "    "
    lines += [f"{pad}{kind} kept = {start};"]
    if layer.how == "argmax":
        lines += [f"{pad}int32_t place = 0, now = 0;"]
    deep = pad
    for variable, (length, _) in zip(inner, layer.inner, strict=True):
        lines += [f"{deep}for ({variable} = 0; {variable} < {length}; {variable}++) {{"]
        deep += "    "
    if layer.how == "argmax":
        lines += [
            f"{deep}if ({value} > kept) {{",
            f"{deep}    kept = {value};",
            f"{deep}    place = now;",
            f"{deep}}}",
            f"{deep}now++;",
        ]
    elif extreme:
        sign = "<" if layer.how == "min" else ">"
        lines += [f"{deep}if ({value} {sign} kept) {{", f"{deep}    kept = {value};", f"{deep}}}"]
    else:
        lines += [f"{deep}kept += {value};"]
    for depth in range(len(layer.inner), 0, -1):
        lines += [f"{pad}{'    ' * (depth - 1)}}}"]
    lines += [f"{pad}*out++ = {_reduced(now, layer, size, target)};"]
    for depth in range(len(layer.outer), 0, -1):
        lines += ["    " * depth + "}"]
    lines += ["}", ""]
    return now.function("reduce", "\n".join(lines)), []


def _reduced(now: Functions, layer: Reduce, size: int, target: str) -> str:
    """C for the element of the output."""
    if layer.how == "argmax":
        return "place"
    if layer.how != "mean":
        return "kept"
    if layer.rescale is None:
        return f"kept / {float_literal(size)}"
    now.needs |= {"rescale", "saturated"}
    mantissas, shifts = fixed(layer.rescale.factors, layer.name)
    low, high = LIMITS[target]
    zero = f" + {layer.rescale.zero}" if layer.rescale.zero else ""
    inner = f"{now.prefix}_rescale(kept, {mantissas[0]}, {shifts[0]}){zero}"
    return f"({target}){now.prefix}_saturated({inner}, {low}, {high})"


def windowed(now: Functions, layer: Windowed) -> tuple[str, list[str]]:
    """The function of a pool."""
    window, kind = layer.window, now.kind(layer.source)
    largest = layer.how == "max"
    number = kind if largest else "float"
    least = {"float": "-INFINITY", "uint8_t": "0", "int8_t": "-128"}.get(kind, "INT32_MIN")
    pads = [f" - {pad}" if pad else "" for pad in window.pads]
    count = float_literal(window.kernel[0] * window.kernel[1])
    counted = not largest and window.padded and not layer.counts_pads
    body = (
        ["if (element > kept) {", "    kept = element;", "}"] if largest else ["kept += element;"]
    )
    body += ["seen++;"] if counted else []
    lines = [
        f"static void @(const {kind} *in, {kind} *out)",
        "{",
        "    int32_t channel, y, x, ky, kx;",
        f"    for (channel = 0; channel < {window.groups}; channel++) {{",
        f"        for (y = 0; y < {window.sums[0]}; y++) {{",
        f"            for (x = 0; x < {window.sums[1]}; x++) {{",
        f"                {number} kept = {least if largest else '0'};",
        *(["                int seen = 0;"] if counted else []),
        f"                for (ky = 0; ky < {window.kernel[0]}; ky++) {{",
        f"                    for (kx = 0; kx < {window.kernel[1]}; kx++) {{",
        f"                        int32_t row = y * {window.steps[0]} + ky * "
        f"{window.dilations[0]}{pads[0]};",
        f"                        int32_t column = x * {window.steps[1]} + kx * "
        f"{window.dilations[1]}{pads[1]};",
    ]
    deep = "                        "
    if window.padded:
        lines += [
            f"{deep}if (row >= 0 && row < {window.height} && column >= 0",
            f"{deep}    && column < {window.width}) {{",
        ]
        deep += "    "
    lines += [f"{deep}{kind} element = in[row * {window.width} + column];"]
    lines += [f"{deep}{line}" for line in body]
    if window.padded:
        lines += [f"{deep[4:]}}}"]
    divided = "" if largest else " / (float)seen" if counted else f" / {count}"
    lines += [
        "                    }",
        "                }",
        f"                *out++ = kept{divided};",
        "            }",
        "        }",
        f"        in += {window.height * window.width};",
        "    }",
        "}",
        "",
    ]
    return now.function("pool", "\n".join(lines)), []
