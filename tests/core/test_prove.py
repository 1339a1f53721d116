"""The delivered file is scored on the test split, once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from torch import nn

from shoestring import kit
from shoestring.artifact import ShoeError
from shoestring.core import Cost, Ledger, SealedError, prove, score

from .games import Nim


@pytest.fixture
def path(nim: Nim, expert: nn.Module, tmp_path: Path) -> Path:
    kit.write(expert, nim, tmp_path / "nim.shoe")
    return tmp_path / "nim.shoe"


def test_prove_writes_its_row(nim: Nim, expert: nn.Module, path: Path, tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    value = prove(str(path), nim, ledger=ledger, seed=4, note="as shipped")
    assert nim.test_reads == ["test"], "the test split is read once"
    assert value == score(nim, expert, "test")
    (row,) = ledger.rows()
    assert (row.kind, row.technique, row.seed, row.score_before, row.score_after) == (
        "prove",
        "",
        4,
        None,
        value,
    )
    assert (
        row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        and row.file == str(path)
        and row.note == "as shipped"
    )
    assert row.cost_after == Cost(bytes=path.stat().st_size) and row.cost_before == Cost()


def test_prove_needs_no_ledger(nim: Nim, path: Path):
    assert prove(path, nim) == prove(path, nim) and nim.test_reads == ["test", "test"]


def test_a_damaged_file_is_not_scored(nim: Nim, path: Path, tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    data = path.read_bytes()
    for damaged in (
        data[:-1],
        data[: len(data) // 2],
        data[:40] + bytes([data[40] ^ 1]) + data[41:],
        b"",
        b"PK" + data,
    ):
        path.write_bytes(damaged)
        with pytest.raises(ShoeError):
            prove(path, nim, ledger=ledger)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        prove(path, nim, ledger=ledger)
    assert ledger.rows() == [] and nim.test_reads == []


def test_a_sealed_task_cannot_be_proven(nim: Nim, path: Path):
    with pytest.raises(SealedError):
        prove(path, nim.sealed())
