"""Files of a few kilobytes: a network that is searched for, trained, and coded to the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from torch import nn

from shoestring.artifact import load
from shoestring.core import Ledger, Task, prove, score, seeded
from shoestring.kit import AdamW, Supervised, Training, resuming, train
from shoestring.recipes.coding_to_size import coded_to_size
from shoestring.search import (
    AtRandom,
    CodedBytes,
    CountedOperations,
    Evolution,
    Method,
    Searcher,
    Space,
    find,
)

BY_HAND = "by hand"
"""The way without a search."""
SEARCHERS: Mapping[str, Searcher] = MappingProxyType(
    {"found": Evolution(population=6, drawn=3), "at random": AtRandom()}
)
"""The ways with a search, ours first. It begins twenty networks or so, the first six at random."""
WAYS = (*SEARCHERS, BY_HAND)
_DAY = 24 * 60  # minutes that no search here takes: it is limited by its trainings


@dataclass(frozen=True, kw_only=True)
class FewBytes:
    """A limit on bytes, and how a network for it is searched for, trained and coded.

    `size`: bytes of the whole file, at most.
    `beside`: bytes that go with every file and are no part of it, such as a list of words. The file
        and these have `size` bytes at most.
    `around`: about how many bytes of a file are not coded weights.
    `space`: of networks. `by_hand`: makes the network that nobody searched for.
    `operations`: of one example, at most, of a network that is found.
    `bits`: of a weight, by which the search estimates the bytes of a file.
    `searching`: the training of a network that the search trains fully.
    `trainings`: so many full trainings a search takes; shorter ones are counted as parts.
    `steps`, `coding_steps`: of the training of the chosen network, and of that for the rate.
    `learning_rate`: of both, of AdamW.
    `lost`: the loss of score by coding that is good enough, 0 to 1.
    """

    size: int
    beside: int = 0
    around: int = 400
    space: Space
    by_hand: Callable[[], nn.Module]
    operations: int
    bits: float
    searching: Training
    trainings: float = 9.0
    steps: int
    coding_steps: int
    learning_rate: float
    lost: float = 0.003

    def longer(self, times: float) -> FewBytes:
        """The same with so many times the training of what was chosen; its search stays."""
        steps, coding = (max(1, round(times * one)) for one in (self.steps, self.coding_steps))
        return replace(self, steps=steps, coding_steps=coding)


@dataclass(frozen=True, kw_only=True)
class TinyFile:
    """A file of few bytes.

    `way`: how its network was chosen, of `WAYS`.
    `network`: the network in words.
    `searching`: seconds of the processor that the search took; 0 without one.
    `operations`: of one example, before coding.
    `trained`: the validation score before coding, 0 to 1.
    `bytes`, `validation`, `test`: of the file: its size, and its scores, 0 to 1.
    """

    way: str
    network: str
    searching: float
    operations: float
    trained: float
    bytes: int
    validation: float
    test: float


def tiny_file(
    task: Supervised,
    path: Path,
    *,
    way: str,
    settings: FewBytes,
    networks: Path,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> TinyFile:
    """Choose a network in a way, train it, and code it into a file of few bytes at `path`.

    All ways have the same training and the same coding; those with a search have one of the same
    length. Whatever is chosen is chosen on validation data; the file is scored once on test data.
    After a kill, the same call goes on, in the search too.

    `way`: of `WAYS`.
    `networks`: a folder in which the searches of this task keep what they measured; several files
        may share it.
    `seed`: of the search, the first weights and the batches.
    Raises ValueError for another way, and as `coded_to_size` where no try led to a file of the
    size; BudgetError where no network of the space is small enough.
    """
    if way not in WAYS:
        raise ValueError(f"there is no way {way!r} to choose a network: give one of {WAYS}")
    sealed, make, named, seconds = task.sealed(), settings.by_hand, "", 0.0
    if way in SEARCHERS:
        make, named, seconds = _found(sealed, networks, way, settings, seed)
    rate = AdamW(settings.learning_rate)
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        network = make()
        operations = CountedOperations()(network, sealed).operations
        assert operations is not None
        network = train(network, sealed, Training(settings.steps, rate), what="training").eval()
        trained = score(sealed, network)
        if not path.exists():
            coded_to_size(
                network,
                sealed,
                path,
                size=settings.size - settings.beside,
                around=settings.around,
                lesson=sealed,
                training=Training(settings.coding_steps, rate),
                score=partial(_scored, sealed),
                lost=settings.lost,
            )
    return TinyFile(
        way=way,
        network=named or type(network).__name__,
        searching=seconds,
        operations=operations,
        trained=trained,
        bytes=path.stat().st_size,
        validation=_scored(sealed, path),
        test=prove(path, task, ledger=ledger, seed=seed, note=f"{settings.size:,} bytes, {way}"),
    )


def _scored(task: Task, path: Path) -> float:
    """The validation score of a file."""
    return score(task, load(path, threads=1))


def _found(
    task: Task, networks: Path, way: str, settings: FewBytes, seed: int
) -> tuple[Callable[[], nn.Module], str, float]:
    """What makes the network that a search found, its description, and the search's seconds."""
    found = find(
        task,
        settings.space,
        f"size<={settings.size - settings.beside}B, operations<={settings.operations}",
        networks / f"{way.replace(' ', '_')}_{seed}",
        method=Method(searcher=SEARCHERS[way], trainings=settings.trainings),
        training=settings.searching,
        estimates=(CountedOperations(), CodedBytes(settings.bits)),
        minutes=_DAY,
        seed=seed,
    )
    if found.interrupted:
        raise KeyboardInterrupt
    seconds = sum(one.cost.processor_seconds or 0.0 for one in found.trials)
    return found.best.untrained, repr(found.best.architecture), seconds
