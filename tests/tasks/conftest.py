"""Data folders of one's own, and how to fill them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from shoestring.tasks.fetch import Source


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that SHOESTRING_DATA names, empty; the cache is another empty one."""
    (folder := tmp_path / "data").mkdir()
    monkeypatch.setenv("SHOESTRING_DATA", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def put(data: Path) -> Callable[[Source, bytes], Source]:
    """Puts a file of a source into the folder, and returns the source with that file's checksum."""

    def put(source: Source, content: bytes) -> Source:
        path = data / source.folder / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Source(source.folder, source.name, source.url, hashlib.sha256(content).hexdigest())

    return put
