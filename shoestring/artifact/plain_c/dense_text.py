"""The C of products whose weights are constants: several rows at once, so each input is read once.

The sums of a row are in the order of its columns, so the floats are those of one row after the
other.
"""

from __future__ import annotations

from shoestring.artifact.plain_c.at_once import AT_ONCE
from shoestring.artifact.plain_c.emit_products import Kernel
from shoestring.artifact.plain_c.sum_text import (
    finish,
    scaled,
    start_of,
    times,
    value_kind,
    weight,
)


def dense(kernel: Kernel) -> str:
    """The function of a family of dense layers, all of `AT_ONCE` rows or more."""
    first = kernel.layers[0]
    lines = [
        f"static void {kernel.prefix}_{kernel.name}_run(@const {first.source} *in, "
        f"{first.target} *out)",
        "{",
        "    unsigned row, place;",
        *(f"    {line}" for line in _rows(kernel, "in", "row")),
    ]
    return "\n".join([*lines, "}", ""])


def patched(kernel: Kernel) -> str:
    """The function of convolutions that copy what the sums at a position read to one place."""
    get, first = kernel.get, kernel.layers[0]
    other = f"const {first.target} *other, " if first.layer.other is not None else ""
    pads = {
        side: f" - (int32_t){get(f'pad_{side}')}" if kernel.has(f"pad_{side}", 0) else ""
        for side in ("y", "x")
    }
    inside = {side: times(f"k{side}", get(f"dilation_{side}")) for side in ("y", "x")}
    top = f"(int32_t)({times('y', get('step_y'))} + {inside['y']}){pads['y']}"
    left = f"(int32_t)({times('x', get('step_x'))}){pads['x']}"
    element = f"in[line + (int32_t)({inside['x']})]"
    copied = [f"*to++ = {element};"]
    within = ""
    if kernel.has("padded", 0):
        within = f"const int within = (uint32_t)down < {get('height')};"
        copied = [
            f"*to++ = within && (uint32_t)left + {inside['x']} < {get('width')}",
            f"    ? {element} : {get('zero')};",
        ]
    plane = times(get("out_height"), get("out_width"))
    lines = [
        f"static void {kernel.prefix}_{kernel.name}_run(@const {first.source} *in,",
        f"    {first.target} *out, {other}void *scratch)",
        "{",
        f"    const {first.source} *patch = scratch;",
        "    unsigned row, place, y, x, channel, ky, kx, position = 0;",
        f"    for (y = 0; y < {get('out_height')}; y++) {{",
        f"        for (x = 0; x < {get('out_width')}; x++, position++) {{",
        f"            {first.source} *to = scratch;",
        f"            const int32_t left = {left};",
        f"            for (channel = 0; channel < {get('channels')}; channel++) {{",
        f"                for (ky = 0; ky < {get('kernel_height')}; ky++) {{",
        f"                    const int32_t down = {top};",
        f"                    const int32_t line = ((int32_t)(channel * {get('height')}) + down)"
        f" * {get('width')} + left;",
        *([f"                    {within}"] if within else []),
        f"                    for (kx = 0; kx < {get('kernel_width')}; kx++) {{",
        *(f"                        {line}" for line in copied),
        *("                    }", "                }", "            }"),
    ]
    rows = _rows(kernel, "patch", f"row * ({plane}) + position")
    lines += [f"            {line}" for line in rows]
    return "\n".join([*lines, "        }", "    }", "}", ""])


def _rows(kernel: Kernel, inputs: str, index: str) -> list[str]:
    """The loop over rows. `inputs`: what they are multiplied with. `index`: where a result goes."""
    get, first = kernel.get, kernel.layers[0]
    number = "int32_t" if first.whole else "float"
    value = "int8_t" if first.steps else value_kind(kernel)
    rows, places = get("rows"), range(AT_ONCE)
    declared, begins = _starts(kernel)
    lines = [
        f"for (row = 0; row < {rows};) {{",
        f"    const {first.source} *at = {inputs};",
        f"    {number} sums[{AT_ONCE}];",
    ]
    if any(int(fields["rows"]) % AT_ONCE for fields in kernel.fields):
        lines += [
            f"    if (row + {AT_ONCE} > {rows}) {{",
            f"        row = {rows} - {AT_ONCE}; /* the last rows, some of them once more */",
            "    }",
        ]
    lines += [
        "    {",
        *(f"        {line}" for line in _pointers(kernel, value)),
        *(f"        {number} s{place} = {begins[place]};" for place in places),
        f"        while (at != {inputs} + {get('columns')}) {{",
        f"            const {number} x = *at++;",
        *(["            int code;"] if first.steps else []),
        *(f"            {line}" for place in places for line in _product(kernel, place)),
        *(["            value++;"] if first.steps else []),
        "        }",
        *(f"        sums[{place}] = s{place};" for place in places),
        "    }",
        f"    for (place = 0; place < {AT_ONCE}; place++, row++) {{",
        *([f"        {declared}"] if declared else []),
        f"        {number} sum = sums[place]{' + bias' if first.whole else ''};",
    ]
    if kernel.has("factors", "0") and not first.whole:
        lines += [f"        {line}" for line in scaled(kernel)]
    for line in finish(kernel, "sum"):
        line = line.replace("*out++", f"out[{index}]").replace("*other++", f"other[{index}]")
        lines += [f"        {line}".rstrip()]
    return [*lines, "    }", "}"]


def _starts(kernel: Kernel) -> tuple[str, list[str]]:
    """(the bias that comes after a sum, if one does; what the sums start with)."""
    get = kernel.get
    declared, start = start_of(kernel)
    if kernel.layers[0].whole:
        return declared, ["0"] * AT_ONCE
    if start != "bias":
        return declared, ["0.0f"] * AT_ONCE
    begins = [f"{get('bias')}[row{f' + {place}' if place else ''}]" for place in range(AT_ONCE)]
    if any(fields["bias"] == "0" for fields in kernel.fields):
        begins = [f"{get('bias')} ? {one} : 0.0f" for one in begins]
    return "", begins


def _pointers(kernel: Kernel, value: str) -> list[str]:
    """Where the weights of the rows are: a pointer for each, or one, if less is in registers."""
    columns = kernel.get("columns")
    begin = f"{kernel.get('weights')} + row * {columns}"
    if kernel.layers[0].steps:
        return [f"const FLASH {value} *value = {begin};"]
    return [
        f"const FLASH {value} *v{place} = {f'v{place - 1} + {columns}' if place else begin};"
        for place in range(AT_ONCE)
    ]


def _product(kernel: Kernel, place: int) -> list[str]:
    """What one weight adds to the sum of its row."""
    first = kernel.layers[0]
    if not first.steps:
        return [f"s{place} += *v{place}++ * x;"]
    value = f"value[{times(str(place), kernel.get('columns')) if place else '0'}]"
    if first.added_up:
        return [
            f"code = {value};",
            "if (code > 0) {",
            f"    s{place} += x;",
            "} else if (code < 0) {",
            f"    s{place} -= x;",
            "}",
        ]
    return [
        f"code = {value};",
        "if (code != 0) {",
        f"    s{place} += {weight(kernel)} * x;",
        "}",
    ]
