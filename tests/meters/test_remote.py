"""Devices that are broken, or somebody else's: what they answer is checked."""

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from shoestring.artifact import OnnxRuntime, load
from shoestring.meters import Latency, Remote, RemoteError, Timing, alternate, remote
from shoestring.meters.exchange import Sent, Work

WHO = {"agent": "shoestring", "protocol": 1, "max_bytes": 10**6}
WORK = Work(
    files=[Sent(b"file", {"x": np.ones(1)})],
    order=[0, 0],
    threads=1,
    rounds=2,
    warm_up=1,
    seconds=1.0,
)
GOOD = {"milliseconds": [1.0, 2.0], "runs": 1}


def answer(content, status="200 OK", **headers):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [
        f"HTTP/1.0 {status}",
        f"Content-Length: {len(data)}",
        *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def timings(*found, **more):
    return answer({"protocol": 1, "timings": list(found), **more})


def reset(connection):
    """End the connection without the courtesies."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def device(*answers, seconds=20.0, pause=0.05):
    """A Remote to a server that gives these answers, one a connection.

    Bytes, or a function that is called with the connection.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    asked = []

    def serve():
        for one in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                request = connection.makefile("rb")
                lines = []
                while (line := request.readline()) not in (b"\r\n", b""):
                    lines.append(line.decode().strip())
                request.read(
                    next(
                        (
                            int(x.split(":")[1])
                            for x in lines
                            if x.lower().startswith("content-length")
                        ),
                        0,
                    )
                )
                request.close()
                asked.append(lines)
                if lines[0].startswith("POST"):
                    time.sleep(pause)  # or no run could have taken its milliseconds
                try:
                    one(connection) if callable(one) else connection.sendall(one)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        found = Remote(f"http://127.0.0.1:{listener.getsockname()[1]}", seconds=seconds)
        yield found, asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def test_an_honest_answer_becomes_timings():
    with device(answer(WHO), timings(GOOD, {"milliseconds": [3, 3.0], "runs": 2})) as (there, _):
        assert there.time(WORK) == [Timing.of([1.0, 2.0], 1), Timing.of([3.0, 3.0], 2)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(b"hello"), "no JSON"),
        (answer(b"\xff\xfe\x00"), "no JSON"),
        (answer(b"[" * 100_000), "no JSON"),
        (answer(b"9" * 10_000), "cannot be right"),
        (answer([1]), "an object was wanted"),
        (answer({"protocol": 2, "timings": []}), "speaks protocol 2 and this program 1"),
        (answer({"protocol": True, "timings": []}), "speaks protocol True"),
        (answer({"timings": []}), "speaks protocol None"),
        (answer({"protocol": 1}), "2 timings were wanted"),
        (timings(GOOD), "2 timings were wanted"),
        (timings(GOOD, 1), "must have `milliseconds`"),
        (timings(GOOD, {"milliseconds": 1, "runs": 1}), "must have `milliseconds`"),
        (timings(GOOD, {"milliseconds": [1, 2], "runs": 0}), "must have `milliseconds`"),
        (timings(GOOD, {"milliseconds": [1, 2], "runs": 1.5}), "must have `milliseconds`"),
        (timings(GOOD, {"milliseconds": [1.0, float("nan")], "runs": 1}), "JSON has no NaN"),
        (timings(GOOD, {"milliseconds": [1.0, float("inf")], "runs": 1}), "JSON has no Infinity"),
        (
            answer(b'{"protocol": 1, "timings": [{"milliseconds": [1e999, 1], "runs": 1}, {}]}'),
            "said to take inf",
        ),
        (timings(GOOD, {"milliseconds": [1.0, 0.0], "runs": 1}), "said to take 0.0"),
        (timings(GOOD, {"milliseconds": [1.0, -1.0], "runs": 1}), "said to take -1.0"),
        (timings(GOOD, {"milliseconds": [1.0, True], "runs": 1}), "said to take True"),
        (timings(GOOD, {"milliseconds": [1.0, "1"], "runs": 1}), "said to take '1'"),
        (timings(GOOD, {"milliseconds": [1.0, 1e-300], "runs": 1}), "said to take 1e-300"),
        (timings(GOOD, {"milliseconds": [1.0, 1e9], "runs": 1}), "the whole request took"),
        (timings(GOOD, {"milliseconds": [1.0, 10**4000], "runs": 1}), "the whole request took"),
        (timings(GOOD, {"milliseconds": [10.0, 10.0], "runs": 10**6}), "the runs are said to take"),
        (
            timings(GOOD, {"milliseconds": [1.0], "runs": 1}),
            "2 samples of each file were wanted, and",
        ),
        (timings(*[{"milliseconds": [1.0] * 3, "runs": 1}] * 2), r"and \[3\] came"),
        (answer(b"", "302 Found", Location="http://example.org/"), "sends us elsewhere"),
        (
            answer({}, "307 Temporary Redirect", Location="http://example.org/"),
            "sends us elsewhere",
        ),
        (answer({}, "500 Internal Server Error"), "without a word of why"),
        (
            answer({"error": "no \x1b[31m\n way"}, "422 Unprocessable"),
            r"refused \(HTTP 422\): no  \[31m  way",
        ),
        (b"HTTP/9\r\n\r\n", "cannot be right"),
        (b"SSH-2.0-OpenSSH\r\n", "cannot be right"),
        (b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}", "cannot be right"),
        (b"HTTP/1.0 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}", "cannot be right"),
    ],
)
def test_answers_that_cannot_be_right(said, why):
    with device(answer(WHO), said) as (there, _), pytest.raises(RemoteError, match=why) as found:
        there.time(WORK)
    assert (
        there.url in str(found.value)
        and "\x1b" not in str(found.value)
        and len(str(found.value)) < 700
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer({"protocol": 1}), "something else than an agent"),
        (answer({**WHO, "max_bytes": "many"}), "`max_bytes` is no number"),
        (answer({**WHO, "max_bytes": 10}), "it takes 10"),
        (answer({**WHO, "protocol": 7}), "speaks protocol 7"),
    ],
)
def test_who_is_no_agent_is_sent_no_file(said, why):
    with device(said) as (there, asked), pytest.raises(RemoteError, match=why):
        there.time(WORK)
    assert len(asked) == 1


def test_rounds_that_were_left_open_are_seven_or_more():
    free = Work(files=WORK.files, order=[0], threads=1, rounds=None, warm_up=1, seconds=1.0)
    with device(answer(WHO), timings({"milliseconds": [1.0] * 7, "runs": 1})) as (there, _):
        assert len(there.time(free)[0].milliseconds) == 7
    few = timings({"milliseconds": [1.0] * 6, "runs": 1})
    with (
        device(answer(WHO), few) as (there, _),
        pytest.raises(RemoteError, match="7 or more samples"),
    ):
        there.time(free)


def test_answers_without_end_are_cut(monkeypatch):
    monkeypatch.setattr(remote, "_LARGEST_ANSWER", 1 << 20)

    def flood(connection):
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * (1 << 16))

    with (
        device(answer(WHO), flood) as (there, _),
        pytest.raises(RemoteError, match="more than 1,048,576 bytes"),
    ):
        there.time(WORK)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
def test_who_drips_is_not_waited_for(head):
    def drip(connection):
        connection.sendall(head)
        while True:
            connection.sendall(b"X")
            time.sleep(0.02)

    start = time.perf_counter()
    with (
        device(answer(WHO), drip, seconds=0.8) as (there, _),
        pytest.raises(RemoteError, match=r"no answer within 0\.8 seconds"),
    ):
        there.time(WORK)
    assert (
        time.perf_counter() - start < 15
    )  # a bound, not a timing: without it there would be no end


def test_a_connection_that_breaks_is_tried_once_more():
    with device(reset, answer(WHO), reset, timings(GOOD, GOOD)) as (there, asked):
        assert len(there.time(WORK)) == 2
    assert [lines[0].split()[0] for lines in asked] == ["GET", "GET", "POST", "POST"]
    cut = b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"
    for broken in (reset, cut, chunked):
        with (
            device(answer(WHO), broken, broken) as (there, _),
            pytest.raises(RemoteError, match="broke off twice: see whether"),
        ):
            there.time(WORK)


def test_a_device_that_stays_busy():
    busy = answer({"error": "come again"}, "503 Service Unavailable", Retry_After="999999999999")
    with (
        device(busy, seconds=1.5) as (there, _),
        pytest.raises(RemoteError, match=r"HTTP 503\): come again"),
    ):
        there.about()


def test_nobody_is_there():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(
        RemoteError, match=f"{url}: nothing listens there: start `shoestring agent`"
    ):
        Remote(url).about()


def test_the_token_is_sent_and_not_shown(monkeypatch):
    monkeypatch.delenv(remote.TOKEN, raising=False)
    with device(answer(WHO), answer(WHO)) as (there, asked):
        there.about()
        given = Remote(there.url, token="secret-word")
        given.about()
    assert not any("Authorization" in line for line in asked[0])
    assert "Authorization: Bearer secret-word" in asked[1]
    for shown in (repr(given), str(given), repr(Latency(runtime=given))):
        assert "secret" not in shown and there.url in shown
    monkeypatch.setenv(remote.TOKEN, "not sound")
    with pytest.raises(ValueError, match="SHOESTRING_TOKEN has a space"):
        there.about()


@pytest.mark.parametrize(
    "url",
    [
        "raspberry:8731",
        "ftp://raspberry",
        "http://",
        "http://a:b@raspberry",
        "http://raspberry/x",
        "http://raspberry?x=1",
        "http://raspberry:99999999",
        "http://rasp berry",
        "http://raspberry\r\nX: y",
        None,
        5,
    ],
)
def test_urls_that_are_none(url):
    with pytest.raises(
        ValueError, match="write where the agent listens, such as 'http://raspberry:8731'"
    ) as found:
        Remote(url)
    assert "a:b" not in str(found.value)


def test_bad_settings():
    with pytest.raises(ValueError, match="seconds is 0"):
        Remote("http://raspberry", seconds=0)
    for token in ("", "with space", "ü", "a\r\nb"):
        with pytest.raises(ValueError, match="the token is empty, or"):
            Remote("http://raspberry", token=token)


def test_all_of_an_alternation_are_on_one_device(linear):
    here, there = OnnxRuntime(), Remote("http://raspberry:8731")
    for mixed in ([here, there], [there, Remote("http://phone:8731")]):
        with pytest.raises(ValueError, match="one Remote for all of an alternation"):
            alternate([linear.path] * 2, linear.task, runtime=mixed)
    with pytest.raises(TypeError, match="runtime is Remote"):
        load(linear.path, runtime=there)


def test_each_file_is_sent_once(linear, lenet, monkeypatch):
    sent = []
    monkeypatch.setattr(Remote, "time", lambda self, work: sent.append(work) or [])
    alternate(
        [linear.path, linear.path, linear.path],
        linear.task,
        batch=5,
        threads=None,
        rounds=3,
        runtime=Remote("http://pi"),
    )
    (work,) = sent
    assert (list(work.order), len(work.files), work.threads, work.rounds) == ([0, 0, 0], 1, None, 3)
    assert work.files[0].file == linear.path.read_bytes()
    assert [value.shape for value in work.files[0].inputs.values()] == [(5, 8)]
