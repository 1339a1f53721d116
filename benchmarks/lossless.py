"""Packed checkpoints against zstd, lzma and ZipNN, every bit kept: `python benchmarks/lossless.py`.

A few minutes on one core.
LeNet-300-100 after two passes over MNIST (three seeds), and tensors of a transformer's shapes with
random weights of many scales (40 MB in float32), each in float32 and rounded to bfloat16 and
float16. Sizes are whole files'. Packing is timed with reading it back and comparing, as `shoestring
pack` does; MB are those of the .safetensors file, seconds those of the processor (other work on the
machine does not count). ZipNN (one thread, the file as bytes) has rows where ZIPNN_PYTHON names a
Python that has it (`pip install zipnn`; the committed rows are of 0.5.4). --quick: one
LeNet-300-100.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import torch
import zstandard
from rows import Rows, start
from torch import Tensor

from shoestring.artifact.checkpoints.checkpoint import (
    as_safetensors,
    from_safetensors,
    read,
)
from shoestring.artifact.checkpoints.streaming import pack_checkpoint
from shoestring.core import seeded
from shoestring.kit import Supervised, Training, train
from shoestring.kit.weights.checkpoint import from_torch
from shoestring.models import LeNet300
from shoestring.tasks import mnist

STEPS = 2 * 430  # two passes over the training images
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ZIPNN = """
import json, sys, time, zipnn
data = open(sys.argv[1], "rb").read()
data += bytes(-len(data) % 4)
def timed(run):
    best = 1e9
    for _ in range(3):
        began = time.process_time(); found = run(); best = min(best, time.process_time() - began)
    return found, best
packer = zipnn.ZipNN(bytearray_dtype=sys.argv[2], input_format="byte", threads=1)
packed, packing = timed(lambda: packer.compress(bytearray(data)))
back, unpacking = timed(lambda: packer.decompress(packed))
assert bytes(back) == data
print(json.dumps([len(packed), packing, unpacking]))
"""


def main() -> None:
    rows = start("lossless", "mnist-cpu", __doc__ or "")
    torch.set_num_threads(1)
    task = mnist()
    for seed in (0,) if rows.quick else (0, 1, 2):
        weights: dict[str, Tensor] = {}
        for name in DTYPES:
            subject = f"LeNet-300-100, {name}"
            if rows.wanted(subject) and not rows.done(subject, seed):
                weights = weights or trained(task, seed)
                compare(rows, subject, weights, name, seed)
    for name in () if rows.quick else DTYPES:
        subject = f"random transformer, {name}"
        if rows.wanted(subject) and not rows.done(subject, 0):
            compare(rows, subject, transformer(0), name, 0)
    rows.close()


def trained(task: Supervised, seed: int) -> dict[str, Tensor]:
    """LeNet-300-100's weights after two passes."""
    with seeded(seed):
        model = train(LeNet300(), task.sealed(), Training(STEPS), what="training LeNet-300-100")
    return model.state_dict()


def transformer(seed: int) -> dict[str, Tensor]:
    """Random weights, each row with a scale of its own, in the shapes of a small language model."""
    random = torch.Generator().manual_seed(seed)

    def normal(rows: int, columns: int) -> Tensor:
        scales = torch.exp(0.3 * torch.randn(rows, 1, generator=random))
        return 0.03 * scales * torch.randn(rows, columns, generator=random)

    found = {"embedding.weight": normal(7000, 512)}
    for layer in range(2):
        for name, size in {
            "query": 512,
            "key": 512,
            "value": 512,
            "output": 512,
            "up": 2048,
            "down": 2048,
        }.items():
            found[f"layers.{layer}.{name}.weight"] = (
                normal(512, size) if name == "down" else normal(size, 512)
            )
            found[f"layers.{layer}.{name}.bias"] = 0.01 * torch.randn(
                512 if name == "down" else size, generator=random
            )
        found[f"layers.{layer}.norm.weight"] = 1 + 0.05 * torch.randn(512, generator=random)
    return found


def compare(rows: Rows, subject: str, weights: dict[str, Tensor], name: str, seed: int) -> None:
    """The rows of one checkpoint in one type."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "model.safetensors", Path(folder) / "model.shoe"
        torch.save(
            {key: value.to(DTYPES[name]) for key, value in weights.items()},
            Path(folder) / "model.pt",
        )
        path.write_bytes(as_safetensors(from_torch(Path(folder) / "model.pt"))[0])
        data = path.read_bytes()
        packing = fastest(lambda: pack_checkpoint(from_safetensors(path), path, out))
        unpacking = fastest(lambda: as_safetensors(read(out)))
        if as_safetensors(read(out))[0] != data:
            raise AssertionError(f"{subject}: the file that comes back is another")
        rows.add(subject, "safetensors", len(data), "bytes", seed)
        rows.add(subject, "ours", out.stat().st_size, "bytes", seed)
        rows.add(
            subject,
            "zstd-22",
            len(zstandard.ZstdCompressor(level=22).compress(data)),
            "bytes",
            seed,
        )
        rows.add(
            subject, "lzma", len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)), "bytes", seed
        )
        rows.add(subject, "packing", len(data) / 1e6 / packing, "MB/s", seed, timed=True)
        rows.add(subject, "unpacking", len(data) / 1e6 / unpacking, "MB/s", seed, timed=True)
        if python := os.environ.get("ZIPNN_PYTHON"):
            said = subprocess.run(
                [python, "-c", ZIPNN, path, name], capture_output=True, text=True, check=True
            )
            size, packing, unpacking = json.loads(said.stdout.splitlines()[-1])
            rows.add(subject, "ZipNN", size, "bytes", seed)
            rows.add(subject, "ZipNN packing", len(data) / 1e6 / packing, "MB/s", seed, timed=True)
            rows.add(
                subject, "ZipNN unpacking", len(data) / 1e6 / unpacking, "MB/s", seed, timed=True
            )
        rows.add(subject, "done", 1, "", seed)


def fastest(run: Callable[[], object], times: int = 3) -> float:
    """The least processor seconds of several runs."""
    found = []
    for _ in range(times):
        began = process_time()
        run()
        found.append(process_time() - began)
    return min(found)


if __name__ == "__main__":
    main()
