"""The C function of a family of convolutions and matrix products."""

from __future__ import annotations

from shoestring.artifact.plain_c.emit_products import Kernel


def function(kernel: Kernel) -> str:
    """The functions that make taps of a row of weights, and that compute a layer."""
    taps, run = "", _flat(kernel) if kernel.layers[0].flat else _layer(kernel)
    if kernel.has("direct", 1) and not kernel.layers[0].flat:
        taps = _collect(kernel)
        run = run.replace(_LAYER, "layer, " if "layer->" in taps else "")
    declared = f"const struct {kernel.prefix}_{kernel.name} *layer, "
    both = [
        text.replace("@", declared if "layer->" in text or "(layer, " in text else "")
        for text in (taps, run)
        if text
    ]
    kernel.shared = "*layer, " in both[-1]
    return "\n".join(both)


_LAYER = "LAYER"
"""Stands for the argument of the function that makes taps, until it is known if it needs it."""


def _value(kernel: Kernel) -> str:
    return "int8_t" if kernel.layers[0].whole else "float"


def _weight(kernel: Kernel) -> str:
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


def _flat(kernel: Kernel) -> str:
    """The function of layers whose rows are multiplied with neighbours in the input."""
    get, p, name = kernel.get, kernel.prefix, kernel.name
    first = kernel.layers[0]
    streams, directs = kernel.has("direct", 1), kernel.has("direct", 0)
    number = "int32_t" if first.whole else "float"
    value = _value(kernel)
    reader = f", struct {p}_reader *reader" if streams else ""
    columns = get("columns")
    lines = [
        f"static void {p}_{name}_run(@const {first.source} *in, {first.target} *out{reader})",
        "{",
        f"    unsigned row, column{', x' if kernel.has('out_width', 1) else ''};",
    ]
    if streams:
        begin = f"{p}_begin(reader, {get('tensor')});"
        guard = f"    if (!{get('direct')}) {{\n        {begin}\n    }}"
        lines += [guard if directs else f"    {begin}"]
    lines += [f"    for (row = 0; row < {get('rows')}; row++) {{"]
    lines += [f"        const {first.source} *at = in{_group(kernel)};"]
    if not _in_order(kernel):
        lines += [f"        {first.target} *to = out + {_times('row', get('channel_step'))};"]
    declared, start = _start(kernel)
    lines += [f"        {declared}"] if declared else []
    body = [f"{number} sum = {start};"]
    direct = [
        f"const {value} *value = {get('weights')} + row * {columns};",
        *_dot(kernel, "value", "at[{0}]", "column", columns),
    ]
    weight = _weight(kernel)
    stream = [
        f"for (column = 0; column < {columns}; column++) {{",
        f"    int code = {p}_next(reader);",
        "    if (code != 0) {",
        f"        sum += {weight} * {'(int32_t)' if first.whole else ''}at[column];",
        "    }",
        "}",
    ]
    if streams and directs:
        body += [f"if ({get('direct')}) {{"]
        body += [f"    {line}" for line in direct]
        body += ["} else {", *(f"    {line}" for line in stream), "}"]
    elif directs:
        body = [direct[0], *body, *direct[1:]]
    else:
        body += stream
    if kernel.has("factors", "0") and not first.whole:
        body += _scaled(kernel)
    body += _finish(kernel, "sum")
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


def _in_order(kernel: Kernel) -> bool:
    """Whether elements of the output are made one after the other."""
    return all(
        fields["position_step"] == 1
        and fields["channel_step"] == int(fields["out_height"]) * int(fields["out_width"])
        for fields in kernel.fields
    )


def _group(kernel: Kernel) -> str:
    """C for where the group of a row begins in the input, as an addition; "" for one group."""
    get = kernel.get
    if not kernel.has("groups", 1):
        return ""
    plane = _times(get("height"), get("width"))
    return f" + row / {get('group_rows')} * ({_times(get('channels'), plane)})"


def _dot(kernel: Kernel, value: str, element: str, index: str, count: str) -> list[str]:
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
        *(
            f"    sum += {product(f'{index} + {place}' if place else index)};"
            for place in range(4)
        ),
        "}",
        f"for (; {index} < {count}; {index}++) {{",
        f"    sum += {product(index)};",
        "}",
    ]


def _collect(kernel: Kernel) -> str:
    """The function that reads a row and keeps what is not zero."""
    get, p, name = kernel.get, kernel.prefix, kernel.name
    offset = kernel.layers[0].offset_kind
    padded = kernel.has("padded", 0)
    where = ", uint8_t *tap_y, uint8_t *tap_x" if padded else ""
    keep = ""
    if padded:
        test = f"if ({get('padded')}) " if kernel.has("padded", 1) else ""
        keep = (
            f"                    {test}{{\n"
            f"                        tap_y[taps] = (uint8_t)(ky * {get('dilation_y')});\n"
            f"                        tap_x[taps] = (uint8_t)(kx * {get('dilation_x')});\n"
            "                    }\n"
        )
    value = _weight(kernel)
    if kernel.layers[0].whole:
        value = f"(int8_t){value}"
    plane = _times(get("height"), get("width"))
    row = _times(get("width"), get("dilation_y"))
    return f"""\
/* Reads a row of weights and keeps what is not zero; returns how many taps that makes. */
static unsigned {p}_{name}_taps(@struct {p}_reader *reader,
    {_value(kernel)} *value, {offset} *offset{where})
{{
    unsigned taps = 0, channel, ky, kx;
    for (channel = 0; channel < {get("channels")}; channel++) {{
        for (ky = 0; ky < {get("kernel_height")}; ky++) {{
            {offset} at = ({offset})(channel * {plane} + ky * {row});
            for (kx = 0; kx < {get("kernel_width")}; kx++) {{
                int code = {p}_next(reader);
                if (code != 0) {{
                    value[taps] = {value};
                    offset[taps] = at;
{keep}                    taps++;
                }}
                at = ({offset})(at + {get("dilation_x")});
            }}
        }}
    }}
    return taps;
}}
"""


def _times(one: str, other: str) -> str:
    """A product, without factors of 1."""
    if one == "1" or other == "1":
        return other if one == "1" else one
    return f"{one} * {other}"


def _offsets(kernel: Kernel) -> str:
    """Fills the offsets of all weights of a row, for weights that are used where they lie."""
    get, offset = kernel.get, kernel.layers[0].offset_kind
    keep = ""
    if kernel.has("padded", 0):
        test = f"if ({get('padded')}) " if kernel.has("padded", 1) else ""
        keep = (
            f"                {test}{{\n"
            f"                    tap_y[taps] = (uint8_t)(ky * {get('dilation_y')});\n"
            f"                    tap_x[taps] = (uint8_t)(kx * {get('dilation_x')});\n"
            "                }\n"
        )
    plane = _times(get("height"), get("width"))
    row = _times(get("width"), get("dilation_y"))
    return f"""\
    for (channel = 0; channel < {get("channels")}; channel++) {{
        for (ky = 0; ky < {get("kernel_height")}; ky++) {{
            for (kx = 0; kx < {get("kernel_width")}; kx++) {{
                offset[taps] = ({offset})(channel * {plane} + ky * {row} + {_times("kx", get("dilation_x"))});
{keep}                taps++;
            }}
        }}
    }}
"""


def _layer(kernel: Kernel) -> str:
    get, p, name = kernel.get, kernel.prefix, kernel.name
    first = kernel.layers[0]
    streams, directs = kernel.has("direct", 1), kernel.has("direct", 0)
    padded, value, offset = kernel.has("padded", 0), _value(kernel), first.offset_kind
    reader = f", struct {p}_reader *reader" if streams else ""
    most = get("taps")
    out: list[str] = [
        f"static void {p}_{name}_run(@const {first.source} *in,",
        f"    {first.target} *out, void *scratch{reader})",
        "{",
    ]
    # The widest first, so that each is aligned.
    end = "scratch"
    const = "const " if directs else ""
    if not first.whole:
        if streams:
            out += [f"    float *list = {end};"]
            end = f"(list + {most})"
            if directs:
                end = f"({get('direct')} ? scratch : (void *){end})"
        out += [f"    {const}float *value{' = list' if streams else ''};"]
    out += [f"    {offset} *offset = {_cast(offset, end)};"]
    if padded:
        out += [
            f"    uint8_t *tap_y = (uint8_t *)(offset + {most});",
            f"    uint8_t *tap_x = tap_y + {most};",
        ]
    if first.whole:
        if streams:
            places = (
                f"tap_x + ({get('padded')} ? {most} : 0)"
                if padded and kernel.has("padded", 1)
                else f"tap_x + {most}"
            )
            if padded and kernel.has("padded", 1):
                places = f"tap_y + ({get('padded')} ? 2 * {most} : 0)"
            after = f"(int8_t *)({places})" if padded else f"(int8_t *)(offset + {most})"
            out += [f"    int8_t *list = {after};"]
        out += [f"    {const}int8_t *value{' = list' if streams else ''};"]
    out += [
        "    unsigned row, y, x, py, px, tap, taps = 0;"
        if _pools(kernel)
        else "    unsigned row, y, x, tap, taps = 0;"
    ]
    if directs:
        out += ["    unsigned channel, ky, kx;"]
        fill = _offsets(kernel)
        if streams:
            fill = f"    if ({get('direct')}) {{\n" + _indented(fill) + "    }\n"
        out += [fill.rstrip("\n")]
    if streams:
        begin = f"{p}_begin(reader, {get('tensor')});"
        out += [
            f"    if (!{get('direct')}) {{\n        {begin}\n    }}" if directs else f"    {begin}"
        ]
    if not streams and not directs:
        raise AssertionError
    out += [f"    for (row = 0; row < {get('rows')}; row++) {{"]
    out += _row(kernel, streams, directs)
    out += ["    }", "}", ""]
    return "\n".join(out)


def _pools(kernel: Kernel) -> bool:
    return kernel.has("pool_height", 1) or kernel.has("pool_width", 1)


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
    lines += [f"        const {source} *from = in{_group(kernel)};"]
    if not _in_order(kernel):
        lines += [f"        {target} *to = out + {_times('row', get('channel_step'))};"]
    start = _start(kernel)
    if start[0]:
        lines += [f"        {start[0]}"]
    where = ", tap_y, tap_x" if kernel.has("padded", 0) else ""
    collect = f"taps = {p}_{name}_taps({_LAYER}reader, list, offset{where});"
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
    lines += ["            }", "        }"]
    return lines


def _start(kernel: Kernel) -> tuple[str, str]:
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


def _position(kernel: Kernel, start: str) -> list[str]:
    """The C of one element of the output."""
    get = kernel.get
    whole, pools = kernel.layers[0].whole, _pools(kernel)
    number = "int32_t" if whole else "float"
    lines: list[str] = []
    if pools:
        least = "INT32_MIN" if whole else "-INFINITY"
        lines += [f"{number} best = {least};"]
        lines += [
            f"for (py = 0; py < {get('pool_height')}; py++) {{",
            f"    for (px = 0; px < {get('pool_width')}; px++) {{",
        ]
        lines += [f"        {line}" for line in _sum(kernel, start, pools=True)]
        lines += [
            "        if (sum > best) {",
            "            best = sum;",
            "        }",
            "    }",
            "}",
        ]
    else:
        lines += _sum(kernel, start, pools=False)
    lines += _finish(kernel, "best" if pools else "sum")
    return lines


def _sum(kernel: Kernel, start: str, *, pools: bool) -> list[str]:
    get = kernel.get
    whole = kernel.layers[0].whole
    number = "int32_t" if whole else "float"
    y = _times("y", get("pool_step_y")) + " + py" if pools else "y"
    x = _times("x", get("pool_step_x")) + " + px" if pools else "x"
    if kernel.has("step_y", 1):
        y = f"({y}) * {get('step_y')}" if pools else _times(y, get("step_y"))
    if kernel.has("step_x", 1):
        x = f"({x}) * {get('step_x')}" if pools else _times(x, get("step_x"))
    product = f"value[tap] * {'(int32_t)' if whole else ''}at[offset[tap]]"
    loop = _dot(kernel, "value", "at[offset[{0}]]", "tap", "taps")
    if not kernel.has("padded", 0):
        row = f"({y}) * {get('width')}" if pools else _times(y, get("width"))
        flat = kernel.fields and all(
            fields["out_height"] == 1 and fields["out_width"] == 1 and not pools
            for fields in kernel.fields
        )
        at = "from" if flat else f"from + {row} + {x}"
        lines = [f"const {kernel.layers[0].source} *at = {at};", f"{number} sum = {start};", *loop]
    else:
        lines = _padded(kernel, y, x, number, start, product)
    if kernel.has("factors", "0") and not whole:
        lines += _scaled(kernel)
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
        *_dot(kernel, "value", "near[offset[{0}]]", "tap", "taps"),
    ]
    ends = outside or [""]
    return [
        f"const int32_t top = (int32_t)({y}){pads[0]}, left = (int32_t)({x}){pads[1]};",
        f"const int32_t at = top * {get('width')} + left;",
        f"{number} sum = {start};",
        f"if (top >= 0 && left >= 0 && top + {spans['y']} < {get('height')}",
        f"    && left + {spans['x']} < {get('width')}) {{",
        *(f"    {line}" for line in inside),
        "} else {",
        "    for (tap = 0; tap < taps; tap++) {",
        f"        if ((uint32_t)(top + tap_y[tap]) < {get('height')}",
        f"            && (uint32_t)(left + tap_x[tap]) < {get('width')}) {{",
        f"            sum += {inner};",
        f"        }}{ends[0]}",
        *ends[1:],
        "    }",
        "}",
    ]


def _scaled(kernel: Kernel) -> list[str]:
    """The factor of the row, and the bias after it."""
    get = kernel.get
    row = _times("row", get("per_row")) if kernel.has("per_row", 0) else "0"
    bias = " + bias" if kernel.has("bias", "0") else ""
    line = f"sum = sum * {get('factors')}[{row}]{bias};"
    if all(fields["factors"] != "0" for fields in kernel.fields):
        return [line]
    rest = [" else {", "    sum += bias;", "}"] if bias else [""]
    return [f"if ({get('factors')}) {{", f"    {line}", f"}}{rest[0]}", *rest[1:]]


def _finish(kernel: Kernel, number: str) -> list[str]:
    """From the largest sum to the element of the output."""
    get, p = kernel.get, kernel.prefix
    first = kernel.layers[0]
    step = get("position_step")
    to = "*out++" if _in_order(kernel) else "*to"
    row = _times("row", get("per_row")) if kernel.has("per_row", 0) else "0"
    if first.whole and first.layer.rescale is None:
        lines = [f"{to} = (float){number} * {get('factors')}[{row}];"]
    elif first.whole:
        low, high = get("low"), get("high")
        zero = f" + {get('out_zero')}" if kernel.has("out_zero", 0) else ""
        lines = [
            "{",
            f"    int32_t element = {p}_rescale({number}, {get('mantissas')}[{row}], "
            f"{get('shifts')}[{row}]){zero};",
            f"    {to} = ({first.target})(element < {low} ? {low} : element > {high} ? {high} : element);",
            "}",
        ]
    else:
        lines = []
        if kernel.has("low", "-INFINITY"):
            lines += [f"if ({number} < {get('low')}) {{", f"    {number} = {get('low')};", "}"]
        if kernel.has("high", "INFINITY"):
            lines += [f"if ({number} > {get('high')}) {{", f"    {number} = {get('high')};", "}"]
        lines += [f"{to} = {number};"]
    return lines if _in_order(kernel) else [*lines, f"to += {step};"]


RESCALE = """\
/* sum * mantissa / 2^shift as a float32 product is rounded, and then to the nearest integer, halves
 * to even: bit for bit what ONNX Runtime's integer kernels give. */
static uint64_t {p}_halved(uint64_t number, int bits)
{{
    uint64_t half = (uint64_t)1 << (bits - 1);
    uint64_t kept = number >> bits, rest = number & (2 * half - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}}

static uint64_t {p}_float24(uint64_t number)
{{
    int bits = 0;
    while (number >> bits >> 24) {{
        bits++;
    }}
    return bits ? {p}_halved(number, bits) << bits : number;
}}

static int32_t {p}_rescale(int32_t sum, uint32_t mantissa, int shift)
{{
    uint32_t size = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    uint64_t product, half = (uint64_t)1 << (shift - 1), kept, rest;
    product = (size >> 24 ? {p}_float24(size) : size) * mantissa;
    kept = product >> shift;
    rest = product & (2 * half - 1);
    if (kept > 1023) {{
        kept = 1023; /* beyond all limits */
    }} else if ((rest > half ? rest - half : half - rest) > half >> 13) {{
        kept += rest > half;
    }} else {{ /* so near to a half that rounding to a float counts */
        kept = {p}_halved({p}_float24(product), shift);
    }}
    return sum < 0 ? -(int32_t)kept : (int32_t)kept;
}}
"""
NEAREST = """\
/* The nearest integer within limits, halves to even. */
static int {p}_nearest(float number, float low, float high)
{{
    volatile float moved;
    union {{
        float number;
        int32_t bits;
    }} kept;
    if (!(number > low)) {{
        number = low;
    }}
    if (number > high) {{
        number = high;
    }}
    moved = number + 12582912.0f; /* 1.5 * 2^23: the fraction is rounded off */
    kept.number = moved;
    return (int)(kept.bits - 0x4b400000);
}}
"""
LIMITED = """\
static float {p}_limited(float number, float low, float high)
{{
    return number < low ? low : number > high ? high : number;
}}
"""
