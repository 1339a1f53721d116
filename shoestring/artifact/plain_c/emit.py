"""The text of a C file, from its functions, calls and memory plan."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.plain_c import (
    product_text,
    rounding_text,
    sign_text,
)
from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.c_text import comment
from shoestring.artifact.plain_c.input_chain_text import ChainText
from shoestring.artifact.plain_c.layers import (
    Network,
)
from shoestring.artifact.plain_c.memory import ARENA, Memory
from shoestring.artifact.plain_c.weight_source import Stream, WeightStorage
from shoestring.artifact.plain_c.writer import Port, Writer


@dataclass(frozen=True, kw_only=True)
class Emitted:
    """A C file.

    `text`: all of it. `declarations`: the macros and the function, for a header.
    `inputs`, `outputs`: the arguments of the function, in order.
    `memory`: where everything lies. `stream`: how the weights are stored; None: as constants.
    `includes`: the headers that it needs.
    `chain`: the input chain, where raw inputs are taken; None: there is none.
    """

    text: str
    declarations: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    memory: Memory
    stream: Stream | None
    includes: tuple[str, ...]
    floats: bool
    chain: ChainText | None = None


def emitted(
    network: Network,
    prefix: str,
    storage: WeightStorage,
    *,
    reuse_inputs: bool,
    heading: tuple[str, ...],
    header: str | None = None,
    input_chain: InputChain | None = None,
) -> Emitted:
    """The C of a network.

    `prefix`: what every name begins with, an identifier.
    `storage`: how weights that are few small integers are kept.
    `reuse_inputs`: whether the function may write over its inputs.
    `heading`: lines for the comment at the head of the file.
    `header`: the name of a header that has the declarations; None: they are in the file.
    `input_chain`: from raw inputs to the only input; None: the caller has features.
    """
    writer = Writer(network, prefix, storage, reuse_inputs, input_chain)
    kernels = writer.families()
    codes = [kernel.text(product_text.function(kernel)) for kernel in kernels]
    signs = writer.sign_families()
    codes += [kernel.text(sign_text.function(kernel)) for kernel in signs]
    calls = writer.calls(kernels, signs)
    now = writer.functions
    body = [*([writer.stream.text] if writer.stream else []), *_called(writer)]
    body += [*now.constants, *codes, *now.functions, _arena(writer), _run(writer, calls)]
    body += _raw_functions(writer)
    declarations = _declarations(writer)
    text = _in_flash(prefix, _limits(prefix, "\n".join(body)))
    includes = ["stdint.h", *(["math.h"] if "math" in now.needs else [])]
    lines = [
        *heading,
        *([writer.stream.about + "."] if writer.stream else []),
        *network.remarks,
        "",
        *memory_map(writer.memory, network, writer.ports, writer.chain),
    ]
    parts = [comment(lines)]
    parts += ["".join(f"#include <{name}>\n" for name in includes)]
    parts += [f'#include "{header}"\n' if header else declarations, text]
    ports = writer.ports
    return Emitted(
        text="\n".join(parts),
        declarations=declarations,
        inputs=tuple(ports[number] for _, number in network.inputs),
        outputs=tuple(ports[number] for _, number in network.outputs),
        memory=writer.memory,
        stream=writer.stream,
        includes=tuple(includes),
        floats="float" in text.replace("float *", ""),
        chain=writer.chain,
    )


def _called(writer: Writer) -> list[str]:
    """The small functions that others call."""
    needs, products = writer.functions.needs, writer.products.values()
    if any(one.whole and one.layer.rescale is not None for one in products):
        needs.add("rescale")
    if any(one.layer.added is not None for one in products):
        needs.add("added")
    if writer.signs:
        needs.add("differing")
    texts = (
        ("differing", sign_text.DIFFERING),
        ("rescale", rounding_text.RESCALE),
        ("nearest", rounding_text.NEAREST),
        ("limited", rounding_text.LIMITED),
        ("saturated", rounding_text.SATURATED),
        ("added", rounding_text.ADDED),
    )
    return [text.format(p=writer.prefix) for need, text in texts if need in needs]


def _limits(prefix: str, text: str) -> str:
    """C with its infinities and NaN defined: math.h is not there everywhere."""
    defined = ""
    for word, value in (("INFINITY", "1.0f / 0.0f"), ("NAN", "0.0f / 0.0f")):
        if re.search(rf"\b{word}\b", text):
            name = f"{prefix.upper()}_{word}"
            text = re.sub(rf"\b{word}\b", name, text)
            defined += f"#define {name} ({value})\n"
    return f"{defined}\n{text}" if defined else text


def _in_flash(prefix: str, text: str) -> str:
    """C whose constants stay in flash: an AVR reads them with other instructions than RAM."""
    words = {"FLASH": "__flash", "ANY": "__memx"}  # ANY: constants, or what is in RAM
    used = [word for word in words if f"const {word} " in text]
    if not used:
        return text
    names = {word: f"{prefix.upper()}_{word}" for word in used}
    for word, name in names.items():
        text = text.replace(f"const {word} ", f"const {name} ")
    text += _in_64_kb(prefix, text)
    lines = ["#ifdef __AVR__ /* constants stay in flash; its compiler needs -std=gnu99 */"]
    lines += [f"#define {name} {words[word]}" for word, name in names.items()]
    lines += ["#else", *(f"#define {name}" for name in names.values()), "#endif"]
    return "\n".join([*lines, "", text])


def _in_64_kb(prefix: str, text: str) -> str:
    """C that an AVR's compiler refuses where constants are beyond what `__flash` reaches.

    Without it, that compiler and its linker may take them, and the program reads other bytes.
    """
    flash = f"static const {prefix.upper()}_FLASH "
    constant = rf"^{flash}(?!union)[\w ]*?(\w+)(?:\[\w*\])* = |^}} ({prefix}\w+) = {{{{$"
    names = ["".join(pair) for pair in re.findall(constant, text, re.MULTILINE)]
    sizes = "\n    + ".join(f"(uint32_t)sizeof {name}" for name in names)
    if not names:
        return ""
    fits = f"typedef char {prefix}_constants_fit_64_KB[{sizes}\n    <= 65024 ? 1 : -1];"
    return f"\n#ifdef __AVR__ /* where __flash reaches, beside vectors */\n{fits}\n#endif\n"


def _arena(writer: Writer) -> str:
    framed = writer.chain is not None and writer.chain.before
    if not writer.memory.arena_bytes and not framed:
        return ""
    arena = writer.memory.arena_bytes
    hook = f"{writer.prefix.upper()}_ARENA"
    return (
        f"{writer.chain.before if writer.chain is not None else ''}"
        "/* What is between the layers; the map is at the head of this file. It needs no first\n"
        "   values. To place it: -D'" + hook + '=__attribute__((section(".ccm")))\'. */\n'
        f"#ifndef {hook}\n"
        f"#define {hook}\n"
        "#endif\n"
        "static union {\n"
        + (f"    uint8_t bytes[{arena}];\n" if arena else "")
        + (f"    struct {writer.prefix}_frame frame; /* before the layers */\n" if framed else "")
        + "    uint32_t aligned;\n"
        f"}} {writer.prefix}_arena {hook};\n"
    )


def _signature(writer: Writer) -> str:
    arguments: list[str] = []
    for _, number in writer.network.inputs:
        const = "" if number in writer.memory.written else "const "
        arguments.append(f"{const}{writer.ports[number].kind} *{writer.ports[number].name}")
    for _, number in writer.network.outputs:
        arguments.append(f"{writer.ports[number].kind} *{writer.ports[number].name}")
    return f"void {writer.prefix}_run({', '.join(arguments)})"


def _run(writer: Writer, calls: list[str]) -> str:
    shared = any("&reader" in call for call in calls)
    reader = [f"    struct {writer.prefix}_reader reader;"] if shared else []
    read = {number for layer in writer.network.layers for number in layer.reads}
    unread = [
        f"    (void){writer.ports[number].name};"
        for _, number in writer.network.inputs
        if number not in read and number not in writer.memory.written
    ]
    return "\n".join([_signature(writer), "{", *reader, *unread, *calls, "}", ""])


def _raw_signatures(writer: Writer, chain: ChainText) -> tuple[str, str, str]:
    """The declarations of the functions that take raw inputs."""
    outputs = [writer.ports[number] for _, number in writer.network.outputs]
    arguments = ", ".join(f"{one.kind} *{one.name}" for one in outputs)
    return (
        f"void {writer.prefix}_begin(void)",
        f"void {writer.prefix}_feed(const {chain.raw} *pieces, uint32_t count)",
        f"void {writer.prefix}_finish({arguments})",
    )


def _raw_functions(writer: Writer) -> list[str]:
    """The input chain, and the function that ends an input and runs the network."""
    if writer.chain is None:
        return []
    given = [f"{writer.prefix}_features.at"]
    given += [writer.ports[number].name for _, number in writer.network.outputs]
    finish = _raw_signatures(writer, writer.chain)[2]
    run = f"    {writer.prefix}_run({', '.join(given)});"
    return [writer.chain.text, f"{finish}\n{{\n{writer.chain.finish}{run}\n}}\n"]


def _declarations(writer: Writer) -> str:
    lines: list[str] = []
    for number in (n for _, n in (*writer.network.inputs, *writer.network.outputs)):
        port = writer.ports[number]
        shape = " x ".join(map(str, port.shape)) or "1"
        lines += [f"#define {port.macro} {port.count} /* {port.kind}, {shape} */"]
    for number, scale, zero in writer.network.grids:
        macro = writer.ports[number].macro.removesuffix("_SIZE")
        lines += [f"#define {macro}_SCALE {float_literal(scale)}", f"#define {macro}_ZERO {zero}"]
    lines += [f"#define {writer.prefix.upper()}_ARENA_BYTES {writer.memory.arena_bytes}", ""]
    over = [writer.ports[number].name for number in writer.memory.written]
    if over:
        lines += [f"/* It writes over {' and '.join(over)}. */"]
    ports = (writer.ports[number] for number in writer.memory.written)
    bytes_ = [one.name for one in ports if one.kind in ("int8_t", "uint8_t")]
    if bytes_:
        lines += [f"/* The address of {' and of '.join(bytes_)} is a multiple of 4. */"]
    if writer.memory.arena_bytes:
        lines += [
            "/* Its memory is static: one call at a time, interrupts and threads included. */"
        ]
    lines += [_signature(writer) + ";", ""]
    if writer.chain is not None:
        lines += ["/* From raw inputs: begin, feed with pieces of any length, finish. */"]
        lines += [f"{one};" for one in _raw_signatures(writer, writer.chain)] + [""]
    return "\n".join(lines)


def memory_map(
    memory: Memory, network: Network, ports: dict[int, Port], chain: ChainText | None = None
) -> list[str]:
    """A table of what lies where and when, as lines of text."""
    lines = [f"Memory: {memory.arena_bytes:,} bytes in the arena. Layers run from 0."]
    lines += ["  where            bytes from to      layers  what"]
    if chain is not None and chain.frame_bytes:
        size = f"{0:>10,} {chain.frame_bytes:>9,}"
        lines.append(f"  {'arena':<16} {size}  before layers  a frame of raw input")
    for row in memory.map:
        if not row.bytes:
            continue
        space = "arena" if row.place.space == ARENA else ports[row.place.space].name
        first, last = max(row.first, 0), min(row.last, len(network.layers) - 1)
        start, end = row.place.offset, row.place.offset + row.bytes
        lines.append(f"  {space:<16} {start:>10,} {end:>9,}  {first:>3} to {last:<3}  {row.what}")
    return lines
