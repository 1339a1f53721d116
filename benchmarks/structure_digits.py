"""Structure taken out of a small LeNet, in many ways: `python benchmarks/structure_digits.py`.

Some minutes on one core, three seeds.
The embedded digits, 400 validation images; every way has the same training after. --quick: one
seed.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from rows import start

from shoestring.core import Technique, chain, score, seeded
from shoestring.kit import AdamW, Ramp, Training, train
from shoestring.meters import Operations
from shoestring.models import DigitsLeNet
from shoestring.prune import (
    Channels,
    Energy,
    GroupLasso,
    LayerOperations,
    LowRank,
    Norm,
    OfChannels,
    Outputs,
    Scale,
    Weights,
)
from shoestring.tasks import digits

STEPS = 400


def ways() -> dict[str, Technique]:
    """What is compared, by what the page calls it."""
    channels = Channels(share=0.25, multiple=1, training=Training(STEPS))
    thin = LowRank(
        rank=LayerOperations(0.3),
        training=Training(STEPS, AdamW(5e-4)),
        only=("layers.3", "layers.7"),
    )  # where nearly all operations are
    return {
        "a quarter: Taylor": channels,
        "a quarter: norm": replace(channels, importance=Norm()),
        "a quarter: every layer alike": replace(
            channels, importance=Norm(), of=OfChannels(), share=0.5
        ),
        "a quarter: Taylor, at once": replace(channels, ramp=Ramp(0.0, rounds=1)),
        "a quarter: Taylor, no training": replace(channels, training=Training(0)),
        "a quarter: norm, no training": replace(channels, importance=Norm(), training=Training(0)),
        "a quarter: scale (there is no batch norm), no training": replace(
            channels, importance=Scale(), training=Training(0)
        ),
        "a quarter: group lasso, then Taylor": chain(
            GroupLasso(penalty=0.3, training=Training(STEPS // 2)),
            replace(channels, training=Training(STEPS // 2)),
        ),
        "low rank, 0.3 of the two large layers: outputs": thin,
        "low rank, 0.3 of the two large layers: weights": replace(thin, directions=Weights()),
        "low rank, 0.3 of the two large layers: outputs, no training": replace(
            thin, training=Training(0)
        ),
        "low rank, 0.3 of the two large layers: weights, no training": replace(
            thin, directions=Weights(), training=Training(0)
        ),
        "low rank, 99 % of the energy: outputs, no training": LowRank(
            rank=Energy(0.99), directions=Outputs(), training=Training(0)
        ),
        "low rank, 99 % of the energy: weights, no training": LowRank(
            rank=Energy(0.99), directions=Weights(), training=Training(0)
        ),
    }


def main() -> None:
    torch.set_num_threads(1)
    rows, task = start("structure_digits", "digits-cpu", __doc__ or ""), digits().sealed()
    for seed in (0,) if rows.quick else (0, 1, 2):
        with seeded(seed):
            model = train(DigitsLeNet(), task, Training(1000), what="training the LeNet")
        full = Operations()(model, task).operations
        assert full is not None
        if not rows.done("uncompressed", seed):
            rows.add("uncompressed", "done", 1, "", seed)
            rows.add("uncompressed", "validation score", 100 * score(task, model), "%", seed)
        for name, technique in ways().items():
            if not rows.wanted(name) or rows.done(name, seed):
                continue
            with seeded(seed):
                thin = technique(model, task)
            rows.add(name, "validation score", 100 * score(task, thin), "%", seed)
            operations = Operations()(thin, task).operations
            assert operations is not None
            rows.add(name, "operations", operations / full, "of the uncompressed one's", seed)
            rows.add(name, "done", 1, "", seed)
    rows.close()


if __name__ == "__main__":
    main()
