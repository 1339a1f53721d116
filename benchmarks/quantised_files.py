"""The files that go between `quantised.py` and the scripts in `peers/`.

What they are given, and running what they leave.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quantised_table import FEWER_BLOCKS, THINNED
from torch import nn

from shoestring.artifact import Content, load, read, save
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.runtime.folding import fold_transposes
from shoestring.core import array
from shoestring.kit import Supervised

EXAMPLES = 512


@dataclass(frozen=True)
class Tool:
    """A row of the table; of a peer, its script, the variable that names its Python, whether it
    leaves a torch program, and whether it gets our network with fewer blocks in place of the whole
    one.
    """

    name: str
    script: str = ""
    python: str = ""
    options: tuple[str, ...] = ()
    torch: bool = False
    thinned: bool = False

    @property
    def folder(self) -> str:
        return self.name.replace(", ", "_").replace(" ", "_")

    @property
    def given(self) -> str:
        """The folder of what it is given."""
        return "given_thinned" if self.thinned else "given"


def peers(network: str) -> list[Tool]:
    """The peers of a network, with their defaults.

    After two of them what their own pages advise instead.
    """
    nncf = partial(Tool, script="nncf_quantize.py", python="NNCF_PYTHON")
    found = [
        Tool("onnxruntime", "onnxruntime_static.py", "ONNXRUNTIME_PYTHON"),
        Tool(
            "onnxruntime, U8S8 per channel",
            "onnxruntime_static.py",
            "ONNXRUNTIME_PYTHON",
            ("--u8s8",),
        ),
        nncf("NNCF, OpenVINO"),
        nncf("NNCF, ONNX", options=("--onnx",)),
        Tool(
            "Neural Compressor",
            "neural_compressor_static.py",
            "NEURAL_COMPRESSOR_PYTHON",
            torch=True,
        ),
        Tool("torchao", "torchao_pt2e.py", "TORCHAO_PYTHON", torch=True),
    ]
    if network == "text_encoder":
        found.insert(4, nncf("NNCF, OpenVINO, transformer", options=("--transformer",)))
    return found


def on_thinned(tool: Tool) -> Tool:
    """The tool, given our network with fewer blocks."""
    return replace(tool, name=tool.name + THINNED, thinned=True)


def thinned(network: str) -> list[Tool]:
    """What our network with fewer blocks is given to: nobody, and the peers that take ONNX.

    Empty where ours keeps all blocks.
    """
    if network not in FEWER_BLOCKS:
        return []
    return [on_thinned(tool) for tool in (Tool("float32"), *peers(network)) if not tool.torch]


@cache
def content_of(path: Path) -> Content:
    """What a file holds, read once."""
    return read(path)


def given(folder: Path, file: Path, model: nn.Module | None, task: Supervised) -> None:
    """Make model.onnx, model.pt2, calibration.npz and example.npz, from which every peer starts.

    `model`: None for no model.pt2, which torch's tools take.
    """
    if (folder / "example.npz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    content = content_of(file)
    names = [port.name for port in content.graph.inputs]
    save(
        folder / "model.onnx", onnx_bytes(*fold_transposes(content.graph, content.tensors))
    )  # as torch's own exporter leaves it
    inputs, targets = task._split("train")
    chosen = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))[:EXAMPLES]
    arrays = {name: one[chosen].numpy() for name, one in zip(names, inputs, strict=True)}
    example = tuple(one[chosen[:2]] for one in inputs)
    if model is not None:
        axes = [dict.fromkeys(one.axes, torch.export.Dim.DYNAMIC) for one in task.example()[0]]
        program = torch.export.export(model, example, dynamic_shapes=tuple(axes))
        torch.export.save(program, folder / "model.pt2")
    np.savez(folder / "calibration.npz", **arrays)  # pyright: ignore[reportArgumentType]
    np.savez(folder / "example.npz", **{name: one[:32] for name, one in arrays.items()})  # pyright: ignore[reportArgumentType]


def shuffled(task: Supervised, seed: int) -> Supervised:
    """The task with its training examples in another order, so that others come first."""
    inputs, targets = task._split("train")
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    return replace(task, train=(tuple(part[order] for part in inputs), targets[order]))


def merits_of(task: Supervised, predict: Any, split: str) -> np.ndarray:
    """The merit of each example."""
    found = task.merits(predict, split)
    assert found is not None  # there is no metric
    return found


def answers(tool: Tool, folder: Path, task: Supervised, split: str) -> np.ndarray:
    """The merit of each example with the file that a tool left."""
    out = folder / tool.folder
    if (out / "model.shoe").exists():
        return merits_of(task, load(out / "model.shoe", threads=1), split)
    names = [port.name for port in content_of(folder / "float32" / "model.shoe").graph.inputs]
    if not tool.torch:
        run = opened(out)
        return merits_of(
            task, lambda *inputs: run(dict(zip(names, map(array, inputs), strict=True))), split
        )
    asked: dict[str, np.ndarray] = {}
    fp32 = load(folder / "float32" / "model.shoe", threads=1)

    def listen(*inputs: Any) -> Any:
        asked.update(
            {
                f"{len(asked) // len(names)} {name}": array(one)
                for name, one in zip(names, inputs, strict=True)
            }
        )
        return fp32(*inputs)

    task.merits(listen, split)
    with tempfile.TemporaryDirectory() as place:
        questions, told = Path(place) / "calls.npz", Path(place) / "answers.npz"
        np.savez(questions, **asked)  # pyright: ignore[reportArgumentType]
        script = Path(__file__).parent / "peers" / tool.script
        command = [
            os.environ[tool.python],
            script,
            folder / "given",
            out,
            "--answers",
            questions,
            told,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            )
        with np.load(told) as archive:
            kept = iter([archive[str(place)] for place in range(len(archive.files))])
    return merits_of(task, lambda *inputs: next(kept), split)


def opened(out: Path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """A function from inputs by name to the output of an ONNX or OpenVINO model, on one thread."""
    if (out / "model.onnx").exists():
        session = _onnx(out)
        return lambda inputs: session.run(None, inputs)[0]
    request = _openvino(out).create_infer_request()
    return lambda inputs: request.infer(inputs)[0]


def run_of(out: Path, feeds: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A function that runs these inputs and nothing else."""
    if (out / "model.onnx").exists():
        return partial(_onnx(out).run, None, feeds)
    import openvino

    request = _openvino(out).create_infer_request()
    for name, value in feeds.items():
        request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
    return partial(request.infer, share_outputs=True)


def _onnx(out: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        out / "model.onnx", options, providers=["CPUExecutionProvider"]
    )


def _openvino(out: Path) -> Any:
    import openvino

    # Not tied to one core, on which it would wait for other programs; all else as it comes.
    settings = {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return openvino.Core().compile_model(out / "model.xml", "CPU", settings)
