"""Judges: the validation score of files, on a sample where all examples take too long."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.artifact import Loaded, load, save, tree
from shoestring.artifact.format.saving import save_first
from shoestring.core import Task, score, scores, seeded
from shoestring.core.kinds import outputs_of
from shoestring.kit import bake, clone

_FEWEST_EXAMPLES = 200
_MORE = 8
"""Times as many examples at most from one attempt to the next, to find how many fit in time."""
_SHUFFLES = 3
"""Models with shuffled weights that are scored."""
_HEARD, _HEARD_BYTES = 1000, 64e6
"""Outputs that are kept to find a constant answer, and their bytes, at most."""
_PROVING = 4
"""About how many times the seconds of scoring a file on all validation data proving takes.

Two files are loaded twice, and scored on test data.
"""


class TellsNothingError(ValueError):
    """A validation score that random weights reach too, by which nothing can be searched for."""


class Judged(NamedTuple):
    """The validation score of a file.

    `score`: of the file.
    `merits`: of each example, where the score is their mean; else None.
    `scores`: by name.
    """

    score: float
    merits: np.ndarray | None
    scores: dict[str, float]


@dataclass
class Judge:
    """Scores files on the validation split of a task.

    `reference`: the file of the model that came in.
    `examples`: how many of the split to score on, drawn by `seed` where the task can draw a sample;
        None for all.
    `by_name`: whether scores by name are looked at.
    `base`: the score of the reference.
    `scores`: its finite scores by name.
    `merits`: its merit of each example; None where the task does not tell, or where the score is
        not their mean.

    Raises ValueError where the score of the reference is no number.
    """

    task: Task
    reference: Path
    examples: int | None = None
    seed: int = 0
    by_name: bool = True
    base: float = field(init=False)
    scores: dict[str, float] = field(init=False)
    merits: np.ndarray | None = field(init=False)
    taken: float = field(init=False)
    """Seconds of scoring a file, with loading it."""
    loading: float = field(init=False)
    """Seconds of loading it."""
    times_sample: float = 1.0
    """The validation examples in all, divided by those that are scored."""
    each: float | None = None
    """Seconds of one more example; None where only one sample was scored."""

    def __post_init__(self) -> None:
        if self.examples is not None:
            self.task = self.task.sampled(self.examples, self.seed)
        began = monotonic()
        predict = load(self.reference, threads=torch.get_num_threads())
        self.loading = monotonic() - began
        self.base = score(self.task, predict)
        self.scores = self._scores(predict) if self.by_name else {}
        self.taken = monotonic() - began
        self.merits = self._merits(predict)
        if not math.isfinite(self.base):
            raise ValueError(
                f"the validation score of the model is {self.base}: the task's score (or merit) "
                "must be a number"
            )
        if self.merits is not None and not math.isclose(
            float(self.merits.mean()), self.base, abs_tol=1e-9
        ):
            self.merits = None

    def __call__(self, file: Path) -> Judged:
        """The score of a file."""
        predict = load(file, threads=torch.get_num_threads())
        merits = None if self.merits is None else self._merits(predict)
        value = score(self.task, predict) if merits is None else float(merits.mean())
        return Judged(value, merits, self._scores(predict) if self.scores else {})

    def _scores(self, predict: Loaded) -> dict[str, float]:
        return {
            name: value
            for name, value in scores(self.task, predict).items()
            if math.isfinite(value)
        }

    def _merits(self, predict: Loaded) -> np.ndarray | None:
        with seeded(crc32(b"validation")):
            merits = self.task.merits(predict, "validation")
        return None if merits is None else np.asarray(merits, dtype=np.float64)

    @property
    def proving(self) -> float:
        """About how many seconds scoring two files on all test data takes."""
        each = (
            self.taken - self.loading
            if self.each is None or self.count is None
            else self.each * self.count
        )
        return _PROVING * (self.loading / 2 + self.times_sample * each)

    @property
    def count(self) -> int | None:
        """How many validation examples are scored; None where the task does not tell."""
        return None if self.merits is None else len(self.merits)

    @property
    def base_error(self) -> float | None:
        """The standard error of the score of the reference; None where the task does not tell."""
        return _standard_error(self.merits)

    def error(self, merits: np.ndarray | None) -> float | None:
        """The standard error of the score that a file with these merits loses to the reference."""
        return _standard_error(
            None if merits is None or self.merits is None else self.merits - merits
        )


def _standard_error(values: np.ndarray | None) -> float | None:
    """The standard error of a mean; None where there are fewer than two values."""
    if values is None or len(values) < 2:
        return None
    return float(values.std() / len(values) ** 0.5)


def quick_judge(task: Task, reference: Path, model: nn.Module, seed: int, seconds: float) -> Judge:
    """A judge that takes about `seconds` a file, besides loading it.

    It uses a sample where all examples take longer and the task can draw one. How many examples it
    uses is written down beside the reference, so that later runs and other processes use the same.

    Warns where one constant answer to every example scores as much as the model. Raises ValueError
    for a score that is no number, or that equals the score of shuffled weights.
    """
    note = reference.with_name(
        f"sample-{hashlib.sha256(reference.read_bytes()).hexdigest()[:16]}.json"
    )
    if (known := _remembered(note)) is not None:
        judge = Judge(task, reference, known.examples, seed)
    else:
        judge = _on_enough(task, reference, seed, seconds)
        settled = _settled(note, _Sample(judge.examples))
        if settled.examples != judge.examples:
            judge = Judge(task, reference, settled.examples, seed)
    if judge.examples is not None:
        judge.times_sample = _batches(task) / max(_batches(judge.task), 1)
    with seeded(0):
        if all(score(judge.task, _shuffled(model)) == judge.base for _ in range(_SHUFFLES)):
            raise TellsNothingError(
                f"the validation score is {judge.base:g} for the model and for ones whose weights "
                "are in random order: it tells nothing about the model; look at the task's score "
                "(or merit), and whether it gets the model's outputs"
            )
        if (constant := _constant_score(judge.task, model)) >= judge.base:
            warnings.warn(
                f"one and the same answer to every validation example scores {constant:.4g}, and "
                f"the model {judge.base:.4g}: the score tells little about the model, and a budget "
                "that is kept as little. Give examples that are answered differently, or a score "
                "that a constant does not reach (metric=, such as macro F1)",
                stacklevel=2,
            )
    return judge


def _on_enough(task: Task, reference: Path, seed: int, seconds: float) -> Judge:
    """A judge on all examples, or on as many as take about so many seconds a file, besides loading.

    It tries ever more of them, since all may take minutes. A sample has 200 examples times a power
    of 2, so that machines of about the same speed draw the same.
    """
    examples, before = _FEWEST_EXAMPLES, None
    while True:
        judge = Judge(task, reference, examples, seed)
        if judge.count is None:  # the task does not tell how many there are
            return Judge(task, reference)
        if before is not None and before.count is not None and judge.count > before.count:
            # The difference leaves out what the first batch takes longer.
            more = judge.taken - judge.loading - before.taken + before.loading
            judge.each = max(more, 0.0) / (judge.count - before.count)
        if judge.count != examples:  # these are all, or the task draws no sample
            judge.examples = None
            return judge
        each = judge.each or max(judge.taken - judge.loading, 1e-9) / examples
        most = examples
        while most < _MORE * examples and 2 * most * each <= seconds:
            most *= 2
        if most == examples:
            return judge
        examples, before = most, judge


def _batches(task: Task) -> int:
    return sum(1 for _ in task.batches("validation"))


@dataclass(frozen=True)
class _Sample:
    """How many examples files are scored on; None for all."""

    examples: int | None


def _remembered(note: Path) -> _Sample | None:
    """The sample that was written down; None where none was."""
    try:
        examples = json.loads(note.read_bytes())["examples"]
        return _Sample(None if examples is None else int(examples))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _settled(note: Path, sample: _Sample) -> _Sample:
    """The sample that was written down first, in this process or another.

    How large a sample fits in time depends on how busy the machine is, so processes may differ.
    """
    data = json.dumps({"examples": sample.examples}).encode()
    save_first(note, data)
    if _remembered(note) is None:  # it is damaged
        save(note, data)
    return _remembered(note) or sample


def _constant_score(task: Task, model: nn.Module) -> float:
    """The score where every example gets the same answer, one that suits most of them.

    Of outputs N×C it is the first output whose class is the most frequent, else the median of each
    number. Minus infinity where there is no such answer, since the model is called with one example
    at a time, or its outputs differ in length.
    """
    mute, heard = bake(clone(model)), _Heard()
    listening = mute.register_forward_hook(heard)
    score(task, mute)
    listening.remove()
    constant: dict[str, Tensor] = {}
    for path, answers in heard.answers.items():
        if len({answer.shape[1:] for answer in answers}) == 1:
            constant[path] = _nearest_to_all(torch.cat(answers))
    if not constant:
        return -math.inf
    mute.register_forward_hook(lambda _module, _args, answer: _replaced(answer, constant))
    return score(task, mute)


class _Heard:
    """A hook that keeps the first answers of a module, by the path of the output.

    It keeps up to `_HEARD` of them and `_HEARD_BYTES`, of outputs with two examples or more.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Tensor]] = {}

    def __call__(self, module: nn.Module, args: Any, answer: Any) -> None:
        for path, output in outputs_of(answer).items():
            if not isinstance(output, Tensor) or not output.ndim or len(output) < 2:
                continue
            known = self.answers.setdefault(path, [])
            most = min(_HEARD, int(_HEARD_BYTES // max(output[0].nbytes, 1))) - sum(map(len, known))
            if most > 0:
                known.append(output[:most].detach().clone())


def _nearest_to_all(answers: Tensor) -> Tensor:
    """One answer out of N×…: see `_constant_score`."""
    if answers.ndim == 2 and answers.shape[1] > 1:
        classes = answers.argmax(1)
        return answers[int((classes == classes.mode().values).nonzero()[0])]
    return answers.median(0).values


def _replaced(answer: Any, constant: dict[str, Tensor]) -> Any:
    """The answer of the model, with that of every example replaced by a constant."""

    def replaced(path: str, output: Any) -> Any:
        known = constant.get(path)
        if not isinstance(output, Tensor) or known is None or output.shape[1:] != known.shape:
            return output
        return known.expand_as(output).clone()

    _, structure = tree.flatten(answer)
    return tree.fill(structure, [replaced(path, output) for path, output in tree.paths(answer)])


def _shuffled(model: nn.Module) -> nn.Module:
    """A copy of the model with the numbers of each weight in random order."""
    mixed = bake(clone(model))
    with torch.no_grad():
        for weight in mixed.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view(weight.shape))
    return mixed
