"""What once crashed the reader, or cost it much.

Each file of `crashers/`, which `benchmarks/fuzz.py` fills, loads or raises ShoeError, soon.
"""

import time
from pathlib import Path

import pytest

from shoestring.artifact import ShoeError, bill
from shoestring.artifact.format import file

CRASHERS = sorted((Path(__file__).parent / "crashers").glob("*"))


def test_there_are_some():
    assert len(CRASHERS) > 5


@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: path.name)
def test_what_crashed_once(path):
    data, began = path.read_bytes(), time.process_time()
    try:
        file.unpack_any(data, 1 << 24)
        assert sum(line.bytes for line in bill(data, max_bytes=1 << 24)) == len(data)
    except ShoeError as error:
        assert str(error)
    assert time.process_time() - began < 10, "some took 15 s and more"
