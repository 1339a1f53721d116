"""A small file and a small search, with numbers that can be checked by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import Content, save
from shoestring.artifact.format import file
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.core import Cost
from shoestring.kit import Study, Trial

MACHINE = "an abacus, 1 core"
VERSIONS = {"python": "3.11.7", "shoestring": "0.1.0", "names of its tensors": "no package"}


def small(third: float = 0.25) -> bytes:
    """A file of y = x + w, where w holds (0, 0, 0.5, third)."""
    graph = Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 4)),),
        weights=1,
        constants=(),
        nodes=(Node("Add", (0, 1), 1),),
        outputs=(Port("y", 1),),
        results=(2,),
        arguments=((0,), {}),
        structure=0,
    )
    return file.pack(Content(graph, [tensor(np.array([0.0, 0.0, 0.5, third], np.float32), 0)]))


def trial(name: str, score: float | None, size: int | None = None, **more: Any) -> Trial:
    """A trial of the chain of one technique called `name`."""
    cost = Cost(bytes=size, seconds=30.0)
    settings = {"cost": cost, "machine": MACHINE, "versions": VERSIONS, "when": 1.0, **more}
    return Trial(technique=f"chain({name})", score=score, **settings)


def finish(folder: Path, one: Trial, data: bytes | None, model: str = "model") -> Trial:
    """Store a trial, and its file where there are bytes for it."""
    with Study(folder, model) as study:
        claim = study.claim(one.technique, one.seed, one.fidelity)
        assert claim is not None
        return claim.finish(one, data)


def describe(folder: Path, budget: str = "size<=50%, drop<=1%", **changes: Any) -> None:
    """Write what a search notes of itself: the model that came in has 800 B and a score of 0.9."""
    data = small(8.0)
    name = f"original-{hashlib.sha256(data).hexdigest()[:16]}.shoe"
    save(folder / name, data)
    note = {
        "model": "model",
        "name": "sums",
        "base": 0.9,
        "scores": {},
        "base_error": 0.001,
        "bytes_before": 1000,
        "storage": None,
        "original": name,
        "original_cost": {"bytes": 800},
        "timer": "",
        "points": [],
        "fields": ["bytes"],
        "budget": budget,
        "command": ["compress", "mine.py:sums", "--budget", budget],
        "ledger": None,
        **changes,
    }
    save(folder / "search.json", json.dumps(note).encode())


def search(where: Path, **changes: Any) -> Path:
    """The path of `sums.shoe`, beside the folder of its search with four trials.

    A (400 B, 0.895) was delivered, B (200 B, 0.8) is smaller and worse, C failed, and D (700 B,
    0.85) is beaten by A.
    """
    folder = where / "sums.shoe.study"
    folder.mkdir()
    describe(folder, **changes)
    finish(folder, trial("A(bits=4)", 0.895, 400, error=0.002), small(0.25))
    finish(folder, trial("B(bits=2)", 0.8, 200), small(0.5))
    finish(folder, trial("C()", None, note="ValueError: C cannot"), None)
    finish(folder, trial("D(bits=8)", 0.85, 700), small(0.75))
    save(where / "sums.shoe", small(0.25))
    return where / "sums.shoe"
