"""The validation score of files, on a sample of the examples where all take too long."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
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
from shoestring.core import Task, score, scores, seeded
from shoestring.core.kinds import outputs_of
from shoestring.kit import bake, clone

_FEWEST_EXAMPLES = 200
_MORE = 8  # times as many examples, to find out how many can be scored in time
_SHUFFLES = 3
_HEARD, _HEARD_BYTES = (
    1000,
    64e6,
)  # answers, of which the one that is nearest to all is given to every example
# times what scoring a file on all validation data takes, two files on test data do, about; they are
# loaded twice
_PROVING = 4


class Judged(NamedTuple):
    """What a file scores on validation data.

    Its score, the merit of each example where that is their mean, and the scores by name.
    """

    score: float
    merits: np.ndarray | None
    scores: dict[str, float]


@dataclass
class Judge:
    """Scores files on the validation split of `task`, and knows what the model that came in scores
    (`base`, by its file at `reference`).

    `examples`: how many of the split to score on, drawn by `seed`, if the task can draw a sample;
        None for all.
    `merits`: that file's merit of each example; None where the task does not tell, or the score is
        not their mean.
    `scores`: its scores by name; those that are no finite number are left out, as nobody measured
        them.
    `by_name`: whether these are looked at. Raises ValueError for a score that is no number.
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
    """Seconds that scoring a file takes, with loading it."""
    loading: float = field(init=False)
    """Those of them that loading takes."""
    whole: float = 1.0
    """How many times as many validation examples there are."""
    each: float | None = None
    """Seconds that one more example takes, where more than one sample was scored."""

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
        """What a file scores."""
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
        """Seconds that scoring two files on test data takes, about.

        On all of it, though a sample of the validation data did till then.
        """
        each = (
            self.taken - self.loading
            if self.each is None or self.count is None
            else self.each * self.count
        )
        return _PROVING * (self.loading / 2 + self.whole * each)

    @property
    def count(self) -> int | None:
        """How many validation examples files are scored on; None where the task does not tell."""
        return None if self.merits is None else len(self.merits)

    @property
    def base_error(self) -> float | None:
        """The standard error of the score that the model came in with.

        None where the task does not tell.
        """
        return (
            None
            if self.merits is None or len(self.merits) < 2
            else float(self.merits.std() / len(self.merits) ** 0.5)
        )

    def error(self, merits: np.ndarray | None) -> float | None:
        """The standard error of the difference between a file with these merits and the model that
        came in.
        """
        pair = None if merits is None or self.merits is None else self.merits - merits
        return None if pair is None or len(pair) < 2 else float(pair.std() / len(pair) ** 0.5)


def quick_judge(task: Task, reference: Path, model: nn.Module, seed: int, seconds: float) -> Judge:
    """A judge that takes no longer than `seconds` a file, besides loading it.

    On a sample, where all examples take longer and the task can draw one.
    How many it is, all or a sample, is written down beside the reference, by the digest of that
    file: a later run, and other processes, take the same. Warns where one and the same answer to
    every example would score as much as the model. Raises ValueError for a score that is no number,
    or the same as that of random weights.
    """
    note = reference.with_name(
        f"sample-{hashlib.sha256(reference.read_bytes()).hexdigest()[:16]}.json"
    )
    judge = (
        None
        if (known := _remembered(note)) is None
        else Judge(task, reference, known.examples, seed)
    )
    if judge is None:
        judge = _on_enough(task, reference, seed, seconds)
        if (settled := _first_to_say(note, _Sample(judge.examples))).examples != judge.examples:
            judge = Judge(task, reference, settled.examples, seed)
    if judge.examples is not None:
        judge.whole = _batches(task) / max(_batches(judge.task), 1)
    with seeded(0):
        if all(score(judge.task, _shuffled(model)) == judge.base for _ in range(_SHUFFLES)):
            raise ValueError(
                f"the validation score is {judge.base:g} for the model and for ones whose weights "
                "are in random order: it tells nothing "
                "about the model; look at the task's score (or merit), and whether it gets the "
                "model's outputs"
            )
        if (constant := _constant_score(judge.task, model)) >= judge.base:
            warnings.warn(
                f"one and the same answer to every validation example scores {constant:.4g}, and "
                f"the model {judge.base:.4g}: the score tells little "
                "about the model, and a budget that is kept as little. Give examples that are "
                "answered differently, or a score that a "
                "constant does not reach (metric=, such as macro F1)",
                stacklevel=2,
            )
    return judge


def _on_enough(task: Task, reference: Path, seed: int, seconds: float) -> Judge:
    """A judge on all examples, or on as many as take about so many seconds, besides loading a file:
    found by ever more of them, since all may take minutes.

    A sample is of 200 examples times a power of 2: machines that are nearly as fast draw the same.
    """
    examples, before = _FEWEST_EXAMPLES, None
    while True:
        judge = Judge(task, reference, examples, seed)
        if judge.count is None:  # nobody knows how many there are
            return Judge(task, reference)
        if before is not None and before.count is not None and judge.count > before.count:
            more = (
                judge.taken - judge.loading - before.taken + before.loading
            )  # without what the first batch takes longer
            judge.each = max(more, 0.0) / (judge.count - before.count)
        if judge.count != examples:  # these are all, or nobody draws a sample
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


# How large the sample is, was once a matter of how busy the machine was: it is settled by who says
# it first.


def _remembered(note: Path) -> _Sample | None:
    try:
        examples = json.loads(note.read_bytes())["examples"]
        return _Sample(None if examples is None else int(examples))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _first_to_say(note: Path, sample: _Sample) -> _Sample:
    with tempfile.TemporaryDirectory(dir=note.parent) as folder:
        said = Path(folder) / "sample.json"
        save(said, json.dumps({"examples": sample.examples}).encode())
        try:
            os.link(said, note)
        except OSError:  # another process was first, or the file system has no links
            if _remembered(note) is None:
                os.replace(said, note)
    return _remembered(note) or sample


def _constant_score(task: Task, model: nn.Module) -> float:
    """The score where every example is answered as that which is nearest to all.

    The first whose class is the most frequent, of outputs N×C, else the median of each number;
    minus infinity where the model's calls have no such answers (one example at a time, outputs of
    several lengths).
    """
    mute, heard = bake(clone(model)), _Heard()
    listening = mute.register_forward_hook(heard)
    score(task, mute)
    listening.remove()
    constant: dict[str, Tensor] = {}
    for path, ones in heard.answers.items():
        if len({one.shape[1:] for one in ones}) == 1:
            constant[path] = _nearest_to_all(torch.cat(ones))
    if not constant:
        return -math.inf
    mute.register_forward_hook(lambda _module, _args, answer: _replaced(answer, constant))
    return score(task, mute)


class _Heard:
    """A hook that keeps the first answers of a module, by path.

    Of outputs that have an axis of two examples or more, as many as there is room for.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Tensor]] = {}

    def __call__(self, module: nn.Module, args: Any, answer: Any) -> None:
        for path, one in outputs_of(answer).items():
            if not isinstance(one, Tensor) or not one.ndim or len(one) < 2:
                continue
            known = self.answers.setdefault(path, [])
            most = min(_HEARD, int(_HEARD_BYTES // max(one[0].nbytes, 1))) - sum(map(len, known))
            if most > 0:
                known.append(one[:most].detach().clone())


def _nearest_to_all(answers: Tensor) -> Tensor:
    if answers.ndim == 2 and answers.shape[1] > 1:
        classes = answers.argmax(1)
        return answers[int((classes == classes.mode().values).nonzero()[0])]
    return answers.median(0).values


def _replaced(answer: Any, constant: dict[str, Tensor]) -> Any:
    """The answer of the model, that of every example replaced."""

    def replaced(path: str, one: Any) -> Any:
        known = constant.get(path)
        if not isinstance(one, Tensor) or known is None or one.shape[1:] != known.shape:
            return one
        return known.expand_as(one).clone()

    _, structure = tree.flatten(answer)
    return tree.fill(structure, [replaced(path, one) for path, one in tree.paths(answer)])


def _shuffled(model: nn.Module) -> nn.Module:
    """A copy with the numbers of each weight in random order."""
    mixed = bake(clone(model))
    with torch.no_grad():
        for one in mixed.parameters():
            one.copy_(one.flatten()[torch.randperm(one.numel())].view(one.shape))
    return mixed
