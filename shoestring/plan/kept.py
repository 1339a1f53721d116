"""What a search left in its folder, read without the model or the task."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoestring.artifact import save
from shoestring.artifact.format.names import NOTE
from shoestring.core import Budget, Cost
from shoestring.kit import Study, Trial
from shoestring.plan.checks import of_having
from shoestring.plan.frontier import Frontier
from shoestring.plan.weighing import in_time_of


@dataclass(frozen=True, kw_only=True)
class Timed:
    """How long a run of both files takes, timed in alternation when the search had ended.

    `sha256`: the digest of the delivered file.
    `before`, `after`: milliseconds as (low, median, high): the quartiles.
    `ratio`: the same of the ratios of all pairs; None in notes of older versions.
    `seconds`: that the whole command took; None until it has ended.
    """

    sha256: str
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    ratio: tuple[float, float, float] | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class KeptSearch:
    """A search, as it is in its folder.

    `study`: its trials and their files.
    `original`: the model that came in, as a trial; `original_file` is the path of its file.
    `trials`: all of them in the order in which they were finished, failed ones too.
    `held`: those of them that have a finite score and whose file is still there.
    `frontier`: of these and the original.
    `name`: of the task.
    `budget`: as it was given; `limits` is the same in numbers, without the time.
    `command`: the words of the command that searched; () where it is not known.
    `ledger`: the path of its ledger, relative to the folder; None where it is not known.
    `timed`: how long both files run; None where nobody timed them.
    `bought`: the labels that it bought and what they brought, in words; "" where the budget does
        not limit them.
    `labels`: how many these are; None where that is not known.
    `learnt`: what it learnt from examples without labels, in words; "" for nothing.
    """

    study: Study
    original: Trial
    original_file: Path
    trials: tuple[Trial, ...]
    held: tuple[Trial, ...]
    frontier: Frontier
    name: str
    budget: Budget
    limits: Budget
    command: tuple[str, ...]
    ledger: str | None
    timed: Timed | None
    bought: str = ""
    labels: int | None = None
    learnt: str = ""

    def read(self, trial: Trial) -> bytes:
        """The bytes of the file of a trial, or of the original."""
        if trial.technique == self.original.technique:
            return self.original_file.read_bytes()
        return self.study.read(trial)


def kept_search(folder: Path) -> KeptSearch:
    """The search that was made in a folder, or that goes on there.

    Raises FileNotFoundError where there was no search, and ValueError where its folder is damaged.
    """
    path = folder / NOTE
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no search in {folder}: shoestring compress makes one, beside the file that "
            "it writes"
        )
    try:
        note = json.loads(path.read_bytes())
        study = Study(folder, note["model"], storage=note.get("storage"))
        original = _original(note)
        # A storage that machines share does not keep later measurements: those of the frontier are
        # in the note.
        noted = {trial.key: trial for trial in map(Trial.from_json, note.get("points", ()))}
        fields, base = tuple(note["fields"]), float(note["base"])
        if not math.isfinite(base):
            raise ValueError(f"the score of the model that came in is {base}")
        more = {"base_error": note["base_error"], "bytes_before": note["bytes_before"]}
        given = str(note.get("budget", ""))
        budget = Budget.parse(given) if given else Budget()
        limits = of_having(budget).against(
            original.cost | Cost(bytes=note["bytes_before"]), original.scores
        )
        command = tuple(map(str, note.get("command", ())))
        file, name, ledger = str(note["original"]), str(note["name"]), note.get("ledger")
        timed = Timed(**note["timed"]) if note.get("timed") else None
        labels = None if note.get("labels") is None else int(note["labels"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): run compress again") from None
    trials = study.trials()
    if "timer" in note:  # files were timed at several times, and are compared as at the end
        trials = [in_time_of(one, note["timer"], original.cost.milliseconds) for one in trials]
    trials = [noted.get(trial.key, trial) for trial in trials]
    held = [trial for trial in trials if _has_score(trial) and study.holds(trial)]
    return KeptSearch(
        study=study,
        original=original,
        original_file=folder / file,
        trials=tuple(trials),
        held=tuple(held),
        frontier=Frontier.of([original, *held], fields, base, **more),
        name=name,
        budget=budget,
        limits=limits,
        command=command,
        ledger=None if ledger is None else str(ledger),
        timed=timed,
        bought=str(note.get("bought") or ""),
        labels=labels,
        learnt=str(note.get("learnt") or ""),
    )


def note_timed(folder: Path, timed: Timed) -> None:
    """Add to what a search left in its folder how long a run of both files takes."""
    path = folder / NOTE
    note = json.loads(path.read_bytes())
    save(path, json.dumps({**note, "timed": asdict(timed)}, indent=1).encode())


def _has_score(trial: Trial) -> bool:
    return trial.score is not None and math.isfinite(trial.score)


def _original(note: dict[str, Any]) -> Trial:
    """The model that came in, as the note has it."""
    return Trial(
        technique="chain()",
        cost=Cost(**note["original_cost"]),
        score=note["base"],
        error=0.0,
        scores=note.get("scores", {}),
        machine="",
        versions={},
        when=0.0,
    )


def kept(folder: Path) -> tuple[Callable[[Trial], bytes], Frontier, str]:
    """A function that reads the file of a point, the frontier, and the name of the task.

    Points whose file is gone are left out. Raises what `kept_search` does.
    """
    search = kept_search(folder)
    return search.read, search.frontier, search.name
