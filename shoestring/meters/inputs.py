"""The meters share a file of the module, the example as arrays, and a function that runs it."""

from __future__ import annotations

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
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Task, Vary
from shoestring.core.entries import Call, calls_of


@contextmanager
def as_file(subject: Any, task: Task) -> Iterator[Path]:
    """The path of a file of `subject`: a path itself, or a temporary file of the module.

    Raises FileNotFoundError for a path without a file, TypeError for what is neither a module nor a
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

    with scratch_folder() as folder:
        path = folder / "model.shoe"
        kit.write(subject, task, path)
        yield path


def feeds(content: Content | Entries, task: Task, batch: int = 1) -> dict[str, np.ndarray]:
    """The task's example as the inputs of a file, by name, with `batch` examples.

    The inputs of a file with several entries are named `entry.input`. The arrays have the file's
    types. Examples lie along the axis named "N", or, where no axis has that name, along the first
    axis 0 that varies. There the example is cut or repeated, in every input that has that axis;
    without such an axis it stays as it is. Other axes keep the example's lengths.

    Raises ValueError where the example does not fit the file, or names other entries.
    """
    calls, contents = calls_of(task.example()), by_entry(content)
    if calls.keys() != contents.keys():
        of_file, of_task = (
            ", ".join(filter(None, names)) or "no names" for names in (contents, calls)
        )
        raise ValueError(
            f"the task's example names other entries than the file has ({of_task}; {of_file}): "
            "measure a file with the task that it was made for"
        )
    all_inputs: dict[str, np.ndarray] = {}
    for name, entry in contents.items():
        inputs = _inputs(entry, calls[name], batch)
        all_inputs |= {f"{_prefix(name)}{port}": value for port, value in inputs.items()}
    return all_inputs


def _inputs(content: Content, call: Call, batch: int) -> dict[str, np.ndarray]:
    """The inputs of one entry, by name."""
    inputs = content.graph.inputs
    example: dict[int, Any] = {}
    try:
        for keys, number in tree.items(content.graph.arguments):
            if number is not None:  # None: a fixed value, which is no tensor in the file
                value = reduce(getitem, keys, call)
                example[number] = value.tensor if isinstance(value, Vary) else value
        values = [
            as_input(example[index], port.name, ELEMENTS[port.element][0])
            for index, port in enumerate(inputs)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        wanted = ", ".join(
            f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]" for p in inputs
        )
        raise ValueError(
            f"the task's example does not fit the file, which takes {wanted} "
            f"({type(error).__name__}: {error}): measure a file with the task that it was made for"
        ) from error
    name = _batch_axis([port.shape for port in inputs])
    for index, port in enumerate(inputs):
        for axis, size in enumerate(port.shape[: values[index].ndim]):
            if size == name and isinstance(size, str):
                if not values[index].shape[axis]:
                    raise ValueError(
                        f"the task's example has no example in it: its {port.name!r} has length 0 "
                        f"along {name}"
                    )
                values[index] = values[index].take(
                    np.arange(batch) % values[index].shape[axis], axis
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
    """A function that runs the file once and does nothing else; of several entries it runs each.

    It uses the session that `load` makes. `Loaded.run` checks its inputs each time, which takes
    some ten microseconds of Python, longer than a small model runs. So ONNX Runtime checks them
    here, once and also for other runtimes, which do not check.

    `inputs`: as `feeds` returns them.
    `threads`: threads of a run, 1 or more; None for all cores.
    Raises ShoeError, and ValueError for inputs that do not fit.
    """
    runs: list[Callable[[], Any]] = []
    for name, entry in by_entry(content).items():
        own = of_entry(inputs, name)
        Loaded(entry, threads=1).run(own)
        runs.append(runtime.start(entry.graph, entry.tensors, threads).bound(own))
    return runs[0] if len(runs) == 1 else partial(_run_all, runs)


def _run_all(runs: Sequence[Callable[[], Any]]) -> None:
    for run in runs:
        run()


def _prefix(entry: str) -> str:
    return f"{entry}." if entry else ""


def of_entry(inputs: Mapping[str, np.ndarray], entry: str) -> dict[str, np.ndarray]:
    """The inputs of one entry by their own names, among inputs as `feeds` names them."""
    prefix = _prefix(entry)
    return {
        name.removeprefix(prefix): value
        for name, value in inputs.items()
        if name.startswith(prefix)
    }


def check_integer(name: str, value: int | None, least: int, optional: str = "") -> None:
    """Raise ValueError unless `value` is an integer of at least `least`.

    None is accepted where `optional` says what it means.
    """
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        also = f", or None for {optional}" if optional else ""
        raise ValueError(f"{name} is {value!r}: give an integer of {least} or more{also}")


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a number above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value!r}: give a number above 0")


def _batch_axis(shapes: list[tuple[int | str, ...]]) -> int | str | None:
    if any("N" in shape for shape in shapes):
        return "N"
    return next((shape[0] for shape in shapes if shape and isinstance(shape[0], str)), None)
