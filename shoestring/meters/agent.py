"""An agent is an HTTP server that times files for others, on the device where it runs.

It needs only the base install. `GET /` describes the device. `POST /time` takes a request of
`exchange` and returns the samples. Every answer is JSON, and an answer that is not a success has an
`error` in words. The agent never opens a path that a client names.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from subprocess import Popen
from threading import BoundedSemaphore, Lock, Timer
from time import perf_counter
from typing import Any

from shoestring.core.ledger import machine, versions
from shoestring.meters.apart import WorkError, ask, process
from shoestring.meters.exchange import MAX_BYTES, PROTOCOL, printable
from shoestring.meters.inputs import check_integer, check_positive

SHORTEST_TOKEN = 8
_HEADER_SECONDS = 10.0  # the most that a request's header may take, from its connection on
_SLOWEST = 250_000  # bytes a second that a body must reach, beyond the seconds of a header
_CONNECTIONS = 16


class Refusal(Exception):
    """A request that the agent refuses, with an HTTP status and the reason in words."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.headers = (
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
        )


class Agent(ThreadingHTTPServer):
    """The server; `serve_forever()` answers requests until it is shut down.

    `port`: 0 takes a free one; `url` has it.
    `host`: the address to listen at. Any address but this machine's own needs a token.
    `token`: what clients must send, 8 or more printable ASCII characters without a space. None
        means no token on a loopback address and a random one elsewhere; the attribute `token` has
        it.
    `max_bytes`: the most that a request, and the tensors of a file in memory, may take, 1 or more.
    `seconds`: the most that the work of one request may take after it was received, above 0.
    `patience`: seconds that a request waits for the one before it, above 0. After them the client
        is told to come again.
    `say`: called with one line about each request that was timed.

    Raises ValueError for bad settings, and OSError where the agent cannot listen at the address.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        token: str | None = None,
        max_bytes: int = MAX_BYTES,
        seconds: float = 120.0,
        patience: float = 20.0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        check_integer("max_bytes", max_bytes, 1)
        check_positive("seconds", seconds)
        check_positive("patience", patience)
        if token is not None and (
            len(token) < SHORTEST_TOKEN
            or not token.isascii()
            or not token.isprintable()
            or " " in token
        ):
            raise ValueError(
                f"the token must have {SHORTEST_TOKEN} or more letters, digits and signs of ASCII, "
                "and no space"
            )
        self.token = secrets.token_urlsafe(16) if token is None and not is_loopback(host) else token
        self.max_bytes, self.seconds, self.patience, self.say = max_bytes, seconds, patience, say
        self._device, self._slots, self._worker = Lock(), BoundedSemaphore(_CONNECTIONS), None
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise OSError(
                f"cannot listen at {host}, port {port}: {why}; choose another --port, or --host"
            ) from None

    def server_bind(self) -> None:
        """Bind the address without looking up its host name, which is slow where no DNS answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    @property
    def url(self) -> str:
        """The URL at which the agent listens."""
        host, port = self.server_address[:2]
        return (
            f"http://[{host}]:{port}"
            if self.address_family == socket.AF_INET6
            else f"http://{host}:{port}"
        )

    def who(self) -> dict[str, Any]:
        """The description of the device that `GET /` returns."""
        return {
            "agent": "shoestring",
            "protocol": PROTOCOL,
            "machine": machine(),
            "cores": os.cpu_count(),
            "versions": versions(),
            "max_bytes": self.max_bytes,
            "seconds": self.seconds,
        }

    def measure(self, read: Callable[[], bytes], client: str) -> dict[str, Any]:
        """The timings of a request, which `read` receives once the device is free.

        Raises Refusal where the device stays busy or the work cannot be done.
        """
        if not self._device.acquire(timeout=self.patience):
            raise Refusal(
                503,
                "another request is being timed, and only one is at a time: come again",
                Retry_After="5",
            )
        try:
            body = read()
            began = perf_counter()
            self._worker = process(self.max_bytes, self.seconds)
            timings = ask(self._worker, body, self.seconds)
            self.say(f"timed {len(timings)} for {client} in {perf_counter() - began:.1f} s")
            return {"protocol": PROTOCOL, "timings": timings}
        except WorkError as error:
            self.say(f"refused {client}: {printable(str(error))}")
            raise Refusal(422, str(error)) from None
        finally:
            self._worker = None
            self._device.release()

    def server_close(self) -> None:
        """Stop listening, and kill the process that is timing files."""
        super().server_close()
        worker: Popen[bytes] | None = self._worker
        if worker is not None:
            worker.kill()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or hang up where 16 connections are open already."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in this thread, then free its slot."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that hung up is no error of the agent."""


class _Handler(BaseHTTPRequestHandler):
    server: Agent  # type: ignore[assignment]
    timeout = 10.0  # seconds of silence
    server_version, sys_version = "shoestring", ""
    _alarm: Timer | None = None
    _taken = False  # whether the body was read

    def setup(self) -> None:
        super().setup()
        self._hang_up_after(_HEADER_SECONDS)

    def finish(self) -> None:
        self._hang_up_after(None)
        super().finish()

    def _hang_up_after(self, seconds: float | None) -> None:
        """Close the connection after so many seconds, even amid a transfer; None cancels that."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if seconds is not None:
            self._alarm = Timer(seconds, _hang_up, [self.connection])
            self._alarm.daemon = True
            self._alarm.start()

    def do_GET(self) -> None:
        self._answered("/", self.server.who)

    def do_POST(self) -> None:
        self._answered("/time", self._time)

    def _answered(self, path: str, answer: Callable[[], dict[str, Any]]) -> None:
        self._hang_up_after(None)
        try:
            self._admit(path)
            self._say(200, answer())
        except Refusal as refusal:
            self._say(refusal.status, {"error": str(refusal)}, refusal.headers)
            self._drain()
        except OSError:
            raise
        except Exception as error:  # the client is told, and the agent goes on
            self.server.say(
                f"a request of {self.client_address[0]} failed: {type(error).__name__}: "
                f"{printable(str(error))}"
            )
            self._say(
                500,
                {
                    "error": f"the agent failed over this request ({type(error).__name__}): send "
                    "a smaller one, or restart it"
                },
            )

    def _admit(self, path: str) -> None:
        """Raise Refusal for a wrong token, for a browser that a page sent, and for other paths."""
        given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if self.server.token is not None and not hmac.compare_digest(
            given, f"Bearer {self.server.token}".encode()
        ):
            raise Refusal(
                401,
                "the token is missing or wrong: say the one that the agent was started with",
                WWW_Authenticate="Bearer",
            )
        if "Origin" in self.headers:
            raise Refusal(403, "pages in a browser are not served: use shoestring.meters.Remote")
        if self.path != path:
            raise Refusal(
                404, "there is nothing here: GET / says who this is, and POST /time times files"
            )

    def _time(self) -> dict[str, Any]:
        text = self.headers.get("Content-Length", "")
        if not text or "Transfer-Encoding" in self.headers:
            raise Refusal(411, "say the length of the request in Content-Length")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise Refusal(400, "Content-Length is no number")
        if int(text) > self.server.max_bytes:
            raise Refusal(
                413,
                f"the request has {int(text):,} bytes and {self.server.max_bytes:,} are allowed: "
                "send fewer or smaller files, or start the agent with more --max-bytes",
            )
        return self.server.measure(lambda: self._body(int(text)), self.client_address[0])

    def _body(self, length: int) -> bytes:
        self._hang_up_after(_HEADER_SECONDS + length / _SLOWEST)
        self._taken = True
        body = self.rfile.read(length)
        self._hang_up_after(None)
        if len(body) < length:
            raise Refusal(
                400, f"the request ended after {len(body):,} of {length:,} bytes: send it again"
            )
        return body

    def _drain(self) -> None:
        """Read what the client still sends, for a while.

        A client that is cut off while it sends would not read the reason.
        """
        text = self.headers.get("Content-Length", "")
        is_valid = not self._taken and text.isascii() and text.isdigit() and len(text) < 20
        left = min(int(text), self.server.max_bytes) if is_valid else 0
        self._hang_up_after(_HEADER_SECONDS)
        with suppress(OSError):
            self.wfile.flush()
            while left > 0 and (data := self.rfile.read(min(left, 1 << 16))):
                left -= len(data)

    def _say(
        self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(content).encode()
        self._hang_up_after(_HEADER_SECONDS + len(data) / _SLOWEST)
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in JSON where the library refuses a request (no HTTP, another method)."""
        self.close_connection = True
        self._say(int(code), {"error": message or self.responses.get(code, ("no",))[0]})

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing: what clients send is not printed."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens at `host`."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
