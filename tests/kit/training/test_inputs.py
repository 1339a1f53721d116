"""Inputs from tensors, arrays, files, folders of pictures and sounds, and examples one by one."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from shoestring.kit import Pictures, Sounds
from shoestring.kit.training.inputs import read_inputs

X = np.arange(24, dtype=np.float32).reshape(12, 2)


def only(inputs: Any) -> torch.Tensor:
    (found,) = read_inputs(inputs)
    return found


def test_tensors_arrays_and_files_of_them(tmp_path: Path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", image=X, mask=X > 3)
    for given in (
        X,
        torch.from_numpy(X),
        tmp_path / "x.npy",
        str(tmp_path / "x.npy"),
        list(X),
        iter(torch.from_numpy(X)),
        X.tolist(),
    ):
        assert only(given).tolist() == X.tolist()
    named = read_inputs(tmp_path / "x.npz")
    assert (
        isinstance(named, dict)
        and list(named) == ["image", "mask"]
        and named["mask"].dtype == torch.bool
    )
    assert len(read_inputs((X, X))) == 2 and read_inputs({"sr": np.array(8000)})["sr"].ndim == 0  # type: ignore[call-overload]


def test_examples_one_by_one():
    pairs = read_inputs([(row, row[0]) for row in X])
    assert [tuple(one.shape) for one in pairs] == [(12, 2), (12,)]
    named = read_inputs({"a": row, "b": row} for row in X)
    assert isinstance(named, dict) and named["b"].shape == (12, 2)
    loader = DataLoader(TensorDataset(torch.from_numpy(X)), batch_size=5)
    assert only(loader).tolist() == X.tolist()
    all_of_them = TensorDataset(torch.from_numpy(X))
    assert only(DataLoader(all_of_them, batch_size=5, drop_last=True)).tolist() == X.tolist()
    with pytest.warns(UserWarning, match="the inputs: the DataLoader gives 2 of the 12 items"):
        assert only(DataLoader(all_of_them, sampler=[3, 5])).tolist() == X[[3, 5]].tolist()
    with pytest.raises(ValueError, match=r"example 1 has the shape \[3\], and the first has \[2\]"):
        read_inputs([np.zeros(2), np.zeros(3)])
    with pytest.raises(ValueError, match="there are no inputs"):
        read_inputs([])
    with pytest.raises(TypeError, match="inputs is a int: give a tensor"):
        read_inputs(3)
    with pytest.raises(TypeError, match="'x' cannot be a tensor"):
        read_inputs({"x": ["a", "b"]})


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*absent.npz"):
        read_inputs(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(ValueError, match=r"cannot be read as arrays .*numpy.savez"):
        read_inputs(tmp_path / "text.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        read_inputs(tmp_path / "objects.npy")


def test_pictures(tmp_path: Path):
    from PIL import Image

    grey, red = np.array([[0, 255], [51, 102]], np.uint8), np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert only(tmp_path).tolist() == [[[[0, 1], [pytest.approx(0.2), pytest.approx(0.4)]]]]
    Image.fromarray(red).save(tmp_path / "b.png")
    both = only(tmp_path)
    assert (
        both.shape == (2, 3, 2, 2)
        and both[1, :, 0, 0].tolist() == [1, 0, 0]
        and both[0, :, 0, 1].tolist() == [1, 1, 1]
    )
    assert only(Pictures(tmp_path, channels=1)).shape == (2, 1, 2, 2)
    Image.fromarray(red).resize((5, 3)).save(tmp_path / "c.png")
    with pytest.raises(
        ValueError, match=r"2 sizes, \(2, 2\) and \(3, 5\) among them.*size=\(height, width\)"
    ):
        read_inputs(tmp_path)
    assert only(Pictures(tmp_path, size=(4, 6))).shape == (3, 3, 4, 6)
    with pytest.raises(ValueError, match="there are no pictures in"):
        read_inputs(Pictures(tmp_path / "absent"))


def test_pictures_of_16_bits_are_shares_of_65535(tmp_path: Path):
    from PIL import Image

    Image.fromarray(np.array([[0, 65535], [13107, 256]], np.uint16)).save(tmp_path / "a.png")
    assert only(tmp_path).flatten().tolist() == pytest.approx([0, 1, 0.2, 256 / 65535])
    assert only(Pictures(tmp_path, channels=3))[0, 2].flatten().tolist() == pytest.approx(
        [0, 1, 0.2, 256 / 65535]
    )
    Image.fromarray(np.full((2, 2), 51, np.uint8)).save(tmp_path / "b.png")  # beside one of 8 bits
    assert only(tmp_path).shape == (2, 1, 2, 2) and only(tmp_path)[
        1
    ].unique().tolist() == pytest.approx([0.2])
    assert only(Pictures(tmp_path, size=(1, 1)))[0].item() == pytest.approx(
        (1 + 0.2 + 256 / 65535) / 4, abs=1e-6
    )
    Image.fromarray(np.full((2, 2), 1e6, np.float32)).save(tmp_path / "c.tif")
    with pytest.raises(
        ValueError,
        match=r"c.tif has numbers from 1e\+06 to 1e\+06, of which nobody knows how many are white",
    ):
        read_inputs(tmp_path)


def sound(path: Path, values: list[int], width: int, channels: int = 1, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        code = {1: "B", 2: "<h", 4: "<i"}
        file.writeframes(
            b"".join(
                struct.pack("<i", v)[:3] if width == 3 else struct.pack(code[width], v)
                for v in values
            )
        )


@pytest.mark.parametrize(
    ("width", "values"),
    [
        (1, [0, 128, 192]),
        (2, [-(2**15), 0, 2**14]),
        (3, [-(2**23), 0, 2**22]),
        (4, [-(2**31), 0, 2**30]),
    ],
)
def test_sounds_are_between_minus_1_and_1(tmp_path: Path, width: int, values: list[int]):
    sound(tmp_path / "a.wav", values, width)
    assert only(tmp_path).tolist() == [[-1, 0, 0.5]]


def test_channels_are_averaged_and_sounds_cut(tmp_path: Path):
    sound(tmp_path / "a.wav", [2**14, 0, 0, 2**14], 2, channels=2)
    assert only(tmp_path).tolist() == [[0.25, 0.25]]
    sound(tmp_path / "b.wav", [0] * 5, 2)
    with pytest.raises(
        ValueError, match=r"2 lengths, of 2 to 5 samples.*Sounds\(folder, samples=16000\)"
    ):
        read_inputs(tmp_path)
    assert only(Sounds(tmp_path, samples=2)).shape == (3, 2)
    with pytest.raises(ValueError, match=r"no sound in .* has 9 samples: the longest has 5"):
        read_inputs(Sounds(tmp_path, samples=9))
    (tmp_path / "c.wav").write_text("none")
    with pytest.raises(ValueError, match=r"c.wav cannot be read .*PCM"):
        read_inputs(tmp_path)


def test_sounds_of_several_rates_are_not_joined_without_a_word(tmp_path: Path):
    def waves(rate: int) -> np.ndarray:
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate)

    for name, rate in (("a", 16000), ("b", 44100)):
        sound(tmp_path / f"{name}.wav", [round(2**15 * one) for one in waves(rate)], 2, rate=rate)
    said = (
        r"2 rates, 16,000 a second \(a.wav\), 44,100 a second \(b.wav\): say which the "
        r"model takes, Sounds\(folder, rate=16000\)"
    )
    for given in (tmp_path, Sounds(tmp_path, samples=100)):
        with pytest.raises(ValueError, match=said):
            read_inputs(given)
    both = only(Sounds(tmp_path, rate=16000))
    assert both.shape == (2, 4000)  # a quarter of a second, 110 waves in it
    for one in both.numpy():
        assert np.abs(one - waves(16000)).max() < 1e-3
    assert np.abs(only(Sounds(tmp_path, rate=44100))[0].numpy() - waves(44100)).max() < 1e-3
    # What is above half of the rate is gone, and does not come back as something lower.
    sound(tmp_path / "b.wav", [2**14 * (-1) ** n for n in range(11024)], 2, rate=44100)
    assert np.abs(only(Sounds(tmp_path, rate=16000))[1].numpy()).max() < 1e-3
    with pytest.raises(ValueError, match="rate is 0: give samples a second"):
        read_inputs(Sounds(tmp_path, rate=0))


def test_pieces_of_one_sound_are_one_group(tmp_path: Path):
    for name, count in (("a", 7), ("b", 1), ("c", 4)):
        sound(tmp_path / f"{name}.wav", list(range(count)), 2)
    cut = Sounds(tmp_path, samples=2)
    groups = cut.groups()
    assert groups is not None and groups.tolist() == [0, 0, 0, 2, 2] and len(only(cut)) == 5
    assert Sounds(tmp_path).groups() is None
