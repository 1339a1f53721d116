"""The page: one HTML file that holds the document and everything that shows it."""

from __future__ import annotations

import errno
from html import escape
from importlib import resources
from pathlib import Path

from shoestring.artifact.format.names import NETWORKS, SEARCHED, STUDY, networks_folder
from shoestring.artifact.format.saving import check_place, replacing
from shoestring.artifact.html import clipped
from shoestring.report.document import Document

TEMPLATE = "page.html"
_TITLE_MARK, _DOCUMENT_MARK = "<!--title-->", "<!--document-->"
_SEALED, _LIVE = "connect-src 'none'", "connect-src 'self'"
_ENDING = ": Shoestring report</title>"
_HEAD_BYTES = 4096
"""Bytes of a page within which its title ends."""


def page_of(document: Document) -> str:
    """The page of a document, which asks for nothing from any network.

    The page of a live document asks the server that it came from for the document again.
    """
    page = resources.files("shoestring.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    # Texts of others come last, so that no mark in them is replaced.
    head, tail = page.split(_DOCUMENT_MARK, 1)
    if document.live:
        head = head.replace(_SEALED, _LIVE, 1)
    before, after = head.split(f"{_TITLE_MARK}</title>", 1)
    title = escape(_writable(clipped(document.title, 200)))
    data = f'<script type="application/json" id="document">{document.to_json()}</script>'
    return f"{before}{title}{_ENDING}{after}{data}{tail}"


def _writable(text: str) -> str:
    """The text with "?" for what UTF-8 cannot hold, such as a byte of a file's name."""
    return text.encode("utf-8", "replace").decode("utf-8")


def save_page(document: Document, path: Path) -> int:
    """Write the page of a document, completely or not at all; returns how many bytes it has.

    Raises FileExistsError where a file is there that is no report, and OSError, whose message says
    what to do.
    """
    check_target(path)
    data = page_of(document).encode()
    with replacing(path, lambda: check_target(path)) as file:
        file.write(data)
    return len(data)


def check_target(target: Path, option: str = "--out") -> None:
    """Raise OSError where no page can be written.

    It is FileExistsError where the page would replace a file that is no report, IsADirectoryError
    where a folder is there, and what `check_place` raises.
    `option`: of the command, which names another file.
    """
    if target.is_dir():
        raise IsADirectoryError(
            errno.EISDIR,
            f"{target} is a folder: name a file in it, or another file, with {option}",
        )
    check_place(target)
    if target.is_file() and not _is_ours(target):
        raise FileExistsError(
            f"{target} is there and is no report, so it is not replaced: name another file with "
            f"{option}, or move it away"
        )


def place_beside(path: Path) -> Path:
    """The path of the page of a file or of a search, beside it: NAME.html.

    Where that is the page of a search for networks, the compression of what it found has another.
    """
    given = path.absolute().name
    name = given.removesuffix(STUDY).removesuffix(NETWORKS)
    is_part = name != given and networks_folder(path.with_name(name)).joinpath(SEARCHED).exists()
    more = "-compressed" if is_part and given.endswith(STUDY) else ""
    return path.with_name(f"{Path(name).stem or name}{more}.html")


def _is_ours(page: Path) -> bool:
    """Whether a file is a page that this module wrote; not where it cannot be read."""
    try:
        with page.open("rb") as opened:
            begin = opened.read(_HEAD_BYTES)
    except OSError:
        return False
    return begin.lstrip().lower().startswith(b"<!doctype html>") and _ENDING.encode() in begin
