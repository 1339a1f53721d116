"""The safetensors format.

Headers as the package writes them, and what a hostile one is refused for.
"""

import json

import numpy as np
import pytest

from shoestring.artifact.checkpoints.safetensors import (
    Entry,
    Named,
    read_header,
    size_of,
    unclaimed,
    write_header,
)

GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_a_header_written_by_hand():
    header = (
        b'{"__metadata__":{"made":"here"},'
        b'"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}} '
    )
    entries, metadata = read_header(header)
    assert entries == [Entry("a", "BF16", (2, 3), 0, 12)] and metadata == {"made": "here"}
    assert size_of("C64", (5,)) == 40 and size_of("F8_E4M3", ()) == 1


def test_wide_types_come_first_and_names_keep_their_order():
    named = [
        Named("b", "U8", (3,), np.zeros(3, np.uint8)),
        Named("a", "F32", (1,), np.zeros(1, np.uint32)),
    ]
    header = write_header(named, None)
    assert len(header) % 8 == 0
    assert read_header(header)[0] == [Entry("b", "U8", (3,), 4, 7), Entry("a", "F32", (1,), 0, 4)]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 200_000, "no JSON"),
        (b'{"a":NaN}', "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b'{"a":1}', "'a' is not described"),
        (b'{"__metadata__":{"a":1}}', "texts by name"),
        (b'{"__metadata__":[]}', "texts by name"),
        (b'{"__metadata__":{"a":"","a":""}}', "'a' twice"),
        (b'{"a":{},"b":{},"a":{}}', "'a' twice"),
        (b'{"a":{"dtype":"F32","dtype":"F16"}}', "'dtype' twice"),
        (b'{"a":{"dtype":"F32"}}', "needs a dtype, a shape and data_offsets"),
        ({"dtype": "F4"}, "'a' is of type 'F4', which cannot be packed"),
        ({"dtype": ["F32"]}, "of type ['F32']"),
        ({"shape": [-2]}, "shape [-2]"),
        ({"shape": [2.0]}, "shape [2.0]"),
        ({"shape": [True]}, "shape [True]"),
        ({"shape": 2}, "shape 2"),
        ({"shape": [0, 1 << 61]}, "cannot have the shape"),
        ({"shape": [1 << 70]}, "cannot have the shape"),
        ({"shape": [1] * 40}, "cannot have the shape"),
        ({"shape": [3]}, "has 8 bytes, and F32 [3] takes 12"),
        ({"data_offsets": [8, 0]}, "has -8 bytes"),
        ({"data_offsets": [0, 8, 16]}, "two offsets"),
        ({"data_offsets": [-8, 0]}, "two offsets"),
    ],
)
def test_a_header_that_is_not_sound_is_refused(header, message):
    if isinstance(header, dict):
        header = json.dumps({"a": GOOD | header}).encode()
    with pytest.raises(ValueError, match=None) as refused:
        read_header(header)
    assert message in str(refused.value)


def test_every_byte_belongs_to_one_tensor_at_most():
    a, b = Entry("a", "U8", (4,), 0, 4), Entry("b", "U8", (4,), 6, 10)
    empty = Entry("e", "U8", (0,), 5, 5)
    assert unclaimed([b, empty, a], 12) == 4 and unclaimed([a], 4) == 0 and unclaimed([], 0) == 0
    with pytest.raises(ValueError, match="'b' ends at byte 10 of 9"):
        unclaimed([a, b], 9)
    with pytest.raises(ValueError, match="'a' and 'c' overlap"):
        unclaimed([Entry("c", "U8", (4,), 3, 7), a], 12)


def test_a_name_that_is_no_text_is_refused():
    (entry,), _ = read_header(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}')
    with pytest.raises(ValueError, match="no text"):
        write_header([Named(entry.name, "U8", (0,), np.zeros(0, np.uint8))], None)
