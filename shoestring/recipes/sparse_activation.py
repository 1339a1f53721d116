"""Mixtures of experts that predict bytes: more numbers, hardly more milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from shoestring.core import Ledger, prove, score, seeded
from shoestring.kit import (
    AdamW,
    HashRouter,
    MixtureOfExperts,
    Training,
    expert_shares,
    resuming,
    save,
    train,
)
from shoestring.meters import alternate
from shoestring.models import CausalNetwork, experts, feed_forward
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import NextWord, review_bytes

WIDTH, HIDDEN, EXPERTS = 64, 128, 8
TRAINING = Training(600, AdamW(3e-3))
NETWORKS = {
    "dense": "dense, as many milliseconds",
    "experts": "8 experts, one for each byte",
    "small": "dense, as large as one expert",
    "middle": "dense, half as many bytes",
    "large": "dense, as many bytes",
    "two": "8 experts, two for each byte",
    "random": "8 experts, a random router that does not learn",
    "by byte": "8 experts, chosen by the byte itself",
}
"""The networks by name, with what tables call them."""


def network(name: str) -> nn.Module:
    """One of NETWORKS, untrained: five layers, of which the second and the fourth differ."""
    around = feed_forward(HIDDEN)
    inside = {
        "dense": feed_forward(2 * HIDDEN),
        "small": feed_forward(HIDDEN),
        "middle": feed_forward(EXPERTS // 2 * HIDDEN),
        "large": feed_forward(EXPERTS * HIDDEN),
        "two": experts(EXPERTS, HIDDEN, top_k=2),
        # Its losses would reach the vectors before a router that does not learn itself.
        "random": experts(EXPERTS, HIDDEN, balance=0.0, router_z=0.0),
        "by byte": experts(EXPERTS, HIDDEN, router=_by_byte()),
    }.get(name, experts(EXPERTS, HIDDEN))
    made = CausalNetwork(WIDTH, [around, inside, around, inside, around])
    if name == "random":
        for part, one in made.named_parameters():
            one.requires_grad_("router" not in part)
    return made


def _by_byte() -> Callable[[int, int], nn.Module]:
    """What makes the routers of a network: each expert gets as many bytes, drawn at random."""
    drawn: list[torch.Tensor] = []

    def made(_width: int, count: int) -> nn.Module:
        if not drawn:  # once for all layers
            drawn.append(torch.randperm(256) % count)
        return HashRouter(drawn[0], count)

    return made


@dataclass(frozen=True)
class Row:
    """A file of the recipe.

    `name`: without its suffix; of NETWORKS.
    `bytes`: its size.
    `validation`, `test`: bits per byte.
    `spread`: over how many experts the bytes spread, the mean of the mixtures; 0 without any.
    """

    name: str
    bytes: int
    validation: float
    test: float
    spread: float


def routed_bytes(
    task: NextWord,
    folder: Path,
    *,
    training: Training = TRAINING,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """A dense network, and a mixture of experts with as many numbers; files `large`, `experts`.

    `task`: `tasks.review_bytes()`.
    `say`: called with each file.
    """
    sealed, rows = task.sealed(), list[Row]()
    for name in ("large", "experts"):
        path = folder / f"{name}.shoe"
        with seeded(seed):
            model = train(network(name), sealed, training, what=f"training {NETWORKS[name]}")
        size = save(model, sealed, path)
        has_experts = any(isinstance(part, MixtureOfExperts) for part in model.modules())
        spreads = [one.spread for one in expert_shares(model, sealed)] if has_experts else [0.0]
        test = prove(path, task, ledger=ledger, seed=seed, note=f"routed_bytes: {name}")
        rows.append(Row(name, size, -score(sealed, model), -test, sum(spreads) / len(spreads)))
        say(rows[-1])
    return rows


def end_to_end(run: Run) -> None:
    """Two of the networks of `benchmarks/sparse_activation.py`, and their times.

    A quick run has a twentieth of the steps.
    """
    task, training = review_bytes(), TRAINING.scaled(0.05 if run.quick else 1)

    def say(row: Row) -> None:
        run.row(row.name, "file", row.bytes, "bytes")
        run.row(row.name, "validation", row.validation, "bits per byte")
        run.row(row.name, "test", row.test, "bits per byte")
        run.row(row.name, "experts in use", row.spread, "")
        run.say(f"  {run.time_left()}")

    with resuming(run.folder / "training"):
        rows = routed_bytes(
            task, run.folder, training=training, seed=run.seed, ledger=run.ledger, say=say
        )
    paths = [run.folder / f"{row.name}.shoe" for row in rows]
    timings = alternate(paths, task.sealed(), seconds=2.0 if run.quick else 10.0)
    for row, timing in zip(rows, timings, strict=True):
        run.row(row.name, "milliseconds, 1", timing.median, "ms", seeded=False, timed=True)


RECIPE = Recipe(
    name="routed_bytes",
    line="a network of 8 experts predicts bytes, and a file computes one of them for each",
    scarce="milliseconds",
    instead="bytes: the numbers of experts that an example does not use",
    data=("movie reviews",),
    minutes=3,
    quick_minutes=0.7,
    page="sparse-activation.md",
    run=end_to_end,
    published=(
        Published(
            "times as fast to train",
            7,
            "",
            "Fedus, Zoph & Shazeer 2021, abstract",
            "at most, against T5-Base and T5-Large with as many operations; larger data",
        ),
    ),
    results=Results(
        file="sparse_activation.review-bytes-cifar10-jpeg-cpu.jsonl",
        before=(Line("dense, as many bytes", "large"),),
        ours=(
            Line("8 experts, one for each byte", "experts"),
            Line("8 experts, two for each byte", "two"),
            Line("8 experts, chosen by the byte itself", "by byte"),
        ),
        baselines=(
            Line("dense, as many milliseconds", "dense"),
            Line("dense, half as many bytes", "middle"),
            Line("8 experts, a random router that does not learn", "random"),
        ),
        saved=Measure("milliseconds for 128 bytes", "milliseconds, 1", "ms", ".2f"),
        lost=Measure("test, bits per byte", "test", "", ".3f"),
        also=(
            Measure("validation, bits per byte", "validation", "", ".3f"),
            Measure("file, bytes", "file", "bytes", ",.0f"),
            Measure("experts in use", "experts in use", "", ".1f"),
        ),
        price=Measure("s of a core to train", "training", "s of a core", ".0f"),
    ),
)
