"""A file asks for no more work than the account in docs/format.md allows, or it is refused soon.

The files are those of `benchmarks/bounds_files.py`, read as in an install without numba, in
processes of their own, and by the decoder in JavaScript.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact.coding import work
from shoestring.artifact.coding.context import Choice
from shoestring.artifact.format import file, tensor_allowance, tensor_reader, tensor_writer
from shoestring.artifact.format.tensors import GRID, PLANES, tensor
from shoestring.artifact.wire import ShoeError

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import bounds  # noqa: E402
import bounds_files  # noqa: E402
from bounds_files import Kind  # noqa: E402

PAGE = (ROOT / "docs" / "format.md").read_text()
SOON = 20  # seconds of the processor: a guard against what took minutes
HOSTILE = {
    **bounds_files.refused(),
    "planes of one value": Kind(PLANES, (1 << 28,), b"\xff" + b"\1\0" * 8, "float64"),
    "planes of two values": Kind(
        PLANES, (1 << 24, 7), b"\xff" + b"\1\1\x09\x09" * 8, "float64", count=2
    ),
    "rows of one number one by one": Kind(
        GRID, (1 << 24, 1), bytes([0, bounds_files.MANY_DIGITS]), "int8", count=20
    ),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each decoder says of each hostile file."""
    folder = tmp_path_factory.mktemp("hostile")
    found = {}
    for number, (name, kind) in enumerate(HOSTILE.items()):
        path = folder / f"{number}.shoe"
        path.write_bytes(kind.file())
        found[name] = (path, bounds.read(path))
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_what_asks_for_too_much_is_refused_soon(name, said):
    path, python = said[name]
    assert "raise max_seconds" in python["said"] or "raise max_bytes" in python["said"], python
    assert python["seconds"] < SOON
    if shutil.which("node"):
        line = in_javascript(path)
        assert ("maxSeconds" in line["error"]) == ("max_seconds" in python["said"]), line
        assert line["milliseconds"] < 1000 * SOON


def in_javascript(path: Path, *options: str) -> dict:
    command = [shutil.which("node"), ROOT / "web" / "inspect.js", "--stdin-list", *options]
    ran = subprocess.run(command, input=f"{path}\n", capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_few_bytes_of_zeros_one_by_one_are_read(tmp_path):
    """What is allowed is read: 2^16 zeros of 36 bytes."""
    kind = Kind(GRID, (1 << 8, 1 << 8), bytes([0, bounds_files.ONE_DIGIT]), "int16")
    path = tmp_path / "zeros.shoe"
    path.write_bytes(kind.file())
    found = bounds.read(path)
    assert not found["said"]
    assert 0.1 < found["asked"] < work.allowance(kind.declared()) / work.SECOND


def test_a_file_that_is_trusted_may_ask_for_more(tmp_path):
    kind = Kind(GRID, (1,), bytes([1 << 5, bounds_files.ONE_DIGIT]), plain=4, count=6000)
    data = kind.file()
    with pytest.raises(ShoeError, match=r"takes [\d.]+ s .* 1\.0 s are allowed.*max_seconds"):
        file.unpack_any(data)
    content = file.unpack_any(data, max_seconds=10)
    assert len(content.tensors) == 6000
    with pytest.raises(ShoeError, match=r"0\.1 s are allowed"):
        file.unpack_any(data, max_seconds=0.1)


def test_old_files_may_ask_for_more_by_their_stream():
    kind = bounds_files.noisy(Choice(0, digits=15), (128, 128))
    assert isinstance(file.unpack_any(kind.file()), file.Checkpoint)  # version 2
    headers, plain = b"\1" + kind.one(), bytes(4)
    unpack = tensor_reader.unpack
    newer = tensor_reader.LAST_OLD + 1
    with pytest.raises(ShoeError, match="max_seconds"):
        unpack(headers, memoryview(kind.stream), memoryview(plain), 1 << 30, newer)


# -- the writer


def test_what_is_written_needs_no_allowance_for_its_stream(monkeypatch):
    """One by one is taken while the file's account fits; then tiles, or no context at all."""
    monkeypatch.setattr(work, "SECOND", work.SECOND // 20)
    random = np.random.default_rng(0)
    dense = random.choice([0.02, 0.9], 48)[:, None]
    tensors = [
        tensor(
            (random.integers(1, 3, (48, 64)) * (random.random((48, 64)) < dense)).astype("i1"), n
        )
        for n in range(5)
    ]
    written = tensor_writer.encode(tensors, smallest=True)
    # The first byte of a model follows the first byte of a tensor, its type and its two axes.
    orders = [models[4] >> 5 for models in descriptions(written) if models[0] & 7 == GRID]
    assert orders[0] == 0
    assert any(orders)
    newer = tensor_reader.LAST_OLD + 1
    found = tensor_reader.unpack(
        bytes(written.headers),
        memoryview(written.stream),
        memoryview(written.plain),
        1 << 30,
        newer,
    )
    assert all(
        np.array_equal(one.tensor.bits, tensor.bits)
        for one, tensor in zip(found, tensors, strict=True)
    )


def descriptions(written: tensor_writer.Tensors) -> list[bytes]:
    """The part of the list that each tensor has."""
    found, at = [], 1
    for packed in written.packed:
        found.append(bytes(written.headers[at : at + packed.header_bytes]))
        at += packed.header_bytes
    return found


def test_small_tensors_get_something_before_large_ones_take_all():
    few = [tensor(np.ones(10, np.float32), place) for place in range(1, 4)]
    large = tensor(np.ones((1000, 1000), np.float32), 0)
    allowance = tensor_allowance.Allowance([large, *few])
    first = allowance.next()
    assert first == work.SECOND + 1000 * 4_000_000 - 3 * (300_000 + 20_000 * 10)
    allowance.spend(first)
    for left in (2, 1, 0):
        limit = allowance.next()
        assert limit >= 300_000 + 20_000 * 10
        allowance.spend(500_000)
        assert left >= 0


# -- the page


def test_the_page_has_the_costs():
    section = PAGE[PAGE.index("## Work") :]
    section = section[: section.index("\n## ", 3)]
    costs = [int(cost.replace(",", "")) for cost in re.findall(r"\*\*([\d,]+)\*\*", section)]
    names = (
        "TENSOR AXIS ELEMENT LEVELS LEVEL TABLE ENTRY SYMBOL SYMBOL_BIT PLANE PLANE_ELEMENT NUMBER "
        "MATRIX ROW COLUMN DECISION TILED TILE PASS CONTEXT TILED_DECISION BLOCK LANES STEP "
        "LANE_SYMBOL"
    )
    assert costs == [getattr(work, name) for name in names.split()]
    assert work.OLD_BYTE == 24 * work.DECISION
    script = (ROOT / "web" / "work.js").read_text()
    for name, cost in zip(names.split(), costs, strict=True):
        (group, values) = next(
            (group, values)
            for group, values in re.findall(r"const \[?([A-Z_, ]+?)\]? = \[?([\d_, ]+)\]?;", script)
            if name in group.split(", ")
        )
        place = group.split(", ").index(name)
        assert int(values.split(", ")[place].replace("_", "")) == cost, name


def test_what_a_table_of_two_symbols_costs():
    assert work.coded(10, 2) == work.TABLE + 2 * work.ENTRY + 10 * (work.SYMBOL + work.SYMBOL_BIT)
    assert work.coded(1, 256) - work.table(256) == work.SYMBOL + 8 * work.SYMBOL_BIT
    assert work.coded(1, 257) - work.table(257) == work.SYMBOL + 9 * work.SYMBOL_BIT


def test_blocks_cover_all_rows():
    for rows, columns, blocks in ((1, 1, 7), (64, 1, 7), (1 << 14, 1 << 10, 7), (5, 1 << 20, 3)):
        ends = work.bounds(rows, columns, blocks)
        assert ends[0] == 0
        assert ends[-1] == rows
        steps = np.diff(ends)
        assert (steps > 0).all()
        assert steps.max() <= max(1, work.LARGEST_BLOCK // columns)
