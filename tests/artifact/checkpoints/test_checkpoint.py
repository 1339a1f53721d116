"""Packed checkpoints give back the packed file. Damaged files, and other files, raise errors."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save, save_file
from tiers import repetitions

from shoestring.artifact import Checkpoint, ShoeError
from shoestring.artifact.checkpoints.checkpoint import (
    as_safetensors,
    checkpoint,
    from_safetensors,
    is_safetensors,
    read,
    room,
)
from shoestring.artifact.checkpoints.safetensors import Named
from shoestring.artifact.checkpoints.streaming import pack_checkpoint
from shoestring.artifact.format import file

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "layers.0.weight": RANDOM.normal(0, 0.02, (64, 48)).astype(np.float32),
    "half": RANDOM.normal(size=(3, 4, 5)).astype(np.float16),
    "double": RANDOM.normal(size=7),
    "steps": np.arange(-5, 5, dtype=np.int64),
    "small": RANDOM.integers(-128, 128, 99, np.int8),
    "on": np.array([True, False, True]),
    "scalar": np.array(3.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "odd": np.array([-0.0, np.inf, -np.inf, np.nan, 1e-45], np.float32),
    "Größe \n\x01\"": np.zeros((5, 5), np.uint16),
}  # fmt: skip
METADATA = {"format": "np", "written by": "the tests", "": "é"}


def raw(entries: dict, values: bytes, padding: bytes = b"", indent: int | None = None) -> bytes:
    header = json.dumps(entries, indent=indent).encode() + padding
    return len(header).to_bytes(8, "little") + header + values


def through(path, tmp_path) -> tuple[bytes, str]:
    """What comes out of a file that is packed and unpacked."""
    out = tmp_path / "packed.shoe"
    pack_checkpoint(from_safetensors(path), path, out)
    return as_safetensors(read(out))


def test_the_file_that_the_safetensors_package_wrote_comes_back_byte_for_byte(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(ARRAYS, path, METADATA)
    data, what = through(path, tmp_path)
    assert hashlib.sha256(data).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert what == "the file that was packed, byte for byte"
    found = read(tmp_path / "packed.shoe")
    assert found.notes.keys() == {"sha256", "metadata.format", "metadata.written by", "metadata."}
    back = load(data)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("padding", [b"", b"   ", b"\n" * 40])
@pytest.mark.parametrize("indent", [None, 2])
def test_headers_that_others_would_write_come_back_too(tmp_path, padding, indent):
    entries = {
        "z": {"shape": [3], "data_offsets": [2, 5], "dtype": "BOOL"},
        "__metadata__": {},
        "a": {"dtype": "F8_E4M3", "shape": [1, 2], "data_offsets": [0, 2]},
        "\u00e9": {"dtype": "C64", "shape": [], "data_offsets": [5, 13]},
        "f": {"dtype": "F32", "shape": [1], "data_offsets": [13, 17]},
    }
    path = tmp_path / "odd.safetensors"
    path.write_bytes(
        raw(entries, bytes([1, 2, 0, 1, 7, *range(12)]), padding, indent)
    )  # a bool of 7; unaligned
    data, what = through(path, tmp_path)
    assert data == path.read_bytes() and "byte for byte" in what


def test_a_file_without_tensors(tmp_path):
    path = tmp_path / "none.safetensors"
    path.write_bytes(save({}))
    assert through(path, tmp_path)[0] == path.read_bytes()


def test_bytes_of_no_tensor_are_left_out_with_a_warning(tmp_path):
    path = tmp_path / "gaps.safetensors"
    entries = {"a": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}}
    path.write_bytes(raw(entries, bytes([9, 1, 2, 9, 9])))
    with pytest.warns(UserWarning, match="3 bytes belong to no tensor"):
        data, what = through(path, tmp_path)
    assert what == "the tensors that were packed, bit for bit"
    np.testing.assert_array_equal(load(data)["a"], [1, 2])


@settings(max_examples=repetitions(10, 30), deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(
            st.sampled_from(
                [
                    ("F32", 4),
                    ("BF16", 2),
                    ("F16", 2),
                    ("I64", 8),
                    ("U8", 1),
                    ("BOOL", 1),
                    ("F8_E5M2", 1),
                ]
            ),
            st.lists(st.integers(0, 4), max_size=3),
            st.integers(0, 2**32),
        ),
        max_size=5,
    )
)
def test_any_tensors_come_back(tensors):
    named = []
    for name, ((dtype, width), shape, seed) in tensors.items():
        bits = (
            np.random.default_rng(seed)
            .integers(0, 256, int(np.prod(shape)) * width, np.uint8)
            .view(f"u{width}")
        )
        named.append(Named(name, dtype, tuple(shape), bits))
    packed = file.unpack_any(file.pack(checkpoint(named, {"a": "b"})))
    assert isinstance(packed, Checkpoint)
    data, _ = as_safetensors(packed)
    length = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + length]), data[8 + length :]
    assert header.pop("__metadata__") == {"a": "b"} and list(header) == list(tensors)
    for one in named:
        begin, end = header[one.name]["data_offsets"]
        assert (header[one.name]["dtype"], header[one.name]["shape"]) == (
            one.dtype,
            list(one.shape),
        )
        assert values[begin:end] == one.bits.tobytes()


def test_tied_names_come_back_with_the_tensor():
    one = Named("a", "F32", (4,), np.arange(4, dtype=np.uint32))
    found = checkpoint([one], tied={"b": "a"})
    assert len(found.tensors) == 1 and "header" not in found.notes
    back = load(as_safetensors(found)[0])
    assert (
        back.keys() == {"a", "b"}
        and back["b"].tobytes() == back["a"].tobytes() == one.bits.tobytes()
    )


def test_the_bill_adds_up(tmp_path):
    path, out = tmp_path / "model.safetensors", tmp_path / "model.shoe"
    save_file({"w": RANDOM.normal(0, 0.02, (300, 200)).astype(np.float32), "n": np.arange(9)}, path)
    found = pack_checkpoint(from_safetensors(path), path, out)
    assert found.bytes_before == path.stat().st_size and found.bytes_after == out.stat().st_size
    assert [kind[:4] for kind in found.kinds] == [
        ("int64", 1, 9, 72),
        ("float32", 1, 60_000, 240_000),
    ]
    assert 0.80 < found.kinds[1][4] / 240_000 < 0.84  # what ZipNN says of float32
    numbers = [int(line.split()[0].replace(",", "")) for line in found.as_text().splitlines()]
    assert sum(numbers[:-1]) == numbers[-1] == found.bytes_after


def test_bfloat16_is_a_third_smaller(tmp_path):
    bits = (RANDOM.normal(0, 0.02, 100_000).astype(np.float32).view(np.uint32) >> 16).astype(
        np.uint16
    )
    assert (
        0.64
        < len(file.pack(checkpoint([Named("w", "BF16", (100_000,), bits)]))) / bits.nbytes
        < 0.68
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no .safetensors file, or cut short"),
        (b"1234567", "no .safetensors file, or cut short"),
        (b"\xff" * 8 + b"{}", "cut short"),
        ((1 << 63).to_bytes(8, "little") + b"{}", "cut short"),
        ((8_000_001).to_bytes(8, "little") + bytes(8_000_001), "at most 8,000,000"),
        (
            raw({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(7)),
            "cut short; copy it again",
        ),
        (
            raw({"a": {"dtype": "I4", "shape": [2], "data_offsets": [0, 1]}}, bytes(1)),
            "'a' is of type 'I4'",
        ),
        (
            raw({"\ud800": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}}, bytes(1)),
            "no text",
        ),
    ],
)
def test_a_file_that_is_not_sound_is_refused_by_name(tmp_path, data, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError) as refused:
        from_safetensors(path)
    assert message in str(refused.value) and "bad.safetensors" in str(refused.value)


def test_more_than_a_file_can_hold_is_refused():
    nothing = np.zeros(0, np.uint8)
    with pytest.raises(ValueError, match=r"32,769 tensors, and a file holds 32,768"):
        checkpoint([Named(str(i), "U8", (0,), nothing) for i in range(32_769)])
    with pytest.raises(ValueError, match=r"32,769 tensors, and a file holds 32,768"):
        checkpoint([Named("a", "U8", (0,), nothing)], tied={str(i): "a" for i in range(32_768)})
    with pytest.raises(ValueError, match="at most 8,000,000"):
        checkpoint([Named("x" * 9_000_000, "U8", (0,), nothing)])
    with pytest.raises(ValueError, match="__metadata__"):
        checkpoint([Named("__metadata__", "U8", (0,), nothing)])
    with pytest.raises(ValueError, match="16 MiB"):
        checkpoint([], notes={"structure": "x" * (1 << 24)})


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"sha256": "0" * 64}, "not the file that was packed"),
        ({"header": "{}"}, "not that of its tensors"),
        ({"header": "nonsense"}, "no JSON"),
        ({"header": '{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}'}, "not as large"),
        ({"header": '{"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'}, "damaged"),
        (
            {"header": '{"a":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}'},
            "not that of its tensors",
        ),
        ({"tied": '{"b": "c"}'}, "tied"),
        ({"tied": '{"b": ["a"]}'}, "tied"),
        ({"tied": '["a"]'}, "tied"),
        ({"tied": "[" * 100_000}, "tied"),
        ({"tied": '{"a": "a"}'}, "a tied name is that of a tensor"),
        ({"tied": json.dumps(dict.fromkeys(map(str, range(100_000)), "a"))}, "100,001 names"),
    ],
)
def test_notes_that_do_not_fit_are_refused(notes, message):
    found = checkpoint([Named("a", "F32", (4,), np.arange(4, dtype=np.uint32))])
    with pytest.raises(ShoeError, match=message):
        as_safetensors(replace(found, notes=notes))


def test_what_is_no_checkpoint_is_told(tmp_path):
    path = tmp_path / "x.bin"
    for data, message in (
        (b"SHOE\2", "already"),
        (b"version https://git-lfs.github.com/spec/v1", "lfs pull"),
        (b"", "neither"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            is_safetensors(path)
    path.write_bytes(save({}))
    assert is_safetensors(path)


def test_nothing_is_written_where_it_cannot_be(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": np.arange(3)}, path)
    found = from_safetensors(path)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        pack_checkpoint(found, path, tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        pack_checkpoint(found, path, tmp_path / "absent" / "x.shoe")
    with pytest.raises(ValueError, match="the checkpoint itself"):
        pack_checkpoint(found, path, path)
    assert [one.name for one in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_file_may_ask_for_as_much_memory_as_is_honest(tmp_path):
    path = tmp_path / "large.shoe"
    path.write_bytes(file.pack(checkpoint([Named("a", "U8", (1000,), np.zeros(1000, np.uint8))])))
    assert read(path).names == ("a",)
    with pytest.raises(ShoeError, match="max_bytes"):
        read(path, 3999)
    assert room(10) == file.MAX_BYTES and room(1 << 30) == 1 << 34
