"""The built-in demo: a small LeNet on the digits of scikit-learn."""

from __future__ import annotations

import torch

from shoestring.core import apply, chain, prove, score, seeded
from shoestring.kit import AdamW, Supervised, Training, clone, export, parameter_bytes, train, write
from shoestring.models import DigitsLeNet
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import digits


def digits_lenet(seed: int = 0, *, steps: int = 1500) -> tuple[DigitsLeNet, Supervised]:
    """(trained model, task): about 98 % on 400 test images, after some seconds on one core.

    It sets torch to one thread, since several threads make such small steps slower.

    `seed`: of the training.
    `steps`: of the training, 0 or more.
    """
    torch.set_num_threads(1)
    task = digits()
    with seeded(seed):
        return train(DigitsLeNet(), task.sealed(), Training(steps), what="training the LeNet"), task


def end_to_end(run: Run) -> None:
    """The network as it is, and with a tenth of its weights, which share 16 values."""
    steps = 200 if run.quick else 1000
    model, task = digits_lenet(run.seed, steps=400 if run.quick else 1500)
    exported = export(model, task.sealed())

    def scores(name: str, now: torch.nn.Module, counted: int | None = None) -> None:
        path = run.folder / f"{name.replace(' ', '_')}.shoe"
        size = write(now, task.sealed(), path, exported=exported)
        test = prove(path, task, ledger=run.ledger, seed=run.seed, note=f"digits_lenet: {name}")
        run.scores(name, counted or size, score(task.sealed(), now), test)

    scores("uncompressed", model, parameter_bytes(model))
    smaller = chain(
        Magnitude(density=0.1, training=Training(steps)),
        WeightSharing(levels=16, training=Training(steps // 2, AdamW(1e-4))),
    )
    taught = task.sealed().taught_by(clone(model).eval())
    scores("pruned and shared", apply(smaller, model, taught, ledger=run.ledger, seed=run.seed))
    scores(
        "shared at once",
        apply(
            WeightSharing(levels=16, training=Training(0)),
            model,
            taught,
            ledger=run.ledger,
            seed=run.seed,
        ),
    )


RECIPE = Recipe(
    name="digits_lenet",
    line="a small LeNet on 8×8 digits, trained on the spot; then a tenth of its weights, 16 values",
    scarce="bytes",
    instead="as much training again, taught by the uncompressed network",
    data=("digits (in scikit-learn)",),
    minutes=1,
    quick_minutes=0.2,
    page="recipes.md",
    run=end_to_end,
    results=Results(
        file="digits_lenet.digits-cpu.jsonl",
        before=(Line("uncompressed, 4 bytes a parameter", "uncompressed"),),
        ours=(Line("pruned to a tenth, 16 values, trained", "pruned and shared"),),
        baselines=(Line("16 values, without training", "shared at once"),),
        price=Measure(
            "minutes of a core, for all", "time", "minutes of a core", ".1f", subject="recipe"
        ),
    ),
)
