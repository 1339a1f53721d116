"""A folder in which processes that train one student each leave copies of it for the others."""

from __future__ import annotations

import hashlib
import io
import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shoestring.artifact import save
from shoestring.artifact.format.saving import save_first
from shoestring.core import spend

_PAUSE_SECONDS = 0.05
_RUN = "run.json"


@dataclass(eq=False)
class Exchange:
    """The copies of all students of a co-distillation, by their number and the number of the copy.

    A copy is written completely or not at all, and stays, so that a process that was killed reads
    the same copies again.

    `folder`: which exists.
    `own`: the number of the student that this process trains.
    `patience`: the seconds that it waits for a copy of another student. After that it goes on with
        the newest copy there is, and does not wait for that student again until it catches up.
    """

    folder: Path
    own: int
    patience: float
    _silent: set[int] = field(default_factory=set)

    def agree(self, run: dict[str, Any], needed_bytes: int, most_bytes: int) -> None:
        """Check that the folder has this run, or begin it; the first of the processes writes it.

        Raises ValueError where it has another, and where the copies will take more than they may.
        """
        if needed_bytes > most_bytes:
            raise ValueError(
                f"the copies of this run take about {needed_bytes:,} bytes, and may take "
                f"{most_bytes:,}: exchange less often (every=), or give a larger most_bytes="
            )
        path, text = self.folder / _RUN, json.dumps(run, sort_keys=True)
        save_first(path, text.encode())
        if (there := path.read_text()) != text:
            raise ValueError(
                f"{self.folder} has another co-distillation: it began with {there}, and this "
                f"process with {text}. Give all processes the same students, training and "
                "settings, or name another folder"
            )

    def leave(self, student: nn.Module, number: int) -> None:
        """Leave a copy of this process's student; one that is there stays."""
        path = self._path(self.own, number)
        if path.exists():
            return
        data = io.BytesIO()
        torch.save({name: one.cpu() for name, one in student.state_dict().items()}, data)
        save(path, data.getbuffer())
        spend("communicated_bytes", data.getbuffer().nbytes)

    def take(self, other: int, into: nn.Module, number: int) -> bool:
        """Read a copy of another student; returns whether it has left any.

        It is the copy with this number, or after `patience` seconds the newest before it.
        Raises ValueError for a copy that cannot be read or is of another network.
        """
        path = self._path(other, number)
        if not self._appears(path, 0.0 if other in self._silent else self.patience):
            self._say_silent(other, number)
            before = [one for one in range(number) if self._path(other, one).exists()]
            if not before:
                return False
            path = self._path(other, before[-1])
        elif other in self._silent:
            self._silent.remove(other)
        try:
            into.load_state_dict(torch.load(path, weights_only=True))
        except Exception as error:
            raise ValueError(
                f"the copy {path} cannot be read ({str(error).splitlines()[0]}): delete it, and "
                "start the process of that student again"
            ) from None
        spend("communicated_bytes", path.stat().st_size)
        return True

    def _appears(self, path: Path, seconds: float) -> bool:
        """Wait for a file, so many seconds at most; returns whether it is there."""
        until = time.monotonic() + seconds
        while not path.exists():
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def _say_silent(self, other: int, number: int) -> None:
        if other not in self._silent:
            warnings.warn(
                f"the student {other} has left no copy {number} for {self.patience:g} seconds: "
                f"student {self.own} goes on with its last copy, or without it. Start its process "
                "again, and it goes on from where it was",
                stacklevel=5,
            )
            self._silent.add(other)

    def _path(self, student: int, number: int) -> Path:
        return self.folder / f"student-{student}-{number:06d}.pt"


def digest_of(student: nn.Module) -> str:
    """16 hexadecimal digits of a module's weights and their names."""
    digest = hashlib.sha256()
    for name, one in student.state_dict().items():
        digest.update(f"{name} {tuple(one.shape)} {one.dtype}".encode())
        flat = one.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
