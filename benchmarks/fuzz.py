"""Fuzz the reader of files, guided by coverage: `python benchmarks/fuzz.py --minutes 60`.

--quick is half a minute.
Needs atheris, a development tool and no dependency of ours: `pip install atheris` (Linux and macOS,
Python 3.11 to 3.13). A child process mutates files and reads each; anything but an answer or a
ShoeError is a crash: an exception, a warning, a bill that does not add up, a minute without an
answer, 3 GB of memory. Inputs are files whose checksums are repaired, or the insides of files,
which the target deflates and frames, so that mutations reach what they are to test. Nothing that is
read is run. Numbers that come one by one are limited to 8,192 a tensor, since Python reads them
slowly and more of them say nothing new.

What crashes is kept in `tests/artifact/format/crashers/`, once for each place that it crashes at,
and is a
test from then on. What was found worth mutating is kept in `runs/fuzz/`, where the next run goes
on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "artifact" / "format" / "golden"
CRASHERS = ROOT / "tests" / "artifact" / "format" / "crashers"
CORPUS = ROOT / "runs" / "fuzz"
MAX_BYTES = 1 << 24
INTEGER_FORM, PLAIN_LIST, DEFLATED_LIST, VERSION_1 = range(
    4
)  # what the first byte of an input, mod 4, says about the rest
_ORDER = (
    1,
    2,
    5,
    3,
    # graph, list, names, stream: their lengths come first, two bytes each; then they; then the
    # plain values
)
_SECONDS_BETWEEN_LINES = 30
_LARGEST_SEED = 700  # bytes: what is larger takes longer to read and says nothing new


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--minutes", type=float, default=60)
    chosen, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    if find_spec("atheris") is None:
        sys.exit("fuzzing needs atheris, which is not installed: pip install atheris")
    from rows import start

    rows = start("fuzz", "reader-cpu", __doc__ or "")
    minutes = 0.5 if rows.quick else chosen.minutes
    sow()
    before, began = set(CRASHERS.glob("*")), monotonic()
    executed, edges = fuzz(60 * minutes)
    crashes = sorted(set(CRASHERS.glob("*")) - before)
    rows.add("reader", "executions", executed, "inputs")
    rows.add("reader", "coverage", edges, "edges")
    rows.add("reader", "crashes", len(crashes), "places")
    rows.add("reader", "minutes", round((monotonic() - began) / 60, 1), "min")
    rows.close()
    for path in crashes:
        print(f"crashed: {path.relative_to(ROOT)}", file=sys.stderr)
    sys.exit(1 if crashes else 0)


def fuzz(seconds: float) -> tuple[int, int]:
    """Run child processes, one after the other where one dies, for so long.

    (inputs read, edges covered).
    """
    executed, edges, began, failed = 0, 0, monotonic(), 0
    while (left := seconds - (monotonic() - began)) > 1 and failed < 3:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                "--target",
                f"-max_total_time={left:.0f}",
                "-timeout=60",
                "-rss_limit_mb=3000",
            ]
            command += [
                "-max_len=4096",
                "-print_final_stats=1",
                f"-artifact_prefix={folder}/",
                str(CORPUS),
            ]
            count, covered, status, said = watch(command, began + seconds)
            executed, edges = executed + count, max(edges, covered)
            found = [
                path
                for path in Path(folder).iterdir()
                if path.name.startswith(("crash", "timeout", "oom", "leak"))
            ]
            for path in found:
                keep(as_file(path.read_bytes()), path.name.partition("-")[0])
            if status and not found:
                failed += 1
                print(said, file=sys.stderr)
    if failed == 3:
        sys.exit("the fuzzer died three times without a crash to keep: see above")
    return executed, edges


def watch(command: list[str], ends: float) -> tuple[int, int, int, str]:
    """(inputs read, edges covered, exit status, the last words) of a child, with a line now and
    then about how it goes.
    """
    count = edges = 0
    said: list[str] = []
    shown = monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            said = [*said[-30:], line]
            if now := re.match(r"#(\d+)\s.*cov: (\d+)", line):
                count, edges = int(now[1]), max(edges, int(now[2]))
            if total := re.match(r"stat::number_of_executed_units:\s*(\d+)", line):
                count = int(total[1])
            if monotonic() - shown > _SECONDS_BETWEEN_LINES:
                shown = monotonic()
                print(
                    f"{count:,} inputs, {edges:,} edges, {max(ends - shown, 0) / 60:.1f} minutes "
                    "left",
                    file=sys.stderr,
                )
    return count, edges, child.returncode, "".join(said)


def sow() -> None:
    """Put small files into the corpus, as they are and inside out.

    Golden ones, and one with a tensor of every coding.
    """
    from shoestring.artifact.format import file
    from shoestring.artifact.format.dictionary import DICTIONARY
    from shoestring.artifact.wire import unsqueeze

    CORPUS.mkdir(parents=True, exist_ok=True)
    seeds = {
        path.stem: path.read_bytes()
        for path in sorted(GOLDEN.glob("*.shoe"))
        if path.stat().st_size < _LARGEST_SEED
    }
    for name, data in {**seeds, "codings": file.pack(codings())}.items():
        bodies = {kind: bytes(body) for kind, body in file.sections(data).items()}
        plainly = data[4] > 1 and bodies[file.HEADERS][0] == 0
        dictionaries = {
            file.GRAPH: DICTIONARY if data[4] > 1 else b"",
            file.HEADERS: b"",
            file.NAMES: b"",
        }
        for kind, dictionary in dictionaries.items():
            if bodies[kind] and not (plainly and kind == file.HEADERS):
                bodies[kind] = unsqueeze(memoryview(bodies[kind]), "seed", 1 << 24, dictionary)
        if plainly:
            bodies[file.HEADERS] = bodies[file.HEADERS][1:]
        inside = b"".join(len(bodies[kind]).to_bytes(2, "little") for kind in _ORDER)
        inside += b"".join(bodies[kind] for kind in (*_ORDER, file.PLAIN))
        modes = (PLAIN_LIST, DEFLATED_LIST) if data[4] > 1 else (VERSION_1,)
        (CORPUS / f"{name}.whole").write_bytes(bytes([INTEGER_FORM]) + data)
        for mode in modes:
            (CORPUS / f"{name}.{mode}").write_bytes(bytes([mode]) + inside)


def codings():
    """A checkpoint of small tensors, each smallest in a way of its own."""
    import numpy as np

    from shoestring.artifact import Checkpoint
    from shoestring.artifact.format.tensors import tensor

    rng = np.random.default_rng(0)
    few = np.array([0.1, 0.37, 0.51], "f4")
    arrays = [
        rng.integers(-2, 3, (6, 7)).astype("f4") * np.float32(0.1) + np.float32(0),
        np.array([[1, 0, -1, 0, 2, 0, 0, 1, 0, 0]] * 5, "f4") * rng.random((5, 1), np.float32),
        few[rng.integers(0, 3, 40)],
        few[np.arange(40) * 3 // 40].reshape(4, 10),
        np.where(rng.random(60) < 0.05, rng.normal(size=60), 0).astype("f4"),
        rng.normal(size=60),
        np.arange(300, dtype=np.int32) * 401 + 70_000,
        rng.random(20) < 0.1,
        np.zeros((2, 3)),
        rng.normal(size=3).astype("f4"),
    ]
    return Checkpoint(
        [tensor(one, place) for place, one in enumerate(arrays)],
        tuple(f"t{i}" for i in range(len(arrays))),
    )


def as_file(data: bytes) -> bytes:
    """The file that an input of the fuzzer stands for, its checksums right."""
    mode, data = data[0] % 4 if data else INTEGER_FORM, data[1:]
    if mode == INTEGER_FORM:
        return (
            data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little") if data[4:5] == b"\2" else data
        )
    lengths = [
        int.from_bytes(data[2 * place : 2 * place + 2], "little") for place in range(len(_ORDER))
    ]
    at, bodies = 2 * len(_ORDER), {}
    for kind, length in zip(_ORDER, lengths, strict=True):
        bodies[kind] = data[at : at + length]
        at += length
    graph, listed, names, stream = bodies.values()
    plain = data[at:]
    if mode == VERSION_1:
        out = bytearray(b"SHOE\1")
        for kind, body in enumerate((stored(graph), stored(listed), stream, plain), 1):
            section = bytes([kind]) + varint(len(body)) + body
            out += section + zlib.crc32(section).to_bytes(4, "little")
        return bytes(out)
    parts = [
        graph and stored(graph),
        b"\0" + listed if mode == PLAIN_LIST else stored(listed),
        names and stored(names),
        stream,
    ]
    out = b"SHOE\2" + b"".join(varint(len(part)) for part in parts) + b"".join(parts) + plain
    return out + zlib.crc32(out).to_bytes(4, "little")


def stored(data: bytes) -> bytes:
    """The length, then deflate that does not deflate.

    Quick to make, and a change in one byte changes one byte.
    """
    packer = zlib.compressobj(0, zlib.DEFLATED, -15)
    return varint(len(data)) + packer.compress(data) + packer.flush()


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def keep(data: bytes, why: str) -> None:
    """Put what crashed where the tests find it."""
    CRASHERS.mkdir(exist_ok=True)
    (CRASHERS / f"{why}-{zlib.crc32(data):08x}.shoe").write_bytes(data)


def target() -> None:
    """The child: reads what the fuzzer makes, until it is told to stop."""
    import atheris  # pyright: ignore[reportMissingImports]

    with atheris.instrument_imports(include=["shoestring.artifact"]):  # pyright: ignore[reportAttributeAccessIssue]
        from shoestring.artifact import bill
        from shoestring.artifact.coding import context_loop
        from shoestring.artifact.coding import matrices as context_coding
        from shoestring.artifact.wire import ShoeError
    context_loop.__dict__["_loop_for"] = lambda _count: (
        None
    )  # what is instrumented does not compile
    context_coding.__dict__["MOST_ONE_BY_ONE"] = 1 << 13
    warnings.simplefilter("error")
    places: set[str] = set()

    def read(data: bytes) -> None:
        whole = as_file(data)
        try:
            lines = bill(whole, max_bytes=MAX_BYTES)
            assert sum(line.bytes for line in lines) == len(whole), "the bill does not add up"
        except ShoeError:
            pass
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__}-{Path(frame.filename).stem}-{frame.lineno}"
            if place not in places:
                places.add(place)
                keep(whole, place)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        target()
    else:
        main()
