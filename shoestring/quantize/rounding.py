"""Rounding: which multiple of its scale each weight becomes."""

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
from shoestring.quantize.sequential import SequentialRun, calls_of, sections

LARGEST = 8192
"""The largest number of terms of a sum (times the square root of the number of groups).

The products of all pairs of so many terms take half a gigabyte, and three times that while the
layer is rounded.
"""
_AT_ONCE = 1 << 26
"""Numbers of the terms that are held at once: 256 MB."""
_KEPT = 1 << 26
"""Sums of several layers that are held at once: another 256 MB."""
_SOLVING, _ROUNDING = 3.0, 40.0
"""Multiplications of the solver and of the rounding, to estimate the work of a layer.

`_SOLVING` times the cube of the terms: two factorisations, an inverse and a solution in double
precision. `_ROUNDING` times the square of the terms per output: rounding one term after the other
is bound by memory, and as slow as so many multiplications.
"""


@dataclass(frozen=True)
class Nearest:
    """Round to nearest: takes no time, and with 8 bits is as good as any other way."""

    def __call__(
        self,
        quantised: Quantised,
        before: nn.Module,
        task: Task,
        weights: Mapping[str, Weight],
        batches: list[Any],
    ) -> None:
        """Does nothing: the state of a weight rounds to nearest."""


@dataclass(frozen=True)
class GPTQ:
    """Round each weight so that the following ones compensate its error in the sums of the layer.

    Layers are rounded one after the other, with the inputs that the rounded layers before them give
    on the calibration examples; the targets are the sums of the original network. For 4 bits or
    fewer. Time: two runs over the calibration examples per layer, or two or three runs in all where
    the examples are one batch and layers are called once. Memory: 8 bytes for each pair of terms of
    a sum (per group) of the layer that is being rounded, and for a while three times that. A layer
    of more than 8,192 terms, for which that is 1.6 GB, is rounded to nearest, with a
    SkippedWarning.
    Source: Frantar et al. 2023 (GPTQ), section 3; Frantar and Alistarh 2022, for convolutions.
    Differs: weights are fitted to the sums of the original network (least squares) before they are
    rounded; weights with the largest terms are rounded first.

    `damping`: what is added to the mean square of every term, as a share of their mean, above 0.
        The larger it is, the less the examples are trusted.
    `most`: multiplications that a layer may take (see `work`), above 0, or None for no limit. A
        layer that needs more is rounded to nearest, with a SkippedWarning. A core does about 2e10
        per second.
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
        """Choose the multiples of the scales, in place.

        `before`: the original network; `weights`: by layer, those to round; `batches`: the
            calibration examples.
        """
        no_grids = [nn.Identity() for _ in quantised.grids]
        large = {
            layer: terms
            for layer, weight in weights.items()
            if (terms := _size(quantised, layer, weight)) > LARGEST
        }
        if large:
            gigabytes = max(large.values()) ** 2 * 8 / 1e9
            warnings.warn(
                f"GPTQ left to nearest rounding: {', '.join(large)} (sums of more than {LARGEST:,} "
                f"terms, whose products would take {gigabytes:.1f} GB): give such layers more "
                "bits, or leave them out with keep=",
                SkippedWarning,
                stacklevel=3,
            )
        rounded = [layer for layer in weights if layer not in large]
        slow: dict[str, float] = {}
        several = calls_of(before, task, batches[0]) != 1  # 0 if it calls only parts of it
        with progress("rounding", len(rounded)) as advance:
            for section in sections(
                quantised.places, rounded, lambda layer: len(batches) == 1 and not several
            ):
                while section:
                    targets = _Sums(before, quantised.places, no_grids, section, several)
                    rounding = _Rounding(
                        quantised, section, self, weights, targets, len(batches), slow
                    )
                    for batch in batches:
                        targets.run(task, batch)
                        rounding.run(task, batch)
                    for layer in targets._sums:
                        rounding.finish(layer)
                        advance(layer)
                    section = section[max(len(targets._sums), 1) :]
        if slow:
            named = [f"{layer} ({work:.1e} multiplications)" for layer, work in slow.items()]
            warnings.warn(
                f"GPTQ left to nearest rounding: {', '.join(named)}, since a layer may take "
                f"{self.most or 0:.1e}: give it more with most=, or such layers more bits",
                SkippedWarning,
                stacklevel=3,
            )

    @staticmethod
    def work(terms: int, outputs: int, sums: float = 0.0, groups: int = 1) -> float:
        """About how many multiplications a layer takes.

        `terms`, `outputs`: of each of its groups; `sums`: outputs that it is given on the examples.
            At each sum all pairs of terms are multiplied, and each output with each term; then come
            the solver and the rounding.
        """
        return groups * (
            sums * terms * (terms + outputs) + _SOLVING * terms**3 + _ROUNDING * outputs * terms**2
        )

    def round(self, weight: Weight, products: _Products) -> None:
        """Round a weight so that the sums are kept, given the products of its terms."""
        state = weight.state
        assert state is not None and state.scale is not None and state.reach is not None
        groups, terms = products.terms.shape[:2]
        shape = (groups, -1, terms)
        value = weight.raw.detach().double().cpu()
        rows = value.reshape(shape)
        missing = products.sums - rows @ products.terms
        # Changed in place and freed as soon as possible: of 8192 terms it is half a gigabyte.
        damped = products.taken()
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
    """The number of terms of a sum that has as many pairs of terms as all groups of a layer."""
    groups = getattr(quantised.inner.get_submodule(layer), "groups", 1)
    return weight.raw[0].numel() * math.sqrt(groups if isinstance(groups, int) else 1)


def _rounded(rows: Tensor, held: list[Tensor], scale: Tensor, reach: int, keep: Tensor) -> Tensor:
    """Multiples of the scales (groups, rows, terms), or zero where `keep` is zero.

    The error of each term is compensated by the terms after it.
    `held`: the products of the terms (groups, terms, terms), which are taken out of the list so
        that they can be freed.
    """
    products = held.pop()
    order = products.diagonal(dim1=1, dim2=2).argsort(1, descending=True)
    order_of_rows = order[:, None].expand_as(rows)
    rows, scale, keep = (each.gather(2, order_of_rows) for each in (rows, scale, keep))
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
    return torch.empty_like(rows).scatter_(2, order_of_rows, rows)


class _Products:
    """The products that a layer is rounded by, summed over the examples.

    `terms`: each term with each (groups, terms, terms).
    `sums`: each sum with each term (groups, sums, terms).
    """

    def __init__(self) -> None:
        self.terms, self.sums = torch.zeros(()), torch.zeros(())

    def add(self, terms: Tensor, sums: Tensor) -> None:
        """Add those of terms (groups, examples, terms) and sums (groups, examples, sums)."""
        of_terms, of_sums = (terms.mT @ terms).cpu(), (sums.mT @ terms).cpu()
        if not self.terms.ndim:
            self.terms, self.sums = of_terms.double(), of_sums.double()
        else:  # in place: a sum of single and double precision is in double
            self.terms += of_terms
            self.sums += of_sums

    def taken(self) -> Tensor:
        """The products of the terms, which are then gone."""
        terms, self.terms = self.terms, torch.zeros(())
        return terms


class _Sums(SequentialRun):
    """A run that records the sums of the layers of a section, as far as there is memory for them.

    They are recorded by layer, in the order of its calls and their parts.
    """

    def __init__(
        self,
        inner: nn.Module,
        edges: Edges,
        grids: Sequence[nn.Module],
        section: Sequence[str],
        to_end: bool,
    ) -> None:
        super().__init__(inner, edges, grids, section, to_end)
        self._sums: dict[str, list[Tensor]] = {}

    def run(self, task: Task, batch: Any) -> None:
        """Record the sums of another batch in place of those of the last."""
        self._sums = {}
        super().run(task, batch)

    def _adjust(self, call: Product, layer: str, grid: int) -> Product:
        """The call, unchanged."""
        with _in_float32(call) as parts:
            self._sums.setdefault(layer, []).extend(part.sums() for part in parts)
        if sum(part.numel() for sums in self._sums.values() for part in sums) > _KEPT:
            self._last = layer
        return call


class _Rounding(SequentialRun):
    """A run that rounds the layers of a section as they are called.

    A layer that is called several times, or with several batches, is rounded at the end, by
    `finish`.
    """

    def __init__(
        self,
        quantised: Quantised,
        section: Sequence[str],
        method: GPTQ,
        weights: Mapping[str, Weight],
        targets: _Sums,
        batches: int,
        slow: dict[str, float],
    ) -> None:
        super().__init__(
            quantised.inner, quantised.places, list(quantised.grids), section, targets._to_end
        )
        self._method, self._weights, self._targets, self._batches, self._slow = (
            method,
            weights,
            targets,
            batches,
            slow,
        )
        self._products: dict[str, _Products] = {}
        self._checked: set[str] = set()
        self._used: Counter[str] = Counter()

    def run(self, task: Task, batch: Any) -> None:
        """Take another batch, as far as the recorded sums go."""
        self._last = self._targets._last
        self._used.clear()
        super().run(task, batch)

    def _adjust(self, call: Product, layer: str, grid: int) -> Product:
        """The call, with its weight rounded where it is the only call of it."""
        if self._is_slow(call, layer):
            return call
        products = self._products.setdefault(layer, _Products())
        with _in_float32(call) as parts:
            for part in parts:
                products.add(part.terms(), self._targets._sums[layer][self._used[layer]])
                self._used[layer] += 1
        if len(self._section) == 1 or self._to_end:
            return call
        self.finish(layer)
        return replace(call, weight=self._weights[layer].value())

    def _is_slow(self, call: Product, layer: str) -> bool:
        """Whether a layer needs more multiplications than it may take, judged by the first batch.

        Records it in `slow` if so.
        """
        if self._method.most is not None and layer not in self._checked:
            self._checked.add(layer)
            sums = sum(part[0].shape[0] for part in self._targets._sums[layer]) * self._batches
            groups = call.groups
            work = self._method.work(
                call.weight[0].numel(), len(call.weight) // groups, sums, groups
            )
            if work > self._method.most:
                self._slow[layer] = work
        return layer in self._slow

    def finish(self, layer: str) -> None:
        """Round a layer, unless that is done."""
        if (products := self._products.pop(layer, None)) is None:
            return
        try:
            self._method.round(self._weights[layer], products)
        except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
            raise ValueError(
                f"GPTQ cannot solve for {layer}, whose terms repeat each other: give a damping "
                f"above {self._method.damping:g}"
            ) from None


@contextmanager
def _in_float32(call: Product) -> Iterator[list[Product]]:
    """The parts of a call, to be computed in float32 within the context, even under autocast."""
    with torch.autocast(call.value.device.type, enabled=False):
        yield replace(call, value=call.value.float()).parts(_AT_ONCE)
