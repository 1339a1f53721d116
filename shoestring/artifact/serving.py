"""A server of pages for the browsers of this machine, and for nobody else."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_LOOPBACK = "127.0.0.1"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request gets.

    `kind`: the media type of the body.
    `seconds`: for how long a browser may use it again without asking.
    `headers`: those that only this answer has.
    """

    body: bytes
    kind: str
    status: int = 200
    seconds: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


def text(words: str, kind: str = "text/plain", status: int = 200) -> Answer:
    """An answer that is text."""
    return Answer(body=words.encode(), kind=f"{kind}; charset=utf-8", status=status)


class Loopback:
    """Serves answers to browsers on this machine.

    Only requests whose Host is this machine and this port get one: a page of another site that has
    its name resolved to this machine gets nothing.

    `answer`: gives the answer to the target of a GET or HEAD request, such as "/a?b"; None for
        what is not there.
    `port`: to listen on; 0 for a free one. Raises OSError for a port that is taken.
    """

    def __init__(self, answer: Callable[[str], Answer | None], port: int = 0) -> None:
        handler = _handler(answer, lambda: self.port)
        try:
            self._server = _Quiet((_LOOPBACK, port), handler)
        except (OSError, OverflowError) as error:
            raise OSError(
                f"cannot listen on port {port} of this machine ({error}): name another, or leave "
                "--port out for a free one"
            ) from error

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class _Quiet(ThreadingHTTPServer):
    """Says nothing of browsers that went away in the middle of an answer."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _handler(
    answer: Callable[[str], Answer | None], port: Callable[[], int]
) -> type[BaseHTTPRequestHandler]:
    """The class that answers requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # a connection serves many of a page's files
        timeout = 30
        server_version, sys_version = "shoestring", ""

        def do_GET(self) -> None:
            # Browsers leave out the port that all have by default.
            ending = "" if port() == 80 else f":{port()}"
            names = [f"{_LOOPBACK}{ending}"], [f"localhost{ending}"]
            if self.headers.get_all("Host") not in names:
                self._send(text("This page is for this machine alone.\n", status=403))
            elif (found := answer(self.path)) is None:
                self._send(text("There is nothing here: the page is at /.\n", status=404))
            else:
                self._send(found)

        do_HEAD = do_GET

        def _send(self, found: Answer) -> None:
            body = found.body
            cached = f"max-age={found.seconds}" if found.seconds else "no-store"
            headers = {**_HEADERS, "Cache-Control": cached, "Content-Type": found.kind}
            if found.kind.startswith("text/") and "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(body, 6, mtime=0)
                headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
            self.send_response(found.status)
            for name, value in {**headers, **found.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the terminal is for people."""

    return Handler
