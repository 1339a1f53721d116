"""A model that learns from the labels so far, in a process of its own, while people go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, final

from shoestring.label.collect.answer import annotated
from shoestring.label.collect.order import is_honest
from shoestring.label.collect.store import Point, read
from shoestring.label.example import Annotation, Collection

FEWEST = 10
"""Labels before the model is tried for the first time."""
_MORE, _LEAST_MORE = 0.1, 5
"""It learns again after so many more labels: a share of those there were, and at least so many."""
_TRIES = 3
_PAUSE_SECONDS = 0.25


@final
@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """An example that a model wants labelled, and what it would say.

    `prediction`: has a `score`, how sure the model is; None where it says nothing.
    """

    name: str
    prediction: Annotation | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a model learned from the labels so far.

    `suggestions`: the examples to label next, the one that is worth most first.
    `point`: of the curve; None where there was nothing to score it on.
    `forecast`: what more labels would bring, in a sentence; "" where that is not known.
    `notes`: sentences for the person who labels.
    """

    suggestions: tuple[Suggestion, ...] = ()
    point: Point | None = None
    forecast: str = ""
    notes: tuple[str, ...] = ()


Learn = Callable[[Collection, Sequence[Point]], Learned]
"""Trains a model on a collection, and is told the curve so far. A function of a module, since
another process calls it. It raises ValueError, whose sentence the page shows, where there are too
few labels."""
Deliver = Callable[[Collection, Path], str]
"""Trains a model on a collection and writes it as a file; returns a sentence about it."""


def split_as_drawn(collection: Collection) -> Collection:
    """A collection with splits, where it has none.

    The examples that no model chose are its "validation" split, the others "train".
    """
    if any(one.split for one in collection.examples):
        return collection
    examples = tuple(
        replace(one, split="validation" if is_honest(one.name) else "train")
        for one in collection.examples
    )
    return replace(collection, examples=examples)


def learn_now(collection: Collection, path: Path, learn: Learn) -> Learned:
    """What a model learns from the answers of a project as they are now."""
    answers, names, curve = read(path, collection)
    return learn(split_as_drawn(annotated(collection, answers, names)), curve)


def deliver_now(collection: Collection, path: Path, deliver: Deliver, target: Path) -> str:
    """Train and write a file from the answers of a project as they are now."""
    answers, names, _ = read(path, collection)
    return deliver(split_as_drawn(annotated(collection, answers, names)), target)


def _work(
    call: Callable[..., Any], collection: Collection, path: Path, connection: Connection, *more: Any
) -> None:
    """What the other process does: answers whenever it is asked, until nobody asks."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)  # people come first
    # Ctrl-C in a terminal reaches every process; the server ends this one.
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while connection.recv():
            try:
                with contextlib.redirect_stderr(StringIO()):  # the terminal belongs to the server
                    answer = call(collection, path, *more)
            except Exception as error:
                kind = (
                    "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
                )
                answer = _Failed(f"{kind}{error}"[:1000], isinstance(error, ValueError))
            connection.send(answer)


@final
@dataclass(frozen=True)
class _Failed:
    """What a call raised; `expected`: as a ValueError, which explains itself."""

    sentence: str
    expected: bool


@final
class Aside:
    """A process that calls a function each time it is asked.

    `call`: called with the collection, the file of its project, and `more`.
    `alone`: whether it may start processes of its own; `stop` it, or this one waits for it.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        collection: Collection,
        path: Path,
        *more: Any,
        alone: bool = False,
    ) -> None:
        # Not a fork: that would copy the locks of the server's threads, held or not.
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(call, collection, path, theirs, *more), daemon=not alone
        )
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    def ask(self) -> Any:
        """What the function returns; waits for it.

        Raises ValueError for what the function raised as such, RuntimeError for another error, and
        EOFError where the process ended.
        """
        try:
            self._ours.send(True)
            answer = self._ours.recv()
        except OSError as error:
            raise EOFError(str(error)) from error
        if isinstance(answer, _Failed):
            raise (ValueError if answer.expected else RuntimeError)(answer.sentence)
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join(5)
        self._ours.close()


@final
class Background:
    """Learns again and again, and tells what came of it.

    `learn`: see `Learn`.
    `count`: how many examples are labelled now.
    `take`: gets each Learned, in a thread of this object's own.
    """

    def __init__(
        self,
        learn: Learn,
        collection: Collection,
        path: Path,
        count: Callable[[], int],
        take: Callable[[Learned], None],
    ) -> None:
        self._learn, self._collection, self._path = learn, collection, path
        self._count, self._take = count, take
        self._aside: Aside | None = None
        self._ended = threading.Event()
        self.state, self.rounds, self.learning = "waits for labels", 0, False
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        done, tries = 0, 0
        while not self._ended.wait(_PAUSE_SECONDS):
            now = self._count()
            if now < max(FEWEST, done + max(_LEAST_MORE, int(_MORE * done))):
                if not done:
                    self.state = f"begins to learn at {FEWEST} labels"
                continue
            self.state, self.learning, done = f"learns from {now:,} labels", True, now
            try:
                self._aside = self._aside or Aside(
                    learn_now, self._collection, self._path, self._learn
                )
                began = time.monotonic()
                learned = self._aside.ask()
                self._take(learned)
                seconds = time.monotonic() - began
                self.state = f"learned from {now:,} labels in {seconds:.1f} seconds"
                self.rounds += 1
                tries = 0
            except (ValueError, RuntimeError) as error:
                self.state = f"has not learned from {now:,} labels: {error}"
            except OSError as error:  # the labels are safe, and the curve is only a picture
                self.state = f"learned from {now:,} labels, and the curve is not kept: {error}"
            except EOFError:
                if self._ended.is_set():
                    return
                self._aside, tries, done = None, tries + 1, 0
                self.state = f"its process ended {tries} times: the order stays as it was"
                if tries == _TRIES:
                    return
            finally:
                self.learning = False

    def stop(self) -> None:
        """End the thread and the process."""
        self._ended.set()
        if self._aside is not None:
            self._aside.stop()
