"""New networks that fit a model's inputs and answers, and when a search should try them.

Families of networks are in `models`, and `distill.Replace` trains one; here the two meet.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import (
    BinaryLogits,
    BinaryProbabilities,
    ClassLogits,
    Probabilities,
    Task,
    batches,
    device_of,
    evaluating,
    seeded,
)
from shoestring.core.entries import calls_of
from shoestring.core.inferred import settle
from shoestring.core.kinds import are_probabilities
from shoestring.core.technique import steps_of
from shoestring.distill import Replace
from shoestring.kit import AdamW, Training
from shoestring.kit.clock import TimeUpError
from shoestring.models.families import (
    Ending,
    Images,
    NgramFamily,
    ShuffleNetFamily,
    Texts,
    VGGFamily,
)
from shoestring.plan.moves import Move

_BATCHES = 8
"""Training batches by which the mean and the deviation of images are measured."""
_LEAST_SIDE = 4
"""Pixels of the shorter side below which something is no image."""
_LEAST_DEVIATION = 1e-3
"""Of a channel, as a share of the largest: a channel that never changes is not blown up."""


@dataclass(frozen=True)
class _Seen:
    """A call of the model by the task's loss: its input and its answers, and the loss."""

    inputs: Tensor
    answers: Any
    loss: Any


def replacements(
    model: nn.Module, task: Task, *, say: Callable[[str], None] = lambda text: None
) -> list[Move]:
    """A move for each family of new networks that can take a model's place.

    Offered are: for images N×C×H×W with answers N×classes, `VGGFamily` and `ShuffleNetFamily`; for
    texts N×T ids that go into a table of vectors, `NgramFamily`. For everything else, and for a
    model or task that fails, there is none: the list is empty.

    `say`: gets a line that says why, where the model or the task fails.
    """
    try:
        with warnings.catch_warnings(), seeded(0):
            warnings.simplefilter("ignore")
            seen = _calls(model, task)
            ending = None if not seen else _ending(seen[0], task)
            if ending is None:
                return []
            if seen[0].inputs.is_floating_point():
                return _of_images(seen, ending, task)
            return _of_texts(model, seen, ending)
    except TimeUpError:
        raise
    except Exception as error:  # of any model or task: then nothing is offered
        say(
            "  no new network is tried in the model's place: looking at what the model reads and "
            f"answers failed ({type(error).__name__}: {error})"
        )
        return []


def _calls(model: nn.Module, task: Task) -> list[_Seen]:
    """How the loss calls the model on some training batches.

    Empty where it does not call it once a batch, with one tensor.
    """
    if calls_of(task.example()).keys() != {""}:
        return []
    calls: list[tuple[Any, Any, Any]] = []
    seen: list[_Seen] = []
    handle = model.register_forward_hook(
        lambda _module, args, kwargs, output: calls.append((args, kwargs, output)),
        with_kwargs=True,
    )
    try:
        with evaluating(model):
            for batch in islice(iter(batches(task, "train", model)), _BATCHES):
                calls.clear()
                # The kind of the answers is read off the graph of the loss, once.
                with torch.enable_grad() if not seen else torch.no_grad():
                    loss = task.loss(model, batch)
                if len(calls) != 1 or len(calls[0][0]) != 1 or calls[0][1]:
                    return []
                ((inputs,), _, answers) = calls[0]
                if not isinstance(inputs, Tensor) or not isinstance(answers, Tensor):
                    return []
                seen.append(_Seen(inputs.detach(), answers, loss))
                if not inputs.is_floating_point():  # ids have no mean to measure
                    break
    finally:
        handle.remove()
    return seen


def _ending(seen: _Seen, task: Task) -> Ending | None:
    """What the model answers for its classes, N×classes; None for another kind of answers."""
    if seen.answers.ndim != 2 or len(seen.answers) != len(seen.inputs):
        return None
    told = settle(task.kinds, seen.loss, [seen.answers], seen.answers.detach())
    kind = told[""].kind if told.keys() == {""} else None
    if isinstance(kind, ClassLogits):
        as_probabilities = seen.answers.detach().float().exp()
        certain = are_probabilities(as_probabilities, 1)
        return Ending.LOG_PROBABILITIES if certain else Ending.LOGITS
    if isinstance(kind, Probabilities):
        return Ending.PROBABILITIES
    if isinstance(kind, BinaryLogits):
        return Ending.LOGITS
    return Ending.SIGMOIDS if isinstance(kind, BinaryProbabilities) else None


def _of_images(seen: Sequence[_Seen], ending: Ending, task: Task) -> list[Move]:
    first = seen[0].inputs
    if first.ndim != 4 or min(first.shape[2:]) < _LEAST_SIDE:
        return []
    pixels = torch.cat([one.inputs.float().transpose(0, 1).flatten(1) for one in seen], 1)
    deviation = pixels.std(1)
    deviation = deviation.clamp(min=float(_LEAST_DEVIATION * deviation.max()))
    images = Images(
        mean=_rounded(pixels.mean(1)),
        deviation=_rounded(deviation),
        side=min(first.shape[2:]),
        classes=seen[0].answers.shape[1],
        ending=ending,
    )
    families = VGGFamily(images=images), ShuffleNetFamily(images=images)
    return [Move(Replace(by=family)) for family in families]


def _of_texts(model: nn.Module, seen: Sequence[_Seen], ending: Ending) -> list[Move]:
    first = seen[0].inputs
    table = _table_of(model, first)
    if first.ndim != 2 or table is None or table.padding_idx not in (None, 0):
        return []
    texts = Texts(ids=table.num_embeddings, classes=seen[0].answers.shape[1], ending=ending)
    training = Training(2000, AdamW(5e-3))
    return [Move(Replace(by=NgramFamily(texts=texts), training=training))]


def _table_of(model: nn.Module, ids: Tensor) -> nn.Embedding | None:
    """The table whose vectors a model takes for these ids; None where there is none."""
    found: list[nn.Embedding] = []

    def note(table: nn.Module, args: Any) -> None:
        if args and isinstance(args[0], Tensor) and torch.equal(args[0], ids):
            assert isinstance(table, nn.Embedding)
            found.append(table)

    tables = [part for part in model.modules() if isinstance(part, nn.Embedding)]
    handles = [table.register_forward_pre_hook(note) for table in tables]
    try:
        with evaluating(model), torch.no_grad():
            model(ids.to(device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _rounded(values: Tensor) -> tuple[float, ...]:
    """The numbers to four digits: they are a part of a technique's name."""
    return tuple(float(f"{value:.4g}") for value in values.tolist())


def loading_of(technique: str, file: object) -> str:
    """How the weights of a replaced network's file are loaded, for a reader; "" without one.

    `technique`: the repr of the chain.
    """
    made = made_by(technique)
    path = str(file)
    return (
        f"the model was replaced by a new network, {made}: shoestring.load({path!r}) runs its file "
        f"as before, and shoestring.load_into({path!r}, {made}) makes a module of it (from "
        "shoestring.models import the family)"
        if made
        else ""
    )


def made_by(technique: str) -> str:
    """The call that makes the new network of a chain, such as "VGGFamily(...)(0.5)"; "" for none.

    `technique`: the repr of the chain.
    """
    step = next((one for one in reversed(steps_of(technique)) if one.startswith("Replace(")), "")
    if not step:
        return ""
    try:
        call = ast.parse(step, mode="eval").body
    except SyntaxError:  # a family whose repr is no Python
        return ""
    assert isinstance(call, ast.Call)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    return f"{given['by']}({given['width']})"
