"""From layers and a memory plan to the functions of a C file, and a call for each layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.plain_c import (
    emit_layers,
    emit_matrices,
    emit_pools,
    emit_sequences,
    sign_text,
)
from shoestring.artifact.plain_c.at_once import patches, rows_at_once
from shoestring.artifact.plain_c.c_text import comment, identifier
from shoestring.artifact.plain_c.emit_layers import Functions
from shoestring.artifact.plain_c.emit_products import (
    FamilyKey,
    Kernel,
    Prepared,
    adds,
    prepared,
)
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
from shoestring.artifact.plain_c.memory import ARENA, Place, planned
from shoestring.artifact.plain_c.sequences import Lookup, Recurrent, Running
from shoestring.artifact.plain_c.sign_layers import PackSigns, SignProduct
from shoestring.artifact.plain_c.weight_source import Decoded, WeightStorage

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


@dataclass
class Writer:
    """What the text of a C file is put together from."""

    network: Network
    prefix: str
    storage: WeightStorage
    reuse_inputs: bool
    input_chain: InputChain | None

    def __post_init__(self) -> None:
        network = self.network
        self.functions = Functions(self.prefix, network.buffers)
        ways = {
            "adds": adds(network),
            "at_once": rows_at_once(network),
            "patches": isinstance(self.storage, Decoded) and patches(network),
        }
        self.products = {
            at: prepared(layer, at, network.buffers, self.storage, **ways)
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
        self.resumed = self.stream is None or self.stream.resumed
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
                others = {one for one in several if one != side and not several[one]}
                word = identifier(name, [*taken, *others], side)
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
        groups: dict[FamilyKey, list[Prepared]] = {}
        for one in self.products.values():
            groups.setdefault(one.family, []).append(one)
        kernels: list[Kernel] = []
        for place, layers in enumerate(groups.values()):
            name = "product" if len(groups) == 1 else f"product_{place}"
            kernels.append(Kernel(self.prefix, name, layers, self.tensors, resumed=self.resumed))
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
                arguments += ["&reader"] if kernel.has("direct", 1) and kernel.resumed else []
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
            tensor = self.tensors.get(at)
            return emit_sequences.recurrent(now, layer, tensor, cell, resumed=self.resumed)
        if isinstance(layer, IntegerAdd):
            exact = any(
                isinstance(one, IntegerAdd)
                and one.exceptions
                and now.kind(one.target) == now.kind(layer.target)
                for one in self.network.layers
            )
            return emit_layers.integer_add(now, layer, exact)
        return _WRITERS[type(layer)](now, layer)
