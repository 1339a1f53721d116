"""Worker processes on this machine: each is forked, may end at any moment, and is replaced."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from shoestring.parallel.messages import GarbledError, hear, tell

_AT_ONCE = 3
"""So many workers, one after the other, that end before a first gradient are an error."""
_ENDING_SECONDS = 1.0
ENDS = {"end": True}
"""The message after which a worker ends."""


class WorkersError(RuntimeError):
    """The workers of a training cannot go on; the message says why."""


class WorkersWarning(UserWarning):
    """What workers do is not what one process would have done."""


class LostWorkerWarning(UserWarning):
    """A worker ended, hung or sent what cannot be; another one makes its batch again."""


@dataclass
class _Member:
    connection: Connection
    process: int | None
    """None for a worker of another machine."""
    name: str
    generation: int
    ticket: int | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What a worker hands in. `ticket`: the number of its batch; `place`: the worker's."""

    place: int
    ticket: int
    words: dict[str, Any]
    data: bytearray


@dataclass
class Crew:
    """A number of places for workers, each of which has a process when it has something to do.

    A process is a copy of this one as it is when it is needed: so a worker knows all that the
    program had until then, without anything being sent.

    `count`: the places, 1 or more.
    `patience`: the seconds after which a worker that does not answer is taken for hung, above 0.
    `most`: the bytes that an answer may have.
    `serve`: what a worker does, `serve(connection, place)`, until there is nobody at the other end
        of the connection, or `ENDS` comes.
    `keep`: gets what a worker leaves behind for the one that takes its place; None: nothing is.
    `sent`: the bytes that went either way so far.
    """

    count: int
    patience: float
    most: int
    serve: Callable[[Connection, int], None]
    keep: Callable[[int, bytes], None] | None = None
    sent: int = 0
    _members: dict[int, _Member] = field(default_factory=dict)
    _generation: int = 0
    _in_vain: int = 0
    _next: int = -1

    def idle(self) -> list[int]:
        """The places that have nothing to do, in their order: first those of this machine."""
        others = sorted(place for place in self._members if place >= self.count)
        members = [(place, self._members.get(place)) for place in (*range(self.count), *others)]
        return [place for place, one in members if one is None or one.ticket is None]

    def is_of_another_machine(self, place: int) -> bool:
        """Whether the worker of a place came by itself, and is not replaced where it is lost."""
        return place >= self.count

    def add(self, connection: Connection, name: str) -> None:
        """Give a worker of another machine a place."""
        place = self._next = max(self._next + 1, self.count)
        self._members[place] = _Member(connection, None, name, self._generation)

    def hand(self, place: int, ticket: int, data: bytes) -> bool:
        """Give a worker something to do, and say whether there is one that has it now.

        One of this machine that is gone is replaced; one of another machine is not.
        """
        while True:
            member = self._member(place)
            try:
                self.sent += tell(member.connection, {"ticket": ticket}, data, self.patience)
            except OSError:
                self._lose(place, "ended")
                if member.process is None:
                    return False
                continue
            member.ticket, member.since = ticket, time.monotonic()
            return True

    def renew(self) -> None:
        """From now on workers are made anew before they get something to do."""
        self._generation += 1

    def dismiss(self, place: int) -> None:
        """Let the worker of a place end; the next one is a copy of this process as it is then."""
        if (member := self._members.pop(place, None)) is None:
            return
        with contextlib.suppress(OSError, EOFError, GarbledError):
            tell(member.connection, ENDS, b"", self.patience)
            if self.keep is not None and member.ticket is None and member.process is not None:
                self.keep(place, bytes(hear(member.connection, self.most, self.patience)[1]))
            if member.process is None and member.ticket is not None:
                # what it is about to say is heard, since it would not read that it is over else
                hear(member.connection, self.most, _ENDING_SECONDS)
        _ended(member)

    def answer(self) -> Answer | int:
        """The next answer; or the ticket that is lost, since its worker is."""
        while True:
            busy = {
                member.connection: place
                for place, member in self._members.items()
                if member.ticket is not None
            }
            assert busy, "nobody has anything to do"
            since = min(self._members[place].since for place in busy.values())
            left = since + self.patience - time.monotonic()
            for connection in wait(list(busy), max(0.0, left)):
                assert isinstance(connection, Connection)
                return self._heard(busy[connection])
            for place in busy.values():
                member = self._members[place]
                if time.monotonic() - member.since >= self.patience:
                    return self._lose(place, f"did not answer for {self.patience:g} s", kill=True)

    def end(self) -> None:
        """Let all workers end; those that do not are killed."""
        for member in self._members.values():
            if member.ticket is not None and member.process is not None:  # nobody waits for it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.process, signal.SIGKILL)
        for place in list(self._members):
            self.dismiss(place)

    def _heard(self, place: int) -> Answer | int:
        member = self._members[place]
        assert member.ticket is not None
        try:
            words, data, size = hear(member.connection, self.most, self.patience)
        except GarbledError as error:
            return self.refuse(place, str(error))
        except TimeoutError:
            return self._lose(place, f"took more than {self.patience:g} s to hand in", kill=True)
        except (EOFError, OSError):
            return self._lose(place, "ended")
        self.sent += size
        if "error" in words:
            told = str(words["error"])
            if member.process is None:
                return self._lose(place, f"failed ({told[-1000:]})", kill=True)
            raise WorkersError(
                "a worker failed. If a training without workers does not, the task has something "
                f"that copies of a process cannot share, such as an open file.\n\n{told}"
            )
        ticket, member.ticket, self._in_vain = member.ticket, None, 0
        return Answer(place, ticket, words, data)

    def refuse(self, place: int, why: str) -> int:
        """Take a worker's answer for none, and return the ticket that is lost with it."""
        return self._lose(place, f"sent what no worker sends ({why})", kill=True)

    def _member(self, place: int) -> _Member:
        """The worker of a place, which is new where there is none of this generation."""
        member = self._members.get(place)
        is_old = member is not None and member.generation != self._generation
        if is_old and not self.is_of_another_machine(place):
            self.dismiss(place)
            member = None
        if member is None:
            member = self._members[place] = self._fork(place)
        return member

    def _fork(self, place: int) -> _Member:
        ours, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; this one's own wait for nothing that a worker needs
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if not process:
            self._be_worker(theirs, place, [ours, *(one.connection for one in self._all())])
        theirs.close()
        return _Member(ours, process, f"worker {place} (process {process})", self._generation)

    def _all(self) -> list[_Member]:
        return list(self._members.values())

    def _be_worker(self, connection: Connection, place: int, others: list[Connection]) -> None:
        """What the new process does; it does not return."""
        status = 1
        try:
            gc.freeze()  # what is not this process's own, such as an open database, stays as it is
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the program does
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for one in others:
                one.close()
            torch.set_num_threads(1)  # threads of the program's pool are not in this process
            if place:  # one of them tells what there is to warn of
                warnings.simplefilter("ignore")
            self.serve(connection, place)
            status = 0
        except BaseException:
            with contextlib.suppress(BaseException):
                told = {"error": traceback.format_exc()[-20_000:]}
                tell(connection, told, b"", self.patience)
        finally:
            os._exit(status)

    def _lose(self, place: int, why: str, *, kill: bool = False) -> int:
        """Note that a worker is lost; returns its ticket, or -1 where it had none."""
        member = self._members.pop(place)
        ended = _ended(member, kill=kill)
        if member.process is None:
            then = "its batch is made by another one"
        else:
            self._check_hope(f"{why}{ended}")
            then = "another one takes its place"
        warnings.warn(f"{member.name} {why}{ended}: {then}", LostWorkerWarning, stacklevel=2)
        return -1 if member.ticket is None else member.ticket

    def _check_hope(self, how: str) -> None:
        """Raise WorkersError where workers are lost before they have handed in anything."""
        self._in_vain += 1
        if self._in_vain > _AT_ONCE * self.count:
            raise WorkersError(
                f"{self._in_vain} workers in a row were lost before they handed in a gradient; the "
                f"last one {how}. Where they are killed, there is too little memory for "
                f"{self.count} copies of the model: use fewer workers. Where they do not answer, a "
                f"step takes longer than the patience of {self.patience:g} s: give more"
            )


def _ended(member: _Member, *, kill: bool = False) -> str:
    """Wait until a process has ended, and say how; one that does not end is killed."""
    member.connection.close()
    if member.process is None:
        return ""
    if kill:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.process, signal.SIGKILL)
    until = time.monotonic() + _ENDING_SECONDS
    while True:
        try:
            process, status = os.waitpid(member.process, os.WNOHANG)
        except ChildProcessError:  # somebody else waited for it
            return ""
        if process:
            break
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.process, signal.SIGKILL)
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    return f", by signal {-code}" if code < 0 and not kill else ""
