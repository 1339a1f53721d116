"""Small duals: images of digits and their labels, and words that are written in another alphabet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from getting import few_labels
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Task, Vary, array, label_task, seeded
from shoestring.dual import (
    Classes,
    DualTask,
    Frequencies,
    Gaussians,
    Marginals,
    Pool,
    Sequences,
    TwoWay,
)
from shoestring.kit import Supervised
from shoestring.kit.sequences.decoding import Alphabet, greedy
from shoestring.models import Translator
from shoestring.tasks import digits

ALPHABET = Alphabet(start=1, end=2, most=6)
LETTERS, FIRST, LENGTH = 4, 3, 3


class Portraits(nn.Module):
    """What a digit looks like: a mean and the log of a deviation of each pixel, for each class."""

    def __init__(self, classes: int = 10, shape: tuple[int, ...] = (1, 8, 8)) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full((classes, *shape), 0.3))
        self.logarithm = nn.Parameter(torch.full((classes, *shape), -1.5))

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean[labels], self.logarithm[labels]


@dataclass(frozen=True, eq=False)
class Portraying(Task):
    """How likely images are by their class: the mean log-density of a pixel, in nats."""

    of: Supervised
    direction: Gaussians
    name: str = "portraits"

    def batches(self, split: str) -> Iterator[Any]:
        images, labels = getattr(self.of, split)
        return iter([(labels, images)])

    def loss(self, model: Any, batch: Any) -> Tensor:
        return self.direction.loss(model, *batch)

    def score(self, predict: Any, split: str) -> float:
        images, labels = getattr(self.of, split)

        def part(given: Tensor) -> tuple[Tensor, Tensor]:
            mean, logarithm = predict(given)
            return torch.as_tensor(array(mean)), torch.as_tensor(array(logarithm))

        return float((self.direction.log_likelihood(part, labels, images) / 64).mean())

    def example(self) -> Any:
        return (torch.tensor([3, 4]),), {}


def _image_and_label(batch: Any) -> tuple[Tensor, Tensor]:
    (images,), labels, *_ = batch
    return images, labels


@cache
def _mixture() -> Any:
    """How likely an image is by itself: a mixture of one normal distribution for each of 20."""
    from sklearn.mixture import GaussianMixture

    images = digits().train[0]
    assert isinstance(images, Tensor)
    return GaussianMixture(20, covariance_type="diag", reg_covar=0.01, random_state=0).fit(
        images.flatten(1).numpy()
    )


def likely_images(images: Tensor) -> Tensor:
    """The log-density of images by the mixture, N."""
    return torch.from_numpy(_mixture().score_samples(images.flatten(1).numpy())).float()


def pictures_and_labels(labels: int = 200, seed: int = 0) -> DualTask:
    """Digits: so many with a label, the rest without, and the labels alone."""
    few = few_labels(labels, seed)
    selling = label_task(few)
    (images,) = (
        selling.inputs(selling.pool())
        if isinstance(selling.inputs(selling.pool()), tuple)
        else (selling.inputs(selling.pool()),)
    )
    backward = Gaussians(part="portray")
    return DualTask(
        ahead=few,
        back=Portraying(few, backward),
        forward=Classes(part="read"),
        backward=backward,
        marginals=Marginals(source=likely_images, target=Frequencies((1.0,) * 10)),
        sources=Pool(images, 64),
        targets=Pool(torch.arange(10).repeat(20), 64),
        pair=_image_and_label,
        shares=(1, 0),
        name="digits both ways",
    )


class Readers(nn.ModuleDict):
    """A small network that reads digits, and portraits of them."""

    def __init__(self) -> None:
        super().__init__(
            {
                "read": nn.Sequential(
                    nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)
                ),
                "portray": Portraits(),
            }
        )


def spelled(letters: Tensor) -> Tensor:
    """Words in the other alphabet, from the last letter to the first."""
    return (LETTERS - 1 - (letters - FIRST) + FIRST).flip(1)


def with_end(letters: Tensor) -> Tensor:
    """Words N×T with their end."""
    return functional.pad(letters, (0, 1), value=ALPHABET.end)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spelling(Task):
    """The share of words that are spelled right.

    `pairs`: of training; `seed`: of the draw; `turned`: whether the other way round.
    """

    pairs: int = 8
    seed: int = 0
    turned: Any = None
    name: str = "spelling"

    def words(self, split: str) -> tuple[Tensor, Tensor]:
        every = torch.cartesian_prod(*[torch.arange(FIRST, FIRST + LETTERS)] * LENGTH)
        order = torch.randperm(len(every), generator=torch.Generator().manual_seed(self.seed))
        chosen = order[: self.pairs] if split == "train" else order[self.pairs :]
        letters = every[chosen]
        both = with_end(letters), with_end(spelled(letters))
        return both if self.turned is None else both[::-1]

    def batches(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        source, target = self.words(split)
        for rows in torch.randperm(len(source)).split(16):
            yield source[rows], target[rows]

    def loss(self, model: Any, batch: Any) -> Tensor:
        return directions()[0].loss(model, *batch)

    def score(self, predict: Any, split: str) -> float:
        source, target = self.words(split)
        written = greedy(predict, (source,), ALPHABET)
        width = max(written.shape[1], target.shape[1])
        padded = [functional.pad(one, (0, width - one.shape[1])) for one in (written, target)]
        return float((padded[0] == padded[1]).all(1).double().mean())

    def example(self) -> dict[str, Any]:
        model = Translator(FIRST + LETTERS, width=16, layers=1, heads=2, hidden=16, length=8).eval()
        source = self.words("train")[0][:2]
        with torch.no_grad():
            state = model.encode(source)
        axes: dict[str, dict[int, Any]] = {
            "memory": {0: "N", 2: "S"},
            "is_word": {0: "N", 1: "S"},
            "written": {0: "N", 2: "T"},
            "place": {0: "N"},
        }
        return {
            "encode": ((Vary(source, {0: "N", 1: "S"}),), {}),
            "step": (
                (torch.full((2,), ALPHABET.start),),
                {name: Vary(value, axes[name]) for name, value in state.items()},
            ),
        }


def directions() -> tuple[Sequences, Sequences]:
    """There and back."""
    return (
        Sequences(part="ahead", alphabet=ALPHABET, smoothing=0.0),
        Sequences(
            part="back",
            alphabet=ALPHABET,
            encode="encode_back",
            step="step_back",
            smoothing=0.0,
        ),
    )


def flat(examples: Tensor) -> Tensor:
    """How likely a word is by itself: all words of a length are alike."""
    return -(examples != 0).sum(1).float()


def spelling(pairs: int = 8, seed: int = 0) -> DualTask:
    """Words in two alphabets: some pairs, and all words of each alphabet alone."""
    ahead = Spelling(pairs=pairs, seed=seed)
    back = replace(ahead, turned=True)
    forward, backward = directions()
    every = [torch.cat([ahead.words(split)[side] for split in ("train", "validation")]) for side in (0, 1)]
    return DualTask(
        ahead=ahead,
        back=back,
        forward=forward,
        backward=backward,
        marginals=Marginals(source=flat, target=flat),
        sources=Pool(every[0], 16),
        targets=Pool(every[1], 16),
        name="spelling both ways",
    )  # fmt: skip


def spellers(seed: int = 0) -> TwoWay:
    """Two small translators, untrained."""
    with seeded(seed):
        return TwoWay(*[
            Translator(
                FIRST + LETTERS, width=16, layers=1, heads=2, hidden=16, length=8, dropout=0.0
            )
            for _ in range(2)
        ])  # fmt: skip
