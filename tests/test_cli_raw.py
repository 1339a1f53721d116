"""The commands on a file with an input chain: raw sounds, lines of text, C and the bill."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from features_back import features_back

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.format.file import pack

SOUND = InputChain(steps=(LogMel(frames=4, bands=8),))
TEXT = InputChain(steps=(HashedNgrams(most=6),))


def written(
    path: Path, chain: InputChain | None, shape: tuple[int | str, ...], element: int
) -> Path:
    """A file that gives its features back."""
    path.write_bytes(pack(features_back(chain, shape, element)))
    return path


def sound(path: Path, rate: int = 8000) -> np.ndarray:
    samples = np.arange(-3000, 3000, 7).astype(np.int16)
    with wave.open(str(path), "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(rate)
        opened.writeframes(samples.tobytes())
    return samples


def test_sounds_from_files(shoestring, tmp_path):
    file = written(tmp_path / "model.shoe", SOUND, ("N", 1, 4, 8), 1)
    samples = sound(tmp_path / "one.wav")
    np.save(tmp_path / "one.npy", samples)
    np.savez(tmp_path / "two.npz", samples, samples[:300])
    for name, given in (
        ("one.wav", [samples]),
        ("one.npy", [samples]),
        ("two.npz", [samples, samples[:300]]),
    ):
        status, out, err = shoestring("run", file, name, "--raw", "--out", "out.npz")
        assert (status, err) == (0, "") and "input chain: LogMel(rate=8000, window=256," in out
        assert np.array_equal(np.load(tmp_path / "out.npz")["y"], SOUND(given))
    status, out, _ = shoestring("run", file, "two.npz")
    assert status != 0 and "(not used without --raw)" in out
    sound(tmp_path / "fast.wav", rate=16000)
    (tmp_path / "bad.wav").write_bytes(b"<script>")
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4junk")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, said in (
        ("fast.wav", "at 16000 Hz"),
        ("bad.wav", "is no WAV file"),
        ("model.shoe", "is no .wav"),
        ("cut.npz", "is no .wav"),
        ("empty.wav", "ends too early"),
    ):
        status, _, err = shoestring("run", file, name, "--raw")
        assert status != 0 and said in err and "Traceback" not in err


def test_lines_of_a_text_file(shoestring, tmp_path):
    file = written(tmp_path / "model.shoe", TEXT, ("N", 6), 7)
    lines = ["a film", "", "<script>'\""]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    status, _, err = shoestring("run", file, "lines.txt", "--raw", "--out", "out.npz")
    assert (status, err) == (0, "")
    assert np.array_equal(np.load(tmp_path / "out.npz")["y"], TEXT(lines))
    (tmp_path / "lines.txt").write_bytes(b"\xff\xfe")
    assert "is not text in UTF-8" in shoestring("run", file, "lines.txt", "--raw")[2]


def test_a_file_without_a_chain_takes_nothing_raw(shoestring, tmp_path):
    file = written(tmp_path / "model.shoe", None, ("N", 6), 7)
    status, _, err = shoestring("run", file, "x.npz", "--raw")
    assert status != 0 and "has no input chain; it takes x: int64[N, 6]" in err


def test_the_bill_and_the_c_name_the_chain(shoestring, tmp_path):
    file = written(tmp_path / "model.shoe", SOUND, ("N", 1, 4, 8), 1)
    status, out, _ = shoestring("inspect", file)
    assert status == 0 and "input chain, in the names and notes: LogMel(" in out
    assert "0 names, 1 notes" in out
    status, out, _ = shoestring("export", file, "heard.c")
    assert status == 0 and "input chain: LogMel(" in out and "memory: 1,536 bytes" in out
    assert "void heard_feed(const int16_t *pieces, uint32_t count)" in Path("heard.c").read_text()
    status, out, _ = shoestring("export", file, "heard.c", "--no-input-chain")
    assert status == 0 and "heard_feed" not in Path("heard.c").read_text()
    status, _, err = shoestring("export", file, "heard.onnx", "--no-input-chain")
    assert status != 0 and "--no-input-chain" in err


def test_a_project_records_raw_inputs(shoestring, tmp_path):
    file = written(tmp_path / "model.shoe", SOUND, ("N", 1, 4, 8), 1)
    sound(tmp_path / "one.wav")
    status, out, err = shoestring("export", file, "heard.c", "--project", "p", "--raw", "one.wav")
    assert (status, err) == (
        0,
        "",
    ) and "Of raw inputs there are 1: the first" in out
    assert "static int fed_right(int at)" in (tmp_path / "p" / "test_main.c").read_text()
    for more, said in (
        (("--raw", "one.wav"), "give --project FOLDER too"),
        (("--raw", "one.wav", "--project", "p", "--no-input-chain"), "no --no-input-chain"),
        (("--raw", "model.shoe", "--project", "p"), "is no .wav, .npy or .npz file"),
    ):
        status, _, err = shoestring("export", file, "heard.c", *more)
        assert status != 0 and said in err and "Traceback" not in err
    bare = written(tmp_path / "bare.shoe", None, ("N", 6), 1)
    status, _, err = shoestring("export", bare, "n.c", "--raw", "one.wav", "--project", "p")
    assert status != 0 and "this file has no input chain" in err
