"""Less to look at: the part of a heap, or of a video, that is worth an expensive look."""

from shoestring.label.retrieve.frames import FrameIndex, Segment, frame_index, least_for
from shoestring.label.retrieve.part import best_part, found_at
from shoestring.label.retrieve.texts import TextIndex

__all__ = [
    "FrameIndex",
    "Segment",
    "TextIndex",
    "best_part",
    "found_at",
    "frame_index",
    "least_for",
]
