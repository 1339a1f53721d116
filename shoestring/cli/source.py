"""What a user's function makes: a model and a task, or a task alone."""

from __future__ import annotations

import importlib
import importlib.util
import inspect as inspect_
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def call(source: str) -> Any:
    """What MODULE:FUNCTION or path.py:FUNCTION returns."""
    module, colon, function = source.rpartition(":")
    if not colon or not module or not function:
        raise ValueError(f"{source!r} does not name a function: write MODULE:FUNCTION or path.py:FUNCTION")
    if module.endswith(".py"):
        path = Path(module)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = loaded
        sys.path.insert(0, str(path.parent.resolve()))
        spec.loader.exec_module(loaded)
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module.split(".")[0]:
                raise
            raise ValueError(f"there is no module {module!r} here or among what is installed: is the name right?") from None
    if not callable(found := getattr(loaded, function, None)):
        raise ValueError(f"{module} has no function {function!r}")
    try:
        inspect_.signature(found).bind()
    except TypeError as error:
        raise ValueError(f"{source} is called without arguments, and wants some ({error})") from None
    return found()


def model_and_task(source: str) -> tuple[Any, Any]:
    """The model and the task that it returns; raises ValueError where it returns something else."""
    if is_graph(source):
        raise ValueError(
            f"{source} is a model without a task: write a function that returns (shoestring.from_onnx(path), task), and name that"
        )
    made = call(source)
    if not (isinstance(made, tuple) and len(made) == 2 and hasattr(made[0], "forward") and hasattr(made[1], "batches")):
        raise ValueError(f"{source} must return (trained model, task), and returned {type(made).__name__}")
    return made


def module_from(path: str | Path, fixed: Mapping[str, Any] | None = None) -> Any:
    """The module in an .onnx file, or in a .shoe file that runs, made of torch's functions; raises ValueError for other names."""
    from shoestring.kit.from_onnx import from_onnx, from_shoe

    path = Path(path)
    if path.suffix.lower() == ".onnx":
        return from_onnx(path, fixed=fixed)
    if path.suffix.lower() != ".shoe":
        raise ValueError(f"{path} must end in .onnx or .shoe")
    if fixed:
        raise ValueError(f"{path} is a .shoe file, whose inputs stay: fix them where the ONNX file is packed")
    return from_shoe(path)


def is_graph(source: str) -> bool:
    """Whether a source is a file with a graph in it, and no function."""
    return Path(source).suffix.lower() in (".onnx", ".shoe")


def fixed_values(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE of inputs and axes, a number or numbers between commas; raises ValueError."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            numbers = [float(one) if any(c in one for c in ".en") else int(one) for one in value.split(",")]
        except ValueError:
            numbers = []
        if not equals or not name or not numbers:
            raise ValueError(f"--fix {text!r}: write NAME=VALUE, such as sr=16000 or scale=0.5,0.5")
        found[name] = numbers[0] if len(numbers) == 1 else numbers
    return found
