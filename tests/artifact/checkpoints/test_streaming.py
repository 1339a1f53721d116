"""Checkpoints as streams: packed, unpacked, read one tensor at a time, and in shards."""

import io
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from safetensors.numpy import load, save_file

from shoestring.artifact import ShoeError
from shoestring.artifact.checkpoints import checkpoint as checkpoints
from shoestring.artifact.checkpoints import sharded, streaming
from shoestring.artifact.checkpoints.opened import Opened
from shoestring.artifact.format import blocks, file

RANDOM = np.random.default_rng(6)
ARRAYS = {
    "first": (0.02 * RANDOM.standard_normal((900, 300))).astype(np.float32),
    "steps": np.arange(7),
    "half": (0.02 * RANDOM.standard_normal((880, 300))).astype(np.float16),
    "mask": RANDOM.random((890, 300)) < 0.1,
    "zeros": np.zeros((900, 300), np.float32),
    "scalar": np.array(2.5),
}


@pytest.fixture
def packed(tmp_path):
    """(the .safetensors file, the packed one)."""
    source, out = tmp_path / "model.safetensors", tmp_path / "model.shoe"
    save_file(ARRAYS, source, {"format": "np"})
    streaming.pack_checkpoint(checkpoints.from_safetensors(source), source, out)
    return source, out


def test_the_file_comes_back_byte_for_byte(packed):
    source, out = packed
    stream = io.BytesIO()
    with Opened(out) as opened:
        size, what = streaming.unpack_safetensors(opened, stream)
    assert stream.getvalue() == source.read_bytes() and size == source.stat().st_size
    assert what == "the file that was packed, byte for byte"
    assert out.read_bytes()[4] == 4 and out.stat().st_size < 0.75 * size
    assert checkpoints.as_safetensors(checkpoints.read(out))[0] == source.read_bytes()


def test_one_tensor_is_read_alone(packed, monkeypatch):
    _, out = packed
    decoded = []
    decode = blocks.decode
    monkeypatch.setattr(
        blocks, "decode", lambda data, *more: (decoded.append(len(data)), decode(data, *more))
    )
    with sharded.open_checkpoint(out) as opened:
        assert sorted(opened.names) == sorted(ARRAYS) and not decoded
        for name, array in ARRAYS.items():
            found = opened.tensor(name)
            assert found.dtype == array.dtype and found.shape == array.shape
            np.testing.assert_array_equal(found, array)
            assert opened.described(name).shape == array.shape
        assert len(decoded) == 4
        assert opened.metadata == {"format": "np"}
        with pytest.raises(KeyError, match="no tensor 'absent'"):
            opened.tensor("absent")


def test_types_that_numpy_does_not_have_say_so(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    source, out = tmp_path / "a.safetensors", tmp_path / "a.shoe"
    save_torch(
        {"w": torch.randn(4, 4).bfloat16(), "f": torch.randn(3).to(torch.float8_e5m2)}, source
    )
    streaming.pack_checkpoint(checkpoints.from_safetensors(source), source, out)
    with Opened(out) as opened:
        for name, kind in (("w", "BF16"), ("f", "F8_E5M2")):
            with pytest.raises(TypeError, match=f"numpy has no {kind}"):
                opened.tensor(name)
        assert opened.named("w").bits.dtype == np.uint16


def test_a_file_of_version_2_is_opened_too(tmp_path, packed):
    old = tmp_path / "old.shoe"
    few = {name: ARRAYS[name] for name in ("steps", "scalar")}
    save_file(few, tmp_path / "few.safetensors")
    old.write_bytes(file.pack(checkpoints.from_safetensors(tmp_path / "few.safetensors")))
    with Opened(old) as opened:
        assert old.read_bytes()[4] == 2
        np.testing.assert_array_equal(opened.tensor("steps"), ARRAYS["steps"])


def test_small_tensors_are_bounded_in_memory(packed, monkeypatch):
    content = checkpoints.from_safetensors(packed[0])
    large = {content.names[i] for i in streaming._large(content.tensors)}
    assert large == {"first", "half", "mask", "zeros"}
    monkeypatch.setattr(streaming, "BLOCKS_FROM", 1 << 30)
    assert streaming._large(content.tensors) == []
    monkeypatch.setattr(streaming, "_MOST_SMALL", 1000)
    assert len(streaming._large(content.tensors)) == 4


def test_a_damaged_block_is_named_and_the_others_are_read(packed):
    _, out = packed
    data = bytearray(out.read_bytes())
    data[50] ^= 1
    out.write_bytes(data)
    with Opened(out) as opened:
        np.testing.assert_array_equal(opened.tensor("half"), ARRAYS["half"])
        with pytest.raises(ShoeError, match="checksum of a block is wrong"):
            opened.tensor("first")
        with pytest.raises(ShoeError, match="checksum of a block is wrong"):
            streaming.unpack_safetensors(opened, io.BytesIO())


def test_what_does_not_come_back_is_not_written(tmp_path, packed, monkeypatch):
    source, _ = packed
    out = tmp_path / "other.shoe"
    encode = blocks.encode
    monkeypatch.setattr(
        blocks, "encode", lambda bits, *more: encode(bits ^ bits.dtype.type(1), *more)
    )
    with pytest.raises(ShoeError, match="does not come back as it was"):
        streaming.pack_checkpoint(checkpoints.from_safetensors(source), source, out)
    assert not out.exists() and len(list(tmp_path.iterdir())) == 2


def other_file(source):
    """A file of the same length, with other values."""
    other = source.with_name("other.safetensors")
    save_file({name: np.roll(array, 1) for name, array in ARRAYS.items()}, other, {"format": "np"})
    return other


@pytest.mark.parametrize("replaced", [True, False])
def test_a_source_that_changes_meanwhile_is_refused_by_name(packed, monkeypatch, replaced):
    source, out = packed
    before, other, encode = out.read_bytes(), other_file(source), blocks.encode

    def change_and_encode(*given):
        if other.exists() and replaced:
            os.replace(other, source)
        elif other.exists():
            with source.open("r+b") as stream:
                stream.write(other.read_bytes())
            other.unlink()
        return encode(*given)

    monkeypatch.setattr(blocks, "encode", change_and_encode)
    with pytest.raises(ValueError, match=r"model\.safetensors changed while it was packed"):
        streaming.pack_checkpoint(checkpoints.from_safetensors(source), source, out)
    assert not other.exists() and out.read_bytes() == before


def test_the_sha_256_is_that_of_what_was_read(packed):
    source, out = packed
    before = source.read_bytes()
    content = checkpoints.from_safetensors(source)
    os.replace(other_file(source), source)
    streaming.pack_checkpoint(content, source, out)
    assert checkpoints.as_safetensors(checkpoints.read(out))[0] == before


def test_a_source_that_was_cut_after_it_was_read_is_refused(packed):
    source, out = packed
    before, content = out.read_bytes(), checkpoints.from_safetensors(source)
    with source.open("r+b") as stream:
        stream.truncate(100_000)
    with pytest.raises(ValueError, match=r"model\.safetensors changed since it was read"):
        streaming.pack_checkpoint(content, source, out)
    assert out.read_bytes() == before


def test_shards_are_packed_and_opened_by_their_index(tmp_path):
    names = list(ARRAYS)
    shards = {"model-1.safetensors": names[:3], "model-2.safetensors": names[3:]}
    listed = {"metadata": {"total_size": 1}, "weight_map": {}}
    for shard, inside in shards.items():
        save_file({name: ARRAYS[name] for name in inside}, tmp_path / shard)
        listed["weight_map"] |= dict.fromkeys(inside, shard)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps(listed))
    run = [sys.executable, "-m", "shoestring.cli"]
    subprocess.run([*run, "pack", index], check=True, capture_output=True)
    made = tmp_path / "model.shoe.index.json"
    assert json.loads(made.read_text())["weight_map"]["first"] == "model-1.shoe"
    with sharded.open_checkpoint(made) as opened:
        assert opened.names == names
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(opened.tensor(name), array)
        with pytest.raises(KeyError, match="absent"):
            opened.tensor("absent")
    again = subprocess.run([*run, "pack", index], check=True, capture_output=True, text=True)
    assert again.stdout.count("is there already") == 2
    back = tmp_path / "back"
    subprocess.run([*run, "unpack", made, back], check=True, capture_output=True)
    for shard in shards:
        assert (back / shard).read_bytes() == (tmp_path / shard).read_bytes()
    assert json.loads((back / index.name).read_text()) == listed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no index"),
        ("[]", "is no index"),
        ('{"weight_map": {"a": 5}}', "is no index"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "not in its folder"),
        ('{"weight_map": {"a": "absent.shoe"}}', "not there"),
    ],
)
def test_indexes_that_do_not_fit_are_refused(tmp_path, text, why):
    path = tmp_path / "model.shoe.index.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        sharded.read_index(path)


def test_unpacking_to_standard_output_and_to_a_pipe(tmp_path, packed):
    source, out = packed
    run = [sys.executable, "-m", "shoestring.cli", "unpack", out]
    done = subprocess.run([*run, "-"], check=True, capture_output=True)
    assert done.stdout == source.read_bytes() and b"byte for byte" in done.stderr
    if os.name != "posix":
        return
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    subprocess.run([*run, pipe], check=True, capture_output=True)
    reader.join(60)
    assert read == [source.read_bytes()] and pipe.is_fifo()


@pytest.mark.skipif(os.name != "posix", reason="a pipe of POSIX")
def test_a_pipe_that_is_closed_early_ends_with_a_sentence(packed):
    run = [sys.executable, "-m", "shoestring.cli", "unpack", packed[1], "-"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stderr is not None
        begun = program.stdout.read(10)
        program.stdout.close()
        said = program.stderr.read().decode()
    assert program.returncode == 1 and begun == packed[0].read_bytes()[:10]
    assert said == (
        "error: standard output was closed by its reader before the end: the file is not whole "
        "there\n"
    )


def test_tied_names_are_bounded_when_they_are_unpacked(tmp_path):
    one = checkpoints.Named("a", "U8", (1 << 17,), np.zeros(1 << 17, np.uint8))
    content = checkpoints.checkpoint([one], tied={f"b{i}": "a" for i in range(9999)})
    path = tmp_path / "tied.shoe"
    path.write_bytes(file.pack(content))  # 1.3 GB of output
    stream = io.BytesIO()
    with Opened(path) as opened, pytest.raises(ShoeError, match=r"10,000 tensors.*raise max_bytes"):
        streaming.unpack_safetensors(opened, stream)
    assert not stream.getvalue()
    with pytest.raises(ShoeError, match="raise max_bytes"):
        checkpoints.as_safetensors(content)
    few = checkpoints.checkpoint([one], tied={"b": "a"})
    path.write_bytes(file.pack(few))
    with Opened(path, max_bytes=1 << 20) as opened:
        assert streaming.unpack_safetensors(opened, stream)[0] > 1 << 18


def test_the_tensors_are_described_once(packed, monkeypatch):
    calls, everything = [], checkpoints.everything
    monkeypatch.setattr(
        checkpoints, "everything", lambda content: (calls.append(1), everything(content))[1]
    )
    with Opened(packed[1]) as opened:
        streaming.unpack_safetensors(opened, io.BytesIO())
    assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_that_of_a_few_blocks(tmp_path):
    path = tmp_path / "large.safetensors"
    rows = (0.02 * RANDOM.standard_normal((1 << 20,))).astype(np.float32)
    save_file({f"w{i}": np.roll(rows, i).reshape(1024, -1) for i in range(120)}, path)  # 500 MB
    program = """
import sys
from pathlib import Path
from shoestring.artifact.checkpoints import checkpoint, streaming
from shoestring.artifact.checkpoints.opened import Opened
source, out, back = map(Path, sys.argv[1:])
streaming.pack_checkpoint(checkpoint.from_safetensors(source), source, out)
with Opened(out) as opened, back.open("wb") as stream:
    streaming.unpack_safetensors(opened, stream)
status = Path("/proc/self/status").read_text()  # getrusage counts the program that began this one
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
    files = [path, tmp_path / "large.shoe", tmp_path / "back.safetensors"]
    done = subprocess.run(
        [sys.executable, "-c", program, *files], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 450, "MB; the checkpoint has 503"
    assert files[2].read_bytes() == path.read_bytes()
    assert set(load(files[2].read_bytes())) == {f"w{i}" for i in range(120)}
