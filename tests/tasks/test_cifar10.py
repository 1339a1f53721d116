"""CIFAR-10's two archives, in their real formats and made here."""

from __future__ import annotations

import importlib
import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from shoestring.tasks import DataError, cifar10
from shoestring.tasks.fetch import Source

module = importlib.import_module("shoestring.tasks.cifar10")
Put = Callable[[Source, bytes], Source]


def archive(files: dict[str, bytes], mode: str) -> bytes:
    """A tar archive with a folder entry before each folder's files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for folder in sorted({name.rsplit("/", 1)[0] for name in files}):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def records(count: int, first: int) -> tuple[np.ndarray, np.ndarray, bytes]:
    """(images, labels, the bytes of a batch): of each record the label, then 3×32×32 bytes."""
    images = np.random.default_rng(first).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = ((np.arange(count) + first) % 10).astype(np.uint8)
    return (
        images,
        labels,
        b"".join(
            bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
        ),
    )


def binary() -> tuple[np.ndarray, np.ndarray, np.ndarray, bytes]:
    """(training images, their labels, test images, the archive), its batches out of order."""
    batches = [records(4, 4 * turn) for turn in range(5)]
    test = records(3, 90)
    files = {f"cifar-10-batches-bin/data_batch_{n + 1}.bin": batches[n][2] for n in (2, 0, 4, 1, 3)}
    files |= {
        "cifar-10-batches-bin/test_batch.bin": test[2],
        "cifar-10-batches-bin/batches.meta.txt": b"airplane\n",
    }
    images, labels = (np.concatenate([batch[part] for batch in batches]) for part in (0, 1))
    return images, labels, test[0], archive(files, "w:gz")


def test_binary_archive(put: Put, monkeypatch: pytest.MonkeyPatch):
    images, labels, test, content = binary()
    monkeypatch.setattr(module, "_BINARY", put(module._BINARY, content))
    task = cifar10(batch_size=6)
    assert (task.name, task.batch_size) == ("cifar10", 6)
    assert isinstance(task.train[0], torch.Tensor) and isinstance(task.validation[0], torch.Tensor)
    assert task.train[0].shape == (18, 3, 32, 32) and task.validation[0].shape == (2, 3, 32, 32)
    assert task.train[0].dtype == torch.float32 and task.train[1].dtype == torch.int64
    np.testing.assert_array_equal(task.test[0].numpy(), test.astype(np.float32) / 255)  # type: ignore[union-attr]
    assert task.test[1].tolist() == [0, 1, 2]
    # The two parts are all of the images, each with its own label.
    known = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    seen = {
        (image * 255).round().byte().numpy().tobytes(): int(label)
        for split in (task.train, task.validation)
        for image, label in zip(*split, strict=True)
    }
    assert seen == known
    again = cifar10()
    assert (
        torch.equal(again.train[0], task.train[0])
        and again.train[1].tolist() == task.train[1].tolist()
    )  # type: ignore[arg-type]


def test_jpeg_copy(put: Put, monkeypatch: pytest.MonkeyPatch):
    image = pytest.importorskip("PIL.Image", reason="reading JPEG needs the extra `images`")

    def jpeg(red: int, green: int, blue: int) -> bytes:
        buffer = io.BytesIO()
        image.fromarray(np.full((32, 32, 3), (red, green, blue), np.uint8)).save(
            buffer, "JPEG", quality=95
        )
        return buffer.getvalue()

    files = {
        f"train/{name}/{n:04}.jpg": jpeg(20 * k, 100, 10)
        for k, name in enumerate(module.CLASSES)
        for n in range(2)
    }
    files |= {
        f"test/{name}/0000.jpg": jpeg(20 * k, 100, 10) for k, name in enumerate(module.CLASSES)
    }
    monkeypatch.setattr(module, "_JPEG", put(module._JPEG, archive(files, "w:xz")))
    task = cifar10()
    assert task.name == "cifar10-jpeg"
    assert [len(split[1]) for split in (task.train, task.validation, task.test)] == [18, 2, 10]
    for images, labels in (task.train, task.validation, task.test):
        assert isinstance(images, torch.Tensor) and images.shape[1:] == (3, 32, 32)
        wanted = (
            torch.stack([labels * 20, torch.full_like(labels, 100), torch.full_like(labels, 10)], 1)
            / 255
        )
        assert (images.mean((2, 3)) - wanted).abs().max() < 3 / 255
    assert task.test[1].tolist() == list(range(10)) and sorted(
        task.train[1].tolist() + task.validation[1].tolist()
    ) == sorted(list(range(10)) * 2)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[images\]'"):
        cifar10()


def test_the_binary_archive_is_preferred(put: Put, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_BINARY", put(module._BINARY, binary()[3]))
    monkeypatch.setattr(module, "_JPEG", put(module._JPEG, b"not read"))
    assert cifar10().name == "cifar10"


def test_where_there_is_neither_the_error_names_the_binary_one(
    data: Path, monkeypatch: pytest.MonkeyPatch
):
    source = module._BINARY
    monkeypatch.setattr(
        module,
        "_BINARY",
        Source(source.folder, source.name, "file:///nowhere/at/all.gz", source.sha256),
    )
    with pytest.raises(
        DataError, match=r"SHOESTRING_DATA to a folder that holds cifar10/cifar-10-binary\.tar\.gz"
    ):
        cifar10()
