"""Agreement: a Task without labels, in which a model should answer as it did before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Axis, NotTaught, Own, Predict, Task, Vary, array
from shoestring.core.inferred import Told, in_words
from shoestring.core.kinds import Kinds, shown
from shoestring.kit.tracing.calls import Calls, Carried, axes_of, count_of
from shoestring.kit.training.answers import (
    Part,
    check_itself,
    chosen,
    digest_of,
    made_by,
    numbered_groups,
    parted,
    understood,
    warn_of_repeated,
)
from shoestring.kit.training.inputs import Sounds, read_inputs
from shoestring.kit.training.measures import ALL, Measure, settle
from shoestring.kit.training.same import Least, Mean, Same, identity
from shoestring.kit.training.splits import batches_of, sample
from shoestring.kit.weights.parameters import bake, check_finite, clone

_PROBED = 256  # how many training inputs kinds are inferred from
_CONSTANTS = 16  # how many outputs are tried as the output for every input
_TELLS_LITTLE = 0.95
_AT_ONCE = 250


@dataclass(frozen=True, eq=False)
class Agreement(Task):
    """Answer as the model did: the score is the agreement with its own outputs, from 0 to 1.

    Agreement is measured on held-out inputs. The model is copied in evaluation mode, and its
    outputs are computed once.

    `model`: a trained module.
    `inputs`: a tensor or array N×…; several of them in a tuple, or in a dict by the parameters of
        forward(); the path of an .npz or .npy file, or of a folder of pictures or sounds
        (`Pictures`, `Sounds`); or an iterable of examples. An input without axes is the same for
        all examples.
    `same`: what agreement means: a Same (`SameClass()`, `Within(0.1)`, `Cents(50)`), a function
        `(before, after)` that returns a merit for each example, or a mapping from the path or index
        of an output to either. None: it follows the kind of each output, as the same class, the
        same side of a threshold, a cosine of 0.99, boxes that overlap by half, or else 1 minus the
        error in standard deviations.
    `states`: of a streaming model: from each state input to the output that it becomes,
        {"h": "h_out"} or {"h": Carried("h_out", (1, "N", 64))}. Inputs are then sequences N×T×…,
        which run step by step; states begin as zeros.
    `axes`: the axes of an input (of one step, where there are states) that vary besides axis 0,
        with their names: one mapping for all inputs, or one by the name of each,
        {"text": {1: "T"}, "image": {2: "H", 3: "W"}}.
    `groups`: N numbers or names. Examples of one group (cuts of a recording, pictures of a person)
        stay in one split, so that held-out examples are new. Pieces of one file of `Sounds` are a
        group by default.
    `kinds`: what the outputs mean (core.kinds), for agreement and for the training loss. Both leave
        out an output that is NotTaught(). None: inferred.
    `together`: how the agreement of several outputs is combined, Mean() or Least().
    `shares`: of the inputs in the splits "train", "validation" and "test": above 0, with sum 1.
    `seed`: of the draw of the splits.
    `batch_size`: of training, 1 or more.
    `window`: into how many steps sequences are cut for training, 1 or more.
    `temperature`: of the training loss for classes, above 0.
    `name`: the beginning of the task's name; a digest of the inputs and the measures follows.

    Warns where one constant output would agree almost as well. Raises TypeError, ValueError or
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
    """The copy of the model."""
    constant: float = field(init=False)
    """The best score of one output for every input, out of some that were tried."""
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
        fields_ = {
            "teacher": original,
            "model": original,
            "inputs": None,  # they are in the parts now
            "groups": groups,
            "_parts": parts,
            "_calls": calls,
        }
        for name, value in fields_.items():
            object.__setattr__(self, name, value)
        self._settle()
        # Other inputs, or another meaning of agreement, make another task in records.
        settings = identity(
            (self.seed, self.shares, self.together, self.states, self._found, self._measures)
        )
        object.__setattr__(self, "name", f"{self.name}-{digest_of(settings, inputs, groups)}")
        object.__setattr__(self, "constant", self._constant())
        if all(isinstance(measure, Same) for measure in self._measures.values()):
            # only then is 1 the agreement of a model with itself
            check_itself(float(np.mean(self.sampled(_AT_ONCE, 0).merits(original, "validation"))))
        warn_of_repeated(parts)
        if self.constant >= _TELLS_LITTLE:
            warnings.warn(
                f"one and the same answer to every input would agree on {100 * self.constant:.0f} "
                "%: agreement tells little about this model. Give inputs that it answers "
                "differently, or a same= that asks for more",
                stacklevel=3,
            )

    def _settle(self) -> None:
        """Settle the kind of each output, and what agreement means for it."""
        part = self._parts["train"]
        inputs, outputs = part.of(torch.arange(min(len(part), _PROBED)))
        made = made_by(self.teacher, self._calls, chosen(inputs, torch.arange(2)))
        if self._calls.states:
            outputs = {path: output.flatten(0, 1) for path, output in outputs.items()}
        settled = settle(self.model, self.kinds, self.same, part.kept, outputs, made)
        object.__setattr__(self, "_measures", settled.measures)
        object.__setattr__(self, "_perhaps_logits", settled.perhaps_logits)
        object.__setattr__(self, "_found", settled.kinds)

    def __str__(self) -> str:
        sizes = [len(self._parts[split]) for split in ("train", "validation", "test")]
        what = " and ".join(
            _name(measure) if path == ALL else f"{shown(path)} {_name(measure)}"
            for path, measure in self._measures.items()
        )
        logits = " and ".join(map(shown, self._perhaps_logits))
        hint = (
            f"; if {logits} are logits of classes, say same=SameClass() (--same class): the "
            "largest is all that must stay then"
        )
        pieces = f" windows of {self.window} steps" if self._calls.states else ""
        return (
            f"agreement on {what}; {sizes[0]:,} inputs{pieces} to train on, {sizes[1]:,} to choose "
            f"by, {sizes[2]:,} to prove on; one answer to every input would agree on "
            f"{100 * self.constant:.0f} %; taught: {self.teaching()}{hint if logits else ''}"
        )

    def teaching(self) -> str:
        return in_words(self._found)

    def taught_by(self, teacher: Any) -> Task:
        """Itself: its loss is the distance from the outputs of the original model already."""
        return self

    # -- training

    def batches(
        self, split: str, *, model: Any = None
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Batches of (inputs by name, the original's outputs by path).

        The order of "train" is drawn anew for each pass.
        """
        part = self._part(split)
        for indices in batches_of(len(part), self.batch_size, shuffled=split == "train"):
            yield part.of(indices)

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The sum of the distances of the outputs from the original's, by their kinds."""
        inputs, originals = batch
        outputs = self._calls(model, inputs)
        if isinstance(own := self._found.get("", Told(NotTaught(), "")).kind, Own):
            return own.apart(_alone(outputs), _alone(originals), self.temperature)
        losses: list[Tensor] = []
        for path, inferred in self._found.items():
            if isinstance(inferred.kind, NotTaught):
                continue
            if path not in outputs:
                raise ValueError(
                    f"the model gives {', '.join(map(shown, outputs))} in training, and "
                    f"{shown(path)} is missing, which it gives in evaluation: return the same "
                    "outputs in both modes"
                )
            ours, theirs = (
                (output.flatten(0, 1) if self._calls.states else output)
                for output in (outputs[path], originals[path])
            )
            losses.append(inferred.kind.apart(ours, theirs, self.temperature))
        if not losses:
            raise ValueError("no output has floating-point numbers: there is nothing to train by")
        return torch.stack(losses).sum()

    # -- scores

    def score(self, predict: Predict, split: str) -> float:
        """The mean merit over a split."""
        return float(self.merits(predict, split).mean())

    def merits(self, predict: Predict, split: str) -> np.ndarray:
        """How well the outputs for each input agree with the original's, from 0 to 1."""
        part, merits = self._part(split), list[np.ndarray]()
        for indices in torch.arange(len(part)).split(_AT_ONCE):
            inputs, originals = part.of(indices)
            after = self._calls(predict, inputs)
            if missing := [path for path in originals if path not in after]:
                raise ValueError(
                    f"the model gives {', '.join(map(shown, after))}, and gave {shown(missing[0])} "
                    "when it was copied"
                )
            merits.append(
                self._agreed(_arrays(originals), {path: array(after[path]) for path in originals})
            )
        return np.concatenate(merits)

    def _agreed(self, before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> np.ndarray:
        """The agreement of each example, with the outputs combined by `together`."""
        if wrong := [path for path, old in before.items() if after[path].shape != old.shape]:
            shapes = f"{list(after[wrong[0]].shape)}, and had {list(before[wrong[0]].shape)}"
            raise ValueError(
                f"the output {shown(wrong[0])} has the shape {shapes} when the model was copied"
            )
        rows: list[np.ndarray] = []
        for path, measure in self._measures.items():
            pair = (_alone(before), _alone(after)) if path == ALL else (before[path], after[path])
            rows.append(self._measured(measure, *pair, count=len(next(iter(before.values())))))
        return self.together.of(rows)

    def _measured(self, measure: Any, before: Any, after: Any, count: int) -> np.ndarray:
        """The agreement of each example by one measure."""
        if isinstance(measure, Same):
            if not self._calls.states:
                return measure.merits(before, after)
            steps = [output.reshape(-1, *output.shape[2:]) for output in (before, after)]
            return measure.merits(*steps).reshape(count, -1).mean(1)
        merits = np.asarray(measure(before, after), np.float64)
        if merits.shape != (count,) or not np.isfinite(merits).all():
            raise ValueError(
                f"same={_name(measure)} gives an array of shape {list(merits.shape)} for {count} "
                "examples: it must give a finite number for each"
            )
        return merits

    def _constant(self) -> float:
        """The best score of one output for every input: some of the outputs, and their mean."""
        part = self._part("validation")
        before = _arrays(part.of(torch.arange(min(len(part), _PROBED)))[1])
        count = len(next(iter(before.values())))
        constants = [
            {path: output[row : row + 1] for path, output in before.items()}
            for row in range(0, count, max(1, count // _CONSTANTS))
        ]
        constants.append(
            {path: one.mean(0, keepdims=True).astype(one.dtype) for path, one in before.items()}
        )
        scores = []
        for constant in constants:
            repeated = {
                path: np.broadcast_to(one, before[path].shape) for path, one in constant.items()
            }
            scores.append(float(self._agreed(before, repeated).mean()))
        return max(scores)

    # -- splits and examples

    def _part(self, split: str) -> Part:
        if split not in self._parts:
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        return self._parts[split]

    def sampled(self, examples: int, seed: int) -> Agreement:
        """The same task with at most `examples` validation inputs (1 or more).

        Returns itself where it has no more than these.
        """
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        part = self._parts["validation"]
        if len(part) <= examples:
            return self
        task, fewer = copy(self), part.only(sample(len(part), examples, seed))
        object.__setattr__(task, "_parts", {**self._parts, "validation": fewer})
        return task

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Two held-out inputs; of a streaming model, one step of them, and zeros as its states."""
        calls, inputs = self._calls, chosen(self._parts["validation"].inputs, torch.arange(2))
        values: dict[str, Any] = {
            name: Vary(state.to(calls.dtype), calls.states[name].axes)
            for name, state in calls.begun(2).items()
        }
        axes = axes_of(self.axes, inputs)
        for name, tensor in inputs.items():
            step = tensor[:, 0] if calls.states and tensor.ndim else tensor
            own = {axis: of for axis, of in {0: "N", **axes[name]}.items() if axis < step.ndim}
            values[name] = Vary(step, own)
        return tuple(values[name] for name in calls.position), {
            name: values[name] for name in calls.keyword
        }


def _alone(outputs: Mapping[str, Any]) -> Any:
    """The only output, or all outputs by path."""
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)


def _arrays(answers: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {path: array(one) for path, one in answers.items()}


def _name(measure: Any) -> str:
    """A measure in words."""
    return (
        str(measure)
        if isinstance(measure, Same)
        else f"by {getattr(measure, '__name__', type(measure).__name__)}"
    )
