"""A small dual: images of digits and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, array, label_task
from shoestring.dual import (
    Classes,
    DualTask,
    Frequencies,
    Gaussians,
    Marginals,
    Pool,
)
from shoestring.kit import Supervised
from shoestring.tasks import digits


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
    from getting import few_labels  # which imports what is made here

    few = few_labels(labels, seed)
    selling = label_task(few)
    (images,) = selling.inputs(selling.pool())
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
