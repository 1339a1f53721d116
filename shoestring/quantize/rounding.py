"""To which multiple of its step a weight goes."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import Edges, Product, Quantised, SkippedWarning, Weight, progress
from shoestring.quantize.settling import Settling, calls_of, sections

LARGEST = 8192
"""Terms of a sum (square root of the sum of squares, for several groups) beyond which the products
of all pairs of them ask for too much memory: of so many they take half a gigabyte, and three times
that while the layer is rounded.
"""
_AT_ONCE = 1 << 26
"""Terms of several sums: 256 MB."""
_KEPT = 1 << 26
"""Sums of several layers: as much again."""
_SOLVING, _ROUNDING = 3.0, 40.0
"""Times the cube of the terms, which two factors, an inverse and a solution take in double.

And times the square of the terms for each output, which rounding one term after the other takes: it
is bound by memory, and as slow as so many multiplications.
"""


@dataclass(frozen=True)
class Nearest:
    """To the nearest: takes no time, and with 8 bits is as good as any."""

    def __call__(
        self,
        quantised: Quantised,
        before: nn.Module,
        task: Task,
        weights: Mapping[str, Weight],
        batches: list[Any],
    ) -> None:
        """Nothing: a weight's state does so."""


@dataclass(frozen=True)
class GPTQ:
    """To one that keeps the sums of the layer.

    Weight after weight, what rounding one adds to the error the next ones take away.
    Layer after layer, from what those before it, rounded, give on the calibration examples, and
    held against the sums of the network as it was. For 4 bits or fewer. Costs two runs over the
    calibration examples for each layer; where these are one batch and layers are called once, two
    or three in all. Memory: for the layer that is being rounded 8 bytes for each pair of the terms
    of a sum (in each group), and three times that for a while; a layer of more than 8,192 terms,
    for which that is 1.6 GB, goes to the nearest, with a SkippedWarning.
    Source: Frantar et al. 2023 (GPTQ), section 3; Frantar and Alistarh 2022, for convolutions.
    Differs: weights are fitted to the sums of the network as it was (least squares) before they are
    rounded; those whose terms are largest are rounded first.

    `damping`: what is added to the mean square of every term, as a share of their mean, above 0:
        the more, the less the examples are trusted.
    `most`: multiplications that a layer may take, above 0 (None: as many as it takes): one that
        asks for more (`work`: mostly the square of its terms for each of its sums on the examples,
        and for each output) goes to the nearest, with a SkippedWarning; a core does some 2e10 in a
        second.
    """

    damping: float = 0.01
    most: float | None = None

    def __post_init__(self) -> None:
        if self.most is not None and (isinstance(self.most, str) or not self.most > 0):
            raise ValueError(
                f"at most {self.most!r} multiplications for a layer: give a number above 0, such "
                "as 1e12"
            )
        if not self.damping > 0:
            raise ValueError(f"a damping of {self.damping}: give a number above 0, such as 0.01")

    def __call__(
        self,
        quantised: Quantised,
        before: nn.Module,
        task: Task,
        weights: Mapping[str, Weight],
        batches: list[Any],
    ) -> None:
        """Choose the multiples, in place."""
        free = [nn.Identity() for _ in quantised.grids]
        large = {
            layer: size
            for layer, weight in weights.items()
            if (size := _size(quantised, layer, weight)) > LARGEST
        }
        if large:
            gigabytes = max(large.values()) ** 2 * 8 / 1e9
            warnings.warn(
                f"GPTQ left to the nearest: {', '.join(large)} (sums of more than {LARGEST:,} "
                "terms, whose products would take "
                f"{gigabytes:.1f} GB): give such layers more bits, or leave them out with keep=",
                SkippedWarning,
                stacklevel=3,
            )
        rounded = [layer for layer in weights if layer not in large]
        slow: dict[str, float] = {}
        several = calls_of(before, task, batches[0]) != 1  # none: it calls parts of it
        with progress("rounding", len(rounded)) as advance:
            for section in sections(
                quantised.places, rounded, lambda layer: len(batches) == 1 and not several
            ):
                while section:
                    then = _Sums(before, quantised.places, free, section, several)
                    now = _Rounding(quantised, section, self, weights, then, len(batches), slow)
                    for batch in batches:
                        then.run(task, batch)
                        now.run(task, batch)
                    for layer in then._found:
                        now.finish(layer)
                        advance(layer)
                    section = section[max(len(then._found), 1) :]
        if slow:
            warnings.warn(
                "GPTQ left to the nearest: "
                f"{', '.join(f'{layer} ({work:.1e} multiplications)' for layer, work in slow.items())}, "
                "since a layer may take "
                f"{self.most or 0:.1e}: give it more with most=, or such layers more bits",
                SkippedWarning,
                stacklevel=3,
            )

    @staticmethod
    def work(terms: int, outputs: int, sums: float = 0.0, groups: int = 1) -> float:
        """Multiplications that a layer takes, about, of so many terms and outputs in each of its
        groups: all pairs of terms, and each output with each term, at every sum; then what solves
        and rounds.
        """
        return groups * (
            sums * terms * (terms + outputs) + _SOLVING * terms**3 + _ROUNDING * outputs * terms**2
        )

    def round(self, weight: Weight, found: _Products) -> None:
        """Round a weight to keep the sums of which these are the products."""
        state = weight.state
        assert state is not None and state.scale is not None and state.reach is not None
        groups, terms = found.terms.shape[:2]
        shape = (groups, -1, terms)
        value = weight.raw.detach().double().cpu()
        rows = value.reshape(shape)
        missing = found.sums - rows @ found.terms
        damped = (
            found.taken()
        )  # in place, and let go of as soon as can be: of 8192 terms it is half a gigabyte
        diagonal = damped.diagonal(dim1=1, dim2=2)
        diagonal += self.damping * diagonal.mean(1, keepdim=True) + 1e-12
        rows = rows + torch.linalg.solve(damped, missing, left=False)
        scale = state.scale.detach().to(value).expand_as(value).reshape(shape)
        keep = (torch.ones_like(value) if state.mask is None else state.mask.to(value)).reshape(
            shape
        )
        held = [damped]
        del damped, diagonal
        rounded = _rounded(rows, held, scale, int(state.reach), keep)
        with torch.no_grad():
            weight.raw.copy_(rounded.reshape(value.shape))


def _size(quantised: Quantised, layer: str, weight: Weight) -> float:
    """How many terms a layer's sums have, as one sum that has as many pairs of them as those of all
    groups.
    """
    groups = getattr(quantised.inner.get_submodule(layer), "groups", 1)
    return weight.raw[0].numel() * math.sqrt(groups if isinstance(groups, int) else 1)


def _rounded(rows: Tensor, held: list[Tensor], scale: Tensor, reach: int, keep: Tensor) -> Tensor:
    """Multiples of the steps, (groups, rows, terms), or zero where `keep` is.

    The errors of each term taken away by those after it.
    `held`: the products, which are taken out of it.
    """
    products = held.pop()
    order = products.diagonal(dim1=1, dim2=2).argsort(1, descending=True)
    across = order[:, None].expand_as(rows)
    rows, scale, keep = (one.gather(2, across) for one in (rows, scale, keep))
    shape = products.shape
    products = products.gather(1, order[:, :, None].expand(shape))
    products = products.gather(2, order[:, None].expand(shape))
    products = torch.linalg.cholesky(products)
    products = torch.cholesky_inverse(products)
    inverse = torch.linalg.cholesky(products, upper=True)
    del products
    for term in range(rows.shape[2]):
        value = rows[:, :, term].clone()
        rows[:, :, term] = (
            (value / scale[:, :, term]).round().clamp(-reach, reach)
            * scale[:, :, term]
            * keep[:, :, term]
        )
        error = (value - rows[:, :, term]) / inverse[:, term, term, None]
        rows[:, :, term + 1 :] -= error[:, :, None] * inverse[:, None, term, term + 1 :]
    return torch.empty_like(rows).scatter_(2, across, rows)


class _Products:
    """Of the terms of a layer's sums, each with each, (groups, terms, terms).

    And of the sums with the terms, (groups, sums, terms).
    """

    def __init__(self) -> None:
        self.terms, self.sums = torch.zeros(()), torch.zeros(())

    def add(self, terms: Tensor, sums: Tensor) -> None:
        """Those of (groups, examples, terms) and (groups, examples, sums)."""
        own, others = (terms.mT @ terms).cpu(), (sums.mT @ terms).cpu()
        if not self.terms.ndim:
            self.terms, self.sums = own.double(), others.double()
        else:  # in place: a sum of single and double is in double
            self.terms += own
            self.sums += others

    def taken(self) -> Tensor:
        """Those of the terms, which are gone after that."""
        terms, self.terms = self.terms, torch.zeros(())
        return terms


class _Sums(Settling):
    """A run that notes the sums of the layers of a section, as far as there is memory for them.

    Of each layer, by call and part.
    """

    def __init__(
        self,
        inner: nn.Module,
        places: Edges,
        grids: Sequence[nn.Module],
        section: Sequence[str],
        whole: bool,
    ) -> None:
        super().__init__(inner, places, grids, section, whole)
        self._found: dict[str, list[Tensor]] = {}

    def run(self, task: Task, batch: Any) -> None:
        """Notes those of another batch, instead of those before."""
        self._found = {}
        super().run(task, batch)

    def settle(self, call: Product, layer: str, number: int) -> Product:
        """The call, as it is."""
        with _in_float32(call) as parts:
            self._found.setdefault(layer, []).extend(part.sums() for part in parts)
        if sum(one.numel() for sums in self._found.values() for one in sums) > _KEPT:
            self._last = layer
        return call


class _Rounding(Settling):
    """A run that rounds the layers of a section as they are called.

    One that is called more often, or with several batches, at the end.
    """

    def __init__(
        self,
        quantised: Quantised,
        section: Sequence[str],
        how: GPTQ,
        weights: Mapping[str, Weight],
        wanted: _Sums,
        batches: int,
        slow: dict[str, float],
    ) -> None:
        super().__init__(
            quantised.inner, quantised.places, list(quantised.grids), section, wanted._whole
        )
        self._how, self._weights, self._wanted, self._batches, self._slow = (
            how,
            weights,
            wanted,
            batches,
            slow,
        )
        self._products: dict[str, _Products] = {}
        self._looked_at: set[str] = set()
        self._taken: Counter[str] = Counter()

    def run(self, task: Task, batch: Any) -> None:
        """Takes another batch, as far as the sums that are wanted go."""
        self._last = self._wanted._last
        self._taken.clear()
        super().run(task, batch)

    def settle(self, call: Product, layer: str, number: int) -> Product:
        """The call, with the weight rounded where it is the only one."""
        if self._is_slow(call, layer):
            return call
        found = self._products.setdefault(layer, _Products())
        with _in_float32(call) as parts:
            for part in parts:
                found.add(part.terms(), self._wanted._found[layer][self._taken[layer]])
                self._taken[layer] += 1
        if len(self._section) == 1 or self._whole:
            return call
        self.finish(layer)
        return replace(call, weight=self._weights[layer].value())

    def _is_slow(self, call: Product, layer: str) -> bool:
        """Whether a layer asks for more multiplications than it may take, going by the first batch;
        noted in `slow`.
        """
        if self._how.most is not None and layer not in self._looked_at:
            self._looked_at.add(layer)
            sums = sum(one[0].shape[0] for one in self._wanted._found[layer]) * self._batches
            groups = call.groups
            work = self._how.work(call.weight[0].numel(), len(call.weight) // groups, sums, groups)
            if work > self._how.most:
                self._slow[layer] = work
        return layer in self._slow

    def finish(self, layer: str) -> None:
        """Round a layer, unless that is done."""
        if (found := self._products.pop(layer, None)) is None:
            return
        try:
            self._how.round(self._weights[layer], found)
        except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
            raise ValueError(
                f"GPTQ cannot solve for {layer}, whose terms repeat each other: give a damping "
                f"above {self._how.damping:g}"
            ) from None


@contextmanager
def _in_float32(call: Product) -> Iterator[list[Product]]:
    """The parts of a call, to be computed within in float32, though autocast may be on."""
    with torch.autocast(call.value.device.type, enabled=False):
        yield replace(call, value=call.value.float()).parts(_AT_ONCE)
