"""Pieces of the functions for convolutions and matrix products: a sum, and what follows it."""

from __future__ import annotations

from typing import Any

from shoestring.artifact.plain_c.emit_products import Kernel
from shoestring.artifact.plain_c.family import Family


def weight(kernel: Kernel) -> str:
    """C for the weight that the integer `code` stands for."""
    get = kernel.get
    if kernel.layers[0].whole:
        return "code"
    if not kernel.has("levels", "0"):
        return f"(float)code * {get('scale')}"
    value = f"{get('levels')}[code]"
    if all(fields["levels"] != "0" for fields in kernel.fields):
        return value
    return f"({get('levels')} ? {value} : (float)code * {get('scale')})"


def group(kernel: Kernel) -> str:
    """C for where the group of a row begins in the input, as an addition; "" for one group."""
    get = kernel.get
    if not kernel.has("groups", 1):
        return ""
    plane = times(get("height"), get("width"))
    return f" + row / {get('group_rows')} * ({times(get('channels'), plane)})"


def dot(kernel: Kernel, value: str, element: str, index: str, count: str) -> list[str]:
    """The loop of a sum; integers four at a time, since a product takes one instruction.

    `element`: C for an element of the input, with `{0}` for the index of the weight.
    """
    cast = "(int32_t)" if kernel.layers[0].whole else ""

    def product(at: str) -> str:
        return f"{value}[{at}] * {cast}{element.format(at)}"

    if not kernel.layers[0].whole:
        return [
            f"for ({index} = 0; {index} < {count}; {index}++) {{",
            f"    sum += {product(index)};",
            "}",
        ]
    return [
        f"for ({index} = 0; {index} + 4 <= {count}; {index} += 4) {{",
        *(f"    sum += {product(f'{index} + {place}' if place else index)};" for place in range(4)),
        "}",
        f"for (; {index} < {count}; {index}++) {{",
        f"    sum += {product(index)};",
        "}",
    ]


def taps_of(kernel: Kernel, at: str) -> list[str]:
    """The loop of a sum over the taps of a row, which begins at `at` in the input."""
    if not kernel.layers[0].added_up:
        return dot(kernel, "value", at + "[offset[{0}]]", "tap", "taps")
    return [
        "for (tap = 0; tap < taps; tap++) {",
        f"    sum += {at}[offset[tap]];",
        "}",
        f"for (tap = minus; tap < {kernel.get('taps')}; tap++) {{",
        f"    sum -= {at}[offset[tap]];",
        "}",
    ]


def in_order(kernel: Kernel) -> bool:
    """Whether elements of the output are made one after the other."""
    return all(
        fields["position_step"] == 1
        and fields["start"] == fields["row_gap"] == 0
        and fields["channel_step"] == int(fields["out_height"]) * int(fields["out_width"])
        for fields in kernel.fields
    )


def out_row(kernel: Kernel) -> str:
    """C for where the first element of a row of weights goes, as an addition to the output."""
    start = f" + {kernel.get('start')}" if kernel.has("start", 0) else ""
    return f"out{start} + {times('row', kernel.get('channel_step'))}"


def start_of(kernel: Kernel) -> tuple[str, str]:
    """(a declaration before the loops, what a sum starts with)."""
    get = kernel.get
    if kernel.layers[0].whole:
        return f"const int32_t bias = {get('bias')}[row];", "bias"
    if not kernel.has("bias", "0"):
        return "", "0.0f"
    bias = f"{get('bias')}[row]"
    if any(fields["bias"] == "0" for fields in kernel.fields):
        bias = f"{get('bias')} ? {bias} : 0.0f"
    declared = f"const float bias = {bias};"
    # With a factor, the bias comes after it.
    return declared, "0.0f" if kernel.has("factors", "0") else "bias"


def first_corner(kernel: Kernel) -> str:
    """C for where the first weight of the first sum of a window is, without pads."""
    get = kernel.get
    row = times(times(times("y", get("pool_step_y")), get("step_y")), get("width"))
    return f"{row} + {times(times('x', get('pool_step_x')), get('step_x'))}"


def sum_text(kernel: Kernel, start: str, *, pooled: bool) -> list[str]:
    """The C of one sum, with the factor of its row."""
    get = kernel.get
    whole = kernel.layers[0].whole
    number = "int32_t" if whole else "float"
    product = f"value[tap] * {'(int32_t)' if whole else ''}at[offset[tap]]"
    if kernel.has("padded", 0):
        y = times("y", get("pool_step_y")) + " + py" if pooled else "y"
        x = times("x", get("pool_step_x")) + " + px" if pooled else "x"
        if kernel.has("step_y", 1):
            y = f"({y}) * {get('step_y')}" if pooled else times(y, get("step_y"))
        if kernel.has("step_x", 1):
            x = f"({x}) * {get('step_x')}" if pooled else times(x, get("step_x"))
        lines = _padded(kernel, y, x, number, start, product)
    else:
        alone = all(
            fields["out_height"] == 1 and fields["out_width"] == 1 for fields in kernel.fields
        )
        at = "from + corner" if pooled else "from" if alone else f"from + {first_corner(kernel)}"
        lines = [
            f"const {kernel.layers[0].source} *at = {at};",
            f"{number} sum = {start};",
            *taps_of(kernel, "at"),
        ]
    if kernel.has("factors", "0") and not whole:
        lines += scaled(kernel)
    return lines


def _padded(
    kernel: Kernel,
    y: str,
    x: str,
    number: str,
    start: str,
    product: str,
) -> list[str]:
    """A sum of which parts may be beyond the border."""
    get = kernel.get
    pads = [
        f" - (int32_t){get(name)}" if kernel.has(name, 0) else "" for name in ("pad_y", "pad_x")
    ]
    spans = {
        side: f"({get(f'kernel_{length}')} - 1) * {get(f'dilation_{side}')}"
        for side, length in (("y", "height"), ("x", "width"))
    }
    outside = []
    if kernel.layers[0].whole and kernel.has("zero", 0):
        outside = [" else {", f"            sum += value[tap] * {get('zero')};", "        }"]
    inner = product.replace("at[offset[tap]]", "from[at + offset[tap]]")
    inside = [
        f"const {kernel.layers[0].source} *near = from + at;",
        *taps_of(kernel, "near"),
    ]
    ends = outside or [""]

    def within(start: str, end: str, sum_: str) -> list[str]:
        """The loop over taps that may be beyond the border."""
        return [
            f"    for (tap = {start}; tap < {end}; tap++) {{",
            f"        if ((uint32_t)(top + tap_y[tap]) < {get('height')}",
            f"            && (uint32_t)(left + tap_x[tap]) < {get('width')}) {{",
            f"            {sum_};",
            f"        }}{ends[0]}",
            *ends[1:],
            "    }",
        ]

    beyond = within("0", "taps", f"sum += {inner}")
    if kernel.layers[0].added_up:
        element = "from[at + offset[tap]]"
        beyond = within("0", "taps", f"sum += {element}")
        beyond += within("minus", get("taps"), f"sum -= {element}")
    return [
        f"const int32_t top = (int32_t)({y}){pads[0]}, left = (int32_t)({x}){pads[1]};",
        f"const int32_t at = top * {get('width')} + left;",
        f"{number} sum = {start};",
        f"if (top >= 0 && left >= 0 && top + {spans['y']} < {get('height')}",
        f"    && left + {spans['x']} < {get('width')}) {{",
        *(f"    {line}" for line in inside),
        "} else {",
        *beyond,
        "}",
    ]


def scaled(kernel: Kernel) -> list[str]:
    """The factor of the row, and the bias after it."""
    get = kernel.get
    row = times("row", get("per_row")) if kernel.has("per_row", 0) else "0"
    bias = " + bias" if kernel.has("bias", "0") else ""
    line = f"sum = sum * {get('factors')}[{row}]{bias};"
    if all(fields["factors"] != "0" for fields in kernel.fields):
        return [line]
    rest = [" else {", "    sum += bias;", "}"] if bias else [""]
    return [f"if ({get('factors')}) {{", f"    {line}", f"}}{rest[0]}", *rest[1:]]


def _whole_element(kernel: Kernel, to: str) -> list[str]:
    """From the rescaled sum to the element: within limits, and added to another one."""
    get, first = kernel.get, kernel.layers[0]
    low, high = get("low"), get("high")
    limited = f"element < {low} ? {low} : element > {high} ? {high} : element"
    if first.layer.added is None:
        return [f"    {to} = ({first.target})({limited});"]
    call = f"{kernel.prefix}_added({limited}, *other++, {get('sum')})"
    back = " - 128" if first.target == "int8_t" else ""
    return [f"    {to} = ({first.target})({call}{back});"]


def limited(kernel: Family[Any], number: str) -> list[str]:
    """C that keeps a float within the limits of the layer."""
    get = kernel.get
    lines: list[str] = []
    for name, sign, nothing in (("low", "<", "-INFINITY"), ("high", ">", "INFINITY")):
        if kernel.has(name, nothing):
            lines += [f"if ({number} {sign} {get(name)}) {{", f"    {number} = {get(name)};", "}"]
    return lines


def finish(kernel: Kernel, number: str) -> list[str]:
    """From the largest sum to the element of the output."""
    get, p = kernel.get, kernel.prefix
    first = kernel.layers[0]
    step = get("position_step")
    to = "*out++" if in_order(kernel) else "*to"
    row = times("row", get("per_row")) if kernel.has("per_row", 0) else "0"
    if first.layer.signs:
        return _sign(kernel, number)
    if first.whole and first.layer.rescale is None:
        after = f"{get('after')}[row]" if kernel.has("after", "0") else ""
        if after and any(fields["after"] == "0" for fields in kernel.fields):
            after = f"({get('after')} ? {after} : 0.0f)"
        added = f" + {after}" if after else ""
        value = f"(float){number} * {get('factors')}[{row}]{added}"
        limits = limited(kernel, "element")
        if limits:
            lines = ["{", f"    float element = {value};"]
            lines += [f"    {line}" for line in limits]
            lines += [f"    {to} = element;", "}"]
        else:
            lines = [f"{to} = {value};"]
    elif first.whole:
        zero = f" + {get('out_zero')}" if kernel.has("out_zero", 0) else ""
        lines = [
            "{",
            f"    int32_t element = {p}_rescale({number}, {get('mantissas')}[{row}], "
            f"{get('shifts')}[{row}]){zero};",
            *_whole_element(kernel, to),
            "}",
        ]
    else:
        lines = [] if first.layer.other is None else [f"{number} += *other++;"]
        lines += limited(kernel, number)
        lines += [f"{to} = {number};"]
    return lines if in_order(kernel) else [*lines, f"to += {step};"]


def _sign(kernel: Kernel, number: str) -> list[str]:
    """From the largest sum to the bit of its sign."""
    place = f"(y * {kernel.get('out_width')} + x) * {kernel.get('sign_bytes')}"
    return [
        f"if ({number} < 0) {{",
        f"    out[{place} + row / 8] |= (uint8_t)(1u << row % 8);",
        "}",
    ]


def pools(kernel: Kernel) -> bool:
    return kernel.has("pool_height", 1) or kernel.has("pool_width", 1)


def value_kind(kernel: Kernel) -> str:
    return "int8_t" if kernel.layers[0].whole else "float"


def times(one: str, other: str) -> str:
    """A product, without factors of 1."""
    if one == "1" or other == "1":
        return other if one == "1" else one
    return f"{one} * {other}"
