"""NNCF's post-training quantisation of an ONNX model with a goal for the accuracy.

`quantize_with_accuracy_control`.
    pip install nncf==3.4.0 openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.31.1

GIVEN also holds validation.npz (inputs by name, and `targets`) and goal.json (`drop`).
"""

from __future__ import annotations

import json
from pathlib import Path

import nncf  # pyright: ignore[reportMissingImports]
import onnx
from interface import accuracy, calibration, main, validation


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """QDQ ONNX that loses no more than the goal on validation data, where there is such a thing."""
    drop = json.loads((given / "goal.json").read_text())["drop"]

    def score(model: onnx.ModelProto, data: object) -> tuple[float, None]:
        return accuracy(model.SerializeToString(), given), None

    quantised = nncf.quantize_with_accuracy_control(
        onnx.load(given / "model.onnx"),
        nncf.Dataset(list(calibration(given, 1))),
        nncf.Dataset(list(validation(given, 500))),
        score,
        max_drop=drop,
        drop_type=nncf.DropType.ABSOLUTE,
    )
    onnx.save(quantised, out / "model.onnx")
    return f"max_drop={drop}"


if __name__ == "__main__":
    main(quantise, ("nncf", "openvino", "onnx"))
