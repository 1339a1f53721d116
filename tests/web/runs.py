"""Runs files in Node with web/index.js and in Python with ONNX Runtime, on real test inputs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoestring.artifact import load
from shoestring.artifact.format.file import Content, pack
from shoestring.artifact.format.graph import Graph, Node, Port

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from browser_inputs import int8, real  # noqa: E402

__all__ = [
    "FILES",
    "NODE",
    "ROOT",
    "SAID",
    "Case",
    "beside",
    "by_runtime",
    "evaluate",
    "graph",
    "int8",
    "loaded",
    "needs_node",
    "real",
    "run",
]

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
    folder.mkdir(parents=True)
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


def beside(
    cases: Sequence[Case], folder: Path, module: Path = ROOT / "web" / "index.js"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each output of each case as JavaScript gives it, and as ONNX Runtime does."""
    for case, answer in zip(cases, run(cases, folder, module), strict=True):
        assert "error" not in answer, answer
        for port, wanted in by_runtime(case).items():
            yield answer[port], wanted


def evaluate(script: str, *arguments: str) -> Any:
    """What a script prints as JSON, in which `m` is the module and `arguments` are given."""
    given = "const m = await import('./web/index.js'); const given = process.argv.slice(1);"
    ran = subprocess.run(
        [str(NODE), "--input-type=module", "-e", given + script, "--", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


SAID = """
const model = await m.load(given[0]);
const said = [];
for (const of of INPUTS) {
  try {
    model.run(of);
    said.push("");
  } catch (error) {
    const known = error instanceof m.RunError && error instanceof m.ShoeError;
    said.push(known ? error.message : "crash " + error.stack);
  }
}
console.log(JSON.stringify(said));
"""
"""What a run of each of INPUTS says: a line of our own, an empty one, or a crash."""


X = (Port("x", 1, ("N", 4)),)


def graph(*nodes: Node, inputs=X, constants=(), result: int) -> Content:
    """A file of nodes over an input of N by 4."""
    made = Graph(
        opset=20,
        inputs=inputs,
        weights=0,
        constants=constants,
        nodes=nodes,
        outputs=(Port("y", 1),),
        results=(result,),
        arguments=(tuple(range(len(inputs))), {}),
        structure=0,
    )
    return Content(made, [])


def loaded(content: Any, folder: Path) -> str:
    path = folder / "made.shoe"
    path.write_bytes(pack(content))
    return str(path)
