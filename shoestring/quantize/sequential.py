"""Sequential processing of the layers of a quantised module.

Each layer is adjusted to the inputs that it gets once those before it are adjusted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, evaluating, seeded
from shoestring.kit import Edges, Product, Quantised


def sections(
    quantised_edges: Edges, layers: Container[str], can_share: Callable[[str], bool]
) -> list[list[str]]:
    """The layers in the order of their calls, in sections that a single run can adjust.

    A section has several layers if they are neighbours, each is called once, and `can_share` holds
    for each.
    """
    calls = Counter(layer for layer, _ in quantised_edges.products.values())
    result: list[list[str]] = []
    shared = False
    for layer in calls:
        if layer not in layers:
            continue
        before, shared = shared, calls[layer] == 1 and can_share(layer)
        if before and shared:
            result[-1].append(layer)
        else:
            result.append([layer])
    return result


def calls_of(model: nn.Module, task: Task, batch: Any) -> int:
    """How often the loss of a batch calls a model."""
    count = 0

    def called(*_: Any) -> None:
        nonlocal count
        count += 1

    handle = model.register_forward_hook(called)
    try:
        with evaluating(model), torch.no_grad(), seeded(0):
            task.loss(model, batch)
    finally:
        handle.remove()
    return count


class _Finished(BaseException):
    """The last layer of a section has had its last call.

    Not an Exception, which a loss may catch.
    """


class SequentialRun(Quantised):
    """A run of a quantised module up to the last layer of a section.

    `_adjust` may change each layer of the section as it is called; later layers then see its new
    output. Names begin with an underscore where possible, since the loss may ask for a part of the
    module by its name.

    `section`: names of layers, in the order of their calls.
    `to_end`: run to the end, since the loss calls the module several times.
    """

    def __init__(
        self,
        inner: nn.Module,
        places: Edges,
        grids: Sequence[nn.Module],
        section: Sequence[str],
        to_end: bool = False,
    ) -> None:
        super().__init__(inner, places, grids)
        self._to_end = to_end
        self._section, self._last = section, section[-1]
        self._keys = {
            layer: [key for key, (own, _) in places.products.items() if own == layer]
            for layer in section
        }
        self._done: Counter[str] = Counter()

    def run(self, task: Task, batch: Any) -> None:
        """Have the loss of the task call the module on a batch."""
        self._done.clear()
        with evaluating(self), torch.no_grad(), seeded(0), suppress(_Finished):
            task.loss(self, batch)

    def begin(self) -> None:
        """Start a call of the module, or of a part of it."""
        if self._to_end:
            self._done.clear()

    def _adjust(self, call: Product, layer: str, grid: int) -> Product:
        """The call with the layer adjusted; `grid`: the index of the grid of its input."""
        raise NotImplementedError

    def _key(self, layer: str) -> tuple[str, str, int]:
        """The key of the current call of a layer: layer, function, turn."""
        return self._keys[layer][self._done[layer]]

    def _output(self, call: Product, layer: str, grid: int) -> Tensor:
        """The output of the current call as it is, on its grid where it has one."""
        output = super().multiply(call, layer, grid)
        own_grid = self.places.results.get((*self._key(layer), 0))
        return output if own_grid is None else self.grids[own_grid](output)

    def multiply(self, call: Product, layer: str, number: int) -> Tensor:
        """The output of a call once its layer is adjusted."""
        # A loss that goes on all the same may call a layer more often.
        if layer in self._section and self._done[layer] < len(self._keys[layer]):
            call = self._adjust(call, layer, number)
            self._done[layer] += 1
            if (
                not self._to_end
                and layer == self._last
                and self._done[layer] == len(self._keys[layer])
            ):
                raise _Finished
        return super().multiply(call, layer, number)
