"""Layers of a quantised module that are settled one after the other, each by what it is given now
that those before it are settled.
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
    places: Edges, layers: Container[str], can_share: Callable[[str], bool]
) -> list[list[str]]:
    """The layers, in the order that they are called in, those together that a single run can
    settle: neighbours that are called once, and of which `can_share` says nothing else.
    """
    calls = Counter(layer for layer, _ in places.products.values())
    found: list[list[str]] = []
    shared = False
    for layer in calls:
        if layer not in layers:
            continue
        before, shared = shared, calls[layer] == 1 and can_share(layer)
        if before and shared:
            found[-1].append(layer)
        else:
            found.append([layer])
    return found


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


class _Enough(BaseException):
    """The last layer of a section has been called as often as it will be.

    Not an Exception, which a loss may catch.
    """


class Settling(Quantised):
    """A run of a quantised module as far as the last layer of a section.

    `settle` may change each of them as it is called, and what comes after it sees what it gives
    then. `whole`: to the end, since the loss calls the module several times.
    What it knows has names with an underscore, since the loss may ask it for a part of the module
    by name.
    """

    def __init__(
        self,
        inner: nn.Module,
        places: Edges,
        grids: Sequence[nn.Module],
        section: Sequence[str],
        whole: bool = False,
    ) -> None:
        super().__init__(inner, places, grids)
        self._whole = whole
        self._section, self._last = section, section[-1]
        self._keys = {
            layer: [key for key, (one, _) in places.products.items() if one == layer]
            for layer in section
        }
        self._done: Counter[str] = Counter()

    def run(self, task: Task, batch: Any) -> None:
        """Have the task call the module on a batch."""
        self._done.clear()
        with evaluating(self), torch.no_grad(), seeded(0), suppress(_Enough):
            task.loss(self, batch)

    def begin(self) -> None:
        """Each call of the module, or of a part of it, settles its layers."""
        if self._whole:
            self._done.clear()

    def settle(self, call: Product, layer: str, number: int) -> Product:
        """The call as it is once the layer is settled."""
        raise NotImplementedError

    def key(self, layer: str) -> tuple[str, str, int]:
        """Where the call that is being settled is made: layer, function, turn."""
        return self._keys[layer][self._done[layer]]

    def given(self, call: Product, layer: str, number: int) -> Tensor:
        """What the call that is being settled gives as it is, on its grid where it has one."""
        answer = super().multiply(call, layer, number)
        grid = self.places.results.get((*self.key(layer), 0))
        return answer if grid is None else self.grids[grid](answer)

    def multiply(self, call: Product, layer: str, number: int) -> Tensor:
        """What a call gives once its layer is settled."""
        # Not what a loss calls that goes on after all.
        if layer in self._section and self._done[layer] < len(self._keys[layer]):
            call = self.settle(call, layer, number)
            self._done[layer] += 1
            if (
                not self._whole
                and layer == self._last
                and self._done[layer] == len(self._keys[layer])
            ):
                raise _Enough
        return super().multiply(call, layer, number)
