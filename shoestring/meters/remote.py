"""Files are timed on another device, whose agent (`shoestring agent`) returns the samples."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from threading import Timer
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit

from shoestring.meters.exchange import PROTOCOL, Work, encode, plain_json, printable
from shoestring.meters.inputs import check_positive
from shoestring.meters.interleaved import FEWEST_ROUNDS, Timing

TOKEN = "SHOESTRING_TOKEN"
"""The environment variable with the token that is used where none is given."""
_LARGEST_ANSWER = 1 << 25
_SHORTEST_MILLISECONDS = 1e-7  # no processor calls a function in less
_CLOCKS = 1.05  # how many times faster than ours the device's clock may be
_RESET = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, IncompleteRead)


class RemoteError(OSError):
    """A device cannot be reached, refuses a request, or gives an answer that cannot be right."""


@dataclass(frozen=True)
class Remote:
    """The device at `url`, on which `alternate` and `Latency` time files as their `runtime`.

    `url`: where its agent listens, such as http://raspberry:8731.
    `token`: what the agent printed; None reads the environment variable SHOESTRING_TOKEN, if it is
        set.
    `seconds`: the most that one answer may take, above 0, including the wait for other clients.

    All files of one alternation are sent together, and ONNX Runtime times them there in
    alternation. The answer is checked, because a device may be broken or belong to somebody else.
    Raises ValueError for bad settings.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    seconds: float = 180.0

    def __post_init__(self) -> None:
        check_positive("seconds", self.seconds)
        try:
            parts = urlsplit(self.url)
            is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            is_bare = not (
                parts.username or parts.password or parts.query or parts.fragment
            ) and parts.path in ("", "/")
        except (ValueError, AttributeError, TypeError):
            is_valid = is_bare = False
        if (
            not is_valid
            or not is_bare
            or not self.url.isascii()
            or not self.url.isprintable()
            or " " in self.url
        ):
            raise ValueError(
                f"url is {_without_user(self.url)!r}: write where the agent listens, such as "
                "'http://raspberry:8731', and give the token apart"
            )
        if self.token is not None and not _is_token(self.token):
            raise ValueError(
                "the token is empty, or has a space or a sign outside ASCII: give the one that the "
                "agent printed"
            )

    def about(self) -> dict[str, Any]:
        """What the device says of itself.

        It has `machine`, `cores`, `versions`, `max_bytes` and `seconds`. Raises RemoteError.
        """
        return self._who(perf_counter() + self.seconds)

    def time(self, work: Work) -> list[Timing]:
        """A Timing for each entry of the work's order. Raises RemoteError."""
        end = perf_counter() + self.seconds
        who, body = self._who(end), encode(work)
        if len(body) > who["max_bytes"]:
            raise self._error(
                f"the files and inputs have {len(body):,} bytes and it takes {who['max_bytes']:,}",
                "time fewer files, a smaller batch, or start it with more --max-bytes",
            )
        began = perf_counter()
        answer = self._ask("POST", "/time", body, end)
        return self._timings(answer, work, 1e3 * (perf_counter() - began))

    def _who(self, end: float) -> dict[str, Any]:
        who = self._ask("GET", "/", b"", end)
        if who.get("agent") != "shoestring":
            raise self._error(
                "it is something else than an agent of Shoestring",
                "give the url that `shoestring agent` printed",
            )
        most = who.get("max_bytes")
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise self._nonsense("`max_bytes` is no number of bytes")
        return who

    def _timings(self, answer: dict[str, Any], work: Work, elapsed: float) -> list[Timing]:
        timings = answer.get("timings")
        if not isinstance(timings, list) or len(timings) != len(work.order):
            raise self._nonsense(f"{len(work.order)} timings were wanted")
        counts: set[int] = set()
        total = 0.0
        for timing in timings:
            samples, runs = (
                (timing.get("milliseconds"), timing.get("runs"))
                if isinstance(timing, dict)
                else (None, None)
            )
            if (
                not isinstance(samples, list)
                or not _is_number(runs)
                or not isinstance(runs, int)
                or not 1 <= runs <= 10**9
            ):
                raise self._nonsense(
                    "a timing must have `milliseconds`, a list, and `runs`, a number"
                )
            for sample in samples:
                if (
                    not _is_number(sample)
                    or not _SHORTEST_MILLISECONDS <= sample <= _CLOCKS * elapsed
                ):
                    raise self._nonsense(
                        f"a run is said to take {_short(sample)} milliseconds, and the whole "
                        f"request took {elapsed:.0f}"
                    )
            counts.add(len(samples))
            total += runs * sum(samples)
        wanted = f"{work.rounds}" if work.rounds else f"{FEWEST_ROUNDS} or more"
        if len(counts) != 1 or not (
            counts == {work.rounds} if work.rounds else min(counts) >= FEWEST_ROUNDS
        ):
            raise self._nonsense(
                f"{wanted} samples of each file were wanted, and {_short(sorted(counts))} came"
            )
        if total > _CLOCKS * elapsed:
            raise self._nonsense(
                f"the runs are said to take {total:.0f} milliseconds, and the whole request took "
                f"{elapsed:.0f}"
            )
        return [
            Timing.of([float(sample) for sample in timing["milliseconds"]], timing["runs"])
            for timing in timings
        ]

    def _ask(self, method: str, path: str, body: bytes, end: float) -> dict[str, Any]:
        """The answer to a request, which is a success of this protocol.

        A busy device is asked again until `end`, and one that closed the connection is asked again
        once.
        """
        resets = 0
        while True:
            try:
                status, data, wait = self._exchange(method, path, body, end)
            except _RESET:
                resets += 1
                if resets > 1:
                    raise self._error(
                        "the connection broke off twice", "see whether the agent still runs there"
                    ) from None
                continue
            answer = self._read(status, data)
            if status == 200:
                return answer
            if status == 503 and perf_counter() + wait < end:
                sleep(wait)
                continue
            reason = printable(answer["error"])
            advice = (
                f"pass Remote(url, token=...) or set {TOKEN} to what `shoestring agent` printed"
                if status == 401
                else ""
            )
            raise self._error(f"it refused (HTTP {status}): {reason}", advice)

    def _read(self, status: int, data: bytes) -> dict[str, Any]:
        if 300 <= status < 400:
            raise self._error(
                "it sends us elsewhere, and that is not followed",
                "give the url of the agent itself",
            )
        try:
            answer = plain_json(data, "the answer")
        except ValueError as error:
            raise self._nonsense(f"HTTP {status}; {printable(str(error))}") from None
        if not isinstance(answer, dict):
            raise self._nonsense(
                f"HTTP {status} with {type(answer).__name__} where an object was wanted"
            )
        if status != 200:
            if not isinstance(answer.get("error"), str):
                raise self._nonsense(f"HTTP {status} without a word of why")
        elif answer.get("protocol") != PROTOCOL or isinstance(answer["protocol"], bool):
            protocol = _short(answer.get("protocol"))
            raise self._error(
                f"it speaks protocol {protocol} and this program {PROTOCOL}",
                "install the same shoestring on both",
            )
        return answer

    def _exchange(
        self, method: str, path: str, body: bytes, end: float
    ) -> tuple[int, bytes, float]:
        """The status, the content, and the seconds to wait before asking again.

        It ends at `end`, however slowly the answer arrives.
        """
        parts, headers = urlsplit(self.url), self._headers(method)
        left = end - perf_counter()
        if left <= 0:
            raise self._late()
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=left)
        alarm: Timer | None = None
        try:
            connection.connect()
            alarm = Timer(max(end - perf_counter(), 0.0), _hang_up, [connection.sock])
            alarm.daemon = True
            alarm.start()
            response = _sent(connection, method, path, body, headers)
            data = response.read(_LARGEST_ANSWER + 1)
            if len(data) > _LARGEST_ANSWER:
                raise self._error(
                    f"it answers with more than {_LARGEST_ANSWER:,} bytes",
                    "see what it is that listens there",
                )
            if perf_counter() >= end:
                raise self._late()
            if response.length:
                raise ConnectionResetError("the answer was cut off")
            return response.status, data, _wait(response)
        except (OSError, HTTPException) as error:
            if isinstance(error, RemoteError):
                raise
            if perf_counter() >= end - 1e-3 or isinstance(error, TimeoutError):
                raise self._late() from None
            if isinstance(error, _RESET):
                raise
            if isinstance(error, ConnectionRefusedError):
                raise self._error(
                    "nothing listens there", "start `shoestring agent` on the device"
                ) from None
            if isinstance(error, HTTPException):
                raise self._nonsense(f"{type(error).__name__}: {printable(str(error))}") from None
            raise self._error(
                f"it cannot be reached ({printable(error.strerror or str(error))})",
                "see whether it is on",
            ) from None
        finally:
            if alarm is not None:
                alarm.cancel()
            connection.close()

    def _headers(self, method: str) -> dict[str, str]:
        token = self.token if self.token is not None else os.environ.get(TOKEN) or None
        if token is not None and not _is_token(token):
            raise ValueError(
                f"{TOKEN} has a space or a sign outside ASCII: set it to what `shoestring agent` "
                "printed"
            )
        kind = {"Content-Type": "application/octet-stream"} if method == "POST" else {}
        return kind if token is None else {**kind, "Authorization": f"Bearer {token}"}

    def _error(self, what: str, advice: str = "") -> RemoteError:
        return RemoteError(f"the device at {self.url}: {what}" + (f": {advice}" if advice else ""))

    def _nonsense(self, what: str) -> RemoteError:
        return self._error(
            f"its answer cannot be right: {what}",
            "see whether `shoestring agent` is what listens there",
        )

    def _late(self) -> RemoteError:
        return self._error(
            f"it gave no answer within {self.seconds:g} seconds",
            "see what it does, or give Remote more seconds=",
        )


def one_remote(runtimes: Sequence[Any]) -> Remote | None:
    """The device on which all files are timed; None where all runtimes are of this machine.

    Raises ValueError where the runtimes are on different devices.
    """
    remotes = [runtime for runtime in runtimes if isinstance(runtime, Remote)]
    if remotes and (len(remotes) < len(runtimes) or len(set(remotes)) > 1):
        raise ValueError(
            "files are compared that are to be timed on different devices, and milliseconds of two "
            "devices are no pair: give one Remote for all of an alternation"
        )
    return remotes[0] if remotes else None


def _sent(
    connection: HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> HTTPResponse:
    """Send a request; returns the response.

    A server may refuse a request and hang up before it has all of it. Its answer is read anyway.
    """
    try:
        connection.request(method, path, body or None, headers)
    except _RESET:
        with suppress(OSError, HTTPException):
            return connection.getresponse()
        raise
    return connection.getresponse()


def _wait(response: HTTPResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return (
        float(min(max(int(text), 1), 10))
        if text.isascii() and text.isdigit() and len(text) < 9
        else 2.0
    )


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # wakes up whoever waits for it


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_token(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token and token != ""


def _short(value: Any) -> str:
    return printable(repr(value))[:40]


def _without_user(url: Any) -> Any:
    """The url without the part before an @, which may be a secret."""
    return f"...@{url.rsplit('@', 1)[1]}" if isinstance(url, str) and "@" in url else url
