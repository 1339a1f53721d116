"""Proposals: chains to be tried, and the notes by which a stopped trial goes on."""

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

    `techniques`: of the chain, in order.
    `fidelity`: the share of the time left that its training gets, from 0 to 1; 0 without training.
    `arm`: the name of its kind of chain.
    `dials`, `steps`: the settings from which the chain is made again.
    """

    techniques: tuple[Technique, ...]
    fidelity: float = 0.0
    arm: str = ""
    dials: tuple[float, ...] = ()
    steps: int = 0

    @property
    def name(self) -> str:
        """The repr of the chain, by which its trial is remembered."""
        return repr(chain(*self.techniques))


def save_proposal(folder: Path, proposal: Proposal) -> None:
    """Write a proposal into the folder of its trial, so that the same command goes on with it."""
    folder.mkdir(parents=True, exist_ok=True)
    note = {
        "chain": proposal.name,
        "arm": proposal.arm,
        "dials": proposal.dials,
        "steps": proposal.steps,
        "fidelity": proposal.fidelity,
    }
    save(folder / "proposal.json", json.dumps(note).encode())


def open_proposals(folder: Path, before: float = math.inf) -> list[dict[str, Any]]:
    """The proposals whose trials were stopped, the oldest first.

    Each has the names of its chain and arm, its dials, steps and fidelity, and its folder.

    `before`: only trials begun before this time, by time.time(); others may still run.
    """
    proposals: list[tuple[float, dict[str, Any]]] = []
    for path in (folder / "unfinished").glob("*/proposal.json"):
        try:
            note, when = json.loads(path.read_bytes()), path.stat().st_mtime
        except (OSError, ValueError):
            continue
        if (
            isinstance(note, dict)
            and {"chain", "arm", "dials", "steps", "fidelity"} <= note.keys()
            and when < before
        ):
            proposals.append((when, {**note, "folder": path.parent}))
    return [note for _, note in sorted(proposals, key=lambda pair: pair[0])]
