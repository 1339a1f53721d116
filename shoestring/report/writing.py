"""Writes the report of a file, of a search, of its outcome or of a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from shoestring.report.finding import document_of, with_name
from shoestring.report.page import check_target, place_beside, save_page


@runtime_checkable
class Delivered(Protocol):
    """What delivered a file, such as the Outcome of `compress`."""

    @property
    def file(self) -> Path:
        """The path of the file."""
        ...


def write_report(
    what: str | Path | Delivered,
    path: str | Path | None = None,
    *,
    ledger: str | Path | None = None,
    sensitivity: str | Path | None = None,
) -> Path:
    """Write a report as one HTML file, and return its path.

    `what`: the Outcome of `compress`, a `.shoe` file, the folder of a search, or a ledger.
    `path`: of the page; None for NAME.html beside what it is about. Name one for an outcome whose
        file is temporary, since what is beside that goes with it. A report that is there is
        replaced, and no other file.
    `ledger`, `sensitivity`: as in `document_of`.

    Raises what `document_of` does; OSError where the page cannot be written.
    """
    source = with_name(what.file if isinstance(what, Delivered) else Path(what))
    target = place_beside(source) if path is None else Path(path)
    more = [None if one is None else Path(one) for one in (ledger, sensitivity)]
    check_target(target)
    save_page(document_of(source, *more), target)
    return target
