"""Log-mel features: how loud a sound is in each band of frequencies, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from shoestring.artifact.chains.checks import number, whole

BIN = 256
"""Edges of bands are in this part of a bin of the Fourier transform."""
WEIGHT_BITS = 15
"""A weight of a bin in a band is in 2^-15."""
_MOST_VALUES, _MOST_SAMPLES = 1 << 20, 1 << 22
_LOUDEST = 2.0
"""Floats a little beyond -1 to 1 are cut off; much beyond it they are on another scale."""


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """The natural logarithm of the energy in bands that are equally wide in mel.

    A sound is cut, or padded with silence, to `samples` samples. Each frame is weighted by a
    periodic Hann window and transformed; a band is a triangle over the squared magnitudes of bins,
    up to the centres of its neighbours. Edges are rounded to 1/256 of a bin and weights down to
    2^-15, so that integers give the same features on a microcontroller.

    Source: Davis & Mermelstein 1980, section II; mel as in O'Shaughnessy 1987: 2595 log10(1 + f /
        700).
    Differs: without the cosine transform, which a network's first layer does not need.

    `rate`: samples in a second. `window`: samples of a frame, a power of two, 32 to 4096.
    `hop`: samples from a frame to the next, 1 to `window`.
    `bands`: how many bands, 1 to 256. `low`, `high`: where the first begins and the last ends, Hz.
    `frames`: how many frames.
    `floor`: what is added to each energy, of samples in -1..1: what is quieter is silence.

    Raises ValueError for other fields, and for bands so narrow that one has no bin.
    """

    rate: int = 8000
    window: int = 256
    hop: int = 200
    bands: int = 20
    low: float = 60.0
    high: float = 3800.0
    frames: int = 32
    floor: float = 1e-3

    def __post_init__(self) -> None:
        whole("rate", self.rate, 1000, 192_000)
        whole("window", self.window, 32, 4096)
        if self.window & (self.window - 1):
            raise ValueError(f"window is {self.window}: it must be a power of two")
        whole("hop", self.hop, 1, self.window)
        whole("bands", self.bands, 1, 256)
        whole("frames", self.frames, 1, 4096)
        number("low", self.low, 0, self.rate / 2)
        number("high", self.high, 0, self.rate / 2)
        number("floor", self.floor, 1e-9, 1.0)
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}: low must be lower")
        if self.frames * self.bands > _MOST_VALUES:
            raise ValueError(f"{self.frames} frames of {self.bands} bands are too many features")
        if self.frames * self.window > _MOST_SAMPLES:
            raise ValueError(
                f"{self.frames} frames of {self.window} samples are too many: {_MOST_SAMPLES:,} "
                "samples at most"
            )
        edges = self.edges
        for band, (first, last) in enumerate(zip(edges, edges[2:], strict=False)):
            if last // BIN * BIN <= first or (last % BIN == 0 and last - BIN <= first):
                raise ValueError(
                    f"band {band} of {self.bands} has no bin of {self.rate / self.window:g} Hz: "
                    "take fewer bands, a higher low or a longer window"
                )

    @property
    def samples(self) -> int:
        """How many samples of a sound count."""
        return (self.frames - 1) * self.hop + self.window

    @property
    def edges(self) -> tuple[int, ...]:
        """Where each band begins, the last centre and the last end, in 1/256 of a bin."""
        low, high = (2595 * np.log10(1 + one / 700) for one in (self.low, self.high))
        hertz = 700 * (10 ** (np.linspace(low, high, self.bands + 2) / 2595) - 1)
        found = np.rint(hertz * (BIN * self.window / self.rate)).astype(int)
        return tuple(int(one) for one in np.clip(found, 0, BIN * self.window // 2))

    def filters(self) -> np.ndarray:
        """The weight of each bin in each band: float64, (bands, window / 2 + 1)."""
        weights = np.zeros((self.bands, self.window // 2 + 1))
        edges, whole_weight = self.edges, 1 << WEIGHT_BITS
        for place, (first, last) in enumerate(pairwise(edges)):
            for at in range(first // BIN + 1, -(-last // BIN)):
                rising = (at * BIN - first) * whole_weight // (last - first)
                if place < self.bands:
                    weights[place, at] += rising
                if place:
                    weights[place - 1, at] += whole_weight - rising
        return weights / whole_weight

    def __call__(self, raw: Any) -> np.ndarray:
        """Features N×1×frames×bands (float32).

        `raw`: N sounds, each an array of samples: int16, or floats in -1..1, which are rounded to
            int16. One array of one axis is one sound.
        Raises ValueError for sounds of another type.
        """
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        filters = self.filters().T
        return np.stack([self._features(sound, hann, filters) for sound in _sounds(raw)])[:, None]

    def _features(self, samples: np.ndarray, hann: np.ndarray, filters: np.ndarray) -> np.ndarray:
        padded = np.zeros(self.samples)
        kept = samples[: self.samples]
        padded[: len(kept)] = kept / 32768.0
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        energies = np.abs(np.fft.rfft(frames * hann)) ** 2 @ filters
        return np.log(energies + self.floor).astype(np.float32)

    def shape_of(self, _: Any) -> tuple[int, ...]:
        """The shape of the features of one sound."""
        return (1, 1, self.frames, self.bands)


def _sounds(raw: Any) -> list[np.ndarray]:
    """Sounds as int16."""
    single = isinstance(raw, np.ndarray) and raw.ndim == 0
    if isinstance(raw, str | bytes) or not isinstance(raw, Iterable) or single:
        raise ValueError(
            f"sounds are arrays of samples, and this is {type(raw).__name__}: read a file with "
            "the module wave, or another reader"
        )
    given = [raw] if isinstance(raw, np.ndarray) and raw.ndim == 1 else list(raw)
    sounds = [np.asarray(one) for one in given]
    if sounds and all(one.ndim == 0 for one in sounds):
        sounds = [np.asarray(given)]
    if not sounds:
        raise ValueError("there is no sound: give one or more")
    return [_samples(sound) for sound in sounds]


def _samples(sound: np.ndarray) -> np.ndarray:
    if sound.ndim != 1 or not (sound.dtype == np.int16 or sound.dtype.kind == "f"):
        raise ValueError(
            f"a sound is {sound.dtype.name} of the shape {list(sound.shape)}: give samples in one "
            "axis, int16, or floats in -1..1"
        )
    if sound.dtype == np.int16:
        return sound
    if not np.isfinite(sound).all():
        raise ValueError("a sound has samples that are not finite")
    if (largest := np.abs(sound).max(initial=0.0)) > _LOUDEST:
        raise ValueError(
            f"a sound of floats reaches {largest:.6g}, and floats are from -1 to 1: divide by "
            "32768, or give the samples as int16"
        )
    return np.clip(np.rint(sound * 32768.0), -32768, 32767).astype(np.int16)
