"""What a user's function makes: a model and a task, or a task alone."""

from __future__ import annotations

import importlib
import importlib.util
import inspect as inspect_
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shoestring.core import check_task, unwrapped


def call(source: str) -> Any:
    """What MODULE:FUNCTION or path.py:FUNCTION returns."""
    module, colon, function = source.rpartition(":")
    if not colon or not module or not function:
        raise ValueError(f"{source!r} does not name a function: write MODULE:FUNCTION or path.py:FUNCTION")
    if module.endswith(".py"):
        path = Path(module)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {path}{_near(path.name, [one.name for one in path.parent.glob('*.py')])}"
            )
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
        functions = [name for name, one in vars(loaded).items() if inspect_.isfunction(one) and not name.startswith("_")]
        raise ValueError(f"{module} has no function {function!r}{_near(function, functions)}")
    try:
        inspect_.signature(found).bind()
    except TypeError as error:
        raise ValueError(f"{source} is called without arguments, and wants some ({error})") from None
    return found()


def _near(name: str, names: list[str]) -> str:
    """What was meant, perhaps."""
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def model_and_task(source: str) -> tuple[Any, Any]:
    """The model and the task that it returns; raises ValueError where it returns something else."""
    made = call(source)
    if not (isinstance(made, tuple) and len(made) == 2):
        told = f"a {type(made).__name__} of {len(made)}" if isinstance(made, tuple | list) else type(made).__name__
        raise ValueError(f"{source} must return (trained model, task), and returned {told}")
    model, task = made
    if hasattr(model, "batches") and hasattr(task, "forward"):
        raise ValueError(f"{source} returned (task, model): it must return (trained model, task)")
    try:
        check_task(task)
        return unwrapped(model), task
    except TypeError as error:
        raise ValueError(f"{source} must return (trained model, task): {error}") from None
