"""Which example comes next, and for whom: nobody gets the one that another has now."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import final

from shoestring.label.collect.answer import Answer, standing
from shoestring.label.example import Collection, Example

LEASE_SECONDS = 180.0
"""How long an example belongs to a page that is not heard of; a page is heard of every 3 seconds,
and every minute where its browser lets it sleep."""
HONEST, EVERY = 0.2, 5
"""The share of examples that neither a model nor a priority chooses, and how often one comes."""


def share_of(name: str, what: str) -> float:
    """A number from 0 to 1 that belongs to an example and a purpose, the same in every run."""
    drawn = hashlib.sha256(f"{what}\0{name}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64


def is_honest(name: str) -> bool:
    """Whether an example is one of those that neither a model nor a priority chooses.

    They come in random order, so that the score on them is that of the collection, whatever else
    was chosen.
    """
    return share_of(name, "honest") < HONEST


@final
class Order:
    """What each person gets next, from what was answered, what others have, and a model's order.

    It is not safe among threads: its owner has a lock.

    `agreement`: the share of examples, 0 to 1, that two people label.
    `leases`: who has which example until when, as an earlier process left it: its pages may still
        be there. Those that ended count for nothing.
    `clock`: seconds since 1970.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        agreement: float = 0.0,
        seed: int = 0,
        answers: Sequence[Answer] = (),
        leases: dict[str, tuple[str, float]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        examples = collection.examples
        self.index = {one.name: at for at, one in enumerate(examples)}
        self._names = [one.name for one in examples]
        self._clock = clock
        self._given = {one.name for one in examples if any(not a.skipped for a in one.annotations)}
        self._needed = {
            name: 2 if agreement and share_of(name, "agreement") < agreement else 1
            for name in self._names
        }
        self._rows: dict[str, list[Answer]] = {}
        self.held: dict[str, dict[str, Answer]] = {}
        now = clock()
        self.leases = {k: v for k, v in (leases or {}).items() if k in self.index and v[1] > now}
        drawn = list(range(len(examples)))
        random.Random(seed).shuffle(drawn)
        self._split = any(one.split for one in examples)
        self._honest = [at for at in drawn if self.is_honest(self._names[at])]
        # An honest example keeps its place by chance: one that its priority brought forward would
        # be scored on as if it had been drawn.
        first = [at for at in drawn if self._has_priority(examples[at])]
        first.sort(key=lambda at: -(examples[at].priority or 0.0))
        rest = [at for at in drawn if not self._has_priority(examples[at])]
        self._first, self._rest = first, rest
        self._chosen: list[int] = []
        self._turn = 0
        self.take(answers)

    def take(self, answers: Iterable[Answer], session: str = "") -> None:
        """Count answers; an example whose answer is undone belongs to the session again."""
        for one in answers:
            rows = self._rows.setdefault(one.example, [])
            rows.append(one)
            held = standing(rows).get(one.example)
            self.held.pop(one.example, None)
            if held:
                self.held[one.example] = held
            if one.undoes and session:
                self.leases[one.example] = (session, self._clock() + LEASE_SECONDS)
            elif session and self.leases.get(one.example, ("",))[0] == session:
                del self.leases[one.example]

    def choose(self, names: Sequence[str]) -> None:
        """Give these first, in this order: a model chose them."""
        known = (name for name in names if name in self.index)
        self._chosen = [self.index[name] for name in known if not self.is_honest(name)]

    def is_honest(self, name: str) -> bool:
        """Whether neither a model nor a priority chooses an example.

        None is honest where the source has splits of its own.
        """
        return not self._split and is_honest(name)

    def _has_priority(self, one: Example) -> bool:
        return one.priority is not None and not self.is_honest(one.name)

    def renew(self, by: str, session: str, held: Iterable[int]) -> list[int]:
        """Keep what a page has, and return what it has no more: another got it, or it is done."""
        lost, until = list[int](), self._clock() + LEASE_SECONDS
        for at in held:
            name = self._names[at]
            enough = len(self.held.get(name, {}).keys() - {by}) >= self._needed[name]
            if enough or self._is_of_another(name, session):
                lost.append(at)
            elif by not in self.held.get(name, ()):
                self.leases[name] = (session, until)
        return lost

    def release(self, session: str) -> list[str]:
        """Give back what a page had, and return it: it was closed."""
        names = [name for name, (whose, _) in self.leases.items() if whose == session]
        for name in names:
            del self.leases[name]
        return names

    def next(self, by: str, session: str, held: Sequence[int], want: int) -> list[int]:
        """Up to `want` more examples for a page that has `held`; they belong to it from now on."""
        found, until, have = list[int](), self._clock() + LEASE_SECONDS, set(held)
        mine = [self.index[name] for name, (whose, _) in self.leases.items() if whose == session]
        streams = [iter(mine), *(iter(self._stream(honest)) for honest in (False, True))]
        while len(found) < want:
            turn = (self._chosen or self._first) and (self._turn + 1) % EVERY == 0
            at = next(
                (
                    at
                    for stream in (streams[0], streams[2 if turn else 1], streams[1])
                    for at in stream
                    if at not in have and self._is_free(self._names[at], by, session)
                ),
                None,
            )
            if at is None:
                break
            self._turn += 1
            have.add(at)
            found.append(at)
            self.leases[self._names[at]] = (session, until)
        return found

    def _stream(self, honest: bool) -> Iterator[int]:
        if honest:
            yield from self._honest
        yield from self._chosen
        yield from self._first
        yield from self._rest

    def _is_free(self, name: str, by: str, session: str) -> bool:
        if name in self._given or by in self.held.get(name, ()):
            return False
        return len(self.held.get(name, ())) < self._needed[name] and not self._is_of_another(
            name, session
        )

    def _is_of_another(self, name: str, session: str) -> bool:
        """Whether another page has an example now."""
        whose, until = self.leases.get(name, ("", 0.0))
        return whose not in ("", session) and until > self._clock()

    def answered(self) -> int:
        """How many examples have an answer, or came with one."""
        return len(self._given) + len(self.held)

    def counts(self) -> dict[str, int]:
        """How many examples there are, are labelled, skipped, and wait for a second person."""
        labelled = self._given | {
            name for name, held in self.held.items() if any(not a.skipped for a in held.values())
        }
        return {
            "all": len(self._names),
            "labelled": len(labelled),
            "skipped": len(self.held.keys() - labelled),
            "second": sum(self._needed[name] > len(held) for name, held in self.held.items()),
            "agreement": sum(needed == 2 for needed in self._needed.values()),
        }
