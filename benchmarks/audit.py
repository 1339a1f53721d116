"""Wrong labels, found: `python benchmarks/audit.py`.

Three sets whose wrong labels people checked (Northcutt, Athalye & Mueller 2021): MNIST, CIFAR-10
and 20news, with the probabilities that their authors cross-validated. Of each way of pruning, the
flags and how many of them the votes confirm (fewer than three of five people agree with the given
label), beside cleanlab at its own number of flags. Then the time on 50,000 × 10, in alternation
with cleanlab, in processor time of one thread; and CIFAR-10N (`audit_cifar10n.py`).

cleanlab runs where CLEANLAB_PYTHON names the Python of an environment that has it
(`pip install cleanlab==2.9.0`). The probabilities of 20news lie in the repository
cleanlab/label-errors; LABEL_ERRORS names a copy of it. What is not there is left out, and said.

Goes on where it was interrupted; about 50 minutes of a core, nearly all for CIFAR-10N.
`--only votes` (or speed, cifar10n) runs a part. --quick: 1,000 pictures, one pass.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from audit_cifar10n import SUBJECT, flag_rows, noisy, probabilities, trained_rows
from rows import Rows, start

from shoestring.label.audit.confident import (
    ByBoth,
    ByClass,
    ByConfidence,
    ByNoiseRate,
    Pruning,
    label_errors,
)

SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10", "20news": "20news"}
PRUNINGS: dict[str, tuple[Pruning, str]] = {
    "by noise rate": (ByNoiseRate(), "prune_by_noise_rate"),
    "by confidence": (ByConfidence(), "confident_learning"),
    "by class": (ByClass(), "prune_by_class"),
    "by both": (ByBoth(), "both"),
}
PEER = os.environ.get("CLEANLAB_PYTHON")
ROUNDS = 21


def main() -> None:
    torch.set_num_threads(1)
    rows = start("audit", "label-errors-cifar10n-cpu", __doc__ or "")
    with cleanlab() as peer:
        for name in SETS:
            if rows.wanted(f"votes, {name}") and not rows.done(f"votes, {name}", None):
                vote_rows(rows, name, peer)
        if rows.wanted("speed") and not rows.done("speed", None):
            speed_rows(rows, peer)
        if rows.wanted(SUBJECT):
            data = noisy(rows.quick)
            table = probabilities(rows, data)
            kinds = ("by noise rate", "by confidence")
            theirs = {} if peer is None else {k: peer(table, data.given, k)[0] for k in kinds}
            flag_rows(rows, data, table, theirs)
            trained_rows(rows, data, table)
    rows.close()


@contextmanager
def cleanlab() -> Iterator[Any]:
    """A function of (probabilities, labels, way of pruning) that returns (indices, seconds)."""
    if PEER is None:
        print("cleanlab is left out: CLEANLAB_PYTHON names no Python", file=sys.stderr)
        yield None
        return
    script = Path(__file__).parent / "peers" / "cleanlab_issues.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [PEER, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as child,
    ):

        def ask(table: np.ndarray, labels: np.ndarray, kind: str) -> tuple[np.ndarray, float]:
            assert child.stdin is not None and child.stdout is not None
            files = {"table": f"{folder}/table.npy", "labels": f"{folder}/labels.npy"}
            np.save(files["table"], table)
            np.save(files["labels"], labels)
            child.stdin.write(json.dumps({**files, "filter_by": PRUNINGS[kind][1]}) + "\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            return np.array(answer["indices"], int), answer["seconds"]

        yield ask
        assert child.stdin is not None
        child.stdin.close()


def read(name: str) -> tuple[np.ndarray, np.ndarray, set[int]] | None:
    """(probabilities N×C, labels N, the indices that the votes say are wrong) of a set."""
    root = Path(os.environ["SHOESTRING_DATA"]) / "label-errors"
    file = root / "pyx" / f"{name}_test_set_pyx.npy.gz"
    if file.exists():
        with gzip.open(file) as packed:
            table = np.load(packed, allow_pickle=False)
    else:
        copy = Path(os.environ.get("LABEL_ERRORS", "."))
        file = copy / "cross_validated_predicted_probabilities" / f"{name}_test_set_pyx.npy"
        if not file.exists():
            print(f"{name} is left out: there is no {file}", file=sys.stderr)
            return None
        table = np.load(file, allow_pickle=False)
    labels = root / "original_test_labels" / f"{name}_test_set_original_labels.npy"
    with gzip.open(root / "mturk" / f"{name}_mturk.json.gz") as votes:
        asked = json.load(votes)
    wrong = {one["id"] for one in asked if one["mturk"]["given"] < 3}
    return table.astype(np.float64), np.load(labels, allow_pickle=True).astype(np.int64), wrong


def vote_rows(rows: Rows, name: str, peer: Any) -> None:
    """Rows of flags and of those that the votes confirm, ours at our number and at cleanlab's."""
    if (found := read(name)) is None:
        return
    table, labels, wrong = found
    subject = f"votes, {name}"
    rows.add(subject, "confirmed wrong", len(wrong), "labels")
    for kind, (pruning, _) in PRUNINGS.items():
        errors = label_errors(table, labels, pruning=pruning)
        own = errors.order[: len(errors.rows)]
        rows.add(subject, f"{kind}, ours: flags", len(own), "labels")
        rows.add(subject, f"{kind}, ours: confirmed", len(wrong & set(own.tolist())), "labels")
        if peer is None:
            continue
        theirs, _ = peer(table, labels, kind)
        same = errors.order[: len(theirs)]
        rows.add(subject, f"{kind}, cleanlab: flags", len(theirs), "labels")
        for who, indices in (("cleanlab", theirs), ("ours at its flags", same)):
            rows.add(
                subject, f"{kind}, {who}: confirmed", len(wrong & set(indices.tolist())), "labels"
            )
    rows.add(subject, "done", 1, "")


def speed_rows(rows: Rows, peer: Any) -> None:
    """Rows of the time on 50,000 × 10: a made-up table with a tenth of the labels wrong."""
    count = 5_000 if rows.quick else 50_000
    draw = np.random.default_rng(0)
    true = draw.integers(10, size=count)
    labels = np.where(draw.random(count) < 0.1, draw.integers(10, size=count), true)
    logits = draw.normal(size=(count, 10)) + 4 * np.eye(10)[true]
    table = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for kind in ("by noise rate", "by confidence"):
        pairs = []
        for _ in range(3 if rows.quick else ROUNDS):
            began = process_time()
            label_errors(table, labels, pruning=PRUNINGS[kind][0])
            ours = process_time() - began
            pairs.append((ours, peer(table, labels, kind)[1] if peer is not None else float("nan")))
        rows.add("speed", f"{kind}, ours", 1000 * median(a for a, _ in pairs), "ms", timed=True)
        if peer is None:
            continue
        rows.add("speed", f"{kind}, cleanlab", 1000 * median(b for _, b in pairs), "ms", timed=True)
        ratios = np.quantile([b / a for a, b in pairs], (0.25, 0.5, 0.75))
        for part, value in zip(("low", "median", "high"), ratios.tolist(), strict=True):
            rows.add("speed", f"{kind}, times as fast, {part}", value, "times", timed=True)
    rows.add("speed", "done", 1, "")


if __name__ == "__main__":
    main()
