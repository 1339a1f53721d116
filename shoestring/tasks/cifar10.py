"""CIFAR-10: 50,000 + 10,000 colour images of 32×32, ten classes."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.errors import missing
from shoestring.kit import Supervised
from shoestring.tasks.fetch import Source, fetch, present

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_BINARY = Source(
    "cifar10",
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_JPEG = Source(
    "cifar10-jpeg",
    "cifar10_jpeg.tar.xz",
    "",
    "aa95a6c798aac510753166f5cae2f402754cdf09f0ae067e951cff1638a91ae2",
)


def cifar10(*, batch_size: int = 128) -> Supervised:
    """Images N×3×32×32 in 0..1, and labels 0..9.

    There are 45,000 images for training, 5,000 for validation and 10,000 for testing.

    The task is called "cifar10". It is called "cifar10-jpeg" where SHOESTRING_DATA has only a copy
    that went through JPEG (mean error 5.7 of 255); do not compare figures of the two.

    `batch_size`: images of a training batch, 1 or more.
    Source: Krizhevsky 2009.
    Raises DataError where the files cannot be had, and ModuleNotFoundError where the JPEG copy
    needs the extra `images`.
    """
    jpeg = present(_BINARY) is None and present(_JPEG) is not None
    train, test = _read_jpeg() if jpeg else _read_binary()
    images, labels = train
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    kept, held_out = order[: -len(labels) // 10], order[-len(labels) // 10 :]
    return Supervised(
        train=(images[kept], labels[kept]),
        validation=(images[held_out], labels[held_out]),
        test=test,
        name="cifar10-jpeg" if jpeg else "cifar10",
        batch_size=batch_size,
    )


def _read_binary() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    parts: dict[str, list[np.ndarray]] = {"data": [], "test": []}
    with tarfile.open(fetch(_BINARY)) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            name = member.name.rsplit("/", 1)[-1]
            if name.endswith(".bin") and (file := archive.extractfile(member)) is not None:
                # A record is a label and 3×32×32 bytes.
                parts[name.split("_")[0]].append(
                    np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
                )
    return tuple(
        _split(np.concatenate(p)[:, 1:].reshape(-1, 3, 32, 32), np.concatenate(p)[:, 0])
        for p in parts.values()
    )  # type: ignore[return-value]


def _read_jpeg() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="JPEG is read with Pillow") from None
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    with tarfile.open(fetch(_JPEG)) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                split, label, _ = member.name.split("/")
                images[split].append(
                    np.asarray(Image.open(io.BytesIO(file.read()))).transpose(2, 0, 1)
                )
                labels[split].append(CLASSES.index(label))
    return tuple(_split(np.stack(images[s]), np.array(labels[s])) for s in ("train", "test"))  # type: ignore[return-value]


def _split(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images.copy()).float() / 255, torch.from_numpy(labels.astype(np.int64))
