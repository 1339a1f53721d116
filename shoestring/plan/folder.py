"""The folder of a search, beside the file that it writes."""

from __future__ import annotations

import errno
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoestring.artifact.format.names import STUDY
from shoestring.artifact.scratch import Scratch
from shoestring.kit.study import alone, check_free

LABELS = "labels-"
"""What the names of the files begin with that keep labels which a search bought."""
LEARNT = "learnt-"
"""What the names of the files begin with that say what was learnt from examples without labels."""
INSTEAD = "write to another file (--out)"


def folder_of(path: Path) -> Path:
    """The folder of what a search measures, beside the file that it writes."""
    return path.with_name(f"{path.name}{STUDY}")


def check_not_searched(path: Path) -> None:
    """Raises StudyHeld where another command searches for a file; the message says which.

    Raises NotADirectoryError where a file has the name of the search's folder.
    """
    _check_folder(folder_of(path))
    check_free(folder_of(path), INSTEAD)


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR,
            f"{folder} is a file, and a search keeps its trials in a folder of that name: move it "
            f"away, or {INSTEAD}",
        )


class Temporary:
    """A temporary folder that lasts as long as this object."""

    def __init__(self) -> None:
        scratch = Scratch()
        self.path = scratch.path
        weakref.finalize(self, scratch.close)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A context in which no other process searches in a folder.

    A folder that is new is deleted again where an error ends the context before anything was
    measured or a label was bought.
    """
    try:
        folder.mkdir()
        new = True
    except FileExistsError:
        _check_folder(folder)
        new = False
    with alone(folder, INSTEAD):
        try:
            yield
        except Exception:
            measured = any(not file.name.startswith("original-") for file in folder.glob("*.shoe"))
            if new and not measured and not any(folder.glob(f"{LABELS}*.json")):
                shutil.rmtree(folder, ignore_errors=True)
            raise
