"""A trained transformer that classifies texts, and a sum of word vectors in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from shoestring.core import Ledger, apply, prove, score, seeded
from shoestring.distill import Replace, SoftTargets
from shoestring.kit import AdamW, Supervised, Training, resuming, save
from shoestring.meters import alternate, ratio
from shoestring.models import NgramFamily, TextEncoder, Texts
from shoestring.recipes.baselines import SETTINGS, baseline, shown
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import sst2, sst2_vocabulary


@dataclass(frozen=True, kw_only=True)
class FasterFile:
    """The file of a new network.

    `bytes`: its size.
    `share`: of the milliseconds of the network that it replaces.
    `validation`, `test`: its scores, 0 to 1.
    """

    bytes: int
    share: float
    validation: float
    test: float


def replaced_encoder(
    model: nn.Module,
    task: Supervised,
    path: Path,
    original: Path,
    *,
    family: NgramFamily,
    width: float = 2.0,
    steps: int = 500,
    targets: SoftTargets = SoftTargets(),
    seed: int = 0,
    ledger: Ledger | None = None,
) -> FasterFile:
    """A `NgramClassifier` in the place of a trained network; its file is written to `path`.

    After a kill, the same call goes on.

    `model`: a trained network for `task`, which is as training saw it.
    `original`: the file of the model, beside which the new one is timed.
    `family`: of the new network.
    `width`: of the new network, as the family takes it.
    `steps`: of training.
    `targets`: how the model teaches; a weight of 0 trains without a teacher.
    """
    technique = Replace(
        by=family, width=width, targets=targets, training=Training(steps, AdamW(5e-3))
    )
    with resuming(path.with_suffix(".unfinished")):
        new = apply(technique, model, task.sealed(), ledger=ledger, seed=seed)
    size = save(new, task.sealed(), path)
    speed = ratio(*alternate([path, original], task.sealed()))
    test = prove(path, task, ledger=ledger, seed=seed, note=f"replaced {type(model).__name__}")
    validation = score(task.sealed(), new)
    return FasterFile(bytes=size, share=speed.median, validation=validation, test=test)


def end_to_end(run: Run) -> None:
    """The text encoder trained on SST-2, then a new network with it as teacher, and without."""
    task, settings = sst2(), SETTINGS[TextEncoder]
    words, sizes = len(sst2_vocabulary()), dict[str, int]()
    if run.quick:
        task, settings = few(task, 3000, 500), replace(settings, passes=3, learning_rate=2e-3)
        sizes = {"width": 64, "hidden": 128}
    with seeded(run.seed):
        untrained = TextEncoder(words, **sizes)
    original = run.folder / "baseline.shoe"
    model = baseline(untrained, task, original, settings=settings, seed=run.seed)

    def rows(subject: str, file: FasterFile) -> None:
        run.row(subject, "validation score", 100 * file.validation, "%")
        run.row(subject, "test score", 100 * file.test, "%")
        run.row(subject, "file", file.bytes, "bytes")
        run.row(subject, "milliseconds ratio", file.share, "times", timed=True)
        run.say(f"  {run.time_left()}")

    test = prove(original, task, ledger=run.ledger, seed=run.seed, note="replaced: baseline")
    size, validation = original.stat().st_size, score(task.sealed(), model)
    before = FasterFile(bytes=size, share=1.0, validation=validation, test=test)
    rows("text_encoder / as it came in", before)
    family = NgramFamily(texts=Texts(ids=words, classes=2))
    for subject, targets in (("", SoftTargets()), (" without a teacher", SoftTargets(0.0))):
        new = replaced_encoder(
            model,
            shown(task, settings),
            run.folder / f"replaced{subject.replace(' ', '_')}.shoe",
            original,
            family=family,
            targets=targets,
            steps=100 if run.quick else 500,
            seed=run.seed,
            ledger=run.ledger,
        )
        rows(f"text_encoder / 10% / Replace by NgramFamily{subject}", new)


RECIPE = Recipe(
    name="replaced_encoder",
    line="a text encoder on SST-2, in whose place a sum of word vectors learns from it",
    scarce="milliseconds",
    instead="the training of a new network, taught by the one that it replaces",
    data=("SST-2",),
    minutes=5,
    quick_minutes=0.6,
    page="replace.md",
    run=end_to_end,
    elsewhere="Hinton, Vinyals & Dean 2015 (soft targets), on other data and networks",
    advantage="the network that it replaces as a teacher",
    results=Results(
        file="replace.sst2-mnist-cifar10-jpeg-cpu.jsonl",
        before=(Line("text encoder, as it came in", "text_encoder / as it came in"),),
        ours=(Line("a new n-gram classifier", "text_encoder / 10% / Replace by NgramFamily"),),
        baselines=(
            Line(
                "the same, without a teacher",
                "text_encoder / 10% / Replace by NgramFamily without a teacher",
            ),
        ),
        saved=Measure("time at batch 1", "milliseconds ratio", "times", ".3g"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(Measure("file, bytes", "file", "bytes", ",.0f"),),
        price=Measure("minutes of a core", "training", "minutes of a core", ".1f"),
    ),
)
