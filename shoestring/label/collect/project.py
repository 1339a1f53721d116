"""A labelling project: examples, the answers so far, who has what, and a model beside them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import RLock, Thread
from typing import Any, final

from shoestring.artifact.locks import FileLock
from shoestring.label.collect.agreement import agreements, shown_disagreements
from shoestring.label.collect.answer import (
    Answer,
    AnswerError,
    annotated,
    answer_of,
    checked_name,
    digest,
    is_visible,
    plain,
    shown_digest,
    source_digest,
    standing,
)
from shoestring.label.collect.background import (
    Aside,
    Background,
    Deliver,
    Learn,
    Learned,
    deliver_now,
)
from shoestring.label.collect.order import LEASE_SECONDS, Order
from shoestring.label.collect.people import people_of
from shoestring.label.collect.store import Store
from shoestring.label.example import Annotation, Collection, Example

LOCK = ".lock"


@final
class Project:
    """What the page of a project asks for; threads may call it.

    One process at a time has a project: the lock is beside its file. `close` releases it.

    `collection`: what is labelled; its own annotations and predictions are shown and kept.
    `path`: the file of the answers, made where there is none.
    `agreement`: the share of examples, 0 to 1, that two people label.
    `learn`: trains a model in the background; None for random order.
    `deliver`, `target`: train a model at the end and write it as the file `target`.
    `notes`: sentences for the page.

    Raises ValueError for an empty collection or classes that look the same,
    BlockingIOError where another process has the project, and what Store raises.
    """

    def __init__(
        self,
        collection: Collection,
        path: Path,
        *,
        agreement: float = 0.0,
        learn: Learn | None = None,
        deliver: Deliver | None = None,
        target: Path | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        _check(collection, agreement)
        self.collection, self.path, self.agreement = collection, path, agreement
        self.notes = [*collection.notes, *notes]
        self.target, self.source = target, source_digest(collection)
        self._deliver, self._delivered = deliver, ""
        self._delivering: Aside | None = None
        self._lock, self._seen = RLock(), dict[str, tuple[str, float]]()
        self._written = dict[str, float]()  # the ends of leases that the file has
        self._file = _alone(path)
        try:
            self.store = Store(path, collection.kind, collection.names)
            answers = self.store.answers(collection)
            left_out = len({one.example for one in self.store.answers()}) - len(
                {one.example for one in answers}
            )
            if left_out:
                self.notes.append(
                    f"the project has labels of {left_out:,} examples that are not in the source "
                    "now, or have another text there: they are kept, and not shown"
                )
            self._answers = answers
            self.order = Order(
                collection, agreement=agreement, answers=answers, leases=self.store.leases()
            )
        except BaseException:
            self._file.delete()
            raise
        # Those that score the model are labelled without a guess, which would lead people.
        self._predictions = {
            one.name: one.predictions[-1]
            for one in collection.examples
            if one.predictions and not self.order.is_honest(one.name)
        }
        self._learned_notes: tuple[str, ...] = ()
        self._forecast = ""
        self._background = None
        if learn is not None:
            self._background = Background(learn, collection, path, self._count, self._learned)

    def _count(self) -> int:
        with self._lock:
            return self.order.answered()

    def _learned(self, learned: Learned) -> None:
        with self._lock:
            self.order.choose([one.name for one in learned.suggestions])
            self._predictions |= {
                one.name: one.prediction
                for one in learned.suggestions
                if one.prediction is not None and not self.order.is_honest(one.name)
            }
            self._learned_notes, self._forecast = learned.notes, learned.forecast
        if learned.point is not None:
            self.store.add_point(learned.point)

    # -- what the page asks for

    def about(self) -> dict[str, Any]:
        """What the page shows of the project, and how its labels look."""
        return {
            "id": self.store.id,
            "title": self.path.name.removesuffix(".labels"),
            "kind": self.store.kind.__name__.lower(),
            "names": list(self.store.names()),
            "notes": self.notes,
            "agreement": self.agreement,
            "file": str(self.path),
            "target": str(self.target) if self._deliver and self.target else None,
        }

    def next(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """More examples for a page: see `Order.next`. Raises AnswerError for a wrong question."""
        by, session = checked_name(asked.get("by")), checked_name(asked.get("session"))
        # Of another source, as it was before a restart, the numbers mean other examples.
        known = asked.get("source", self.source) == self.source
        held, want = self._indices(asked.get("held", []) if known else []), asked.get("want")
        if isinstance(want, bool) or not isinstance(want, int) or not 0 <= want <= 100:
            raise AnswerError(f"a page wants 0 to 100 examples: {str(want)[:20]} were asked for")
        with self._lock:
            lost = self.order.renew(by, session, held)
            found = self.order.next(by, session, held, want)
            kept = self._to_write({self._name(at) for at in (*found, *held)})
            shown = [self._shown(at) for at in found]
            other = self._seen_elsewhere(by, session)
        if kept:
            self.store.lease(kept)
        return {"examples": shown, "lost": lost, "sameName": other, "source": self.source}

    def release(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Give back what a page had: it was closed."""
        with self._lock:
            session = checked_name(asked.get("session"))
            ended = dict.fromkeys(self.order.release(session), (session, 0.0))
        if ended:
            self.store.lease(ended)
        return {}

    def take(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Keep answers that a page sends; they are on the disk when this returns.

        `stored` has their ids; `refused` those that make no sense, each with a sentence; `aside`
        the ids of stored ones that count for nothing: the source does not have what the person saw,
        since it was changed and the server started again. They hold where it has it again.
        Raises OSError where they cannot be written: none is kept then.
        """
        sent, session = asked.get("answers"), checked_name(asked.get("session"))
        if not isinstance(sent, list):
            raise AnswerError("answers are a list")
        good, refused = list[tuple[Answer, Example | None]](), list[dict[str, str]]()
        for one in sent:
            try:
                example = self._as_it_was_shown(one)
                answer = answer_of(self.store.kind, one, example, _of(one, "by"))
                good.append((answer, example))
            except AnswerError as error:
                refused.append({"id": _of(one, "id"), "why": str(error)})
        new = self.store.add(good)
        with self._lock:
            fresh = [answer for answer, of in good if of is not None and answer.id in new]
            self._answers += fresh
            self.order.take(fresh, session)
        return {
            "stored": [answer.id for answer, _ in good],
            "refused": refused,
            "aside": [answer.id for answer, of in good if of is None],
        }

    def add_name(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Add a class; one that looks like another is not added."""
        name = checked_name(asked.get("name")).strip()
        if _like(name, self.store.names()) is None:
            self.store.add_name(name)
        return {"names": list(self.store.names())}

    def status(self) -> dict[str, Any]:
        """How things stand: counts, labels an hour, agreement, the curve and the model."""
        background = self._background
        with self._lock:
            counts, held = self.order.counts(), dict(self.order.held)
            people = people_of(self._answers, time.time())
            alone = standing(one for one in self._answers if not one.decides)
        return {
            **counts,
            "people": people,
            "agreements": [asdict(one) for one in agreements(alone)],
            "disagreements": shown_disagreements(held, self.order.index),
            "curve": [asdict(one) for one in self.store.curve()],
            "model": None if background is None else background.state,
            "learning": background is not None and background.learning,
            "rounds": 0 if background is None else background.rounds,
            "forecast": self._forecast,
            "notes": list(self._learned_notes),
            "delivered": self._delivered,
            "names": list(self.store.names()),
        }

    def open(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """An example that has answers already, for a person who decides between them."""
        (at,) = self._indices([asked.get("index")])
        with self._lock:
            return self._shown(at)

    def picture(self, at: int) -> Path | None:
        """The file of the picture of an example; None where there is none."""
        if not 0 <= at < len(self.collection.examples):
            return None
        return self.collection.examples[at].picture

    def deliver(self) -> dict[str, Any]:
        """Begin to train the model that is written as a file; `status` tells what came of it."""
        with self._lock:
            if self._deliver is None or self.target is None:
                raise AnswerError("this page was started without a file to write: --train FILE")
            if self._delivered.endswith("…"):
                return {"delivered": self._delivered}
            self._delivered = f"training {self.target} from the labels so far…"
            Thread(target=self._deliver_now, daemon=True).start()
            return {"delivered": self._delivered}

    def _deliver_now(self) -> None:
        assert self._deliver is not None and self.target is not None
        aside = self._delivering = Aside(
            deliver_now, self.collection, self.path, self._deliver, self.target, alone=True
        )
        try:
            self._delivered = aside.ask()
        except (ValueError, RuntimeError) as error:
            self._delivered = f"no file was written: {error}"
        except EOFError:
            self._delivered = "no file was written: the process that trained it ended"
        finally:
            aside.stop()

    def labelled(self) -> Collection:
        """The collection with the answers that hold now."""
        return annotated(self.collection, self.store.answers(self.collection), self.store.names())

    def announce(self, address: str) -> None:
        """Write down where the page is, for a second process that wants the project.

        Without its token: who may read the lock need not be who may read the labels.
        """
        with contextlib.suppress(OSError):
            self._file.path.write_text(address.partition("?")[0])

    def close(self) -> None:
        """Stop the model, close the file and release the lock."""
        if self._background is not None:
            self._background.stop()
        if self._delivering is not None:
            self._delivering.stop()
        self.store.close()
        self._file.delete()

    # -- parts

    def _name(self, at: int) -> str:
        return self.collection.examples[at].name

    def _to_write(self, names: set[str]) -> dict[str, tuple[str, float]]:
        """Leases of these examples of which the file does not know, or knows an end that is near.

        A lease is renewed every few seconds, and a write takes the disk's time.
        """
        due = {
            name: lease
            for name, lease in self.order.leases.items()
            if name in names and lease[1] - self._written.get(name, 0.0) > LEASE_SECONDS / 3
        }
        self._written |= {name: until for name, (_, until) in due.items()}
        return due

    def _indices(self, found: Any) -> list[int]:
        """Places of examples that a page sends. Raises AnswerError for what is none."""
        if not isinstance(found, list) or not all(
            isinstance(at, int)
            and not isinstance(at, bool)
            and 0 <= at < len(self.collection.examples)
            for at in found
        ):
            raise AnswerError("there is no such example in this project")
        return found

    def _as_it_was_shown(self, sent: Any) -> Example | None:
        """The example that an answer is of; None where the source has another text there now.

        Raises AnswerError for a name that is none, of an answer that does not say what was shown.
        """
        at = self.order.index.get(_of(sent, "example"), -1)
        if isinstance(sent, Mapping) and "digest" in sent and _of(sent, "example"):
            said = shown_digest(sent)
            if at < 0 or digest(self.collection.examples[at]) != said:
                return None
        (at,) = self._indices([at])
        return self.collection.examples[at]

    def _shown(self, at: int) -> dict[str, Any]:
        example = self.collection.examples[at]
        said = self._predictions.get(example.name)
        return {
            "index": at,
            "name": example.name,
            "digest": digest(example),
            "text": example.text,
            "picture": example.picture is not None,
            "fields": dict(example.fields),
            "prediction": None if said is None else _prediction(said),
        }

    def _seen_elsewhere(self, by: str, session: str) -> bool:
        """Whether another page asked under the same name in the last half minute."""
        now = time.monotonic()
        self._seen[session] = (by, now)
        return any(
            name == by and whose != session and now - at < 30
            for whose, (name, at) in self._seen.items()
        )


def _of(found: Any, key: str) -> str:
    value = found.get(key) if isinstance(found, Mapping) else None
    return value if isinstance(value, str) else ""


def _prediction(said: Annotation) -> dict[str, Any]:
    return {"labels": [plain(one) for one in said.labels], "score": said.score, "by": said.by}


def _check(collection: Collection, agreement: float) -> None:
    if not collection.examples:
        raise ValueError("there is nothing to label: the source has no example")
    if not 0 <= agreement <= 1:
        raise ValueError(
            f"the share of examples that two people label is {agreement}: it is 0 to 1, such as 0.1"
        )
    unseen = [name for name in collection.names if not is_visible(name)]
    if unseen:
        raise ValueError(f"a class has the name {unseen[0]!a}: give it one that shows, in one line")
    for at, name in enumerate(collection.names):
        if (other := _like(name, collection.names[:at])) is not None:
            raise ValueError(
                f"two classes are called {other!r} and {name!r}: nobody could tell them apart on "
                "the page; rename one"
            )


def _like(name: str, names: Sequence[str]) -> str | None:
    """A name that looks the same; None where there is none."""
    wanted = name.strip().casefold()
    return next((one for one in names if one.strip().casefold() == wanted), None)


def _alone(path: Path) -> FileLock:
    # One project may have several names, by links.
    path = path.resolve()
    lock = path.with_name(path.name + LOCK)
    try:
        return FileLock(lock)
    except BlockingIOError:
        said = lock.read_text(errors="replace").strip() if sys.platform != "win32" else ""
        where = f" (its page: {said})" if said.startswith("http") else ""
        raise BlockingIOError(
            f"another process has the project {path}{where}: to label with another person, open "
            "the address that it printed in a second browser window, or end that process first"
        ) from None
