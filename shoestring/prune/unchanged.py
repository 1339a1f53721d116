"""A model in which a technique found nothing to change: it comes back as it was, untrained."""

from __future__ import annotations

import warnings

from torch import nn

from shoestring.kit import SkippedWarning, Training, clone


def unchanged(model: nn.Module, training: Training, who: str) -> nn.Module:
    """A copy of the model. A SkippedWarning says that it was not trained, where it was asked to be.

    `who`: the technique, called by the user, which calls this.
    """
    if training.steps:
        text = f"{who} changed nothing in the model, so it did not train the model either"
        warnings.warn(text, SkippedWarning, stacklevel=3)
    return clone(model)
