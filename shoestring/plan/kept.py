"""What a search left in its folder.

The frontier, and the files of its points, without the model or the task.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from shoestring.core import Cost
from shoestring.kit import Study, Trial
from shoestring.plan.frontier import Frontier
from shoestring.plan.weighing import in_time_of

NOTE = "search.json"


def kept(folder: Path) -> tuple[Callable[[Trial], bytes], Frontier, str]:
    """(what reads the file of a point, the frontier, the name of the task) of a search that was
    made.

    Points whose file is gone are left out. Raises FileNotFoundError where there was no search,
    ValueError where its folder is damaged.
    """
    path = folder / NOTE
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no search in {folder}: shoestring compress makes one, beside the file that "
            "it writes"
        )
    try:
        told = json.loads(path.read_bytes())
        study = Study(folder, told["model"], storage=told.get("storage"))
        original = Trial(
            technique="chain()",
            cost=Cost(**told["original_cost"]),
            score=told["base"],
            error=0.0,
            scores=told.get("scores", {}),
            machine="",
            versions={},
            when=0.0,
        )
        # Storages that machines share do not keep what was measured later than the rest: those of
        # the frontier are noted here.
        noted = {one.key: one for one in map(Trial.from_json, told.get("points", ()))}
        fields, base, error, before = (
            tuple(told["fields"]),
            float(told["base"]),
            told["base_error"],
            told["bytes_before"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): run compress again") from None
    held = [one for one in study.trials() if one.score is not None and study.holds(one)]
    if (
        "timer" in told
    ):  # files were timed in several hours, and are compared as they were at the end
        held = [in_time_of(one, told["timer"], original.cost.milliseconds) for one in held]
    found = Frontier.of(
        [original, *(noted.get(one.key, one) for one in held)],
        fields,
        base,
        base_error=error,
        bytes_before=before,
    )

    def read(trial: Trial) -> bytes:
        return (
            (folder / str(told["original"])).read_bytes()
            if trial.technique == "chain()"
            else study.read(trial)
        )

    return read, found, str(told["name"])
