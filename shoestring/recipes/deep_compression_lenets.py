"""Deep Compression (Han, Mao & Dally 2016) on the LeNets: prune, share weights, code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from shoestring.core import Ledger, Task, apply, prove, seeded
from shoestring.core import score as score_of
from shoestring.kit import (
    AdamW,
    Ramp,
    Supervised,
    Training,
    clone,
    compressible,
    export,
    moved,
    parameter_bytes,
    parameters_of,
    resuming,
    save,
    train,
)
from shoestring.models import LeNet5, LeNet300
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import mnist

STEPS_IN_A_PASS = 430  # batches of 128 over MNIST's 55,000 training images


@dataclass(frozen=True)
class Stage:
    """A row of the table.

    `name`: of the stage.
    `bytes`: of the stage's file, or counted where the stage has no file of its own.
    `validation`, `test`: the scores of the file, 0 to 1.
    """

    name: str
    bytes: int
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings for one network; the defaults are for LeNet-300-100.

    `density`: the share of weights that is kept, 0 to 1.
    `levels`: how many values the weights of a layer share.
    `training_passes`, `pruning_passes`, `sharing_passes`: over the training images.
    `learning_rate`: of pruning.
    """

    density: float = 0.085
    levels: int = 16
    training_passes: int = 20
    pruning_passes: int = 30
    sharing_passes: int = 4
    learning_rate: float = 2e-3


SETTINGS: dict[type[nn.Module], Settings] = {
    LeNet300: Settings(),
    LeNet5: Settings(density=0.034, training_passes=15, pruning_passes=12, sharing_passes=3),
}


def deep_compression(
    network: type[nn.Module],
    task: Supervised,
    folder: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[Stage], None] = lambda stage: None,
) -> list[Stage]:
    """The stages of the published table on MNIST; the files are left in `folder`.

    The network is trained on the images as they are. While it recovers, images are shifted by up to
    a pixel and the uncompressed network teaches it. (Without the shift, the errors before and after
    are equal: the small network overfits too.)

    Published (Table 1; weights only): LeNet-300-100 1,070 → 27 KB, 40×, error 1.64 → 1.58 %;
    LeNet-5 1,720 → 44 KB, 39×, 0.80 → 0.74 %. Ours (whole files, three seeds) are in
    `docs/deep-compression.md`, made by `python benchmarks/deep_compression.py`. On one core a seed
    takes about 3 minutes for LeNet-300-100 and 10 for LeNet-5.

    `network`: LeNet300 or LeNet5.
    `task`: `tasks.mnist()`.
    `settings`: None for those of `SETTINGS`.
    `ledger`: gets the rows of all steps.
    `say`: called with each stage.
    """
    chosen = settings or SETTINGS[network]
    sealed = task.sealed()
    model = uncompressed(network, task, chosen, seed=seed)
    exported = export(model, sealed)
    stages: list[Stage] = []

    def stage(name: str, now: nn.Module, counted: int | None = None) -> None:
        path = folder / f"{name}.shoe"
        size = save(now, sealed, path, exported=exported)
        note = f"deep_compression {network.__name__}: {name}"
        test = prove(path, task, ledger=ledger, seed=seed, note=note)
        stages.append(Stage(name, counted or size, score_of(sealed, now), test))
        say(stages[-1])

    stage("uncompressed", model, parameter_bytes(model))
    prune, share = steps_of(chosen)
    taught = shifted(task, model)
    pruned = apply(prune, model, taught, ledger=ledger, seed=seed)
    stage("pruned", pruned)
    shared = apply(share, pruned, taught, ledger=ledger, seed=seed)
    stage("shared", shared, layout_2015(shared))
    stage("coded", shared)
    return stages


def uncompressed(
    network: type[nn.Module], task: Supervised, settings: Settings, *, seed: int
) -> nn.Module:
    """The network that is compressed, trained on the images as they are."""
    with seeded(seed):
        training = Training(STEPS_IN_A_PASS * settings.training_passes)
        return train(network(), task.sealed(), training, what="training the network")


def shifted(task: Supervised, model: nn.Module) -> Task:
    """What the network recovers with: images shifted by up to a pixel, taught by `model`."""
    return replace(task, augment=moved).sealed().taught_by(clone(model).eval())


def steps_of(settings: Settings) -> tuple[Magnitude, WeightSharing]:
    """The two techniques, in order: pruning and weight sharing."""
    pruning = Training(STEPS_IN_A_PASS * settings.pruning_passes, AdamW(settings.learning_rate))
    sharing = Training(STEPS_IN_A_PASS * settings.sharing_passes, AdamW(1e-4))
    return (
        Magnitude(density=settings.density, training=pruning, ramp=Ramp(rounds=40)),
        WeightSharing(levels=settings.levels, vector_levels=16, training=sharing),
    )


def layout_2015(model: nn.Module) -> int:
    """The bytes of the paper's layout before Huffman coding, counted.

    The layout has indices, codebooks, biases, and gaps between weights in 5 bits; a gap of more
    than 31 takes a filler.
    Source: Han, Mao & Dally 2016, section 2 and Figure 2.
    """
    bits = 0
    matrices = {weight.name for weight in compressible(model, "layout_2015")}
    for weight in parameters_of(model):
        value = weight.value().flatten()
        state = weight.state
        levels = (
            int(state.codebook.numel()) if state is not None and state.codebook is not None else 0
        )
        each = max(1, math.ceil(math.log2(levels))) if levels else 32
        if weight.name in matrices:
            indices = value.nonzero().flatten()
            gaps = indices.diff(prepend=indices.new_tensor([-1])) - 1
            stored = len(indices) + int((gaps // 32).sum())
            bits += stored * (5 + each)
        else:
            bits += value.numel() * each
        bits += 32 * levels
    return -(-bits // 8)


def end_to_end(run: Run) -> None:
    """The two networks of `benchmarks/deep_compression.py`.

    A quick run has the first network, with fewer passes and images.
    """
    task = few(mnist(), 20_000, 5000) if run.quick else mnist()
    runs: dict[str, tuple[type[nn.Module], Settings]] = {
        "lenet300": (LeNet300, SETTINGS[LeNet300]),
        "lenet5": (LeNet5, SETTINGS[LeNet5]),
    }
    if run.quick:
        runs = {
            "lenet300": (LeNet300, Settings(training_passes=2, pruning_passes=2, sharing_passes=1))
        }
    for name, (network, settings) in runs.items():
        folder = run.folder / name
        folder.mkdir(exist_ok=True)

        def write_rows(stage: Stage, name: str = name) -> None:
            run.row(name, f"{stage.name} bytes", stage.bytes, "bytes")
            run.row(name, f"{stage.name} validation error", 100 * (1 - stage.validation), "%")
            run.row(name, f"{stage.name} test error", 100 * (1 - stage.test), "%")
            run.say(f"  {run.time_left()}")

        with resuming(folder / "training"):
            stages = deep_compression(
                network,
                task,
                folder,
                settings=settings,
                seed=run.seed,
                ledger=run.ledger,
                say=write_rows,
            )
        run.row(name, "ratio", stages[0].bytes / stages[-1].bytes, "times")


RECIPE = Recipe(
    name="deep_compression",
    line="the LeNets on MNIST, the way of 2015: prune, share weights, code; stage by stage",
    scarce="bytes",
    instead="about as much training again, taught by the uncompressed network",
    data=("MNIST",),
    minutes=13,
    quick_minutes=0.5,
    page="deep-compression.md",
    run=end_to_end,
    published=(
        Published(
            "file, bytes",
            44000,
            "bytes",
            "Han, Mao & Dally 2016, Table 1",
            "LeNet-5, weights only; 39×, from 0.80 %",
        ),
        Published(
            "test error",
            0.74,
            "%",
            "Han, Mao & Dally 2016, Table 1",
            "LeNet-5, weights only; 39×, from 0.80 %",
        ),
        Published(
            "file, bytes",
            27000,
            "bytes",
            "Han, Mao & Dally 2016, Table 1",
            "LeNet-300-100, weights only; 40×, from 1.64 %",
        ),
        Published(
            "test error",
            1.58,
            "%",
            "Han, Mao & Dally 2016, Table 1",
            "LeNet-300-100, weights only; 40×, from 1.64 %",
        ),
    ),
    advantage="images shifted by up to a pixel, and the uncompressed network as a teacher",
    results=Results(
        file="deep_compression.mnist-cpu.jsonl",
        before=(
            Line("LeNet-5", "lenet5", metrics=("uncompressed bytes", "uncompressed test error")),
            Line(
                "LeNet-300-100",
                "lenet300",
                metrics=("uncompressed bytes", "uncompressed test error"),
            ),
        ),
        ours=(
            Line("LeNet-5", "lenet5"),
            Line("LeNet-300-100", "lenet300"),
        ),
        saved=Measure("file, bytes", "coded bytes", "bytes", ",.0f"),
        lost=Measure("test error", "coded test error", "%", ".2f"),
    ),
)
