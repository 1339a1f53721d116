"""The space for a task: what its inputs look like says which networks are for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import LabelTask, Task
from shoestring.core.task import evaluating
from shoestring.kit.tracing.example import Example, examples_of, tensors
from shoestring.search.space import Space
from shoestring.search.stages import Head, Stages
from shoestring.search.tables import Tables
from shoestring.search.texts import Ngrams

LARGE = 64
"""The pixels of a side from which pictures are halved in every stage."""


def space_of(task: Task, model: nn.Module | None = None) -> Space:
    """The space of networks for the inputs of a task.

    Pictures and spectrograms N×channels×H×W get `Stages`, ids N×T of which 0 is padding at the end
    `Ngrams`, tables (ids N×C, numbers N×D, or either alone) `Tables`. Ids are taken for texts where
    T varies, or where some rows end with 0 and none has another id after a 0. There are as many
    answers as the model has logits; without a model, as there are classes among the labels.

    `model`: one that does the task; None for none.

    Raises ValueError for a task with other inputs, for labels below 0, and where nothing tells the
    number of answers.
    """
    examples = examples_of(task)
    if len(examples) != 1 or examples[0].entry or examples[0].kwargs:
        raise _unknown("the model has several entries, or arguments by name")
    example, labelled = examples[0], task.labelled()
    given = tensors(example.args)
    if len(given) != len(example.args):
        raise _unknown("an input is no tensor")
    classes = _classes(example, model, labelled)
    if len(given) == 1 and given[0].ndim == 4 and given[0].is_floating_point():
        return _pictures(example, given[0], classes)
    if any(one.ndim != 2 for one in given) or labelled is None or len(given) > 2:
        shapes = ", ".join(f"{one.dtype} {tuple(one.shape)}" for one in given)
        raise _unknown(f"the inputs are {shapes}")
    columns = tensors(labelled.inputs(labelled.known()))
    ids = [one for one in columns if not one.is_floating_point()]
    numbers = [one for one in columns if one.is_floating_point()]
    if len(ids) > 1 or len(numbers) > 1 or (len(ids) == 1 and columns[0] is not ids[0]):
        raise _unknown("a table is ids and then numbers, each once at most")
    if ids and not numbers and _is_text(example, ids[0]):
        return Ngrams(ids=max(int(one.max()) for one in _seen(task, ids[0])) + 1, classes=classes)
    deviation = numbers[0].std(0) if numbers else torch.zeros(0)
    highest = torch.stack([one.amax(0) for one in _seen(task, ids[0])]).amax(0) if ids else ()
    return Tables(
        sizes=tuple(int(one) + 1 for one in highest),
        mean=tuple(numbers[0].mean(0).tolist()) if numbers else (),
        deviation=tuple(torch.where(deviation > 0, deviation, 1.0).tolist()),
        classes=classes,
    )


def _unknown(why: str) -> ValueError:
    return ValueError(
        f"no space of networks is known for this task ({why}): give one, such as "
        "Stages(channels=3, classes=10, height=32, width=32)"
    )


def _classes(example: Example, model: nn.Module | None, labelled: LabelTask | None) -> int:
    """How many answers there are."""
    if model is not None:
        with evaluating(model), torch.no_grad():
            outputs = tensors(example.run(model))
        if len(outputs) != 1 or outputs[0].ndim != 2:
            raise _unknown(f"the model returns {len(outputs)} tensors, not logits N×classes alone")
        return outputs[0].shape[1]
    labels = None if labelled is None else tree.leaves(labelled.labels(labelled.known()))
    only = labels[0] if labels and len(labels) == 1 else None
    if isinstance(only, Tensor) and only.ndim == 1 and not only.is_floating_point():
        if (lowest := int(only.min())) < 0:
            raise ValueError(
                f"a label is {lowest}, and labels are classes from 0 on: number them so, or give a "
                "space with as many classes as there are"
            )
        return int(only.max()) + 1
    raise _unknown("nothing tells the number of answers: labels are no classes, and no model came")


def _pictures(example: Example, pictures: Tensor, classes: int) -> Stages:
    """The space for pictures.

    Where their size varies, it is without heads that need a fixed one. Large pictures are halved in
    every stage: a network for 224×224 would else take a hundred times as long as one for 32×32.
    """
    varies = any(axis in (2, 3) for axis in example.axes.get(id(pictures), {}))
    _, channels, height, width = pictures.shape
    space = Stages(channels=channels, classes=classes, height=height, width=width)
    if varies:
        space = replace(space, heads=(Head.MEAN,))
    if max(height, width) > LARGE:
        strides = ((2,),) * len(space.strides)
        space = replace(space, first_strides=(2,), strides=strides, heads=(Head.MEAN,))
    return space


def _is_text(example: Example, ids: Tensor) -> bool:
    """Whether ids are of texts, not of columns.

    Their number varies; or some end with 0, and in all of them 0 is followed by 0 alone.
    """
    if any(1 in axes for axes in example.axes.values()):
        return True
    is_followed = (ids[:, :-1] == 0) & (ids[:, 1:] != 0)
    return not is_followed.any() and bool(((ids[:, -1] == 0) & (ids[:, 0] != 0)).any())


def _seen(task: Task, ids: Tensor) -> Iterator[Tensor]:
    """The ids of training, and those of validation."""
    yield ids
    for batch in task.sealed().batches("validation"):
        leaves: list[Any] = [one for one in tree.leaves(batch) if isinstance(one, Tensor)]
        own = [one for one in leaves if one.ndim == 2 and not one.is_floating_point()]
        yield from (one for one in own if one.numel())
