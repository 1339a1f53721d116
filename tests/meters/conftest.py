"""What the meters are tried on.

Two files exported from modules, and graphs of one node written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shoestring import kit
from shoestring.artifact import Content, save
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import INT, Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.core import Task
from shoestring.models.lenet import LeNet5


@dataclass(frozen=True)
class Call(Task):
    """A task that is nothing but its example."""

    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.args, dict(self.kwargs)


@dataclass(frozen=True)
class Subject:
    """A file, the module it was made of, and its task."""

    path: Path
    module: nn.Module
    task: Task
    bytes: int


def _write(folder: Path, module: nn.Module, *shape: int) -> Subject:
    split = torch.rand(4, *shape), torch.zeros(4, dtype=torch.long)
    task = kit.Supervised(train=split, validation=split, test=split).sealed()
    path = folder / "model.shoe"
    return Subject(path, module, task, kit.write(module, task, path))


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """8 → 3."""
    return _write(tmp_path_factory.mktemp("linear"), nn.Linear(8, 3), 8)


@pytest.fixture(scope="session")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """LeNet-5: 431,080 parameters."""
    return _write(tmp_path_factory.mktemp("lenet"), LeNet5(), 1, 28, 28)


@pytest.fixture
def one_node(tmp_path: Path):
    """Writes the file of one node.

    `inputs` have examples along axis "N", `weights` are tensors of these shapes.
    """

    def write(
        operator: str,
        inputs: list[tuple[int | str, ...]],
        weights: Sequence[tuple[int, ...]] = (),
        **options: Any,
    ) -> Path:
        ports = tuple(Port(f"x{place}", 1, shape) for place, shape in enumerate(inputs))
        count = len(inputs) + len(weights)
        node = Node(
            operator, options.get("operands", tuple(range(count))), 1, options.get("attributes", ())
        )
        tree = tuple(range(len(inputs))), {}
        opset = options.get("opset", 20)
        graph = Graph(opset, ports, len(weights), (), (node,), (Port("y", 1),), (count,), tree, 0)
        tensors = [tensor(np.ones(shape, np.float32)) for shape in weights]
        path = tmp_path / f"{operator}.shoe"
        save(path, file.pack(Content(graph, tensors)))
        return path

    return write


@pytest.fixture
def integer():
    """An attribute that is a whole number."""
    return lambda name, value: (name, INT, value)


@pytest.fixture
def call():
    """A task of an example's arguments."""
    return lambda *args, **kwargs: Call(args, tuple(kwargs.items()))


@pytest.fixture
def damaged(linear: Subject, tmp_path: Path) -> Path:
    """A file of which a byte in the middle is wrong."""
    data = bytearray(linear.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / "damaged.shoe"
    path.write_bytes(data)
    return path
