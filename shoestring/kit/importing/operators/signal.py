"""ONNX's operators on signals as torch functions: Fourier transforms and windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.kit.importing.operators.operator import TYPES, Array, Attributes, Operator, integers


def _fourier(a: Attributes, value: Tensor, length: Any = None, axis: Any = None) -> Tensor:
    """A Fourier transform; before opset 20 its axis was an attribute.

    The last axis holds real and imaginary parts, or real parts alone.
    """
    along = a("axis", 1 if a.opset < 20 else -2) if axis is None else int(axis.reshape(-1)[0])
    along = along % value.ndim
    count = None if length is None else integers(length)[0]
    inverse, onesided = a("inverse", 0), a("onesided", 0)
    signal = torch.complex(
        value[..., 0], value[..., 1] if value.shape[-1] == 2 else torch.zeros_like(value[..., 0])
    )
    if inverse and onesided:
        return torch.fft.irfft(signal, count, along).unsqueeze(-1)
    spectrum = (
        torch.fft.ifft(signal, count, along) if inverse else torch.fft.fft(signal, count, along)
    )
    if onesided:
        spectrum = spectrum.narrow(along, 0, spectrum.shape[along] // 2 + 1)
    return torch.view_as_real(spectrum)


def _short_time(
    a: Attributes, value: Tensor, step: Array, window: Any = None, length: Any = None
) -> Tensor:
    size = (
        integers(length)[0]
        if length is not None
        else value.shape[1]
        if window is None
        else len(window)
    )
    frames = value.unfold(1, size, integers(step)[0])  # (N, frames, parts, size)
    frames = frames if window is None else frames * window
    real = frames[:, :, 0]
    if a("onesided", 1):
        return torch.view_as_real(torch.fft.rfft(real, dim=-1))
    given = torch.complex(real, frames[:, :, 1] if frames.shape[2] == 2 else torch.zeros_like(real))
    return torch.view_as_real(torch.fft.fft(given, dim=-1))


def _window(*terms: float) -> Operator:
    """A window that is a sum of cosines."""

    def call(a: Attributes, size: Array) -> Tensor:
        count = integers(size)[0]
        phase = torch.arange(count, dtype=torch.float64) * (
            2 * math.pi / (count if a("periodic", 1) else count - 1)
        )
        total: Any = sum(term * torch.cos(index * phase) for index, term in enumerate(terms))
        return total.to(TYPES[a("output_datatype", 1)])

    return Operator(call, known=(0,))


def _mel(a: Attributes, bins: Array, length: Array, rate: Array, low: Array, high: Array) -> Tensor:
    """Triangles between frequencies that are evenly spaced on the mel scale."""
    count, size = integers(bins)[0], integers(length)[0]
    lowest, highest = (
        2595 * np.log1p(float(frequency) / 700) / np.log(10)
        for frequency in (low.reshape(-1)[0], high.reshape(-1)[0])
    )
    mels = np.arange(count + 2) * ((highest - lowest) / (count + 2)) + lowest
    bin_edges = (
        (size + 1) * (700 * np.expm1(mels / 2595 * np.log(10))) // integers(rate)[0]
    ).astype(int)
    filters = np.zeros((size // 2 + 1, count))
    for index in range(count):
        left, middle, right = bin_edges[index : index + 3]
        if left == middle:
            filters[middle, index] = 1
        else:
            filters[left : middle + 1, index] = np.arange(middle - left + 1) / (middle - left)
        if right > middle:
            filters[middle:right, index] = np.arange(right - middle, 0, -1) / (right - middle)
    return torch.from_numpy(filters).to(TYPES[a("output_datatype", 1)])


TABLE: dict[str, Operator] = {
    "BlackmanWindow": _window(0.42, -0.5, 0.08),
    "DFT": Operator(_fourier, known=(1, 2)),
    "HammingWindow": _window(25 / 46, -21 / 46),
    "HannWindow": _window(0.5, -0.5),
    "MelWeightMatrix": Operator(_mel, known=(0, 1, 2, 3, 4)),
    "STFT": Operator(_short_time, known=(1, 3)),
}
