"""A student with a tenth of the operations: `python benchmarks/distillation.py`. Ten minutes.

Two tasks, three seeds: MNIST (teacher: LeNet-5) and parts of speech in English-EWT (teacher: a
BiLSTM), from results/files/baseline_NAME.shoe. The teachers were trained on all labels, the
students on a tenth of them. The same steps for each way: alone; alone with label smoothing, the
cheapest way to softer targets; the teacher's answers; with hints as well; two students that teach
each other. Temperatures and weights were chosen on the validation split of seed 0. Then, on the
digits, Student beside Channels at equal operations; the temperature with few labels and with all;
and what a cache of answers saves on MNIST.
Goes on where it was interrupted. --quick: one seed, a tenth of the steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from rows import FILES, Rows, start
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Task, Technique, score, seeded
from shoestring.distill import (
    Given,
    Hints,
    Narrower,
    Peers,
    SoftTargets,
    Student,
    cached,
    codistill,
)
from shoestring.kit import AdamW, Supervised, Training, load_into, train
from shoestring.meters import Operations
from shoestring.models import BiLSTMTagger, DigitsLeNet, LeNet5
from shoestring.prune import Channels
from shoestring.tasks import digits, ewt, ewt_vocabulary, known_words_dropped, mnist

SMOOTHING = 0.1
PEERS = {
    "co-distillation, from a tenth on": Peers(alone=0.1),
    "co-distillation, from half on": Peers(alone=0.5),
}
WAYS = ("alone", "label smoothing", "soft targets", "soft targets and hints", *PEERS)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A task with few labels, its teacher, and the student.

    `smooth`: the criterion with label smoothing.
    `pairs`: of layers, for hints.
    `steps`, `rate`: of the training.
    """

    task: Supervised
    teacher: nn.Module
    student: Callable[[], nn.Module]
    smooth: Callable[[Tensor, Tensor], Tensor]
    targets: SoftTargets
    pairs: tuple[tuple[str, str], ...]
    steps: int
    rate: float


def small() -> nn.Module:
    """784 → 200 → 100 → 10."""
    layers = (nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 10))
    return nn.Sequential(nn.Flatten(), *layers)


def of_mnist() -> Setting:
    """LeNet-5 teaches a network of three linear layers."""
    task = mnist()
    return Setting(
        task=first(task, 5500),
        teacher=load_into(FILES / "baseline_lenet5.shoe", LeNet5()).eval(),
        student=small,
        smooth=partial(functional.cross_entropy, label_smoothing=SMOOTHING),
        targets=SoftTargets(0.9, 16.0),
        pairs=(("3", "layers.6"),),
        steps=860,
        rate=2e-3,
    )


def of_ewt() -> Setting:
    """A BiLSTM of 64 in each direction teaches one of 8."""
    task, sizes = ewt(batch_size=64), ewt_vocabulary().sizes

    def smooth(logits_NTC: Tensor, tags: Tensor) -> Tensor:
        cut = tags[:, : logits_NTC.shape[1]].flatten()
        return functional.cross_entropy(logits_NTC.flatten(0, 1), cut, label_smoothing=SMOOTHING)

    return Setting(
        task=replace(first(task, 1250), augment=known_words_dropped),
        teacher=load_into(FILES / "baseline_tagger.shoe", BiLSTMTagger(*sizes)).eval(),
        student=lambda: BiLSTMTagger(*sizes, width=8, dropout=0.1),
        smooth=smooth,
        targets=SoftTargets(0.9, 1.0),
        pairs=(("forwards", "forwards"), ("backwards", "backwards")),
        steps=400,
        rate=5e-3,
    )


def first(task: Supervised, count: int) -> Supervised:
    """The task with its first training examples alone."""
    inputs, targets = task.train  # type: ignore[misc]
    cut = tuple(one[:count] for one in inputs) if isinstance(inputs, tuple) else inputs[:count]
    return replace(task, train=(cut, targets[:count]))


def trained(setting: Setting, way: str, steps: int) -> nn.Module:
    """The student, trained in one of the ways."""
    task, training = setting.task.sealed(), Training(steps, AdamW(setting.rate))
    if way == "alone":
        return train(setting.student(), task, training)
    if way == "label smoothing":
        return train(
            setting.student(), replace(setting.task, criterion=setting.smooth).sealed(), training
        )
    if way in PEERS:
        students = [setting.student(), setting.student()]
        return codistill(students, task, training, peers=PEERS[way])[0]
    hints = Hints(pairs=setting.pairs, weight=0.2) if "hints" in way else None
    technique = Student(
        network=Given(setting.student), targets=setting.targets, hints=hints, training=training
    )
    return technique(setting.teacher, task)


def few_labels(rows: Rows, name: str, setting: Setting) -> None:
    """The rows of one task."""
    full = operations(setting.teacher, setting.task)
    for way in WAYS:
        subject = f"{name} / {way}"
        for seed in (0,) if rows.quick else (0, 1, 2):
            if not rows.wanted(subject) or rows.done(subject, seed):
                continue
            with seeded(seed):
                student = trained(setting, way, setting.steps // (10 if rows.quick else 1))
            share = operations(student, setting.task) / full
            rows.add(subject, "operations", share, "of the teacher's", seed)
            errors(rows, subject, student, setting.task, seed)
    if rows.wanted(f"{name} / teacher") and not rows.done(f"{name} / teacher", 0):
        rows.add(f"{name} / teacher", "operations", 1.0, "of the teacher's", 0)
        errors(rows, f"{name} / teacher", setting.teacher, setting.task, 0)


def operations(model: nn.Module, task: Task) -> float:
    """Of one example."""
    counted = Operations()(model, task.sealed()).operations
    assert counted is not None
    return counted


def errors(rows: Rows, subject: str, model: nn.Module, task: Task, seed: int) -> None:
    """What it gets wrong. Test data choose nothing here: they are what the page shows."""
    for split in ("validation", "test"):
        rows.add(subject, f"{split} error", 100 * (1 - score(task, model, split)), "%", seed)
    rows.add(subject, "done", 1, "", seed)


def beside_channels(rows: Rows) -> None:
    """Student and Channels on the digits, at the operations that Student's widths leave."""
    task, training = digits(), Training(40 if rows.quick else 600, AdamW(3e-3))
    for seed in (0,) if rows.quick else (0, 1, 2):
        with seeded(seed):
            model = train(DigitsLeNet(), task.sealed(), Training(1000), what="training the LeNet")
        full = operations(model, task)
        for share in (0.5, 0.25):
            narrow = Narrower(share).made(model, task)
            assert narrow is not None
            left = operations(narrow, task) / full
            ways: dict[str, Technique] = {
                "Student": Student(network=Narrower(share), training=training),
                "Channels": Channels(share=left, training=training),
            }
            for way, technique in ways.items():
                subject = f"digits / {way}, width {share:g}"
                if not rows.wanted(subject) or rows.done(subject, seed):
                    continue
                with seeded(seed):
                    made = technique(model, task.sealed())
                rows.add(
                    subject, "operations", operations(made, task) / full, "of the teacher's", seed
                )
                errors(rows, subject, made, task, seed)


def temperatures(rows: Rows, few: Setting) -> None:
    """The temperature where a student has few labels (MNIST), and where it has all (the digits).

    The teacher of the digits has seen the same labels.
    """
    task = digits()
    with seeded(0), tempfile.TemporaryDirectory() as folder:
        teacher = train(DigitsLeNet(), task.sealed(), Training(600, AdamW(3e-3)))
        every = replace(few, task=task, teacher=teacher, student=smaller, steps=600, rate=3e-3)
        for name, setting in (("few labels", few), ("all labels", every)):
            keeping = cached(setting.teacher, folder)
            for temperature in (None, 1.0, 4.0, 16.0):
                what = "alone" if temperature is None else f"temperature {temperature:g}"
                subject = f"{name} / {what}"
                for seed in (0,) if rows.quick else (0, 1, 2):
                    if not rows.wanted(subject) or rows.done(subject, seed):
                        continue
                    steps = setting.steps // (10 if rows.quick else 1)
                    one = setting.task.sealed()
                    if temperature is not None:
                        one = one.taught_by(keeping).taught_at(0.9, temperature)
                    with seeded(seed):
                        student = train(
                            setting.student(), one, Training(steps, AdamW(setting.rate))
                        )
                    errors(rows, subject, student, setting.task, seed)


def smaller() -> nn.Module:
    """64 → 32 → 10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def with_cache(rows: Rows, setting: Setting) -> None:
    """The time of a step that a teacher teaches, with its answers kept and without.

    Both are timed in turns, and each counts with the median of its steps.
    """
    subject = "mnist / cache of answers"
    if not rows.wanted(subject) or rows.done(subject, None):
        return
    with tempfile.TemporaryDirectory() as folder:
        keeping = cached(setting.teacher, Path(folder))
        filled = keeping.fill(setting.task)
        rows.add(subject, "bytes of an answer", filled.bytes / filled.examples, "bytes")
        students, times = [setting.student() for _ in range(3)], ([], [], [])
        tasks = (setting.task, *map(setting.task.taught_by, (keeping, setting.teacher)))
        for _ in range(3 if rows.quick else 12):
            for own, student, task in zip(times, students, tasks, strict=True):
                began = perf_counter()
                train(student, task, Training(20))
                own.append((perf_counter() - began) / 20)
    alone, kept, asked = (sorted(own)[len(own) // 2] for own in times)
    rows.add(subject, "step taught with a cache", kept / alone, "of a step alone", timed=True)
    rows.add(subject, "step taught without", asked / alone, "of a step alone", timed=True)
    rows.add(subject, "done", 1, "")


def main() -> None:
    torch.set_num_threads(1)
    rows = start("distillation", "mnist-ewt-digits-cpu", __doc__ or "")
    settings = {"mnist": of_mnist(), "ewt": of_ewt()}
    for name, setting in settings.items():
        few_labels(rows, name, setting)
    beside_channels(rows)
    temperatures(rows, settings["mnist"])
    with_cache(rows, settings["mnist"])
    rows.close()


if __name__ == "__main__":
    main()
