"""A network's milliseconds without its file: from a table of operations, or from a draft.

Which of them? A table, where hundreds of networks of one space are looked at: once it has their
operations, a network takes a run and a sum. A draft, where a few are compared: it is measured as a
whole.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from shoestring.artifact import save
from shoestring.artifact.format.file import pack
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Meter, Task, Vary
from shoestring.core.ledger import machine, versions
from shoestring.search.pieces import Piece, alone, between, is_map, nothing, pieces_of
from shoestring.search.steps import Steps, Value, draft, steps_of

_COPIES = 6  # of a piece in a file, so that it outweighs the noise
_TIMES = 3  # that a file is measured; the median is taken, since others use the machine as well
_FEWEST = 4  # networks that a fit of two numbers takes
_FORMAT = 1  # of what is kept; another one where the files of pieces change

_ByKind = dict[str, dict[str, tuple[int, float]]]
"""Of each kind of piece those that are known, by their keys: what they compute, milliseconds."""


class UnknownOperatorError(ValueError):
    """A network runs operators of torch without a rule; the message names them."""


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """The milliseconds of a network's file, measured on a draft of the file.

    A draft has the operators and weights of the file. It comes from one run of the network on the
    example, not from torch's exporter, which takes seconds.

    `meter`: what measures a file's milliseconds; a Latency.
    """

    meter: Meter

    def __call__(self, network: nn.Module, task: Task) -> float:
        """The milliseconds of one run with batch 1.

        Raises UnknownOperatorError for an operator without a rule, ValueError where the meter gives
        no milliseconds, and what the network and the meter raise.
        """
        return _measured(self.meter, _steps(network, task), 1)


@dataclass(frozen=True)
class Fit:
    """What makes the sum over operations the milliseconds of a network.

    `factor`: times the sum, 0 or more.
    `each`: milliseconds of each operation beside, 0 or more: maps change their order in memory
        between some.
    """

    factor: float = 1.0
    each: float = 0.0

    @staticmethod
    def of(sums: Sequence[float], counts: Sequence[int], measured: Sequence[float]) -> Fit:
        """The fit with the least squares of relative errors.

        `sums`, `counts`, `measured`: of each network, the sum in milliseconds, the number of
            operations and the milliseconds, above 0.
        """
        target = np.array(measured)
        columns = np.stack([np.array(sums), np.array(counts, float)], 1) / target[:, None]
        factor, each = np.linalg.lstsq(columns, np.ones(len(target)))[0]
        if each < 0 or factor < 0:  # the best of what is left is with one of them alone
            alone = columns.sum(0) / (columns**2).sum(0)
            better = int(np.argmin(((columns * alone - 1) ** 2).sum(0)))
            factor, each = alone * (np.arange(2) == better)
        return Fit(float(factor), float(each))


class Part(NamedTuple):
    """The operations of one kind in a network.

    `milliseconds`: their sum, each measured once and before any fit.
    `number`: how many there are.
    """

    milliseconds: float
    number: int


@dataclass(frozen=True, kw_only=True)
class OperationTable:
    """The milliseconds of a network's file, as the sum over its operations.

    An operation is measured once for all networks that have it: with its shapes, with what a
    runtime folds into it, and with a convolution before and a pooling after it, which are measured
    alone and taken off.

    Source: Cai et al. 2019 (ProxylessNAS), section 4.2 (a sum of measured operations).
    Differs: operations stand between others, and `fitted` corrects the sum.

    `meter`: what measures a file's milliseconds; a Latency.
    `folder`: where operations are kept that were measured on this machine, with these versions and
        this meter. Processes may share it. Delete it to measure again, as after a time in which
        the machine was busy. None: in this object alone.
    `fit`: what corrects the sum.
    """

    meter: Meter
    folder: str | Path | None = None
    fit: Fit = Fit()
    _memory: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    _seen: _ByKind = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, network: nn.Module, task: Task) -> float:
        """The foretold milliseconds of one run with batch 1. Operations that are new are measured.

        Raises UnknownOperatorError for an operator without a rule, ValueError where the meter gives
        no milliseconds, OSError where the folder cannot be written, and what the network and the
        meter raise.
        """
        total, count = self._summed(network, task)
        return self.fit.factor * total + self.fit.each * count

    def learn(self, network: nn.Module, task: Task, seconds: float = math.inf) -> bool:
        """Measure the operations of a network that are new, until so many seconds are gone.

        Returns whether all are known now. Raises as a call does.
        """
        steps, began = _steps(network, task), monotonic()
        self._kept("nothing", nothing)
        for piece in pieces_of(steps):
            if monotonic() - began >= seconds:
                return False
            self._piece(piece, steps)
        return True

    def guessed(self, network: nn.Module, task: Task) -> tuple[float, int]:
        """The same without a measurement, and how many operations were guessed.

        An operation that is not in the table takes what others of its kind would lead one to
        expect, by how much it computes. A table that nothing was looked up in guesses 0.

        Raises UnknownOperatorError for an operator without a rule, and what the network raises.
        """
        steps = _steps(network, task)
        pieces = pieces_of(steps)
        known = [self._held(piece.key) is not None for piece in pieces]
        parts = [
            self._piece(piece, steps) if is_known else self._guess(piece, steps)
            for piece, is_known in zip(pieces, known, strict=True)
        ]
        total = (self._held("nothing") or 0.0) + sum(parts)
        return self.fit.factor * total + self.fit.each * len(pieces), known.count(False)

    def _guess(self, piece: Piece, steps: Steps) -> float:
        """The milliseconds of a piece, from those of its kind, or of all kinds."""
        kinds = [self._seen[piece.kind]] if piece.kind in self._seen else self._seen.values()
        known = [one for kind in kinds for one in kind.values() if one[1] > 0]
        if not known:
            return 0.0
        work, milliseconds = zip(*known, strict=True)
        fit = Fit.of(work, [1] * len(work), milliseconds)
        return fit.factor * piece.work(steps) + fit.each

    def _summed(self, network: nn.Module, task: Task) -> tuple[float, int]:
        """The milliseconds of a run and of the operations in it, and how many operations."""
        parts = self.parts(network, task).values()
        run = self._kept("nothing", nothing)
        return run + sum(one.milliseconds for one in parts), sum(one.number for one in parts)

    def parts(self, network: nn.Module, task: Task) -> dict[str, Part]:
        """The operations by their kinds, such as "Conv" or "ConvInGroups".

        Raises as a call does.
        """
        steps, found = _steps(network, task), dict[str, Part]()
        for piece in pieces_of(steps):
            before = found.get(piece.kind, Part(0.0, 0))
            milliseconds = before.milliseconds + self._piece(piece, steps)
            found[piece.kind] = Part(milliseconds, before.number + 1)
        return found

    def fitted(self, networks: Iterable[nn.Module], task: Task) -> OperationTable:
        """The same table with a fit to networks like those that it is for.

        Their milliseconds are measured on drafts, and kept as those of operations are: a fit to the
        same networks again measures nothing.

        `networks`: 4 or more, best 12 that were drawn at random from the space.

        Raises ValueError for fewer, and as a call does.
        """
        networks = list(networks)
        if len(networks) < _FEWEST:
            raise ValueError(
                f"a table is fitted to {len(networks)} networks: give {_FEWEST} or more, best 12 "
                "that were drawn at random from the space"
            )
        rows = list[tuple[float, int, float]]()
        for network in networks:
            rows.append((*self._summed(network, task), self._draft(_steps(network, task))))
        sums, counts, measured = zip(*rows, strict=True)
        table = OperationTable(
            meter=self.meter, folder=self.folder, fit=Fit.of(sums, counts, measured)
        )
        table._memory.update(self._memory)
        table._seen.update(self._seen)
        return table

    def _draft(self, steps: Steps) -> float:
        """The milliseconds of a whole network, by its draft."""
        wired = [(piece.key, piece.given, piece.output) for piece in pieces_of(steps)]
        return self._kept(f"draft {_short(repr(wired))}", lambda: steps)

    @property
    def measurements(self) -> int:
        """How many measured numbers this object holds."""
        return len(self._memory)

    def _piece(self, piece: Piece, steps: Steps) -> float:
        """The milliseconds of a piece: of copies between others, less those of the others."""
        whole = self._kept(piece.key, lambda: alone(piece, steps, _COPIES))
        maps = [steps.values[one] for one in piece.given if is_map(steps.values[one])]
        others = sum(self._between(one) for one in maps) or self._kept("nothing", nothing)
        if len(maps) > 1:  # several maps come in, one goes out
            others -= (len(maps) - 1) * (self._between(maps[0], 2) - self._between(maps[0]))
        found = max(0.0, whole - others) / _COPIES
        self._seen.setdefault(piece.kind, {})[piece.key] = piece.work(steps), found
        return found

    def _between(self, value: Value, sinks: int = 1) -> float:
        """The milliseconds of what is before and after a piece that takes this map."""
        key = f"between {'x'.join(map(str, value.shape))} {sinks}"
        return self._kept(key, lambda: between(value, _COPIES, sinks))

    def _kept(self, key: str, made: Callable[[], Steps]) -> float:
        """The milliseconds of a run that are in memory or in the folder, or measured now."""
        if (found := self._held(key)) is None:
            found = self._memory[key] = _measured(self.meter, made(), _TIMES)
            if (path := self._path(key)) is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                save(path, json.dumps({"key": key, "milliseconds": found}).encode())
        return found

    def _held(self, key: str) -> float | None:
        """The milliseconds of a run that are in memory or in the folder; None for no such."""
        path = None if key in self._memory else self._path(key)
        if path is not None and (found := _read(path, key)) is not None:
            self._memory[key] = found
        return self._memory.get(key)

    def _path(self, key: str) -> Path | None:
        if self.folder is None:
            return None
        setting = repr((_FORMAT, machine(), sorted(versions().items()), self.meter))
        return Path(self.folder) / _short(setting) / f"{_short(key)}.json"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, key: str) -> float | None:
    """What a file holds for a key; None where it holds nothing of use, so that one measures."""
    try:
        held = json.loads(path.read_bytes())
        found = float(held["milliseconds"]) if held["key"] == key else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return found if found is not None and 0 <= found < float("inf") else None


def _steps(network: nn.Module, task: Task) -> Steps:
    """The steps of a network; raises UnknownOperatorError where an operator has no rule."""
    steps = steps_of(network, task)
    if steps.unknown:
        raise UnknownOperatorError(
            f"no milliseconds can be foretold of {', '.join(sorted(steps.unknown))}, which the "
            "network runs: there is no rule for what that is in a file. Measure the network's own "
            "file with the meter"
        )
    return steps


def _measured(meter: Meter, steps: Steps, times: int) -> float:
    """The median milliseconds of a draft; raises ValueError where the meter gives none."""
    task = _Alone([_example(steps.values[number]) for number in steps.inputs])
    with scratch_folder() as folder:
        path = folder / "draft.shoe"
        save(path, pack(draft(steps)))
        found = [meter(path, task).milliseconds for _ in range(times)]
    known = [one for one in found if one is not None]
    if not known:
        raise ValueError(f"{meter!r} gives no milliseconds: give a Latency as the meter")
    return median(known)


def _example(value: Value) -> torch.Tensor:
    if value.type == "float32":
        return torch.rand(value.shape, generator=torch.Generator().manual_seed(0))
    return torch.zeros(value.shape, dtype=getattr(torch, value.type))


class _Alone(Task):
    """A task of which only the example is asked: inputs of one shape."""

    def __init__(self, inputs: Sequence[torch.Tensor]) -> None:
        self.inputs = inputs

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return ()

    def loss(self, model: Any, batch: Any) -> Any:
        return torch.zeros(())

    def score(self, predict: Any, split: str) -> float:
        return 0.0

    def example(self) -> Any:
        return tuple(Vary(one, {}) for one in self.inputs), {}
