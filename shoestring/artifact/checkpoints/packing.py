"""What packing a file did, and saving the packed file where nobody else wrote meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoestring.artifact.format.saving import check_place, replacing
from shoestring.artifact.format.tensors import ELEMENTS, Packed, Tensor


@dataclass(frozen=True)
class Packing:
    """The result of packing.

    `path`: of the file that was written.
    `bytes_before`, `bytes_after`: of the two files.
    `seconds`: that packing took.
    `kinds`: for each element type its name, tensors, numbers, bytes before and bytes after.
    `rest`: what the remaining bytes are for.
    """

    path: Path
    bytes_before: int
    bytes_after: int
    seconds: float
    kinds: tuple[tuple[str, int, int, int, int], ...]
    rest: str = "names, shapes, tables"

    def as_text(self) -> str:
        """The bill in words; its lines add up to the size of the file."""
        lines = [
            f"{after:>15,}  {name:<9} {numbers:,} numbers in {tensors:,} tensors, {before:,} "
            f"bytes: {_less(before, after)}"
            for name, tensors, numbers, before, after in self.kinds
        ]
        rest = self.bytes_after - sum(kind[-1] for kind in self.kinds)
        lines.append(f"{rest:>15,}  {self.rest}")
        whole = f"{self.bytes_before:,} bytes: {_less(self.bytes_before, self.bytes_after)}"
        lines.append(
            f"{self.bytes_after:>15,}  {self.path} of {whole}; read back and compared, in "
            f"{self.seconds:.1f} s"
        )
        return "\n".join(lines)


def _less(before: int, after: int) -> str:
    return f"{1 - after / before:.1%} less" if 0 < after <= before else f"{after - before:,} more"


def by_type(tensors: Iterable[Packed]) -> tuple[tuple[str, int, int, int, int], ...]:
    """The `kinds` of a `Packing`."""
    kinds: dict[str, list[float]] = {}
    for packed in tensors:
        line = kinds.setdefault(ELEMENTS[packed.tensor.element][0], [0, 0, 0, 0])
        sizes = (
            1,
            packed.tensor.bits.size,
            packed.tensor.bits.nbytes,
            packed.model_bits / 8 + packed.raw_bytes,
        )
        line[:] = [a + b for a, b in zip(line, sizes, strict=True)]
    return tuple((name, *(int(n) for n in line)) for name, line in kinds.items())  # pyright: ignore[reportReturnType]


def all_close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same type, shape and bits."""
    return a.element == b.element and np.array_equal(a.bits, b.bits)


def check_target(source: Path, out: Path) -> None:
    """Raise OSError or ValueError where `out` is no place to write the packed `source`."""
    check_place(out)
    if out.exists() and out.samefile(source):
        raise ValueError(f"{out} is the checkpoint itself: name another file to write")


def seen(path: Path) -> tuple[int, int, int] | None:
    """A file's inode, time and size, which a later file differs in; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def unchanged(out: Path, there: tuple[int, int, int] | None) -> None:
    """Raises FileExistsError where something was written to `out` since `there` was `seen`."""
    if seen(out) != there:
        raise FileExistsError(
            f"another command wrote {out} meanwhile, and it stays as it is; name another file to "
            "write"
        )


@contextmanager
def steady(source: Path) -> Iterator[None]:
    """Raises ValueError where the file at `source` changed in this context.

    It is raised in place of any other error, which may come from the change.
    """
    there = seen(source)

    def check() -> None:
        if seen(source) != there:
            raise ValueError(
                f"{source} changed while it was packed, and nothing was written: pack it again "
                "when no other command writes it"
            )

    try:
        yield
    except Exception:
        check()
        raise
    check()


def save_new(out: Path, data: bytes, there: tuple[int, int, int] | None) -> None:
    """Save a file, where nothing else was written there since `there` was `seen`.

    Raises FileExistsError where something was.
    """
    with replacing(out, lambda: unchanged(out, there)) as file:
        file.write(data)
