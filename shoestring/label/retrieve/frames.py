"""A video as frames that a small network has tagged: where to look with an expensive one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from shoestring.artifact import tree
from shoestring.core import Predict, array


@final
@dataclass(frozen=True, kw_only=True)
class Segment:
    """Frames that belong together.

    `start`: the first frame, from 0; `end`: the first one behind it.
    `score`: the highest of its frames, 0 to 1.
    """

    start: int
    end: int
    score: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FrameIndex:
    """What a small network says of each frame, in which segments are searched.

    `probabilities`: T×C, each row with the sum 1.
    `names`: of the tags, C.

    Raises ValueError for numbers that are no probabilities.
    """

    probabilities: np.ndarray = field(repr=False)
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if len(shape) != 2 or shape[1] != len(self.names):
            raise ValueError(f"the index has the shape {shape}: give frames × {len(self.names)}")
        if not np.allclose(self.probabilities.sum(1), 1, atol=1e-3):
            raise ValueError("the tags of some frame do not sum to 1: give probabilities")

    def scores(self, name: str) -> np.ndarray:
        """The probability of a tag in each frame, T. Raises ValueError for no such tag."""
        if name not in self.names:
            raise ValueError(f"there is no tag {name!r}: there are {', '.join(self.names)}")
        return self.probabilities[:, self.names.index(name)]

    def segments(self, name: str, least: float, gap: int = 0, around: int = 0) -> list[Segment]:
        """Where a tag is, in the order of time.

        `least`: the probability from which on a frame counts, 0 to 1.
        `gap`: frames below it, 0 or more, that do not end a segment.
        `around`: frames before and behind that are looked at too, 0 or more.
        """
        scores = self.scores(name)
        found: list[Segment] = []
        for frame in np.flatnonzero(scores >= least):
            start, end = max(0, int(frame) - around), min(len(scores), int(frame) + around + 1)
            score = float(scores[frame])
            if found and start <= found[-1].end + gap:
                last = found.pop()
                start, end, score = last.start, max(end, last.end), max(score, last.score)
            found.append(Segment(start=start, end=end, score=score))
        return found

    def looked_at(self, segments: Iterable[Segment]) -> np.ndarray:
        """Whether each frame is in a segment, T."""
        seen = np.zeros(len(self.probabilities), dtype=bool)
        for segment in segments:
            seen[segment.start : segment.end] = True
        return seen


def frame_index(
    predict: Predict, frames: Any, names: tuple[str, ...], batch: int = 500
) -> FrameIndex:
    """The index of a video.

    `predict`: a module in evaluation mode or a loaded file, from frames to logits N×C.
    `frames`: T×…, as `predict` takes them; they are read a batch at a time.
    `batch`: frames at once, 1 or more.

    Raises ValueError for no frames, and for logits that are NaN.
    """
    if not len(frames):
        raise ValueError("there are no frames to index")
    parts = []
    for start in range(0, len(frames), batch):
        logits = np.asarray(tree.map(array, predict(frames[start : start + batch])))
        if np.isnan(logits).any():
            raise ValueError(f"the network gives NaN for a frame from {start} on")
        raised = np.exp(logits - logits.max(1, keepdims=True))
        parts.append(raised / raised.sum(1, keepdims=True))
    return FrameIndex(probabilities=np.concatenate(parts), names=names)


def least_for(scores: Any, relevant: Any, recall: float) -> float:
    """The highest threshold with which enough of the relevant frames are found.

    Choose it on validation data. `scores`: T; `relevant`: whether each frame is, T.
    `recall`: the share of relevant frames to find, above 0 to 1.

    Raises ValueError where no frame is relevant, or for a recall out of range.
    """
    wanted = np.sort(np.asarray(scores, dtype=np.float64)[np.asarray(relevant, dtype=bool)])[::-1]
    if not len(wanted) or not 0 < recall <= 1:
        raise ValueError(
            f"{len(wanted)} frames are relevant and recall is {recall}: give one frame or more, "
            "and a share above 0 and up to 1"
        )
    return float(wanted[int(np.ceil(recall * len(wanted) - 1e-9)) - 1])
