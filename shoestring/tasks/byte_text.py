"""The next byte of a text, in lines: any language, without a vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.artifact import BytePrefix, InputChain
from shoestring.core import Predict, Task, array
from shoestring.tasks.fetch import DataError

END_OF_LINE = 10
"""The byte that ends a line, and that stands before each."""
_SPLITS = ("train", "validation", "test")
_LONGEST = 1024  # bytes of a line that are scored; longer ones are cut
_AT_ONCE = 1 << 14  # bytes that are scored together, about
_HELD_OUT = 16  # of a reader's own lines, one in 16 is for validation


@dataclass(frozen=True, kw_only=True, eq=False)
class ByteText(Task):
    """Predict each byte of lines, in UTF-8, from the bytes of the line before it.

    Each line is predicted on its own, after the byte of a line end, and ends with one, which is
    predicted too. In training the model gets rows of bytes, `model(rows)` with rows N×(T+1)
    (int64), and returns logits N×T×256 of the bytes after the first of each row; a row begins with
    a line end, has as many lines as it holds, and is cut at its end. A file reads one byte at a
    time: `model(ids, state)` takes a byte of each text N (int64) and states N×H, and returns the
    log-probabilities N×256 of the next byte, in nats, and the states after this one.

    The score is the mean log-probability of a byte in bits, at most 0: minus the bits per byte.
    Limit what may be lost in bits: `drop<=0.02`.

    `train`, `validation`, `test`: the lines of a text, in bytes, without line ends. Lines longer
        than 1,024 bytes are cut.
    `states`: how many numbers a state has, H: as the model's.
    `window`: bytes of a training row, T, 8 or more.
    `batch_size`: rows of a training batch, 1 or more.
    `name`: tells tasks apart in records.

    Raises ValueError for numbers out of range, lines with line ends and a split without lines.
    """

    train: Sequence[bytes] = field(repr=False)
    validation: Sequence[bytes] = field(repr=False)
    test: Sequence[bytes] = field(repr=False)
    states: int = 195
    window: int = 128
    batch_size: int = 64
    name: str = "byte text"
    input_chain: InputChain | None = field(
        default_factory=lambda: InputChain(steps=(BytePrefix(),)), repr=False
    )
    _chosen: tuple[int, ...] | None = field(default=None, repr=False)
    """The numbers of the validation lines that are scored; None: all."""

    def __post_init__(self) -> None:
        if self.window < 8 or self.batch_size < 1 or self.states < 1:
            raise ValueError(
                f"the window is {self.window}, the batch size {self.batch_size} and the states "
                f"{self.states}: they must be at least 8, 1 and 1"
            )
        for split in _SPLITS:
            lines = [cut for line in getattr(self, split) for cut in _cut(line)]
            if not lines:
                raise ValueError(f"the {split} split has no line with a byte in it: give text")
            if any(END_OF_LINE in line for line in lines):
                raise ValueError(f"a line of {split} has a line end in it: split the text there")
            object.__setattr__(self, split, tuple(lines))

    def batches(self, split: str, *, model: Any = None) -> Iterator[Tensor]:
        """Batches of rows N×(T+1) for training, else of lines; -1 where a line is shorter.

        The order of the lines of "train" is drawn anew for each pass.
        """
        if split != "train":
            yield from self._scored(split)
            return
        rows = self._rows()
        for indices in torch.randperm(len(rows)).split(self.batch_size):
            yield rows[indices]

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The mean over bytes of minus the log-probability, in nats."""
        logits = model(batch.clamp(min=0))
        return functional.cross_entropy(
            logits.flatten(0, 1).float(), batch[:, 1:].flatten(), ignore_index=-1
        )

    def score(self, predict: Predict, split: str) -> float:
        """The mean log-probability of a byte, in bits."""
        return float(self.merits(predict, split).mean())

    def merits(self, predict: Predict, split: str) -> np.ndarray:
        """The log-probability of each byte in bits, by the length of the lines."""
        parts = list[np.ndarray]()
        for rows in self._scored(split):
            likely = line_log_probabilities(predict, rows.numpy(), self.states)
            parts.append(likely[rows[:, 1:].numpy() >= 0])
        return np.concatenate(parts) / log(2)

    def sampled(self, examples: int, seed: int) -> Task:
        """The same task with at most `examples` validation lines (1 or more)."""
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        if examples >= len(self.validation):
            return self
        drawn = np.random.default_rng(seed).choice(len(self.validation), examples, replace=False)
        task = copy(self)
        object.__setattr__(task, "_chosen", tuple(np.sort(drawn).tolist()))
        return task

    def example(self) -> Any:
        """A byte of each of two texts, and their states; the number of texts varies."""
        return (torch.tensor([END_OF_LINE, 97]), torch.zeros(2, self.states)), {}

    def _rows(self) -> Tensor:
        """Rows of training, R×(T+1): each begins where a line does."""
        order = torch.randperm(len(self.train)).tolist()
        stream = np.frombuffer(b"\n" + b"\n".join(self.train[i] for i in order) + b"\n", np.uint8)
        ends = np.flatnonzero(stream == END_OF_LINE)
        if len(stream) <= self.window:
            filled = np.full((1, self.window + 1), -1, np.int64)
            filled[0, : len(stream)] = stream
            return torch.from_numpy(filled)
        starts = list[int]()
        place = 0
        while place + self.window < len(stream):
            starts.append(place)
            following = int(np.searchsorted(ends, place + self.window))
            if following >= len(ends):
                break
            place = int(ends[following])
        at = np.array(starts)[:, None] + np.arange(self.window + 1)
        return torch.from_numpy(stream[at].astype(np.int64))

    def _scored(self, split: str) -> Iterator[Tensor]:
        """The lines of a split, the shortest first, N×(T+1) with -1 after their ends."""
        if split not in _SPLITS:
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        lines: Sequence[bytes] = getattr(self, split)
        if split == "validation" and self._chosen is not None:
            lines = [lines[number] for number in self._chosen]
        for rows in line_rows(lines):
            yield torch.from_numpy(rows)


def line_rows(lines: Sequence[bytes]) -> Iterator[np.ndarray]:
    """Lines as rows N×(T+1) (int64), about 16,384 bytes at a time, the shortest first.

    A row has a line end, the line, its line end, and -1 where other lines are longer.
    """
    ordered = sorted(lines, key=len)
    at = 0
    while at < len(ordered):
        count = max(1, _AT_ONCE // (len(ordered[min(at + 255, len(ordered) - 1)]) + 2))
        some = ordered[at : at + min(256, count)]
        at += len(some)
        rows = np.full((len(some), len(some[-1]) + 2), -1, np.int64)
        for row, line in zip(rows, some, strict=True):
            row[: len(line) + 2] = np.frombuffer(b"\n" + line + b"\n", np.uint8)
        yield rows


def line_log_probabilities(predict: Any, rows: np.ndarray, states: int) -> np.ndarray:
    """The log-probability of each byte after the first of rows, in nats: N×T (float64).

    `predict`: a module, which reads whole rows, or a file, which reads a byte at a time.
    `rows`: N×(T+1), as `line_rows` gives them; where they are -1 the number means nothing.
    `states`: how many numbers a state has.
    """
    ids = np.maximum(rows, 0)
    if isinstance(predict, torch.nn.Module):
        logits = predict(torch.from_numpy(ids)).float().log_softmax(-1)
        chosen = logits.gather(-1, torch.from_numpy(ids[:, 1:, None])).squeeze(-1)
        return array(chosen).astype(np.float64)
    state: Any = np.zeros((len(ids), states), np.float32)
    likely = np.zeros((len(ids), ids.shape[1] - 1))
    for at in range(ids.shape[1] - 1):
        of_next, state = predict(ids[:, at], state)
        likely[:, at] = np.take_along_axis(array(of_next), ids[:, at + 1, None], 1)[:, 0]
    return likely


def byte_text(
    lines: Mapping[str, Sequence[str]], *, states: int = 195, name: str = "byte text"
) -> ByteText:
    """The task of lines of "train", "validation" and "test"; without "test", validation is it."""
    held_out = lines["validation"]
    return ByteText(
        train=_bytes(lines["train"]),
        validation=_bytes(held_out),
        test=_bytes(lines.get("test", held_out)),
        states=states,
        name=name,
    )


def lines_of(path: Path) -> dict[str, list[str]]:
    """The lines of a text file: one in 16 for "validation", the others for "train".

    Equal lines are in one split. Raises DataError for a text with fewer than 16 different lines,
    and OSError for none.
    """
    lines = all_lines(path)
    different = list(dict.fromkeys(lines))
    if len(different) < _HELD_OUT:
        raise DataError(
            f"{path} has {len(different)} different lines, and {_HELD_OUT} are needed: give more "
            "text, with a line end after each sentence or paragraph"
        )
    held_out = set(different[::_HELD_OUT])
    return {
        "train": [line for line in lines if line not in held_out],
        "validation": different[::_HELD_OUT],
    }


def all_lines(path: Path) -> list[str]:
    """The lines of a text file without spaces around them; empty ones are left out.

    What is no UTF-8 is taken for U+FFFD. Raises OSError for no file.
    """
    text = path.read_bytes().decode("utf-8", "replace")
    return [stripped for line in text.split("\n") if (stripped := line.strip())]


def _bytes(lines: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(line.encode("utf-8", "replace") for line in lines)


def _cut(line: bytes) -> Iterator[bytes]:
    """A line in parts of up to 1,024 bytes, cut between characters."""
    while len(line) > _LONGEST:
        end = _LONGEST
        while end > _LONGEST - 4 and line[end] & 0xC0 == 0x80:
            end -= 1
        yield line[:end]
        line = line[end:]
    if line:
        yield line
