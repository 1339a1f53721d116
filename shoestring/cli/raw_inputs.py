"""Raw inputs from files: sounds, lines of text, arrays of numbers."""

from __future__ import annotations

import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.runtime.loaded import Loaded


def raw_results(loaded: Loaded, path: Path) -> dict[str, np.ndarray]:
    """The outputs of a file by name, given a file of raw inputs.

    `path`: a .wav file, an array in .npy, arrays in .npz (each is one raw input), or for a chain
        that takes texts a text file, of which each line is one.
    Raises ValueError where the file has no input chain, and for files of another kind.
    """
    chain = loaded.input_chain
    if chain is None:
        raise ValueError(
            f"--raw: this file has no input chain; it takes {loaded.signature()}, without --raw"
        )
    port, *others = loaded.inputs
    if others:
        names = ", ".join(port.name for port in loaded.inputs)
        raise ValueError(
            f"--raw: this file has several inputs ({names}): call it from Python, from_raw(...)"
        )
    return loaded.run({port.name: chain(raw_of(chain, path))})


def raw_of(chain: InputChain, path: Path) -> Any:
    """A batch of raw inputs from a file, as `raw_results` takes it."""
    rate = next((step.rate for step in chain.steps if isinstance(step, LogMel)), 0)
    if chain.takes_texts:
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not text in UTF-8") from None
    if path.suffix.lower() == ".wav":
        return [_sound(path, rate)]
    try:
        with path.open("rb") as opened:
            found = np.load(opened, allow_pickle=False)
            if not isinstance(found, np.ndarray):
                found = [found[name] for name in found.files]
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        raise ValueError(
            f"{path} is no .wav, .npy or .npz file of plain arrays: write one with numpy.save"
        ) from None
    return found if isinstance(found, np.ndarray) or rate else np.stack(found)


def _sound(path: Path, rate: int) -> np.ndarray:
    """The samples of a WAV file, int16."""
    try:
        with wave.open(str(path)) as opened:
            form = (opened.getnchannels(), opened.getsampwidth(), opened.getframerate())
            data = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {str(error) or 'it ends too early'}") from None
    if rate and form != (1, 2, rate):
        raise ValueError(
            f"{path} has {form[0]} channels of {8 * form[1]} bits at {form[2]} Hz, and the file "
            f"takes one of 16 bits at {rate} Hz: convert it, as with ffmpeg -i {path.name} -ac 1 "
            f"-ar {rate} -sample_fmt s16 new.wav"
        )
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
