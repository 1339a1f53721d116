"""Networks and tasks to plan for.

`shoestring compress benchmarks/planner_jobs.py:lenet5 --budget "size<=40KB, drop<=0.5%"`.
Each function returns (model, task): a trained network of results/files with the task that it was
trained on, as training saw it. The data are needed, as in benchmarks/baselines.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from shoestring import tasks
from shoestring.core import seeded
from shoestring.kit import Supervised, Training, restore, train, write
from shoestring.models import BiLSTMTagger, LeNet5, MobileNet, ResNet20, TabularNet, TextEncoder
from shoestring.recipes.baselines import SETTINGS, baseline, shown

RESULTS = Path(__file__).parent / "results"
FILES = RESULTS / "files"
Job = tuple[nn.Module, Supervised]


def lenet5() -> Job:
    """LeNet-5 on MNIST: the seed that is median on validation, which is 2."""
    return _trained("lenet5", LeNet5, tasks.mnist())


def lenet5_seed0() -> Job:
    """LeNet-5 on MNIST, trained with seed 0."""
    return _lenet5(0)


def lenet5_seed1() -> Job:
    """LeNet-5 on MNIST, trained with seed 1."""
    return _lenet5(1)


def tagger() -> Job:
    """The parts of speech of English-EWT, by a recurrent network."""
    return _trained("tagger", lambda: BiLSTMTagger(*tasks.ewt_vocabulary().sizes), tasks.ewt())


def adult() -> Job:
    """Adult's table, by layers of 128 and 64."""
    columns = tasks.adult_columns()
    return _trained(
        "tabular", lambda: TabularNet(columns.sizes, columns.mean, columns.deviation), tasks.adult()
    )


def resnet20() -> Job:
    """ResNet-20 on CIFAR-10."""
    return _trained("resnet20", ResNet20, tasks.cifar10())


def mobilenet() -> Job:
    """MobileNet on CIFAR-10."""
    return _trained("mobilenet", MobileNet, tasks.cifar10())


def text_encoder() -> Job:
    """The text encoder on SST-2."""
    return _trained("text_encoder", lambda: TextEncoder(len(tasks.sst2_vocabulary())), tasks.sst2())


def stranger() -> Job:
    """A stranger's network, of which nothing here was made to fit.

    `Stranger`, trained for two passes over MNIST.
    The first call takes a minute on one core, and leaves it in results/unfinished.
    """
    task, path = tasks.mnist(), RESULTS / "unfinished" / "stranger.shoe"
    with seeded(0):
        model = _laid_out(Stranger())
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            learnt = replace(task, autocast=torch.bfloat16).sealed()
            write(
                train(
                    model.train(), learnt, Training(2 * -(-len(task.train[1]) // task.batch_size))
                ).eval(),
                task,
                path,
            )
    return _laid_out(restore(path, model)).eval(), task


class Stranger(nn.Module):
    """Two convolutions (32, 64) with batch norm and biases, then 576 → 128 → 10, 94,154 parameters.

    Images N×1×28×28 in 0..1 to logits N×10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(4),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(576, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        return self.classifier(self.features(images))


def _trained(name: str, network: Callable[[], nn.Module], task: Supervised) -> Job:
    """The committed network, and its task as training saw it."""
    with seeded(0):
        model = restore(FILES / f"baseline_{name}.shoe", network())
    return _laid_out(model), shown(task, SETTINGS[type(model)])


def _lenet5(seed: int) -> Job:
    """LeNet-5 of a seed: the committed file, else one that the recipe makes in two minutes and
    leaves in results/unfinished.
    """
    task = tasks.mnist()
    with seeded(seed):
        untrained = LeNet5()
    committed = FILES / f"baseline_lenet5_seed{seed}.shoe"
    path = committed if committed.exists() else RESULTS / "unfinished" / committed.name
    path.parent.mkdir(parents=True, exist_ok=True)
    model = baseline(untrained, task, path, seed=seed)
    return _laid_out(model), shown(task, SETTINGS[LeNet5])


def _laid_out(model: nn.Module) -> nn.Module:
    """In the memory format that convolutions are fastest in, for use."""
    return model.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
