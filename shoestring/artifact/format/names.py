"""Keeps the names of a file's tensors beside it, because in the file they would cost bytes.

They are in the folder of the search that made the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoestring.artifact.format.saving import save

_INDEX = "names.json"
"""A JSON object: the ID of a list of names by the SHA-256 of each file that it belongs to."""
TABLE = "sensitivity.json"
"""The table of sensitivity that was measured in a folder, in JSON."""
NOTE = "search.json"
"""The file in the folder of a search that describes it."""
DATABASE, LOCK = "study.sqlite", "command.lock"
"""The files in it with its trials, and that a command which works there keeps locked."""
STUDY = ".study"
"""The suffix that the name of a file gets for the folder of its search."""
NETWORKS, SEARCHED = ".networks", "networks.json"
"""The same for a search of networks, and the file in that folder which says what it came to."""


def networks_folder(path: Path) -> Path:
    """The folder of the search of networks that makes a file."""
    return path.with_name(f"{path.name}{NETWORKS}")


def keep_names(folder: Path, names: Sequence[str]) -> str:
    """Write a list of names into a folder, unless it is there already.

    Returns its ID, the first 16 hexadecimal digits of its SHA-256.
    """
    data = json.dumps(list(names)).encode()
    names_id = hashlib.sha256(data).hexdigest()[:16]
    if not (path := _path(folder, names_id)).exists():
        save(path, data)
    return names_id


def note_names(folder: Path, files: Mapping[str, str]) -> None:
    """Record which files a list of names belongs to.

    `files`: what `keep_names` returned, by the SHA-256 of each file in hexadecimal digits.
    """
    known = _index(folder)
    if files.items() - known.items():
        save(folder / _INDEX, json.dumps({**known, **files}, indent=0).encode())


def names_beside(path: Path, data: bytes) -> list[str]:
    """The names of a file's tensors, as recorded by the search that made it; [] if there are none.

    `path`: where the file is; every folder of a search beside it is read, its own first.
    `data`: the bytes of the file.
    """
    digest = hashlib.sha256(data).hexdigest()
    for folder in (path.with_name(path.name + STUDY), *sorted(path.parent.glob(f"*{STUDY}"))):
        if (names_id := _index(folder).get(digest)) is not None:
            try:
                return [str(name) for name in json.loads(_path(folder, names_id).read_bytes())]
            except (OSError, ValueError, TypeError):
                return []
    return []


def _path(folder: Path, names_id: str) -> Path:
    return folder / f"names-{Path(names_id).name}.json"


def _index(folder: Path) -> dict[str, str]:
    try:
        return {
            str(file): str(names_id)
            for file, names_id in json.loads((folder / _INDEX).read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
