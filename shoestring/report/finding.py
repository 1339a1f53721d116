"""Finds out what a path is, and collects its document."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shoestring.artifact import ShoeError
from shoestring.artifact.format.file import MARK
from shoestring.artifact.format.names import (
    DATABASE,
    NETWORKS,
    NOTE,
    SEARCHED,
    STUDY,
    networks_folder,
)
from shoestring.artifact.format.saving import check_file
from shoestring.report.document import Document
from shoestring.report.lone import document_of_file, document_of_ledger
from shoestring.report.tables import sensitivity_of

_SQLITE = b"SQLite format 3\0"
_WHAT = "name a .shoe file, the folder of its search (NAME.shoe.study) or a ledger"


def newest_study(folder: Path) -> Path:
    """The folder of the newest search in a folder; raises FileNotFoundError where there is none.

    Where a search for networks made its file, that file.
    """
    found = [path.parent for path in folder.glob(f"*{STUDY}/{NOTE}")]
    if not found:
        where = "here" if folder == Path() else f"in {folder}"
        raise FileNotFoundError(
            f"there is no search {where}: {_WHAT}, or run shoestring compress first"
        )
    newest = max(found, key=_changed)
    file = newest.with_name(newest.name.removesuffix(STUDY))
    return newest if networks_of(file) is None else file


def _changed(folder: Path) -> float:
    """When a search was last written to, in seconds since 1970."""
    times = [0.0]
    for path in (folder / NOTE, folder / DATABASE):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times)


def study_of(path: Path) -> Path | None:
    """The folder of the search that a path is about; None for a ledger and a lone file.

    The path may be the folder, a file in it or the file beside it, which need not be there.
    """
    if path.is_dir():
        return path
    if path.name in (DATABASE, NOTE) and (path.parent / NOTE).is_file():
        return path.parent
    beside = path.with_name(f"{path.name}{STUDY}")
    return beside if (beside / NOTE).is_file() else None


def with_name(path: Path) -> Path:
    """A path with the name of its folder where it has none itself, as "." and ".." have none."""
    return path if path.name not in ("", "..") else path.resolve()


def document_of(
    path: Path, ledger: Path | None = None, sensitivity: Path | None = None
) -> Document:
    """The document of a `.shoe` file, of the folder of a search, or of a ledger.

    A file that a search for networks made is shown with that search.

    `ledger`: what else is known of the file; None for the ledger of its search or beside it.
    `sensitivity`: a file that `shoestring sensitivity --json` printed; None for the table in the
        folder of the search, if there is one. A note says where it is of another model.

    Raises OSError where something cannot be read, ShoeError for a damaged or newer file, ValueError
    for a damaged or newer search or ledger, for a path that is none of these and for a `ledger`
    beside one, and ModuleNotFoundError for a search without the extra `train`.
    """
    document = _collected(with_name(path), ledger)
    if sensitivity is None:
        return document
    before, said = document.before, list[str]()
    digest = "" if before is None else before.sha256 or ""
    table = sensitivity_of(sensitivity, digest, said.append)
    return replace(document, sensitivity=table, notes=(*document.notes, *said))


def networks_of(path: Path) -> Path | None:
    """The folder of the search for networks that a path is about; None where it is about none.

    The path may be the folder or the file beside it, which need not be there.
    """
    folder = path if path.suffix == NETWORKS else networks_folder(path)
    return folder if (folder / SEARCHED).is_file() else None


def _collected(path: Path, ledger: Path | None) -> Document:
    networks = networks_of(path)
    if networks is not None:
        from shoestring.report.searched_networks import document_of_networks

        file = networks.with_name(networks.name.removesuffix(NETWORKS))
        made = [one for one in (file.with_name(f"{file.name}{STUDY}") / NOTE, file) if one.exists()]
        return document_of_networks(networks, _of_file(file, ledger) if made else None)
    return _of_file(path, ledger)


def _of_file(path: Path, ledger: Path | None) -> Document:
    """The document of anything but a search for networks."""
    folder = study_of(path)
    if folder is not None and (folder == path or not path.is_file() or path.parent == folder):
        return _of_study(folder, ledger)
    if folder is not None:
        try:
            return _of_study(folder, ledger)
        except ModuleNotFoundError as error:
            why = f"The search beside it is not shown, since reading it needs more: {error}."
        except (ValueError, OSError) as error:
            why = f"The search beside it is not shown: {error}."
        return document_of_file(path, ledger, notes=[why])
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}: {_WHAT}")
    check_file(path)
    with path.open("rb") as opened:
        begin = opened.read(16)
    if begin == _SQLITE or path.suffix == ".ledger":
        if ledger is not None:
            raise ValueError(
                f"{path} is a ledger itself, so {ledger} is not read: name only one of them"
            )
        return document_of_ledger(path)
    if begin[:4] != MARK and path.suffix != ".shoe":
        raise ValueError(f"{path} is no .shoe file and no ledger: {_WHAT}")
    try:
        return document_of_file(path, ledger)
    except ShoeError as error:
        raise ShoeError(f"{path}: {error}") from None


def _of_study(folder: Path, ledger: Path | None) -> Document:
    if not (folder / NOTE).is_file():
        raise FileNotFoundError(f"there is no search in {folder}: {_WHAT}")
    from shoestring.report.study import document_of_study  # it imports torch

    return document_of_study(folder, ledger)
