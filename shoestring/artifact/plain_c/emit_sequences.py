"""C for recurrent layers, look-ups by computed indices, and running sums."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.plain_c.c_text import indented
from shoestring.artifact.plain_c.emit_layers import Functions, place_of
from shoestring.artifact.plain_c.emit_products import levels_from
from shoestring.artifact.plain_c.layers import C_TYPES
from shoestring.artifact.plain_c.sequences import GATES, Lookup, Recurrent, Running
from shoestring.artifact.plain_c.weight_source import Codes

_SIGMOID = "1.0f / (1.0f + expf(-({0})))"


def codes(layer: Recurrent) -> Codes | None:
    """Its integers, which are read once for each step; None where its weights are floats."""
    integers = layer.weights.integers
    return None if integers is None else Codes(name=layer.name, integers=integers)


def recurrent(
    now: Functions, layer: Recurrent, tensor: int | None, cell: str, *, resumed: bool
) -> tuple[str, list[str]]:
    """(the function, what it is called with besides the buffers) of a recurrent layer.

    `tensor`: the number of its weights among those that are read one after the other, or None.
    `cell`: C for the place of its cell, if that is not in the target.
    `resumed`: whether all layers share a reader of weights, which the function takes.
    """
    now.needs.add("math")
    arguments, call = ["float *in"], []
    arguments += [] if layer.hidden is None else ["const float *hidden"]
    arguments += [] if layer.cell is None else ["const float *cells"]
    arguments += ["float *out"]
    if layer.scratch_bytes:
        arguments.append("float *cell")
        call.append(cell)
    value = "code"
    if tensor is None:
        assert layer.weights.floats is not None
        arguments.append("const FLASH float *weights")
        call.append(now.constant("float", layer.weights.floats))
    elif layer.weights.levels is not None:
        levels, lowest = levels_from(layer.weights)
        name = now.constant("float", levels)
        arguments.append("const FLASH float *levels")
        call.append(f"{name} + {-lowest}" if lowest else name)
        value = "levels[code]"
    else:
        value = "(float)code"
    for word, array in (("factors", _factors(layer)), ("bias", layer.bias)):
        if array is not None:
            arguments.append(f"const FLASH float *{word}")
            call.append(now.constant("float", array.astype(np.float32)))
    if tensor is not None:
        arguments += [f"struct {now.prefix}_reader *reader"] if resumed else []
        arguments += ["int tensor"]
        call += ["&reader", str(tensor)] if resumed else [str(tensor)]
    lines = [
        f"static void @({', '.join(arguments)})",
        "{",
        *indented(_body(now.prefix, layer, tensor, value, resumed)),
        "}",
        "",
    ]
    return now.function(layer.kind.lower(), "\n".join(lines)), call


def _factors(layer: Recurrent) -> np.ndarray | None:
    """A factor for each row, or the same one for all; None: 1."""
    scale = layer.weights.scale
    rows = GATES[layer.kind] * layer.units
    if layer.factors is None:
        return None if scale in (None, 1.0) else np.full(rows, scale, np.float32)
    return layer.factors * np.float32(1.0 if scale is None else scale)


def _body(
    prefix: str, layer: Recurrent, tensor: int | None, value: str, resumed: bool
) -> list[str]:
    units, rows = layer.units, GATES[layer.kind] * layer.units
    wide = layer.directions * units
    state = f"[i + {layer.direction * units}]" if layer.direction else "[i]"
    place = f"at * {wide}" + (f" + {layer.direction * units}" if layer.direction else "")
    lines = ["unsigned step, row, i;"]
    if layer.keeps_cell:
        lines += [f"float *cell = out + {layer.steps * wide + layer.direction * units};"]
    if tensor is not None and not resumed:
        lines += [f"struct {prefix}_reader own, *reader = &own;"]
    if tensor and resumed:
        lines += ["/* The weights are read again for each step, from here on. */"]
        lines += [f"const struct {prefix}_reader start = *reader;"]
    if layer.kind == "LSTM":
        first = "0.0f" if layer.cell is None else f"cells{state}"
        lines += _over(units, [f"cell[i] = {first};"])
    at = f"{layer.steps - 1} - step" if layer.backward else "step"
    lines += [
        f"for (step = 0; step < {layer.steps}; step++) {{",
        f"    const unsigned at = {at};",
        f"    float *now = in + at * {rows}, *to = out + {place};",
        f"    const float *before = step ? to {'+' if layer.backward else '-'} {wide} : to;",
        "    if (step == 0) {",
        *indented(
            _over(units, [f"to[i] = {'0.0f' if layer.hidden is None else f'hidden{state}'};"]), 2
        ),
        "    }",
    ]
    if tensor is not None:
        # The first tensor begins anew by itself.
        lines += ["    *reader = start;"] if tensor and resumed else []
        lines += [f"    {prefix}_open(reader, tensor);"]
    lines += indented(_rows(prefix, layer, tensor is not None, value))
    lines += indented(_over(units, _units(layer)))
    return [*lines, "}"]


def _over(units: int, inner: list[str]) -> list[str]:
    """A loop over the units."""
    return [f"for (i = 0; i < {units}; i++) {{", *indented(inner), "}"]


def _rows(prefix: str, layer: Recurrent, streams: bool, value: str) -> list[str]:
    """The products of the state before with the recurrent weights, added to those of the inputs."""
    units, rows = layer.units, GATES[layer.kind] * layer.units
    reset_first = layer.kind == "GRU" and layer.bias is None
    other = "with" if reset_first else "before"
    product = _over(units, [f"sum += weights[row * {units} + i] * {other}[i];"])
    if streams:
        product = _over(
            units,
            [
                f"int code = {prefix}_next(reader);",
                "if (code != 0) {",
                f"    sum += {value} * {other}[i];",
                "}",
            ],
        )
    body = ["float sum = 0.0f;"]
    if reset_first:
        body = [
            f"const float *with = row < {2 * units} ? before : now + {units};",
            *body,
            f"if (row == {2 * units}) {{",
            *indented(_over(units, [f"now[{units} + i] *= before[i];"])),
            "}",
        ]
    body += product
    added = "sum" if _factors(layer) is None else "sum * factors[row]"
    if layer.kind == "GRU":
        last = f"now[row] += {added};"
        if not reset_first:
            last = f"now[row] += now[row - {units}] * ({added} + bias[row - {2 * units}]);"
        body += [
            f"if (row < {2 * units}) {{",
            f"    now[row] = {_SIGMOID.format(f'now[row] + {added}')};",
            "} else {",
            f"    {last}",
            "}",
        ]
    else:
        body += [f"now[row] += {added};"]
    return [f"for (row = 0; row < {rows}; row++) {{", *indented(body), "}"]


def _units(layer: Recurrent) -> list[str]:
    """From the sums to the state of a unit."""
    units = layer.units
    if layer.kind == "LSTM":
        gates = [
            _SIGMOID.format(f"now[{place}i]") for place in ("", f"{units} + ", f"{2 * units} + ")
        ]
        return [
            f"const float take = {gates[0]};",
            f"const float give = {gates[1]};",
            f"const float keep = {gates[2]};",
            f"cell[i] = keep * cell[i] + take * tanhf(now[{3 * units} + i]);",
            "to[i] = give * tanhf(cell[i]);",
        ]
    if layer.kind == "GRU":
        return [f"to[i] = (1.0f - now[i]) * tanhf(now[{2 * units} + i]) + now[i] * before[i];"]
    return [
        "to[i] = now[i] > 0 ? now[i] : 0;"
        if layer.activation == "Relu"
        else "to[i] = tanhf(now[i]);"
    ]


def lookup(now: Functions, layer: Lookup) -> tuple[str, list[str]]:
    """The function of a look-up."""
    kind = now.kind(layer.target)
    variables = [f"i{place}" for place in range(len(layer.axes))]
    arguments = [f"const {kind} *in", f"const {now.kind(layer.indices)} *indices", f"{kind} *out"]
    call: list[str] = []
    if layer.source is None:
        assert layer.table is not None
        arguments = [*arguments[1:], f"const FLASH {kind} *in"]
        call.append(now.constant(C_TYPES[layer.table.dtype.name], layer.table))
    lines = [
        "/* An index below 0 counts from the end; one beyond the axis is the nearest. */",
        f"static void @({', '.join(arguments)})",
        "{",
        f"    unsigned {', '.join(variables)};",
    ]
    pad = "    "
    for variable, (length, _, _) in zip(variables, layer.axes, strict=True):
        lines += [f"{pad}for ({variable} = 0; {variable} < {length}; {variable}++) {{"]
        pad += "    "
    source, index = (
        place_of(0, tuple(axis[which] for axis in layer.axes), variables) for which in (1, 2)
    )
    most = layer.length - 1
    lines += [
        f"{pad}int32_t at = indices[{index}];",
        f"{pad}at = at < 0 ? at + {layer.length} : at;",
        f"{pad}at = at < 0 ? 0 : at > {most} ? {most} : at;",
        f"{pad}*out++ = in[{source} + (uint32_t)at * {layer.step}];",
    ]
    lines += ["    " * depth + "}" for depth in range(len(layer.axes), 0, -1)]
    return now.function("lookup", "\n".join([*lines, "}", ""])), call


def running(now: Functions, layer: Running) -> tuple[str, list[str]]:
    """The function of a running sum, which all of one kind share."""
    kind = now.kind(layer.target)
    at = "count - 1 - i" if layer.backward else "i"
    inner = [f"const {kind} element = from[({at}) * inner];"]
    last = f"to[({at}) * inner] = sum;"
    inner += [last, "sum += element;"] if layer.exclusive else ["sum += element;", last]
    lines = [
        f"static void @(const {kind} *in, {kind} *out, unsigned outer, unsigned count,",
        "    unsigned inner)",
        "{",
        "    unsigned slice, i;",
        "    for (slice = 0; slice < outer * inner; slice++) {",
        "        const unsigned start = slice / inner * (count * inner) + slice % inner;",
        f"        const {kind} *from = in + start;",
        f"        {kind} *to = out + start, sum = 0;",
        "        for (i = 0; i < count; i++) {",
        *indented(inner, 3),
        "        }",
        "    }",
        "}",
        "",
    ]
    return now.function("running", "\n".join(lines)), [
        str(layer.outer),
        str(layer.count),
        str(layer.inner),
    ]
