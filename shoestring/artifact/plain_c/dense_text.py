"""The C function of dense layers whose weights are constants: several rows at once.

Each input is read once for several rows. The sums of a row are in the order of its columns, so the
floats are those of one row after the other.
"""

from __future__ import annotations

from shoestring.artifact.plain_c.emit_products import AT_ONCE, Kernel
from shoestring.artifact.plain_c.sum_text import finish, scaled, start_of, times, value_kind, weight


def dense(kernel: Kernel) -> str:
    """The function of a family of dense layers, all of `AT_ONCE` rows or more."""
    get, first = kernel.get, kernel.layers[0]
    number = "int32_t" if first.whole else "float"
    value = "int8_t" if first.steps else value_kind(kernel)
    rows, columns = get("rows"), get("columns")
    places = range(AT_ONCE)
    bias, start = start_of(kernel)
    begin, after = ("0", "sum += bias;") if first.whole else ("0.0f", "")
    begins = [begin] * AT_ONCE
    if not first.whole and start == "bias":
        begins = [f"{get('bias')}[row{f' + {place}' if place else ''}]" for place in places]
        if any(fields["bias"] == "0" for fields in kernel.fields):
            begins = [f"{get('bias')} ? {one} : 0.0f" for one in begins]
    elif not first.whole and not kernel.has("factors", "0"):
        bias = ""
    if not first.whole and start == "bias":
        bias = ""
    lines = [
        f"static void {kernel.prefix}_{kernel.name}_run(@const {first.source} *in, "
        f"{first.target} *out)",
        "{",
        "    unsigned row, place;",
        f"    for (row = 0; row < {rows};) {{",
        f"        const {first.source} *at = in;",
        f"        {number} sums[{AT_ONCE}];",
        f"        if (row + {AT_ONCE} > {rows}) {{",
        f"            row = {rows} - {AT_ONCE}; /* the last rows, some of them once more */",
        "        }",
        "        {",
        *(f"            {line}" for line in _pointers(kernel, value)),
        *(f"            {number} s{place} = {begins[place]};" for place in places),
        f"            while (at != in + {columns}) {{",
        f"                const {number} x = *at++;",
        *(["                int code;"] if first.steps else []),
        *(f"                {line}" for place in places for line in _product(kernel, place)),
        *(["                value++;"] if first.steps else []),
        "            }",
        *(f"            sums[{place}] = s{place};" for place in places),
        "        }",
        f"        for (place = 0; place < {AT_ONCE}; place++, row++) {{",
        *([f"            {bias}"] if bias else []),
        f"            {number} sum = sums[place];",
        *([f"            {after}"] if after else []),
    ]
    if kernel.has("factors", "0") and not first.whole:
        lines += [f"            {line}" for line in scaled(kernel)]
    lines += [
        f"            {line}".rstrip().replace("*out++", "out[row]")
        for line in finish(kernel, "sum")
    ]
    return "\n".join([*lines, "        }", "    }", "}", ""])


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
