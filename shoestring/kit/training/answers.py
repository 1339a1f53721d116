"""What a model answers, computed once and remembered; inputs parted, and tried on the model first."""

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
_ITSELF, _REPEATED = 0.999, 0.2
REMEMBERED_BYTES = 256e6
"""Of answers of a part that are kept; more are computed again whenever they are asked for."""
_AT_ONCE = 256


@dataclass
class Part:
    """Inputs by name, and what `model` answers to them.

    `kept`: outputs that have an axis of examples, by path.
    """

    model: nn.Module
    calls: Calls
    kept: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    remembered: dict[str, Tensor] | None = field(default=None, repr=False)
    too_large: bool = False

    def __len__(self) -> int:
        return count_of(self.inputs)

    def of(self, places: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs, and answers, at these places."""
        if self.remembered is None and not self.too_large:
            self._remember()
        inputs = chosen(self.inputs, places)
        return inputs, self._answers(inputs) if self.remembered is None else {
            p: one[places] for p, one in self.remembered.items()
        }

    def only(self, places: Tensor) -> Part:
        """The part with these examples alone."""
        remembered = (
            None
            if self.remembered is None
            else {path: one[places] for path, one in self.remembered.items()}
        )
        return replace(self, inputs=chosen(self.inputs, places), remembered=remembered)

    def _remember(self) -> None:
        found: dict[str, list[Tensor]] = {}
        for places in torch.arange(len(self)).split(_AT_ONCE):
            answers = self._answers(chosen(self.inputs, places))
            for path, one in answers.items():
                found.setdefault(path, []).append(one)
            if (
                not places[0]
                and sum(one.nbytes for one in answers.values()) / len(places) * len(self)
                > REMEMBERED_BYTES
            ):
                self.too_large = True
                return
        self.remembered = {path: torch.cat(ones) for path, ones in found.items()}

    def _answers(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            found = self.calls(self.model, inputs)
        return {path: found[path] for path in self.kept}


def chosen(inputs: Mapping[str, Tensor], places: Tensor) -> dict[str, Tensor]:
    """The inputs at these places; what has no axis is the same for all."""
    return {name: one[places] if one.ndim else one for name, one in inputs.items()}


def understood(
    model: nn.Module, given: Any, states: Mapping[str, Any]
) -> tuple[Calls, dict[str, Tensor], tuple[str, ...]]:
    """How the model is called, its inputs by name, and which outputs have an axis of examples.

    Raises ValueError for inputs that are too few, not finite, or do not fit the model.
    """
    if shapeless := [name for name, one in states.items() if not isinstance(one, Carried)]:
        whole, inputs = calls_of(model, given, states)
        known = {name: one for name, one in states.items() if name not in shapeless}
        asked = replace(
            whole,
            states=known,
            position=tuple(n for n in whole.position if n not in shapeless),
            keyword=tuple(n for n in whole.keyword if n not in shapeless),
        )
        step = {
            name: one[:, 0] if one.ndim > 1 else one for name, one in _sound(inputs, model).items()
        }
        with torch.no_grad():
            states = with_shapes(
                states,
                lambda count: asked.once(
                    model, {**chosen(step, torch.arange(count)), **asked.begun(count)}
                ),
            )
    calls, inputs = calls_of(model, given, states)
    inputs = _sound(inputs, model)
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
    lengths = {
        name: one.shape[1] if one.ndim > 1 else 0 for name, one in inputs.items() if one.ndim
    }
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(
            "with states, inputs are sequences N×T×… of one length T, and these have "
            f"{_shapes(inputs)}"
        )


def _sound(inputs: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The inputs in the model's type of floating-point number.

    Raises ValueError for what cannot be worked with.
    """
    counts = {name: len(one) for name, one in inputs.items() if one.ndim}
    if not counts or len(set(counts.values())) > 1:
        flat = [one for one in inputs.values() if one.ndim == 1 and not one.is_floating_point()]
        bags = (
            ". Ids in one row with offsets, as EmbeddingBag takes them, have no axis of "
            "examples: give ids N×L, padded (padding_idx), without offsets"
        )
        raise ValueError(
            "inputs have one number of examples along axis 0, and these have the shapes "
            f"{_shapes(inputs)}{bags if len(flat) > 1 else ''}"
        )
    if (count := next(iter(counts.values()))) < FEWEST:
        raise ValueError(
            f"there are {count} inputs, and it takes {FEWEST} or more, of which some are held "
            "out: with 100 held out, each is one point of the score"
        )
    floats = [one.dtype for one in model.parameters() if one.is_floating_point()]
    for name, one in inputs.items():
        if not one.is_floating_point():
            continue
        if not one.isfinite().all():
            place = (
                ""
                if not one.ndim
                else (
                    " in example "
                    f"{int((~one.isfinite()).reshape(len(one), -1).any(1).nonzero()[0])}"
                )
            )
            raise ValueError(
                f"the input {name!r} holds NaN or infinity{place}: clean the data first"
            )
        if floats and one.dtype != floats[0]:
            inputs = {**inputs, name: one.to(floats[0])}
    return inputs


def _unfit(model: nn.Module, inputs: Mapping[str, Tensor], error: Exception) -> ValueError:
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
    return ", ".join(
        f"{shown(name)}: {str(one.dtype).removeprefix('torch.')} "
        f"{'×'.join(map(str, one.shape)) or 'one number'}"
        for name, one in tensors.items()
    )


def parted(
    whole: Part,
    shares: tuple[float, float, float],
    seed: int,
    window: int,
    groups: Tensor | None = None,
) -> dict[str, Part]:
    """The parts to train, to choose and to prove on; sequences to train on are cut into windows.

    `groups`: N whole numbers; examples of one number are in one part, and shares are then as near
        as groups allow.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares is {shares}: give three above 0 that add up to 1, to train, to choose and to "
            "prove on"
        )
    count = len(whole)
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
    found = {
        "train": whole.only(train),
        "validation": whole.only(validation),
        "test": whole.only(test),
    }
    if whole.calls.states:
        found["train"] = replace(
            found["train"],
            inputs={name: _windows(one, window) for name, one in found["train"].inputs.items()},
        )
    return found


def numbered_groups(groups: Any, count: int) -> Tensor:
    """Of each of so many examples the number of its group.

    Raises ValueError for groups that do not fit.
    """
    named = groups.numpy(force=True) if isinstance(groups, Tensor) else np.asarray(groups)
    if named.shape != (count,):
        raise ValueError(
            f"groups has the shape {list(named.shape)}, and there are {count} inputs: give one "
            "group for each of them"
        )
    return torch.from_numpy(np.unique(named, return_inverse=True)[1])


def _by_group(groups: Tensor, sizes: list[int], draw: torch.Generator) -> list[Tensor]:
    """The places of three parts of about these sizes, no group in two of them.

    Each goes, in random order, where most is lacking.
    """
    count = int(groups.max()) + 1
    if count < len(sizes):
        raise ValueError(
            f"all inputs are of {count} group{'s' * (count > 1)}, and each of three parts, to "
            "train, to choose and to prove on, takes one or more: give inputs "
            "of more groups (recordings, people, pictures)"
        )
    sizes_of_groups, found = (
        torch.bincount(groups, minlength=count).tolist(),
        [list[int]() for _ in sizes],
    )
    lacking = list(sizes)
    for place, group in enumerate(torch.randperm(count, generator=draw).tolist()):
        empty = [part for part, own in enumerate(found) if not own]
        part = max(
            empty if count - place <= len(empty) else range(len(sizes)),
            key=lambda one: lacking[one],
        )
        found[part].append(group)
        lacking[part] -= sizes_of_groups[group]
    parts = [torch.isin(groups, torch.tensor(own)).nonzero().flatten() for own in found]
    if (least := min(map(len, parts))) < 2:
        raise ValueError(
            f"of {count} groups of {len(groups)} inputs, one part gets {least}: give inputs of "
            "more groups"
        )
    return [part[torch.randperm(len(part), generator=draw)] for part in parts]


def _windows(sequences: Tensor, window: int) -> Tensor:
    """N×T×… cut into pieces of `window` steps; what is left over at the end is dropped."""
    if not sequences.ndim or sequences.shape[1] <= window:
        return sequences
    pieces = sequences.shape[1] // window
    return sequences[:, : pieces * window].reshape(-1, window, *sequences.shape[2:])


def made_by(model: nn.Module, calls: Calls, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Outputs of one call by path, with what autograd knows of how they were made."""
    needing = [(one, one.requires_grad) for one in model.parameters() if one.is_floating_point()]
    step = (
        {name: one[:, 0] if one.ndim else one for name, one in inputs.items()}
        if calls.states
        else dict(inputs)
    )
    try:
        for one, _ in needing:
            one.requires_grad_(True)
        with torch.enable_grad():
            return outputs_of(calls.once(model, {**step, **calls.begun(count_of(inputs))}))
    finally:
        for one, before in needing:
            one.requires_grad_(before)


def digest_of(said: str, inputs: Mapping[str, Tensor], groups: Tensor | None) -> str:
    """Eight hexadecimal digits of what is said of a task without labels, and of its inputs."""
    digest = hashlib.sha256(said.encode())
    digest.update(b"" if groups is None else groups.numpy().tobytes())
    for name, one in inputs.items():
        digest.update(
            repr((name, one.shape, one.dtype)).encode()
            + one.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()[:8]


def warn_of_repeated(parts: Mapping[str, Part]) -> None:
    """Warn where many held-out inputs are, to the bit, among those to train on."""
    known = set(_digests(parts["train"]))
    held = [one for split in ("validation", "test") for one in _digests(parts[split])]
    share = sum(one in known for one in held) / max(len(held), 1)
    if share > _REPEATED:
        warnings.warn(
            f"{100 * share:.0f} % of the inputs that are held out are among those to train on "
            "too: agreement on them says little of others. Give "
            "each input once, or groups= that keep the same together",
            stacklevel=4,
        )


def _digests(part: Part) -> list[bytes]:
    rows = [one.reshape(len(one), -1).contiguous() for one in part.inputs.values() if one.ndim]
    return [
        hashlib.sha256(
            b"".join(one[place].view(torch.uint8).numpy().tobytes() for one in rows)
        ).digest()
        for place in range(len(part))
    ]


def check_itself(agreement: float) -> None:
    """Raises ValueError where a model does not agree with itself."""
    if not agreement >= _ITSELF:
        raise ValueError(
            f"the model agrees with itself on {100 * agreement:.1f} % only: forward() draws "
            "random numbers, changes the module, or answers NaN or infinity "
            "(a mask of logits, say). Have it give the same numbers twice in evaluation, or say "
            "with same= or kinds= what is to agree"
        )


def by_place(declared: Mapping[str | int, Any], model: nn.Module) -> dict[str | int, Any]:
    """What is declared of outputs, those that the module has names for (`from_onnx`) by their
    place.
    """
    names: list[str] = list(getattr(model, "outputs", ()))
    return {
        names.index(str(key)) if key in names else key: value for key, value in declared.items()
    }


def name_of(path: str, model: nn.Module) -> str:
    """The name that the module has for an output, else its path."""
    names: list[str] = list(getattr(model, "outputs", ()))
    place = int(path) if path.isdigit() else 0 if path == "" else len(names)
    return str(names[place]) if place < len(names) else path
