"""What the meters share.

A file of whatever is weighed, the example as arrays, and a way to run the one on the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import Content, Entries, Loaded, by_entry, tree
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.artifact.runtime.loaded import ONNX_RUNTIME, as_input
from shoestring.artifact.runtime.session import Runtime
from shoestring.core import Task, Vary
from shoestring.core.entries import Call, calls_of


@contextmanager
def as_file(subject: Any, task: Task) -> Iterator[Path]:
    """The path of a file of `subject`.

    Itself where it is a path, else a temporary file that the module is written to.
    Raises FileNotFoundError for a path without a file, TypeError for what is neither module nor
    path, and what `kit.write` raises for a module that cannot become a file.
    """
    if isinstance(subject, str | Path):
        path = Path(subject)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {path}: write one with shoestring.save(model, task, path)"
            )
        yield path
        return
    if not hasattr(subject, "forward"):
        raise TypeError(
            "a meter weighs a torch module or the path of a .shoe file, not "
            f"{type(subject).__name__}"
        )
    from shoestring import kit

    with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
        path = Path(folder) / "model.shoe"
        kit.write(subject, task, path)
        yield path


def feeds(content: Content | Entries, task: Task, batch: int = 1) -> dict[str, np.ndarray]:
    """The task's example as the inputs of a file, by name, in the file's types and with `batch`
    examples.

    Of a file with several entries the names are `entry.input`, of all of them.

    Examples are along the axis called "N", or, where none is called so, whichever axis 0 is the
    first to vary: the example is cut or repeated there, in every input that has that axis, and
    stays as it is where there is none. Other axes keep the example's lengths. Raises ValueError
    where the example does not fit the file.
    """
    calls, contents = calls_of(task.example()), by_entry(content)
    if calls.keys() != contents.keys():
        of_file, of_task = (", ".join(filter(None, one)) or "no names" for one in (contents, calls))
        raise ValueError(
            f"the task's example names other entries than the file has ({of_task}; {of_file}): "
            "measure a file with the task that "
            "it was made for"
        )
    found: dict[str, np.ndarray] = {}
    for name, one in contents.items():
        found |= {
            f"{_start(name)}{port}": value
            for port, value in _inputs(one, calls[name], batch).items()
        }
    return found


def _inputs(content: Content, call: Call, batch: int) -> dict[str, np.ndarray]:
    """The inputs of one entry by name."""
    inputs = content.graph.inputs
    found: dict[int, Any] = {}
    try:
        for keys, number in tree.items(content.graph.arguments):
            if number is not None:  # what is no tensor in the file is fixed
                value = reduce(getitem, keys, call)
                found[number] = value.tensor if isinstance(value, Vary) else value
        values = [
            as_input(found[place], port.name, ELEMENTS[port.element][0])
            for place, port in enumerate(inputs)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        wanted = ", ".join(
            f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]" for p in inputs
        )
        raise ValueError(
            f"the task's example does not fit the file, which takes {wanted} "
            f"({type(error).__name__}: {error}): "
            "measure a file with the task that it was made for"
        ) from error
    name = _batch_axis([port.shape for port in inputs])
    for place, port in enumerate(inputs):
        for axis, size in enumerate(port.shape[: values[place].ndim]):
            if size == name and isinstance(size, str):
                if not values[place].shape[axis]:
                    raise ValueError(
                        f"the task's example has no example in it: its {port.name!r} has length 0 "
                        f"along {name}"
                    )
                values[place] = values[place].take(
                    np.arange(batch) % values[place].shape[axis], axis
                )
    return {
        port.name: np.ascontiguousarray(v).reshape(v.shape)
        for port, v in zip(inputs, values, strict=True)
    }


def runner(
    content: Content | Entries,
    inputs: dict[str, np.ndarray],
    threads: int | None = 1,
    runtime: Runtime = ONNX_RUNTIME,
) -> Callable[[], Any]:
    """A function that runs the file once, on `threads` threads (None.

    All cores), and nothing else: of several entries each, in turn.
    The session is the one that `load` makes. But `Loaded.run` checks its inputs each time and costs
    some ten microseconds of Python, which is more than a small model takes; so they are checked
    here, once, by ONNX Runtime, which other runtimes leave undone. Raises ShoeError, ValueError for
    inputs that do not fit.
    """
    runs: list[Callable[[], Any]] = []
    for name, one in by_entry(content).items():
        own = of_entry(inputs, name)
        Loaded(one, threads=1).run(own)
        runs.append(runtime.start(one.graph, one.tensors, threads).bound(own))
    return runs[0] if len(runs) == 1 else partial(_all, runs)


def _all(runs: Sequence[Callable[[], Any]]) -> None:
    for run in runs:
        run()


def _start(entry: str) -> str:
    return f"{entry}." if entry else ""


def of_entry(inputs: Mapping[str, np.ndarray], entry: str) -> dict[str, np.ndarray]:
    """Of inputs as `feeds` names them those of one entry, by their own names."""
    start = _start(entry)
    return {
        name.removeprefix(start): value for name, value in inputs.items() if name.startswith(start)
    }


def whole(name: str, value: int | None, least: int, optional: str = "") -> None:
    """Raises ValueError unless `value` is a whole number of at least `least`, or None where
    `optional` says what that means.
    """
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        also = f", or None for {optional}" if optional else ""
        raise ValueError(f"{name} is {value!r}: give a whole number of {least} or more{also}")


def positive(name: str, value: float) -> None:
    """Raises ValueError unless `value` is a number above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value!r}: give a number above 0")


def _batch_axis(shapes: list[tuple[int | str, ...]]) -> int | str | None:
    if any("N" in shape for shape in shapes):
        return "N"
    return next((shape[0] for shape in shapes if shape and isinstance(shape[0], str)), None)
