"""Omniglot: characters of an alphabet never seen are told apart from one picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from time import process_time

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.adapt import ByAttention, Episodes, ModelOutputs, Prototypes, ToPrototype
from shoestring.core import Technique, prove, score, seeded
from shoestring.kit import AdamW, Mixed, Supervised, Training, save, train
from shoestring.models import Conv4
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import Characters, omniglot_runs, omniglot_small

VALIDATION, HELD_OUT = "Greek", "Tagalog"
"""The alphabets that choices are made by, and that labels are counted on; neither is trained on."""
TRAINING = Training(600, AdamW(3e-3), precision=Mixed())
QUICK = Training(100, AdamW(3e-3), precision=Mixed())
_TURN, _SIZE, _SLANT, _SHIFT = 0.06, 0.15, 0.15, 0.08
"""Of `jittered`: shares of a whole turn, of the size, and of half of a side."""


def one_shot(
    background: Characters,
    validation: Characters,
    *,
    comparison: ToPrototype | ByAttention = ToPrototype(),
    training: Training = TRAINING,
    seed: int = 0,
) -> tuple[nn.Module, float]:
    """(a network that embeds pictures of characters, its share of right answers on validation).

    It learns by episodes of up to 20 characters of one alphabet with one picture each. Give it the
    characters that you have with `Prototypes(features=ModelOutputs())`, or `Matching` where it was
    trained by attention.

    `background`: characters to learn from, of several alphabets; quarter turns of them count as
        other alphabets.
    `validation`: of other alphabets, 20 characters or more.
    """
    more = quarter_turns(background)
    first = len(more.alphabets)
    task = Episodes(
        train=(more.pictures, more.labels),
        validation=(validation.pictures, validation.labels + first),
        comparison=comparison,
        groups=(*more.alphabets, *validation.alphabets),
        augment=jittered,
        name="omniglot episodes",
    )
    with seeded(seed):
        body = Conv4().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        train(body, task, training, what="training by episodes")
    return body, score(task, body)


def known_alphabets() -> Characters:
    """The characters that are trained on: six alphabets of the two small background sets."""
    found = omniglot_small()
    return found.of(*set(found.alphabets) - {VALIDATION, HELD_OUT})


def quarter_turns(characters: Characters) -> Characters:
    """Four times as many characters: each as it is, and turned by one, two and three quarters.

    Source: Vinyals et al. 2016, section 4.1.1.
    """
    count = len(characters.alphabets)
    turns = range(4)
    return Characters(
        pictures=torch.cat([characters.pictures.rot90(turn, (2, 3)) for turn in turns]),
        labels=torch.cat([characters.labels + count * turn for turn in turns]),
        alphabets=tuple(f"{name}, turn {turn}" for turn in turns for name in characters.alphabets),
    )


def jittered(pictures: Tensor) -> Tensor:
    """Pictures N×1×H×W, each turned, scaled, slanted and moved a little at random."""
    count = len(pictures)

    def drawn(most: float) -> Tensor:
        return most * (2 * torch.rand(count) - 1)

    angle, size = 2 * pi * drawn(_TURN / 2), 1 + drawn(_SIZE)
    maps = torch.stack(
        [
            torch.stack([size * angle.cos(), drawn(_SLANT) - angle.sin(), drawn(_SHIFT)], 1),
            torch.stack([angle.sin(), size * angle.cos(), drawn(_SHIFT)], 1),
        ],
        1,
    )
    grid = functional.affine_grid(maps, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False)


def runs_error(technique: Technique, body: nn.Module, runs: Sequence[Supervised]) -> float:
    """The test error over one-shot runs, 0 to 1, of a body that is adapted to each run."""
    scores = []
    for number, run in enumerate(runs):
        with seeded(number):
            scores.append(score(run, technique(body, run.sealed()), "test"))
    return 1 - sum(scores) / len(scores)


def few_pictures(characters: Characters, each: int, seed: int) -> Supervised:
    """`each` pictures of each character to learn from, drawn by the seed, and ten to test on.

    Nothing is left to validate on: that split is the training pictures.
    """
    order = torch.randperm(len(characters.labels), generator=torch.Generator().manual_seed(seed))
    by_class = [order[characters.labels[order] == one] for one in range(len(characters.alphabets))]
    given = torch.cat([rows[:each] for rows in by_class])
    asked = torch.cat([rows[-10:] for rows in by_class])
    train_on = characters.pictures[given], characters.labels[given]
    return Supervised(
        train=train_on,
        validation=train_on,
        test=(characters.pictures[asked], characters.labels[asked]),
        name=f"omniglot, {each} pictures a character",
        batch_size=32,
    )


def end_to_end(run: Run) -> None:
    """A body from six alphabets, then the 20 runs, of which the first becomes a file."""
    torch.set_num_threads(1)
    began = process_time()
    background, validation = known_alphabets(), omniglot_small().of(VALIDATION)
    body, right = one_shot(
        background, validation, training=QUICK if run.quick else TRAINING, seed=run.seed
    )
    minutes = (process_time() - began) / 60
    runs, technique = omniglot_runs(), Prototypes(features=ModelOutputs())
    subject = "prototypical"
    run.row(subject, "validation error", 100 * (1 - right), "%")
    run.row(subject, "test error", 100 * runs_error(technique, body, runs), "%")
    run.row(subject, "time", minutes, "minutes of a core", timed=True)
    path = run.folder / "run_01.shoe"
    save(technique(body, runs[0].sealed()), runs[0].sealed(), path)
    run.row(subject, "file", path.stat().st_size, "bytes")
    own = prove(path, runs[0], ledger=run.ledger, seed=run.seed, note="the first run")
    run.row(subject, "test error of the file of run 1", 100 * (1 - own), "%")


RECIPE = Recipe(
    name="one_shot",
    line="Omniglot: 20 characters of a new alphabet from one picture of each, by prototypes",
    scarce="labels of the classes that you have",
    instead="labels of other classes, once",
    data=("Omniglot",),
    minutes=3,
    quick_minutes=0.7,
    page="adapt.md",
    run=end_to_end,
    extras=("train", "images"),
    published=(
        Published(
            "test error",
            4.5,
            "%",
            "Lake, Salakhutdinov & Tenenbaum 2019, table 1 (from memory)",
            "people",
        ),
        Published(
            "test error",
            3.3,
            "%",
            "Lake, Salakhutdinov & Tenenbaum 2019, table 1 (from memory)",
            "Bayesian program learning, 30 alphabets",
        ),
        Published(
            "test error",
            13.7,
            "%",
            "Lake, Salakhutdinov & Tenenbaum 2019, table 1 (from memory)",
            "prototypical network, 30 alphabets",
        ),
    ),
    results=Results(
        file="one_shot.omniglot-cpu.jsonl",
        before=(
            Line(
                "Tagalog, all weights of a classifier trained until as good", "Tagalog, all weights"
            ),
        ),
        ours=(
            Line("Tagalog, prototypes of one picture each", "Tagalog, prototypes"),
            Line("the 20 runs, prototypes", "prototypical"),
            Line("the 20 runs, attention", "matching"),
        ),
        baselines=(
            Line("the 20 runs, modified Hausdorff distance", "modified Hausdorff"),
            Line("the 20 runs, nearest in pixels", "nearest in pixels"),
            Line("the 20 runs, prototypes of a classifier's features", "classifier, prototypes"),
            Line("the 20 runs, new head on a classifier", "classifier, new head"),
            Line("the 20 runs, all weights of a classifier", "classifier, all weights"),
            Line("the 20 runs, a new network", "new network"),
        ),
        saved=Measure("labels", "labels", "labels", ",.0f"),
        price=Measure(
            "minutes of a core", "time", "minutes of a core", ".1f", False, "prototypical"
        ),
    ),
)
