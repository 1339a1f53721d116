"""ONNX Runtime's own static quantisation, as its page on quantisation says.

Pre-processed, then `quantize_static`.
    pip install onnxruntime==1.31.1 onnx==1.23.2 sympy

With --u8s8, what the same page advises for speed on x86: activations without a sign, weights per
channel. Not the defaults.
"""

from __future__ import annotations

from pathlib import Path

from interface import calibration, main
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static  # pyright: ignore
from onnxruntime.quantization.shape_inference import quant_pre_process  # pyright: ignore


class Reader(CalibrationDataReader):
    """The calibration examples, 32 at a time."""

    def __init__(self, given: Path) -> None:
        self.batches = calibration(given, 32)

    def get_next(self):  # pyright: ignore[reportIncompatibleMethodOverride]
        return next(self.batches, None)


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """QDQ ONNX; both activations and weights of 8 bits with a sign, per tensor, where nothing else
    is asked for.
    """
    ready = out / "ready.onnx"
    note = "pre-processed, defaults"
    try:
        quant_pre_process(given / "model.onnx", ready)
    except Exception as error:
        quant_pre_process(given / "model.onnx", ready, skip_symbolic_shape=True)
        note = (
            f"pre-processed without symbolic shapes, which failed ({type(error).__name__}), "
            "defaults"
        )
    settings = {}
    if "--u8s8" in options:
        settings = {
            "per_channel": True,
            "activation_type": QuantType.QUInt8,
            "weight_type": QuantType.QInt8,
        }
        note = note.replace("defaults", "U8S8 per channel")
    quantize_static(ready, out / "model.onnx", Reader(given), **settings)
    ready.unlink()
    return note


if __name__ == "__main__":
    main(quantise, ("onnxruntime", "onnx"))
