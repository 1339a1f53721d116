"""The names of a file's tensors, which cost bytes and are not in it.

Kept in the folder of the search that made the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoestring.artifact.format.saving import save

_FILES = "names.json"
"""Which names are whose: by the digest of a file, that of its list of names."""
STUDY = ".study"
"""What is added to the name of a file for the folder of its search."""


def keep_names(folder: Path, names: Sequence[str]) -> str:
    """Keep a list of names in a folder, once however often it is kept.

    Returns what it is called there.
    """
    data = json.dumps(list(names)).encode()
    called = hashlib.sha256(data).hexdigest()[:16]
    if not (path := _path(folder, called)).exists():
        save(path, data)
    return called


def note_names(folder: Path, files: Mapping[str, str]) -> None:
    """Note whose a list of names is: by the SHA-256 of files, what `keep_names` returned."""
    known = _noted(folder)
    if files.items() - known.items():
        save(folder / _FILES, json.dumps({**known, **files}, indent=0).encode())


def names_beside(path: Path, data: bytes) -> list[str]:
    """The names of a file's members, as the search noted them that made it, in whatever place
    beside `path`; none where none did.
    """
    digest = hashlib.sha256(data).hexdigest()
    for folder in (path.with_name(path.name + STUDY), *sorted(path.parent.glob(f"*{STUDY}"))):
        if (called := _noted(folder).get(digest)) is not None:
            try:
                return [str(name) for name in json.loads(_path(folder, called).read_bytes())]
            except (OSError, ValueError, TypeError):
                return []
    return []


def _path(folder: Path, called: str) -> Path:
    return folder / f"names-{Path(called).name}.json"


def _noted(folder: Path) -> dict[str, str]:
    try:
        return {
            str(file): str(called)
            for file, called in json.loads((folder / _FILES).read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
