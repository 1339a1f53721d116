"""Products and convolutions of signs: what a binary layer computes, exactly, on bits.

An input counts as -1 where it is below 0 and as +1 otherwise (0, -0 and NaN included). A weight is
its filter's scale times -1 or +1. A sum of products of signs is an integer: the number of inputs,
minus twice the number whose sign differs from the weight's. So every answer is the float32 product
of that integer, which is exact, and the scale. What lies outside an image counts as +1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from os import cpu_count
from typing import Any, NamedTuple

import numpy as np

from shoestring.artifact.errors import missing

LANES = 16
MOST_INPUTS = 1 << 24  # of a sum, so that float32 holds it exactly
_ROWS = 128  # rows that are packed and multiplied at once, so that their words stay in the cache
_GEOMETRIES = 8  # image sizes for which a convolution remembers what each output pixel sees


def available() -> bool:
    """Whether llvmlite, which compiles the kernels, is installed (the extra `fast`)."""
    return find_spec("llvmlite") is not None


@cache
def kernels() -> dict[str, Callable[..., None]]:
    """The compiled functions of `sign_code`, by name.

    They are compiled once in a process, which takes a tenth of a second. Raises ModuleNotFoundError
    where llvmlite is not installed.
    """
    try:
        from shoestring.artifact.kernels import sign_code
    except ModuleNotFoundError as error:
        raise missing(error.name or "llvmlite", extra="fast") from None
    return bound(sign_code.compiled())


def bound(compiled: tuple[dict[str, int], Any]) -> dict[str, Callable[..., None]]:
    """The result of `sign_code.compiled` as Python functions, which run without the GIL."""
    from shoestring.artifact import machine_code
    from shoestring.artifact.kernels.sign_code import ARGUMENTS

    return machine_code.bound(compiled, ARGUMENTS)


def scales_of(weights: np.ndarray) -> np.ndarray | None:
    """The magnitude of each filter (axis 0) as float32.

    None where the magnitudes in a filter differ or are not finite.
    """
    rows = np.abs(weights.reshape(len(weights), -1)) if weights.size else weights
    if not rows.size or not np.isfinite(rows[:, 0]).all() or not (rows == rows[:, :1]).all():
        return None
    return rows[:, 0].astype(np.float32)


def _scaled(magnitudes: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """Magnitudes times scales, in float32 as the kernels read them.

    Raises ValueError where the shapes differ.
    """
    if scale is None:
        return magnitudes
    if scale.shape != magnitudes.shape:
        raise ValueError(
            f"scale has shape {list(scale.shape)} and {list(magnitudes.shape)} is wanted: a number "
            "for each filter"
        )
    return (magnitudes * scale).astype(np.float32)


def words_of(below: np.ndarray) -> np.ndarray:
    """Rows of booleans as words of 32 bits, the first in the lowest bit, padded with 0."""
    padded = np.zeros((len(below), -(-below.shape[1] // 32) * 32), np.uint8)
    padded[:, : below.shape[1]] = below
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)


class SignProduct:
    """`x @ weights.T` of the signs of x, times `scale` where it is given.

    `weights`: (out × in), with one magnitude in each row.
    `scale`: (out).
    `threads`: threads of a call, 1 or more; None for as many as there are cores.
    `functions`: used instead of `kernels()`.
    Raises ValueError for other weights, and ModuleNotFoundError where llvmlite is not installed.
    """

    def __init__(
        self,
        weights: np.ndarray,
        scale: np.ndarray | None = None,
        *,
        threads: int | None = 1,
        functions: dict[str, Any] | None = None,
    ) -> None:
        scales = scales_of(weights)
        if scales is None or weights.ndim != 2 or not 0 < weights.shape[1] < MOST_INPUTS:
            raise ValueError(
                f"weights of shape {list(weights.shape)} are not a scale times -1 or +1 in each row"
            )
        self.outputs, self.inputs = weights.shape
        self._functions, self._threads = functions or kernels(), threads
        words = words_of(weights < 0)
        panels = -(-self.outputs // LANES)
        filled = np.zeros((panels * LANES, words.shape[1]), np.uint32)
        filled[: self.outputs] = words
        # The same word of sixteen rows is a vector of the kernel.
        self._panels = np.ascontiguousarray(filled.reshape(panels, LANES, -1).transpose(0, 2, 1))
        self._scales = np.zeros(panels * LANES, np.float32)
        self._scales[: self.outputs] = _scaled(scales, scale)
        self._ones = np.ones(_ROWS, np.float32)
        # Addresses are looked up once: ten look-ups take as long as a call of a small layer.
        self._known = (
            address(self._panels),
            len(self._panels),
            self.outputs,
            address(self._ones),
            address(self._scales),
        )

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Float32 (... × out) of float32 (... × in).

        `out`: where to write the result. It must be contiguous, of the result's shape, and share no
            memory with x.
        """
        if x.ndim < 1 or x.shape[-1] != self.inputs or x.dtype != np.float32:
            raise ValueError(
                f"float32 of shape [..., {self.inputs}] is wanted, not {x.dtype} of {list(x.shape)}"
            )
        shape = (*x.shape[:-1], self.outputs)
        x = np.ascontiguousarray(x)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(
                f"out must be float32 of shape {list(shape)} without gaps, not {out.dtype} of "
                f"{list(out.shape)}"
            )
        elif not out.flags.writeable or np.may_share_memory(x, out):  # the kernel cannot check that
            raise ValueError("out must be writable, and in other memory than x")
        count, steps = out.size // self.outputs, self._panels.shape[1]
        source, goal, pack, multiply = (
            address(x),
            address(out),
            self._functions["pack_rows"],
            self._functions["multiply"],
        )

        def block(first: int) -> None:
            rows = min(_ROWS, count - first)
            words = np.empty(rows * steps, np.uint32)
            packed = address(words)
            pack(source + 4 * first * self.inputs, rows, self.inputs, packed)
            multiply(
                packed,
                steps,
                rows,
                *self._known,
                goal + 4 * first * self.outputs,
                self.outputs,
                self.inputs,
            )

        _spread(block, range(0, count, _ROWS), self._threads)
        return out


class SignConvolution:
    """A two-dimensional convolution of the signs of images.

    `filters`: (out × in × height × width), with one magnitude in each filter.
    `scale`: (out), an additional factor of each filter.
    `strides`, `dilations`: of rows and of columns, 1 or more.
    `pads`: rows above, columns left, rows below and columns right, filled with +1.
    `threads`: threads of a call, 1 or more; None for as many as there are cores.
    `functions`: used instead of `kernels()`.
    Raises ValueError for other filters or settings, and ModuleNotFoundError where llvmlite is not
    installed.
    """

    def __init__(
        self,
        filters: np.ndarray,
        scale: np.ndarray | None = None,
        *,
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilations: tuple[int, int] = (1, 1),
        threads: int | None = 1,
        functions: dict[str, Any] | None = None,
    ) -> None:
        scales = scales_of(filters)
        if scales is None or filters.ndim != 4 or not 0 < filters[0].size < MOST_INPUTS:
            raise ValueError(
                f"filters of shape {list(filters.shape)} are not a scale times -1 or +1 in each"
            )
        if min(strides) < 1 or min(dilations) < 1 or min(pads) < 0:
            raise ValueError(
                f"strides {strides} and dilations {dilations} must be 1 or more, pads {pads} 0 or "
                "more"
            )
        self.outputs, self.channels = filters.shape[:2]
        self._size, self._strides, self._pads, self._dilations = (
            filters.shape[2:],
            strides,
            pads,
            dilations,
        )
        self._functions, self._threads = functions or kernels(), threads
        self._scales = _scaled(scales, scale)
        taps = filters.shape[2] * filters.shape[3]
        # The order of the panels: by filter, by 32 channels, by tap.
        by_tap = words_of(
            (filters < 0).transpose(0, 2, 3, 1).reshape(self.outputs * taps, self.channels)
        )
        self._filters = np.ascontiguousarray(
            by_tap.reshape(self.outputs, taps, -1).transpose(0, 2, 1)
        )
        self._known = address(self._filters), self.outputs, address(self._scales)
        self._views: dict[tuple[int, int], _View] = {}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Float32 images (N × out × ...) of float32 images (N × in × height × width)."""
        if x.ndim != 4 or x.shape[1] != self.channels or x.dtype != np.float32:
            raise ValueError(
                f"float32 of shape [N, {self.channels}, height, width] is wanted, not {x.dtype} of "
                f"{list(x.shape)}"
            )
        x = np.ascontiguousarray(x)
        view = self._views.get(x.shape[2:]) or self._view(x.shape[2], x.shape[3])
        count, pixels = len(x), x.shape[2] * x.shape[3]
        out = np.empty((count, self.outputs, *view.size), np.float32)
        if not out.size:
            return out
        planes, taps = self._filters.shape[1:]
        source, goal, out_pixels, columns = (
            address(x),
            address(out),
            view.size[0] * view.size[1],
            view.table.shape[1],
        )
        convolve, share = self._functions["convolve"], -(-count // _cores(self._threads))

        def share_of_images(first: int) -> None:
            words, panels = planes * (pixels + 1), columns * planes * taps
            room = np.empty(words + panels, np.uint32)
            packed = address(room)
            convolve(
                source + 4 * first * self.channels * pixels,
                min(share, count - first),
                self.channels,
                pixels,
                view.known[0],
                taps,
                packed,
                packed + 4 * words,
                *self._known,
                view.known[1],
                goal + 4 * first * self.outputs * out_pixels,
                out_pixels,
            )

        _spread(share_of_images, range(0, count, share), self._threads)
        return out

    def _view(self, height: int, width: int) -> _View:
        """What the output pixels see in images of this size."""
        above, left, below, right = self._pads
        sizes = [
            (length + before + after - dilation * (taps - 1) - 1) // stride + 1
            for length, before, after, taps, stride, dilation in zip(
                (height, width),
                (above, left),
                (below, right),
                self._size,
                self._strides,
                self._dilations,
                strict=True,
            )
        ]
        if min(sizes) < 1:
            raise ValueError(
                f"images of {height} by {width} are smaller than the filters, which are "
                f"{list(self._size)}"
            )
        if height * width >= 1 << 31:
            raise ValueError(f"images of {height} by {width} have too many pixels")
        rows, columns = (
            np.arange(size)[None, :] * stride + np.arange(taps)[:, None] * dilation - before
            for size, stride, taps, dilation, before in zip(
                sizes, self._strides, self._size, self._dilations, (above, left), strict=True
            )
        )
        row, column = rows[:, None, :, None], columns[None, :, None, :]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        seen = np.where(inside, row * width + column, height * width).reshape(
            len(rows) * len(columns), -1
        )
        table = np.full((len(seen), -(-seen.shape[1] // LANES) * LANES), height * width, np.int32)
        table[:, : seen.shape[1]] = seen
        ones = np.ones(table.shape[1], np.float32)
        if len(self._views) >= _GEOMETRIES:
            self._views.clear()
        view = _View((sizes[0], sizes[1]), table, ones, (address(table), address(ones)))
        return self._views.setdefault((height, width), view)


class _View(NamedTuple):
    """What the pixels of an output see.

    `size`: of the output, (height, width).
    `table`: for each tap and output pixel the input pixel, or height × width outside the image.
    `ones`: the scales of the columns.
    `known`: the addresses of the two arrays.
    """

    size: tuple[int, int]
    table: np.ndarray
    ones: np.ndarray
    known: tuple[int, int]


def address(array: np.ndarray) -> int:
    """The address of a contiguous array; faster than `array.ctypes.data`."""
    return array.__array_interface__["data"][0]


def _cores(threads: int | None) -> int:
    return threads or cpu_count() or 1


def _spread(job: Callable[[int], None], firsts: Iterable[int], threads: int | None) -> None:
    """Run the jobs on so many threads (None: as many as there are cores)."""
    firsts, workers = list(firsts), _cores(threads)
    if workers == 1 or len(firsts) < 2:  # there may be no job, as without examples
        for first in firsts:
            job(first)
        return
    with ThreadPoolExecutor(min(workers, len(firsts))) as pool:
        for _ in pool.map(job, firsts):
            pass
