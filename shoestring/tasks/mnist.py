"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28×28, ten classes."""

from __future__ import annotations

import gzip

import numpy as np
import torch
from torch import Tensor

from shoestring.kit import Supervised
from shoestring.tasks.fetch import Source, fetch

_NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_MNIST = tuple(
    Source(
        "mnist",
        f"{name}-ubyte.gz",
        f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}-ubyte.gz",
        sha256,
    )
    for name, sha256 in zip(
        _NAMES,
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        strict=True,
    )
)
_FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION = tuple(
    Source("fashion-mnist", f"{name}-ubyte.gz", f"{_FASHION_HOME}/{name}-ubyte.gz", sha256)
    for name, sha256 in zip(
        _NAMES,
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        strict=True,
    )
)


def mnist(*, batch_size: int = 128) -> Supervised:
    """Images N×1×28×28 in 0..1, and labels 0..9.

    The first 55,000 images are for training, the next 5,000 for validation; another 10,000 are for
    testing.

    `batch_size`: images of a training batch, 1 or more.
    Source: LeCun, Cortes & Burges 1998.
    Raises DataError where the files cannot be had.
    """
    return _task("mnist", _MNIST, batch_size)


def fashion_mnist(*, batch_size: int = 128) -> Supervised:
    """Ten kinds of clothes, in MNIST's format and splits.

    `batch_size`: images of a training batch, 1 or more.
    Source: Xiao, Rasul & Vollgraf 2017.
    Raises DataError where the files cannot be had.
    """
    return _task("fashion_mnist", _FASHION, batch_size)


def _task(name: str, sources: tuple[Source, ...], batch_size: int) -> Supervised:
    images, labels, test_images, test_labels = (_idx(source) for source in sources)
    images, test_images = (x.float().unsqueeze(1) / 255 for x in (images, test_images))
    train = len(images) - len(images) // 12
    return Supervised(
        train=(images[:train], labels[:train].long()),
        validation=(images[train:], labels[train:].long()),
        test=(test_images, test_labels.long()),
        name=name,
        batch_size=batch_size,
    )


def _idx(source: Source) -> Tensor:
    """The tensor of an IDX file.

    The file has two zero bytes, a type (8: unsigned bytes), the number of axes, their sizes and the
    values.
    """
    data = gzip.decompress(fetch(source).read_bytes())
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, 4).astype(int)
    return torch.from_numpy(
        np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(tuple(shape)).copy()
    )
