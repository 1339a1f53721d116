"""Less time for an image: a trained ResNet-20 whose convolutions become cheaper ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from shoestring.core import Ledger, Technique
from shoestring.kit import AdamW, Supervised, Training
from shoestring.meters import Operations, alternate, ratio
from shoestring.prune import CheapConvolutions
from shoestring.recipes.channels import channels_resnet, trained_resnet
from shoestring.recipes.record import Line, Measure, Published, Recipe, Results
from shoestring.recipes.running import Run, SmallerFile


def converted_resnet(
    model: nn.Module,
    task: Supervised,
    path: Path,
    *,
    technique: Technique | None = None,
    passes: int = 3,
    share: float = 0.5,
    learning_rate: float = 2e-3,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[SmallerFile], None] = lambda file: None,
) -> SmallerFile:
    """A trained network with cheaper convolutions; its file is written to `path`.

    Each convolution becomes depthwise separable, grouped, spatially separable or of low rank, or
    stays as it is; then the network is trained with the original as teacher, on images that are
    shifted and mirrored, in bfloat16. After a kill, the same call goes on.

    Published: about twice as fast for VGG-16 on ImageNet, without training (Guo et al. 2018,
    abstract). Ours, of a network with a four-hundredth of its operations and of images that went
    through JPEG, are in `docs/structure.md`, made by `python benchmarks/convert.py`.

    `model`: a trained convolutional network, such as `baseline` makes.
    `task`: `tasks.cifar10()`.
    `technique`: in place of CheapConvolutions, for comparisons; None for CheapConvolutions.
    `passes`: over the training images.
    `share`: of the operations of the convolutions, above 0 and at most 1.
    `learning_rate`: of the training.
    `say`: called with the result.
    """
    steps = passes * -(-len(task.train[1]) // task.batch_size)
    training = Training(steps, AdamW(learning_rate))
    return channels_resnet(
        model,
        task,
        path,
        technique=technique or CheapConvolutions(share=share, training=training),
        seed=seed,
        ledger=ledger,
        say=say,
    )


def end_to_end(run: Run) -> None:
    """ResNet-20 trained, then with cheaper convolutions; both files are timed in alternation."""
    model, task, before = trained_resnet(run)
    after = run.folder / "converted.shoe"
    full = Operations()(before, task.sealed()).operations
    assert full is not None

    def say(file: SmallerFile) -> None:
        run.row("converted", "validation score", 100 * file.validation, "%")
        run.row("converted", "test score", 100 * file.test, "%")
        run.row("converted", "file", file.bytes, "bytes")
        run.row("converted", "operations", file.operations / full, "of the baseline's")

    converted_resnet(
        model,
        task,
        after,
        passes=2 if run.quick else 3,
        seed=run.seed,
        ledger=run.ledger,
        say=say,
    )
    for batch in (1, 32):
        first, last = alternate([before, after], task.sealed(), batch=batch)
        run.row(
            "converted",
            f"latency at batch {batch}, median",
            ratio(last, first).median,
            "of the baseline's",
            timed=True,
        )


RECIPE = Recipe(
    name="converted_resnet",
    line="a trained ResNet-20 whose convolutions become depthwise separable or spatially separable",
    scarce="operations and milliseconds",
    instead="three passes of training, taught by the network as it was",
    data=("CIFAR-10",),
    minutes=35,
    quick_minutes=1.2,
    page="structure.md",
    run=end_to_end,
    published=(
        Published(
            "speed, about", 2, "times", "Guo et al. 2018, abstract", "VGG-16, ImageNet, untrained"
        ),
    ),
    results=Results(
        file="convert.cifar10-jpeg-crepe-cpu.jsonl",
        before=(Line("ResNet-20, baseline", "resnet20, baseline"),),
        ours=(
            Line("ResNet-20, CheapConvolutions", "resnet20, CheapConvolutions"),
            Line("the same, then 8 bits", "resnet20, CheapConvolutions + int8"),
            Line("twelve passes in place of three", "resnet20, 12 passes, CheapConvolutions"),
        ),
        baselines=(
            Line("ResNet-20, Channels", "resnet20, Channels"),
            Line("ResNet-20, LowRank", "resnet20, LowRank"),
            Line("the same layers, random weights", "resnet20, CheapConvolutions, random weights"),
            Line("every layer depthwise separable", "resnet20, CheapConvolutions, one kind"),
        ),
        peers=(),
        saved=Measure("time at batch 1", "latency at batch 1, median", "of the baseline's", ".2f"),
        lost=Measure("test score", "test score", "%", ".2f", higher=True),
        also=(
            Measure("file, bytes", "file", "bytes", ",.0f"),
            Measure("operations", "operations", "of the baseline's", ".3f"),
        ),
        price=Measure("minutes of a core", "minutes of a core", "minutes of a core", ".1f"),
    ),
)
