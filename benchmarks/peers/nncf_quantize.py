"""NNCF's post-training quantisation with its defaults, of the OpenVINO model or, with --onnx, of
the ONNX model.

    pip install nncf==3.4.0 openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.31.1

With --transformer, `model_type=TRANSFORMER`, which its pages ask for where a model is one.
"""

from __future__ import annotations

from pathlib import Path

import nncf  # pyright: ignore[reportMissingImports]
import onnx
import openvino
from interface import calibration, main


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """OpenVINO's model.xml and model.bin (weights left in float are float16 there, its default), or
    QDQ ONNX.
    """
    data = nncf.Dataset(list(calibration(given, 1)))
    settings = {"model_type": nncf.ModelType.TRANSFORMER} if "--transformer" in options else {}
    note = "model_type=TRANSFORMER" if settings else "defaults"
    if "--onnx" in options:
        onnx.save(
            nncf.quantize(onnx.load(given / "model.onnx"), data, **settings), out / "model.onnx"
        )
    else:
        model = openvino.Core().read_model(given / "model.onnx")
        openvino.save_model(nncf.quantize(model, data, **settings), out / "model.xml")
    return note


if __name__ == "__main__":
    main(quantise, ("nncf", "openvino", "onnx"))
