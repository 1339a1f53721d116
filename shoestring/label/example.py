"""Examples that people label: a text, a picture or a row, and what was said of it, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """The class of a whole example.

    `name`: of the class.
    """

    name: str


@final
@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a text.

    `start`, `end`: characters (code points) from 0; `end` is not in it, and start < end.
    `name`: of its class.
    """

    start: int
    end: int
    name: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"a span from character {self.start} to {self.end} has no character: it needs "
                "0 <= start < end"
            )


@final
@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in a picture, in pixels of the picture as it is shown upright.

    `left`, `top`: of its first corner, from the top left of the picture.
    `width`, `height`: above 0.
    `name`: of its class.
    """

    left: float
    top: float
    width: float
    height: float
    name: str

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0):
            raise ValueError(
                f"a box of {self.width} by {self.height} pixels has no area: width and height "
                "are above 0"
            )


Label = Choice | Span | Box


@final
@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What one person, or one model, said of an example.

    `labels`: all that was marked; none means that there is nothing to mark (of spans and boxes).
    `by`: who said it; "" for unknown.
    `complete`: whether everything was marked that is there. False: what is not marked is unknown.
    `skipped`: the person could not tell; there are no labels then.
    `seconds`: that it took, or None.
    `at`: when, in seconds since 1970, or None.
    `score`: of a model: how sure it is, 0 to 1; None for a person.
    """

    labels: tuple[Label, ...] = ()
    by: str = ""
    complete: bool = True
    skipped: bool = False
    seconds: float | None = None
    at: float | None = None
    score: float | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to label.

    `name`: tells it apart in its collection and stays the same from run to run: a relative path, or
        the number of its row.
    `text`: the text; None for a picture or a row.
    `picture`: the file of the picture; None for a text or a row. It may not open.
    `fields`: other columns that came with it, by name; the row of a table, where there is neither
        text nor picture.
    `annotations`: what people said, in the order in which they said it.
    `predictions`: what models say.
    `split`: "train", "validation" or "test" where the source says so; else "".
    `priority`: how much its label is worth, higher is sooner: the score of an acquisition; None.
    """

    name: str
    text: str | None = None
    picture: Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    predictions: tuple[Annotation, ...] = ()
    split: str = ""
    priority: float | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Collection:
    """All that is to be labelled, or was.

    `examples`: their names are all different.
    `kind`: what a label is: Choice, Span or Box.
    `names`: the classes, in the order in which they are shown and numbered; there may be none yet.
    `notes`: what reading the source left out or assumed, a sentence each, for the reader.

    Raises ValueError for two examples of one name.
    """

    examples: tuple[Example, ...]
    kind: type[Choice] | type[Span] | type[Box]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for example in self.examples:
            if example.name in seen:
                raise ValueError(
                    f"two examples are named {example.name!r}: a name is the only way to tell "
                    "them apart"
                )
            seen.add(example.name)
