"""A C function that several layers share, with a struct of what they differ in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from shoestring.artifact.plain_c.c_text import array, comment, integer_kind
from shoestring.artifact.plain_c.windows import Pool, Window


class Named(Protocol):
    """A layer with a name for readers."""

    @property
    def name(self) -> str:
        """Such as "Conv (node 3)"."""
        ...


class Numbered(Protocol):
    """A layer with its place in the network."""

    @property
    def layer(self) -> Named:
        """The layer."""
        ...

    @property
    def index(self) -> int:
        """Its place, from 0."""
        ...


One = TypeVar("One", bound=Numbered)


class Family(Generic[One]):
    """Layers that share a function.

    `fields`: the numbers and names of arrays by which a layer differs from others, for each.
    `pointers`: the C type of what the fields that are arrays point to.
    `constants`: arrays at file scope. `read`: the fields that the code reads.
    `shared`: whether the function takes what layers differ in; False: they differ in nothing.
    """

    def __init__(self, prefix: str, name: str, layers: Sequence[One]) -> None:
        self.prefix, self.name, self.layers = prefix, name, layers
        self.fields: list[dict[str, int | str]] = []
        self.pointers: dict[str, str] = {}
        self.constants: list[str] = []
        self.read: set[str] = set()
        self.shared = True

    def array_of(self, kind: str, what: str, one: Numbered, numbers: np.ndarray) -> str:
        name = f"{self.prefix}_{what}_{one.index}"
        self.constants.append(array(kind, name, numbers))
        return name

    def has(self, name: str, but: int | str) -> bool:
        """Whether a layer has another value of this field than `but`."""
        return any(fields.get(name, but) != but for fields in self.fields)

    def get(self, name: str) -> str:
        """C for a field: its value where all layers agree, so that the compiler knows it too."""
        self.read.add(name)
        values = {fields[name] for fields in self.fields}
        if len(values) == 1:
            value = next(iter(values))
            return f"({value})" if re.search(r"^-| ", str(value)) else str(value)
        return f"layer->{name}"

    def struct(self) -> tuple[str, list[str]]:
        """(the struct of what layers differ in, the initialiser of each layer)."""
        names = [
            name
            for name in self.fields[0]
            if len({fields[name] for fields in self.fields}) > 1 and name in self.read
        ]
        kinds = {name: self._kind(name) for name in names}
        order = {"*": 0, "float": 1, "uint32_t": 2, "int32_t": 2, "uint16_t": 3, "int16_t": 3}
        names.sort(key=lambda name: order.get("*" if "*" in kinds[name] else kinds[name], 4))
        lines = [f"    {kinds[name]}{'' if '*' in kinds[name] else ' '}{name};" for name in names]
        body = "\n".join(lines)
        values = [
            "{" + ", ".join(str(fields[name]) for name in names) + "}" for fields in self.fields
        ]
        return f"struct {self.prefix}_{self.name} {{\n{body}\n}};\n", values

    def _kind(self, name: str) -> str:
        if name in self.pointers:
            return f"const FLASH {self.pointers[name]} *"
        values = [fields[name] for fields in self.fields]
        if any(isinstance(value, str) for value in values):
            return "float"
        numbers = [int(value) for value in values]
        return integer_kind(min(numbers), max(numbers))

    def text(self, code: str) -> str:
        """The constants, the struct, its value for each layer, and the code that reads them."""
        if not self.shared:
            return "\n".join([*self.constants, code])
        struct, values = self.struct()
        kind = f"struct {self.prefix}_{self.name}"
        tables = [
            comment([one.layer.name])
            + f"static const FLASH {kind} {self.prefix}_layer_{one.index} = {value};\n"
            for one, value in zip(self.layers, values, strict=True)
        ]
        return "\n".join([*self.constants, struct, *tables, code])


def window_fields(window: Window, pool: Pool | None) -> dict[str, int | str]:
    """The fields that say where a layer's windows lie, and how many outputs a row of it has."""
    height, width = window.sums
    if pool is not None:
        height = (height - pool.height) // pool.step_y + 1
        width = (width - pool.width) // pool.step_x + 1
    return {
        "kernel_height": window.kernel[0],
        "kernel_width": window.kernel[1],
        "dilation_y": window.dilations[0],
        "dilation_x": window.dilations[1],
        "height": window.height,
        "width": window.width,
        "step_y": window.steps[0],
        "step_x": window.steps[1],
        "pad_y": window.pads[0],
        "pad_x": window.pads[1],
        "padded": int(window.padded),
        "out_height": height,
        "out_width": width,
    }
