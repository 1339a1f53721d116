"""The outputs of a model, computed once; its inputs, checked and divided into splits."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core.kinds import outputs_of, shown
from shoestring.kit.tracing.calls import Calls, Carried, calls_of, count_of, with_shapes

FEWEST = 10
"""The least number of inputs."""
_ITSELF, _REPEATED = 0.999, 0.2
REMEMBERED_BYTES = 256e6
"""Outputs of a part up to this size are kept; larger ones are computed again each time."""
_AT_ONCE = 256


@dataclass
class Part:
    """Inputs by name, and the outputs of a model for them.

    `calls`: how the model is called.
    `kept`: the paths of the outputs that have an axis of examples.
    `remembered`: the outputs by path, once they are computed.
    `too_large`: whether they take more than REMEMBERED_BYTES, and are not kept.
    """

    model: nn.Module
    calls: Calls
    kept: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    remembered: dict[str, Tensor] | None = field(default=None, repr=False)
    too_large: bool = False

    def __len__(self) -> int:
        return count_of(self.inputs)

    def of(self, indices: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The inputs and the outputs at these indices."""
        if self.remembered is None and not self.too_large:
            self._remember()
        inputs = chosen(self.inputs, indices)
        if self.remembered is None:
            return inputs, self._outputs(inputs)
        return inputs, {path: one[indices] for path, one in self.remembered.items()}

    def only(self, indices: Tensor) -> Part:
        """The part with these examples alone."""
        remembered = (
            None
            if self.remembered is None
            else {path: one[indices] for path, one in self.remembered.items()}
        )
        return replace(self, inputs=chosen(self.inputs, indices), remembered=remembered)

    def _remember(self) -> None:
        """Compute the outputs, and keep them where they are small enough."""
        batches: dict[str, list[Tensor]] = {}
        for indices in torch.arange(len(self)).split(_AT_ONCE):
            outputs = self._outputs(chosen(self.inputs, indices))
            for path, one in outputs.items():
                batches.setdefault(path, []).append(one)
            each = sum(one.nbytes for one in outputs.values()) / len(indices)
            if not indices[0] and each * len(self) > REMEMBERED_BYTES:
                self.too_large = True
                return
        self.remembered = {path: torch.cat(ones) for path, ones in batches.items()}

    def _outputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            outputs = self.calls(self.model, inputs)
        return {path: outputs[path] for path in self.kept}


def chosen(inputs: Mapping[str, Tensor], indices: Tensor) -> dict[str, Tensor]:
    """The inputs at these indices; an input without axes is the same for all examples."""
    return {name: one[indices] if one.ndim else one for name, one in inputs.items()}


def understood(
    model: nn.Module, given: Any, states: Mapping[str, Any]
) -> tuple[Calls, dict[str, Tensor], tuple[str, ...]]:
    """How a model is called, its inputs by name, and the paths of outputs with an axis of examples.

    `given`: inputs by name or in order.
    `states`: as in Agreement; the shapes of states that are not given are found by running a step.

    Raises ValueError for inputs that are too few, not finite or do not fit the model.
    """
    if shapeless := [name for name, one in states.items() if not isinstance(one, Carried)]:
        full, inputs = calls_of(model, given, states)
        partial = replace(
            full,
            states={name: one for name, one in states.items() if name not in shapeless},
            position=tuple(n for n in full.position if n not in shapeless),
            keyword=tuple(n for n in full.keyword if n not in shapeless),
        )
        step = {
            name: one[:, 0] if one.ndim > 1 else one
            for name, one in _checked(inputs, model).items()
        }
        with torch.no_grad():
            states = with_shapes(
                states,
                lambda count: partial.once(
                    model, {**chosen(step, torch.arange(count)), **partial.begun(count)}
                ),
            )
    calls, inputs = calls_of(model, given, states)
    inputs = _checked(inputs, model)
    if states:
        _check_sequences(inputs)
    few: list[dict[str, Any]] = []
    for count in (2, 3):
        some = chosen(inputs, torch.arange(count))
        try:
            with torch.no_grad():
                few.append(calls(model, some))
        except ValueError as error:
            if "states names" in str(error):
                raise
            raise _unfit(model, some, error) from None
        except Exception as error:
            raise _unfit(model, some, error) from None
    kept = [
        path
        for path, one in few[0].items()
        if one.ndim and path in few[1] and (len(one), len(few[1][path])) == (2, 3)
    ]
    if not kept:
        raise ValueError(
            f"no output of the model has an axis 0 of examples: {_shapes(few[0])} for 2 of them"
        )
    return calls, inputs, tuple(kept)


def _check_sequences(inputs: Mapping[str, Tensor]) -> None:
    """Raise ValueError for sequences of different lengths."""
    lengths = {
        name: one.shape[1] if one.ndim > 1 else 0 for name, one in inputs.items() if one.ndim
    }
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(
            "with states, inputs are sequences N×T×… of one length T, and these have "
            f"{_shapes(inputs)}"
        )


def _checked(inputs: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The inputs, with floating-point numbers in the model's type.

    Raises ValueError for different numbers of examples, too few of them, NaN or infinity.
    """
    counts = {name: len(one) for name, one in inputs.items() if one.ndim}
    if not counts or len(set(counts.values())) > 1:
        flat = [one for one in inputs.values() if one.ndim == 1 and not one.is_floating_point()]
        bags = (
            ". Ids in one row with offsets, as EmbeddingBag takes them, have no axis of examples: "
            "give ids N×L, padded (padding_idx), without offsets"
        )
        raise ValueError(
            "inputs have one number of examples along axis 0, and these have the shapes "
            f"{_shapes(inputs)}{bags if len(flat) > 1 else ''}"
        )
    if (count := next(iter(counts.values()))) < FEWEST:
        raise ValueError(
            f"there are {count} inputs, and it takes {FEWEST} or more, of which some are held out: "
            "with 100 held out, each is one point of the score"
        )
    floats = [one.dtype for one in model.parameters() if one.is_floating_point()]
    for name, one in inputs.items():
        if not one.is_floating_point():
            continue
        if not one.isfinite().all():
            where = ""
            if one.ndim:
                rows = (~one.isfinite()).reshape(len(one), -1).any(1).nonzero()
                where = f" in example {int(rows[0])}"
            raise ValueError(
                f"the input {name!r} holds NaN or infinity{where}: clean the data first"
            )
        if floats and one.dtype != floats[0]:
            inputs = {**inputs, name: one.to(floats[0])}
    return inputs


def _unfit(model: nn.Module, inputs: Mapping[str, Tensor], error: Exception) -> ValueError:
    """The error for inputs that the model cannot be called with."""
    first = next(
        (
            f"{name} is {one}"
            for name, one in model.named_modules()
            if not list(one.children()) and list(one.parameters())
        ),
        "",
    )
    return ValueError(
        f"the model cannot be called on these inputs, {_shapes(inputs)}: "
        f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Give what "
        f"forward() takes{f'; its first layer {first}' if first else ''}"
    )


def _shapes(tensors: Mapping[str, Any]) -> str:
    """The names, types and shapes of tensors, in words."""
    return ", ".join(
        f"{shown(name)}: {str(one.dtype).removeprefix('torch.')} "
        f"{'×'.join(map(str, one.shape)) or 'one number'}"
        for name, one in tensors.items()
    )


def parted(
    part: Part,
    shares: tuple[float, float, float],
    seed: int,
    window: int,
    groups: Tensor | None = None,
) -> dict[str, Part]:
    """Divide a part into "train", "validation" and "test".

    Training sequences are cut into windows.
    `shares`: of the three splits, above 0, with sum 1.
    `seed`: of the draw.
    `window`: in steps.
    `groups`: N integers. Examples of one group stay in one split, and the shares are then met as
        nearly as the groups allow.

    Raises ValueError for shares that do not fit, and for too few inputs or groups.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares is {shares}: give three above 0 that add up to 1, to train, to choose and to "
            "prove on"
        )
    count = len(part)
    held = [max(2, round(share * count)) for share in shares[1:]]
    if count - sum(held) < 2:
        raise ValueError(
            f"of {count} inputs, shares of {shares} leave {count - sum(held)} to train on: give "
            "more inputs, or a larger first share"
        )
    draw, sizes = torch.Generator().manual_seed(seed), [count - sum(held), *held]
    if groups is None:
        train, validation, test = torch.randperm(count, generator=draw).split(sizes)
    else:
        train, validation, test = _by_group(groups, sizes, draw)
    parts = {
        "train": part.only(train),
        "validation": part.only(validation),
        "test": part.only(test),
    }
    if part.calls.states:
        inputs = {name: _windows(one, window) for name, one in parts["train"].inputs.items()}
        parts["train"] = replace(parts["train"], inputs=inputs)
    return parts


def numbered_groups(groups: Any, count: int) -> Tensor:
    """The number of each example's group: N integers.

    `groups`: N numbers or names.
    Raises ValueError where they are not one for each of `count` examples.
    """
    named = groups.numpy(force=True) if isinstance(groups, Tensor) else np.asarray(groups)
    if named.shape != (count,):
        raise ValueError(
            f"groups has the shape {list(named.shape)}, and there are {count} inputs: give one "
            "group for each of them"
        )
    return torch.from_numpy(np.unique(named, return_inverse=True)[1])


def _by_group(groups: Tensor, sizes: list[int], draw: torch.Generator) -> list[Tensor]:
    """The indices of three parts of about these sizes, with no group in two of them.

    Groups are assigned in random order, each to the part that lacks most.
    """
    count = int(groups.max()) + 1
    if count < len(sizes):
        raise ValueError(
            f"all inputs are of {count} group{'s' * (count > 1)}, and each of three parts, to "
            "train, to choose and to prove on, takes one or more: give inputs of more groups "
            "(recordings, people, pictures)"
        )
    group_sizes = torch.bincount(groups, minlength=count).tolist()
    assigned = [list[int]() for _ in sizes]
    lacking = list(sizes)
    for done, group in enumerate(torch.randperm(count, generator=draw).tolist()):
        empty = [part for part, own in enumerate(assigned) if not own]
        part = max(
            empty if count - done <= len(empty) else range(len(sizes)),
            key=lambda one: lacking[one],
        )
        assigned[part].append(group)
        lacking[part] -= group_sizes[group]
    parts = [torch.isin(groups, torch.tensor(own)).nonzero().flatten() for own in assigned]
    if (least := min(map(len, parts))) < 2:
        raise ValueError(
            f"of {count} groups of {len(groups)} inputs, one part gets {least}: give inputs of "
            "more groups"
        )
    return [part[torch.randperm(len(part), generator=draw)] for part in parts]


def _windows(sequences: Tensor, window: int) -> Tensor:
    """Sequences N×T×… cut into pieces of `window` steps; a remainder at the end is dropped."""
    if not sequences.ndim or sequences.shape[1] <= window:
        return sequences
    pieces = sequences.shape[1] // window
    return sequences[:, : pieces * window].reshape(-1, window, *sequences.shape[2:])


def made_by(model: nn.Module, calls: Calls, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """The outputs of one call by path, with the graph that autograd keeps of them."""
    before = [(one, one.requires_grad) for one in model.parameters() if one.is_floating_point()]
    step = (
        {name: one[:, 0] if one.ndim else one for name, one in inputs.items()}
        if calls.states
        else dict(inputs)
    )
    try:
        for parameter, _ in before:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            return outputs_of(calls.once(model, {**step, **calls.begun(count_of(inputs))}))
    finally:
        for parameter, required in before:
            parameter.requires_grad_(required)


def digest_of(settings: str, inputs: Mapping[str, Tensor], groups: Tensor | None) -> str:
    """Eight hexadecimal digits that identify the settings of a task, its inputs and its groups."""
    digest = hashlib.sha256(settings.encode())
    digest.update(b"" if groups is None else groups.numpy().tobytes())
    for name, one in inputs.items():
        digest.update(
            repr((name, one.shape, one.dtype)).encode()
            + one.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()[:8]


def warn_of_repeated(parts: Mapping[str, Part]) -> None:
    """Warn where many held-out inputs are equal, bit by bit, to inputs to train on."""
    known = set(_digests(parts["train"]))
    held = [one for split in ("validation", "test") for one in _digests(parts[split])]
    share = sum(one in known for one in held) / max(len(held), 1)
    if share > _REPEATED:
        warnings.warn(
            f"{100 * share:.0f} % of the inputs that are held out are among those to train on too: "
            "agreement on them says little of others. Give each input once, or groups= that keep "
            "the same together",
            stacklevel=4,
        )


def _digests(part: Part) -> list[bytes]:
    """A digest of the inputs of each example."""
    rows = [one.reshape(len(one), -1).contiguous() for one in part.inputs.values() if one.ndim]
    return [
        hashlib.sha256(
            b"".join(one[index].view(torch.uint8).numpy().tobytes() for one in rows)
        ).digest()
        for index in range(len(part))
    ]


def check_itself(agreement: float) -> None:
    """Raise ValueError where a model does not agree with itself."""
    if not agreement >= _ITSELF:
        raise ValueError(
            f"the model agrees with itself on {100 * agreement:.1f} % only: forward() draws random "
            "numbers, changes the module, or answers NaN or infinity (a mask of logits, say). Have "
            "it give the same numbers twice in evaluation, or say with same= or kinds= what is to "
            "agree"
        )
