"""C for convolutions and matrix products: a function for all layers of the same kind.

A row of weights becomes a list of taps in RAM: what is not zero, and how far into the input it
reaches. A sum is then one loop over the taps. Where a sum may reach beyond the border, taps know
their place in the kernel too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from shoestring.artifact.plain_c.at_once import DENSE, neighbours, patchable, takes_rows_at_once
from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.family import Family, window_fields
from shoestring.artifact.plain_c.layers import Buffer, IntegerAdd, Network, Product
from shoestring.artifact.plain_c.weight_source import Codes, Decoded, WeightStorage
from shoestring.artifact.plain_c.windows import Weights

FamilyKey = tuple[str | bool, ...]
"""What layers that share a function agree in."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A layer as the function for its kind of numbers takes it.

    `layer`: the layer.
    `index`: its place in the network.
    `source`, `target`: the C types of its input and output.
    `direct`: whether its weights are constants that are used where they lie.
    `taps`: the most taps of a row.
    `offset_kind`: the C type of how far a tap reaches.
    `steps`: whether those constants are integers by which floats are scaled or looked up.
    `at_once`: whether several of its rows are multiplied at once.
    `patched`: whether what its sums at a position read is first copied to one place.
    `added_up`: whether floats are added and subtracted, since its weights are -1, 0 and 1.
    """

    layer: Product
    index: int
    source: str
    target: str
    direct: bool
    steps: bool
    at_once: bool
    patched: bool
    taps: int
    offset_kind: str
    added_up: bool

    @property
    def whole(self) -> bool:
        """Whether it computes with integers."""
        return self.layer.zero is not None

    @property
    def flat(self) -> bool:
        """Whether a row is multiplied with neighbours in the input, without a list of taps.

        Weights that are read one after the other must be read for one sum only.
        """
        return neighbours(self.layer) and (self.direct or self.layer.window.sums[1] == 1)

    @property
    def family(self) -> FamilyKey:
        """What it shares a function with: the layers of the same types."""
        added = self.layer.other is not None
        kinds = (self.source, self.target, self.offset_kind)
        return (*kinds, self.flat, added, self.added_up, self.steps, self.at_once, self.patched)

    @property
    def scratch(self) -> int:
        """The bytes of its taps."""
        if self.flat:
            return 0
        if self.patched:
            return self.layer.window.columns
        value = 0 if self.direct or self.added_up else 1 if self.whole else 4
        offset = 4 if self.offset_kind == "uint32_t" else 2
        place = 2 if self.layer.window.padded else 0
        return self.taps * (value + offset + place)

    def codes(self) -> Codes | None:
        """Its integers, where they are read one after the other."""
        if self.direct:
            return None
        integers = self.layer.weights.integers
        assert integers is not None
        return Codes(name=self.layer.name, integers=integers)


def _in_a_byte(weights: Weights) -> bool:
    """Whether each integer fits in a byte."""
    numbers = weights.integers
    assert numbers is not None
    return bool(numbers.min(initial=0) >= -128 and numbers.max(initial=0) <= 127)


def adds(network: Network) -> bool:
    """Whether weights are added up: where all floats are multiplied with -1, 0 and 1.

    Where only some are, the second function would take more flash than it is worth.
    """
    products = [one for one in network.layers if isinstance(one, Product) and one.zero is None]
    return all(one.weights.units for one in products if one.weights.integers is not None)


def _scaled_once(layer: Product) -> Product:
    """The layer with the scale of its weights among its factors."""
    scale = 1.0 if layer.weights.scale is None else layer.weights.scale
    factors = np.ones(1, np.float32) if layer.factors is None else layer.factors
    factors = (factors * np.float32(scale)).astype(np.float32)
    weights = replace(layer.weights, scale=1.0)
    return replace(layer, weights=weights, factors=None if (factors == 1).all() else factors)


def prepared(
    layer: Product,
    index: int,
    buffers: Sequence[Buffer],
    storage: WeightStorage,
    *,
    adds: bool,
    at_once: bool,
    patches: bool,
) -> Prepared:
    """How a layer keeps its weights, and which taps it needs.

    `adds`: whether weights of -1, 0 and 1 are added up.
    `at_once`: whether several rows of a dense layer are multiplied at once.
    `patches`: the same of convolutions, at each position.
    """
    added_up = adds and layer.zero is None and layer.weights.units
    added_up = added_up and bool(layer.weights.used.any())
    if added_up:
        layer = _scaled_once(layer)
    weights, window = layer.weights, layer.window
    used = weights.used
    direct, steps = weights.integers is None, False
    at_once = at_once and takes_rows_at_once(layer)
    if not direct and isinstance(storage, Decoded):
        if layer.zero is not None:
            # A product takes no longer than to see that a weight is zero.
            direct = at_once or not used.size or bool(used.mean() >= DENSE)
        else:
            direct = steps = at_once and _in_a_byte(weights)
    taps = window.columns if direct else int(used.sum(1).max(initial=0))
    reach = window.channels * window.height * window.width
    if window.padded and max(window.spans) > 256:
        raise NoPlainC(f"{layer.name} has a kernel that reaches over {max(window.spans)} elements")
    return Prepared(
        layer=layer,
        index=index,
        source=buffers[layer.source].kind,
        target=buffers[layer.target].kind,
        direct=direct,
        steps=steps,
        at_once=at_once and direct,
        patched=patches and direct and patchable(layer),
        taps=taps,
        offset_kind="uint32_t" if reach > 65536 else "uint16_t",
        added_up=added_up,
    )


class Kernel(Family[Prepared]):
    """The C of one family of products.

    `tensors`: the place in the stream of each layer that reads it.
    `resumed`: whether all layers share a reader of the stream, which the function takes.
    """

    def __init__(
        self,
        prefix: str,
        name: str,
        layers: Sequence[Prepared],
        tensors: dict[int, int],
        *,
        resumed: bool,
    ) -> None:
        super().__init__(prefix, name, layers)
        self.tensors = tensors
        self.resumed = resumed
        number = "int32_t" if layers[0].whole else "float"
        self.pointers = {
            "bias": number,
            "weights": "int8_t" if layers[0].whole or layers[0].steps else "float",
            "factors": "float",
            "after": "float",
            "levels": "float",
            "mantissas": "uint32_t",
            "shifts": "uint8_t",
            "sum": f"struct {prefix}_sum",
        }
        self.fields = [self._fields(one) for one in layers]

    def _fields(self, one: Prepared) -> dict[str, int | str]:
        """The numbers and names of arrays by which a layer differs from others."""
        layer, window = one.layer, one.layer.window
        rows = layer.weights.shape[0]
        pool = layer.pool
        fields: dict[str, int | str] = {
            "rows": rows,
            "columns": window.columns,
            "channels": window.channels,
            **window_fields(window, pool),
            "pool_height": pool.height if pool else 1,
            "pool_width": pool.width if pool else 1,
            "pool_step_y": pool.step_y if pool else 1,
            "pool_step_x": pool.step_x if pool else 1,
            "group_rows": rows // window.groups,
            "groups": window.groups,
            "channel_step": window.channel_step,
            "position_step": window.position_step,
            "row_gap": window.row_gap,
            "start": window.start,
            "sign_bytes": -(-rows // 8),
            "taps": one.taps,
            "direct": int(one.direct),
            "tensor": self.tensors.get(one.index, 0),
        }
        return {**fields, **(self._whole(one) if one.whole else self._floats(one))}

    def _floats(self, one: Prepared) -> dict[str, int | str]:
        """The arrays of a layer of floats."""
        layer, weights = one.layer, one.layer.weights
        fields: dict[str, int | str] = {"bias": "0", "factors": "0", "per_row": 0}
        if layer.bias.any():
            fields["bias"] = self.array_of("float", "bias", one, layer.bias)
        if layer.factors is not None:
            fields["factors"] = self.array_of("float", "factors", one, layer.factors)
            fields["per_row"] = int(layer.factors.size > 1)
        fields["low"] = float_literal(layer.low)
        fields["high"] = float_literal(layer.high)
        fields["weights"] = fields["levels"] = "0"
        fields["scale"] = "1.0f"
        if one.steps:
            assert weights.integers is not None
            fields["weights"] = self.array_of("int8_t", "weights", one, weights.integers)
        elif one.direct:
            assert weights.floats is not None
            fields["weights"] = self.array_of("float", "weights", one, weights.floats)
            return fields
        if weights.levels is not None:
            levels, lowest = levels_from(weights)
            name = self.array_of("float", "levels", one, levels)
            fields["levels"] = f"{name} + {-lowest}" if lowest else name
        else:
            fields["scale"] = float_literal(1.0 if weights.scale is None else weights.scale)
        return fields

    def _whole(self, one: Prepared) -> dict[str, int | str]:
        """The arrays of a layer of integers."""
        layer, weights = one.layer, one.layer.weights
        assert weights.integers is not None and layer.zero is not None
        bias = layer.bias.astype(np.int64) - layer.zero * weights.integers.astype(np.int64).sum(1)
        most = np.abs(weights.integers.astype(np.int64)).sum(1) * 255 + np.abs(bias)
        if most.max(initial=0) >= 1 << 31:
            raise NoPlainC(f"the sums of {layer.name} may need more than 32 bits")
        fields: dict[str, int | str] = {
            "bias": self.array_of("int32_t", "bias", one, bias),
            "zero": layer.zero,
            "weights": "0",
        }
        if one.direct:
            fields["weights"] = self.array_of("int8_t", "weights", one, weights.integers)
        if layer.rescale is None:
            assert layer.factors is not None
            fields["factors"] = self.array_of("float", "factors", one, layer.factors)
            fields["per_row"] = int(layer.factors.size > 1)
            fields["after"] = "0"
            if layer.after is not None:
                fields["after"] = self.array_of("float", "after", one, layer.after)
            fields["low"], fields["high"] = float_literal(layer.low), float_literal(layer.high)
            return fields
        mantissas, shifts = fixed(layer.rescale.factors, layer.name)
        fields["mantissas"] = self.array_of("uint32_t", "mantissas", one, mantissas)
        fields["shifts"] = self.array_of("uint8_t", "shifts", one, shifts)
        fields["per_row"] = int(mantissas.size > 1)
        fields["out_zero"] = layer.rescale.zero
        fields["low"], fields["high"] = int(layer.low), int(layer.high)
        if layer.added is not None:
            fields["sum"] = self._sum(layer.added, one.index)
        return fields

    def _sum(self, added: IntegerAdd, index: int) -> str:
        """C for the address of the constants of a sum."""
        odd = "0"
        if added.exceptions:
            odd = f"{self.prefix}_odd_of_{index}"
            rows = " ".join(f"{{{a}, {b}, {c}}}," for a, b, c in added.exceptions)
            self.constants.append(f"static const FLASH int16_t {odd}[][3] = {{{rows}}};\n")
        low = 0 if self.layers[0].target == "uint8_t" else -128
        offset = added.offset - low * (1 << added.shift)
        numbers = [added.first, added.second, offset, added.near, odd]
        numbers += [added.shift, len(added.exceptions)]
        name = f"{self.prefix}_sum_{index}"
        self.constants.append(
            f"static const FLASH struct {self.prefix}_sum {name} = "
            f"{{{', '.join(str(one) for one in numbers)}}};\n"
        )
        return f"&{name}"


def levels_from(weights: Weights) -> tuple[np.ndarray, int]:
    """(the value of each integer as float32, the integer of the first)."""
    assert weights.levels is not None and weights.integers is not None
    if weights.integers.min(initial=1) > 0:  # no weight is 0: the first level is 1
        return np.concatenate([[0], weights.levels]).astype(np.float32), 0
    return weights.levels.astype(np.float32), int(weights.integers.min(initial=0))


def fixed(factors: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(mantissas below 2^24, shifts): each float32 factor is mantissa / 2^shift, exactly."""
    fractions, exponents = np.frexp(factors.astype(np.float32))
    mantissas = np.ldexp(fractions.astype(np.float64), 24).astype(np.int64)
    shifts = 24 - exponents.astype(np.int64)
    if (mantissas <= 0).any() or (shifts < 1).any():
        raise NoPlainC(f"the scales of {name} are not finite numbers from 0 to 2^23")
    return mantissas, np.minimum(shifts, 62)
