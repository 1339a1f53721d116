"""The server: the page of a search that goes on, for this machine alone."""

import http.client
import json
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import sleep

import pytest

from shoestring.artifact import save
from shoestring.core import Ledger, Row
from shoestring.report import serving
from shoestring.report.serving import Live, Server

from .made import finish, search, small, trial


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    """Collect the document again as soon as something changes."""
    monkeypatch.setattr(serving, "_REST", 0.0)


@pytest.fixture
def serve() -> Iterator:
    """Starts a server of a path."""
    running: list[tuple[Server, Thread]] = []

    def start(path: Path) -> Server:
        server = Server(Live(path))
        thread = Thread(target=server.serve)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join()
        server.close()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), dict(answer.getheaders())
    connection.close()
    return found


def document(server: Server) -> dict:
    status, text, _ = ask(server, "/document.json")
    assert status == 200
    return json.loads(text)


def test_the_page_and_the_document_and_nothing_else(tmp_path, serve):
    server = serve(search(tmp_path))
    status, page, headers = ask(server, "/")
    assert status == 200 and "connect-src 'self'" in page and '"live":true' in page
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert document(server)["live"] is True and document(server)["title"] == "sums.shoe"
    for path in ("/sums.shoe", "/../sums.shoe", "/document.json?x", "/%2e%2e/etc/passwd"):
        assert ask(server, path)[0] == 404, path
    assert ask(server, "/", method="POST")[0] == 501
    status, text, headers = ask(server, "/", method="HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 10_000


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "", "localhost"])
def test_a_request_to_another_host_gets_nothing(tmp_path, serve, host):
    server = serve(search(tmp_path))
    for path in ("/", "/document.json"):
        status, text, _ = ask(server, path, Host=host)
        assert status == 403 and "sums" not in text
    assert ask(server, "/", Host=f"localhost:{server.port}")[0] == 200


def test_a_request_with_two_hosts_or_none_gets_nothing(tmp_path, serve):
    server = serve(search(tmp_path))
    for hosts in ("", f"Host: 127.0.0.1:{server.port}\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as one:
            one.sendall(f"GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            assert b" 403 " in one.makefile("rb").readline()


def test_it_listens_on_this_machine_alone_and_says_which_port_is_taken(tmp_path, serve):
    server = serve(search(tmp_path))
    assert server.address == f"http://127.0.0.1:{server.port}/"
    with pytest.raises(OSError, match=f"cannot listen on port {server.port}"):
        Server(Live(tmp_path / "sums.shoe"), server.port)


def test_the_document_is_made_again_only_where_something_changed(tmp_path, serve, monkeypatch):
    path = search(tmp_path)
    server, made = serve(path), []
    collect = serving.document_of
    monkeypatch.setattr(serving, "document_of", lambda *a: made.append(1) or collect(*a))
    first = document(server)
    assert document(server) == first and made == []
    finish(path.with_name("sums.shoe.study"), trial("E(bits=3)", 0.88, 300), small(3.0))
    assert len(document(server)["points"]) == len(first["points"]) + 1
    document(server)
    assert len(made) == 1
    Ledger(tmp_path / "shoestring.ledger").append(
        Row(kind="prove", technique="", score_after=0.8, sha256=first["after"]["sha256"])
    )
    assert document(server)["after"]["test"] == 0.8 and len(made) == 2
    save(path, small(3.0))
    assert document(server)["after"]["label"] == "E(bits=3)"


def test_a_search_that_is_missing_yet_then_there_then_deleted(tmp_path, serve):
    server = serve(tmp_path / "sums.shoe")
    waiting = document(server)
    assert waiting["points"] == [] and "There is nothing at" in waiting["notes"][0]
    path = search(tmp_path)
    there = document(server)
    assert len(there["points"]) == 6 and there["notes"] == []
    (path.with_name("sums.shoe.study") / "search.json").write_text("{")
    broken = document(server)  # the file alone can still be read
    assert broken["kind"] == "file" and "is damaged" in broken["notes"][0]
    shutil.rmtree(path.with_name("sums.shoe.study"))
    path.unlink()
    gone = document(server)
    assert "no longer there" in gone["notes"][0] and gone["bill"] is not None
    search(tmp_path)
    assert len(document(server)["points"]) == 6
    assert not list(tmp_path.glob("*.study/*/nothing"))


def test_a_search_that_appears_in_a_base_install_is_a_sentence_on_the_page(
    tmp_path, serve, monkeypatch
):
    server = serve(tmp_path / "sums.shoe.study")

    def without_torch(*arguments):
        raise ModuleNotFoundError("this needs torch: pip install 'shoestring[train]'")

    monkeypatch.setattr(serving, "document_of", without_torch)
    search(tmp_path)
    found = document(server)
    assert "The search is not shown" in found["notes"][0]
    assert "shoestring[train]" in found["notes"][0] and found["live"] is True


def test_a_browser_that_goes_away_leaves_no_traceback(tmp_path, serve, capfd):
    server = serve(search(tmp_path))
    for _ in range(3):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        one.close()  # at once, which resets the connection
    assert ask(server, "/")[0] == 200
    sleep(0.5)
    assert capfd.readouterr().err == ""


def test_a_path_that_is_none_of_these_is_refused_before_anything_is_served(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"no \.shoe file and no ledger"):
        Live(tmp_path / "a.txt")


def test_a_slow_document_is_not_made_all_the_time(tmp_path, monkeypatch):
    path = search(tmp_path)
    monkeypatch.setattr(serving, "_REST", 4.0)
    clock, seconds = [100.0], [1.0]
    monkeypatch.setattr(serving, "monotonic", lambda: clock[0])
    live = Live(path)
    collect = serving.document_of

    def slowly(*arguments):
        clock[0] += seconds[0]
        return collect(*arguments)

    monkeypatch.setattr(serving, "document_of", slowly)
    folder = path.with_name("sums.shoe.study")
    finish(folder, trial("E()", 0.5, 10), small(1.5))
    assert len(live.document().points) == 7
    finish(folder, trial("F()", 0.5, 10), small(2.5))
    clock[0] += 3.9
    assert len(live.document().points) == 7, "it took 1 s, and rests 4 s"
    clock[0] += 0.2
    seconds[0] = 100.0
    assert len(live.document().points) == 8
    finish(folder, trial("G()", 0.5, 10), small(3.5))
    clock[0] += 4.9
    assert len(live.document().points) == 8, "it rests 5 s at most"
    clock[0] += 0.2
    assert len(live.document().points) == 9
