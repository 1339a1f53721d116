"""The file of a changed model, by the graph of the original where that is still right.

Exporting a new graph takes seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.artifact import Loaded
from shoestring.artifact.format.file import unpack_model
from shoestring.core import Task, array, evaluating
from shoestring.core.device import called_from_processor
from shoestring.core.entries import called
from shoestring.kit import Exported, bake, clone, export, pack, parameters_of
from shoestring.kit.tracing.compare import all_close
from shoestring.kit.tracing.example import arrays, examples_of, tensors

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_ELSEWHERE = ("_parameters", "_buffers", "_modules", "training")
_FLOAT = {"codebook", "indices", "scale", "mask"}
"""Parts of a weight's state that leave the graph as it is: the file still holds floats."""


def file_of(
    changed: nn.Module,
    task: Task,
    exported: Exported,
    signature: list[Any],
    *,
    smallest: bool = False,
) -> bytes:
    """The bytes of a changed model's file.

    `exported`, `signature`: of the original.
    `smallest`: as in `kit.save`.

    Raises ExportError where the changed model cannot be a file.
    """
    if signature_of(changed) == signature:
        data = pack(changed, exported, smallest=smallest)
        if _answers_alike(data, changed, task):
            return data
    return pack(changed, export(changed, task), smallest=smallest)


def signature_of(model: nn.Module) -> list[Any]:
    """What decides a module's graph: classes, attributes, hooks, and the shapes of the weights."""
    states = [weight.state for weight in parameters_of(model)]
    held = [
        {name for name, _ in (*s.named_parameters(), *s.named_buffers())} - _FLOAT
        for s in states
        if s is not None
    ]
    model = bake(clone(model))
    weights = [
        (w.name, len(w.owners), tuple(w.raw.shape), w.raw.dtype, w.is_parameter)
        for w in parameters_of(model)
    ]
    parts = [
        (
            path,
            type(part),
            _description({k: v for k, v in vars(part).items() if k not in _ELSEWHERE}),
        )
        for path, part in model.named_modules()
    ]
    return [parts, weights, [names for names in held if names]]


def _description(value: Any) -> Any:
    """A description of a value that is the same for a copy of it."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, nn.Parameter):  # in a list, as in recurrent networks
        return tuple(value.shape)
    if isinstance(value, Tensor):
        value = value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray):
        return value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, nn.Module):
        return type(value)
    if isinstance(value, Mapping):
        return [(repr(key), _description(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_description(item) for item in value]
    return type(value)


def _answers_alike(data: bytes, changed: nn.Module, task: Task) -> bool:
    """Whether the file answers the example as the module does.

    A graph may depend on more than its signature shows.
    """
    examples, loaded = examples_of(task), Loaded(unpack_model(data), threads=1)
    with evaluating(changed), torch.no_grad(), called_from_processor(changed):
        wanted = tensors([example.run(changed) for example in examples])
    answers = arrays(
        [called(loaded, example.entry)(*example.args, **example.kwargs) for example in examples]
    )
    pairs = zip(answers, (array(tensor.float()) for tensor in wanted), strict=True)
    return all(ours.shape == theirs.shape and all_close(ours, theirs) for ours, theirs in pairs)
