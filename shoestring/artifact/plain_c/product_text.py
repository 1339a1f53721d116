"""The C function of a family of convolutions and matrix products."""

from __future__ import annotations

from shoestring.artifact.plain_c import dense_text
from shoestring.artifact.plain_c.emit_products import Kernel
from shoestring.artifact.plain_c.sum_text import (
    dot,
    finish,
    first_corner,
    group,
    in_order,
    out_row,
    pools,
    scaled,
    start_of,
    sum_text,
    times,
    value_kind,
    weight,
)


def function(kernel: Kernel) -> str:
    """The functions that make taps of a row of weights, and that compute a layer."""
    taps, run = "", ""
    if kernel.layers[0].patched:
        run = dense_text.patched(kernel)
    elif not kernel.layers[0].flat:
        run = _layer(kernel)
    elif kernel.layers[0].at_once:
        run = dense_text.dense(kernel)
    else:
        run = _flat(kernel)
    if kernel.has("direct", 1) and not kernel.layers[0].flat:
        taps = _collect(kernel)
        run = run.replace(_LAYER, "layer, " if "layer->" in taps else "")
    declared = f"const FLASH struct {kernel.prefix}_{kernel.name} *layer, "
    both = [
        text.replace("@", declared if "layer->" in text or "(layer, " in text else "")
        for text in (taps, run)
        if text
    ]
    kernel.shared = "*layer, " in both[-1]
    return "\n".join(both)


_LAYER = "LAYER"
"""Stands for the argument of the function that makes taps, until it is known if it needs it."""


def _flat(kernel: Kernel) -> str:
    """The function of layers whose rows are multiplied with neighbours in the input."""
    get, p, name = kernel.get, kernel.prefix, kernel.name
    first = kernel.layers[0]
    streams, directs = kernel.has("direct", 1), kernel.has("direct", 0)
    number = "int32_t" if first.whole else "float"
    value = value_kind(kernel)
    reader = f", struct {p}_reader *reader" if streams and kernel.resumed else ""
    columns = get("columns")
    lines = [
        f"static void {p}_{name}_run(@const {first.source} *in, {first.target} *out{reader})",
        "{",
        f"    unsigned row, column{', x' if kernel.has('out_width', 1) else ''};",
        *_own(kernel, streams),
    ]
    lines += _opened(kernel, streams, directs)
    lines += [f"    for (row = 0; row < {get('rows')}; row++) {{"]
    lines += [f"        const {first.source} *at = in{group(kernel)};"]
    if not in_order(kernel):
        lines += [f"        {first.target} *to = {out_row(kernel)};"]
    declared, start = start_of(kernel)
    lines += [f"        {declared}"] if declared else []
    body = [f"{number} sum = {start};"]
    direct = [
        f"const FLASH {value} *value = {get('weights')} + row * {columns};",
        *dot(kernel, "value", "at[{0}]", "column", columns),
    ]
    stream = _streamed(kernel)
    if streams and directs:
        body += [f"if ({get('direct')}) {{"]
        body += [f"    {line}" for line in direct]
        body += ["} else {", *(f"    {line}" for line in stream), "}"]
    elif directs:
        body = [direct[0], *body, *direct[1:]]
    else:
        body += stream
    if kernel.has("factors", "0") and not first.whole:
        body += scaled(kernel)
    body += finish(kernel, "sum")
    if kernel.has("out_width", 1):
        moved = f"at += {get('step_x')};"
        body = [
            f"for (x = 0; x < {get('out_width')}; x++) {{",
            *(f"    {line}" for line in [*body, moved]),
            "}",
        ]
    else:
        body = [line for line in body if not line.startswith("to += ")]
    lines += [f"        {line}".rstrip() for line in body]
    return "\n".join([*lines, "    }", "}", ""])


def _own(kernel: Kernel, streams: bool) -> list[str]:
    """A reader of the function's own, where layers do not share one."""
    if not streams or kernel.resumed:
        return []
    return [f"    struct {kernel.prefix}_reader own, *reader = &own;"]


def _opened(kernel: Kernel, streams: bool, directs: bool) -> list[str]:
    """The beginning of a tensor, for layers whose weights are read one after the other."""
    if not streams:
        return []
    begin = f"{kernel.prefix}_open(reader, {kernel.get('tensor')});"
    if not directs:
        return [f"    {begin}"]
    return [f"    if (!{kernel.get('direct')}) {{", f"        {begin}", "    }"]


def _streamed(kernel: Kernel) -> list[str]:
    """The loop of a sum whose weights are read one after the other."""
    p, columns, first = kernel.prefix, kernel.get("columns"), kernel.layers[0]
    lines = [
        f"for (column = 0; column < {columns}; column++) {{",
        f"    int code = {p}_next(reader);",
        "    if (code != 0) {",
        f"        sum += {weight(kernel)} * {'(int32_t)' if first.whole else ''}at[column];",
        "    }",
        "}",
    ]
    if first.added_up:
        element = "at[column]"
        lines[2:5] = [
            "    if (code > 0) {",
            f"        sum += {element};",
            "    } else if (code < 0) {",
            f"        sum -= {element};",
            "    }",
        ]
    return lines


def _collect(kernel: Kernel) -> str:
    """The function that reads a row and keeps what is not zero."""
    get, p, name = kernel.get, kernel.prefix, kernel.name
    offset = kernel.layers[0].offset_kind
    added_up = kernel.layers[0].added_up
    tap = "tap" if added_up else "taps"
    where = ", uint8_t *tap_y, uint8_t *tap_x" if kernel.has("padded", 0) else ""
    keep = _kept_places(kernel, " " * 20, tap)
    # Taps of 1 from the beginning of the list on, those of -1 from its end.
    put = f"offset[{tap}] = ({offset})at;\n{keep}"
    if added_up:
        put = f"unsigned tap = code > 0 ? taps++ : --*minus;\n                    {put}"
        value_list, count = "unsigned *minus", f"    *minus = {get('taps')};\n"
    else:
        put = f"value[taps] = @VALUE@;\n                    {put}                    taps++;\n"
        value_list, count = f"{value_kind(kernel)} *value", ""
    value = weight(kernel)
    counter = "uint32_t" if offset == "uint32_t" else "unsigned"
    if kernel.layers[0].whole:
        value = f"(int8_t){value}"
    right = times(get("kernel_width"), get("dilation_x"))
    lower = times(get("width"), get("dilation_y"))
    below = times(get("kernel_height"), lower)
    plane = times(get("height"), get("width"))
    # From the end of a row of the kernel to the next, and from its end to the next channel.
    inside = f"            at += {lower} - {right};\n" if kernel.has("kernel_height", 1) else ""
    after = ""
    if kernel.has("channels", 1):
        after = f"        at += {plane} - {below if inside else right};\n"
    put = put.replace("@VALUE@", value)
    returned = "taps of 1" if added_up else "taps"
    return f"""\
/* Reads a row of weights and keeps what is not zero; returns how many {returned} that makes. */
static unsigned {p}_{name}_taps(@struct {p}_reader *reader,
    {value_list}, {offset} *offset{where})
{{
    unsigned taps = 0, channel, ky, kx;
    {counter} at = 0;
{count}    for (channel = 0; channel < {get("channels")}; channel++) {{
        for (ky = 0; ky < {get("kernel_height")}; ky++) {{
            for (kx = 0; kx < {get("kernel_width")}; kx++) {{
                int code = {p}_next(reader);
                if (code != 0) {{
                    {put}                }}
                at += {get("dilation_x")};
            }}
{inside}        }}
{after}    }}
    return taps;
}}
"""


def _kept_places(kernel: Kernel, pad: str, tap: str = "taps") -> str:
    """Keeps where in the kernel a tap is, if a layer has pads; `tap`: C for its number."""
    get = kernel.get
    if not kernel.has("padded", 0):
        return ""
    test = f"if ({get('padded')}) " if kernel.has("padded", 1) else ""
    return (
        f"{pad}{test}{{\n"
        f"{pad}    tap_y[{tap}] = (uint8_t)({times('ky', get('dilation_y'))});\n"
        f"{pad}    tap_x[{tap}] = (uint8_t)({times('kx', get('dilation_x'))});\n"
        f"{pad}}}\n"
    )


def _offsets(kernel: Kernel) -> str:
    """Fills the offsets of all weights of a row, for weights that are used where they lie."""
    get, offset = kernel.get, kernel.layers[0].offset_kind
    keep = _kept_places(kernel, " " * 16)
    plane = times(get("height"), get("width"))
    row = times(get("width"), get("dilation_y"))
    column = times("kx", get("dilation_x"))
    return f"""\
    for (channel = 0; channel < {get("channels")}; channel++) {{
        for (ky = 0; ky < {get("kernel_height")}; ky++) {{
            for (kx = 0; kx < {get("kernel_width")}; kx++) {{
                offset[taps] = ({offset})(channel * {plane} + ky * {row} + {column});
{keep}                taps++;
            }}
        }}
    }}
"""


def _layer(kernel: Kernel) -> str:
    """The function of layers with taps."""
    get, p, name = kernel.get, kernel.prefix, kernel.name
    first = kernel.layers[0]
    streams, directs = kernel.has("direct", 1), kernel.has("direct", 0)
    reader = f", struct {p}_reader *reader" if streams and kernel.resumed else ""
    other = f"const {first.target} *other, " if first.layer.other is not None else ""
    windows = "py, px, " if kernel.has("padded", 0) else "window, "
    windows = windows if pools(kernel) else ""
    out = [
        f"static void {p}_{name}_run(@const {first.source} *in,",
        f"    {first.target} *out, {other}void *scratch{reader})",
        "{",
        *_memory(kernel, streams, directs),
        *_own(kernel, streams),
        f"    unsigned row, y, x, {windows}tap, {'minus = 0, ' if first.added_up else ''}taps = 0;",
    ]
    if directs:
        out += ["    unsigned channel, ky, kx;"]
    if first.layer.signs:
        size = f"{get('out_height')} * {get('out_width')} * {get('sign_bytes')}"
        out += [f"    for (tap = 0; tap < {size}; tap++) {{", "        out[tap] = 0;", "    }"]
    if directs:
        fill = _offsets(kernel)
        if streams:
            fill = f"    if ({get('direct')}) {{\n" + _indented(fill) + "    }\n"
        out += [fill.rstrip("\n")]
    out += _opened(kernel, streams, directs)
    out += [f"    for (row = 0; row < {get('rows')}; row++) {{"]
    out += _row(kernel, streams, directs)
    return "\n".join([*out, "    }", "}", ""])


def _memory(kernel: Kernel, streams: bool, directs: bool) -> list[str]:
    """Where the parts of taps are in the scratch memory: the widest first, so all are aligned."""
    get, first = kernel.get, kernel.layers[0]
    offset, most = first.offset_kind, get("taps")
    const = "" if not directs else "const ANY " if streams else "const FLASH "
    value = f"    {const}{value_kind(kernel)} *value{' = list' if streams else ''};"
    end = "scratch"
    lines: list[str] = []
    if not first.whole and not first.added_up:
        if streams:
            lines += [f"    float *list = {end};"]
            end = f"(list + {most})"
            if directs:
                end = f"({get('direct')} ? scratch : (void *){end})"
        lines += [value]
    lines += [f"    {offset} *offset = {_cast(offset, end)};"]
    after = f"offset + {most}"
    if kernel.has("padded", 0):
        lines += [
            f"    uint8_t *tap_y = (uint8_t *)(offset + {most});",
            f"    uint8_t *tap_x = tap_y + {most};",
        ]
        after = f"tap_x + {most}"
        if kernel.has("padded", 1):
            after = f"tap_y + ({get('padded')} ? 2 * {most} : 0)"
    if first.whole:
        lines += [f"    int8_t *list = (int8_t *)({after});"] if streams else []
        lines += [value]
    return lines


def _cast(offset: str, end: str) -> str:
    return end if end == "scratch" else f"({offset} *)(void *){end}"


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _row(kernel: Kernel, streams: bool, directs: bool) -> list[str]:
    """The body of the loop over rows."""
    get, p, name = kernel.get, kernel.prefix, kernel.name
    first = kernel.layers[0]
    source, target = first.source, first.target
    lines: list[str] = []
    lines += [f"        const {source} *from = in{group(kernel)};"]
    if not in_order(kernel):
        lines += [f"        {target} *to = {out_row(kernel)};"]
    start = start_of(kernel)
    if start[0]:
        lines += [f"        {start[0]}"]
    where = ", tap_y, tap_x" if kernel.has("padded", 0) else ""
    values = "&minus" if first.added_up else "list"
    collect = f"taps = {p}_{name}_taps({_LAYER}reader, {values}, offset{where});"
    place = f"value = {get('weights')} + row * {get('taps')};"
    if streams and directs:
        lines += [
            f"        if ({get('direct')}) {{",
            f"            {place}",
            "        } else {",
            f"            {collect}",
            "        }",
        ]
    else:
        lines += [f"        {collect if streams else place}"]
    lines += [
        f"        for (y = 0; y < {get('out_height')}; y++) {{",
        f"            for (x = 0; x < {get('out_width')}; x++) {{",
    ]
    lines += [f"                {line}".rstrip() for line in _position(kernel, start[1])]
    gap = [f"            to += {get('row_gap')};"] if kernel.has("row_gap", 0) else []
    return [*lines, "            }", *gap, "        }"]


def _position(kernel: Kernel, start: str) -> list[str]:
    """The C of one element of the output."""
    if not pools(kernel):
        return [*sum_text(kernel, start, pooled=False), *finish(kernel, "sum")]
    least = "INT32_MIN" if kernel.layers[0].whole else "-INFINITY"
    number = "int32_t" if kernel.layers[0].whole else "float"
    largest = ["if (sum > best) {", "    best = sum;", "}"]
    inner = [*sum_text(kernel, start, pooled=True), *largest]
    loop = _places(kernel, inner) if kernel.has("padded", 0) else _corners(kernel, inner)
    return [f"{number} best = {least};", *loop, *finish(kernel, "best")]


def _places(kernel: Kernel, inner: list[str]) -> list[str]:
    """The loops over the sums of a window, by row and column: they may be beyond the border."""
    get = kernel.get
    return [
        f"for (py = 0; py < {get('pool_height')}; py++) {{",
        f"    for (px = 0; px < {get('pool_width')}; px++) {{",
        *(f"        {line}" for line in inner),
        "    }",
        "}",
    ]


def _corners(kernel: Kernel, inner: list[str]) -> list[str]:
    """The loop over the sums of a window, by where the first weight is: it needs least memory."""
    get = kernel.get
    count = times(get("pool_height"), get("pool_width"))
    step, wide = get("step_x"), get("pool_width")
    back = f"({wide} - 1)" if step == "1" else f"({wide} - 1) * {step}"
    down = times(get("step_y"), get("width"))
    return [
        f"unsigned corner = {first_corner(kernel)};",
        f"for (window = 0; window < {count}; window++) {{",
        *(f"    {line}" for line in inner),
        f"    corner += (window + 1) % {wide} ? (unsigned){step} : (unsigned)({down} - {back});",
        "}",
    ]
