"""C for products of signs (binary layers): a window of bits, and how many differ from the weights.

A window is gathered once, and compared with the weights of each row, 32 products at a time. Weights
that are entropy-coded are read a row at a time, and windows are gathered anew for each row.
Where pads are 0, a second window has -1 in place of the 1 there: half of what both differ in.
"""

from __future__ import annotations

from shoestring.artifact.plain_c.emit_layers import Functions
from shoestring.artifact.plain_c.emit_signs import SignKernel
from shoestring.artifact.plain_c.sign_layers import PackSigns
from shoestring.artifact.plain_c.sum_text import limited, times

DIFFERING = """\
/* How many bits of two arrays of words differ. Counts of 4 bits are added up for three words. */
static uint32_t {p}_pairs(uint32_t bits)
{{
    bits -= bits >> 1 & 0x55555555;
    return (bits & 0x33333333) + (bits >> 2 & 0x33333333);
}}

static uint32_t {p}_differing(const uint32_t *a, const ANY uint32_t *b, unsigned words)
{{
    uint32_t differing = 0;
    while (words) {{
        uint32_t counts = {p}_pairs(*a++ ^ *b++);
        if (--words) {{
            counts += {p}_pairs(*a++ ^ *b++);
            if (--words) {{
                counts += {p}_pairs(*a++ ^ *b++);
                --words;
            }}
        }}
        counts = (counts & 0x0f0f0f0f) + (counts >> 4 & 0x0f0f0f0f);
        differing += counts * 0x01010101 >> 24;
    }}
    return differing;
}}
"""


def function(kernel: SignKernel) -> str:
    """The function that computes the layers of a family."""
    get, p = kernel.get, kernel.prefix
    coded, _ = kernel.layers[0].coded, kernel.layers[0]
    signs = kernel.layers[0].layer.thresholds is not None
    target = "uint8_t" if signs else "float"
    reader = f", struct {p}_reader *reader" if coded else ""
    lines = [
        f"static void {p}_{kernel.name}_run(@const uint8_t *in, {target} *out,",
        f"    void *scratch{reader})",
        "{",
        "    uint32_t *windows = scratch;",
    ]
    if coded:
        lines += [f"    uint32_t *weights = windows + {times(get('windows'), get('words'))};"]
    at = "at, " if kernel.has("pool", 1) else ""
    lines += [f"    unsigned row, y, x, ky, kx, {at}i;"]
    size = times(get("windows"), get("words"))
    lines += _loop("i", size, ["windows[i] = 0; /* also what fills up the last word */"])
    if signs:
        outs = times(times(get("out_height"), get("out_width")), get("out_bytes"))
        lines += _loop("i", outs, ["out[i] = 0;"])
    rows = _rows(kernel)
    if coded:
        body = [*_read(kernel), *_positions(kernel, [*_gathered(kernel), *_sum(kernel)])]
        lines += [f"    {p}_open(reader, {get('tensor')});", *_loop("row", get("rows"), body)]
    else:
        lines += [f"    {line}" for line in _positions(kernel, [*_gathered(kernel), *rows])]
    text = "\n".join([*lines, "}", ""])
    kernel.shared = "layer->" in text
    struct = f"const FLASH struct {p}_{kernel.name} *layer, "
    return text.replace("@", struct if kernel.shared else "")


def _loop(variable: str, count: str, body: list[str]) -> list[str]:
    return [
        f"    for ({variable} = 0; {variable} < {count}; {variable}++) {{",
        *(f"        {line}" for line in body),
        "    }",
    ]


def _inner(variable: str, count: str, body: list[str]) -> list[str]:
    return [line[4:] for line in _loop(variable, count, body)]


def _positions(kernel: SignKernel, body: list[str]) -> list[str]:
    """The loops over positions of the output."""
    across = _inner("x", kernel.get("out_width"), body)
    return _inner("y", kernel.get("out_height"), across)


def _read(kernel: SignKernel) -> list[str]:
    """Reads a row of coded weights."""
    get, p = kernel.get, kernel.prefix
    positions = times(get("kernel_height"), get("kernel_width"))
    return [
        "uint8_t *to = (uint8_t *)weights;",
        *_inner("i", get("words"), ["weights[i] = 0;"]),
        *_inner(
            "y",
            positions,
            [
                *_inner(
                    "x",
                    get("channels"),
                    [f"to[x / 8] |= (uint8_t)({p}_next(reader) << x % 8);"],
                ),
                f"to += {get('bytes')};",
            ],
        ),
    ]


def _gathered(kernel: SignKernel) -> list[str]:
    """Gathers the windows of a position."""
    get = kernel.get
    doubled, padded = kernel.layers[0].doubled, kernel.has("padded", 0)
    words = get("words")
    pooled = kernel.has("pool", 1)
    y, x = "y", "x"
    if pooled:
        y = f"({times('y', get('pool_step_y'))} + at / {get('pool_width')})"
        x = f"({times('x', get('pool_step_x'))} + at % {get('pool_width')})"
    start = "(uint8_t *)windows"
    if pooled:
        start = f"(uint8_t *)(windows + {times('at', times('2' if doubled else '1', words))})"
    top, left = (times(one, get(f"step_{name}")) for one, name in ((y, "y"), (x, "x")))
    if kernel.has("pad_y", 0) or kernel.has("pad_x", 0):
        top, left = f"{top} - {get('pad_y')}", f"{left} - {get('pad_x')}"
    line, column = (times(f"k{name}", get(f"dilation_{name}")) for name in ("y", "x"))
    second = f"4 * {words}"
    copy = ["to[i] = from[i];"] + ([f"to[i + {second}] = from[i];"] if doubled else [])
    width = get("width")
    inside = [
        f"const uint8_t *from = in + (line * {width} + column) * {get('bytes')};",
        *_inner("i", get("bytes"), copy),
    ]
    fill = ["to[i] = 0;"]
    full = f"(uint8_t)(i + 1 == {get('bytes')} ? {get('rest')} : 255)"
    if doubled:
        fill += [f"to[i + {second}] = {full};"]
    elif kernel.has("minus", 0):
        alone = all(fields["minus"] for fields in kernel.fields)
        fill = [f"to[i] = {full};" if alone else f"to[i] = {get('minus')} ? {full} : 0;"]
    if padded:
        inside = [
            f"if (line < {get('height')} && column < {width}) {{",
            *(f"    {one}" for one in inside),
            "} else {",
            *(f"    {one}" for one in _inner("i", get("bytes"), fill)),
            "}",
        ]
    window = [
        "/* Above and to the left of the border these are large. */" if padded else "",
        f"const unsigned line = {top} + {line}, column = {left} + {column};",
        *inside,
        f"to += {get('bytes')};",
    ]
    window = [one for one in window if one]
    kernel_lines = _inner("kx", get("kernel_width"), window)
    body = [
        f"uint8_t *to = {start};",
        *_inner("ky", get("kernel_height"), kernel_lines),
    ]
    return _inner("at", get("pool"), body) if pooled else ["{", *(f"    {b}" for b in body), "}"]


def _rows(kernel: SignKernel) -> list[str]:
    """The loop over the rows of a position."""
    get = kernel.get
    body = [
        f"const FLASH uint32_t *weights = {get('weights')} + row * {get('words')};",
        *_sum(kernel),
    ]
    return _inner("row", get("rows"), body)


def _sum(kernel: SignKernel) -> list[str]:
    """The largest sum of the windows, and what becomes of it."""
    get, p = kernel.get, kernel.prefix
    doubled, words = kernel.layers[0].doubled, get("words")
    if kernel.has("pool", 1):
        step = times("2" if doubled else "1", words)
        window = f"windows + {times('at', step)}"
    else:
        window = "windows"
    differ = f"{p}_differing({window}, weights, {words})"
    if doubled:
        differ = f"{differ}\n    + {p}_differing({window} + {words}, weights, {words})"
    twice = "" if doubled else "2 * "
    if kernel.has("pool", 1):
        lines = ["uint32_t least = UINT32_MAX;"]
        inner = [f"const uint32_t differ = {differ};"]
        inner += ["if (differ < least) {", "    least = differ;", "}"]
        lines += _inner("at", get("pool"), inner)
    else:
        lines = [f"const uint32_t least = {differ};"]
    sum_ = f"(int32_t){get('columns')} - {twice}(int32_t)least"
    place = f"(y * {get('out_width')} + x)"
    if kernel.layers[0].layer.thresholds is not None:
        at = f"row * {get('per_row')} + {place}" if kernel.has("per_row", 1) else "row"
        if kernel.has("per_row", 1) and any(fields["per_row"] == 1 for fields in kernel.fields):
            at = f"row * {get('per_row')} + ({get('per_row')} > 1 ? {place} : 0)"
        lines += [
            f"const int32_t threshold = {get('thresholds')}[{at}], sum = {sum_};",
            "if ((2 * sum < threshold) != (threshold & 1)) {",
            f"    out[{place} * {get('out_bytes')} + row / 8] |= (uint8_t)(1u << row % 8);",
            "}",
        ]
        return lines
    factor = f"(float)({sum_})"
    factor += f" * {get('factors')}[row]" if kernel.has("factors", "0") else ""
    after = ""
    if kernel.has("after", "0"):
        after = f" + {get('after')}[row]"
        if any(fields["after"] == "0" for fields in kernel.fields):
            after = f" + ({get('after')} ? {get('after')}[row] : 0.0f)"
    lines += [f"float element = {factor}{after};", *limited(kernel, "element")]
    to = f"{times('row', get('channel_step'))} + {times(place, get('position_step'))}"
    return [*lines, f"out[{to}] = element;"]


PACKED = """\
/* Signs of floats, eight to a byte. */
static void @(const float *in, uint8_t *out, unsigned channels, unsigned positions,
    unsigned channel_step, unsigned position_step)
{
    unsigned channel, position;
    for (position = 0; position < positions; position++) {
        for (channel = 0; channel < channels; channel++) {
            if (channel % 8 == 0) {
                out[channel / 8] = 0;
            }
            if (in[channel * channel_step + position * position_step] < 0) {
                out[channel / 8] |= (uint8_t)(1u << channel % 8);
            }
        }
        out += (channels + 7) / 8;
    }
}
"""


def pack(now: Functions, layer: PackSigns) -> tuple[str, list[str]]:
    """The function that packs signs, and what it is called with besides the buffers."""
    numbers = (layer.channels, layer.positions, layer.channel_step, layer.position_step)
    return now.function("pack", PACKED), [str(one) for one in numbers]
