"""A task and a technique of which it is known what each layer loses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, Technique
from shoestring.kit import Patterns, Supervised, clone, compressible, touched

CALLS: list[str] = []
"""The names of the techniques that were called, in order."""


class Sum(nn.Module):
    """The sum of `count` numbers, each through a layer of its own, of which the weight is 1."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(count))
        for one in self.layers:
            nn.init.ones_(one.weight)  # type: ignore[arg-type]

    def forward(self, numbers: Tensor) -> Tensor:
        """N×count to N×1."""
        return torch.stack(
            [layer(numbers[:, i : i + 1]) for i, layer in enumerate(self.layers)]
        ).sum(0)


def summing(count: int, noise: float = 0.0, examples: int = 64) -> Supervised:
    """All numbers are 1, and the merit of an example is its output (and noise with a mean of
    exactly 0): `count` at best.
    """
    ones = torch.ones(examples, count)
    offsets = torch.randn(examples, generator=torch.Generator().manual_seed(0)).double()
    offsets -= offsets.mean()
    targets = (noise * offsets).float()

    def merit(outputs: Any, wanted: Any) -> Any:
        return outputs[:, 0].astype("float64") + wanted

    split = (ones, targets)
    return Supervised(train=split, validation=split, test=split, merit=merit, name="summing")


@dataclass(frozen=True, kw_only=True)
class Harm(Technique):
    """Lower the weight of each layer by what is told: the score loses just as much.

    `harms`: of each layer, by its place.
    `deaf`: layers that it does not act on, as an int8 technique on no embedding.
    `together`: two places that lose 1 more where both are changed.
    `failing`: a layer that cannot be changed.
    `interrupting`: after so many calls a KeyboardInterrupt.
    `log`: a file for the layers of each call, which then takes its time.
    """

    harms: tuple[float, ...] = ()
    deaf: tuple[str, ...] = ()
    together: tuple[int, int] | None = None
    failing: str = ""
    only: Patterns = ()
    keep: Patterns = ()
    interrupting: int | None = field(default=None, repr=False)
    log: Path | None = field(default=None, repr=False)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy with smaller weights."""
        if self.interrupting is not None and len(CALLS) >= self.interrupting:
            raise KeyboardInterrupt
        harmed = clone(model)
        weights = [
            weight
            for weight in compressible(harmed, "Harm")
            if weight.name.removesuffix(".weight") not in self.deaf
        ]
        found = touched(weights, self.only, self.keep, "Harm")
        CALLS.append(repr(self))
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{' '.join(self.only)}\n")
            sleep(0.5)
        places = {int(weight.name.split(".")[1]): weight for weight in found}
        if any(weight.name == f"{self.failing}.weight" for weight in found):
            raise RuntimeError(f"{self.failing} cannot be changed")
        with torch.no_grad():
            for place, weight in places.items():
                weight.raw.sub_(self.harms[place])
            if self.together is not None and set(self.together) <= places.keys():
                places[self.together[0]].raw.sub_(1)
        return harmed
