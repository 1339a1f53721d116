"""The server of the labelling page: who gets in, and what is shown."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import labelling
import pytest

from shoestring.label import Example
from shoestring.label.collect import server as pages


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A page whose source has pictures that open, and others that do not."""
    folder = tmp_path_factory.mktemp("served")
    inside, secret = folder / "pictures", folder / "secret.png"
    collection = labelling.pictures(inside, 2)
    secret.write_bytes((inside / "0.png").read_bytes())
    (inside / "broken.png").write_text("no picture")
    (inside / "short.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")
    others = [
        Example(name="link", picture=inside / ".." / "secret.png"),
        Example(name="broken", picture=inside / "broken.png"),
        Example(name="absent", picture=inside / "absent.png"),
        Example(name="text", text="no picture"),
    ]
    collection = replace(collection, examples=(*collection.examples, *others))
    with labelling.paged(collection, folder / "a.labels", inside) as (project, address):
        yield project, address


def ask(
    address: str, path: str, body: Any = None, *, method: str = "", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """(status, body, headers in lower case) of a request with the token, as the page sends it."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    sent = {"X-Shoestring-Token": parse_qs(parts.query)["token"][0]}
    if body is not None:
        sent["Content-Type"] = "application/json"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    method = method or ("GET" if body is None else "POST")
    connection.request(method, path, data, sent)
    found = connection.getresponse()
    answer = found.read()
    connection.close()
    return found.status, answer, {name.lower(): value for name, value in found.getheaders()}


def test_nobody_gets_in_without_the_token(served):
    project, address = served
    token = project.store.token
    for path in ("/", "/api/project", "/api/status", "/api/picture/0"):
        assert ask(address, path)[0] == 200
        for wrong in ("", token[:-1], token + "x", "é"):
            status, body, _ = ask(address, path, X_Shoestring_Token=wrong)
            assert status == 403 and token.encode() not in body
    assert ask(address, f"/?token={token}", X_Shoestring_Token="")[0] == 200
    body = {"by": "ann", "session": "s", "want": 1}
    assert ask(address, "/api/next", body, X_Shoestring_Token="")[0] == 403


def test_a_name_that_is_resolved_to_this_machine_gets_nothing(served):
    _, address = served
    port = urlsplit(address).port
    for name in ("localhost", "127.0.0.1"):
        assert ask(address, "/api/project", Host=f"{name}:{port}")[0] == 200
    for name in (f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example", ""):
        assert ask(address, "/api/project", Host=name)[0] in (400, 403)


def test_the_policy_lets_nothing_in(served):
    _, address = served
    _, page, headers = ask(address, "/")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer" and b"<script>" in page
    assert "server" not in headers


def test_requests_of_other_sites_and_of_programs_that_err(served):
    _, address = served
    good = {"by": "ann", "session": "s", "want": 0}
    assert ask(address, "/api/next", good)[0] == 200
    assert ask(address, "/api/next", good, Content_Type="text/plain")[0] == 415
    assert ask(address, "/api/next", b"{not json")[0] == 400
    assert ask(address, "/api/next", [1])[0] == 400
    assert ask(address, "/api/next", b"[" * 100_000)[0] == 400
    for wrong in ({"want": 101}, {"want": -1}, {"want": "x"}, {"held": [99]}, {"by": ""}):
        status, body, _ = ask(address, "/api/next", {**good, **wrong})
        assert status == 400 and json.loads(body)["error"]
    assert ask(address, "/api/open", {"index": 0})[0] == 200
    for wrong in ({"index": 99}, {"index": -1}, {"index": True}, {"index": "0"}, {}):
        status, body, _ = ask(address, "/api/open", wrong)
        assert status == 400 and "no such example" in json.loads(body)["error"]
    assert ask(address, "/api/answers", b" " * 9_000_000)[0] == 413
    assert ask(address, "/nothing")[0] == 404
    assert ask(address, "/api/next")[0] == 405


def test_pictures_that_open_are_shown_and_no_other_file(served):
    project, address = served
    status, body, headers = ask(address, "/api/picture/0")
    assert status == 200 and headers["content-type"] == "image/png"
    assert body == project.collection.examples[0].picture.read_bytes()
    for at, word in ((2, "outside"), (3, "no picture"), (4, "no such file"), (5, "no picture")):
        status, body, _ = ask(address, f"/api/picture/{at}")
        assert status == 404 and word in json.loads(body)["error"]
    for path in ("/api/picture/99", "/api/picture/-1", "/api/picture/../../secret.png",
                 "/api/picture/%2e%2e%2fsecret.png", "/pictures/0.png"):  # fmt: skip
        status, body, _ = ask(address, path)
        assert status == 404 and b"PNG" not in body


def test_a_tiff_is_shown_as_a_png_and_upright(tmp_path):
    from PIL import Image

    made = Image.new("RGB", (8, 4), (255, 0, 0))
    exif = made.getexif()
    exif[0x0112] = 6  # the camera was held on its side
    made.save(tmp_path / "a.tif", exif=exif)
    data, kind = pages.picture(tmp_path / "a.tif", tmp_path)
    (tmp_path / "b.png").write_bytes(data)
    with Image.open(tmp_path / "b.png") as shown:
        assert kind == "image/png" and shown.size == (4, 8)


def test_a_port_in_use_is_told_and_the_last_one_is_taken_again():
    with pages.listening("127.0.0.1", None) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on port {port} .*--port"):
            pages.listening("127.0.0.1", port)
        with pages.listening("127.0.0.1", None, port) as other:
            assert other.getsockname()[1] != port
    with pages.listening("127.0.0.1", None, port) as again:
        assert again.getsockname()[1] == port
    with pytest.raises(OSError, match="cannot listen"):
        pages.listening("192.0.2.1", None)


def test_which_hosts_are_let_in():
    assert pages.hosts_of("127.0.0.1", 7) == {"127.0.0.1:7", "localhost:7", "[::1]:7"}
    assert "127.0.0.1" in pages.hosts_of("127.0.0.1", 80)
    wide = pages.hosts_of("0.0.0.0", 7)
    assert f"{socket.gethostname()}:7" in wide and "evil.example:7" not in wide
    assert pages.is_loopback("127.0.0.1") and pages.is_loopback("localhost")
    assert not pages.is_loopback("0.0.0.0") and not pages.is_loopback("here.example")


def test_a_full_disk_is_told_to_the_page(served):
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    project, address = served
    one = {"id": "full-00001", "example": "0.png", "by": "ann", "labels": [{"name": "cat"}]}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        status, body, _ = ask(address, "/api/answers", {"session": "s", "answers": [one]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 507 and "make room on its disk" in json.loads(body)["error"]
    assert project.store.count() == 0
    status, body, _ = ask(address, "/api/answers", {"session": "s", "answers": [one]})
    assert status == 200 and json.loads(body)["stored"] == ["full-00001"]


def test_an_install_without_the_packages_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ModuleNotFoundError, match="the extra `label`"):
        pages.check_installed()


def test_two_under_one_name_are_told(tmp_path: Path):
    with labelling.opened(labelling.texts(9), tmp_path / "a") as project:
        asked = {"by": "ann", "session": "one", "want": 1}
        assert project.next(asked)["sameName"] is False
        assert project.next({**asked, "session": "two"})["sameName"] is True
        assert project.next({**asked, "session": "three", "by": "bob"})["sameName"] is False


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    pytest.importorskip("fcntl")
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png is no regular file"):
        pages.picture(tmp_path / "x.png", tmp_path)
    (tmp_path / "y.tif").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"y\.tif is no picture that can be opened") as raised:
        pages.picture(tmp_path / "y.tif", tmp_path)
    assert "BytesIO" not in str(raised.value)


def test_answers_are_sent_at_once():
    """Else each would wait for the other side to acknowledge its first part: 40 ms."""
    import asyncio

    async def answering() -> int:
        found = asyncio.get_running_loop().create_future()
        with pages.listening("127.0.0.1", None) as ours:

            def connected(_: Any, writer: asyncio.StreamWriter) -> None:
                there = writer.get_extra_info("socket")
                found.set_result(there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            async with await asyncio.start_server(connected, sock=ours):
                _, writer = await asyncio.open_connection(*ours.getsockname())
                delay = await found
                writer.close()
                await writer.wait_closed()
                return delay

    with ThreadPoolExecutor(1) as aside:  # the tests of pages leave a loop in this thread
        assert aside.submit(lambda: asyncio.run(answering())).result() == 1
