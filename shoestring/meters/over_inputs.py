"""Latency over real inputs, for files in which some inputs take longer than others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import load, read_model
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.artifact.runtime.loaded import ONNX_RUNTIME, as_input
from shoestring.artifact.runtime.session import Runtime
from shoestring.core import Task, array
from shoestring.meters.inputs import check_integer
from shoestring.meters.interleaved import Timing, in_turn


def over_inputs(
    paths: Sequence[str | Path],
    task: Task,
    *,
    examples: int = 200,
    rounds: int = 7,
    threads: int | None = 1,
    runtime: Runtime = ONNX_RUNTIME,
) -> list[Timing]:
    """Milliseconds for one example, the mean over real ones, of files in alternation.

    A file with early exits or with a mixture of experts takes longer for some inputs than for
    others, so that the time of a task's example says little. Here a sample is a pass over inputs
    of the validation split, one example at a time; the times are those of an example.

    `paths`: files with one input, whose first axis is the examples.
    `examples`: how many inputs, the first that the task's score calls the file with; 1 or more.
    `rounds`: passes over them of each file, 1 or more.
    `threads`: threads of a run, 1 or more; None for all cores.
    Returns a Timing per path, in order. Raises ValueError for other settings, for a file with
    several entries or inputs, and for a task whose score calls no file; ShoeError for a damaged
    file.
    """
    check_integer("examples", examples, 1)
    check_integer("rounds", rounds, 1)
    check_integer("threads", threads, 1, "all cores")
    if isinstance(paths, str | Path) or not paths:
        raise ValueError(f"over_inputs() takes a list of one path or more, not {paths!r}")
    inputs = _inputs(task, paths[0], examples)
    runs: list[Any] = []
    for path in paths:
        content = read_model(path)
        if not isinstance(content, Content) or len(content.graph.inputs) != 1:
            raise ValueError(f"{path} has several entries or inputs: over_inputs takes one input")
        (port,) = content.graph.inputs
        session = runtime.start(content.graph, content.tensors, threads)
        element = ELEMENTS[port.element][0]
        runs.append(
            [session.bound({port.name: as_input(one, port.name, element)}) for one in inputs]
        )
    timings = in_turn(
        [partial(_run_all, own) for own in runs], resting=threads != 1, rounds=rounds, warm_up=1
    )
    return [
        Timing.of([one / len(inputs) for one in timing.milliseconds], timing.runs)
        for timing in timings
    ]


def _run_all(runs: Sequence[Any]) -> None:
    for run in runs:
        run()


class _EnoughError(Exception):
    """The inputs that are wanted are there."""


def _inputs(task: Task, first: str | Path, examples: int) -> list[np.ndarray]:
    """The first inputs that the task's score calls a file with, each with one example."""
    loaded, found = load(first, threads=1), list[np.ndarray]()

    def predict(*args: Any, **kwargs: Any) -> Any:
        batch = array([*args, *kwargs.values()][0])
        found.extend(batch[at : at + 1] for at in range(len(batch)))
        if len(found) >= examples:
            raise _EnoughError
        return loaded(*args, **kwargs)

    with suppress(_EnoughError):
        task.score(predict, "validation")
    if not found:
        raise ValueError("the task's score calls no file on validation data: give a task that does")
    return found[:examples]
