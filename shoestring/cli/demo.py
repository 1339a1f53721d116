"""The command that shows the page which recognises digits and opens files, and its server."""

from __future__ import annotations

import gzip
import re
import webbrowser
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

import typer

from shoestring.cli.ending import if_interrupted
from shoestring.cli.files import plainly

PAGE = "/web/demo/"
NETWORKS = ("lenet5_rate_5e-05.shoe", "baseline_lenet5.shoe")
"""The files of `benchmarks/results/files` that the page runs."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".shoe": "application/octet-stream",
}
_OPENED = "/opened/"  # then the name of the file that was named, which the page shows
_SAFE = re.compile(r"/web/(demo/|runtime/)?[a-z0-9_.-]+", re.ASCII)


def demo(
    file: Annotated[
        Path | None, typer.Argument(help="a .shoe file to open in the page", show_default=False)
    ] = None,
    port: Annotated[
        int, typer.Option(help="to listen at; 0: one that is free", min=0, max=65535)
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="print the address, and open no browser")
    ] = False,
) -> None:
    """A page, on this machine alone, that recognises the digit you draw and opens .shoe files.

    Serves until Ctrl-C.
    """
    from shoestring.artifact.format.saving import check_file

    if file is not None:
        check_file(file)
        with file.open("rb") as opened:
            if opened.read(4) != b"SHOE":
                raise ValueError(f"{file} is not a .shoe file: it does not begin with SHOE")
    folder = page_folder()
    try:
        server = Server(folder, port, file)
    except OSError as error:
        raise OSError(
            f"port {port} of this machine cannot be had ({error}): name another"
        ) from None
    with server:
        print(f"the page is at {server.address} until Ctrl-C", flush=True)
        if file is not None:
            print(f"it opens {plainly(str(file))}", flush=True)
        if not no_browser:
            webbrowser.open(server.address)
        if_interrupted(lambda: "")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def page_folder() -> Path:
    """The folder that has `web/demo` and the networks that it runs.

    In an installed package that is `shoestring/page`, which `setup.py` fills; in a checkout the
    checkout itself. Raises FileNotFoundError where there is neither.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "page", package.parent):
        if (folder / PAGE.strip("/") / "index.html").is_file():
            return folder
    raise FileNotFoundError(
        f"the page is neither in {package / 'page'} nor beside the package: install shoestring "
        "from a wheel or a checkout that has the folder web"
    )


class Server(ThreadingHTTPServer):
    """Serves the page, what it runs and one file, to this machine alone.

    `folder`: see `page_folder`; `port`: 0 for one that is free; `opened`: the file, or None.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0, opened: Path | None = None) -> None:
        self.folder, self.opened = folder, opened
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """Where the page is."""
        asked = f"?file={quote(_OPENED + self.opened.name, safe='')}" if self.opened else ""
        return f"http://127.0.0.1:{self.server_port}{PAGE}{asked}"

    def found(self, path: str) -> Path | None:
        """The file that a path stands for; None where there is none that may be seen."""
        if path.startswith(_OPENED):
            return self.opened
        name = path.removeprefix("/benchmarks/results/files/")
        if name in NETWORKS:
            return self.folder / "benchmarks" / "results" / "files" / name
        path += "index.html" if path == PAGE else ""
        known = Path(path).suffix in _TYPES and _SAFE.fullmatch(path)
        return self.folder / path.lstrip("/") if known else None


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"  # a connection serves many of the page's files

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        # A page elsewhere may have a name of its own that leads here: it is not to read the file.
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            self.send_error(403)
        elif path == "/":
            self.send_response(302)
            self.send_header("Location", PAGE)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (found := self.server.found(path)) is None or not found.is_file():
            self.send_error(404)
        else:
            self._send(found)

    def _send(self, found: Path) -> None:
        body = found.read_bytes()
        kind = _TYPES.get(found.suffix, _TYPES[".shoe"])
        self.send_response(200)
        if kind.startswith("text/") and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 6, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        fresh = found != self.server.opened  # the page's second worker asks for the same files
        self.send_header("Cache-Control", "max-age=5" if fresh else "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        with suppress(ConnectionError):  # the page was closed
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for each file of the page would hide the address."""
