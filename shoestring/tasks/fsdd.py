"""The Free Spoken Digit Dataset: 3,000 recordings of the digits by six speakers, at 8 kHz."""

from __future__ import annotations

import io
import re
import tarfile
import wave
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.kit import Supervised
from shoestring.tasks.fetch import DataError, Source, fetch, present

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RATE = 8000
_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
_HOME = Source(
    "fsdd",
    f"free-spoken-digit-dataset-{_COMMIT}.tar.gz",
    f"https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/tar.gz/{_COMMIT}",
    "9a68686ad29274bd0affde81b244953e677c9d7048dfb8acaf1168d7758bafab",  # as git archive makes it
)
_RECORDINGS = Source(
    "fsdd",
    "recordings.tar.xz",
    "",
    "12a64351a12c6ff11b63aafcf947ea73203371a7e4aa0551bb79cc7b5c0d06ee",
)
_NAME = re.compile(r"(?:.*/)?recordings/([0-9])_([a-z]+)_([0-9]+)\.wav")
_TEST_TAKES, _VALIDATION_TAKES = range(5), range(5, 10)
FSDD_CHAIN = InputChain(
    steps=(LogMel(rate=RATE), Normalise(mean=(-5.0,), std=(2.5,))),
)
"""32 frames of 20 bands, one each 25 ms: 0.8 s of sound."""


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """Sounds with the digits that are said in them.

    `sounds`: int16, of 0.14 to 2.3 s.
    `digits`: 0 to 9. `speakers`: names, of SPEAKERS. `takes`: 0 to 49. One for each sound.
    """

    sounds: tuple[np.ndarray, ...] = field(repr=False)
    digits: tuple[int, ...] = field(repr=False)
    speakers: tuple[str, ...] = field(repr=False)
    takes: tuple[int, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.sounds)

    def at(self, places: list[int]) -> Recordings:
        """The recordings at these places."""
        return Recordings(
            sounds=tuple(self.sounds[place] for place in places),
            digits=tuple(self.digits[place] for place in places),
            speakers=tuple(self.speakers[place] for place in places),
            takes=tuple(self.takes[place] for place in places),
        )


def fsdd_recordings(*, unheard: str | None = None) -> dict[str, Recordings]:
    """The recordings of each split.

    `unheard`: the speaker who is tested, and is in no other split. None: takes 0 to 4 of each
        speaker and digit are tested, the split of the data set. In both cases takes 5 to 9 are for
        validation.
    Raises DataError as `fsdd` does, and ValueError for another speaker.
    """
    if unheard is not None and unheard not in SPEAKERS:
        raise ValueError(f"there is no speaker {unheard!r}: there are {', '.join(SPEAKERS)}")
    every = _read()
    splits: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for place, (speaker, take) in enumerate(zip(every.speakers, every.takes, strict=True)):
        tested = take in _TEST_TAKES if unheard is None else speaker == unheard
        kept = "validation" if take in _VALIDATION_TAKES else "train"
        splits["test" if tested else kept].append(place)
    return {split: every.at(places) for split, places in splits.items()}


def fsdd(
    *, batch_size: int = 64, unheard: str | None = None, input_chain: InputChain = FSDD_CHAIN
) -> Supervised:
    """Features N×1×frames×bands of spoken digits, and labels 0..9.

    2,400 recordings are for training, 300 (takes 5 to 9) for validation and 300 (takes 0 to 4) for
    testing. Training moves a sound by up to four frames and changes how loud it is. The task has
    its input chain, so that a file of a model takes sounds, and `fsdd_recordings` gives them.

    `batch_size`: sounds of a training batch, 1 or more.
    `unheard`: a speaker to test on, who is in no other split; see `fsdd_recordings`.
    `input_chain`: from sounds to features.
    Source: Jackson et al. 2018, github.com/Jakobovski/free-spoken-digit-dataset.
    Raises DataError where the recordings cannot be had or are damaged.
    """
    features = {
        split: (torch.from_numpy(input_chain(found.sounds)), torch.tensor(found.digits))
        for split, found in fsdd_recordings(unheard=unheard).items()
    }
    return Supervised(
        train=features["train"],
        validation=features["validation"],
        test=features["test"],
        name="fsdd" if unheard is None else f"fsdd-{unheard}",
        batch_size=batch_size,
        augment=moved_and_louder,
        input_chain=input_chain,
    )


def moved_and_louder(features: Tensor, frames: int = 4, loudness: float = 0.3) -> Tensor:
    """Features N×1×frames×bands, each moved in time and changed in loudness, at random.

    What is moved in is the sound's quietest frame in each band.
    `frames`: the farthest move, in both directions. `loudness`: the standard deviation of what is
    added to all features of a sound.
    """
    length = features.shape[2]
    quiet = features.amin(2, keepdim=True).expand(-1, -1, frames, -1)
    wide = torch.cat([quiet, features, quiet], 2)
    start = torch.randint(0, 2 * frames + 1, (len(features), 1))
    index = (start + torch.arange(length))[:, None, :, None].expand(-1, 1, -1, features.shape[3])
    louder = loudness * torch.randn(len(features), 1, 1, 1)
    return wide.gather(2, index) + louder


def _read() -> Recordings:
    source = _RECORDINGS if present(_RECORDINGS) is not None else _HOME
    path = fetch(source)
    found: dict[tuple[int, str, int], np.ndarray] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = _NAME.fullmatch(member.name)
            if name is None or (file := archive.extractfile(member)) is None:
                continue
            key = (int(name[1]), name[2], int(name[3]))
            found[key] = _samples(file.read(), f"{member.name} in {path}")
    wanted = [(d, s, t) for d in range(10) for s in SPEAKERS for t in range(50)]
    if missing := [key for key in wanted if key not in found]:
        raise DataError(f"{path} lacks {len(missing)} recordings, such as {missing[0]}")
    digits, speakers, takes = zip(*wanted, strict=True)
    return Recordings(
        sounds=tuple(found[key] for key in wanted), digits=digits, speakers=speakers, takes=takes
    )


def _samples(data: bytes, where: str) -> np.ndarray:
    """The samples of a WAV file, int16."""
    try:
        with wave.open(io.BytesIO(data)) as opened:
            form = (opened.getnchannels(), opened.getsampwidth(), opened.getframerate())
            frames = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(f"{where} is no WAV file: {error}") from None
    if form != (1, 2, RATE):
        raise DataError(f"{where} is not one channel of 16 bits at {RATE} Hz: {form}")
    return np.frombuffer(frames, "<i2").astype(np.int16)
