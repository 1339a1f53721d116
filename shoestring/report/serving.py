"""A server for the page of a search that goes on, on this machine alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from shoestring.artifact.format.names import DATABASE, LOCK, NOTE, STUDY, TABLE
from shoestring.artifact.locks import is_held
from shoestring.artifact.serving import Answer, Loopback, text
from shoestring.report.document import Document
from shoestring.report.finding import document_of, study_of, with_name
from shoestring.report.page import page_of
from shoestring.report.rows import LEDGER

_REST, _LONGEST_REST = 4.0, 5.0
"""Times the seconds that collecting a document took, before it is collected again, and seconds."""


class Live:
    """The document of a path, collected again where what it is of has changed.

    The path need not be there yet. What is deleted later is shown as it was.

    `path`, `ledger`, `sensitivity`: as in `document_of`. Raises what that raises, but where
        something is missing.
    """

    def __init__(
        self, path: Path, ledger: Path | None = None, sensitivity: Path | None = None
    ) -> None:
        self._path, self._ledger, self._sensitivity = with_name(path), ledger, sensitivity
        self._lock = Lock()
        self._seen: Any = self._state()
        self._last: Document | None = None
        self._next = 0.0
        try:
            self._now = self._read()
        except FileNotFoundError:
            self._now = self._waiting()

    def document(self) -> Document:
        """The document as of now."""
        with self._lock:
            seen = self._state()
            if seen != self._seen and monotonic() >= self._next:
                began = monotonic()
                self._now = self._collected()
                self._seen = seen
                rest = _REST * (monotonic() - began)
                self._next = monotonic() + min(rest, _LONGEST_REST)
            return self._now

    def _collected(self) -> Document:
        try:
            return self._read()
        except ModuleNotFoundError as error:  # a search has begun, and this is a base install
            return self._as_it_was(
                f"The search is not shown, since reading it needs more: {error}."
            )
        except (ValueError, OSError) as error:
            if not isinstance(error, FileNotFoundError):
                return self._as_it_was(f"It cannot be read now: {error}.")
            if self._last is None:
                return self._waiting()
            return self._as_it_was(f"{self._path} is no longer there: this is what it last held.")

    def _read(self) -> Document:
        document = document_of(self._path, self._ledger, self._sensitivity)
        self._last = replace(document, live=True)
        return self._last

    def _as_it_was(self, note: str) -> Document:
        """The last document that could be collected, with a note."""
        last = self._last or replace(self._waiting(), notes=())
        return replace(last, working=False, notes=(note, *last.notes))

    def _waiting(self) -> Document:
        """The document of a search that has not begun."""
        return Document(
            kind="study",
            title=self._path.name.removesuffix(STUDY),
            live=True,
            notes=(
                f"There is nothing at {self._path} yet: it is shown here as soon as shoestring "
                "compress has begun.",
            ),
        )

    def _state(self) -> tuple[Any, ...]:
        """What changes when the document may have changed; cheap to find out."""
        folder = study_of(self._path) or self._path
        ledger = self._ledger or self._path.parent / LEDGER
        watched = [self._path, ledger, *(folder / name for name in (NOTE, DATABASE, TABLE))]
        watched += [] if self._sensitivity is None else [self._sensitivity]
        return (is_held(folder / LOCK), *map(_version, watched))


def _version(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from a later one of that path; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


class Server(Loopback):
    """Serves the page and the document of a path to browsers on this machine.

    It answers `/` and `/document.json`.

    `live`: gives the document.
    `port`: to listen on; 0 for a free one. Raises OSError for a port that is taken.
    """

    def __init__(self, live: Live, port: int = 0) -> None:
        self._live = live
        super().__init__(self._answer, port)

    def _answer(self, target: str) -> Answer | None:
        if target == "/":
            return text(page_of(self._live.document()), "text/html")
        if target == "/document.json":
            return text(self._live.document().to_json(), "application/json")
        return None
