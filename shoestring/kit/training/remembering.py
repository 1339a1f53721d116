"""What a layer remembers of its training, and what it has to say after one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast, runtime_checkable

from torch import nn


@runtime_checkable
class Remembers(Protocol):
    """A layer that remembers what happened to it in training, beside its weights.

    It is not in files. Snapshots of a training keep it, so that a training that was killed goes on
    as if it had not been.
    """

    def of_training(self) -> dict[str, Any]:
        """What it remembers: tensors, numbers, texts and None, by name."""
        ...

    def go_on_from(self, remembered: Mapping[str, Any]) -> None:
        """Remember what `of_training` gave."""
        ...

    def after_training(self, name: str) -> Warning | None:
        """What is to be said after a training; None: nothing. `name`: the layer's, in the model."""
        ...


def remembering(model: nn.Module) -> Iterator[tuple[str, Remembers]]:
    """The layers of a model that remember something, by name."""
    for name, part in model.named_modules():
        # By the class: a quantised module passes on what is asked of it to the module inside.
        if issubclass(type(part), Remembers):
            yield name, cast(Remembers, part)


def say_after_training(model: nn.Module) -> None:
    """Warn of what the layers of a model have to say after a training."""
    for name, part in remembering(model):
        if (told := part.after_training(name)) is not None:
            warnings.warn(told, stacklevel=3)
