"""Some hundred files that are changed field by field: both decoders read or refuse them alike.

`benchmarks/fuzz_both.py` does the same for an hour.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hostile_graphs import made
from tiers import repetitions

from shoestring.artifact import ShoeError
from shoestring.artifact.format import file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import fuzz_both  # noqa: E402
import mutants  # noqa: E402

CRASHERS = sorted((ROOT / "tests" / "artifact" / "format" / "crashers").glob("*.shoe"))
SEEDS = mutants.seeds()


@pytest.fixture(scope="module")
def node():
    """The decoder in JavaScript; None where node is not installed: then only Python is tested."""
    if shutil.which("node") is None:
        yield None
        return
    running = fuzz_both.Node()
    yield running
    running.close()


def test_a_seed_is_its_file_again():
    assert len(SEEDS) > 20
    assert {one.version for one in SEEDS} == {1, 2, 3}
    for one in SEEDS:
        for deflated in (False, True):
            again = mutants.seed(mutants.whole(one, deflated))
            assert again == one


def test_the_same_number_gives_the_same_mutants():
    first, second = (mutants.Mutants(7, SEEDS) for _ in range(2))
    assert [next(first) for _ in range(20)] == [next(second) for _ in range(20)]


def test_both_decoders_read_or_refuse_mutants_alike(node):
    sound = 0
    for start in range(repetitions(2, 40)):
        row = mutants.Mutants(start, SEEDS)
        came = fuzz_both.batch([next(row) for _ in range(fuzz_both.BATCH)], node)
        assert came["found"] == {}
        sound += came["files"]
    assert sound > 20, "nearly all mutants are refused, so what is read is hardly tested"


def test_both_decoders_read_or_refuse_crashers_alike(node):
    files = [path.read_bytes() for path in CRASHERS]
    assert fuzz_both.batch(files, node, 1 << 24)["found"] == {}


def test_both_decoders_read_or_refuse_hostile_graphs_alike(node):
    files = [data for data, _ in made().values()]
    came = fuzz_both.batch(files, node, 1 << 24)
    assert (came["found"], came["files"]) == ({}, 0)


def test_disagreements_are_seen(node):
    """A decoder that is wrong is found out: other bits, a refusal, an exception."""
    data = mutants.whole(SEEDS[-1])
    mine = fuzz_both.read(data, 1 << 24)
    assert "tensors" in mine
    if node is not None:
        for change in ({"tensors": []}, {"names": ["other"]}):
            node.begin([data], 1 << 24)
            (other,) = node.answers(1)
            kind = fuzz_both.difference({**mine, **change}, other, data, 1 << 24)
            assert kind == "other-contents"
        node.begin([data], 1)
        (other,) = node.answers(1)
        assert fuzz_both.difference(mine, other, data, 1).startswith("only-javascript-refuses")
    wrong = {"crash": "fault", "milliseconds": 0}
    assert fuzz_both.difference(mine, dict(wrong), data, 1) == "javascript-crash"
    late = {"error": "no", "milliseconds": 3000}
    assert fuzz_both.difference({"error": "no"}, late, b"no file", 1 << 20) == "javascript-slow"


def test_exceptions_and_slowness_are_seen(monkeypatch):
    def fails(data, limit):
        raise KeyError(limit)

    monkeypatch.setattr(file, "unpack_any", fails)
    assert fuzz_both.read(b"", 1)["crash"].startswith("KeyError-test_mutants")

    def refuses(data, limit):
        raise ShoeError("no")

    monkeypatch.setattr(file, "unpack_any", refuses)
    assert fuzz_both.read(b"", 1) == {"error": "no"}
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(fuzz_both, "monotonic", lambda: next(clock))
    monkeypatch.setattr(fuzz_both, "process_time", lambda: next(clock))
    assert fuzz_both.read(b"", 1) == {"crash": "slow"}
