"""Inputs without labels, from whatever holds them: tensors, arrays, files of arrays, folders of pictures or sounds, examples one by one."""

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

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder, as float32 N×C×H×W from 0 to 1, in the order of their names. Needs the extra `images`.

    `size`: (height, width) that all are brought to; None where they have one size. `channels`: 1 for grey, 3 for red, green and
    blue; None for 1 where every picture is grey.
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
                "Pictures needs Pillow: it comes with the extra `images` (pip install 'shoestring[images]')", name="PIL"
            ) from None
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels is {self.channels}: give 1 or 3")
        found: list[Any] = []
        for path in _files(self.folder, PICTURES, "pictures"):
            with Image.open(path) as picture:
                whole = picture.convert("L" if picture.mode in ("1", "L", "LA", "I;16") else "RGB")
                found.append(whole if self.size is None else whole.resize((self.size[1], self.size[0])))
        grey = self.channels == 1 or (self.channels is None and all(one.mode == "L" for one in found))
        if len(sizes := sorted({one.size[::-1] for one in found})) > 1:
            raise ValueError(
                f"the pictures in {self.folder} have {len(sizes)} sizes, {sizes[0]} and {sizes[-1]} among them: give one to bring them to, "
                "Pictures(folder, size=(height, width))"
            )
        arrays = [np.asarray(one.convert("L" if grey else "RGB"), np.float32) / 255 for one in found]
        whole = torch.from_numpy(np.stack(arrays))
        return whole[:, None] if grey else whole.permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Sounds:
    """The .wav files of a folder, as float32 N×T from -1 to 1, channels averaged, in the order of their names.

    `samples`: each is cut into pieces of so many, and what is left over at its end is dropped; None where all have one length.
    """

    folder: str | Path
    samples: int | None = None

    def read(self) -> Tensor:
        """N×T; raises ValueError."""
        found = [(path, _sound(path)) for path in _files(self.folder, (".wav",), "sounds (.wav)")]
        if self.samples is not None:
            pieces = [
                piece
                for _, sound in found
                for piece in sound[: len(sound) // self.samples * self.samples].reshape(-1, self.samples)
            ]
            if not pieces:
                raise ValueError(
                    f"no sound in {self.folder} has {self.samples} samples: the longest has {max(len(s) for _, s in found)}"
                )
            return torch.from_numpy(np.stack(pieces))
        if len(lengths := sorted({len(sound) for _, sound in found})) > 1:
            raise ValueError(
                f"the sounds in {self.folder} have {len(lengths)} lengths, of {lengths[0]:,} to {lengths[-1]:,} samples: give how many to "
                "cut them into pieces of, Sounds(folder, samples=16000)"
            )
        return torch.from_numpy(np.stack([sound for _, sound in found]))


def read_inputs(inputs: Any) -> dict[str, Tensor] | tuple[Tensor, ...]:
    """Tensors by name, or in order; axis 0 of each that has axes is the example. Raises TypeError, ValueError, OSError."""
    if isinstance(inputs, str | Path):
        return _from_path(Path(inputs))
    if isinstance(inputs, Pictures | Sounds):
        return (inputs.read(),)
    if isinstance(inputs, Tensor | np.ndarray):
        return (_tensor(inputs, "the inputs"),)
    if isinstance(inputs, Mapping):
        return {str(name): _tensor(one, f"the input {name!r}") for name, one in inputs.items()}
    if isinstance(inputs, tuple) and inputs and all(isinstance(one, Tensor | np.ndarray) for one in inputs):
        return tuple(_tensor(one, f"input {place}") for place, one in enumerate(inputs))
    if not isinstance(inputs, Iterable):
        raise TypeError(
            f"inputs is a {type(inputs).__name__}: give a tensor, an array, a tuple or a dict of them, the path of an .npz or .npy file or of a "
            "folder of pictures or sounds, or the examples one by one"
        )
    return _joined(list(inputs), batches=isinstance(inputs, DataLoader))


def _from_path(path: Path) -> dict[str, Tensor] | tuple[Tensor, ...]:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: inputs come from an .npz or .npy file, or a folder of pictures or sounds"
        )
    if path.is_dir():
        sounds = any(one.suffix.lower() == ".wav" for one in path.rglob("*"))
        return ((Sounds(path) if sounds else Pictures(path)).read(),)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, AttributeError, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read as arrays ({error}): write it with numpy.savez('inputs.npz', name=array), or numpy.save for one array"
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
            raise ValueError(f"example {place} has the parts {list(whole)}, and the first has {list(parts)}")
        for key, one in whole.items():
            tensor = _tensor(one, f"example {place}")
            others = found.setdefault(key, [])
            if others and tensor.shape[batches:] != others[0].shape[batches:]:
                raise ValueError(
                    f"example {place} has the shape {list(tensor.shape)}, and the first has {list(others[0].shape)}: bring all to one shape first"
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
        raise TypeError(f"{what} cannot be a tensor ({error}): give numbers in arrays of one shape") from None
    return tensor


def _files(folder: str | Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    found = sorted(one for one in Path(folder).rglob("*") if one.suffix.lower() in suffixes)
    if not found:
        raise ValueError(f"there are no {what} in {folder}")
    return found


def _sound(path: Path) -> np.ndarray:
    """The samples T of a .wav file, float32 from -1 to 1."""
    try:
        with wave.open(str(path)) as sound:
            width, channels, data = sound.getsampwidth(), sound.getnchannels(), sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error}): save it as .wav of 8, 16, 24 or 32 bits (PCM)") from None
    if width == 1:
        values = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    elif width == 3:
        bytes_ = np.frombuffer(data, np.uint8).reshape(-1, 3)
        padded = np.concatenate([np.zeros((len(bytes_), 1), np.uint8), bytes_], 1)
        values = padded.copy().view("<i4")[:, 0].astype(np.float32) / 2**31
    else:
        values = np.frombuffer(data, "<i2" if width == 2 else "<i4").astype(np.float32) / 2 ** (8 * width - 1)
    return values.reshape(-1, channels).mean(1)
