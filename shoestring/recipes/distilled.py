"""A student of LeNet-5 that has a tenth of its operations and a tenth of its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn
from torch.nn import functional

from shoestring.core import Ledger, apply, prove, score, seeded
from shoestring.distill import Given, SoftTargets, Student
from shoestring.kit import AdamW, Supervised, Training, resuming, save
from shoestring.meters import Operations
from shoestring.models import LeNet5
from shoestring.recipes.baselines import SETTINGS, baseline
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, SmallerFile, few
from shoestring.tasks import mnist

TEMPERATURE = 16.0
"""Chosen on the validation split, of 3, 4, 8, 16 and 32."""


def plain_student() -> nn.Module:
    """784 → 200 → 100 → 10, with ReLU: images N×1×28×28 to logits N×10."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 200),
        nn.ReLU(),
        nn.Linear(200, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def distilled_mnist(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    student: Callable[[], nn.Module] = plain_student,
    targets: SoftTargets = SoftTargets(0.9, TEMPERATURE),
    steps: int = 860,
    learning_rate: float = 2e-3,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> SmallerFile:
    """A small network that learns from labels and from a teacher; its file is written to `path`.

    Published: Hinton, Vinyals & Dean 2015, section 3, MNIST with all 60,000 labels: a network of
    two layers of 1,200 units makes 67 test errors, one of two layers of 800 makes 146, and 74 when
    the first teaches it. Ours is another question: the student has less than a tenth of its
    teacher's operations, and a tenth of the labels.

    `model`: the trained teacher.
    `task`: with the labels that the student has.
    `student`: makes the untrained network.
    `targets`: the weight and temperature of the teacher's answers; a weight of 0 trains without a
        teacher.
    `steps`, `learning_rate`: of the training.
    """
    technique = Student(
        network=Given(student), targets=targets, training=Training(steps, AdamW(learning_rate))
    )
    with resuming(path.with_suffix(".unfinished")):
        made = apply(technique, model, task.sealed(), ledger=ledger, seed=seed)
    size = save(made, task.sealed(), path)
    operations = Operations()(path, task.sealed()).operations
    assert operations is not None
    test = prove(path, task, ledger=ledger, seed=seed, note=f"distilled_mnist: {path.stem}")
    return SmallerFile(
        bytes=size, operations=operations, validation=score(task.sealed(), made), test=test
    )


def end_to_end(run: Run) -> None:
    """LeNet-5 trained on all labels, then three students on a tenth of them."""
    whole, settings = mnist(), SETTINGS[LeNet5]
    if run.quick:
        whole, settings = few(whole, 6000, 1000), replace(settings, passes=5)
    with seeded(run.seed):
        untrained = LeNet5()
    path = run.folder / "teacher.shoe"
    model = baseline(untrained, whole, path, settings=settings, seed=run.seed).eval()
    full = Operations()(path, whole.sealed()).operations
    assert full is not None

    def rows(subject: str, operations: float, validation: float, test: float) -> None:
        run.row(f"mnist / {subject}", "operations", operations / full, "of the teacher's")
        run.row(f"mnist / {subject}", "validation error", 100 * (1 - validation), "%")
        run.row(f"mnist / {subject}", "test error", 100 * (1 - test), "%")
        run.say(f"  {run.time_left()}")

    test = prove(path, whole, ledger=run.ledger, seed=run.seed, note="distilled_mnist: teacher")
    rows("teacher", full, score(whole.sealed(), model), test)
    images, labels = whole.train  # type: ignore[misc]
    count = len(labels) // 10
    task = replace(whole, train=(images[:count], labels[:count]))  # type: ignore[index]
    smooth = replace(task, criterion=partial(functional.cross_entropy, label_smoothing=0.1))
    untaught = SoftTargets(0.0, 1.0)
    for subject, own, targets in (
        ("soft targets", task, SoftTargets(0.9, TEMPERATURE)),
        ("label smoothing", smooth, untaught),
        ("alone", task, untaught),
    ):
        file = run.folder / f"{subject.replace(' ', '_')}.shoe"
        small = distilled_mnist(
            model,
            own,
            file,
            targets=targets,
            steps=200 if run.quick else 860,
            seed=run.seed,
            ledger=run.ledger,
        )
        rows(subject, small.operations, small.validation, small.test)


RECIPE = Recipe(
    name="distilled_mnist",
    line="a student on MNIST with a tenth of its teacher's operations, and of its labels",
    scarce="labels and operations",
    instead="a trained network as teacher",
    data=("MNIST",),
    minutes=4,
    quick_minutes=0.6,
    page="distill.md",
    run=end_to_end,
    published=(
        Published(
            "test error",
            0.74,
            "%",
            "Hinton, Vinyals & Dean 2015, section 3",
            "MNIST, all labels, 784-800-800-10 taught by 784-1200-1200-10",
        ),
        Published(
            "test error",
            1.46,
            "%",
            "Hinton, Vinyals & Dean 2015, section 3",
            "MNIST, all labels, 784-800-800-10 alone",
        ),
        Published(
            "test error",
            0.67,
            "%",
            "Hinton, Vinyals & Dean 2015, section 3",
            "MNIST, all labels, the teacher",
        ),
    ),
    results=Results(
        file="distillation.mnist-ewt-digits-cpu.jsonl",
        before=(Line("the teacher, LeNet-5, all labels", "mnist / teacher"),),
        ours=(
            Line("soft targets, a tenth of the labels", "mnist / soft targets"),
            Line("soft targets and hints", "mnist / soft targets and hints"),
        ),
        baselines=(
            Line("label smoothing, without a teacher", "mnist / label smoothing"),
            Line("alone", "mnist / alone"),
        ),
        saved=Measure("operations", "operations", "of the teacher's", ".3f"),
    ),
)
