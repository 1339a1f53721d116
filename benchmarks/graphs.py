"""ONNX files that others put on PyPI, packed, as modules, and in 8 bits.

    pip install --no-deps --target FOLDER magika==1.0.3 rapidocr-onnxruntime==1.4.4 nudenet==3.4.2
    basic-pitch==0.4.0 silero-vad==6.2.3 GRAPHS=FOLDER OMP_NUM_THREADS=1 python benchmarks/graphs.py

magika (Apache 2.0): the type of a file by its bytes. rapidocr-onnxruntime (Apache 2.0): PP-OCRv4,
where text is, what it says and whether it is upside down. nudenet (MIT): a detector. basic-pitch
(Apache 2.0): notes in sound. silero-vad (MIT): whether somebody speaks. None of them is installed,
and nothing of theirs is committed. Inputs are made: lines of letters, waves and noise, bytes drawn
at random. They tell whether two ways of computing a graph are alike; agreement in 8 bits on them
tells whether a file can be made, and little more.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image, ImageDraw, ImageFont
from rows import Rows, start

from shoestring import Agreement, from_onnx
from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import Carried, write
from shoestring.kit.importing.onnx_pack import pack_onnx
from shoestring.kit.tracing.example import arrays
from shoestring.quantize import PostTraining

EXAMPLES = 48  # in 8 bits, 60 % of them to calibrate on


def waves(*shape: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """N examples of a shape, between -1 and 1: a wave along each axis, with noise."""

    def made(draw: np.random.Generator, count: int) -> np.ndarray:
        found = np.zeros((count, *shape))
        for axis, size in enumerate(shape):
            places = np.arange(size).reshape(
                [-1 if one == axis else 1 for one in range(len(shape))]
            )
            speed = np.exp(draw.uniform(-5, 0, (count, *[1] * len(shape))))
            found += np.sin(speed * places + draw.uniform(0, 6, (count, *[1] * len(shape))))
        return (
            (found / len(shape) * 0.9 + draw.normal(0, 0.03, found.shape))
            .clip(-1, 1)
            .astype(np.float32)
        )

    return made


def letters(height: int, width: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """N pictures 3×H×W of a line of letters and digits, from -1 (dark) to 1."""

    def made(draw: np.random.Generator, count: int) -> np.ndarray:
        found = np.empty((count, 3, height, width), np.float32)
        for place in range(count):
            picture = Image.new(
                "RGB", (width, height), tuple(int(one) for one in draw.integers(170, 256, 3))
            )
            words = "".join(
                draw.choice(list("abcdefghikmnoprstuwxyz ABCDEHKLMNRSTZ 0123456789"), 12)
            )
            font = ImageFont.load_default(int(draw.integers(18, 34)))
            at = int(draw.integers(0, 20)), int(draw.integers(0, height - 36))
            ImageDraw.Draw(picture).text(
                at, words, tuple(int(one) for one in draw.integers(0, 90, 3)), font
            )
            found[place] = np.asarray(picture, np.float32).transpose(2, 0, 1) / 127.5 - 1
        return found

    return made


def some_bytes(draw: np.random.Generator, count: int) -> np.ndarray:
    """N files of 2,048 bytes, each drawn from a range of its own, as text, tables and code are."""
    low = draw.integers(0, 200, (count, 1))
    return draw.integers(low, low + draw.integers(2, 57, (count, 1)), (count, 2048)).astype(
        np.int32
    )


@dataclass(frozen=True)
class Graph:
    """A file in the folder, and what makes N of each input by its name.

    `fixed`: inputs that are always this. `states`: of a streaming network, as Agreement has them;
    in 8 bits, `sequences` are its inputs then.
    """

    file: str
    inputs: dict[str, Callable[[np.random.Generator, int], np.ndarray]]
    fixed: dict[str, int] = field(default_factory=dict)
    states: dict[str, Carried] = field(default_factory=dict)
    sequences: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = field(
        default_factory=dict
    )

    @property
    def path(self) -> Path:
        """In the folder."""
        return Path(os.environ["GRAPHS"]) / self.file

    def given(self, count: int, seed: int = 0, *, whole: bool = False) -> dict[str, np.ndarray]:
        """N examples; `whole`: of a streaming network, sequences."""
        draw = np.random.default_rng(seed)
        return {
            name: make(draw, count)
            for name, make in ((whole and self.sequences) or self.inputs).items()
        }


def silent(draw: np.random.Generator, count: int) -> np.ndarray:
    """The state of N streams that begin, 2×N×128."""
    return np.zeros((2, count, 128), np.float32)


OCR = "rapidocr_onnxruntime/models"
GRAPHS = {
    "magika 1.0.3": Graph("magika/models/standard_v3_3/model.onnx", {"bytes": some_bytes}),
    "PP-OCRv4 detection (rapidocr-onnxruntime 1.4.4)": Graph(
        f"{OCR}/ch_PP-OCRv4_det_infer.onnx", {"x": letters(96, 192)}
    ),
    "PP-OCRv4 recognition": Graph(f"{OCR}/ch_PP-OCRv4_rec_infer.onnx", {"x": letters(48, 160)}),
    "PP-OCR direction": Graph(
        f"{OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": letters(48, 192)}
    ),
    "NudeNet 320n (nudenet 3.4.2)": Graph("nudenet/320n.onnx", {"images": waves(3, 160, 160)}),
    "Basic Pitch (basic-pitch 0.4.0)": Graph(
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        {"serving_default_input_2:0": waves(43844, 1)},
    ),
    "Silero VAD without branches, `--fix sr=16000` (silero-vad 6.2.3)": Graph(
        "silero_vad/data/silero_vad_op18_ifless.onnx",
        {"input": waves(576), "state": silent},
        {"sr": 16000},
        {"state": Carried(1, (2, "N", 128))},
        {"input": waves(16, 576)},
    ),
}


def main() -> None:
    rows = start("graphs", "pypi-cpu", (__doc__ or "").splitlines()[0])
    if not os.environ.get("GRAPHS") or not next(iter(GRAPHS.values())).path.is_file():
        raise SystemExit(
            f"GRAPHS names no folder with the wheels' content:\n{(__doc__ or '').split('    ')[1]}"
        )
    torch.set_num_threads(1)
    for name, graph in list(GRAPHS.items())[: 1 if rows.quick else None]:
        if rows.wanted(name) and not rows.done(name, 0):
            with tempfile.TemporaryDirectory(prefix="graphs-") as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graph_rows(rows, name, graph, Path(folder))
            rows.add(name, "done", 1, "", 0)
    rows.close()


def graph_rows(rows: Rows, name: str, graph: Graph, folder: Path) -> None:
    """All rows of a graph."""
    bill = pack_onnx(graph.path, folder / "packed.shoe", fixed=graph.fixed)
    rows.add(name, "bytes before", bill.bytes_before, "bytes", 0)
    rows.add(name, "bytes packed", bill.bytes_after, "bytes", 0)
    given = graph.given(3, seed=1)
    wanted = by_runtime(graph, given)
    rows.add(name, "largest answer", max(float(np.abs(one).max()) for one in wanted), "", 0)
    rows.add(
        name,
        "packed, difference",
        apart(wanted, load(folder / "packed.shoe", threads=1)(**given)),
        "",
        0,
    )
    for metric, value, unit in tried("as a module", lambda: as_module(graph, given, wanted)):
        rows.add(name, metric, value, unit, 0)
    for metric, value, unit in tried("8 bits", lambda: in_8_bits(graph, folder)):
        rows.add(name, metric, value, unit, 0)


def tried(
    what: str, of: Callable[[], Iterator[tuple[str, float, str]]]
) -> Iterator[tuple[str, float, str]]:
    """Rows, or one that says why there are none."""
    try:
        yield from of()
    except Exception as error:  # what a network says is an answer
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        yield f"{what} failed: {said}", 1, ""


def by_runtime(graph: Graph, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime answers for the file as it came."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(graph.path, settings, providers=["CPUExecutionProvider"])
    fixed = {name: np.array(value, np.int64) for name, value in graph.fixed.items()}
    return [np.asarray(one) for one in session.run(None, given | fixed)]


def apart(wanted: list[np.ndarray], answers: Any) -> float:
    """The largest difference of any number."""
    return max(
        float(np.abs(one - other).max()) for one, other in zip(wanted, arrays(answers), strict=True)
    )


def as_module(
    graph: Graph, given: dict[str, np.ndarray], wanted: list[np.ndarray]
) -> Iterator[tuple[str, float, str]]:
    """How far what `from_onnx` makes is from ONNX Runtime."""
    module = from_onnx(graph.path, fixed=graph.fixed)
    with torch.no_grad():
        answers = module(**{name: torch.from_numpy(one) for name, one in given.items()})
    parts = answers if isinstance(answers, tuple) else (answers,)
    yield "as a module, difference", apart(wanted, [one.numpy() for one in parts]), ""


def in_8_bits(graph: Graph, folder: Path) -> Iterator[tuple[str, float, str]]:
    """The file in whole numbers, and how often it answers as the network did on inputs that it was
    not calibrated on.
    """
    with seeded(0):
        module = from_onnx(graph.path, fixed=graph.fixed)
        inputs: Any = {
            name: torch.from_numpy(one) for name, one in graph.given(EXAMPLES, whole=True).items()
        }
        task = Agreement(module, inputs, states=graph.states)
        size = write(task.teacher, task, folder / "float.shoe")
        yield "bytes exported", size, "bytes"
        whole = write(PostTraining()(module, task.sealed()), task, folder / "whole.shoe")
    yield "bytes in 8 bits", whole, "bytes"
    yield "8 bits, agreement", score(task, load(folder / "whole.shoe", threads=1), "test"), ""


if __name__ == "__main__":
    main()
