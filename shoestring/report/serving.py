"""A server for the page of a search that goes on, on this machine alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from shoestring.artifact.format.names import STUDY, TABLE
from shoestring.artifact.locks import is_held
from shoestring.report.document import Document
from shoestring.report.finding import DATABASE, LOCK, NOTE, document_of, study_of
from shoestring.report.page import page_of
from shoestring.report.rows import LEDGER

_LOOPBACK = "127.0.0.1"
_REST, _LONGEST_REST = 4.0, 5.0
"""Times the seconds that collecting a document took, before it is collected again, and seconds."""
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Live:
    """The document of a path, collected again where what it is of has changed.

    The path need not be there yet. What is deleted later is shown as it was.

    `path`, `ledger`, `sensitivity`: as in `document_of`. Raises what that raises, but where
        something is missing.
    """

    def __init__(
        self, path: Path, ledger: Path | None = None, sensitivity: Path | None = None
    ) -> None:
        self._path, self._ledger, self._sensitivity = path, ledger, sensitivity
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


class Server:
    """Serves the page and the document of a path to browsers on this machine.

    It answers `/` and `/document.json`, to requests whose Host is this machine: a page of another
    site that has its name resolved to this machine gets nothing.

    `live`: gives the document.
    `port`: to listen on; 0 for a free one. Raises OSError for a port that is taken.
    """

    def __init__(self, live: Live, port: int = 0) -> None:
        handler = _handler(live.document, lambda: self.port)
        try:
            self._server = ThreadingHTTPServer((_LOOPBACK, port), handler)
        except (OSError, OverflowError) as error:
            raise OSError(
                f"cannot listen on port {port} ({error}): leave --port out for a free one"
            ) from error
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_address[1]

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{_LOOPBACK}:{self.port}/"

    def serve(self) -> None:
        """Answer requests until `stop`, or KeyboardInterrupt, which is raised again."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`, which another thread runs."""
        self._server.shutdown()

    def close(self) -> None:
        """Stop listening."""
        self._server.server_close()


def _handler(
    document: Callable[[], Document], port: Callable[[], int]
) -> type[BaseHTTPRequestHandler]:
    """The class that answers requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        server_version, sys_version = "shoestring", ""

        def do_GET(self) -> None:
            if self.headers.get_all("Host") not in (
                [f"{_LOOPBACK}:{port()}"],
                [f"localhost:{port()}"],
            ):
                self._answer(403, "text/plain", "This page is for this machine alone.\n")
            elif self.path == "/":
                self._answer(200, "text/html", page_of(document()))
            elif self.path == "/document.json":
                self._answer(200, "application/json", document().to_json())
            else:
                self._answer(404, "text/plain", "There is only the report here, at /.\n")

        do_HEAD = do_GET

        def _answer(self, status: int, kind: str, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the terminal is for people."""

    return Handler
