"""A small dual: images of digits and their labels."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import label_task
from shoestring.dual import DualTask
from shoestring.models import Portraits
from shoestring.recipes.labels_both_ways import pictures_both_ways
from shoestring.tasks import digits


@cache
def _mixture() -> Any:
    """How likely an image is by itself: a mixture of 20 normal distributions."""
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
    return pictures_both_ways(few, images, source=likely_images)


class Readers(nn.ModuleDict):
    """A small network that reads digits, and portraits of them."""

    def __init__(self) -> None:
        super().__init__(
            {
                "read": nn.Sequential(
                    nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)
                ),
                "portray": Portraits(10, (1, 8, 8)),
            }
        )
