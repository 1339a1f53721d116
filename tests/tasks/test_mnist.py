"""MNIST where it is there, and the IDX format on files made here."""

from __future__ import annotations

import gzip
import importlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from shoestring.tasks import DataError, fashion_mnist, mnist
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.mnist")


def idx(values: np.ndarray) -> bytes:
    """A gzipped IDX file of unsigned bytes."""
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(head + values.astype(np.uint8).tobytes())


def test_mnist_as_it_is():
    if absent := [source.name for source in module._MNIST if present(source) is None]:
        pytest.skip(
            f"MNIST is not here ({', '.join(absent)}): set SHOESTRING_DATA to a folder that holds "
            "mnist/*.gz, or run python -c 'from shoestring.tasks import mnist; mnist()' once where "
            "there is a network"
        )
    task = mnist(batch_size=100)
    assert (task.name, task.batch_size) == ("mnist", 100)
    for (images, labels), count in (
        (task.train, 55_000),
        (task.validation, 5_000),
        (task.test, 10_000),
    ):
        assert (
            isinstance(images, torch.Tensor)
            and images.shape == (count, 1, 28, 28)
            and images.dtype == torch.float32
        )
        assert images.min() == 0 and images.max() == 1 and labels.shape == (count,)
        assert labels.unique().tolist() == list(range(10))
    # The first labels of the files, as their page shows them.
    assert task.train[1][:5].tolist() == [5, 0, 4, 1, 9] and task.test[1][:5].tolist() == [
        7,
        2,
        1,
        0,
        4,
    ]
    assert task.train[0].mean().item() == pytest.approx(0.1307, abs=5e-4)  # type: ignore[union-attr]
    assert len(next(iter(task.batches("train")))[1]) == 100


def test_fashion_mnist_in_its_real_format(
    put: Callable[[Source, bytes], Source], monkeypatch: pytest.MonkeyPatch
):
    generator = np.random.default_rng(0)
    arrays = [
        generator.integers(0, 256, (24, 28, 28)),
        np.arange(24) % 10,
        generator.integers(0, 256, (5, 28, 28)),
        np.arange(5),
    ]
    assert [source.name for source in module._FASHION] == [
        f"{name}-ubyte.gz"
        for name in (
            "train-images-idx3",
            "train-labels-idx1",
            "t10k-images-idx3",
            "t10k-labels-idx1",
        )
    ]
    sources = tuple(
        put(source, idx(values)) for source, values in zip(module._FASHION, arrays, strict=True)
    )
    monkeypatch.setattr(module, "_FASHION", sources)
    task = fashion_mnist()
    assert task.name == "fashion_mnist"
    for split, (images, labels) in zip(
        (task.train, task.validation, task.test),
        (
            (arrays[0][:22], arrays[1][:22]),
            (arrays[0][22:], arrays[1][22:]),
            (arrays[2], arrays[3]),
        ),
        strict=True,
    ):
        assert isinstance(split[0], torch.Tensor) and split[0].shape == (len(labels), 1, 28, 28)
        np.testing.assert_array_equal(split[0].numpy()[:, 0] * 255, images.astype(np.float32))
        assert split[1].tolist() == labels.tolist() and split[1].dtype == torch.int64


def test_absent_or_wrong_files_are_named(data: Path, monkeypatch: pytest.MonkeyPatch):
    away = tuple(
        Source(s.folder, s.name, "file:///nowhere/at/all.gz", s.sha256) for s in module._MNIST
    )
    monkeypatch.setattr(module, "_MNIST", away)
    with pytest.raises(
        DataError, match=r"SHOESTRING_DATA to a folder that holds mnist/train-images-idx3-ubyte\.gz"
    ):
        mnist()
    (data / "mnist").mkdir()
    (data / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(idx(np.zeros((1, 28, 28))))
    with pytest.raises(DataError, match="is not the file it should be"):
        mnist()
