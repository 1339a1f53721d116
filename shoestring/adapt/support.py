"""The few examples of a task, their features, and a model with another head on these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.adapt.comparing import AttentionHead
from shoestring.core import LabelTask, Task, label_task
from shoestring.core.kinds import outputs_of
from shoestring.kit import check_finite, clone
from shoestring.kit.tracing.last_linear import LastLinear, heard_inputs, last_linear

_CHUNK = 100
"""Examples that are embedded together."""


@dataclass(frozen=True)
class BeforeLastLinear:
    """The features of an example are the input of the last linear layer, found by trying.

    The head takes the place of that layer. It fits a network that was trained to classify.
    """


@dataclass(frozen=True)
class ModelOutputs:
    """The features of an example are the model's outputs, and the head comes after them.

    It fits a network that was trained to embed, such as by `Episodes`.
    """


Features = BeforeLastLinear | ModelOutputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Support:
    """The examples with labels of a task, its "train" split.

    `features_SD`: of each example.
    `labels_S`: integers from 0.
    `classes`: how many there are, 2 or more; each has an example.
    """

    features_SD: Tensor
    labels_S: Tensor
    classes: int


Head = Callable[[Support], nn.Module]


class WithHead(nn.Module):
    """A body, and a head on its outputs."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head(self.body(*inputs))


def with_head(
    model: nn.Module, task: Task, features: Features, made: Head
) -> tuple[nn.Module, nn.Module]:
    """(a copy of the model with another head, the head).

    `made`: makes the head, from features N×D, of the examples that have labels.

    Raises TypeError for a task without labels, and ValueError for labels that are not the classes
    0, 1, 2 and so on with an example each, for examples that the model does not take, for features
    that are not N×D or not finite, and for a model without a last linear layer.
    """
    check_finite(model)
    labelled = label_task(task)
    labels_S, classes = _classes(labelled)
    body = clone(model)
    last = None if isinstance(features, ModelOutputs) else _last(body, labelled)
    features_SD = _features(body, labelled, last)
    head = made(Support(features_SD=features_SD, labels_S=labels_S, classes=classes))
    parameter = next(body.parameters(), None)
    if parameter is not None:
        head.to(parameter.device)
    head.train(model.training)
    if last is None:
        whole = WithHead(body, head)
        whole.training = model.training  # not train(): a part of the body may be frozen
        return whole, head
    path = next(name for name, part in body.named_modules() if part is last.module)
    if not path:
        return head, head
    owner, _, name = path.rpartition(".")
    setattr(body.get_submodule(owner), name, head)
    _check_answers(body, labelled, classes)
    return body, head


def _classes(task: LabelTask) -> tuple[Tensor, int]:
    """(the labels of the examples, the number of classes)."""
    labels = torch.as_tensor(task.labels(task.known()))
    if not len(labels):
        raise ValueError("no example has a label: give a few of each class in the train split")
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            f"the labels are {list(labels.shape)} of {labels.dtype}: a head for classes needs one "
            "integer for each example"
        )
    counts = torch.bincount(labels) if int(labels.min()) >= 0 else torch.zeros(1)
    if int(labels.min()) < 0 or (counts == 0).any():
        missing = int((counts == 0).nonzero()[0])
        raise ValueError(
            f"class {missing} has no example, and labels go from {int(labels.min())} to "
            f"{int(labels.max())}: give each class an example or more, and number the classes from "
            "0 without a gap"
        )
    if len(counts) < 2:
        raise ValueError(
            f"all {len(labels)} examples are of one class: give examples of two classes or more"
        )
    return labels, len(counts)


def _check_answers(model: nn.Module, task: LabelTask, classes: int) -> None:
    """Raise ValueError where what comes after the new head makes something else of its answers."""
    try:
        found = list(_first(task.outputs(model, task.inputs(task.known()[:2]))).shape[1:])
    except (RuntimeError, ValueError, TypeError) as error:
        found = [str(error)]
    if found != [classes]:
        raise ValueError(
            f"{type(model).__name__} has more layers after its last linear one, which answer "
            f"{found} for {classes} classes: give features=ModelOutputs() to put a head after them"
        )


def _last(body: nn.Module, task: LabelTask) -> LastLinear:
    few = task.known()[:2]
    own = [part for part in body.modules() if isinstance(part, AttentionHead)]
    if own:  # not linear, and what this technique or another one put there
        return LastLinear(own[-1], 1)
    found = last_linear(body, lambda: _outputs(body, task, few))
    if found is None:
        raise ValueError(
            f"{type(body).__name__} has no last linear layer whose input has one axis of features: "
            "to put a head on its outputs, give features=ModelOutputs()"
        )
    return found


def _features(body: nn.Module, task: LabelTask, last: LastLinear | None) -> Tensor:
    """The features S×D of all examples that have labels, in parts of 100."""
    indices, rows = np.asarray(task.known()), []
    for begin in range(0, len(indices), _CHUNK):
        part = indices[begin : begin + _CHUNK]
        if last is None:
            rows.append(_first(_outputs(body, task, part)))
            continue
        with heard_inputs(last.module) as heard:
            _outputs(body, task, part)
        rows.append(heard[-1].float().cpu())
    shape = list(rows[0].shape)
    if len(shape) != 2 or sum(map(len, rows)) != len(indices):
        where = "outputs" if last is None else "input of the last linear layer"
        raise ValueError(
            f"the features of {len(rows[0])} examples, the {where} of {type(body).__name__}, have "
            f"the shape {shape}: a head needs N×D. "
            + (
                "Pool or flatten the outputs"
                if last is None
                else "Where the outputs are features, give features=ModelOutputs()"
            )
        )
    features_SD = torch.cat(rows)
    if not features_SD.isfinite().all():
        bad = int((~features_SD.isfinite().all(1)).nonzero()[0])
        raise ValueError(
            f"the features of example {indices[bad]} are not finite: see "
            "shoestring.diagnose(model, task)"
        )
    return features_SD


def _outputs(body: nn.Module, task: LabelTask, indices: np.ndarray) -> object:
    inputs = task.inputs(indices)
    try:
        return task.outputs(body, inputs)
    except (RuntimeError, ValueError, TypeError) as error:
        shapes = ", ".join(str(list(one.shape)) for one in inputs)
        raise ValueError(
            f"{type(body).__name__} does not take the examples, of shape {shapes} ({error}): give "
            "examples of the shape that it was trained on"
        ) from error


def _first(outputs: object) -> Tensor:
    found = [leaf for leaf in outputs_of(outputs).values() if leaf.is_floating_point()]
    if not found:
        raise ValueError("the model gives no numbers that could be features: give one that embeds")
    return found[0].float()
