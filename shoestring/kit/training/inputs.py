"""Inputs without labels, from whatever holds them.

Tensors, arrays, files of arrays, folders of pictures or sounds, examples one by one.
"""

from __future__ import annotations

import wave
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from shoestring.kit.training.collected import say_what_is_left_out, with_last_batch

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_WHITE = 65_535  # of 16 bits


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder, as float32 N×C×H×W from 0 to 1, in the order of their names.

    Needs the extra `images`.
    `size`: (height, width) that all are brought to; None where they have one size.
    `channels`: 1 for grey, 3 for red, green and blue; None for 1 where every picture is grey. Grey
        pictures of 16 bits are divided by 65,535, all others by 255.
    """

    folder: str | Path
    size: tuple[int, int] | None = None
    channels: int | None = None

    def read(self) -> Tensor:
        """N×C×H×W; raises ValueError, ModuleNotFoundError."""
        try:
            from PIL import Image
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Pictures needs Pillow: it comes with the extra `images` (pip install "
                "'shoestring[images]')",
                name="PIL",
            ) from None
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels is {self.channels}: give 1 or 3")
        found: list[Any] = []
        for path in _files(self.folder, PICTURES, "pictures"):
            with Image.open(path) as picture:
                if picture.mode[0] in "IF":  # grey, of more than 8 bits
                    whole = Image.fromarray(_shares_of_white(np.asarray(picture), path))
                else:
                    whole = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
                found.append(
                    whole if self.size is None else whole.resize((self.size[1], self.size[0]))
                )
        grey = self.channels == 1 or (
            self.channels is None and all(one.mode in "LF" for one in found)
        )
        if len(sizes := sorted({one.size[::-1] for one in found})) > 1:
            raise ValueError(
                f"the pictures in {self.folder} have {len(sizes)} sizes, {sizes[0]} and "
                f"{sizes[-1]} among them: give one to bring them to, "
                "Pictures(folder, size=(height, width))"
            )
        whole = torch.from_numpy(np.stack([_pixels(one, grey) for one in found]))
        return whole[:, None] if grey else whole.permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Sounds:
    """The .wav files of a folder, as float32 N×T from -1 to 1, channels averaged, in the order of
    their names.

    `samples`: each is cut into pieces of so many, and what is left over at its end is dropped; None
        where all have one length. Pieces of one file are one group (`groups`).
    `rate`: samples a second; what was recorded at another rate is brought to it, as a whole and
        without what is above half of it. None where all files have one rate.
    """

    folder: str | Path
    samples: int | None = None
    rate: int | None = None

    def read(self) -> Tensor:
        """N×T; raises ValueError."""
        return torch.from_numpy(np.stack([piece for _, piece in self._pieces()]))

    def groups(self) -> np.ndarray | None:
        """N whole numbers: which file each piece is of; None where files are not cut."""
        return None if self.samples is None else np.array([file for file, _ in self._pieces()])

    def _pieces(self) -> list[tuple[int, np.ndarray]]:
        """The number of a file and T samples of it, for each example."""
        if self.rate is not None and self.rate < 1:
            raise ValueError(f"rate is {self.rate}: give samples a second, such as 16000")
        read = [(path, *_sound(path)) for path in _files(self.folder, (".wav",), "sounds (.wav)")]
        by_rate = {rate: path.name for path, rate, _ in read}
        if self.rate is None and len(by_rate) > 1:
            told = ", ".join(f"{rate:,} a second ({by_rate[rate]})" for rate in sorted(by_rate)[:4])
            raise ValueError(
                f"the sounds in {self.folder} have {len(by_rate)} rates, {told}: say which the "
                f"model takes, Sounds(folder, rate={min(by_rate)}), "
                "and the others are brought to it"
            )
        sounds = [_at_rate(sound, rate, self.rate or rate) for _, rate, sound in read]
        lengths = sorted({len(sound) for sound in sounds})
        if (size := self.samples) is not None:
            pieces = [
                (file, piece)
                for file, sound in enumerate(sounds)
                for piece in sound[: len(sound) // size * size].reshape(-1, size)
            ]
            if not pieces:
                raise ValueError(
                    f"no sound in {self.folder} has {size} samples: the longest has {lengths[-1]}"
                )
            return pieces
        if len(lengths) > 1:
            raise ValueError(
                f"the sounds in {self.folder} have {len(lengths)} lengths, of {lengths[0]:,} to "
                f"{lengths[-1]:,} samples: give how many to "
                "cut them into pieces of, Sounds(folder, samples=16000)"
            )
        return list(enumerate(sounds))


def read_inputs(inputs: Any) -> dict[str, Tensor] | tuple[Tensor, ...]:
    """Tensors by name, or in order; axis 0 of each that has axes is the example.

    Raises TypeError, ValueError, OSError.
    """
    if isinstance(inputs, str | Path):
        return _from_path(Path(inputs))
    if isinstance(inputs, Pictures | Sounds):
        return (inputs.read(),)
    if isinstance(inputs, Tensor | np.ndarray):
        return (_tensor(inputs, "the inputs"),)
    if isinstance(inputs, Mapping):
        return {str(name): _tensor(one, f"the input {name!r}") for name, one in inputs.items()}
    if (
        isinstance(inputs, tuple)
        and inputs
        and all(isinstance(one, Tensor | np.ndarray) for one in inputs)
    ):
        return tuple(_tensor(one, f"input {place}") for place, one in enumerate(inputs))
    if not isinstance(inputs, Iterable):
        raise TypeError(
            f"inputs is a {type(inputs).__name__}: give a tensor, an array, a tuple or a dict of "
            "them, the path of an .npz or .npy file or of a "
            "folder of pictures or sounds, or the examples one by one"
        )
    if not isinstance(inputs, DataLoader):
        return _joined(list(inputs), batches=False)
    joined = _joined(list(with_last_batch(inputs)), batches=True)
    ones = joined.values() if isinstance(joined, dict) else joined
    say_what_is_left_out("the inputs", inputs, next((len(one) for one in ones if one.ndim), 0))
    return joined


def _from_path(path: Path) -> dict[str, Tensor] | tuple[Tensor, ...]:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: inputs come from an .npz or .npy file, or a folder of pictures "
            "or sounds"
        )
    if path.is_dir():
        sounds = any(one.suffix.lower() == ".wav" for one in path.rglob("*"))
        return ((Sounds(path) if sounds else Pictures(path)).read(),)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = (
            loaded
            if isinstance(loaded, np.ndarray)
            else {name: loaded[name] for name in loaded.files}
        )
    except (ValueError, OSError, AttributeError, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read as arrays ({error}): write it with numpy.savez('inputs.npz', "
            "name=array), or numpy.save for one array"
        ) from None
    return read_inputs(arrays)


def _joined(examples: list[Any], *, batches: bool) -> dict[str, Tensor] | tuple[Tensor, ...]:
    """Examples as one: stacked, or set one behind the other where they are batches already."""
    if not examples:
        raise ValueError("there are no inputs: what was given yields no example")
    first = examples[0]
    named = isinstance(first, Mapping)
    parts = (
        list(first)
        if named
        else range(len(first))
        if isinstance(first, tuple) or (batches and isinstance(first, list))
        else None
    )
    found: dict[Any, list[Tensor]] = {}
    for place, example in enumerate(examples):
        whole = {None: example} if parts is None else example if named else dict(enumerate(example))
        if parts is not None and list(whole) != list(parts):
            raise ValueError(
                f"example {place} has the parts {list(whole)}, and the first has {list(parts)}"
            )
        for key, one in whole.items():
            tensor = _tensor(one, f"example {place}")
            others = found.setdefault(key, [])
            if others and tensor.shape[batches:] != others[0].shape[batches:]:
                raise ValueError(
                    f"example {place} has the shape {list(tensor.shape)}, and the first has "
                    f"{list(others[0].shape)}: bring all to one shape first"
                )
            others.append(tensor)
    joined = {key: (torch.cat if batches else torch.stack)(ones) for key, ones in found.items()}
    return {str(key): one for key, one in joined.items()} if named else tuple(joined.values())


def _tensor(value: Any, what: str) -> Tensor:
    try:
        tensor = (
            value.detach().cpu()
            if isinstance(value, Tensor)
            else torch.from_numpy(np.ascontiguousarray(np.asarray(value)).reshape(np.shape(value)))
        )
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{what} cannot be a tensor ({error}): give numbers in arrays of one shape"
        ) from None
    return tensor


def _files(folder: str | Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    found = sorted(one for one in Path(folder).rglob("*") if one.suffix.lower() in suffixes)
    if not found:
        raise ValueError(f"there are no {what} in {folder}")
    return found


def _sound(path: Path) -> tuple[int, np.ndarray]:
    """Samples a second, and the samples T of a .wav file, float32 from -1 to 1."""
    try:
        with wave.open(str(path)) as sound:
            width, channels, data = (
                sound.getsampwidth(),
                sound.getnchannels(),
                sound.readframes(sound.getnframes()),
            )
            rate = sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): save it as .wav of 8, 16, 24 or 32 bits (PCM)"
        ) from None
    if width == 1:
        values = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif width == 3:
        bytes_ = np.frombuffer(data, np.uint8).reshape(-1, 3)
        padded = np.concatenate([np.zeros((len(bytes_), 1), np.uint8), bytes_], 1)
        values = padded.copy().view("<i4")[:, 0].astype(np.float32) / 2**31
    else:
        values = np.frombuffer(data, "<i2" if width == 2 else "<i4").astype(np.float32) / 2 ** (
            8 * width - 1
        )
    return rate, values.reshape(-1, channels).mean(1)


def _at_rate(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples T at `rate` as those at another.

    The same sum of waves, without those above half of either rate.
    """
    if rate == wanted or not len(sound):
        return sound
    length = max(1, round(len(sound) * wanted / rate))
    waves = np.fft.rfft(sound.astype(np.float64))[: length // 2 + 1]
    return (np.fft.irfft(waves, length) * (length / len(sound))).astype(np.float32)


def _shares_of_white(values: np.ndarray, path: Path) -> np.ndarray:
    """H×W from 0 to 1 of a grey picture of 16 bits; raises ValueError where it is none."""
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > _WHITE:
        raise ValueError(
            f"{path} has numbers from {values.min():g} to {values.max():g}, of which nobody knows "
            "how many are white: read it yourself, and give an "
            "array N×C×H×W"
        )
    return values.astype(np.float32) / _WHITE


def _pixels(picture: Any, grey: bool) -> np.ndarray:
    """H×W, or H×W×3 if not grey, from 0 to 1."""
    if picture.mode == "F":
        shares = np.asarray(picture)
        return shares if grey else np.repeat(shares[..., None], 3, 2)
    return np.asarray(picture.convert("L" if grey else "RGB"), np.float32) / 255
