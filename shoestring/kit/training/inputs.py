"""Reading inputs without labels: arrays, files of arrays, folders of pictures or sounds."""

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
_WHITE = 65_535  # white in 16 bits


@dataclass(frozen=True)
class Pictures:
    """The pictures in a folder, as float32 N×C×H×W from 0 to 1, in the order of their names.

    It needs the extra `images`. Grey pictures of 16 bits are divided by 65,535, all others by 255.

    `folder`: where they are, at any depth.
    `size`: (height, width) to which each is resized; None: they must have one size.
    `channels`: 1 for grey, 3 for red, green and blue; None: 1 where all pictures are grey, else 3.
    """

    folder: str | Path
    size: tuple[int, int] | None = None
    channels: int | None = None

    def read(self) -> Tensor:
        """The pictures, N×C×H×W.

        Raises ValueError for pictures that cannot be used, and ModuleNotFoundError without the
        extra `images`.
        """
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
        pictures: list[Any] = []
        for path in _files(self.folder, PICTURES, "pictures"):
            with Image.open(path) as file:
                if file.mode[0] in "IF":  # grey, with more than 8 bits
                    picture = Image.fromarray(_shares_of_white(np.asarray(file), path))
                else:
                    picture = file.convert("L" if file.mode in ("1", "L", "LA") else "RGB")
                if self.size is not None:
                    picture = picture.resize((self.size[1], self.size[0]))
                pictures.append(picture)
        grey = self.channels == 1 or (
            self.channels is None and all(picture.mode in "LF" for picture in pictures)
        )
        if len(sizes := sorted({picture.size[::-1] for picture in pictures})) > 1:
            raise ValueError(
                f"the pictures in {self.folder} have {len(sizes)} sizes, {sizes[0]} and "
                f"{sizes[-1]} among them: give one to bring them to, Pictures(folder, "
                "size=(height, width))"
            )
        pixels = torch.from_numpy(np.stack([_pixels(picture, grey) for picture in pictures]))
        return pixels[:, None] if grey else pixels.permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Sounds:
    """The .wav files in a folder, as float32 N×T from -1 to 1, in the order of their names.

    Channels are averaged.

    `folder`: where they are, at any depth.
    `samples`: the length of the pieces into which each file is cut; a remainder at its end is
        dropped. Pieces of one file are one group (`groups`). None: all files must have one length.
    `rate`: samples per second, to which files of another rate are resampled, without frequencies
        above half of either rate. None: all files must have one rate.
    """

    folder: str | Path
    samples: int | None = None
    rate: int | None = None

    def read(self) -> Tensor:
        """The samples, N×T; raises ValueError for files that cannot be used."""
        return torch.from_numpy(np.stack([piece for _, piece in self._pieces()]))

    def groups(self) -> np.ndarray | None:
        """The number of the file of each piece: N integers; None where files are not cut."""
        return None if self.samples is None else np.array([file for file, _ in self._pieces()])

    def _pieces(self) -> list[tuple[int, np.ndarray]]:
        """For each example, the number of its file and its samples, T."""
        if self.rate is not None and self.rate < 1:
            raise ValueError(f"rate is {self.rate}: give samples a second, such as 16000")
        read = [(path, *_sound(path)) for path in _files(self.folder, (".wav",), "sounds (.wav)")]
        by_rate = {rate: path.name for path, rate, _ in read}
        if self.rate is None and len(by_rate) > 1:
            rates = [f"{rate:,} a second ({by_rate[rate]})" for rate in sorted(by_rate)[:4]]
            raise ValueError(
                f"the sounds in {self.folder} have {len(by_rate)} rates, {', '.join(rates)}: say "
                f"which the model takes, Sounds(folder, rate={min(by_rate)}), and the others are "
                "brought to it"
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
                f"{lengths[-1]:,} samples: give how many to cut them into pieces of, "
                "Sounds(folder, samples=16000)"
            )
        return list(enumerate(sounds))


def read_inputs(inputs: Any) -> dict[str, Tensor] | tuple[Tensor, ...]:
    """The inputs as tensors, by name or in order; axis 0 is the example, of each that has axes.

    `inputs`: as in Agreement.
    Raises TypeError, ValueError or OSError for inputs that cannot be read.
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
        return tuple(_tensor(one, f"input {index}") for index, one in enumerate(inputs))
    if not isinstance(inputs, Iterable):
        raise TypeError(
            f"inputs is a {type(inputs).__name__}: give a tensor, an array, a tuple or a dict of "
            "them, the path of an .npz or .npy file or of a folder of pictures or sounds, or the "
            "examples one by one"
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
    """Examples as one tensor for each part: stacked, or concatenated where they are batches."""
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
    columns: dict[Any, list[Tensor]] = {}
    for index, example in enumerate(examples):
        by_key = (
            {None: example} if parts is None else example if named else dict(enumerate(example))
        )
        if parts is not None and list(by_key) != list(parts):
            raise ValueError(
                f"example {index} has the parts {list(by_key)}, and the first has {list(parts)}"
            )
        for key, value in by_key.items():
            tensor = _tensor(value, f"example {index}")
            column = columns.setdefault(key, [])
            if column and tensor.shape[batches:] != column[0].shape[batches:]:
                raise ValueError(
                    f"example {index} has the shape {list(tensor.shape)}, and the first has "
                    f"{list(column[0].shape)}: bring all to one shape first"
                )
            column.append(tensor)
    join = torch.cat if batches else torch.stack
    joined = {key: join(column) for key, column in columns.items()}
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
    """The files in a folder with these suffixes, sorted; raises ValueError where there are none."""
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in suffixes)
    if not files:
        raise ValueError(f"there are no {what} in {folder}")
    return files


def _sound(path: Path) -> tuple[int, np.ndarray]:
    """The rate of a .wav file in samples per second, and its samples: T, float32 from -1 to 1."""
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
        integers = np.frombuffer(data, "<i2" if width == 2 else "<i4")
        values = integers.astype(np.float32) / 2 ** (8 * width - 1)
    return rate, values.reshape(-1, channels).mean(1)


def _at_rate(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Resample T samples from one rate to another, by their Fourier transform.

    Frequencies above half of either rate are dropped.
    """
    if rate == wanted or not len(sound):
        return sound
    length = max(1, round(len(sound) * wanted / rate))
    spectrum = np.fft.rfft(sound.astype(np.float64))[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(sound))).astype(np.float32)


def _shares_of_white(values: np.ndarray, path: Path) -> np.ndarray:
    """A grey picture of 16 bits as H×W from 0 to 1.

    Raises ValueError where its values are not those of 16 bits.
    """
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > _WHITE:
        raise ValueError(
            f"{path} has numbers from {values.min():g} to {values.max():g}, of which nobody knows "
            "how many are white: read it yourself, and give an array N×C×H×W"
        )
    return values.astype(np.float32) / _WHITE


def _pixels(picture: Any, grey: bool) -> np.ndarray:
    """The pixels of a picture from 0 to 1: H×W if grey, else H×W×3."""
    if picture.mode == "F":
        shares = np.asarray(picture)
        return shares if grey else np.repeat(shares[..., None], 3, 2)
    return np.asarray(picture.convert("L" if grey else "RGB"), np.float32) / 255
