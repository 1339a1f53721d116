"""What a person has typed so far, as bytes for a network that predicts the next byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact.chains.byte_search import Completion, Step, completions
from shoestring.artifact.chains.checks import whole
from shoestring.artifact.chains.text_steps import Run, TextStep, texts_of

LINE_END = 10
_SPACE = 32


@dataclass(frozen=True, kw_only=True)
class BytePrefix(TextStep):
    """The bytes of a text in UTF-8, for a network that reads one after the other.

    A line end stands before them. Of a text with several lines the last one counts, and of that the
    last `most` bytes, from where a character begins. Control characters count as spaces, and lone
    surrogates as U+FFFD.

    The network takes a byte of each text N (int64) and states N×H, which begin as zeros; it gives
    the log-probabilities of the 256 bytes that may follow and the next states.

    `most`: how many bytes of a text count, 1 to 65,536: the last ones.
    `longest`: bytes of a completion, 1 to 1,024, at most.
    `beams`: how many beginnings of a completion are followed at a time, 1 to 256.

    Raises ValueError for other fields.
    """

    job: ClassVar[str] = "complete"
    carries_state: ClassVar[bool] = True

    most: int = 256
    longest: int = 48
    beams: int = 12

    def __post_init__(self) -> None:
        whole("most", self.most, 1, 1 << 16)
        whole("longest", self.longest, 1, 1024)
        whole("beams", self.beams, 1, 256)

    @property
    def ids(self) -> int:
        """256: every byte is its own id."""
        return 256

    def scores(self, labels: int) -> int:
        """256: one for each byte that may follow."""
        return 256

    def of_text(self, text: str) -> bytes:
        """The bytes that the network reads: a line end, then the end of the text."""
        last = text[-self.most - 1 :].rpartition("\n")[2]
        encoded = last.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
        if len(encoded) > self.most:
            encoded = encoded[-self.most :]
            start = 0
            while start < min(4, len(encoded)) and encoded[start] & 0xC0 == 0x80:
                start += 1
            encoded = encoded[start:]
        return bytes([LINE_END]) + encoded.translate(_PRINTABLE)

    def __call__(self, raw: Any) -> np.ndarray:
        """The last byte of each of N texts, or of one: N (int64).

        Raises ValueError for what are no texts.
        """
        return np.array([self.of_text(text)[-1] for text in texts_of(raw)], np.int64)

    def shape_of(self, shape: Any) -> tuple[int, ...]:
        """1: a byte of each text."""
        return (1,)

    def answers(
        self, texts: Sequence[str], labels: Sequence[str], run: Run, *, top: int = 3
    ) -> list[list[Completion]]:
        """The likeliest completions of each text, the likeliest first.

        `top`: how many at most, 1 to the number of beams.
        `run`: unlike other steps': a byte of each text N and states N×H to log-probabilities N×256
            and states, where None stands for the first states.
        Raises ValueError for another `top`.
        """
        if type(top) is not int or not 1 <= top <= self.beams:
            raise ValueError(f"top is {top!r}: it must be an integer, 1 to {self.beams}")
        step: Step = run  # type: ignore[assignment]
        return [
            completions(self.of_text(text), step, top=top, beams=self.beams, longest=self.longest)
            for text in texts
        ]

    def described(self, text: str, answer: Any) -> dict[str, Any]:
        """The text, and its completions with their probabilities."""
        found = [
            {"completion": one.text, "probability": round(one.probability, 6)} for one in answer
        ]
        return {"text": text, "completions": found}

    def line(self, answer: Any) -> str:
        """The completions, with a tab between."""
        return "\t".join(one.text for one in answer)


_PRINTABLE = bytes(_SPACE if byte < _SPACE or byte == 0x7F else byte for byte in range(256))
