"""The folder of a search, beside the file that it writes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoestring.artifact.format.names import STUDY
from shoestring.kit.study.study import alone


def folder_of(path: Path) -> Path:
    """The folder of what a search measures, beside the file that it writes."""
    return path.with_name(f"{path.name}{STUDY}")


class Temporary:
    """A temporary folder that lasts as long as this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="shoestring-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A context in which no other process searches in a folder.

    A folder that is new is deleted again where an error ends the context before anything was
    measured.
    """
    new = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        with alone(folder):
            yield
    except Exception:
        measured = any(not file.name.startswith("original-") for file in folder.glob("*.shoe"))
        if new and not measured:
            shutil.rmtree(folder, ignore_errors=True)
        raise
