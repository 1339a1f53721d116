"""The loss of a batch by the user's criterion, with errors that say what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_ELEMENTWISE = (
    functional.mse_loss,
    functional.l1_loss,
    functional.smooth_l1_loss,
    functional.huber_loss,
    functional.binary_cross_entropy_with_logits,
    functional.binary_cross_entropy,
)
_PICK = (
    "give Supervised a criterion= that takes what it is to be, such as lambda outputs, targets: "
    "cross_entropy({}, targets)"
)


def loss_of(criterion: Callable[[Any, Tensor], Any], outputs: Any, targets: Tensor) -> Tensor:
    """The loss of a batch: a tensor with one number.

    Raises TypeError where the criterion does not take what the model returns, or does not return a
    tensor, and ValueError where it returns several numbers.
    """
    try:
        loss = criterion(outputs, targets)
    except TypeError as error:
        if isinstance(outputs, Tensor):
            raise
        description, first_part = _described(outputs)
        why = str(error).splitlines()[0]
        raise TypeError(
            f"the criterion does not take what the model returns, {description} ({why}): "
            f"{_PICK.format(first_part)}"
        ) from error
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"the criterion gives {type(loss).__name__}, and a tensor with one number is wanted: "
            "have it return that, of a mapping with the loss in it lambda outputs, targets: "
            "criterion(outputs, targets)['loss']"
        )
    if loss.numel() != 1:
        raise ValueError(
            f"the criterion gives {loss.numel()} numbers for a batch: it must give one, such as "
            "their mean"
        )
    return loss


def losses_of(criterion: Callable[[Any, Tensor], Any], outputs: Any, targets: Tensor) -> Tensor:
    """The loss of each example, N: what the criterion returns for a batch of this example alone.

    Some criteria of torch are called once, for all examples.
    """
    count = len(targets)
    if criterion in _ELEMENTWISE and isinstance(outputs, Tensor) and outputs.shape == targets.shape:
        return criterion(outputs, targets, reduction="none").reshape(count, -1).mean(1)  # type: ignore[call-arg]
    classes = targets.ndim == 1 or (targets.ndim == 2 and targets.is_floating_point())
    if (
        criterion is functional.cross_entropy
        and isinstance(outputs, Tensor)
        and outputs.ndim == 2
        and classes
    ):
        return functional.cross_entropy(outputs, targets, reduction="none")
    if not count:
        return torch.zeros(0)
    return torch.stack(
        [
            loss_of(criterion, _row(outputs, row), targets[row : row + 1]).reshape(())
            for row in range(count)
        ]
    )


def _row(outputs: Any, row: int) -> Any:
    """The outputs of one example, as a batch."""
    if isinstance(outputs, Mapping):
        return {key: _row(value, row) for key, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return tuple(_row(part, row) for part in outputs)
    return outputs[row : row + 1]


def _described(outputs: Any) -> tuple[str, str]:
    """What a model returns, in words, and the expression that takes the first part of it."""
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        keys = [str(key) for key in outputs]
        name = "logits" if "logits" in keys else next(iter(keys), "")
        return f"a {kind} of {', '.join(keys)}", f"outputs[{name!r}]"
    if isinstance(outputs, tuple | list):
        return f"a {kind} of {len(outputs)}", "outputs[0]"
    if is_dataclass(outputs):
        names = [one.name for one in fields(outputs)]
        return (
            f"{kind} with {', '.join(names)} (and a file wants tensors in tuples, lists and dicts)",
            f"outputs.{next(iter(names), '')}",
        )
    return kind, "outputs..."
