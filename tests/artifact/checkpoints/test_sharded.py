"""Checkpoints in several files: what is there already, what is refused, and what comes back."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from shoestring.artifact import open_checkpoint
from shoestring.artifact.checkpoints import sharded
from shoestring.artifact.checkpoints.checkpoint import from_safetensors
from shoestring.artifact.checkpoints.opened import Opened
from shoestring.artifact.checkpoints.streaming import pack_checkpoint
from shoestring.cli.packing import pack, unpack

SHARDS = ("model-1.safetensors", "model-2.safetensors")


def write_shards(folder, names=SHARDS, indent=None):
    """Shards with one tensor each, named by its place, and the index of them, which is returned."""
    for place, name in enumerate(names):
        save_file({f"w{place}": np.arange(9) + place}, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {f"w{i}": name for i, name in enumerate(names)}}, indent=indent)
    )
    return index


def packed_and_moved(tmp_path, indent=None):
    """(the packed index in a folder of its own, the bytes of all files that were packed)."""
    index = write_shards(tmp_path, indent=indent)
    pack(index)
    folder = tmp_path / "moved"
    folder.mkdir()
    for path in tmp_path.glob("*.shoe*"):
        path.rename(folder / path.name)
    before = {name: (tmp_path / name).read_bytes() for name in (*SHARDS, index.name)}
    return folder / "model.shoe.index.json", before


def test_shards_that_would_become_one_file_are_refused(tmp_path):
    index = write_shards(tmp_path, ("m.safetensors", "m.st"))
    with pytest.raises(ValueError, match=r"m.safetensors and m.st would both become m.shoe"):
        pack(index)
    assert not list(tmp_path.glob("*.shoe*"))


def test_what_is_there_is_kept_for_its_bytes_and_not_for_its_age(tmp_path, capsys):
    index = write_shards(tmp_path)
    pack(index)
    capsys.readouterr()
    changed = tmp_path / SHARDS[0]
    save_file({"w0": np.arange(9) + 100}, changed)
    os.utime(changed, (1, 1))  # older than what was packed from it, as a copy often is
    os.utime(tmp_path / SHARDS[1])  # newer, and the same
    pack(index)
    assert capsys.readouterr().out.count("is there already") == 1
    with open_checkpoint(tmp_path / "model.shoe.index.json") as opened:
        np.testing.assert_array_equal(opened.tensor("w0"), np.arange(9) + 100)


def test_a_file_that_is_no_packed_one_is_packed_over(tmp_path):
    index = write_shards(tmp_path)
    (tmp_path / "model-1.shoe").write_bytes(b"SHOE\4 cut short")
    pack(index)
    with open_checkpoint(tmp_path / "model.shoe.index.json") as opened:
        np.testing.assert_array_equal(opened.tensor("w0"), np.arange(9))


def test_files_that_do_not_come_back_whole_are_known_again(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.arange(9)}, tmp_path / "part.bin")
    index = tmp_path / "model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "part.bin"}}))
    pack(index)
    pack(index)
    assert capsys.readouterr().out.count("is there already") == 1
    torch.save({"w": torch.arange(8)}, tmp_path / "part.bin")
    os.utime(tmp_path / "part.bin", (1, 1))
    pack(index)
    assert "is there already" not in capsys.readouterr().out


@pytest.mark.parametrize("name", [SHARDS[0], "model.safetensors.index.json"])
def test_without_a_folder_unpacking_overwrites_nothing(tmp_path, name):
    index, _ = packed_and_moved(tmp_path)
    mine = index.parent / name
    mine.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=rf"{name} is there already: name a folder"):
        unpack(index)
    assert mine.read_bytes() == b"mine"
    assert len(list(index.parent.glob("*.safetensors*"))) == 1


@pytest.mark.parametrize("indent", [None, 2])
def test_shards_and_their_index_come_back_byte_for_byte(tmp_path, indent):
    index, before = packed_and_moved(tmp_path, indent)
    unpack(index)
    assert {name: (index.parent / name).read_bytes() for name in before} == before


def test_unpacking_goes_on_by_what_the_files_have(tmp_path, capsys):
    index, before = packed_and_moved(tmp_path)
    back = tmp_path / "back"
    unpack(index, back)
    (back / SHARDS[0]).write_bytes(b"cut short")
    capsys.readouterr()
    unpack(index, back)
    assert capsys.readouterr().out.count("is there already") == 1
    assert {name: (back / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("text", [5, "", "[" * 100_000, '{"weight_map": {"w0": "elsewhere"}}'])
def test_a_kept_text_that_is_not_of_these_files_is_not_used(text):
    index = {"weight_map": {"w0": "model-1.shoe"}, "shoestring.original": text}
    assert json.loads(sharded.plain_index(index)) == {"weight_map": {"w0": "model-1.safetensors"}}


def test_names_are_those_of_safetensors(tmp_path):
    index = write_shards(tmp_path)
    pack(index)
    for path, names in (("model.shoe.index.json", ["w0", "w1"]), ("model-1.shoe", ["w0"])):
        with open_checkpoint(tmp_path / path) as opened:
            assert opened.keys() == opened.names == names
            np.testing.assert_array_equal(opened.get_tensor("w0"), np.arange(9))


def test_what_is_no_packed_checkpoint_is_told(tmp_path):
    source = tmp_path / "a.safetensors"
    save_file({"a": np.arange(3)}, source)
    pack_checkpoint(from_safetensors(source), source, tmp_path / "a.shoe")
    for data, why in (
        (b"", "does not begin with SHOE"),
        (b"some text\n" * 9, "does not begin with SHOE"),
        (source.read_bytes(), "does not begin with SHOE"),
        (b"SHOE", "damaged file"),
        (b"SHOE\1", "damaged file"),
        (b"SHOE\4", "ends too early"),
        ((tmp_path / "a.shoe").read_bytes()[:-1], "damaged file"),
        (b"SHOE\x09", "version 9"),
    ):
        path = tmp_path / "bad.shoe"
        path.write_bytes(data)
        with pytest.raises(sharded.ShoeError, match=why):
            open_checkpoint(path)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        open_checkpoint(tmp_path)


def test_a_model_of_version_1_is_no_checkpoint():
    from pathlib import Path

    path = Path(__file__).parents[1] / "format" / "golden" / "v1_lstm_plain.shoe"
    with pytest.raises(sharded.ShoeError, match="is a model and no packed checkpoint"):
        Opened(path)


def test_unpacking_does_not_write_through_links(tmp_path):
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    folder.mkdir()
    save_file({"a": np.zeros(3, np.float32)}, folder / "m.safetensors")
    run = [sys.executable, "-m", "shoestring.cli"]
    subprocess.run([*run, "pack", folder / "m.safetensors"], check=True, capture_output=True)
    (folder / "m.safetensors").unlink()
    (folder / "m.safetensors").symlink_to(victim)
    done = subprocess.run([*run, "unpack", folder / "m.shoe"], capture_output=True, text=True)
    assert done.returncode == 1 and "is a symbolic link" in done.stderr and not victim.exists()


def test_an_index_that_names_a_tensor_which_its_file_lacks_is_refused(tmp_path):
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "m.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "m.safetensors", "b": "m.safetensors"}}))
    run = [sys.executable, "-m", "shoestring.cli", "pack", index]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1 and "has the tensor 'b', and it has not" in done.stderr
    assert not (tmp_path / "model.shoe.index.json").exists()
