"""What else could be had in the planner's minutes, on its jobs and budgets.

Chance, plain tools, our own past, other tools with a budget.
    MCT_PYTHON=… NNCF_PYTHON=… OLIVE_PYTHON=… OMP_NUM_THREADS=1 python benchmarks/planner_peers.py
    [JOB …]

random search: the planner's own experiments and moves, chains, presses and lengths of training by
chance (`planner_random.py`). plain tools: magnitude pruning, static int8 and xz, the best of them
(`planner_plain.py`). shoestring before: `compress` as it was at ea7801f, taken out of git, given
the budget in numbers and stopped when the minutes are up. The rest have environments of their own,
each Python named by a variable and the pip line in its script in peers/; what will not run has a
row that says so. model-compression-toolkit is told bytes, NNCF and Olive how much accuracy may be
lost. Minutes are by the clock; what takes longer than the planner's is stopped.

All files are weighed alike (`planner_runs.Bench`): whole bytes (xz's where the tool codes nothing),
scores, time in turn with what came in, the verdict on the budget as the planner judges. `--only
"adult / size<=2KB, drop<=0.5% / random search"`: a part. What has its rows is not run again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from planner_plain import EXAMPLES, plain_tools
from planner_random import random_search
from planner_runs import Bench, Run, empty, opened, told, weighed_rows, with_numbers
from rows import Rows

from shoestring.artifact import save
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.runtime.folding import fold_transposes
from shoestring.core import Budget

HERE = Path(__file__).parent
BEFORE = "ea7801f"
BY = "by.txt"  # beside a delivered file: how it was made, in words
GRACE_SECONDS = 30.0  # to write the best so far
PEERS = {
    "model-compression-toolkit": ("mct_budget.py", "MCT_PYTHON"),
    "NNCF, accuracy control": ("nncf_accuracy.py", "NNCF_PYTHON"),
    "Olive, accuracy goal": ("olive_accuracy.py", "OLIVE_PYTHON"),
}
_OVERLAID = (
    "shoestring/models",
    "shoestring/tasks",
    "shoestring/recipes/baselines.py",
    "shoestring/recipes/record.py",
    "shoestring/recipes/rows.py",
    "shoestring/recipes/running.py",
    "shoestring/artifact/errors.py",
    "shoestring/kit/training/supervised.py",
)
"""What the jobs need that there was not yet: networks, data, and how these were shown.

Nothing that compresses.
"""


class FailedError(Exception):
    """Why a tool delivered nothing."""


def main() -> None:
    rows, runs, chosen = opened("planner_peers", __doc__ or "")
    for run in runs:
        wanted = [
            tool
            for tool in TOOLS
            if rows.wanted(run.subject(tool)) and not rows.done(run.subject(tool), chosen.seed)
        ]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="planner-") as folder:
            bench = Bench(run.job, Path(folder))
            for tool in wanted:
                tool_rows(rows, run, bench, tool, Path(folder), chosen.seed)


def tool_rows(rows: Rows, run: Run, bench: Bench, tool: str, folder: Path, seed: int) -> None:
    """All rows of a tool on a run."""
    subject, began = run.subject(tool), monotonic()
    try:
        file = TOOLS[tool](run, bench, empty(folder / tool.replace(" ", "_")), seed)
        minutes = (monotonic() - began) / 60
        found = bench.weigh(file, run.budget, quick=rows.quick)
    except Exception as error:  # whatever a tool says is its answer
        said = str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"
        rows.add(subject, f"failed: {told(said)}", 1, "", seed)
    else:
        weighed_rows(rows, subject, bench, found, minutes, run, seed)
        if (by := file.with_name(BY)).exists():
            rows.add(subject, f"technique: {by.read_text()}", 1, "", seed)
    rows.add(subject, "done", 1, "", seed)


def by_chance(run: Run, bench: Bench, folder: Path, seed: int) -> Path:
    """Random search."""
    said = random_search(
        bench.model, bench.task, run.budget, run.minutes, folder / "model.shoe", seed
    )
    (folder / BY).write_text(said)
    return folder / "model.shoe"


def plain(run: Run, bench: Bench, folder: Path, seed: int) -> Path:
    """The best of plain tools."""
    file = plain_tools(bench, run.budget, run.minutes, folder, seed)
    (folder / BY).write_text(file.stem.replace("_", " "))
    return file


def before(run: Run, bench: Bench, folder: Path, seed: int) -> Path:
    """Our own `compress` of before."""
    code, out = past(folder / "code"), folder / "model.shoe"
    words = [
        sys.executable,
        "-m",
        "shoestring.cli",
        "compress",
        f"{code / 'benchmarks' / 'planner_jobs.py'}:{run.job}",
    ]
    words += [
        "--budget",
        with_numbers(bench, run.budget),
        "--seed",
        str(seed),
        "--out",
        str(out),
        "--json",
    ]
    said = timed_out(
        [*words, "--ledger", str(folder / "ledger")],
        run.minutes,
        environment={**os.environ, "PYTHONPATH": str(code)},
        folder=code,
    )
    if not out.exists():
        raise FailedError(
            next(
                (line for line in said.splitlines() if "rror: " in line),
                "no file was there when the minutes were up",
            )
        )
    return out


def past(folder: Path) -> Path:
    """The code of before, with today's networks and data beside it."""
    root = HERE.parent
    folder.mkdir()
    with (folder / "code.tar").open("wb") as file:
        subprocess.run(
            ["git", "-C", root, "archive", BEFORE, "shoestring"], stdout=file, check=True
        )
    with tarfile.open(folder / "code.tar") as archive:
        archive.extractall(folder, filter="data")
    today = [
        one
        for name in _OVERLAID
        for one in ([root / name] if name.endswith(".py") else (root / name).glob("*.py"))
    ]
    (folder / "benchmarks").mkdir()
    for one in (*today, HERE / "planner_jobs.py"):
        # What only trains a network anew is not there.
        (folder / one.relative_to(root)).write_text(
            one.read_text().replace("AdamW, ", "").replace("Training, ", "")
        )
    (folder / "benchmarks" / "results").mkdir(parents=True)
    for kept in ("files", "unfinished"):  # what the jobs start from
        (folder / "benchmarks" / "results" / kept).symlink_to(HERE / "results" / kept)
    return folder


def peer(tool: str) -> Callable[[Run, Bench, Path, int], Path]:
    """A tool in its own environment, by its script."""
    script, variable = PEERS[tool]

    def deliver(run: Run, bench: Bench, folder: Path, seed: int) -> Path:
        python = os.environ.get(variable)
        if not python:
            raise FailedError(f"not run: {variable} names no Python")
        given(bench, run, folder / "given")
        words = [python, str(HERE / "peers" / script), str(folder / "given"), str(folder / "out")]
        said = timed_out(
            words,
            run.minutes,
            environment={**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"},
            folder=folder,
        )
        result = folder / "out" / "result.json"
        if not result.exists():
            raise FailedError(f"stopped when the minutes were up, or it fell: {told(said)}")
        if error := json.loads(result.read_text())["error"]:
            raise FailedError(told(error))
        return folder / "out" / "model.onnx"

    return deliver


def given(bench: Bench, run: Run, folder: Path) -> None:
    """What a peer starts from.

    Model.onnx, calibration.npz, validation.npz (with `targets`), and goal.json.
    """
    folder.mkdir()
    content = bench.content
    names = [port.name for port in content.graph.inputs]
    save(folder / "model.onnx", onnx_bytes(*fold_transposes(content.graph, content.tensors)))
    inputs, targets = bench.sealed._split("train")
    drawn = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))[:EXAMPLES]
    calibration = {name: one[drawn].numpy() for name, one in zip(names, inputs, strict=True)}
    inputs, targets = bench.sealed._split("validation")
    validation = {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
    np.savez(folder / "calibration.npz", **calibration)  # pyright: ignore[reportArgumentType]
    np.savez(folder / "validation.npz", targets=targets.numpy(), **validation)  # pyright: ignore[reportArgumentType]
    limits = Budget.parse(run.budget)
    goal = {
        "job": run.job,
        "bytes": limits.size,
        "drop": limits.drop,
        "jobs": str(HERE),
        "package": str(HERE.parent),
    }
    (folder / "goal.json").write_text(json.dumps(goal))


def timed_out(
    words: list[str], minutes: float, *, environment: dict[str, str], folder: Path
) -> str:
    """Run a command until it ends or the minutes are up, when it is interrupted.

    What it said where it failed.
    """
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            words, stdout=said, stderr=said, env=environment, cwd=folder, preexec_fn=heeding
        )
        for how, seconds in (
            (None, 60 * minutes),
            (signal.SIGINT, GRACE_SECONDS),
            (signal.SIGKILL, GRACE_SECONDS),
        ):
            if how is not None:
                process.send_signal(how)
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
    return (folder / "said.txt").read_text()


def heeding() -> None:
    """Have a process heed an interruption even where this one was put in the background, which
    ignores them.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


TOOLS: dict[str, Callable[[Run, Bench, Path, int], Path]] = {
    "random search": by_chance,
    "plain tools": plain,
    f"shoestring before ({BEFORE})": before,
    **{tool: peer(tool) for tool in PEERS},
}

if __name__ == "__main__":
    main()
