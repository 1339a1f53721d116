"""A chain that is to be tried, and how it is remembered while it is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoestring.artifact import save
from shoestring.core import Technique, chain


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A chain that is to be tried.

    Its techniques, and what share of the time of training it gets (0 to 1).
    `arm`, `dials` and `steps`: by what kind of chain and settings it was made, so that it can be
        made again.
    """

    techniques: tuple[Technique, ...]
    fidelity: float = 0.0
    arm: str = ""
    dials: tuple[float, ...] = ()
    steps: int = 0

    @property
    def name(self) -> str:
        """The chain's repr, by which a trial is remembered."""
        return repr(chain(*self.techniques))


def save_proposal(folder: Path, proposal: Proposal) -> None:
    """Write down what is being tried, so that the same command goes on with it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {
        "chain": proposal.name,
        "arm": proposal.arm,
        "dials": proposal.dials,
        "steps": proposal.steps,
        "fidelity": proposal.fidelity,
    }
    save(folder / "proposal.json", json.dumps(kept).encode())


def open_proposals(folder: Path, before: float = math.inf) -> list[dict[str, Any]]:
    """What was being tried when a command was stopped, the oldest first.

    The names of its chain and arm, its dials and steps, and the folder that it lies in. `before`:
    begun earlier than this (of time.time()), since others may be at what was begun later.
    """
    found: list[tuple[float, dict[str, Any]]] = []
    for path in (folder / "unfinished").glob("*/proposal.json"):
        try:
            kept, when = json.loads(path.read_bytes()), path.stat().st_mtime
        except (OSError, ValueError):
            continue
        if (
            isinstance(kept, dict)
            and {"chain", "arm", "dials", "steps", "fidelity"} <= kept.keys()
            and when < before
        ):
            found.append((when, {**kept, "folder": path.parent}))
    return [kept for _, kept in sorted(found, key=lambda one: one[0])]
