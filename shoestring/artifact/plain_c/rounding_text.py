"""C functions that round and limit numbers, with `{p}` for the prefix of names."""

from __future__ import annotations

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
SATURATED = """\
static int32_t {p}_saturated(int32_t number, int32_t low, int32_t high)
{{
    return number < low ? low : number > high ? high : number;
}}
"""
ADDED = """\
/* The sum of two integers on a grid of its own, as ONNX Runtime rounds it. */
struct {p}_sum {{
    int32_t first, second, offset, near;
    /* Pairs whose sums are so near to a half that floats round aside. */
    const FLASH int16_t (*odd)[3];
    uint8_t shift, odds;
}};

static int32_t {p}_added(int32_t a, int32_t b, const FLASH struct {p}_sum *by)
{{
    int32_t sum = a * by->first + b * by->second + by->offset;
    int32_t element = sum < 0 ? 0 : sum >> by->shift;
    element = element > 255 ? 255 : element;
    if ((((uint32_t)sum + (uint32_t)by->near) & (((uint32_t)1 << by->shift) - 1))
        <= 2 * (uint32_t)by->near) {{
        unsigned i;
        for (i = 0; i < by->odds; i++) {{
            if (by->odd[i][0] == a && by->odd[i][1] == b) {{
                element += by->odd[i][2];
            }}
        }}
    }}
    return element;
}}
"""
