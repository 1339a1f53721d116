"""A packed checkpoint that is open: its tensors are read when they are asked for, one at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from shoestring.artifact.checkpoints import checkpoint as checkpoints
from shoestring.artifact.checkpoints.safetensors import KEPT, Named
from shoestring.artifact.format import file
from shoestring.artifact.format.file import REGION, Checkpoint
from shoestring.artifact.format.indexed import Blocks, not_read, pace
from shoestring.artifact.format.saving import mapped
from shoestring.artifact.format.tensors import BLOCKS, unsigned
from shoestring.artifact.format.workers import in_order
from shoestring.artifact.wire import ShoeError

RELEASED = 1 << 26
"""So many bytes are read from a memory map before its memory is given back."""


def release(mapped: mmap.mmap) -> None:
    """Give the memory of a map back, where the system can; it is read again when it is needed."""
    with suppress(AttributeError):  # Windows has no such call
        mapped.madvise(mmap.MADV_DONTNEED)


class Opened:
    """A packed checkpoint whose tensors are read one at a time.

    Use it in a `with` statement, or call `close`.

    - `names`: of the tensors, tied ones too.
    - `notes`: texts by key.
    """

    def __init__(
        self,
        path: str | Path | mmap.mmap,
        *,
        max_bytes: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        """Open the file at `path`.

        Only its index and its small tensors are read. A file of version 2 is decoded at once.
        `path`: of the file, or the map of it.
        `max_bytes`: the most that all tensors may take together, whether they are read or not, and
            also unpacked, where tied ones are repeated; None for `room` of the file's size.
        `max_seconds`: the most work that decoding may be, as `load` takes it.
        Raises ShoeError for a damaged file and for a model, and OSError.
        """
        self._large: dict[int, Blocks] = {}
        self._map = path if isinstance(path, mmap.mmap) else mapped(Path(path))
        data = memoryview(self._map or b"")
        most = checkpoints.room(len(data)) if max_bytes is None else max_bytes
        content = self._read(data, most, max_seconds)
        if not isinstance(content, Checkpoint):
            raise ShoeError(
                f"{path} is a model and no packed checkpoint: `shoestring export` gives it as "
                "ONNX, weights and all"
            )
        self.content = content
        self.notes = content.notes
        self._most = most
        self._named = {one.name: one for one in checkpoints.everything(content)}
        places = {name: index for index, name in enumerate(content.names)}
        owners = checkpoints.tied(content)
        self._places = {name: places[owners.get(name, name)] for name in self._named}

    def _read(
        self, data: memoryview, max_bytes: int, max_seconds: float | None
    ) -> file.Content | file.Entries | Checkpoint:
        found: list[Blocks] = []

        def later(tensor: Blocks) -> np.ndarray:
            found.append(tensor)
            return not_read(tensor)

        lazy = data[4:5] == b"\4"
        content = file.unpack_any(data, max_bytes, max_seconds, later)
        self._region = file.sections(data).get(REGION, memoryview(b"")) if lazy else memoryview(b"")
        indices = [i for i, how in enumerate(content.packed) if how.coding == BLOCKS]
        self._large = dict(zip(indices, found, strict=True))
        return content

    @property
    def names(self) -> list[str]:
        """The names of all tensors, in the order of the file; tied ones come last."""
        return list(self._named)

    @property
    def steps(self) -> int:
        """How many pieces all tensors have."""
        small = len(self.content.tensors) - len(self._large)
        return 1 + small + sum(len(tensor.parts) for tensor in self._large.values())

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of the .safetensors file that was packed."""
        return checkpoints.metadata(self.content)

    def keys(self) -> list[str]:
        """The same as `names`, as safetensors calls it."""
        return self.names

    def get_tensor(self, name: str) -> np.ndarray:
        """The same as `tensor`, as safetensors calls it."""
        return self.tensor(name)

    def layout(self) -> checkpoints.Layout:
        """The .safetensors file that it unpacks to.

        Raises ShoeError for a damaged file, and for one whose tensors take more than `max_bytes`
        there.
        """
        return checkpoints.layout(self.content, self._most, list(self._named.values()))

    def described(self, name: str) -> Named:
        """The tensor with its type and shape, and no bits that mean anything; raises KeyError."""
        if name not in self._named:
            raise KeyError(f"there is no tensor {name!r} in this checkpoint")
        return self._named[name]

    def named(self, name: str) -> Named:
        """The tensor with its type and shape, and its bits; raises KeyError and ShoeError."""
        one = self.described(name)
        index = self._places[name]
        if index not in self._large:
            return one
        if self._map is None:
            raise ValueError(f"the checkpoint is closed: open it again to read {name!r}")
        return Named(name, one.dtype, one.shape, self._large[index].read(self._region))

    def tensor(self, name: str) -> np.ndarray:
        """The values of a tensor; nothing else is decoded.

        Raises KeyError for another name, ShoeError for a damaged file, and TypeError for a type
        that numpy does not have: bfloat16, and floats of 8 bits. `named(name).bits` has their bits.
        """
        one = self.named(name)
        kind = KEPT[one.dtype]
        if one.dtype == "C64":
            return one.bits.view(np.complex64).reshape(one.shape)
        if kind == "bfloat16" or one.dtype.startswith("F8"):
            raise TypeError(
                f"numpy has no {one.dtype}: take named({name!r}).bits, or read it with torch "
                "(shoestring.kit.weights.checkpoint.tensor_of)"
            )
        return one.bits.view(np.dtype(kind)).reshape(one.shape)

    def pieces(self, order: Iterable[int]) -> Iterator[np.ndarray]:
        """The bits of tensors, in pieces of at most a block, each in one axis.

        `order`: the indices of the tensors.
        """
        order = list(order)
        fast, workers = pace(sum(self._large[i].count for i in order if i in self._large))

        def jobs() -> Iterator[tuple[int, int]]:
            for index in order:
                parts = len(self._large[index].parts) if index in self._large else 1
                yield from ((index, part) for part in range(parts))

        def decode(job: tuple[int, int]) -> np.ndarray:
            index, part = job
            if index not in self._large:
                return np.ascontiguousarray(self.content.tensors[index].bits).reshape(-1)
            tensor = self._large[index]
            begin, end = tensor.bounds(part)
            bits = np.empty(end - begin, unsigned(tensor.element))
            tensor.decode(self._region, part, fast, bits)
            return bits

        done = 0
        for bits in in_order(decode, jobs(), workers):
            done += bits.nbytes
            if self._map is not None and done > RELEASED:
                release(self._map)
                done = 0
            yield bits

    def close(self) -> None:
        """Close the file. Tensors that were read stay."""
        self._region = memoryview(b"")
        self._map = None  # closed when no tensor's bits are in it

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
