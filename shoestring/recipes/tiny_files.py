"""Files of a few kilobytes: a network that is searched for, trained, and coded to the bytes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from torch import nn

from shoestring.artifact import load
from shoestring.artifact import save as write_whole
from shoestring.core import Ledger, Task, prove, score, seeded
from shoestring.kit import (
    AdamW,
    DivergedError,
    ShortfallWarning,
    Supervised,
    Training,
    resuming,
    train,
)
from shoestring.recipes.coding_to_size import TooLargeError, coded_to_size
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
FINALISTS = 3
"""Networks of a search that are coded: how much of the score coding takes differs among them."""
_DAY = 24 * 60  # minutes that no search here takes: it is limited by its trainings


@dataclass(frozen=True, kw_only=True)
class FewBytes:
    """A limit on bytes, and how a network for it is searched for, trained and coded.

    `size`: bytes of the whole file, at most.
    `beside`: bytes that go with every file and are no part of it, such as a list of words. The file
        and these have `size` bytes at most.
    `around`: about how many bytes of a file are not coded weights.
    `space`: of networks. `by_hand`: makes of the networks that nobody searched for, by name; as
        many as `FINALISTS`, for ways that are compared.
    `operations`: of one example, at most, of a network that is found.
    `bits`: of a weight, by which the search estimates the bytes of a file.
    `searching`: the training of a network that the search trains fully.
    `trainings`: so many full trainings a search takes; shorter ones are counted as parts.
    `steps`, `coding_steps`: of the training of a finalist, and of that for the rate.
    `learning_rate`: of both, of AdamW.
    `lost`: the loss of score by coding that is good enough, 0 to 1.
    """

    size: int
    beside: int = 0
    around: int = 400
    space: Space
    by_hand: Mapping[str, Callable[[], nn.Module]]
    operations: int
    bits: float
    searching: Training
    trainings: float = 9.0
    steps: int
    coding_steps: int
    learning_rate: float
    lost: float = 0.003

    def longer(self, times: float) -> FewBytes:
        """The same with so many times the training of finalists; the search stays."""
        steps, coding = (max(1, round(times * one)) for one in (self.steps, self.coding_steps))
        return replace(self, steps=steps, coding_steps=coding)


@dataclass(frozen=True, kw_only=True)
class TinyFile:
    """A file of few bytes.

    `way`: how its network was chosen, of `WAYS`.
    `network`: the network in words.
    `finalists`: the networks of which a file was made, in words, with the validation score of the
        file, 0 to 1; None where none was small enough.
    `searching`: seconds of the processor that the search took; 0 without one.
    `operations`: of one example, before coding.
    `trained`: the validation score before coding, 0 to 1.
    `bytes`, `validation`, `test`: of the file: its size, and its scores, 0 to 1.
    """

    way: str
    network: str
    finalists: Mapping[str, float | None]
    searching: float
    operations: float
    trained: float
    bytes: int
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class _Finalist:
    """A network that may be chosen: what makes it, and what came of it."""

    name: str
    make: Callable[[], nn.Module]
    operations: float = 0.0
    trained: float = 0.0
    validation: float | None = None


def tiny_file(
    task: Supervised,
    path: Path,
    *,
    way: str,
    settings: FewBytes,
    networks: Path,
    times: float = 1.0,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> TinyFile:
    """Choose a network in a way, train it, and code it into a file of few bytes at `path`.

    The three best networks of a search are trained and coded, or those by hand; the file with the
    best validation score stays. So all ways have the same training and the same coding of as many
    networks; those with a search have one of the same length. The file is scored once on test data.
    After a kill, the same call goes on, in the search too.

    `way`: of `WAYS`.
    `networks`: a folder in which the searches of this task keep what they measured, and the files
        of finalists; several files may share it.
    `times`: the file that stays is made once more, with so many times the training.
    `seed`: of the search, the first weights and the batches.
    Raises ValueError for another way, and where no file had the size: it names the nearest;
    BudgetError where no network of the space is small enough.
    """
    if way not in WAYS:
        raise ValueError(f"there is no way {way!r} to choose a network: give one of {WAYS}")
    sealed, folder, seconds = task.sealed(), networks / f"{way.replace(' ', '_')}_{seed}", 0.0
    drafts = [_Finalist(name=name, make=make) for name, make in settings.by_hand.items()]
    if way in SEARCHERS:
        drafts, seconds = _found(sealed, folder, way, settings, seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = _all_coded(sealed, folder, drafts, settings, seed)
    best = max(made, key=lambda one: -1.0 if one.validation is None else one.validation)
    if times != 1:
        settings = settings.longer(times)
        best = _coded(sealed, folder, best, settings, seed)
    write_whole(path, _place(folder, best, settings).read_bytes())
    assert best.validation is not None
    return TinyFile(
        way=way,
        network=best.name,
        finalists={one.name: one.validation for one in made},
        searching=seconds,
        operations=best.operations,
        trained=best.trained,
        bytes=path.stat().st_size,
        validation=best.validation,
        test=prove(path, task, ledger=ledger, seed=seed, note=f"{settings.size:,} bytes, {way}"),
    )


def _all_coded(
    task: Task, folder: Path, drafts: Sequence[_Finalist], settings: FewBytes, seed: int
) -> list[_Finalist]:
    """The finalists, each as a file in the folder; those without a file are among them.

    One without a file is warned of. Raises the error of the last where there is no file at all.
    """
    made = list[_Finalist]()
    error: Exception = ValueError("no network was made by hand: give some")
    for draft in drafts:
        try:
            made.append(_coded(task, folder, draft, settings, seed))
        except (TooLargeError, DivergedError) as failed:
            warnings.warn(f"{draft.name} has no file: {failed}", ShortfallWarning, stacklevel=3)
            made.append(draft)
            error = failed
    if all(one.validation is None for one in made):
        raise error
    return made


def _place(folder: Path, draft: _Finalist, settings: FewBytes) -> Path:
    """Where the file of a finalist is kept: one of other settings has another place."""
    told = (settings.size - settings.beside, settings.around, settings.steps)
    told = (draft.name, *told, settings.coding_steps, settings.learning_rate, settings.lost)
    return folder / f"finalist_{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}.shoe"


def _coded(task: Task, folder: Path, draft: _Finalist, settings: FewBytes, seed: int) -> _Finalist:
    """A network, trained and coded into a file in its place, where there is none yet."""
    rate, path = AdamW(settings.learning_rate), _place(folder, draft, settings)
    with resuming(path.with_suffix(".unfinished")), seeded(seed):
        network = draft.make()
        operations = CountedOperations()(network, task).operations
        assert operations is not None
        network = train(network, task, Training(settings.steps, rate), what="training").eval()
        trained = score(task, network)
        if not path.exists():
            coded_to_size(
                network,
                task,
                path,
                size=settings.size - settings.beside,
                around=settings.around,
                lesson=task,
                training=Training(settings.coding_steps, rate),
                score=partial(_scored, task),
                lost=settings.lost,
            )
    return replace(draft, operations=operations, trained=trained, validation=_scored(task, path))


def _scored(task: Task, path: Path) -> float:
    """The validation score of a file."""
    return score(task, load(path, threads=1))


def _found(
    task: Task, folder: Path, way: str, settings: FewBytes, seed: int
) -> tuple[list[_Finalist], float]:
    """The best networks of a search, and its seconds."""
    found = find(
        task,
        settings.space,
        f"size<={settings.size - settings.beside}B, operations<={settings.operations}",
        folder,
        method=Method(searcher=SEARCHERS[way], trainings=settings.trainings),
        training=settings.searching,
        estimates=(CountedOperations(), CodedBytes(settings.bits)),
        minutes=_DAY,
        seed=seed,
    )
    if found.interrupted:
        raise KeyboardInterrupt
    seconds = sum(one.cost.processor_seconds or 0.0 for one in found.trials)
    _ = found.best  # raises where there is none
    best = [one for one in found.candidates if one.score is not None and not one.over]
    drafts = [_Finalist(name=repr(one.architecture), make=one.untrained) for one in best]
    return drafts[:FINALISTS], seconds
