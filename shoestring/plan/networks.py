"""A network for a task and a budget: searched, trained longer, compressed, beside the reader's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from torch import nn

from shoestring.artifact import load, save
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import (
    Budget,
    BudgetError,
    Cost,
    Gauge,
    Ledger,
    Task,
    check_task,
    score,
    scores,
)
from shoestring.core.limits import SCORES, named_score
from shoestring.core.resource import LIMITED
from shoestring.kit import export, pack
from shoestring.kit.clock import Clock, duration
from shoestring.kit.study import alone
from shoestring.meters import alternate
from shoestring.plan.checks import checked_meters, seconds_of
from shoestring.plan.compress import also_logged
from shoestring.plan.folder import INSTEAD
from shoestring.plan.frontier import TINY
from shoestring.plan.main_job import Report, main_job
from shoestring.plan.network_files import NetworkFiles
from shoestring.plan.network_report import NetworkReport, Point
from shoestring.plan.network_search import NetworkSearch, latency_of
from shoestring.plan.network_training import trained
from shoestring.plan.searched import Searched
from shoestring.plan.workers import helpers
from shoestring.search import Found, Method, Space, TooShortError, space_of

SEARCHING, TRAINING = 0.6, 0.15
"""The shares of the time for the search, and for training what it found longer."""
UNTIL = SEARCHING + TRAINING
"""The share of the time after which what was found is trained no longer."""
SHOWN = 5
"""Networks of the search that are timed beside the reader's own and the delivered file."""
_ROUNDING = 1e-9
"""How much lower a score may be than a difference of two scores, which is rounded."""


def network_job(
    build: Callable[[], Any],
    budget: Budget,
    path: Path,
    *,
    minutes: float = 10.0,
    meters: Sequence[Gauge] | None = None,
    method: Method | None = None,
    ledger: Ledger | None = None,
    seed: int = 0,
    began: float | None = None,
    workers: int = 1,
    command: Sequence[str] = (),
    asked: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> NetworkReport:
    """Search for a network that keeps a budget, train it, compress it into a file, and report.

    `build`: returns a task, and with it a model to beat, a space to search, or both.
    `budget`: limits of having the file; shares are of the model to beat.
    `path`: of the file. The code of the network is beside it, as .py, and what was measured in
        the folder of its name with `.networks`, from which the next search goes on.
    `minutes`: for all of it, unless the budget limits time.
    `method`: how the space is searched.
    `workers`: how many processes search; those besides this one run its command line.
    `command`: the words of the command that searches, which its folder keeps.
    Where KeyboardInterrupt ends it before there is a compressed file, the best network is at
    `path`, unless a file is there already. Where no file keeps the limits, the nearest is there.

    Raises BudgetError or ValueError for what cannot be searched for, ExportError, OSError;
    FileExistsError where the place of the code has something that no search wrote; StudyHeld where
    another command searches for the same file.
    """
    say, minutes = also_logged(say), _minutes(budget, minutes)
    clock = Clock(60 * minutes, monotonic() if began is None else began, say, asked)
    told: dict[str, Any] = {"ledger": ledger, "asked": asked, "say": say, "tell": tell}
    files = NetworkFiles(path)
    files.check()
    own, task, space = _parts(build(), say)
    (folder := files.folder).mkdir(exist_ok=True)
    with alone(folder, INSTEAD), scratch_folder() as scratch:
        yours = _own_file(own, task, scratch)
        limits = _scores_of_yours(_absolute(budget, yours, task, meters), yours, task, say)
        search = NetworkSearch(task, space, limits, meters, folder, seed)
        with helpers(workers - 1):
            found = _found(search, minutes, method or Method(), clock, tell)
        chosen, code = found.nearest, files.code
        note = Searched(name=task.name, budget=str(budget), command=tuple(command), code=code.name)
        with files.of_one_network(found, clock.say):
            files.write_code(str(chosen))
            note.keep(folder, found, limits)
            compressed, longer = _compressed(found, search, path, clock, told)
            points = _points(yours, found, path, compressed, search, scratch)
            compressed = _of_all(compressed, budget, clock)
            made = {"chosen": chosen, "points": points, "compressed": compressed, "code": code}
            made |= {"longer": longer, "seconds": clock.gone, "workers": workers}
            report = NetworkReport(found=found, **made)
            note.keep(folder, found, limits, report)
    return report


def _found(
    search: NetworkSearch,
    minutes: float,
    method: Method,
    clock: Clock,
    tell: Callable[[dict[str, Any]], None],
) -> Found:
    """What the search of a command finds in its share of the minutes.

    Raises ValueError where they are too few, KeyboardInterrupt where somebody ended it before
    there was a network.
    """
    try:
        found = search.run(SEARCHING * minutes, method, clock, tell=tell)
    except TooShortError as error:
        enough = math.ceil(10 * error.seconds / 60 / SEARCHING) / 10
        raise ValueError(
            f"{minutes:.3g} minutes are too few, of which {SEARCHING:.0%} are for the search: "
            f"{error.why}. Give {enough:g} minutes"
        ) from None
    tell({"event": "searched", **found.as_json()})
    if not found.trials and found.interrupted:
        raise KeyboardInterrupt
    if found.trials and found.not_kept:
        clock.say(f"  {found.not_kept}; it is compressed, which may help")
    if not found.trials:
        raise ValueError(
            f"{minutes:.3g} minutes are too few: no network was trained for even a part of "
            f"{found.training.steps:,} steps in {duration(found.seconds)}. What was begun is kept: "
            f"the same command goes on from there, or give {2 * minutes:.3g} minutes"
        )
    return found


def _compressed(
    found: Found, search: NetworkSearch, path: Path, clock: Clock, told: dict[str, Any]
) -> tuple[Report, tuple[float, float] | None]:
    """How what was found was compressed, and its scores before and after it was trained longer.

    `told`: what hears of it.

    Raises KeyboardInterrupt where the search was interrupted.
    """
    task, limits = search.task, search.limits
    until = UNTIL * clock.seconds / 60
    try:
        if found.interrupted:
            raise KeyboardInterrupt
        network, longer = trained(
            found.nearest, found, task, clock, until, search.seed, search.folder
        )
        left = max(clock.seconds - clock.gone, 0.1 * clock.seconds)
        clock.say(f"  {duration(left)} are left for compressing")
        compressed = main_job(
            lambda: (network, task),
            _of_file(limits, score(task.sealed(), network)),
            path,
            minutes=left / 60,
            meters=search.meters,
            seed=search.seed,
            **told,
        )
    except (Exception, KeyboardInterrupt):
        clock.say(str(found))
        raise
    return compressed, longer


def _of_all(report: Report, budget: Budget, clock: Clock) -> Report:
    """The report of compressing, which counts the time of the whole command, and its limit."""
    whole = replace(report.outcome.budget, time=budget.time)
    return replace(report, seconds=clock.gone, outcome=replace(report.outcome, budget=whole))


def join_search(
    build: Callable[[], Any],
    budget: Budget,
    path: Path,
    *,
    worker: int,
    minutes: float,
    meters: Sequence[Gauge] | None,
    method: Method | None,
    seed: int,
) -> None:
    """Search in the folder of another process, until the time of the search is up.

    `worker`: its number, from 1. The other arguments are those of `network_job`.
    """
    began, minutes = monotonic(), _minutes(budget, minutes)
    own, task, space = _parts(build(), lambda text: None)
    with scratch_folder() as scratch:
        yours = _own_file(own, task, scratch)
        limits = _absolute(budget, yours, task, meters)
        search = NetworkSearch(task, space, limits, meters, NetworkFiles(path).folder, seed)
        search.run(SEARCHING * minutes, method or Method(), Clock(60 * minutes, began), worker)


def _parts(given: Any, say: Callable[[str], None]) -> tuple[nn.Module | None, Task, Space]:
    """The model to beat, the task and the space that a function returned."""
    parts = given if isinstance(given, tuple) else (given,)
    models = [one for one in parts if isinstance(one, nn.Module)]
    spaces = [one for one in parts if isinstance(one, Space)]
    tasks = [one for one in parts if isinstance(one, Task)]
    if len(parts) != len(models) + len(spaces) + len(tasks) or len(tasks) != 1:
        kinds = ", ".join(type(one).__name__ for one in parts)
        raise ValueError(
            f"the function returned {kinds}: it must return a task, and may return with it a model "
            "to beat and a space of shoestring.search"
        )
    check_task(tasks[0])
    if not tasks[0].has_test:
        raise ValueError("the task has no test split, on which what is found is proved: give one")
    own = models[0] if models else None
    space = spaces[0] if spaces else space_of(tasks[0], own)
    if not spaces:
        say(f"  searching {type(space).__name__}, {space.count:.2g} networks")
    return own, tasks[0], space


def _own_file(own: nn.Module | None, task: Task, scratch: Path) -> Path | None:
    """The file of the reader's own model; None where there is none."""
    if own is None:
        return None
    path = scratch / "yours.shoe"
    save(path, pack(own, export(own, task)))
    return path


def _minutes(budget: Budget, minutes: float) -> float:
    """How long all of it may take: what the budget says, else these minutes.

    Raises BudgetError for limits on other costs of getting a model, which a search does not keep.
    """
    for name in budget.limits():
        if name in LIMITED and LIMITED[name].getting and name != "time":
            raise BudgetError(
                f"a search for a network does not keep {name} ({LIMITED[name].about}): leave it "
                "out of the budget"
            )
    return seconds_of(budget, minutes) / 60


def _absolute(
    budget: Budget, yours: Path | None, task: Task, meters: Sequence[Gauge] | None
) -> Budget:
    """The budget in numbers; shares are of the reader's own model."""
    if not budget.relative:
        return budget
    if yours is None:
        raise ValueError(
            f"{budget.relative[0]} is a share of what came in, and no model to beat came in: give "
            "a number, or return (model, task)"
        )
    cost = Cost(bytes=yours.stat().st_size)
    for meter in checked_meters(budget, meters):
        cost |= meter(yours, task.sealed())
    if cost.milliseconds is not None:  # as exactly as they are known
        cost = replace(cost, milliseconds=float(f"{cost.milliseconds:.4g}"))
    return budget.against(cost)


def _scores_of_yours(
    limits: Budget, yours: Path | None, task: Task, say: Callable[[str], None]
) -> Budget:
    """The limits, where drops are from the scores of the reader's own model: as least scores.

    Without such a model they stay, and are what the file may lose of the network's score.
    """
    drops = [name for name in limits.named if named_score(name)[0] == "drop"]
    if yours is None or (limits.drop is None and not drops):
        return limits
    own, least = load(yours), dict(limits.named)
    known = scores(task.sealed(), own)
    limits.against(Cost(), known)  # raises where the task has no score of that name
    for name in drops:
        of = named_score(name)[1]
        value = known[of] - least.pop(name) - _ROUNDING
        least[f"score({of})"] = max(value, least.get(f"score({of})", -math.inf))
    value = limits.score
    if limits.drop is not None:
        own_least = score(task.sealed(), own) - limits.drop - _ROUNDING
        value = own_least if value is None else max(value, own_least)
    absolute = replace(limits, drop=None, score=value, named=least)
    say(f"  beside your model, the budget is {absolute}")
    return absolute


def _of_file(limits: Budget, value: float) -> Budget:
    """The limits that its file has; time is counted for the whole command.

    Where nothing limits the score, the file may lose a twentieth of it at most: else the best file
    that keeps a small limit on bytes could be one that has forgotten all.

    `value`: the score of the network.
    """
    limits = replace(limits, time=None)
    if limits == Budget() or any(
        name in SCORES or name in limits.named for name in limits.limits()
    ):
        return limits
    return replace(limits, drop=float(f"{TINY * abs(value):.2g}"))


def _points(
    yours: Path | None,
    found: Found,
    path: Path,
    report: Report,
    search: NetworkSearch,
    scratch: Path,
) -> tuple[Point, ...]:
    """The files, timed in alternation: the reader's own, the best of the search, the delivered."""
    names, files, scores = list[str](), list[Path](), list[float]()
    sealed, timed = search.task.sealed(), latency_of(search.limits, search.meters)
    if yours is not None:
        names, files, scores = ["yours"], [yours], [score(sealed, load(yours))]
    full = [one for one in found.candidates if one.file is not None and one.score is not None]
    for number, one in enumerate(full[:SHOWN], 1):
        file = scratch / f"network-{number}.shoe"
        file.write_bytes(one.file or b"")
        names.append(f"network {number} of the search")
        files.append(file)
        scores.append(one.score or 0.0)
    names.append("delivered")
    files.append(path)
    scores.append(report.outcome.trial.score or 0.0)
    timings = alternate(
        files, sealed, threads=timed.threads, batch=timed.batch, runtime=timed.runtime
    )
    return tuple(
        Point(name, value, timing.median, file.stat().st_size)
        for name, file, value, timing in zip(names, files, scores, timings, strict=True)
    )
