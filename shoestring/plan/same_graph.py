"""The file of a changed model by the graph of the original, where that is still its graph.

Exporting anew takes seconds.
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
"""What a weight's state may have and the file still holds floats in its place."""


def file_of(
    changed: nn.Module,
    task: Task,
    exported: Exported,
    signature: list[Any],
    *,
    smallest: bool = False,
) -> bytes:
    """The bytes of a changed model's file.

    `exported` and `signature` are the original's, `smallest` is that of `kit.write`.
    Raises ExportError where the changed model cannot be a file.
    """
    if signature_of(changed) == signature:
        data = pack(changed, exported, smallest=smallest)
        if _answers_alike(data, changed, task):
            return data
    return pack(changed, export(changed, task), smallest=smallest)


def signature_of(model: nn.Module) -> list[Any]:
    """All that decides a module's graph, as far as it shows.

    Classes, attributes, hooks, and the shapes of the weights.
    """
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
        (path, type(part), _told({k: v for k, v in vars(part).items() if k not in _ELSEWHERE}))
        for path, part in model.named_modules()
    ]
    return [parts, weights, [one for one in held if one]]


def _told(value: Any) -> Any:
    """What a value says of itself that is the same in a copy of it."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, nn.Parameter):  # a list of a recurrent network's
        return tuple(value.shape)
    if isinstance(value, Tensor):
        value = value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray):
        return value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, nn.Module):
        return type(value)
    if isinstance(value, Mapping):
        return [(repr(key), _told(one)) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    return type(value)


def _answers_alike(data: bytes, changed: nn.Module, task: Task) -> bool:
    """Whether the file answers the example as the module does.

    The graph may depend on what no signature shows.
    """
    examples, loaded = examples_of(task), Loaded(unpack_model(data), threads=1)
    with evaluating(changed), torch.no_grad(), called_from_processor(changed):
        wanted = tensors([one.run(changed) for one in examples])
    found = arrays([called(loaded, one.entry)(*one.args, **one.kwargs) for one in examples])
    pairs = zip(found, (array(one.float()) for one in wanted), strict=True)
    return all(ours.shape == theirs.shape and all_close(ours, theirs) for ours, theirs in pairs)
