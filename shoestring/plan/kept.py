"""The frontier that a search left in its folder, read without the model or the task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from shoestring.core import Cost
from shoestring.kit import Study, Trial
from shoestring.plan.frontier import Frontier
from shoestring.plan.weighing import in_time_of

NOTE = "search.json"
"""The file in that folder that describes the search."""


def kept(folder: Path) -> tuple[Callable[[Trial], bytes], Frontier, str]:
    """A function that reads the file of a point, the frontier, and the name of the task.

    Points whose file is gone are left out. Raises FileNotFoundError where there was no search, and
    ValueError where its folder is damaged.
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
        original = Trial(
            technique="chain()",
            cost=Cost(**note["original_cost"]),
            score=note["base"],
            error=0.0,
            scores=note.get("scores", {}),
            machine="",
            versions={},
            when=0.0,
        )
        # A storage that machines share does not keep later measurements: those of the frontier are
        # in the note.
        noted = {trial.key: trial for trial in map(Trial.from_json, note.get("points", ()))}
        fields, base = tuple(note["fields"]), float(note["base"])
        error, before = note["base_error"], note["bytes_before"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): run compress again") from None
    held = [t for t in study.trials() if t.score is not None and study.holds(t)]
    if "timer" in note:  # files were timed at several times, and are compared as at the end
        held = [in_time_of(trial, note["timer"], original.cost.milliseconds) for trial in held]
    frontier = Frontier.of(
        [original, *(noted.get(trial.key, trial) for trial in held)],
        fields,
        base,
        base_error=error,
        bytes_before=before,
    )

    def read(trial: Trial) -> bytes:
        return (
            (folder / str(note["original"])).read_bytes()
            if trial.technique == "chain()"
            else study.read(trial)
        )

    return read, frontier, str(note["name"])
