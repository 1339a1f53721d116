"""FSDD where it is there, and its format on files made here."""

from __future__ import annotations

import importlib
import io
import tarfile
import wave
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.core import seeded
from shoestring.tasks import DataError, fsdd, fsdd_recordings, moved_and_louder
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.fsdd")
Put = Callable[[Source, bytes], Source]


def wav(samples: np.ndarray, rate: int = 8000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as opened:
        opened.setnchannels(channels)
        opened.setsampwidth(2)
        opened.setframerate(rate)
        opened.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def archive(change: Callable[[str], bytes | None] = lambda name: None, folder: str = "") -> bytes:
    """All recordings; the sound of each is its digit, 99 times, and its take once."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for digit in range(10):
            for speaker in module.SPEAKERS:
                for take in range(50):
                    name = f"{folder}recordings/{digit}_{speaker}_{take}.wav"
                    data = change(name)
                    if data is None:
                        data = wav(np.array([digit] * 99 + [take]))
                    if data:
                        entry = tarfile.TarInfo(name)
                        entry.size = len(data)
                        packed.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def given(put: Put, monkeypatch: pytest.MonkeyPatch, data: bytes, *, home: bool = False) -> None:
    name = "_HOME" if home else "_RECORDINGS"
    monkeypatch.setattr(module, name, put(getattr(module, name), data))


def test_fsdd_as_it_is():
    if present(module._RECORDINGS) is None and present(module._HOME) is None:
        pytest.skip(
            "FSDD is not here: set SHOESTRING_DATA to a folder that holds fsdd/recordings.tar.xz, "
            "or run python -c 'from shoestring.tasks import fsdd; fsdd()' once where there is a "
            "network"
        )
    task = fsdd(batch_size=100)
    assert task.input_chain == module.FSDD_CHAIN and task.sealed().input_chain is task.input_chain
    assert [len(split[1]) for split in (task.train, task.validation, task.test)] == [2400, 300, 300]
    assert isinstance(task.train[0], torch.Tensor)
    assert task.train[0].shape[1:] == (1, 32, 20) and task.test[1].bincount().tolist() == [30] * 10
    assert abs(float(task.train[0].mean())) < 0.3 and 0.7 < float(task.train[0].std()) < 1.4
    (example,), _ = task.example()
    assert example.tensor.shape == (2, 1, 32, 20)


@pytest.mark.parametrize("home", [False, True])
def test_its_splits(put: Put, monkeypatch: pytest.MonkeyPatch, home: bool):
    given(put, monkeypatch, archive(folder="free-spoken-digit-dataset-x/" * home), home=home)
    splits = fsdd_recordings()
    for name, takes in (("train", range(10, 50)), ("validation", range(5, 10)), ("test", range(5))):
        found = splits[name]
        assert set(found.takes) == set(takes) and len(found) == 60 * len(takes)
        for sound, digit, take in zip(found.sounds, found.digits, found.takes, strict=True):
            assert sound.dtype == np.int16 and sound[0] == digit and sound[-1] == take
    unheard = fsdd_recordings(unheard="theo")
    assert set(unheard["test"].speakers) == {"theo"} and len(unheard["test"]) == 500
    assert "theo" not in (*unheard["train"].speakers, *unheard["validation"].speakers)
    assert len(unheard["train"]) == 5 * 450 and len(unheard["validation"]) == 250
    with pytest.raises(ValueError, match="no speaker 'nobody': there are george"):
        fsdd_recordings(unheard="nobody")
    small = InputChain(steps=(LogMel(frames=2, bands=8),))
    task = fsdd(unheard="theo", input_chain=small)
    assert task.name == "fsdd-theo" and task.input_chain == small
    assert isinstance(task.test[0], torch.Tensor) and task.test[0].shape == (500, 1, 2, 8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lacks 1 recordings, such as"),
        (b"RIFF", "3_jackson_7.wav in .* is no WAV file"),
        (wav(np.zeros(9), rate=16000), "is not one channel of 16 bits at 8000 Hz"),
        (wav(np.zeros(10), channels=2), "is not one channel"),
    ],
    ids=["none", "broken", "another rate", "two channels"],
)
def test_a_recording_that_is_none(
    put: Put, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
):
    given(put, monkeypatch, archive(lambda name: content if "3_jackson_7." in name else None))
    with pytest.raises(DataError, match=said):
        fsdd()


def test_where_there_is_none_the_error_says_where_to_put_it(data, monkeypatch):
    nowhere = replace(module._HOME, url="file:///nowhere/at/all")
    monkeypatch.setattr(module, "_HOME", nowhere)
    with pytest.raises(DataError, match=r"cannot fetch file:///nowhere.*SHOESTRING_DATA"):
        fsdd()


def test_training_moves_a_sound_and_changes_its_loudness():
    features = torch.arange(2.0 * 6 * 3).reshape(2, 1, 6, 3)
    with seeded(0):
        moved = moved_and_louder(features, frames=2, loudness=0.0)
    assert moved.shape == features.shape
    for before, after in zip(features[:, 0], moved[:, 0], strict=True):
        wide = torch.cat([before[:1], before[:1], before, before[:1], before[:1]])
        assert any(torch.equal(wide[start : start + 6], after) for start in range(5))
    with seeded(0):
        louder = moved_and_louder(features, frames=0, loudness=1.0) - features
    assert torch.allclose(louder, louder[:, :, :1, :1].expand_as(louder), atol=1e-5)
    assert louder.abs().min() > 0 and not torch.allclose(louder[0], louder[1])
