"""ONNX's operators on signals as torch's: Fourier transforms and windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.kit.importing.operators.operator import TYPES, Array, Attributes, Operator, whole


def _fourier(a: Attributes, value: Tensor, length: Any = None, axis: Any = None) -> Tensor:
    """Before opset 20 the axis was an attribute.

    The last axis holds real and imaginary parts, or real ones alone.
    """
    along = a("axis", 1 if a.opset < 20 else -2) if axis is None else int(axis.reshape(-1)[0])
    along = along % value.ndim
    count = None if length is None else whole(length)[0]
    inverse, onesided = a("inverse", 0), a("onesided", 0)
    given = torch.complex(
        value[..., 0], value[..., 1] if value.shape[-1] == 2 else torch.zeros_like(value[..., 0])
    )
    if inverse and onesided:
        return torch.fft.irfft(given, count, along).unsqueeze(-1)
    made = torch.fft.ifft(given, count, along) if inverse else torch.fft.fft(given, count, along)
    if onesided:
        made = made.narrow(along, 0, made.shape[along] // 2 + 1)
    return torch.view_as_real(made)


def _short_time(
    a: Attributes, value: Tensor, step: Array, window: Any = None, length: Any = None
) -> Tensor:
    size = (
        whole(length)[0]
        if length is not None
        else value.shape[1]
        if window is None
        else len(window)
    )
    frames = value.unfold(1, size, whole(step)[0])  # (N, frames, parts, size)
    frames = frames if window is None else frames * window
    real = frames[:, :, 0]
    if a("onesided", 1):
        return torch.view_as_real(torch.fft.rfft(real, dim=-1))
    given = torch.complex(real, frames[:, :, 1] if frames.shape[2] == 2 else torch.zeros_like(real))
    return torch.view_as_real(torch.fft.fft(given, dim=-1))


def _window(*terms: float) -> Operator:
    """A sum of cosines."""

    def call(a: Attributes, size: Array) -> Tensor:
        count = whole(size)[0]
        turns = torch.arange(count, dtype=torch.float64) * (
            2 * math.pi / (count if a("periodic", 1) else count - 1)
        )
        total: Any = sum(term * torch.cos(turn * turns) for turn, term in enumerate(terms))
        return total.to(TYPES[a("output_datatype", 1)])

    return Operator(call, known=(0,))


def _mel(a: Attributes, bins: Array, length: Array, rate: Array, low: Array, high: Array) -> Tensor:
    """Triangles between frequencies that lie equally far apart on the mel scale."""
    count, size = whole(bins)[0], whole(length)[0]
    lowest, highest = (
        2595 * np.log1p(float(one) / 700) / np.log(10)
        for one in (low.reshape(-1)[0], high.reshape(-1)[0])
    )
    mels = np.arange(count + 2) * ((highest - lowest) / (count + 2)) + lowest
    places = ((size + 1) * (700 * np.expm1(mels / 2595 * np.log(10))) // whole(rate)[0]).astype(int)
    found = np.zeros((size // 2 + 1, count))
    for at in range(count):
        left, middle, right = places[at : at + 3]
        if left == middle:
            found[middle, at] = 1
        else:
            found[left : middle + 1, at] = np.arange(middle - left + 1) / (middle - left)
        if right > middle:
            found[middle:right, at] = np.arange(right - middle, 0, -1) / (right - middle)
    return torch.from_numpy(found).to(TYPES[a("output_datatype", 1)])


TABLE: dict[str, Operator] = {
    "BlackmanWindow": _window(0.42, -0.5, 0.08),
    "DFT": Operator(_fourier, known=(1, 2)),
    "HammingWindow": _window(25 / 46, -21 / 46),
    "HannWindow": _window(0.5, -0.5),
    "MelWeightMatrix": Operator(_mel, known=(0, 1, 2, 3, 4)),
    "STFT": Operator(_short_time, known=(1, 3)),
}
