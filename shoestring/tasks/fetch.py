"""Data sets are fetched once from their public homes, kept in a cache and checked each time."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from shoestring.kit import progress
from shoestring.kit.corpora.data_error import DataError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file of a data set.

    `folder`, `name`: where it lies in the cache.
    `url`: its public home; "" where it has none.
    `sha256`: of its bytes, in hexadecimal.
    """

    folder: str
    name: str
    url: str
    sha256: str


def cache() -> Path:
    """The folder of fetched data: `$XDG_CACHE_HOME/shoestring`, or `~/.cache/shoestring`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoestring"


def present(source: Source) -> Path | None:
    """The path of the file, in the folder that `SHOESTRING_DATA` names or else in the cache.

    None where it is in neither.
    """
    roots = [Path(folder)] if (folder := os.environ.get("SHOESTRING_DATA")) else []
    paths = [root / source.folder / source.name for root in (*roots, cache())]
    return next((path for path in paths if path.is_file()), None)


def fetch(source: Source) -> Path:
    """The path of the file, which is downloaded to the cache where it is not present.

    Its sha256 is checked every time. Raises DataError where that differs or the download fails.
    """
    if (path := present(source)) is not None:
        if _sha256(path) != source.sha256:
            raise DataError(
                f"{path} is not the file it should be (its sha256 differs): delete it to have it "
                "fetched again"
            )
        return path
    path = cache() / source.folder / source.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        temporary = Path(file.name)
    try:
        _download(source, temporary)
        if _sha256(temporary) != source.sha256:
            raise DataError(
                f"what {source.url} gave is not {source.name} (its sha256 differs): try again, or "
                "use another mirror"
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def content_of(plain: Source, gzipped: Source) -> tuple[Path, bytes]:
    """The path and bytes of a file that is kept plain or gzipped.

    It is fetched plain where it is in neither form. Raises DataError.
    """
    if present(plain) is None and present(gzipped) is not None:
        return (path := fetch(gzipped)), gzip.decompress(path.read_bytes())
    return (path := fetch(plain)), path.read_bytes()


def _download(source: Source, path: Path) -> None:
    try:
        with urllib.request.urlopen(source.url, timeout=60) as answer, path.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            with progress(f"fetching {source.name}", max(1, -(-size // _CHUNK))) as advance:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    advance("")
    except (OSError, HTTPException, ValueError) as error:  # ValueError: the url is ""
        raise DataError(
            f"cannot fetch {source.url} ({error}): download it yourself to "
            f"{cache() / source.folder / source.name}, or set SHOESTRING_DATA to a folder that "
            f"holds {source.folder}/{source.name}"
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        shutil.copyfileobj(file, _Sink(digest), _CHUNK)  # type: ignore[arg-type]
    return digest.hexdigest()


class _Sink:
    def __init__(self, digest) -> None:
        self.write = digest.update
