"""Products and convolutions of signs against torch, and the recipe `xnor_convnet`, three seeds: `python benchmarks/xnor.py`.

About half an hour on one core, most of it training; goes on where it was interrupted, and `--only product` times the kernels alone.
Samples of the two sides are of the same length, in turn, on one thread. --quick: small sizes, a short training of one seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rows import FILES, RESULTS, Rows, start
from torch.nn import functional

from shoestring.artifact import Content, read
from shoestring.artifact.graph import INTS, Graph, Node, Port
from shoestring.artifact.session import session
from shoestring.artifact.signs import SignConvolution, SignProduct
from shoestring.artifact.tensors import tensor
from shoestring.core import Task, seeded
from shoestring.kit import export, pack
from shoestring.meters import in_turn, ratio
from shoestring.meters.subject import feeds, runner
from shoestring.models import NormFirst
from shoestring.quantize import Binary
from shoestring.recipes.xnor import Row, Settings, xnor_convnet
from shoestring.tasks import mnist

SIZES = (256, 512, 1024, 2048, 4096)
IMAGES = ((128, 28), (256, 14), (512, 7))  # channels and sides: what ResNets have
SEEDS = (0, 1, 2)


def main() -> None:
    rows = start("xnor", "mnist-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for size in SIZES[:2] if rows.quick else SIZES:
        once(rows, f"product {size}", partial(product, size))
    for channels, side in IMAGES[1:2] if rows.quick else IMAGES:
        once(rows, f"convolution 3x3, {channels} to {channels} at {side}x{side}", partial(convolution, channels, side))
    task = mnist()
    for seed in SEEDS[:1] if rows.quick else SEEDS:
        recipe(rows, task, seed)
    folder = RESULTS / "unfinished" / f"xnor.{0}{'.quick' if rows.quick else ''}"
    for batch in (1, 32):
        once(rows, f"latency, batch {batch}", partial(latency, folder, task, batch))
        once(rows, f"latency of width 256, untrained, batch {batch}", partial(wide, task, batch))
    if rows.close() and not rows.quick:
        FILES.mkdir(exist_ok=True)
        for name in ("bwn", "xnor"):
            shutil.copy(folder / f"{name}.shoe", FILES / f"normfirst_{name}.shoe")


def once(rows: Rows, subject: str, measure: Callable[[Rows, str], None]) -> None:
    """Measure what an earlier run has not."""
    if rows.wanted(subject) and not rows.done(subject, None):
        measure(rows, subject)
        rows.add(subject, "done", 1, "", None)


def product(size: int, rows: Rows, subject: str) -> None:
    """Packing of activations is in the time, that of weights is not; both sides write into memory that is there."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, size)).astype(np.float32)
    weights = np.where(rng.random((size, size)) < 0.5, np.float32(-1), np.float32(1))
    made, ours, theirs = SignProduct(weights), np.empty((size, size), np.float32), torch.empty(size, size)
    left, right = torch.where(torch.from_numpy(x) < 0, -1.0, 1.0), torch.from_numpy(weights).T.contiguous()
    made(x, ours)
    torch.mm(left, right, out=theirs)
    rows.add(subject, "differences from torch", int((ours != theirs.numpy()).sum()), "numbers")
    compare(rows, subject, lambda: made(x, ours), {"torch float32": lambda: torch.mm(left, right, out=theirs)})


def convolution(channels: int, side: int, rows: Rows, subject: str) -> None:
    """An image; torch in the faster of its two memory formats, weights in it beforehand, and ONNX Runtime."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, channels, side, side)).astype(np.float32)
    weights = np.where(rng.random((channels, channels, 3, 3)) < 0.5, np.float32(-1), np.float32(1))
    made = SignConvolution(weights, pads=(1, 1, 1, 1))
    signs = torch.where(torch.from_numpy(x) < 0, -1.0, 1.0)
    kernel = torch.from_numpy(weights)
    expected = torch.conv2d(functional.pad(signs, (1, 1, 1, 1), value=1.0), kernel).numpy()
    rows.add(subject, "differences from torch", int((made(x) != expected).sum()), "numbers")
    flat, flat_kernel = (one.to(memory_format=torch.channels_last) for one in (signs, kernel))
    runtime = session(one_convolution(channels, side), [tensor(weights)], 1)
    others: dict[str, Callable[[], Any]] = {
        "torch float32, channels first": lambda: torch.conv2d(signs, kernel, padding=1),
        "torch float32, channels last": lambda: torch.conv2d(flat, flat_kernel, padding=1),
        "onnxruntime float32": partial(runtime.run, None, {"x": signs.numpy()}),
    }
    with torch.no_grad():
        compare(rows, subject, lambda: made(x), others)


def one_convolution(channels: int, side: int) -> Graph:
    return Graph(
        opset=20, inputs=(Port("x", 1, (1, channels, side, side)),), weights=1, constants=(),
        nodes=(Node("Conv", (0, 1), 1, (("pads", INTS, (1, 1, 1, 1)),)),), outputs=(Port("y", 1),), results=(2,),
        arguments=((0,), {}), structure=0,
    )  # fmt: skip


def compare(rows: Rows, subject: str, ours: Callable[[], Any], others: dict[str, Callable[[], Any]]) -> None:
    """Milliseconds of each, and how many times as long the others take. A sample of ours is as many runs as take theirs."""
    for name, other in others.items():
        times = max(1, round(fastest(other) / fastest(ours)))

        def many(times: int = times) -> None:
            for _ in range(times):
                ours()

        mine, theirs = in_turn([many, other], rounds=5 if rows.quick else 21)
        told = ratio(theirs, mine)
        rows.add(subject, "bits, time", mine.median / times, "ms")
        rows.add(subject, f"{name}, time", theirs.median, "ms")
        for part in ("low", "median", "high"):
            rows.add(subject, f"{name} over bits, {part}", getattr(told, part) * times, "times")


def fastest(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of five runs."""
    seconds: list[float] = []
    for _ in range(5):
        begin = perf_counter()
        run()
        seconds.append(perf_counter() - begin)
    return min(seconds)


def recipe(rows: Rows, task: Task, seed: int) -> None:
    """The rows and files of one seed."""
    if rows.done("recipe", seed) or not rows.wanted(f"recipe.{seed}"):
        return
    folder = RESULTS / "unfinished" / f"xnor.{seed}{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(width=16, training_passes=0.1, weights_passes=0.05, signs_passes=0.1) if rows.quick else Settings()

    def said(row: Row) -> None:
        rows.add(row.name, "size", row.bytes, "bytes", seed)
        rows.add(row.name, "validation error", 100 * (1 - row.validation), "%", seed)
        rows.add(row.name, "test error", 100 * (1 - row.test), "%", seed)

    begin = perf_counter()
    xnor_convnet(task, folder, settings=settings, seed=seed, say=said)  # type: ignore[arg-type]
    rows.add("recipe", "time", (perf_counter() - begin) / 60, "minutes", seed)
    rows.add("recipe", "done", 1, "", seed)


def latency(folder: Path, task: Task, batch: int, rows: Rows, subject: str) -> None:
    """Of the files of the recipe's first seed."""
    alternating(
        rows, subject, {name: read(folder / f"{name}.shoe") for name in ("fp32", "bwn", "xnor", "xnor_scaled")}, task, batch
    )


def wide(task: Task, batch: int, rows: Rows, subject: str) -> None:
    """Four times as wide: what layers of a size that pays would give. Not trained, so of no score."""
    from shoestring.artifact.file import unpack

    with seeded(0):
        model = NormFirst(64 if rows.quick else 256)
        binary = Binary(steps=0)(model, task.sealed())
    files = {
        name: unpack(pack(one, export(one, task.sealed()))) for name, one in (("fp32", model), ("xnor", binary))
    }  # fmt: skip
    alternating(rows, subject, files, task, batch)


def alternating(rows: Rows, subject: str, files: dict[str, Content], task: Task, batch: int) -> None:
    """Milliseconds of each file and of `xnor` without kernels, and the ratios to full precision."""
    runs = {name: runner(content, feeds(content, task, batch)) for name, content in files.items()}
    binary = files["xnor"]
    runs["xnor, no kernels"] = partial(session(binary.graph, binary.tensors, 1).run, None, feeds(binary, task, batch))
    timings = dict(zip(runs, in_turn(list(runs.values()), rounds=11 if rows.quick else 101), strict=True))
    for name, timing in timings.items():
        rows.add(subject, f"{name}, time", timing.median, "ms")
        if name != "fp32":
            told = ratio(timings["fp32"], timing)
            for part in ("low", "median", "high"):
                rows.add(subject, f"fp32 over {name}, {part}", getattr(told, part), "times")


if __name__ == "__main__":
    main()
