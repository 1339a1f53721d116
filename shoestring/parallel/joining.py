"""Workers on other machines: they join a training that listens, and may leave at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import queue
import socket
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

import torch
from torch import nn

from shoestring.core import Task
from shoestring.core.ledger import versions
from shoestring.kit import Mixed, Training
from shoestring.kit.training.resume import data_digest
from shoestring.parallel.crew import LostWorkerWarning, WorkersError
from shoestring.parallel.exchange.protocols import GradientExchange
from shoestring.parallel.messages import GarbledError, as_bytes, hear, tell

GREETING_SECONDS = 10.0
"""The time that a program has to say who it is."""
MOST_STATE = 1 << 24
"""The bytes that the states of random numbers have at most."""
_SHORTEST = 8
_AT_ONCE = 16
"""Programs that are greeted at one time; others have to come again."""
_DECIDING = ("shoestring", "torch")


@dataclass(frozen=True)
class Listening:
    """Where a training listens for workers of other machines: `Listening("0.0.0.0:29400")`.

    They join with `shoestring train SOURCE --join HOST:PORT`, or `join`. What goes over the wire is
    checked and is never code, but it is not encrypted: use it in a network that you trust.

    `address`: of this machine, HOST:PORT; port 0 for any that is free.
    `key`: what those who join must know, of 8 characters or more, as secrets.token_hex(16) makes
        it. It is not shown in a repr.

    Raises ValueError for an address that is none, and for a shorter key.
    """

    address: str
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        split_address(self.address)
        if len(self.key) < _SHORTEST:
            raise ValueError(
                f"a key of {len(self.key)} characters: give {_SHORTEST} or more, as "
                "secrets.token_hex(16) makes them"
            )


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of "HOST:PORT"; raises ValueError for what is none."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{address!r} is no address: write HOST:PORT, such as 192.168.0.7:29400")
    return host.removeprefix("[").removesuffix("]"), int(port)


def marks_of(
    model: nn.Module, task: Task, training: Training, exchange: GradientExchange
) -> dict[str, str]:
    """What a worker must have in common with a training, each as a text."""
    named = model.named_parameters()
    shapes = str([(name, tuple(p.shape), p.dtype, p.requires_grad) for name, p in named])
    frozen = [p.cpu() for p in model.parameters() if not p.requires_grad]
    buffers = str([(name, tuple(b.shape), b.dtype) for name, b in model.named_buffers()])
    return {
        "versions": ", ".join(f"{name} {versions().get(name)}" for name in _DECIDING),
        "parameters": hashlib.sha256((shapes + buffers).encode()).hexdigest()[:16],
        "frozen weights": hashlib.sha256(as_bytes(frozen)).hexdigest()[:16],
        "data": data_digest(task).hex()[:16],
        "precision": repr(training.precision),
        "exchange": repr(exchange),
    }


class Door:
    """Lets programs in that know the key and have the same model and data, in a thread of its own.

    `address`: where it listens, HOST:PORT.

    Raises WorkersError where nobody can listen there.
    """

    def __init__(self, listening: Listening, marks: dict[str, str]) -> None:
        host, port = split_address(listening.address)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise WorkersError(
                f"nobody can listen at {listening.address} ({error}): name an address of this "
                "machine, 0.0.0.0 for all of them, and a port that is free"
            ) from error
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        self._key, self._marks, self._closed = listening.key.encode(), marks, False
        self._came: queue.SimpleQueue[tuple[Connection | None, str]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._let_in, daemon=True)
        self._thread.start()

    def came(self) -> Iterator[tuple[Connection, str]]:
        """Those who came since the last call: the connection, and whose it is.

        Warns of those that were not let in.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                connection, told = self._came.get_nowait()
                if connection is None:
                    warnings.warn(told, LostWorkerWarning, stacklevel=2)
                else:
                    yield connection, told

    def leave(self) -> None:
        """Close what a copy of this process has of the door, and let it be."""
        self._socket.close()

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # so that the thread's accept() ends
        self._socket.close()
        self._thread.join(GREETING_SECONDS)
        for connection, _ in self.came():
            connection.close()

    def _let_in(self) -> None:
        greeting = threading.BoundedSemaphore(_AT_ONCE)
        while not self._closed:
            try:
                caller, place = self._socket.accept()
            except OSError:  # of one caller, or since the door is closed
                continue
            if not greeting.acquire(blocking=False):
                caller.close()
                continue
            thread = threading.Thread(target=self._greet, args=(caller, place, greeting))
            thread.daemon = True
            thread.start()

    def _greet(
        self, caller: socket.socket, place: tuple[Any, ...], greeting: threading.BoundedSemaphore
    ) -> None:
        """Let a program in, if it knows the key and is of the same; it has ten seconds for that."""
        connection, name = Connection(caller.detach()), f"{place[0]}:{place[1]}"
        late = threading.Timer(GREETING_SECONDS, _hang_up, [connection])
        late.start()
        try:
            kept_alive(connection)
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            tell(connection, {"marks": self._marks}, b"", GREETING_SECONDS)
            words, _, _ = hear(connection, 0, GREETING_SECONDS)
            if words != {"ready": True}:
                raise GarbledError(str(words.get("differs", "it is not ready"))[:500])
            late.cancel()
            self._came.put((connection, name))
            if self._closed:  # nobody will ask for it
                connection.close()
        except (OSError, EOFError, ValueError, AuthenticationError) as error:
            late.cancel()
            connection.close()
            why = str(error) or "it hung up, or took too long"
            self._came.put((None, f"a program at {name} was not let in: {why}"))
        finally:
            greeting.release()


def _hang_up(connection: Connection) -> None:
    """End a connection, so that who reads from it stops to wait."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as one:
        one.shutdown(socket.SHUT_RDWR)


def knock(
    address: str, key: str, model: nn.Module, task: Task, exchange: GradientExchange
) -> tuple[Connection, Training]:
    """Join a training; returns the connection to it, and what is to be known of it.

    Raises WorkersError where nobody listens, the key is another or the training is: the message
    says which.
    """
    ours = marks_of(model, task, Training(1), exchange)  # before the other side waits for it
    try:
        called = socket.create_connection(split_address(address), GREETING_SECONDS)
    except OSError as error:
        raise WorkersError(
            f"no training listens at {address} ({error}): start it with --listen, and name the "
            "address as this machine reaches it"
        ) from error
    called.settimeout(None)
    connection = Connection(called.detach())
    late = threading.Timer(GREETING_SECONDS, _hang_up, [connection])
    late.start()
    try:
        kept_alive(connection)
        answer_challenge(connection, key.encode())
        deliver_challenge(connection, key.encode())
        words, _, _ = hear(connection, 1 << 16, GREETING_SECONDS)
        theirs = words.get("marks")
        theirs = theirs if isinstance(theirs, dict) else {}
        mixed = theirs.get("precision") == repr(Mixed())
        training = Training(1, precision=Mixed()) if mixed else Training(1)
        ours["precision"] = repr(training.precision)
        if differing := [name for name in ours if theirs.get(name) != ours[name]]:
            told = {name: (theirs.get(name), ours[name]) for name in differing}
            text = "; ".join(
                f"{name}: {one} there, {other} here" for name, (one, other) in told.items()
            )
            tell(connection, {"differs": text}, b"", GREETING_SECONDS)
            raise WorkersError(
                f"the training at {address} is of something else ({text}): use the same packages, "
                "function and data on all machines"
            )
        tell(connection, {"ready": True}, b"", GREETING_SECONDS)
    except AuthenticationError as error:
        raise WorkersError(
            f"the training at {address} has another key than the one given"
        ) from error
    except (OSError, EOFError, ValueError) as error:
        why = str(error) or "it hung up, or took too long"
        raise WorkersError(f"{address} does not answer as a training does ({why})") from error
    finally:
        late.cancel()
    return connection, training


def kept_alive(connection: Connection) -> None:
    """Let the system notice, within minutes, that the machine at the other end is gone."""
    with socket.socket(fileno=os.dup(connection.fileno())) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):
                one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def as_state(begun: list[Any]) -> bytes:
    """The states of random numbers, to be sent."""
    data = io.BytesIO()
    torch.save(begun, data)
    return data.getvalue()


def from_state(data: bytes) -> list[Any]:
    """What `as_state` gave; raises GarbledError for anything else."""
    try:
        if len(data) > MOST_STATE:
            raise ValueError(f"{len(data)} bytes")
        found = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:
        raise GarbledError(f"random numbers that cannot be read ({error})") from error
    if not isinstance(found, list):
        raise GarbledError("random numbers that are no list")
    return found
