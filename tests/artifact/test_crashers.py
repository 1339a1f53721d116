"""What once crashed the reader: each file of `crashers/`, which `benchmarks/fuzz.py` fills, loads or raises ShoeError."""

from pathlib import Path

import pytest

from shoestring.artifact import ShoeError, bill, file

CRASHERS = sorted((Path(__file__).parent / "crashers").glob("*"))


@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: path.name)
def test_what_crashed_once(path):
    data = path.read_bytes()
    try:
        file.unpack_any(data, 1 << 24)
        assert sum(line.bytes for line in bill(data, max_bytes=1 << 24)) == len(data)
    except ShoeError as error:
        assert str(error)
