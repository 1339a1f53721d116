"""A Task without labels: a model is to answer as it did."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Axis, Boxes, Kind, NotTaught, Own, Predict, Task, Vary, array
from shoestring.core.inferred import Told, in_words, is_boxes, may_be_logits, of_values
from shoestring.core.kinds import Kinds, by_path, shown
from shoestring.kit.tracing.calls import Calls, Carried, axes_of, count_of
from shoestring.kit.training.answers import (
    Part,
    by_place,
    check_itself,
    chosen,
    digest_of,
    made_by,
    name_of,
    numbered_groups,
    parted,
    understood,
    warn_of_repeated,
)
from shoestring.kit.training.inputs import Sounds, read_inputs
from shoestring.kit.training.same import Least, Mean, Same, identity, same_for
from shoestring.kit.weights.parameters import bake, check_finite, clone

Measure = Same | Callable[[Any, Any], Any]
"""A Same, or `(before, after)` to a merit per example: numpy arrays N×… in, N numbers out."""

_PROBED = 256  # training inputs by whose answers kinds of outputs are found out
_CONSTANTS = 16  # answers, each tried as the answer to everything
_TELLS_LITTLE = 0.95
_AT_ONCE = 250
_ALL = "*"


@dataclass(frozen=True, eq=False)
class Agreement(Task):
    """Answer as the model did.

    The score is how well answers agree with its own, from 0 to 1, on inputs that were held out.
    `inputs`: a tensor or array N×…, a tuple or a dict by the names of forward() of several, the
        path of an .npz or .npy file or of a folder of pictures or sounds (`Pictures`, `Sounds`), or
        the examples one by one. What has no axis is the same for all. `shares` of them, drawn by
        `seed`, are to train, to choose and to prove on.
    `same`: what agreement means: a Same (`SameClass()`, `Within(0.1)`, `Cents(50)`), a function
        `(before, after)` that gives a merit per example, or a mapping from an output's path or
        place to either. Left out, it follows the kind of each output: the same class, the same side
        of a threshold, a cosine of 0.99, boxes that overlap by half, else 1 minus the error in
        standard deviations. Of several outputs, `together` is Mean() or Least().
    `kinds`: what the outputs mean (core.kinds), which the training loss follows too; what is
        NotTaught() is left out of both.
    `states`: of a streaming model, its state inputs and which output each becomes, {"h": "h_out"}
        or {"h": Carried("h_out", (1, "N", 64))}: the inputs are sequences N×T×… then, run step by
        step, and cut into windows of `window` steps for training. States begin as zeros. `axes`
        names the axes of an input (of one step, where there are states) that vary besides axis 0:
        one mapping for all, or one by the input's name, {"text": {1: "T"}, "image": {2: "H", 3:
        "W"}}.
    `groups`: N numbers or names; examples of one group (cuts of one recording, pictures of one
        person) stay in one part, so that what is held out is really unknown. Pieces of one file of
        `Sounds` are a group. The model is copied, in evaluation mode; what it answers is computed
        once. Warns where a constant answer would agree as well. Raises TypeError, ValueError,
        OSError for inputs that cannot be read, are too few, hold NaN or do not fit the model.
    """

    model: nn.Module = field(repr=False)
    inputs: Any = field(repr=False)
    same: Measure | Mapping[str | int, Measure] | None = None
    states: Mapping[str, str | int | Carried] = field(default_factory=dict, kw_only=True)
    axes: Mapping[int, str | Axis] | Mapping[str, Mapping[int, str | Axis]] = field(
        default_factory=dict, kw_only=True
    )
    groups: Any = field(default=None, kw_only=True, repr=False)
    kinds: Kinds = field(default=None, kw_only=True)
    together: Mean | Least = field(default_factory=Mean, kw_only=True)
    shares: tuple[float, float, float] = field(default=(0.6, 0.2, 0.2), kw_only=True)
    seed: int = field(default=0, kw_only=True)
    batch_size: int = field(default=64, kw_only=True)
    window: int = field(default=16, kw_only=True)
    temperature: float = field(default=3.0, kw_only=True)
    name: str = field(default="agreement", kw_only=True)
    teacher: nn.Module = field(init=False, repr=False)
    """The model as it was."""
    constant: float = field(init=False)
    """The score of the best of some answers, given to every input."""
    _parts: dict[str, Part] = field(init=False, repr=False)
    _calls: Calls = field(init=False, repr=False)
    _measures: dict[str, Measure] = field(init=False, repr=False)
    _found: dict[str, Told] = field(init=False, repr=False)
    _perhaps_logits: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TypeError(
                f"Agreement takes an nn.Module, not {type(self.model).__name__}: wrap a function "
                "in a module's forward()"
            )
        check_finite(self.model)
        original = bake(clone(self.model)).eval().requires_grad_(False)
        calls, inputs, kept = understood(original, read_inputs(self.inputs), self.states)
        own = (
            self.inputs.groups()
            if self.groups is None and isinstance(self.inputs, Sounds)
            else self.groups
        )
        groups = None if own is None else numbered_groups(own, count_of(inputs))
        parts = parted(
            Part(original, calls, kept, inputs), self.shares, self.seed, self.window, groups
        )
        axes_of(self.axes, inputs)
        known = {
            "teacher": original,
            "model": original,
            "inputs": None,
            "groups": groups,
            "_parts": parts,
            "_calls": calls,
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)  # the inputs are in the parts now
        self._settle()
        # Records of other inputs, and of another agreement, are of another task.
        said = identity(
            (self.seed, self.shares, self.together, self.states, self._found, self._measures)
        )
        object.__setattr__(self, "name", f"{self.name}-{digest_of(said, inputs, groups)}")
        object.__setattr__(self, "constant", self._constant())
        if all(
            isinstance(one, Same) for one in self._measures.values()
        ):  # of others nobody knows what agreement is
            check_itself(float(np.mean(self.sampled(_AT_ONCE, 0).merits(original, "validation"))))
        warn_of_repeated(parts)
        if self.constant >= _TELLS_LITTLE:
            warnings.warn(
                f"one and the same answer to every input would agree on {100 * self.constant:.0f} "
                "%: agreement tells little about this model. "
                "Give inputs that it answers differently, or a same= that asks for more",
                stacklevel=3,
            )

    def _settle(self) -> None:
        """Find out what kind each output is of, and what agreement means for it."""
        part = self._parts["train"]
        inputs, answers = part.of(torch.arange(min(len(part), _PROBED)))
        made = made_by(self.teacher, self._calls, chosen(inputs, torch.arange(2)))
        paths = list(part.kept)
        own = isinstance(self.kinds, Own)
        said: Any = (
            {}
            if self.kinds is None or own
            else dict.fromkeys(paths, self.kinds)
            if isinstance(self.kinds, Kind)
            else by_place(self.kinds, self.model)
        )
        kinds = by_path(said, paths, "kinds")
        measures = self._declared(paths, kinds)
        found, perhaps = dict[str, Told](), list[str]()
        for path in paths:
            answer = answers[path].flatten(0, 1) if self._calls.states else answers[path]
            before, measure = answer.numpy(), measures.get(path)
            by_measure = measure.kind(before) if isinstance(measure, Same) else None
            if path in kinds:
                found[path] = Told(kinds[path], "declared")
            elif by_measure is not None:
                found[path] = Told(by_measure, "by same=")
            elif answer.is_floating_point():
                found[path] = (
                    Told(Boxes(), "by its name and values")
                    if is_boxes(answer, name_of(path, self.model))
                    else of_values(answer, made.get(path), name_of(path, self.model))
                )
                if (
                    not {path, _ALL} & measures.keys()
                    and found[path].by == "nothing tells"
                    and may_be_logits(made.get(path))
                ):
                    perhaps.append(path)
            if not isinstance(kinds.get(path), NotTaught) and _ALL not in measures:
                measure = measure or same_for(found[path].kind if path in found else None, before)
                measures[path] = measure.fitted(before) if isinstance(measure, Same) else measure
        if not measures:
            raise ValueError(
                "no output is left to agree on: kinds says NotTaught() of "
                f"{', '.join(map(shown, kinds))}"
            )
        object.__setattr__(self, "_measures", measures)
        object.__setattr__(self, "_perhaps_logits", tuple(perhaps))
        object.__setattr__(self, "_found", {"": Told(self.kinds, "declared")} if own else found)  # type: ignore[arg-type]

    def _declared(self, paths: list[str], kinds: Mapping[str, Kind]) -> dict[str, Any]:
        """What the caller says agreement is, by path.

        _ALL for a function that looks at all outputs.
        """
        if self.same is None:
            return {}
        if isinstance(self.same, Mapping):
            return by_path(by_place(self.same, self.model), paths, "same")
        judged = [path for path in paths if not isinstance(kinds.get(path), NotTaught)]
        if len(judged) == 1:
            return {judged[0]: self.same}
        if not isinstance(self.same, Same):
            return {_ALL: self.same}
        raise ValueError(
            f"same is {self.same}, and the model has {len(judged)} outputs, "
            f"{', '.join(map(shown, judged))}: say of which, "
            f"same={{{shown(judged[0])!r}: {self.same!r}}}, and the others follow their kinds"
        )

    def __str__(self) -> str:
        sizes = [len(self._parts[split]) for split in ("train", "validation", "test")]
        what = " and ".join(
            _name(one) if path == _ALL else f"{shown(path)} {_name(one)}"
            for path, one in self._measures.items()
        )
        logits = " and ".join(map(shown, self._perhaps_logits))
        hint = (
            f"; if {logits} are logits of classes, say same=SameClass() (--same class): "
            "the largest is all that must stay then"
        )
        pieces = f" windows of {self.window} steps" if self._calls.states else ""
        return (
            f"agreement on {what}; {sizes[0]:,} inputs{pieces} to train on, {sizes[1]:,} to "
            f"choose by, {sizes[2]:,} to prove on; one answer to every "
            f"input would agree on {100 * self.constant:.0f} %; taught: "
            f"{self.teaching()}{hint if logits else ''}"
        )

    def teaching(self) -> str:
        return in_words(self._found)

    def taught_by(self, teacher: Any) -> Task:
        """This task: its loss is the distance from a teacher already, the model as it was."""
        return self

    # Training
    # ---------------------------------------------------------------------------------------------------------------

    def batches(
        self, split: str, *, model: Any = None
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Batches of (inputs by name, the original's answers by path).

        Those of "train" in a new order each time.
        """
        part = self._part(split)
        places = list(
            (torch.randperm(len(part)) if split == "train" else torch.arange(len(part))).split(
                self.batch_size
            )
        )
        if (
            split == "train" and len(places) > 1 and len(places[-1]) == 1
        ):  # batch norm cannot train on one example
            places[-2:] = [torch.cat(places[-2:])]
        for some in places:
            yield part.of(some)

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The distances of the outputs from the original's answers, by their kinds, added up."""
        inputs, answers = batch
        outputs = self._calls(model, inputs)
        if isinstance(own := self._found.get("", Told(NotTaught(), "")).kind, Own):
            return own.apart(_alone(outputs), _alone(answers), self.temperature)
        losses: list[Tensor] = []
        for path, told in self._found.items():
            if isinstance(told.kind, NotTaught):
                continue
            if path not in outputs:
                raise ValueError(
                    f"the model gives {', '.join(map(shown, outputs))} in training, and "
                    f"{shown(path)} is missing, which it gives in evaluation: return "
                    "the same outputs in both modes"
                )
            ours, theirs = (
                (one.flatten(0, 1) if self._calls.states else one)
                for one in (outputs[path], answers[path])
            )
            losses.append(told.kind.apart(ours, theirs, self.temperature))
        if not losses:
            raise ValueError("no output has floating-point numbers: there is nothing to train by")
        return torch.stack(losses).sum()

    # Scores
    # -----------------------------------------------------------------------------------------------------------------

    def score(self, predict: Predict, split: str) -> float:
        """The mean merit over a split."""
        return float(self.merits(predict, split).mean())

    def merits(self, predict: Predict, split: str) -> np.ndarray:
        """How well the answers to each input agree with the original's, from 0 to 1."""
        part, found = self._part(split), list[np.ndarray]()
        for places in torch.arange(len(part)).split(_AT_ONCE):
            inputs, answers = part.of(places)
            after = self._calls(predict, inputs)
            if lacking := [path for path in answers if path not in after]:
                raise ValueError(
                    f"the model gives {', '.join(map(shown, after))}, and gave "
                    f"{shown(lacking[0])} when it was copied"
                )
            found.append(
                self._agreed(_arrays(answers), {path: array(after[path]) for path in answers})
            )
        return np.concatenate(found)

    def _agreed(self, before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> np.ndarray:
        if wrong := [path for path, one in before.items() if after[path].shape != one.shape]:
            shapes = f"{list(after[wrong[0]].shape)}, and had {list(before[wrong[0]].shape)}"
            raise ValueError(
                f"the output {shown(wrong[0])} has the shape {shapes} when the model was copied"
            )
        rows: list[np.ndarray] = []
        for path, measure in self._measures.items():
            pair = (_alone(before), _alone(after)) if path == _ALL else (before[path], after[path])
            rows.append(self._measured(measure, *pair, count=len(next(iter(before.values())))))
        return self.together.of(rows)

    def _measured(self, measure: Any, before: Any, after: Any, count: int) -> np.ndarray:
        if isinstance(measure, Same):
            if not self._calls.states:
                return measure.merits(before, after)
            steps = [one.reshape(-1, *one.shape[2:]) for one in (before, after)]
            return measure.merits(*steps).reshape(count, -1).mean(1)
        merits = np.asarray(measure(before, after), np.float64)
        if merits.shape != (count,) or not np.isfinite(merits).all():
            raise ValueError(
                f"same={_name(measure)} gives an array of shape {list(merits.shape)} for {count} "
                "examples: it must give a finite number for each"
            )
        return merits

    def _constant(self) -> float:
        """The best score of one answer to everything.

        Some of the answers that there are, and their mean.
        """
        part = self._part("validation")
        before = _arrays(part.of(torch.arange(min(len(part), _PROBED)))[1])
        count = len(next(iter(before.values())))
        tried = [
            {p: one[place : place + 1] for p, one in before.items()}
            for place in range(0, count, max(1, count // _CONSTANTS))
        ]
        tried.append({p: one.mean(0, keepdims=True).astype(one.dtype) for p, one in before.items()})
        return max(
            float(
                self._agreed(
                    before, {p: np.broadcast_to(one, before[p].shape) for p, one in each.items()}
                ).mean()
            )
            for each in tried
        )

    # What there is
    # ----------------------------------------------------------------------------------------------------------

    def _part(self, split: str) -> Part:
        if split not in self._parts:
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        return self._parts[split]

    def sampled(self, examples: int, seed: int) -> Agreement:
        """At most so many validation inputs, 1 or more; itself where there are no more than these."""
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        part = self._parts["validation"]
        if len(part) <= examples:
            return self
        places = (
            torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))[:examples]
            .sort()
            .values
        )
        found = copy(self)
        object.__setattr__(found, "_parts", {**self._parts, "validation": part.only(places)})
        return found

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Two held-out inputs; of a streaming model, one step of them, and its states as zeros."""
        calls, inputs = self._calls, chosen(self._parts["validation"].inputs, torch.arange(2))
        values: dict[str, Any] = {name: one.to(calls.dtype) for name, one in calls.begun(2).items()}
        values = {name: Vary(one, calls.states[name].axes) for name, one in values.items()}
        axes = axes_of(self.axes, inputs)
        for name, one in inputs.items():
            step = one[:, 0] if calls.states and one.ndim else one
            values[name] = Vary(
                step, {axis: of for axis, of in {0: "N", **axes[name]}.items() if axis < step.ndim}
            )
        return tuple(values[name] for name in calls.position), {
            name: values[name] for name in calls.keyword
        }


def _alone(outputs: Mapping[str, Any]) -> Any:
    """The output, where there is one; else all by path."""
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)


def _arrays(answers: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {path: array(one) for path, one in answers.items()}


def _name(measure: Any) -> str:
    return (
        str(measure)
        if isinstance(measure, Same)
        else f"by {getattr(measure, '__name__', type(measure).__name__)}"
    )
