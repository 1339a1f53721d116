"""From layers and a memory plan to the text of a C file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.plain_c import (
    emit_layers,
    emit_matrices,
    emit_pools,
    emit_sequences,
    product_text,
    rounding_text,
    sign_text,
)
from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.c_text import comment, identifier
from shoestring.artifact.plain_c.emit_layers import Functions
from shoestring.artifact.plain_c.emit_products import Kernel, Prepared, adds, prepared
from shoestring.artifact.plain_c.emit_signs import PreparedSigns, SignKernel, prepared_signs
from shoestring.artifact.plain_c.input_chain_text import ChainText, chain_text
from shoestring.artifact.plain_c.layers import (
    IntegerAdd,
    Layer,
    Multiply,
    Network,
    Normalize,
    Pointwise,
    Product,
    Reduce,
    Rows,
    Softmax,
    Windowed,
)
from shoestring.artifact.plain_c.memory import ARENA, Memory, Place, planned
from shoestring.artifact.plain_c.sequences import Lookup, Recurrent, Running
from shoestring.artifact.plain_c.sign_layers import PackSigns, SignProduct
from shoestring.artifact.plain_c.weight_source import Stream, WeightStorage

_WRITERS: dict[type, Callable[[Functions, Any], tuple[str, list[str]]]] = {
    Pointwise: emit_layers.pointwise,
    Softmax: emit_layers.softmax,
    Rows: emit_layers.rows,
    Reduce: emit_pools.reduce,
    Windowed: emit_pools.windowed,
    Multiply: emit_matrices.multiply,
    Normalize: emit_matrices.normalize,
    PackSigns: sign_text.pack,
    Lookup: emit_sequences.lookup,
    Running: emit_sequences.running,
}
"""What writes the function of each layer that needs nothing but its buffers."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of the C function.

    `name`: of the argument; `macro`: of its size; `kind`: its C type; `shape`: its shape in the
    file, of `count` elements.
    """

    name: str
    macro: str
    kind: str
    shape: tuple[int, ...]
    count: int


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


@dataclass
class _Writer:
    network: Network
    prefix: str
    storage: WeightStorage
    reuse_inputs: bool
    input_chain: InputChain | None

    def __post_init__(self) -> None:
        network = self.network
        self.functions = Functions(self.prefix, network.buffers)
        self.products = {
            at: prepared(layer, at, network.buffers, self.storage, adds=adds(network))
            for at, layer in enumerate(network.layers)
            if isinstance(layer, Product)
        }
        recurrent = {
            at: layer for at, layer in enumerate(network.layers) if isinstance(layer, Recurrent)
        }
        self.signs = {
            at: prepared_signs(layer, at, self.storage)
            for at, layer in enumerate(network.layers)
            if isinstance(layer, SignProduct)
        }
        every = {**self.products, **self.signs}
        codes = {at: one.codes() for at, one in every.items()}
        codes |= {at: emit_sequences.codes(layer) for at, layer in recurrent.items()}
        streamed = {at: code for at, code in sorted(codes.items()) if code is not None}
        self.tensors = {at: place for place, at in enumerate(streamed)}
        self.stream = (
            self.storage.stream(list(streamed.values()), self.prefix) if streamed else None
        )
        scratch = {at: one.scratch for at, one in every.items()}
        scratch |= {at: layer.scratch_bytes for at, layer in recurrent.items()}
        self.memory = planned(network, scratch, reuse_inputs=self.reuse_inputs)
        self.ports = self._ports()
        self.chain = self._chain()

    def _chain(self) -> ChainText | None:
        if self.input_chain is None:
            return None
        grids = {number: (scale, zero) for number, scale, zero in self.network.grids}
        ((_, number),) = self.network.inputs
        buffer = self.network.buffers[number]
        return chain_text(self.input_chain, self.prefix, buffer, grids.get(number))

    def _ports(self) -> dict[int, Port]:
        ports: dict[int, Port] = {}
        taken: list[str] = []
        several = {"input": len(self.network.inputs) > 1, "output": len(self.network.outputs) > 1}
        shapes = {
            number: shape
            for (_, number), shape in zip(
                self.network.outputs, self.network.output_shapes, strict=True
            )
        }
        for side, named in (("input", self.network.inputs), ("output", self.network.outputs)):
            for name, number in named:
                word = identifier(name, taken, side)
                taken.append(word)
                buffer = self.network.buffers[number]
                macro = f"{self.prefix}_{word if several[side] else side}".upper() + "_SIZE"
                ports[number] = Port(
                    name=word,
                    macro=macro,
                    kind=buffer.kind,
                    shape=shapes.get(number, buffer.shape),
                    count=buffer.count,
                )
        return ports

    def families(self) -> list[Kernel]:
        """The layers that share a function."""
        groups: dict[tuple[str, str, str, bool, bool, bool], list[Prepared]] = {}
        for one in self.products.values():
            groups.setdefault(one.family, []).append(one)
        kernels: list[Kernel] = []
        for place, layers in enumerate(groups.values()):
            name = "product" if len(groups) == 1 else f"product_{place}"
            kernels.append(Kernel(self.prefix, name, layers, self.tensors))
        return kernels

    def sign_families(self) -> list[SignKernel]:
        """The products of signs that share a function."""
        groups: dict[tuple[bool, bool, bool], list[PreparedSigns]] = {}
        for one in self.signs.values():
            groups.setdefault(one.family, []).append(one)
        return [
            SignKernel(self.prefix, f"signs_{place}", layers, self.tensors)
            for place, layers in enumerate(groups.values())
        ]

    def pointer(self, place: Place, kind: str) -> str:
        """C for a place in memory."""
        if place.space == ARENA:
            base = f"{self.prefix}_arena.bytes"
            at = f"{base} + {place.offset}" if place.offset else base
            return f"(void *)({at})" if place.offset else f"(void *){at}"
        port = self.ports[place.space]
        if place.offset == 0:
            return port.name if kind == port.kind else f"(void *){port.name}"
        return f"(void *)((uint8_t *){port.name} + {place.offset})"

    def buffer(self, number: int) -> str:
        """C for a buffer."""
        return self.pointer(self.memory.buffers[number], self.network.buffers[number].kind)

    def calls(self, kernels: list[Kernel], signs: list[SignKernel]) -> list[str]:
        """A statement for each layer."""
        names = {one.index: kernel for kernel in kernels for one in kernel.layers}
        of_signs = {one.index: kernel for kernel in signs for one in kernel.layers}
        lines: list[str] = []
        for at, layer in enumerate(self.network.layers):
            if isinstance(layer, SignProduct):
                kernel = of_signs[at]
                arguments = [f"&{self.prefix}_layer_{at}"] if kernel.shared else []
                arguments += [self.buffer(layer.source), self.buffer(layer.target)]
                arguments += [self.pointer(self.memory.scratch[at], "void")]
                arguments += ["&reader"] if self.signs[at].coded else []
                name = f"{self.prefix}_{kernel.name}_run"
            elif isinstance(layer, Product):
                kernel = names[at]
                arguments = [f"&{self.prefix}_layer_{at}"] if kernel.shared else []
                arguments += [self.buffer(layer.source)]
                arguments += [self.buffer(layer.target)]
                arguments += [] if layer.other is None else [self.buffer(layer.other)]
                if not kernel.layers[0].flat:
                    place = self.memory.scratch.get(at)  # None: all weights are zero
                    arguments += ["0" if place is None else self.pointer(place, "void")]
                arguments += ["&reader"] if kernel.has("direct", 1) else []
                name = f"{self.prefix}_{kernel.name}_run"
            else:
                name, more = self._function(at, layer)
                arguments = [self.buffer(one) for one in dict.fromkeys(layer.reads)]
                if isinstance(layer, IntegerAdd | Multiply | Recurrent):
                    arguments = [self.buffer(one) for one in layer.reads]
                arguments += [self.buffer(layer.target), *more]
            lines.append(f"    {name}({', '.join(arguments)}); {comment([layer.name])}".rstrip())
        return lines

    def _function(self, at: int, layer: Layer) -> tuple[str, list[str]]:
        """(the function of a layer that is no product, what it is called with besides buffers)."""
        now = self.functions
        if isinstance(layer, Recurrent):
            place = self.memory.scratch.get(at)
            cell = "" if place is None else self.pointer(place, "float")
            return emit_sequences.recurrent(now, layer, self.tensors.get(at), cell)
        if isinstance(layer, IntegerAdd):
            exact = any(
                isinstance(one, IntegerAdd)
                and one.exceptions
                and now.kind(one.target) == now.kind(layer.target)
                for one in self.network.layers
            )
            return emit_layers.integer_add(now, layer, exact)
        return _WRITERS[type(layer)](now, layer)


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
    writer = _Writer(network, prefix, storage, reuse_inputs, input_chain)
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
    includes += ["string.h"] if re.search(r"\bmem(cpy|set|move)\(", text) else []
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


def _called(writer: _Writer) -> list[str]:
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
    lines = ["#ifdef __AVR__ /* constants stay in flash; its compiler needs -std=gnu99 */"]
    lines += [f"#define {name} {words[word]}" for word, name in names.items()]
    lines += ["#else", *(f"#define {name}" for name in names.values()), "#endif"]
    return "\n".join([*lines, "", text])


def _arena(writer: _Writer) -> str:
    framed = writer.chain is not None and writer.chain.before
    if not writer.memory.arena_bytes and not framed:
        return ""
    arena = writer.memory.arena_bytes
    return (
        f"{writer.chain.before if writer.chain is not None else ''}"
        "/* What is between the layers; the map is at the head of this file. */\n"
        "static union {\n"
        + (f"    uint8_t bytes[{arena}];\n" if arena else "")
        + (f"    struct {writer.prefix}_frame frame; /* before the layers */\n" if framed else "")
        + "    uint32_t aligned;\n"
        f"}} {writer.prefix}_arena;\n"
    )


def _signature(writer: _Writer) -> str:
    arguments: list[str] = []
    for _, number in writer.network.inputs:
        const = "" if number in writer.memory.written else "const "
        arguments.append(f"{const}{writer.ports[number].kind} *{writer.ports[number].name}")
    for _, number in writer.network.outputs:
        arguments.append(f"{writer.ports[number].kind} *{writer.ports[number].name}")
    return f"void {writer.prefix}_run({', '.join(arguments)})"


def _run(writer: _Writer, calls: list[str]) -> str:
    reader = [f"    struct {writer.prefix}_reader reader;"] if writer.stream else []
    read = {number for layer in writer.network.layers for number in layer.reads}
    unread = [
        f"    (void){writer.ports[number].name};"
        for _, number in writer.network.inputs
        if number not in read and number not in writer.memory.written
    ]
    return "\n".join([_signature(writer), "{", *reader, *unread, *calls, "}", ""])


def _raw_signatures(writer: _Writer, chain: ChainText) -> tuple[str, str, str]:
    """The declarations of the functions that take raw inputs."""
    outputs = [writer.ports[number] for _, number in writer.network.outputs]
    arguments = ", ".join(f"{one.kind} *{one.name}" for one in outputs)
    return (
        f"void {writer.prefix}_begin(void)",
        f"void {writer.prefix}_feed(const {chain.raw} *pieces, uint32_t count)",
        f"void {writer.prefix}_finish({arguments})",
    )


def _raw_functions(writer: _Writer) -> list[str]:
    """The input chain, and the function that ends an input and runs the network."""
    if writer.chain is None:
        return []
    given = [f"{writer.prefix}_features"]
    given += [writer.ports[number].name for _, number in writer.network.outputs]
    finish = _raw_signatures(writer, writer.chain)[2]
    run = f"    {writer.prefix}_run({', '.join(given)});"
    return [writer.chain.text, f"{finish}\n{{\n{writer.chain.finish}{run}\n}}\n"]


def _declarations(writer: _Writer) -> str:
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
