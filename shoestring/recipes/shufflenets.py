"""Networks of cheap convolutions: a ShuffleNet in the place of a network like AlexNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from shoestring.core import Ledger, Task, apply, prove, score, seeded
from shoestring.kit import Supervised, save
from shoestring.meters import Operations, Ratio, alternate, ratio
from shoestring.models import AlexNet, ResNet20, ShuffleNet, ShuffleNetV2
from shoestring.quantize import PostTraining
from shoestring.recipes.baselines import Settings, baseline, pictures
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, few
from shoestring.tasks import cifar10

SETTINGS: dict[type[nn.Module], Settings] = {
    AlexNet: Settings(passes=10, augment=pictures, learning_rate=5e-4),
    ResNet20: Settings(passes=10, augment=pictures),
    # In single precision: in bfloat16, depthwise convolutions with a stride take torch fifteen
    # times as long.
    ShuffleNet: Settings(passes=10, augment=pictures, learning_rate=4e-3, autocast=None),
    ShuffleNetV2: Settings(passes=10, augment=pictures, learning_rate=4e-3, autocast=None),
}


@dataclass(frozen=True, kw_only=True)
class CheapNetwork:
    """The files of a network, in float32 and in int8.

    `operations`: of the float32 file for one image; a multiplication and an addition are two.
    `bytes`, `validation`, `test`: of the two files: their sizes, and their scores, 0 to 1.
    """

    operations: float
    bytes: tuple[int, int]
    validation: tuple[float, float]
    test: tuple[float, float]


def cheap_convolutions(
    network: nn.Module,
    task: Supervised,
    path: Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[CheapNetwork], None] = lambda made: None,
) -> CheapNetwork:
    """A network trained from the start: its file at `path`, and that in int8 at `int8(path)`.

    PostTraining quantises all layers. After a kill, the same call with a network of the same seed
    goes on.

    Published: ShuffleNet 0.5× takes 15.2 ms where AlexNet takes 184 (one thread of a phone, images
    of 224×224), at errors of 43.2 % and 42.8 % on ImageNet (Zhang et al. 2018, table 8). Ours, of
    small images that went through JPEG, are in `docs/cheap-operations.md`, made by
    `python benchmarks/cheap_convolutions.py`.

    `network`: untrained, such as AlexNet(), ShuffleNet(64, 2) or ShuffleNetV2(32, features=256).
    `task`: `tasks.cifar10()`.
    `settings`: of the training; None for those of `SETTINGS`.
    `say`: called with the result.
    """
    chosen = settings or SETTINGS[type(network)]
    sealed = task.sealed()
    model = baseline(network, task, path, settings=chosen, seed=seed)
    quantised = apply(PostTraining(), model, sealed, ledger=ledger, seed=seed)
    if not int8(path).exists():
        save(quantised, sealed, int8(path))
    operations = Operations()(path, sealed).operations
    assert operations is not None
    note = f"cheap convolutions {type(network).__name__}"
    result = CheapNetwork(
        operations=operations,
        bytes=(path.stat().st_size, int8(path).stat().st_size),
        validation=(score(sealed, model), score(sealed, quantised)),
        test=(
            prove(path, task, ledger=ledger, seed=seed, note=note),
            prove(int8(path), task, ledger=ledger, seed=seed, note=f"{note}, int8"),
        ),
    )
    say(result)
    return result


def int8(path: Path) -> Path:
    """Where the int8 file stands beside the float32 file."""
    return path.with_name(f"{path.stem}_int8{path.suffix}")


def times(paths: Sequence[Path], task: Task, batch: int, seconds: float = 20.0) -> list[Ratio]:
    """How many times as fast as the first file each is, in alternation, one thread."""
    first, *others = alternate(paths, task, batch=batch, seconds=seconds)
    return [ratio(first, other) for other in (first, *others)]


def end_to_end(run: Run) -> None:
    """A network like AlexNet and two ShuffleNets; a quick run has narrow ones and 3,000 images."""
    task = cifar10()
    networks: dict[str, Callable[[], nn.Module]] = {
        "AlexNet": AlexNet,
        "ShuffleNet": lambda: ShuffleNet(64, 2),
        "ShuffleNet V2": lambda: ShuffleNetV2(32, features=256),
    }
    if run.quick:
        task = few(task, 3000, 1000)
        networks = {
            "AlexNet": lambda: AlexNet(32, 1024),
            "ShuffleNet V2": lambda: ShuffleNetV2(16, features=64, repeats=(2, 3, 2)),
        }
    paths: list[Path] = []
    for name, make in networks.items():
        with seeded(run.seed):
            untrained = make()
        settings = SETTINGS[type(untrained)]
        settings = replace(settings, passes=6) if run.quick else settings
        path = run.folder / f"{name.lower().replace(' ', '_')}.shoe"
        made = cheap_convolutions(
            untrained, task, path, settings=settings, seed=run.seed, ledger=run.ledger
        )
        paths += [path, int8(path)]
        for index, kind in enumerate(("", ", int8")):
            subject = name + kind
            run.scores(subject, made.bytes[index], made.validation[index], made.test[index])
            run.row(subject, "operations", made.operations, "of one image", seeded=False)
    for batch in (1, 32):
        timed = times(paths, task.sealed(), batch, 5.0 if run.quick else 20.0)
        for path, one in zip(paths, timed, strict=True):
            metric = f"times as fast at batch {batch}"
            run.row(path.stem, metric, one.median, "as AlexNet, float32", timed=True)


RECIPE = Recipe(
    name="cheap_convolutions",
    line="a ShuffleNet in the place of a network like AlexNet, and both in int8",
    scarce="milliseconds, operations and bytes",
    instead="a new network, trained from the start",
    data=("CIFAR-10",),
    minutes=60,
    quick_minutes=1.5,
    page="cheap-operations.md",
    run=end_to_end,
    published=(
        Published(
            "time, times less",
            13.0,
            "times",
            "Zhang et al. 2018 (ShuffleNet), table 8",
            "ShuffleNet 0.5× and AlexNet, ImageNet at 224×224, one thread of a phone",
        ),
        Published(
            "operations, times fewer",
            18.0,
            "times",
            "Zhang et al. 2018 (ShuffleNet), table 8",
            "ShuffleNet 0.5× and AlexNet, ImageNet at 224×224",
        ),
    ),
    results=Results(
        file="cheap_convolutions.cifar10-jpeg-cpu.jsonl",
        before=(Line("AlexNet", "alexnet, 10 passes"),),
        ours=(
            Line("ShuffleNet V2, width 32", "shufflenet_v2_32, 10 passes"),
            Line("the same, then 8 bits", "shufflenet_v2_32, 10 passes, int8"),
        ),
        baselines=(
            Line("ResNet-20, width 8", "resnet20_8, 10 passes"),
            Line("AlexNet, 8 bits", "alexnet, 10 passes, int8"),
        ),
        saved=Measure(
            "time at batch 1", "processor time at batch 1, median", "of AlexNet's", ".4f"
        ),
        lost=Measure("test error", "test error", "%", ".2f"),
        also=(
            Measure(
                "time at batch 32", "processor time at batch 32, median", "of AlexNet's", ".4f"
            ),
            Measure("operations, of one image", "operations", "", ",.0f"),
            Measure("file, bytes", "file", "bytes", ",.0f"),
        ),
    ),
)
