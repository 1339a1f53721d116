"""A task that has an example and nothing else, for what looks at the example alone."""

from __future__ import annotations

from typing import Any

import torch

from shoestring.core import Task


class Shown(Task):
    """Tensors as the arguments of a call; their axis 0 varies."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def batches(self, split: str, *, model: Any = None):
        return ()

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        return torch.zeros(())

    def score(self, predict: Any, split: str) -> float:
        return 0.0

    def example(self) -> Any:
        return self.given, {}
