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

sys.path.insert(
    0, str(Path(__file__).parent)
)  # Olive loads this file by its place, for the functions below

from interface import calibration, main, validation
from olive.data.registry import Registry  # pyright: ignore[reportMissingImports]


@Registry.register_dataset()
def calibration_dataset(**_: Any) -> list[tuple[dict[str, Any], int]]:
    """The calibration examples, one at a time; Olive makes batches of them itself."""
    return [
        ({name: value[0] for name, value in one.items()}, 0) for one in calibration(_given(), 1)
    ]


@Registry.register_dataset()
def validation_dataset(**_: Any) -> list[tuple[dict[str, Any], Any]]:
    """The validation examples with their targets, likewise."""
    found = ({name: value[0] for name, value in one.items()} for one in validation(_given(), 1))
    return [(one, one.pop("targets")) for one in found]


@Registry.register_post_process()
def largest(outputs: Any, **_: Any) -> Any:
    """The class of the largest logit."""
    return (next(iter(outputs.values())) if isinstance(outputs, dict) else outputs).argmax(-1)


def _given() -> Path:
    return Path(os.environ["OLIVE_GIVEN"])


def data(name: str) -> dict[str, Any]:
    """How Olive reads one of the data sets above."""
    return {
        "name": name,
        "type": "DataContainer",
        "user_script": __file__,
        "load_dataset_config": {"type": f"{name}_dataset"},
        "pre_process_data_config": {"type": "skip_pre_process"},
        "post_process_data_config": {"type": "largest"},
        "dataloader_config": {"type": "default_dataloader", "batch_size": 32},
    }


def logits(given: Path) -> int:
    """How many classes the model tells."""
    import onnxruntime

    session = onnxruntime.InferenceSession(given / "model.onnx", providers=["CPUExecutionProvider"])
    batch = next(validation(given, 1))
    found: Any = session.run(None, {one.name: batch[one.name] for one in session.get_inputs()})[0]
    return found.shape[-1]


def quantise(given: Path, out: Path, options: list[str]) -> str:
    """QDQ ONNX, the best that its search finds within the goal."""
    from olive.workflows import run  # pyright: ignore[reportMissingImports]

    drop = json.loads((given / "goal.json").read_text())["drop"]
    os.environ["OLIVE_GIVEN"] = str(given.resolve())
    goal = {"type": "max-degradation", "value": drop}
    classes = {"task": "multiclass", "num_classes": logits(given), "ignore_index": -100}
    kind = {"name": "accuracy_score", "priority": 1, "metric_config": classes, "goal": goal}
    metric = {
        "name": "score",
        "type": "accuracy",
        "backend": "torch_metrics",
        "data_config": "validation",
        "sub_types": [kind],
    }
    settings = {
        "input_model": {"type": "OnnxModel", "model_path": str(given / "model.onnx")},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [
                    {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
                ],
            }
        },
        "data_configs": [data("calibration"), data("validation")],
        "evaluators": {"score": {"type": "OnnxEvaluator", "metrics": [metric]}},
        "passes": {
            "quantise": {
                "type": "OnnxStaticQuantization",
                "data_config": "calibration",
                "quant_format": "QDQ",
            }
        },
        "search_strategy": {
            "execution_order": "joint",
            "sampler": "tpe",
            "max_samples": 8,
            "seed": 0,
        },
        "evaluator": "score",
        "host": "here",
        "target": "here",
        "cache_dir": str(out / "cache"),
        "output_dir": str(out / "olive"),
    }
    found = run(settings)
    best = found.get_best_candidate() if hasattr(found, "get_best_candidate") else None
    if best is None:
        raise RuntimeError("it found no model that keeps the goal")
    shutil.copyfile(best.model_path, out / "model.onnx")
    return f"OnnxStaticQuantization, 8 samples, max-degradation {drop}"


if __name__ == "__main__":
    main(quantise, ("olive-ai", "onnxruntime", "onnx"))
