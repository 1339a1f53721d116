"""To which multiple of its step a weight goes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, evaluating, seeded
from shoestring.kit import Edges, Product, Quantised, SkippedWarning, Weight, progress

LARGEST = 8192
"""Terms of a sum beyond which the products of all pairs of them ask for too much memory."""
_AT_ONCE = 1 << 26
"""Terms of several sums: 256 MB."""


@dataclass(frozen=True)
class Nearest:
    """To the nearest: takes no time, and with 8 bits is as good as any."""

    def __call__(
        self, quantised: Quantised, before: nn.Module, task: Task, weights: Mapping[str, Weight], batches: list[Any]
    ) -> None:
        """Nothing: a weight's state does so."""


@dataclass(frozen=True)
class GPTQ:
    """To one that keeps the sums of the layer: weight after weight, what rounding one adds to the error the next ones take away.

    Layer after layer, from what those before it, rounded, give on the calibration examples, and held against the sums of the
    network as it was. For 4 bits or fewer. Costs two runs over the calibration examples for each layer.
    Source: Frantar et al. 2023 (GPTQ), section 3; Frantar and Alistarh 2022, for convolutions. Differs: weights are fitted to the
    sums of the network as it was (least squares) before they are rounded; those whose terms are largest are rounded first.

    `damping`: what is added to the mean square of every term, as a share of their mean, above 0: the more, the less the examples are trusted.
    """

    damping: float = 0.01

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise ValueError(f"a damping of {self.damping}: give a number above 0, such as 0.01")

    def __call__(
        self, quantised: Quantised, before: nn.Module, task: Task, weights: Mapping[str, Weight], batches: list[Any]
    ) -> None:
        """Choose the multiples, in place."""
        free = [nn.Identity() for _ in quantised.grids]
        large = [layer for layer, weight in weights.items() if weight.raw[0].numel() > LARGEST]
        if large:
            warnings.warn(
                f"GPTQ left to the nearest: {', '.join(large)} (sums of more than {LARGEST:,} terms)",
                SkippedWarning,
                stacklevel=3,
            )
        with progress("rounding", len(weights) - len(large)) as advance:
            for layer, weight in weights.items():
                if layer in large:
                    continue
                now = _Reached(quantised.inner, quantised.places, list(quantised.grids), layer)
                then = _Reached(before, quantised.places, free, layer)
                found = _Products()
                for batch in batches:
                    for pair in zip(now.calls(task, batch), then.calls(task, batch), strict=True):
                        for mine, wanted in zip(*(one.parts(_AT_ONCE) for one in pair), strict=True):
                            found.add(mine.terms(), wanted.sums())
                try:
                    self.round(weight, found)
                except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
                    raise ValueError(
                        f"GPTQ cannot solve for {layer}, whose terms repeat each other: give a damping above {self.damping:g}"
                    ) from None
                advance(layer)

    def round(self, weight: Weight, found: _Products) -> None:
        """Round a weight to keep the sums of which these are the products."""
        state = weight.state
        assert state is not None and state.step is not None and state.reach is not None
        groups, terms = found.terms.shape[:2]
        shape = (groups, -1, terms)
        value = weight.raw.detach().double().cpu()
        mean = found.terms.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
        damped = found.terms + torch.diag_embed((self.damping * mean + 1e-12).expand(groups, terms))
        rows = value.reshape(shape)
        rows = rows + torch.linalg.solve(damped, found.sums - rows @ found.terms, left=False)
        step = state.step.detach().to(value).expand_as(value).reshape(shape)
        keep = (torch.ones_like(value) if state.mask is None else state.mask.to(value)).reshape(shape)
        rounded = _rounded(rows, damped, step, int(state.reach), keep)
        with torch.no_grad():
            weight.raw.copy_(rounded.reshape(value.shape))


def _rounded(rows: Tensor, products: Tensor, step: Tensor, reach: int, keep: Tensor) -> Tensor:
    """Multiples of the steps, (groups, rows, terms), or zero where `keep` is: the errors of each term taken away by those after it."""
    order = products.diagonal(dim1=1, dim2=2).argsort(1, descending=True)
    across = order[:, None].expand_as(rows)
    rows, step, keep = (one.gather(2, across) for one in (rows, step, keep))
    products = products.gather(1, order[:, :, None].expand_as(products)).gather(2, order[:, None].expand_as(products))
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(products)), upper=True)
    for term in range(rows.shape[2]):
        value = rows[:, :, term].clone()
        rows[:, :, term] = (value / step[:, :, term]).round().clamp(-reach, reach) * step[:, :, term] * keep[:, :, term]
        error = (value - rows[:, :, term]) / inverse[:, term, term, None]
        rows[:, :, term + 1 :] -= error[:, :, None] * inverse[:, None, term, term + 1 :]
    return torch.empty_like(rows).scatter_(2, across, rows)


class _Products:
    """Of the terms of a layer's sums, each with each, (groups, terms, terms); and of the sums with the terms, (groups, sums, terms)."""

    def __init__(self) -> None:
        self.terms, self.sums = torch.zeros(()), torch.zeros(())

    def add(self, terms: Tensor, sums: Tensor) -> None:
        """Those of (groups, examples, terms) and (groups, examples, sums)."""
        self.terms = self.terms + (terms.mT @ terms).double().cpu()
        self.sums = self.sums + (sums.mT @ terms).double().cpu()


class _Enough(BaseException):
    """A layer has been called as often as it will be. Not an Exception, which a loss may catch."""


class _Reached(Quantised):
    """A quantised module as far as one of its layers."""

    def __init__(self, inner: nn.Module, places: Edges, grids: Sequence[nn.Module], layer: str) -> None:
        super().__init__(inner, places, grids)
        self.layer, self.found = layer, list[Product]()
        self.count = sum(one == layer for one, _ in places.products.values())

    def calls(self, task: Task, batch: Any) -> list[Product]:
        """The layer's calls for a batch."""
        self.found.clear()
        with evaluating(self), torch.no_grad(), seeded(0), suppress(_Enough):
            task.loss(self, batch)
        return list(self.found)

    def multiply(self, call: Product, layer: str, number: int) -> Tensor:
        """What a call gives, and a note of it."""
        if layer == self.layer:
            # In float32, though autocast may be on, and what it is now, though forward() may write over it.
            self.found.append(replace(call, value=call.value.to(torch.float32, copy=True)))
            if len(self.found) == self.count:
                raise _Enough
        return super().multiply(call, layer, number)
