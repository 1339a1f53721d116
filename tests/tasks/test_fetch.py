"""From a public home into the cache: whole and right, or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shoestring.tasks import DataError
from shoestring.tasks import fetch as module
from shoestring.tasks.fetch import Source, cache, fetch, present

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Gives what its path says: the file, half of it, or nothing."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"1000\r\n" + CONTENT[:100])  # breaks off within a chunk
            return
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/truncated" else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests are quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOESTRING_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def source(url: str, sha256: str = SHA256) -> Source:
    return Source("some-data", "part.bin", url, sha256)


def left() -> list[Path]:
    """The files that are in the cache."""
    return [path for path in cache().rglob("*") if path.is_file()]


def test_fetched_once_then_read_from_the_cache(server: str, monkeypatch: pytest.MonkeyPatch):
    assert present(source(server)) is None
    path = fetch(source(f"{server}/whole"))
    assert (
        path == cache() / "some-data" / "part.bin"
        and path.read_bytes() == CONTENT
        and left() == [path]
    )
    monkeypatch.setattr(module, "_download", lambda *_: pytest.fail("it is there already"))
    assert fetch(source(f"{server}/whole")) == path == present(source(server))


def test_from_a_file(tmp_path: Path):
    (tmp_path / "home.bin").write_bytes(CONTENT)
    assert fetch(source((tmp_path / "home.bin").as_uri())).read_bytes() == CONTENT


def test_the_wrong_file_is_refused(server: str):
    with pytest.raises(
        DataError,
        match=r"what http.*/whole gave is not part\.bin \(its sha256 differs\): try again",
    ):
        fetch(source(f"{server}/whole", "0" * 64))
    assert left() == []


@pytest.mark.parametrize("way", ["truncated", "chunked", "missing"])
def test_a_transfer_that_breaks_off_leaves_nothing(server: str, way: str):
    with pytest.raises(DataError, match=way):
        fetch(source(f"{server}/{way}"))
    assert left() == []


def test_an_interrupted_transfer_leaves_nothing(server: str, monkeypatch: pytest.MonkeyPatch):
    def interrupted(_source: Source, path: Path) -> None:
        path.write_bytes(CONTENT[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_download", interrupted)
        fetch(source(f"{server}/whole"))
    assert left() == []
    assert fetch(source(f"{server}/whole")).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/part.bin", "file:///nowhere/at/all.bin", ""])
def test_offline_the_error_names_the_path_and_the_variable(url: str):
    with pytest.raises(DataError) as caught:
        fetch(source(url))
    said = str(caught.value)
    assert str(cache() / "some-data" / "part.bin") in said and url in said
    assert "set SHOESTRING_DATA to a folder that holds some-data/part.bin" in said
    assert isinstance(caught.value, OSError) and left() == []


def test_a_file_that_has_changed_is_refused(server: str):
    path = fetch(source(f"{server}/whole"))
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(
        DataError,
        match=r"part\.bin is not the file it should be .*: delete it to have it fetched again",
    ):
        fetch(source(f"{server}/whole"))
    path.unlink()
    assert fetch(source(f"{server}/whole")) == path


def test_the_folder_that_the_variable_names_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for root in (cache(), tmp_path / "mine"):
        (root / "some-data").mkdir(parents=True)
        (root / "some-data" / "part.bin").write_bytes(CONTENT)
    assert fetch(source("")) == cache() / "some-data" / "part.bin"
    monkeypatch.setenv("SHOESTRING_DATA", str(tmp_path / "mine"))
    assert fetch(source("")) == tmp_path / "mine" / "some-data" / "part.bin"
    (tmp_path / "mine" / "some-data" / "part.bin").unlink()
    assert fetch(source("")) == cache() / "some-data" / "part.bin"
    monkeypatch.setenv("SHOESTRING_DATA", str(tmp_path / "nowhere"))
    assert fetch(source("")) == cache() / "some-data" / "part.bin"


def test_the_cache_is_in_the_home_where_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache() == tmp_path / ".cache" / "shoestring"
