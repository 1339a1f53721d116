"""Olive's search over ONNX Runtime's static quantisation, with a goal for the accuracy.

    pip install torch==2.13.0 olive-ai==0.13.0 requests onnx==1.23.2 onnxruntime==1.31.1

GIVEN also holds validation.npz (inputs by name, and `targets`) and goal.json (`drop`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # Olive loads this file by its place, for the functions below

from interface import accuracy, calibration, main
from olive.data.registry import Registry  # pyright: ignore[reportMissingImports]


@Registry.register_dataset()
def calibration_dataset(**_: Any) -> list[tuple[dict[str, Any], int]]:
    """The calibration examples, one at a time; Olive makes batches of them itself."""
    given = Path(os.environ["OLIVE_GIVEN"])
    return [({name: value[0] for name, value in one.items()}, 0) for one in calibration(given, 1)]


def evaluate(model: Any, *_: Any, **__: Any) -> float:
    """The accuracy of a model on the validation data."""
    return accuracy(Path(model.model_path).read_bytes(), Path(os.environ["OLIVE_GIVEN"]))


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """QDQ ONNX, the best that its search finds within the goal."""
    from olive.workflows import run  # pyright: ignore[reportMissingImports]

    drop = json.loads((given / "goal.json").read_text())["drop"]
    os.environ["OLIVE_GIVEN"] = str(given.resolve())
    goal = {"type": "max-degradation", "value": drop}
    metric = {
        "name": "score",
        "type": "custom",
        "sub_types": [{"name": "accuracy", "priority": 1, "higher_is_better": True, "goal": goal}],
        "user_config": {"user_script": __file__, "evaluate_func": "evaluate"},
    }
    data = {
        "name": "calibration",
        "user_script": __file__,
        "load_dataset_config": {"type": "calibration_dataset"},
        "pre_process_data_config": {"type": "skip_pre_process"},
        "post_process_data_config": {"type": "skip_post_process"},
        "dataloader_config": {"type": "default_dataloader", "batch_size": 32},
    }
    settings = {
        "input_model": {"type": "OnnxModel", "model_path": str(given / "model.onnx")},
        "systems": {"here": {"type": "LocalSystem", "accelerators": [
            {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}]}},
        "data_configs": [data],
        "evaluators": {"score": {"metrics": [metric]}},
        "passes": {"quantise": {"type": "OnnxStaticQuantization", "data_config": "calibration", "quant_format": "QDQ"}},
        "search_strategy": {"execution_order": "joint", "sampler": "tpe", "max_samples": 8, "seed": 0},
        "evaluator": "score", "host": "here", "target": "here",
        "cache_dir": str(out / "cache"), "output_dir": str(out / "olive"),
    }  # fmt: skip
    found = run(settings)
    best = found.get_best_candidate() if hasattr(found, "get_best_candidate") else None
    if best is None:
        raise RuntimeError("it found no model that keeps the goal")
    shutil.copyfile(best.model_path, out / "model.onnx")
    return f"OnnxStaticQuantization, 8 samples, max-degradation {drop}"


if __name__ == "__main__":
    main(quantise, ("olive-ai", "onnxruntime", "onnx"))
