"""What the user's function returns: a model and a task, a model alone or a task alone."""

from __future__ import annotations

import importlib
import importlib.util
import inspect as inspect_
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from shoestring.core import check_task, unwrapped


def call(source: str) -> Any:
    """Call MODULE:FUNCTION or path.py:FUNCTION.

    Raises ValueError where it is not a function without arguments, and FileNotFoundError where
    there is no such file.
    """
    module, colon, function = source.rpartition(":")
    if not colon or not module or not function:
        raise ValueError(
            f"{source!r} does not name a function: write MODULE:FUNCTION or path.py:FUNCTION"
        )
    if module.endswith(".py"):
        path = Path(module)
        if not path.is_file():
            raise FileNotFoundError(
                "there is no file "
                f"{path}{_near(path.name, [one.name for one in path.parent.glob('*.py')])}"
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
            raise ValueError(
                f"there is no module {module!r} here or among what is installed: is the name right?"
            ) from None
    if not callable(target := getattr(loaded, function, None)):
        functions = [
            name
            for name, value in vars(loaded).items()
            if inspect_.isfunction(value) and not name.startswith("_")
        ]
        raise ValueError(f"{module} has no function {function!r}{_near(function, functions)}")
    try:
        inspect_.signature(target).bind()
    except TypeError as error:
        raise ValueError(
            f"{source} is called without arguments, and wants some ({error})"
        ) from None
    return target()


def _near(name: str, names: list[str]) -> str:
    """A suggestion of the nearest name; "" for none."""
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def named(file: Path, entry: str | None, entries: Iterable[str]) -> str:
    """The entry that the user names, checked against those of a file.

    Raises ValueError, with the names of the entries, where it is None or another name.
    """
    known = [name for name in entries if name]
    if entry in known:
        return entry
    if not known:
        raise ValueError(f"{file} has one graph, which has no name: leave --entry out")
    wrong = "" if entry is None else f", and none is called {entry!r}{_near(entry, known)}"
    raise ValueError(f"{file} has entries{wrong}: give --entry {' or --entry '.join(known)}")


class SameName(Enum):
    """What agreement means, as the command line writes it."""

    CLASS = "class"
    ANSWER = "answer"
    BOXES = "boxes"
    DIRECTION = "direction"
    CENTS = "cents"
    NUMBERS = "numbers"


Inputs = Annotated[
    Path | None,
    typer.Option(
        show_default=False,
        help="for a function that returns a model alone: an .npz or .npy file, or a folder of "
        "pictures or sounds; the score is agreement with the model as it came in, on inputs that "
        "are held out",
    ),
]
SameOption = Annotated[
    SameName | None,
    typer.Option(
        "--same",
        show_default=False,
        help="with --inputs, what the only output must keep; left out: found out from what it "
        "looks like",
    ),
]


def model_and_task(
    source: str, inputs: Path | None = None, same: SameName | None = None
) -> tuple[Any, Any]:
    """The (model, task) that a function returns; with `inputs`, its model and agreement with it.

    Raises ValueError where the function returns something else.
    """
    if inputs is not None and not inputs.exists():
        raise FileNotFoundError(
            f"there is no {inputs}: --inputs takes an .npz or .npy file, or a folder of pictures "
            "or sounds"
        )
    if same is not None and inputs is None:
        raise ValueError("--same says what agreement means, and wants --inputs to agree on")
    made = module_from(source) if is_graph(source) else call(source)
    if hasattr(made, "forward"):
        if inputs is None and is_graph(source):
            raise ValueError(
                f"{source} is a model without a task: give --inputs x.npz, on which its answers "
                "are to stay the same, or name a function that returns "
                "(shoestring.from_onnx(path), task)"
            )
        if inputs is None:
            raise ValueError(
                f"{source} returned a model alone, {type(made).__name__}: give --inputs x.npz, on "
                "which its answers are to stay the same, or return (trained model, task)"
            )
        model = unwrapped(made)
        return model, _agreement(model, inputs, same)
    if not (isinstance(made, tuple) and len(made) == 2):
        kind = type(made).__name__
        returned = f"a {kind} of {len(made)}" if isinstance(made, tuple | list) else kind
        raise ValueError(f"{source} must return (trained model, task), and returned {returned}")
    model, task = made
    if hasattr(model, "batches") and hasattr(task, "forward"):
        raise ValueError(f"{source} returned (task, model): it must return (trained model, task)")
    if inputs is not None:
        raise ValueError(
            f"{source} returned a task of its own: leave --inputs out, or return the model alone"
        )
    try:
        check_task(task)
        return unwrapped(model), task
    except TypeError as error:
        raise ValueError(f"{source} must return (trained model, task): {error}") from None


def task_of(source: str, inputs: Path | None = None, same: SameName | None = None) -> Any:
    """The task that a function returns, or the agreement with the model that it returns alone."""
    if inputs is not None or same is not None:
        return model_and_task(source, inputs, same)[1]
    made = module_from(source) if is_graph(source) else call(source)
    if hasattr(made, "forward") and not hasattr(made, "batches"):
        raise ValueError(
            f"{source} returned a model alone, {type(made).__name__}: give --inputs, the same as "
            "when the file was made"
        )
    return made[1] if isinstance(made, tuple) else made


def _agreement(model: Any, inputs: Path, same: SameName | None) -> Any:
    """The task of agreement with a model, which is printed."""
    from shoestring.kit import (
        Agreement,
        Cents,
        Overlap,
        RelativeError,
        SameAnswer,
        SameClass,
        SameDirection,
    )

    measures: dict[SameName, Any] = {
        SameName.CLASS: SameClass,
        SameName.ANSWER: SameAnswer,
        SameName.BOXES: Overlap,
        SameName.DIRECTION: SameDirection,
        SameName.CENTS: Cents,
        SameName.NUMBERS: RelativeError,
    }
    task = Agreement(model, inputs, None if same is None else measures[same]())
    print(task, file=sys.stderr)
    return task


def module_from(path: str | Path, fixed: Mapping[str, Any] | None = None) -> Any:
    """The model in an .onnx file or in a .shoe file with a graph, as a torch module.

    `fixed`: values of inputs and axes of an ONNX file.
    Raises ValueError for other files.
    """
    from shoestring.kit.importing.from_onnx import from_onnx, from_shoe

    path = Path(path)
    if is_onnx(path):
        return from_onnx(path, fixed=fixed)
    if path.suffix.lower() != ".shoe":
        raise ValueError(f"{path} must end in .onnx or .shoe")
    if fixed:
        raise ValueError(
            f"{path} is a .shoe file, whose inputs stay: fix them where the ONNX file is packed"
        )
    return from_shoe(path)


def is_onnx(path: str | Path) -> bool:
    """Whether a file is ONNX, by its suffix."""
    return Path(path).suffix.lower() == ".onnx"


def is_graph(source: str) -> bool:
    """Whether a source is an .onnx or .shoe file, and not a function."""
    return is_onnx(source) or Path(source).suffix.lower() == ".shoe"


def fixed_values(given: Sequence[str]) -> dict[str, Any]:
    """Parse NAME=VALUE for inputs and axes; a value is a number, or numbers between commas.

    Raises ValueError for other texts.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            numbers = [
                float(part) if any(c in part for c in ".en") else int(part)
                for part in value.split(",")
            ]
        except ValueError:
            numbers = []
        if not equals or not name or not numbers:
            raise ValueError(f"--fix {text!r}: write NAME=VALUE, such as sr=16000 or scale=0.5,0.5")
        values[name] = numbers[0] if len(numbers) == 1 else numbers
    return values
