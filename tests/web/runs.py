"""Runs files in Node with web/index.js and in Python with ONNX Runtime, on real test inputs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoestring.artifact import load
from shoestring.core import array

ROOT = Path(__file__).parents[2]
FILES = ROOT / "benchmarks" / "results" / "files"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    NODE is None, reason="node is not installed: the runtime in JavaScript cannot be tested"
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run of a file: its inputs by name, the kernels, and options of `load`."""

    file: Path
    inputs: dict[str, np.ndarray]
    backend: str = "webassembly"
    options: dict[str, Any] = field(default_factory=dict)
    entry: str = ""


def run(cases: Sequence[Case], folder: Path, module: Path = ROOT / "web" / "index.js") -> list[Any]:
    """For each case the outputs by name, or the line with the error."""
    lines = [_line(case, folder / str(i)) for i, case in enumerate(cases)]
    ran = subprocess.run(
        [str(NODE), str(Path(__file__).with_name("run_files.mjs")), str(module)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(found) == len(cases)
    return [one if "error" in one else _outputs(one) for one in found]


def _line(case: Case, folder: Path) -> str:
    folder.mkdir()
    inputs = {}
    for i, (name, values) in enumerate(case.inputs.items()):
        (folder / f"in{i}").write_bytes(values.tobytes())
        inputs[name] = {
            "path": str(folder / f"in{i}"),
            "type": values.dtype.name,
            "shape": list(values.shape),
        }
    return json.dumps(
        {
            "file": str(case.file),
            "backend": case.backend,
            "inputs": inputs,
            "out": str(folder / "out"),
            "options": case.options,
            "entry": case.entry,
        }
    )


def _outputs(line: dict[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(Path(one["path"]).read_bytes(), one["type"]).reshape(one["shape"])
        for name, one in line["outputs"].items()
    }


def by_runtime(case: Case) -> dict[str, np.ndarray]:
    """What ONNX Runtime answers, in Python."""
    loaded = load(case.file, threads=1)
    return (loaded[case.entry] if case.entry else loaded).run(case.inputs)


def task_of(name: str) -> Callable[[], Any]:
    """What makes the task that a committed file was made for."""
    from shoestring import tasks

    for words, task in (
        (("resnet", "mobilenet", "vgg"), tasks.cifar10),
        (("tabular",), tasks.adult),
        (("tagger",), tasks.ewt),
        (("text",), tasks.sst2),
    ):
        if any(word in name for word in words):
            return task
    return tasks.mnist


@cache
def _test_split(make: Callable[[], Any]) -> Any:
    return make().test


def real(file: Path, count: int, start: int = 0) -> dict[str, np.ndarray]:
    """`count` test inputs of the task of a committed file, by the names that the file has."""
    *inputs, _ = _flat(_test_split(task_of(file.name)))
    ports = load(file, threads=1).inputs
    chosen = [np.ascontiguousarray(array(one)[start : start + count]) for one in inputs]
    return {port.name: one for port, one in zip(ports, chosen, strict=True)}


def _flat(split: Any) -> list[Any]:
    return [part for one in split for part in (one if isinstance(one, tuple) else (one,))]
