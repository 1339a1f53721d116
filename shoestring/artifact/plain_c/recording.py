"""Inputs of a network with what its file answers, for a test of the C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.writer import Port
from shoestring.artifact.runtime.loaded import Loaded

CASES = 10
NUMBERS = {"float": np.float32, "int32_t": np.int32, "uint8_t": np.uint8, "int8_t": np.int8}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Inputs and what the file answers.

    `inputs`, `outputs`: for each case an array for each input or output of the C.
    `about`: where the inputs come from, in sentences.
    `labels`: what the largest output of each case should be, where somebody knows it.
    `raw`, `raw_outputs`: the same of raw inputs, where the C has an input chain; see `with_raw`.
    """

    inputs: tuple[tuple[np.ndarray, ...], ...]
    outputs: tuple[tuple[np.ndarray, ...], ...]
    about: str
    labels: tuple[int, ...] = ()
    raw: tuple[np.ndarray, ...] = ()
    raw_outputs: tuple[tuple[np.ndarray, ...], ...] = ()


def recorded(
    content: Content, made: CFile, given: Mapping[str, np.ndarray] | None = None
) -> Recorded:
    """What the file answers to ten inputs.

    `given`: an array for each input by name, with cases along the first axis, as `shoestring run`
        takes them; the first ten are used. None: random numbers, the same each time: from 0 to 1
        in every other case and from -1 to 1 in the others, and 0 or 1 where an input is integers.
    Raises ValueError for other names or shapes.
    """
    grids = {number for number, _, _ in made.network.grids}
    ports = tuple(
        replace(port, kind="float") if number in grids else port
        for port, (_, number) in zip(made.emitted.inputs, made.network.inputs, strict=True)
    )
    names = [port.name for port in content.graph.inputs]
    loaded = Loaded(content, threads=1)
    if given is None:
        drawn = np.random.default_rng(0)
        cases = [
            tuple(
                drawn.random(port.shape, np.float32) * (1 + place % 2) - place % 2
                if port.kind == "float"
                else drawn.integers(0, 2, port.shape).astype(NUMBERS[port.kind])
                for port in ports
            )
            for place in range(CASES)
        ]
        about = f"The {CASES} inputs are random numbers: give real ones with --inputs."
    else:
        cases = _rows(names, ports, given)
        about = f"The inputs are the first {len(cases)} of those that were given."
    if made.emitted.chain is not None:
        about += (
            f" They are {names[0]}, which the input chain makes: what is fed is not in this test."
        )
    answers: list[tuple[np.ndarray, ...]] = []
    rounded: list[tuple[np.ndarray, ...]] = []
    for case in cases:
        feeds = {
            port.name: array_.astype(ELEMENTS[port.element][0]).reshape(c_port.shape)
            for port, c_port, array_ in zip(content.graph.inputs, ports, case, strict=True)
        }
        results = loaded.run(feeds)
        rounded.append(_rounded(made, case))
        answers.append(tuple(np.asarray(results[port.name]) for port in content.graph.outputs))
    return Recorded(inputs=tuple(rounded), outputs=tuple(answers), about=about)


def _rounded(made: CFile, case: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Inputs as the C takes them: on their grids where it takes integers."""
    arrays = list(case)
    grids = {number: (scale, zero) for number, scale, zero in made.network.grids}
    for place, (_, number) in enumerate(made.network.inputs):
        if number in grids:
            scale, zero = grids[number]
            kind = NUMBERS[made.emitted.inputs[place].kind]
            info = np.iinfo(kind)
            steps = np.rint(arrays[place].astype(np.float32) / np.float32(scale)) + zero
            arrays[place] = np.clip(steps, info.min, info.max).astype(kind)
    return tuple(arrays)


def _rows(
    names: Sequence[str], ports: Sequence[Port], given: Mapping[str, np.ndarray]
) -> list[tuple[np.ndarray, ...]]:
    """The first cases of arrays by name."""
    arrays = dict(given)
    unnamed = [f"arr_{place}" for place in range(len(names))]
    if sorted(arrays) == sorted(unnamed):
        arrays = dict(zip(names, (arrays[name] for name in unnamed), strict=True))
    elif len(names) == len(arrays) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    if set(arrays) != set(names):
        raise ValueError(
            f"the inputs are called {', '.join(sorted(arrays)) or 'nothing'}, and the network's "
            f"are {', '.join(names)}"
        )
    columns: list[list[np.ndarray]] = []
    for name, port in zip(names, ports, strict=True):
        values = np.asarray(arrays[name])
        one = port.shape[1:] if port.shape[:1] == (1,) else port.shape
        if values.shape == one:
            values = values[None]
        if values.shape[1:] != one:
            raise ValueError(
                f"{name} has the shape {values.shape}: give cases along the first axis, each of "
                f"the shape {one}"
            )
        if port.kind != "float" and (values != values.astype(NUMBERS[port.kind])).any():
            raise ValueError(f"{name} has numbers that C does not take: it takes {port.kind}")
        columns.append([row.reshape(-1).astype(NUMBERS[port.kind]) for row in values[:CASES]])
    counts = {len(column) for column in columns}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"the inputs have {', '.join(str(len(one)) for one in columns)} cases: give as many "
            "of each, one or more"
        )
    return list(zip(*columns, strict=True))
