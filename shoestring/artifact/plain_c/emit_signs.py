"""How products of signs (binary layers) keep weights, and what those of one function differ in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.c_text import integer_kind
from shoestring.artifact.plain_c.coded_weights import Coded, encode
from shoestring.artifact.plain_c.family import Family, window_fields
from shoestring.artifact.plain_c.sign_layers import SignProduct
from shoestring.artifact.plain_c.weight_source import Codes, WeightStorage, c_bytes

_GAIN = 0.9
"""Signs are entropy-coded where that takes less than this share of a bit for each: reading takes
time, and a decoder."""

_SOME = 20_000
"""Weights of a part of a layer."""


@dataclass(frozen=True, kw_only=True)
class PreparedSigns:
    """A product of signs as the function of its family takes it.

    `coded`: whether its weights are read one after the other; else they are used where they lie.
    """

    layer: SignProduct
    index: int
    coded: bool

    @property
    def doubled(self) -> bool:
        """Whether pads are 0, for which each window is there twice."""
        return self.layer.fill == 0 and self.layer.window.padded

    @property
    def words(self) -> int:
        """How many words of 32 bits a window has."""
        return -(-self.layer.bits.shape[1] * self.layer.bits.shape[2] * self.bytes // 4)

    @property
    def bytes(self) -> int:
        """The bytes of a position of the input."""
        return -(-self.layer.bits.shape[3] // 8)

    @property
    def windows(self) -> int:
        """How many windows are gathered for a position of the output."""
        pool = self.layer.pool
        return (1 if pool is None else pool.height * pool.width) * (2 if self.doubled else 1)

    @property
    def scratch(self) -> int:
        """The bytes of the windows, and of a row of weights if it is read."""
        return 4 * self.words * (self.windows + self.coded)

    @property
    def family(self) -> tuple[bool, bool, bool]:
        """What it shares a function with."""
        return (self.layer.thresholds is not None, self.coded, self.doubled)

    def codes(self) -> Codes | None:
        """Its weights as integers, 1 for -1, where they are read one after the other."""
        rows = self.layer.bits.reshape(len(self.layer.bits), -1)
        return Codes(name=self.layer.name, integers=rows.astype(np.int32)) if self.coded else None


def prepared_signs(layer: SignProduct, index: int, storage: WeightStorage) -> PreparedSigns:
    """How a layer keeps its weights: as bits, or coded where that is shorter by a tenth."""
    rows = layer.bits.reshape(len(layer.bits), -1)
    coded = False
    # A part tells most of it: encoding takes some microseconds for each weight.
    parts = (rows[: _SOME // rows.shape[1] + 1], rows) if isinstance(storage, Coded) else ()
    for part in parts:
        coded = 8 * len(encode([part.astype(np.int32)]).data) < _GAIN * part.size
        if not coded:
            break
    return PreparedSigns(layer=layer, index=index, coded=coded)


class SignKernel(Family[PreparedSigns]):
    """The C of products of signs that share a function."""

    def __init__(
        self, prefix: str, name: str, layers: Sequence[PreparedSigns], tensors: dict[int, int]
    ) -> None:
        super().__init__(prefix, name, layers)
        self.tensors = tensors
        most = [one.layer.thresholds for one in layers if one.layer.thresholds is not None]
        low, high = (
            min((int(one.min()) for one in most), default=0),
            max((int(one.max()) for one in most), default=0),
        )
        self.limit = integer_kind(low, high)
        self.pointers = {
            "weights": "uint32_t",
            "thresholds": self.limit,
            "factors": "float",
            "after": "float",
        }
        self.fields = [self._fields(one) for one in layers]

    def _fields(self, one: PreparedSigns) -> dict[str, int | str]:
        layer, window, pool = one.layer, one.layer.window, one.layer.pool
        rows, channels = len(layer.bits), layer.bits.shape[3]
        fields: dict[str, int | str] = {
            "rows": rows,
            "columns": layer.bits[0].size,
            "bytes": one.bytes,
            "words": one.words,
            "rest": (1 << (channels - 1) % 8 + 1) - 1,
            "minus": int(layer.fill == -1 and window.padded),
            "channels": channels,
            **window_fields(window, pool),
            "pool": 1 if pool is None else pool.height * pool.width,
            "pool_width": pool.width if pool else 1,
            "pool_step_y": pool.step_y if pool else 1,
            "pool_step_x": pool.step_x if pool else 1,
            "windows": one.windows,
            "out_bytes": -(-rows // 8),
            "channel_step": window.channel_step,
            "position_step": window.position_step,
            "tensor": self.tensors.get(one.index, 0),
            "weights": "0" if one.coded else self._weights(one),
        }
        if layer.thresholds is not None:
            fields["thresholds"] = self.array_of(self.limit, "threshold", one, layer.thresholds)
            fields["per_row"] = layer.thresholds.size // rows
            return fields
        fields["factors"] = fields["after"] = "0"
        fields["low"], fields["high"] = float_literal(layer.low), float_literal(layer.high)
        fields["per_row"] = 1
        if layer.factors is not None:
            fields["factors"] = self._rows("factors", one, layer.factors)
        if layer.after is not None:
            fields["after"] = self._rows("after", one, layer.after)
        return fields

    def _rows(self, what: str, one: PreparedSigns, numbers: np.ndarray) -> str:
        """The name of an array with a number for each row."""
        return self.array_of(
            "float", what, one, np.broadcast_to(numbers.reshape(-1), (len(one.layer.bits),))
        )

    def _weights(self, one: PreparedSigns) -> str:
        """C for the weights, a whole number of words for each row."""
        bits = one.layer.bits
        rows = np.packbits(bits, axis=3, bitorder="little").reshape(len(bits), -1)
        filling = np.zeros((len(rows), 4 * one.words - rows.shape[1]), np.uint8)
        data = np.hstack([rows, filling]).tobytes()
        name = f"{self.prefix}_signs_{one.index}"
        self.constants.append(
            f"static const FLASH union {{\n    uint8_t bytes[{len(data)}];\n"
            f"    uint32_t words[{len(data) // 4}];\n}} {name} = {{{{\n{c_bytes(data)}\n}}}};\n"
        )
        return f"(const FLASH uint32_t *)&{name}"  # an AVR takes no address of a member
