"""What the scripts of this folder have in common.

They run in environments of their own, and this file wants numpy alone.
    PYTHON NAME.py GIVEN OUT [--OPTION]            quantise: GIVEN holds model.onnx, model.pt2 (an
    exported torch program) and
                                                   calibration.npz (inputs by name, 512 examples);
                                                   the model goes to OUT, and what it took to
                                                   OUT/result.json (seconds, versions, notes, error)
    PYTHON NAME.py GIVEN OUT --answers CALLS NPZ   run the model on the calls in CALLS (an .npz of
    "number name") into NPZ PYTHON NAME.py GIVEN OUT --time BATCH SECONDS  time it in turn with
    model.onnx in ONNX Runtime, one thread, on
                                                   GIVEN/example.npz; prints {"fp32": milliseconds,
                                                   "peer": milliseconds}

Models that are ONNX or OpenVINO's own are run by the benchmark itself, so that only the scripts
that leave neither have an `opened(OUT)`, which returns a function from inputs to an array.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Opened = Callable[[Path], Callable[[Arrays], np.ndarray]]
INTERLEAVED = Path(__file__).parents[2] / "shoestring" / "meters" / "interleaved.py"


def main(
    quantise: Callable[[Path, Path, list[str]], str],
    packages: tuple[str, ...],
    opened: Opened | None = None,
) -> None:
    """Do what the arguments say. `quantise(given, out, options)` returns a note."""
    given, out, rest = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    if rest[:1] == ["--answers"] and opened:
        run = opened(out)
        answers = {str(place): run(call) for place, call in enumerate(calls(Path(rest[1])))}
        np.savez(rest[2], **answers)  # pyright: ignore[reportArgumentType]
    elif rest[:1] == ["--time"] and opened:
        print(json.dumps(timed(given, opened(out), int(rest[1]), float(rest[2]))))
    else:
        result: dict[str, Any] = {
            "versions": {name: importlib.metadata.version(name) for name in packages}
        }
        out.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        try:
            result["notes"] = quantise(given, out, rest)
            result["error"] = None
        except Exception as error:
            traceback.print_exc()
            result["error"] = (
                f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
            )
        result["seconds"] = time.perf_counter() - start
        (out / "result.json").write_text(json.dumps(result))


def calibration(given: Path, batch: int) -> Iterator[Arrays]:
    """The calibration examples, so many at a time."""
    with np.load(given / "calibration.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    count = min(map(len, arrays.values()))
    for start in range(0, count, batch):
        yield {name: one[start : start + batch] for name, one in arrays.items()}


def validation(given: Path, batch: int) -> Iterator[Arrays]:
    """The inputs of the validation examples and their `targets`, so many at a time.

    Where GIVEN has them.
    """
    with np.load(given / "validation.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    for start in range(0, len(arrays["targets"]), batch):
        yield {name: one[start : start + batch] for name, one in arrays.items()}


def accuracy(model: bytes, given: Path) -> float:
    """The share of the validation targets that an ONNX model gets right; those below 0 are none."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    right, count = 0, 0
    for batch in validation(given, 500):
        found: Any = session.run(None, {name: batch[name] for name in names})[0]
        targets = batch["targets"]
        known = targets >= 0
        right += int((found.argmax(-1) == targets)[known].sum())
        count += int(known.sum())
    return right / count


def calls(path: Path) -> Iterator[Arrays]:
    """The inputs of each call, in order."""
    with np.load(path) as archive:
        count = 1 + max(int(name.split()[0]) for name in archive.files)
        for place in range(count):
            yield {
                name.split(maxsplit=1)[1]: archive[name]
                for name in archive.files
                if name.split()[0] == str(place)
            }


def timed(
    given: Path, run: Callable[[Arrays], np.ndarray], batch: int, seconds: float
) -> dict[str, tuple[float, ...]]:
    """The samples of both, a pair in each round."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        given / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    with np.load(given / "example.npz") as archive:
        inputs = {
            name: archive[name].take(np.arange(batch) % len(archive[name]), 0)
            for name in archive.files
        }
    found = interleaved().in_turn(
        [partial(session.run, None, inputs), partial(run, inputs)], seconds=seconds
    )
    return {"fp32": found[0].milliseconds, "peer": found[1].milliseconds}


def interleaved() -> ModuleType:
    """`shoestring.meters.interleaved` alone, without the package.

    The same way of timing as everything else's.
    """
    spec = importlib.util.spec_from_file_location("interleaved", INTERLEAVED)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["interleaved"] = module
    spec.loader.exec_module(module)
    return module
