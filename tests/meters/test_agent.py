"""The agent, over real connections on this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection

import numpy as np
import pytest

from shoestring.meters import Latency, Remote, RemoteError, alternate, exchange, ratio
from shoestring.meters.agent import Agent, is_loopback
from shoestring.meters.apart import timed
from shoestring.meters.exchange import Sent, Work, decode, encode


@contextmanager
def running(**settings):
    """An agent in a thread of this process."""
    with Agent(**settings) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def request(server, method, path, body=b"", **headers):
    """(status, JSON, headers) of a request made by hand."""
    connection = HTTPConnection(*server.server_address[:2], timeout=900)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), response.headers
    finally:
        connection.close()


def work(linear, **settings):
    files = [Sent(linear.path.read_bytes(), {"input": np.ones((1, 8), np.float32)})]
    given = {"files": files, "order": [0], "threads": 1, "rounds": 2, "warm_up": 1, "seconds": 1.0}
    return Work(**{**given, **settings})


def header_of(body):
    length = int.from_bytes(body[:4], "big")
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def framed(header, rest):
    data = json.dumps(header).encode()
    return len(data).to_bytes(4, "big") + data + rest


# -- end to end


@pytest.mark.slow
def test_the_command_times_files_that_are_sent_to_it(linear, lenet):
    environment = {name: value for name, value in os.environ.items() if name != "SHOESTRING_TOKEN"}
    command = [sys.executable, "-m", "shoestring.cli", "agent", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            device = Remote(url)
            assert device.about()["cores"] == os.cpu_count()
            a, b, again = alternate([linear.path] * 3, linear.task, rounds=4, runtime=device)
            assert [len(one.milliseconds) for one in (a, b, again)] == [4] * 3
            assert ratio(a, again).median > 0
            cost = Latency(runtime=device, repeats=3, reference=lenet.path)(lenet.path, lenet.task)
            assert cost.milliseconds is not None and cost.milliseconds > 0
            with pytest.raises(
                RemoteError, match="damaged"
            ):  # the file is damaged, and the agent goes on
                device.time(work(linear, files=[Sent(linear.path.read_bytes()[:-9], {})]))
            assert (
                len(alternate([linear.path], linear.task, batch=3, runtime=device)[0].milliseconds)
                >= 7
            )
        finally:
            process.terminate()
            process.wait(900)


def test_where_other_machines_are_let_in_a_token_is_made_up():
    with Agent(host="0.0.0.0") as first, Agent(host="0.0.0.0") as second:
        assert (
            first.token and second.token and len(first.token) > 20 and first.token != second.token
        )
    with Agent() as server:
        assert server.token is None
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert (
        not is_loopback("0.0.0.0")
        and not is_loopback("192.168.1.5")
        and not is_loopback("raspberry")
    )


def test_the_command_says_the_token_that_it_made_up():
    environment = {name: value for name, value in os.environ.items() if name != "SHOESTRING_TOKEN"}
    command = [sys.executable, "-m", "shoestring.cli", "agent", "--port", "0", "--host", "0.0.0.0"]
    # Shells have what they run in the background ignore the signal.
    heed = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, preexec_fn=heed, **pipes) as process:
        try:
            assert process.stdout is not None
            first, elsewhere, token = (process.stdout.readline() for _ in range(3))
            port = first.rsplit(":", 1)[1].strip()
            assert f":{port}" in elsewhere and token.startswith("token: ")
            assert (
                Remote(f"http://127.0.0.1:{port}", token=token.split()[1]).about()["protocol"] == 1
            )
            if os.name == "posix":
                process.send_signal(signal.SIGINT)
                assert process.communicate(timeout=900) == ("stopped\n", "")
        finally:
            process.terminate()


def test_the_agent_wants_the_base_install_alone():
    heavy = ("torch", "onnx", "onnxscript", "sklearn", "scipy", "PIL")
    code = "import sys, shoestring.cli, shoestring.meters.agent, shoestring.meters.apart; "
    code += f"print([one for one in {heavy!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -- who is let in


def test_the_token_is_asked_for_and_taken(monkeypatch):
    monkeypatch.delenv("SHOESTRING_TOKEN", raising=False)
    with running(token="correct horse".replace(" ", "-")) as server:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "correct-horse"},
            {"Authorization": "Bearer \xff"},
        ):
            status, said, _ = request(server, "GET", "/", **headers)
            assert status == 401 and "token" in said["error"]
            assert request(server, "POST", "/time", b"12345", **headers)[0] == 401
        with pytest.raises(RemoteError, match=r"HTTP 401.*SHOESTRING_TOKEN"):
            Remote(server.url, token="wrong-horse").about()
        assert Remote(server.url, token="correct-horse").about()["protocol"] == exchange.PROTOCOL
        monkeypatch.setenv("SHOESTRING_TOKEN", "correct-horse")
        assert Remote(server.url).about()["agent"] == "shoestring"


def test_pages_in_a_browser_are_not_served():
    with running() as server:
        assert request(server, "GET", "/", Origin="http://example.org")[0] == 403
        assert request(server, "POST", "/time", b"1", Origin="null")[0] == 403


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in it", "schlüsselwort", "line\nbreak-in-it"]
)
def test_tokens_that_are_none(token):
    with pytest.raises(ValueError, match="the token must have"):
        Agent(token=token)


def test_bad_settings():
    for settings, said in (
        ({"max_bytes": 0}, "max_bytes"),
        ({"seconds": 0}, "seconds"),
        ({"patience": -1}, "patience"),
    ):
        with pytest.raises(ValueError, match=said):
            Agent(**settings)
    with (
        Agent() as server,
        pytest.raises(OSError, match=r"cannot listen at .* choose another --port"),
    ):
        Agent(server.server_address[1])


# -- what is refused


def test_what_is_no_request_is_refused_in_json():
    with running(max_bytes=100) as server:
        assert request(server, "GET", "/etc/passwd")[0] == 404
        assert request(server, "POST", "/", b"1")[0] == 404
        assert request(server, "PUT", "/", b"1")[0] == 501
        status, said, _ = request(server, "POST", "/time", b"1" * 101)
        assert status == 413 and "101 bytes and 100 are allowed" in said["error"]
        assert request(server, "POST", "/time", iter([b"1"]))[0] == 411  # in chunks
        assert request(server, "POST", "/time", b"1", **{"Content-Length": "-1"})[0] == 400
        with socket.create_connection(server.server_address[:2]) as raw:
            raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
            assert b'"error"' in raw.makefile("rb").read()


def test_large_requests_are_told_before_they_are_sent(linear):
    with (
        running(max_bytes=100) as server,
        pytest.raises(RemoteError, match=r"takes 100: .*--max-bytes"),
    ):
        Remote(server.url).time(work(linear))


def test_who_sends_less_than_announced_or_nothing_does_not_stop_the_agent():
    with running() as server:
        with socket.create_connection(server.server_address[:2]) as raw:
            raw.sendall(b"POST /time HTTP/1.0\r\nContent-Length: 1000\r\n\r\n123")
            raw.shutdown(socket.SHUT_WR)
            assert b"ended after 3 of 1,000 bytes" in raw.makefile("rb").read()
        silent = [socket.create_connection(server.server_address[:2]) for _ in range(5)]
        assert request(server, "GET", "/")[0] == 200
        for one in silent:
            one.close()


def test_who_is_one_too_many_is_hung_up_on(monkeypatch):
    monkeypatch.setattr("shoestring.meters.agent._CONNECTIONS", 2)
    with running() as server:
        silent = [socket.create_connection(server.server_address[:2]) for _ in range(2)]
        with pytest.raises(OSError):
            request(server, "GET", "/")
        for one in silent:
            one.close()
        for _ in range(200):
            with contextlib.suppress(OSError):
                assert request(server, "GET", "/")[0] == 200
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the places are not given back")


def test_who_drips_is_hung_up_on(monkeypatch):
    monkeypatch.setattr("shoestring.meters.agent._HEADER_SECONDS", 0.3)
    with running() as server:
        for start in (b"", b"POST /time HTTP/1.0\r\nContent-Length: 1000\r\n\r\n"):
            with socket.create_connection(server.server_address[:2], timeout=20) as raw:
                raw.sendall(start)
                with pytest.raises(OSError):
                    for _ in range(200):
                        raw.sendall(b"X")
                        time.sleep(0.05)
        assert request(server, "GET", "/")[0] == 200


def test_one_at_a_time_and_no_longer_than_allowed(linear):
    with running(patience=0.2, seconds=2.0) as server:
        told = []
        slow = threading.Thread(
            target=lambda: told.append(
                request(server, "POST", "/time", encode(work(linear, rounds=100_000)))
            )
        )
        slow.start()
        while not server._device.locked():
            time.sleep(0.01)
        status, said, headers = request(server, "POST", "/time", b"1")
        assert (
            status == 503
            and "one is at a time" in said["error"]
            and int(headers["Retry-After"]) > 0
        )
        slow.join()
        assert told[0][0] == 422 and "longer than the 2 seconds" in told[0][1]["error"]
        assert not server._device.locked()


def test_a_device_that_is_busy_is_waited_for(linear, monkeypatch):
    waits = []
    with running(patience=0.01) as server:
        server._device.acquire()
        monkeypatch.setattr(
            "shoestring.meters.remote.sleep",
            lambda seconds: (waits.append(seconds), server._device.release()),
        )
        assert len(Remote(server.url).time(work(linear))[0].milliseconds) == 2
    assert waits == [5.0]


def test_what_nobody_thought_of_is_told_and_survived(monkeypatch):
    said = []

    def fail(*_):
        raise MemoryError("no room")

    with running(say=said.append) as server:
        monkeypatch.setattr("shoestring.meters.agent.process", fail)
        status, answer, _ = request(server, "POST", "/time", b"1")
        assert (
            status == 500 and "MemoryError" in answer["error"] and "MemoryError: no room" in said[0]
        )
        assert request(server, "GET", "/")[0] == 200 and not server._device.locked()


# -- the request


def test_a_request_is_read_as_it_was_written():
    inputs = {
        "a": np.arange(6, dtype=np.int64).reshape(2, 3),
        "b": np.array(True),
        "c": np.zeros((0, 4), np.float16),
    }
    found = decode(
        encode(
            Work(
                files=[Sent(b"file", inputs), Sent(b"", {})],
                order=[0, 1, 0],
                threads=None,
                rounds=None,
                warm_up=3,
                seconds=0.5,
            )
        )
    )
    assert [one.file for one in found.files] == [b"file", b""] and list(found.order) == [0, 1, 0]
    assert (found.threads, found.rounds, found.warm_up, found.seconds) == (None, None, 3, 0.5)
    for name, value in inputs.items():
        assert found.files[0].inputs[name].dtype == value.dtype
        np.testing.assert_array_equal(found.files[0].inputs[name], value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": 2}, "speaks protocol 2"),
        ({"more": 1}, "has the keys"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 10**6}, "at most 1,024"),
        ({"rounds": True}, "rounds is True"),
        ({"rounds": 10**9}, "at most 100,000"),
        ({"warm_up": None}, "warm_up is None"),
        ({"seconds": -1}, "seconds is -1"),
        ({"seconds": "1"}, "seconds is '1'"),
        ({"order": []}, "order must be a list"),
        ({"order": [1]}, "order names file 1"),
        ({"order": [0] * 65}, "order must be a list"),
        ({"files": {}}, "files must be a list"),
        ({"files": [{"bytes": 1}]}, "each of the files"),
        ({"files": [{"bytes": -1, "inputs": []}]}, "bytes is -1"),
        ({"files": [{"bytes": 10**12, "inputs": []}]}, "was cut off"),
        ({"files": [{"bytes": 1, "inputs": []}]}, "follow the last array"),
        (
            {"files": [{"bytes": 0, "inputs": [{"name": "x", "type": "object", "shape": [1]}]}]},
            "a type among",
        ),
        (
            {"files": [{"bytes": 0, "inputs": [{"name": "x", "type": "float32", "shape": [-1]}]}]},
            "shape is -1",
        ),
        (
            {
                "files": [
                    {"bytes": 0, "inputs": [{"name": "x", "type": "float32", "shape": [10**9] * 9}]}
                ]
            },
            "was cut off",
        ),
    ],
)
def test_requests_that_are_none(linear, change, said):
    header, rest = header_of(encode(work(linear)))
    with pytest.raises(ValueError, match=said):
        decode(framed({**header, **change}, rest))


def test_requests_that_are_no_json_or_cut_off(linear):
    body = encode(work(linear))
    for wrong in (
        b"",
        b"\0",
        b"\xff" * 100,
        b"\0\0\0\x01[",
        b"\0\0\0\x02[]",
        body[:-1],
        body + b"0",
    ):
        with pytest.raises(ValueError):
            decode(wrong)
    deep = b"[" * 100_000
    with pytest.raises(ValueError, match="no JSON"):
        decode(len(deep).to_bytes(4, "big") + deep)


def test_files_are_decoded_within_bounds(linear, lenet):
    one = work(linear, rounds=1)
    assert len(timed(encode(one), 1000, 10.0)) == 1
    with pytest.raises(ValueError, match="max_bytes"):
        timed(encode(work(linear, files=[Sent(lenet.path.read_bytes(), {})])), 1000, 10.0)
    with pytest.raises(ValueError, match=r"this agent works 0\.5 for a request at most"):
        timed(encode(one), 1000, 0.5)
