"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8×8."""

from __future__ import annotations

import torch

from shoestring.artifact.errors import missing
from shoestring.kit import Supervised


def digits(*, batch_size: int = 64) -> Supervised:
    """Images N×1×8×8 in 0..1, and labels 0..9.

    There are 997 images for training, 400 for validation and 400 for testing, always the same ones.

    `batch_size`: images of a training batch, 1 or more.
    Source: E. Alpaydin & C. Kaynak, UCI 1998; read from scikit-learn, which the extra `train`
    installs.
    Raises ModuleNotFoundError where scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise missing(
            "sklearn", extra="train", what="the digits are read from scikit-learn"
        ) from None

    pixels, targets = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8) / 16
    labels = torch.from_numpy(targets).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = [(images[i], labels[i]) for i in order.split([len(labels) - 800, 400, 400])]
    return Supervised(
        train=parts[0], validation=parts[1], test=parts[2], name="digits", batch_size=batch_size
    )
