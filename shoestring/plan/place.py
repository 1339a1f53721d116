"""Where a search works: the file that it writes, and the folder beside it."""

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
    """Where a search keeps what it measured: beside the file that it writes."""
    return path.with_name(f"{path.name}{STUDY}")


class Temporary:
    """A folder that lasts as long as this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="shoestring-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the one that searches in a folder.

    Where nothing was measured, one that was not there before is not there after.
    """
    new = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        with alone(folder):
            yield
    except Exception:
        measured = any(not one.name.startswith("original-") for one in folder.glob("*.shoe"))
        if new and not measured:
            shutil.rmtree(folder, ignore_errors=True)
        raise
