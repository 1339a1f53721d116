"""The file as a whole: sections, versions, the bill, and writing it whole or not at all."""

import errno
import os
import zlib

import numpy as np
import pytest
from samples import checkpoint, describe, linear, nested, same, varied
from test_golden import GOLDEN

from shoestring.artifact import Checkpoint, Content, ShoeError, bill, read, save
from shoestring.artifact.format import file, saving
from shoestring.artifact.format.bill import _shares
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.wire import unsqueeze


@pytest.mark.parametrize("content", [linear(), nested(), varied()])
def test_round_trip(content):
    data = file.pack(content)
    found = file.unpack(data)
    assert same(found, content)
    assert file.pack(found) == data
    assert len(found.packed) == len(content.tensors)


def test_a_checkpoint_round_trips():
    content = checkpoint()
    data = file.pack(content)
    found = file.unpack_any(data)
    assert isinstance(found, Checkpoint)
    assert (found.names, found.notes) == (content.names, content.notes)
    assert same(found, content)
    assert file.pack(found) == data
    assert same(file.unpack_any(file.pack(content, smallest=True)), content)
    empty = Checkpoint([], ())
    assert same(file.unpack_any(file.pack(empty)), empty)


def test_a_checkpoint_does_not_run():
    with pytest.raises(ShoeError, match="checkpoint"):
        file.unpack(file.pack(checkpoint()))


@pytest.mark.parametrize("content", [linear(), nested(), varied(), checkpoint()])
def test_smallest_is_never_larger(content):
    least = file.pack(content, smallest=True)
    assert len(least) <= len(file.pack(content))
    assert same(file.unpack_any(least), content)


def test_sections():
    data = file.pack(varied())
    assert data[:5] == b"SHOE\2"
    bodies = file.sections(data)
    assert sorted(bodies) == [1, 2, 3, 4, 5]
    assert len(bodies[3]) % 4 == 0
    assert not len(bodies[5])
    # The frame: mark and version, then of each section but the last a length, and at the end a
    # checksum.
    lengths = sum(
        1 + (len(bodies[kind]) > 127) + (len(bodies[kind]) > 16383) for kind in (1, 2, 3, 5)
    )
    assert len(data) == 5 + sum(map(len, bodies.values())) + lengths + 4
    assert data[-4:] == zlib.crc32(data[:-4]).to_bytes(4, "little")
    start = 5 + lengths
    for kind in (1, 2, 5, 3, 4):  # the order of the page
        assert data[start : start + len(bodies[kind])] == bodies[kind]
        start += len(bodies[kind])


def test_the_list_is_deflated_where_that_is_shorter():
    rng = np.random.default_rng(0)
    many = [tensor(rng.integers(-1, 2, (4, 4)).astype(np.float32), place) for place in range(60)]
    for tensors, plainly in ((many[:1], True), (many, False)):
        data = file.pack(Checkpoint(tensors, tuple(map(str, range(len(tensors))))))
        assert (file.sections(data)[2][0] == 0) == plainly
        assert [one.bits.tolist() for one in file.unpack_any(data).tensors] == [
            one.bits.tolist() for one in tensors
        ]


def test_graphs_are_deflated_against_the_dictionary():
    body = file.sections(file.pack(linear()))[1]
    assert len(body) < 25
    with pytest.raises(ShoeError, match="inflate"):
        unsqueeze(body, "graph", 1000)
    assert len(unsqueeze(body, "graph", 1000, DICTIONARY)) == body[0]


def test_every_truncation_and_every_flipped_bit_is_noticed():
    data = file.pack(linear())
    for end in range(len(data)):
        with pytest.raises(ShoeError):
            file.unpack(data[:end])
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(ShoeError):
            file.unpack(bytes(damaged))


def test_every_truncation_and_every_flipped_bit_of_version_1_is_noticed():
    data = (GOLDEN / "v1_half_coded.shoe").read_bytes()
    assert data[4] == 1
    for end in range(len(data)):
        with pytest.raises(ShoeError):
            file.unpack(data[:end])
    for bit in range(0, len(data) * 8, 3):
        damaged = bytearray(data)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(ShoeError):
            file.unpack(bytes(damaged))


def test_errors_of_version_1_say_what_is_wrong():
    data = (GOLDEN / "v1_half_coded.shoe").read_bytes()
    with pytest.raises(ShoeError, match="checksum of the graph is wrong"):
        file.unpack(data[:8] + bytes([data[8] ^ 1]) + data[9:])
    with pytest.raises(ShoeError, match="1 bytes too many"):
        file.unpack(data + b"\0")
    with pytest.raises(ShoeError, match="the graph is not where it should be"):
        file.unpack(data[:5] + b"\2" + data[6:])


def test_errors_say_what_is_wrong():
    data = file.pack(linear())
    with pytest.raises(ShoeError, match="does not begin with SHOE"):
        file.unpack(b"PK\3\4" + data[4:])
    for version in (0, 5, 255):
        with pytest.raises(
            ShoeError, match=rf"version {version} .* reads versions 1 to 4: update one"
        ):
            file.unpack(data[:4] + bytes([version]) + data[5:])
    with pytest.raises(ShoeError, match="the checksum is wrong"):
        file.unpack(data[:8] + bytes([data[8] ^ 1]) + data[9:])
    with pytest.raises(ShoeError, match="the checksum is wrong"):
        file.unpack(data + b"\0")
    with pytest.raises(ShoeError, match="the checksum is wrong"):
        file.unpack(data[:8])
    with pytest.raises(ShoeError, match="1 bytes are wanted and 0 are left"):
        file.unpack(data[:4])
    with pytest.raises(ShoeError, match="raise max_bytes"):
        file.unpack(data, 20)


def test_tensors_must_be_as_many_as_the_graph_wants():
    content = linear()
    with pytest.raises(ValueError, match="wants 2 tensors and there are 1"):
        file.pack(Content(content.graph, content.tensors[:1]))
    bodies = file.sections(file.pack(content))
    fewer = file.sections(file.pack(nested()))
    with pytest.raises(ShoeError, match="wants 1 tensors and it holds 2"):
        file.unpack(file.framed({**bodies, 1: fewer[1]}))


def test_names_must_be_as_many_as_tensors():
    content = checkpoint()
    with pytest.raises(ValueError, match="there are 1 names for 4 tensors"):
        file.pack(Checkpoint(content.tensors, content.names[:1]))
    with pytest.raises(ValueError, match="two tensors have the same name"):
        file.pack(Checkpoint(content.tensors[:2], ("a", "a")))
    for tensors in (content.tensors[1:2], [tensor(np.zeros(3))]):
        with pytest.raises(ValueError, match="must be numbered from 0"):
            file.pack(Checkpoint(tensors, ("a",)))


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize(
    "content", [linear(), nested(), varied(), Content(nested().graph, [tensor(np.zeros((0, 3)))])]
)
def test_the_bill_adds_up(content, smallest):
    data = file.pack(content, smallest=smallest)
    lines = bill(data)
    assert sum(line.bytes for line in lines) == len(data)
    assert [line.name for line in lines] == [f"tensor {i}" for i in range(len(content.tensors))] + [
        "graph",
        "frame",
    ]
    assert all(line.bytes >= 0 for line in lines)


def test_the_bill_of_a_file_without_tensors():
    graph = linear().graph
    bare = Content(type(graph)(**{**vars(graph), "weights": 0, "nodes": (), "results": (0,)}), [])
    data = file.pack(bare)
    assert sum(line.bytes for line in bill(data)) == len(data)


def test_the_bill_of_a_checkpoint():
    content = checkpoint()
    for data in (file.pack(content), file.pack(Checkpoint([], ()))):
        assert sum(line.bytes for line in bill(data)) == len(data)
    lines = bill(file.pack(content))
    assert [line.name for line in lines] == [*content.names[:3], "tensor 3", "names", "frame"]
    assert lines[-2].about == "4 names, 2 notes"


def test_the_bill_of_version_1():
    data = (GOLDEN / "v1_half_coded.shoe").read_bytes()
    assert sum(line.bytes for line in bill(data)) == len(data)


def test_the_bill_says_what_bytes_are_for():
    lines = {line.name: line for line in bill(file.pack(varied()))}
    assert lines["tensor 0"].about.startswith("float32 4x1x3x3, grid: codes ")
    assert "sparse" in lines["tensor 5"].about
    assert "raw" in lines["tensor 2"].about
    assert "int64 300, 16 levels" in lines["tensor 6"].about
    assert lines["graph"].about == "5 nodes, 1 constants"


def test_shares_add_up():
    assert _shares(10, [1.0, 1.0, 1.0]) == [4, 3, 3]
    assert _shares(7, [0.0, 0.0]) == [4, 3]
    assert _shares(0, [5.0]) == [0]
    assert sum(_shares(1_000_003, [0.1] * 77)) == 1_000_003


def test_save_and_read(tmp_path):
    path = tmp_path / "model.shoe"
    save(path, file.pack(linear()))
    assert same(read(path), linear())
    save(path, file.pack(nested()))
    assert same(read(path), nested())
    assert os.listdir(tmp_path) == ["model.shoe"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~saving._umask()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="name a path in a folder that exists"):
        save(tmp_path / "missing" / "model.shoe", b"x")
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        save(tmp_path, b"x")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.shoe")


@pytest.mark.parametrize("name", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, OSError), (errno.EACCES, PermissionError)]
)
def test_a_disk_that_fills_or_refuses_leaves_the_old_file(
    tmp_path, monkeypatch, name, number, kind
):
    path = tmp_path / "model.shoe"
    save(path, b"old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(kind, match="has room") as error:
        save(path, b"new")
    assert error.value.errno == number
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.shoe"]


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(saving.tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError, match="may be written"):
        save(tmp_path / "model.shoe", b"x")
    assert not os.listdir(tmp_path)


def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "model.shoe", b"x")
    assert not os.listdir(tmp_path)


def test_a_file_larger_than_allowed_is_not_read(tmp_path):
    path = tmp_path / "huge.shoe"
    with path.open("wb") as huge:
        huge.truncate(1 << 40)  # takes no room
    with pytest.raises(ShoeError, match="larger than allowed"):
        read(path)


def test_the_same_content_is_the_same_bytes():
    assert file.pack(varied()) == file.pack(varied())
    assert describe(varied()) != describe(varied(1))
