"""Sony's model-compression-toolkit.

Post-training quantisation in mixed precision, with a limit on the bytes of the weights.
    pip install torch==2.13.0 model-compression-toolkit==2.6.1 onnx==1.23.2 onnxruntime==1.31.1
    onnxscript==0.7.2 constriction typer

It imports torchvision's transforms, which nothing here uses: a stand-in is enough. GIVEN also holds
goal.json (`bytes`, `job`, and where the jobs and the package are, whose network it is told by its
module). What it writes is ONNX in floats that have few values.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from interface import calibration, main

TRIES, GROWTH = 4, 1.1  # from a quarter of what 8 bits take, which is two


def without_torchvision() -> None:
    """Put a stand-in where torchvision would be."""
    nothing = type("Nothing", (), {})
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.transforms"):
        module: Any = ModuleType(name)
        module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(name, None), []
        for one in ("Normalize", "RandomCrop", "RandomHorizontalFlip", "CenterCrop", "_setup_size"):
            setattr(module, one, nothing)
        sys.modules[name] = module


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """ONNX whose weights take the bytes that were asked for; 8 bits where no bytes were."""
    without_torchvision()
    import model_compression_toolkit as mct  # pyright: ignore[reportMissingImports]

    # It was written for torch's exporter of before, which is still there.
    torch.onnx.export = partial(torch.onnx.export, dynamo=False)

    goal = json.loads((given / "goal.json").read_text())
    sys.path[:0] = [goal["package"], goal["jobs"]]
    import planner_jobs

    model, _ = getattr(planner_jobs, goal["job"])()
    model = model.to(memory_format=torch.contiguous_format).eval()

    def examples() -> Iterator[list[torch.Tensor]]:
        for one in calibration(given, 32):
            yield [torch.from_numpy(array) for array in one.values()]

    platform = mct.get_target_platform_capabilities()

    def within(limit: float | None) -> tuple[Any, Any]:
        settings: dict[str, Any] = {}
        if limit is not None:
            settings["target_resource_utilization"] = mct.core.ResourceUtilization(
                weights_memory=limit
            )
            mixed = mct.core.MixedPrecisionQuantizationConfig()
            settings["core_config"] = mct.core.CoreConfig(mixed_precision_config=mixed)
        return mct.ptq.pytorch_post_training_quantization(
            model, examples, target_platform_capabilities=platform, **settings
        )

    whole = sum(one.numel() for one in model.parameters() if one.ndim > 1)
    asked, tries = goal["bytes"], 0
    # what it says cannot be met it is asked again for, a little larger each time: the nearest that
    # it can
    while True:
        try:
            quantised, information = within(asked)
            break
        except ValueError as error:
            if "cannot be quantized to meet" not in str(error) or tries == TRIES:
                raise
            asked, tries = max(asked * GROWTH, whole / 4), tries + 1
    mct.exporter.pytorch_export_model(
        quantised,
        str(out / "model.onnx"),
        examples,
        quantization_format=mct.exporter.QuantizationFormat.FAKELY_QUANT,
    )
    used = getattr(information, "final_resource_utilization", None)
    return (
        f"asked for {asked}; its own count of the weights: "
        f"{getattr(used, 'weights_memory', 'not told')} bytes"
    )


if __name__ == "__main__":
    main(quantise, ("torch", "model-compression-toolkit", "onnx"))
