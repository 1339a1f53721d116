"""Two networks that read and write sequences, one for each direction, as one module."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class TwoWay(nn.Module):
    """A module of two writers of sequences; one file of it translates both ways.

    Its entries are those of the parts: `encode` and `step` of the forward part, `encode_back` and
    `step_back` of the backward one (`kit.sequences`). Weights that the parts share are kept once.

    `ahead`: writes targets of sources, such as a `models.Translator`.
    `back`: writes sources of targets.
    """

    def __init__(self, ahead: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.ahead, self.back = ahead, back

    def encode(self, source: Tensor) -> Any:
        """The state of the forward part, for sources."""
        return self.ahead.encode(source)  # type: ignore[operator]

    def step(self, last: Tensor, **state: Tensor) -> Any:
        """A step of the forward part."""
        return self.ahead.step(last, **state)  # type: ignore[operator]

    def encode_back(self, target: Tensor) -> Any:
        """The state of the backward part, for targets."""
        return self.back.encode(target)  # type: ignore[operator]

    def step_back(self, last: Tensor, **state: Tensor) -> Any:
        """A step of the backward part."""
        return self.back.step(last, **state)  # type: ignore[operator]
