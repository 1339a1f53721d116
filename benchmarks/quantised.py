"""int8 by us and by the tools that people would use instead, on four networks.

`python benchmarks/quantised.py`.
Starts from results/files/baseline_NAME.shoe. Every peer has an environment of its own, whose Python
a variable names; the pip line is in its script. One that is not named, or fails, has a row that
says so. All get the same 512 training examples.

    ONNXRUNTIME_PYTHON=… NNCF_PYTHON=… NEURAL_COMPRESSOR_PYTHON=… TORCHAO_PYTHON=… \
        OMP_NUM_THREADS=1 python benchmarks/quantised.py

Scores are those of the files that the tools wrote, by the task's own merit, on validation and test
data; differences to float32 are paired, example by example, with an interval of 95 %. Latency is on
one thread, in turn with float32 in ONNX Runtime, the median of the paired ratios with quartiles:
ONNX files in ONNX Runtime and OpenVINO's in OpenVINO (as it comes: what stays in float it computes
in bfloat16 where the processor has it), all in one go; torch programs in their own environment, in
turn with the same float32 file. The text encoder is timed on 128 words. `--only resnet20`, `--only
"resnet20 / torchao"`, `--only latency`: a part, kept for the run without it. `--add`: what has no
rows yet. --quick: LeNet-5, 500 examples, ours and ONNX Runtime.

Where ours takes blocks out and trains again, the peers that take ONNX get that network too, in rows
of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quantised_files import (
    Tool,
    answers,
    content_of,
    given,
    merits_of,
    peers,
    run_of,
    shuffled,
    thinned,
)
from quantised_table import BESIDE, THINNED
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring.artifact import InBFloat16, OnnxRuntime, OpenVINO, load
from shoestring.core import seeded
from shoestring.kit import Supervised, restore
from shoestring.meters import Ratio, Timing, in_turn, ratio
from shoestring.models import LeNet5, MobileNet, ResNet20, TextEncoder
from shoestring.recipes.int8 import Int8Result, int8_resnet, int8_transformer
from shoestring.tasks import cifar10, mnist, sst2, sst2_vocabulary

NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Supervised]]] = {
    "lenet5": (LeNet5, mnist),
    "resnet20": (ResNet20, cifar10),
    "mobilenet": (MobileNet, cifar10),
    "text_encoder": (lambda: TextEncoder(len(sst2_vocabulary())), sst2),
}
SECONDS = {1: 20.0, 32: 40.0}  # of an alternation, by batch
RUNTIMES = (
    (OnnxRuntime(), ""),
    (OpenVINO(), " in OpenVINO"),
    (OpenVINO(InBFloat16()), " in OpenVINO, bfloat16"),
)
"""What runs our files. The last is timed beside the tools on our thinned network alone: it computes
what stayed in floating point as it computes theirs.
"""
TIMED = "batch 32, time to float32's"


OURS: dict[str, Callable[..., Int8Result]] = {
    "lenet5": partial(int8_resnet, share=1.0),
    "resnet20": int8_resnet,
    "mobilenet": partial(int8_resnet, share=1.0),
    "text_encoder": int8_transformer,
}


def ours(name: str, model: nn.Module, task: Supervised, path: Path, rows: Rows) -> Path:
    """Our file of a network, by its recipe.

    And whether the module foretold what the file would score.
    """
    if name != "text_encoder":
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    thin = path.parent.parent / "thin.shoe" if thinned(name) else None
    found = OURS[name](model, task, path, thin=thin)
    rows.add(
        f"{name} / ours", "validation score of the module that rounds", 100 * found.module, "%", 0
    )
    rows.add(
        f"{name} / ours",
        "the file's less the module's",
        100 * (found.file - found.module),
        "points",
        0,
    )
    rows.add(f"{name} / ours", "layers in floating point", len(found.kept), "layers", 0)
    return path


def main() -> None:
    rows = start("quantised", "mnist-sst2-cifar10-jpeg-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for name in ("lenet5",) if rows.quick else NETWORKS:
        if not (FILES / f"baseline_{name}.shoe").exists():
            print(
                f"{name}: there is no baseline yet: python benchmarks/baselines.py --only {name}",
                flush=True,
            )
        elif rows.wanted(f"{name} / latency of what is made of it") or any(
            rows.wanted(f"{name} / {tool.name}") for tool in (*tools(rows, name), *thinned(name))
        ):
            network_rows(rows, name)
    rows.close()


def tools(rows: Rows, name: str) -> list[Tool]:
    """Those of a run."""
    mine = [Tool("float32"), Tool("ours")]
    return mine + (peers(name)[:1] if rows.quick else peers(name))


def network_rows(rows: Rows, name: str) -> None:
    """All of one network."""
    network, data = NETWORKS[name]
    task = data()
    if rows.quick:
        parts = {
            split: tuple(part[:500] for part in getattr(task, split))
            for split in ("train", "validation", "test")
        }
        task = replace(task, **parts)
    with seeded(0):
        model = restore(FILES / f"baseline_{name}.shoe", network()).eval()
    folder = RESULTS / "unfinished" / f"quantised{'_quick' if rows.quick else ''}" / name
    fresh(rows, name, folder)
    given(folder / "given", folder / "float32" / "model.shoe", model, task)
    for tool in tools(rows, name):
        subject = f"{name} / {tool.name}"
        if rows.wanted(subject) and not rows.done(subject, 0):
            make = {
                "float32": lambda out: None,  # `fresh` has put it there
                "ours": lambda out: ours(name, model, task, out / "model.shoe", rows),
            }.get(tool.name)
            tool_rows(rows, subject, tool, folder, make, task)
            rows.add(subject, "done", 1, "", 0)
    for runtime, where in RUNTIMES[1 : 3 if thinned(name) else 2]:
        subject = f"{name} / ours{where}"
        if rows.wanted(subject) and not rows.done(subject, 0):
            loaded = load(folder / "ours" / "model.shoe", threads=1, runtime=runtime)
            merits = {split: merits_of(task, loaded, split) for split in ("validation", "test")}
            score_rows(rows, subject, Tool("ours"), folder, task, merits)
            rows.add(subject, "done", 1, "", 0)
    for seed in () if rows.quick else (1, 2):
        if rows.wanted(f"{name} / ours") and not rows.done(f"{name} / ours", seed):
            seed_rows(rows, name, model, task, folder, seed)
    timed = rows.done(f"{name} / latency", 0) or rows.has(f"{name} / float32", "batch 32, one run")
    if rows.wanted(f"{name} / latency") and not timed:
        for batch, seconds in SECONDS.items():
            share = seconds / 20 if rows.quick else seconds
            latency_rows(rows, name, folder, tools(rows, name), batch, share)
        rows.add(f"{name} / latency", "done", 1, "", 0)
    if not rows.quick and thinned(name):
        thinned_rows(rows, name, model, task, folder)


def thinned_rows(rows: Rows, name: str, model: nn.Module, task: Supervised, folder: Path) -> None:
    """What the peers make of our network with fewer blocks.

    They are timed in an alternation of their own, with float32 and ours in it.
    """
    thin, mine = folder / "thin.shoe", folder / "ours" / "model.shoe"
    for tool in thinned(name):
        subject = f"{name} / {tool.name}"
        if not rows.wanted(subject) or rows.done(subject, 0):
            continue
        if not thin.exists() or not mine.exists():
            mine.parent.mkdir(exist_ok=True)
            OURS[name](model, task, mine, thin=thin)
        given(folder / tool.given, thin, None, task)
        make = (lambda out: shutil.copy(thin, out / "model.shoe")) if not tool.script else None
        tool_rows(rows, subject, tool, folder, make, task)
        rows.add(subject, "done", 1, "", 0)
    subject = f"{name} / latency of what is made of it"
    timed = rows.done(subject, 0) or rows.has(f"{name} / float32{THINNED}", TIMED)
    if rows.wanted(subject) and not timed:
        gone = [
            tool.name
            for tool in thinned(name)
            if rows.has(f"{name} / {tool.name}", "file")
            and not any((folder / tool.folder).glob("model.*"))
        ]
        if gone:
            raise SystemExit(
                f"{name}: the files of {'; '.join(gone)} are gone, so nothing can be timed: delete "
                f"their rows from {rows.path} and run again"
            )
        for batch, seconds in SECONDS.items():
            both = [Tool("float32"), Tool("ours"), *thinned(name)]
            latency_rows(rows, name, folder, both, batch, seconds)
        rows.add(subject, "done", 1, "", 0)


def seed_rows(
    rows: Rows, name: str, model: nn.Module, task: Supervised, folder: Path, seed: int
) -> None:
    """What ours scores with another seed: other calibration examples, another order in training."""
    path = folder / f"ours_{seed}" / "model.shoe"
    path.parent.mkdir(exist_ok=True)
    OURS[name](model.to(memory_format=torch.channels_last), shuffled(task, seed), path, seed=seed)  # pyright: ignore[reportCallIssue]
    for split in ("validation", "test"):
        found = answers(Tool(f"ours {seed}"), folder, task, split)
        apart = found.mean() - np.load(folder / f"float32.{split}.npy").mean()
        rows.add(f"{name} / ours", f"{split} difference", 100 * apart, "points", seed)
    rows.add(f"{name} / ours", "done", 1, "", seed)


def fresh(rows: Rows, name: str, folder: Path) -> None:
    """Forget what was made from another baseline; stops where rows tell of it."""
    kept, baseline = folder / "baseline.shoe", (FILES / f"baseline_{name}.shoe").read_bytes()
    if kept.exists() and kept.read_bytes() != baseline:
        if any(row["subject"].startswith(f"{name} / ") for row in rows.rows):
            raise SystemExit(
                f"the baseline of {name} is another than that of the rows in {rows.partial}: "
                "delete these"
            )
        shutil.rmtree(folder)
    (folder / "float32").mkdir(parents=True, exist_ok=True)
    for path in (kept, folder / "float32" / "model.shoe"):
        path.write_bytes(baseline)


def tool_rows(
    rows: Rows,
    subject: str,
    tool: Tool,
    folder: Path,
    make: Callable[[Path], object] | None,
    task: Supervised,
) -> None:
    """What a tool makes of a network: its bytes, scores and minutes, or why there is nothing.

    `make`: leaves the model in a folder; None for a peer, whose script does.
    """
    out = folder / tool.folder
    out.mkdir(parents=True, exist_ok=True)
    began = processor_seconds()
    if make is not None:
        make(out)
    else:
        for stale in out.glob("*"):
            stale.unlink()
        if error := quantised(tool, folder / tool.given, out):
            rows.add(subject, f"failed: {error}", 1, "", 0)
            return
    minutes = (processor_seconds() - began) / 60
    try:
        merits = {split: answers(tool, folder, task, split) for split in ("validation", "test")}
    except Exception as error:
        rows.add(subject, f"failed: its model does not run: {first_line(error)}", 1, "", 0)
        return
    rows.add(subject, "minutes", minutes, "minutes of a core", 0)
    rows.add(subject, "file", sum(path.stat().st_size for path in out.glob("model.*")), "bytes", 0)
    score_rows(rows, subject, tool, folder, task, merits)


def score_rows(
    rows: Rows,
    subject: str,
    tool: Tool,
    folder: Path,
    task: Supervised,
    merits: dict[str, np.ndarray],
) -> None:
    """What a file scores, and how much that is off float32's, example by example."""
    for split, found in merits.items():
        rows.add(subject, f"{split} score", 100 * found.mean(), "%", 0)
        kept = folder / f"float32.{split}.npy"
        if tool.name != "float32" and not kept.exists():  # its rows are there already
            np.save(kept, answers(Tool("float32"), folder, task, split))
        if tool.name == "float32":
            np.save(kept, found)
        apart = found - np.load(kept)
        half = 1.96 * apart.std() / len(apart) ** 0.5
        for what, value in (
            ("", apart.mean()),
            (", low", apart.mean() - half),
            (", high", apart.mean() + half),
        ):
            rows.add(subject, f"{split} difference{what}", 100 * value, "points", 0)


def processor_seconds() -> float:
    """Of this process and of those that it has run, not of whatever else the machine does."""
    mine = os.times()
    return mine.user + mine.system + mine.children_user + mine.children_system


def quantised(tool: Tool, given: Path, out: Path) -> str:
    """Run a peer's script; the reason where it leaves nothing, else the empty string."""
    python = os.environ.get(tool.python)
    if not python:
        return f"not run: {tool.python} names no Python"
    command = [python, Path(__file__).parent / "peers" / tool.script, given, out, *tool.options]
    done = subprocess.run(command, capture_output=True, text=True)
    (out / "log.txt").write_text(done.stdout + done.stderr)
    if not (out / "result.json").exists():
        return first_line(
            RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        )
    return json.loads((out / "result.json").read_text())["error"] or ""


def latency_rows(
    rows: Rows, name: str, folder: Path, among: list[Tool], batch: int, seconds: float
) -> None:
    """Each tool's latency, as a ratio to float32 in ONNX Runtime in the same rounds.

    Beside the peers on our thinned network, ours has rows of its own.
    """
    runs: dict[str, Callable[[], Any]] = {}
    there = [tool for tool in among if any((folder / tool.folder).glob("model.*"))]
    again = any(tool.thinned for tool in among)
    with np.load(folder / "given" / "example.npz") as archive:
        feeds = {
            key: archive[key].take(np.arange(batch) % len(archive[key]), 0) for key in archive.files
        }
    for tool in there:
        if not tool.script:
            content = content_of(folder / tool.folder / "model.shoe")
            for runtime, where in RUNTIMES[: 3 if again else 2]:
                runs[tool.name + where] = runtime.start(content.graph, content.tensors, 1).bound(
                    feeds
                )
        elif not tool.torch:
            runs[tool.name] = run_of(folder / tool.folder, feeds)
    found = dict(zip(runs, in_turn(list(runs.values()), seconds=seconds), strict=True))
    if not again:
        once = found["float32"].median
        rows.add(f"{name} / float32", f"batch {batch}, one run", once, "ms", 0, timed=True)
    for which, timing in found.items():
        if not again or THINNED in which:
            ratio_rows(rows, f"{name} / {which}", batch, ratio(timing, found["float32"]))
        elif which.startswith("ours"):
            ratio_rows(rows, f"{name} / {which}{BESIDE}", batch, ratio(timing, found["float32"]))
    for tool in there:
        if tool.torch:
            command = [
                os.environ[tool.python],
                Path(__file__).parent / "peers" / tool.script,
                folder / "given",
            ]
            arguments = [folder / tool.folder, "--time", str(batch), str(seconds / 3)]
            done = subprocess.run([*command, *arguments], capture_output=True, text=True)
            if done.returncode:
                why = first_line(RuntimeError(done.stderr.strip().splitlines()[-1]))
                rows.add(
                    f"{name} / {tool.name}",
                    f"batch {batch}: not timed: {why}",
                    1,
                    "",
                    0,
                    timed=True,
                )
                continue
            pair = json.loads(done.stdout.splitlines()[-1])
            peer, fp32 = (
                Timing(median=0, low=0, high=0, milliseconds=tuple(pair[key]), runs=1)
                for key in ("peer", "fp32")
            )
            ratio_rows(rows, f"{name} / {tool.name}", batch, ratio(peer, fp32))


def ratio_rows(rows: Rows, subject: str, batch: int, found: Ratio) -> None:
    for what, value in (("", found.median), (", low", found.low), (", high", found.high)):
        rows.add(subject, f"batch {batch}, time to float32's{what}", value, "times", 0, timed=True)


def first_line(error: Exception) -> str:
    """The beginning of what an error says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


if __name__ == "__main__":
    main()
