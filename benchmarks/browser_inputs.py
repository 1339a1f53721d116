"""Real test inputs of the committed files, for `browser.py` and the tests of `web/`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import load
from shoestring.artifact.chains.text_steps import TextStep
from shoestring.core import array

FILES = Path(__file__).parent / "results" / "files"


def task_of(name: str) -> Callable[[], Any]:
    """What makes the task that a committed file was made for."""
    from shoestring import tasks

    for words, task in (
        (("resnet", "mobilenet", "vgg"), tasks.cifar10),
        (("tabular",), tasks.adult),
        (("tagger",), tasks.ewt),
        (("text",), tasks.sst2),
        (("digits",), tasks.digits),
    ):
        if any(word in name for word in words):
            return task
    return tasks.mnist


@cache
def _test_split(make: Callable[[], Any]) -> Any:
    return make().test


def int8(network: str, folder: Path) -> Path:
    """The baseline "lenet5" or "resnet20" in integers of 8 bits, as `{network}_int8.shoe`."""
    from shoestring import models
    from shoestring.core import seeded
    from shoestring.kit import load_into, write
    from shoestring.quantize import PostTraining
    from shoestring.tasks import cifar10, mnist

    made, task = {"lenet5": (models.LeNet5, mnist), "resnet20": (models.ResNet20, cifar10)}[network]
    file = folder / f"{network}_int8.shoe"
    with seeded(0):
        model = load_into(FILES / f"baseline_{network}.shoe", made().eval())
        data = task()
        write(PostTraining()(model, data.sealed()), data, file)
    return file


def real(file: Path, count: int, start: int = 0) -> dict[str, np.ndarray]:
    """`count` test inputs of the task of a committed file, by the names that the file has."""
    loaded = load(file, threads=1)
    chain, ports = loaded.input_chain, loaded.inputs
    if chain is not None and isinstance(chain.steps[0], TextStep):
        texts = [one.text for one in _treebank()][start : start + count]
        ids, *states = ports  # a recurrent network begins with states of zeros
        zeros = {
            one.name: np.zeros((count, *map(int, one.shape[1:])), np.float32) for one in states
        }
        return {ids.name: chain.steps[0](texts), **zeros}
    *inputs, _ = _flat(_test_split(task_of(file.name)))
    chosen = [np.ascontiguousarray(array(one)[start : start + count]) for one in inputs]
    return {port.name: one for port, one in zip(ports, chosen, strict=True)}


@cache
def _treebank() -> Any:
    from shoestring.tasks import treebank

    return treebank("en", "test")


def _flat(split: Any) -> list[Any]:
    return [part for one in split for part in (one if isinstance(one, tuple) else (one,))]
