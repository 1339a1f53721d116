"""Products and convolutions of signs against torch, and the recipe `xnor_convnet`, three seeds.

`python benchmarks/xnor.py`.
About twenty minutes on one core, most of it training; goes on where it was interrupted, and `--only
product` times the kernels alone. Samples are taken in turn, on one thread, of that thread's own
time. --quick: small sizes, a short training of one seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import torch
from llvmlite import binding
from rows import FILES, RESULTS, Rows, start
from torch.nn import functional

from shoestring.artifact import Content, read
from shoestring.artifact.format.graph import INTS, Graph, Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.kernels.sign_code import compiled
from shoestring.artifact.kernels.signs import SignConvolution, SignProduct, bound
from shoestring.artifact.runtime.session import session
from shoestring.core import Task, seeded
from shoestring.kit import Training, export, pack
from shoestring.meters.inputs import feeds, runner
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
    size = 512 if rows.quick else 2048
    once(
        rows, f"product {size}, no vectors of 512 bits", partial(product, size, functions=lesser())
    )
    for channels, side in IMAGES[1:2] if rows.quick else IMAGES:
        once(
            rows,
            f"convolution 3x3, {channels} to {channels} at {side}x{side}",
            partial(convolution, channels, side),
        )
    task = mnist()
    for seed in SEEDS[:1] if rows.quick else SEEDS:
        recipe(rows, task, seed)
    folder = RESULTS / "unfinished" / f"xnor.0{'.quick' if rows.quick else ''}"
    for batch in (1, 32):
        once(rows, f"latency, batch {batch}", partial(latency, folder, task, batch))
        once(rows, f"latency of width 256, untrained, batch {batch}", partial(wide, task, batch))
    if rows.close() and not rows.quick:
        FILES.mkdir(exist_ok=True)
        for name in ("bwn", "xnor"):
            errors = {
                r["seed"]: r["value"]
                for r in rows.rows
                if r["subject"] == name and r["metric"] == "validation error"
            }
            middle = sorted(errors, key=lambda seed: errors[seed])[len(errors) // 2]
            shutil.copy(
                RESULTS / "unfinished" / f"xnor.{middle}" / f"{name}.shoe",
                FILES / f"normfirst_{name}.shoe",
            )


def once(rows: Rows, subject: str, measure: Callable[[Rows, str], None]) -> None:
    """Measure what an earlier run has not."""
    if rows.wanted(subject) and not rows.done(subject, None):
        measure(rows, subject)
        rows.add(subject, "done", 1, "", None)


def lesser() -> dict[str, Any]:
    """The kernels as they would be on this processor without AVX-512."""
    found = dict(binding.get_host_cpu_features())
    return bound(
        compiled(
            {
                name: on and not name.startswith(("avx512", "avxvnni", "gfni"))
                for name, on in found.items()
            }
        )
    )


def product(size: int, rows: Rows, subject: str, functions: dict[str, Any] | None = None) -> None:
    """Packing of activations is in the time, that of weights is not.

    Torch too writes into memory that is there.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, size)).astype(np.float32)
    weights = np.where(rng.random((size, size)) < 0.5, np.float32(-1), np.float32(1))
    made, ours, theirs = (
        SignProduct(weights, functions=functions),
        np.empty((size, size), np.float32),
        torch.empty(size, size),
    )
    left, right = (
        torch.where(torch.from_numpy(x) < 0, -1.0, 1.0),
        torch.from_numpy(weights).T.contiguous(),
    )
    made(x, ours)
    torch.mm(left, right, out=theirs)
    rows.add(subject, "differences from torch", int((ours != theirs.numpy()).sum()), "numbers")
    runtime = session(one_node(Node("MatMul", (0, 1), 1), (size, size)), [tensor(right.numpy())], 1)
    others: dict[str, Callable[[], Any]] = {
        "torch float32": lambda: torch.mm(left, right, out=theirs),
        "onnxruntime float32": partial(runtime.run, None, {"x": left.numpy()}),
    }
    compare(rows, subject, lambda: made(x, ours), others)


def convolution(channels: int, side: int, rows: Rows, subject: str) -> None:
    """An image; torch in the faster of its two memory formats, weights in it beforehand, and ONNX
    Runtime.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, channels, side, side)).astype(np.float32)
    weights = np.where(rng.random((channels, channels, 3, 3)) < 0.5, np.float32(-1), np.float32(1))
    made = SignConvolution(weights, pads=(1, 1, 1, 1))
    signs = torch.where(torch.from_numpy(x) < 0, -1.0, 1.0)
    kernel = torch.from_numpy(weights)
    expected = torch.conv2d(functional.pad(signs, (1, 1, 1, 1), value=1.0), kernel).numpy()
    rows.add(subject, "differences from torch", int((made(x) != expected).sum()), "numbers")
    flat, flat_kernel = (one.to(memory_format=torch.channels_last) for one in (signs, kernel))
    runtime = session(
        one_node(Node("Conv", (0, 1), 1, (("pads", INTS, (1, 1, 1, 1)),)), x.shape),
        [tensor(weights)],
        1,
    )
    others: dict[str, Callable[[], Any]] = {
        "torch float32, channels first": lambda: torch.conv2d(signs, kernel, padding=1),
        "torch float32, channels last": lambda: torch.conv2d(flat, flat_kernel, padding=1),
        "onnxruntime float32": partial(runtime.run, None, {"x": signs.numpy()}),
    }
    with torch.no_grad():
        compare(rows, subject, lambda: made(x), others)


def one_node(node: Node, shape: tuple[int, ...]) -> Graph:
    """A graph of one node, which takes x of this shape and a tensor."""
    return Graph(
        opset=20,
        inputs=(Port("x", 1, shape),),
        weights=1,
        constants=(),
        nodes=(node,),
        outputs=(Port("y", 1),),
        results=(2,),
        arguments=((0,), {}),
        structure=0,
    )


def compare(
    rows: Rows, subject: str, ours: Callable[[], Any], others: dict[str, Callable[[], Any]]
) -> None:
    """Milliseconds of each, and how many times as long the others take."""
    samples = in_turn({"bits": ours, **others}, 5 if rows.quick else 31)
    for name, mine in samples.items():
        rows.add(subject, f"{name}, time", float(np.median(mine)), "ms", timed=True)
        if name != "bits":
            quartiles(rows, subject, f"{name} over bits", mine / samples["bits"])


def quartiles(rows: Rows, subject: str, metric: str, ratios: np.ndarray) -> None:
    for part, share in (("low", 25), ("median", 50), ("high", 75)):
        rows.add(
            subject, f"{metric}, {part}", float(np.percentile(ratios, share)), "times", timed=True
        )


def in_turn(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of a run, a sample of each in turn.

    A mean of as many runs as take 5 ms, after one that is not timed.
    Of the thread's own time on the processor: both sides have one thread, and other jobs on the
    machine then cost neither.
    """
    counts = {}
    for name, run in runs.items():
        run()
        begin = thread_time()
        run()
        counts[name] = max(1, ceil(5e-3 / max(thread_time() - begin, 1e-7)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            begin = thread_time()
            for _ in range(counts[name]):
                run()
            samples[name].append((thread_time() - begin) * 1e3 / counts[name])
    return {name: np.array(mine) for name, mine in samples.items()}


def recipe(rows: Rows, task: Task, seed: int) -> None:
    """The rows and files of one seed."""
    if rows.done("recipe", seed) or not rows.wanted(f"recipe.{seed}"):
        return
    folder = RESULTS / "unfinished" / f"xnor.{seed}{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = (
        Settings(width=16, training_passes=0.1, weights_passes=0.05, signs_passes=0.1)
        if rows.quick
        else Settings()
    )

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
        rows,
        subject,
        {name: read(folder / f"{name}.shoe") for name in ("fp32", "bwn", "xnor", "xnor_scaled")},
        task,
        batch,
    )


def wide(task: Task, batch: int, rows: Rows, subject: str) -> None:
    """Four times as wide: what layers of a size that pays would give. Not trained, so no score."""
    from shoestring.artifact.format.file import unpack

    with seeded(0):
        model = NormFirst(64 if rows.quick else 256)
        binary = Binary(training=Training(0))(model, task.sealed())
    files = {
        name: unpack(pack(one, export(one, task.sealed())))
        for name, one in (("fp32", model), ("xnor", binary))
    }
    alternating(rows, subject, files, task, batch)


def alternating(
    rows: Rows, subject: str, files: dict[str, Content], task: Task, batch: int
) -> None:
    """Milliseconds of each file and of `xnor` without kernels, and the ratios to full precision."""
    runs = {name: runner(content, feeds(content, task, batch)) for name, content in files.items()}
    binary = files["xnor"]
    runs["xnor, no kernels"] = partial(
        session(binary.graph, binary.tensors, 1).run, None, feeds(binary, task, batch)
    )
    samples = in_turn(runs, 11 if rows.quick else 51)
    for name, mine in samples.items():
        rows.add(subject, f"{name}, time", float(np.median(mine)), "ms", timed=True)
        if name != "fp32":
            quartiles(rows, subject, f"fp32 over {name}", samples["fp32"] / mine)


if __name__ == "__main__":
    main()
