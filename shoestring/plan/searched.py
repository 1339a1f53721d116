"""What a search for networks came to, as its folder keeps it for those who look at it later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoestring.artifact import save
from shoestring.artifact.format.names import SEARCHED
from shoestring.core import Budget
from shoestring.plan.network_report import NetworkReport
from shoestring.search import Found
from shoestring.search.limits import broken_limits


@dataclass(frozen=True, kw_only=True)
class Searched:
    """The note of a search for networks.

    `name`: of the task.
    `budget`: as it was given.
    `command`: the words of the command that searched; () where it is not known.
    `code`: the name of the file of the network's code.
    """

    name: str
    budget: str
    command: tuple[str, ...]
    code: str

    def keep(
        self, folder: Path, found: Found, limits: Budget, report: NetworkReport | None = None
    ) -> None:
        """Write the note.

        `limits`: the budget in numbers.
        `report`: what came of the network; None where it is not compressed yet.
        """
        chosen = found.nearest
        note: dict[str, Any] = {
            **asdict(self),
            "limits": str(limits),
            "found": found.as_json(),
            "trials": [
                {
                    "picks": one.technique,
                    "score": one.score,
                    "share": one.fidelity,
                    "seconds": one.cost.seconds,
                    "over": list(
                        broken_limits(found.limits, found.estimates[one.technique], one.cost)
                    ),
                }
                for one in found.trials
            ],
            "chosen": list(chosen.picks),
            "text": str(chosen),
            "not_kept": found.not_kept,
            "files": [] if report is None else [vars(one) for one in report.points],
            "longer": None if report is None else report.longer,
            "seconds": None if report is None else report.seconds,
            "workers": 1 if report is None else report.workers,
        }
        save(folder / SEARCHED, json.dumps(note, indent=1).encode())
