"""What a person said of an example on the page, as the page sends it and as it is kept."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span

Kind = type[Choice] | type[Span] | type[Box]
KINDS: dict[str, Kind] = {"choice": Choice, "span": Span, "box": Box}
MOST_LABELS, LONGEST_NAME = 10_000, 200
_MOST_SECONDS = 1e12  # since 1970, and of an answer: whatever is more is none
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class AnswerError(ValueError):
    """An answer that cannot be kept, since it makes no sense; the message says why."""


@final
@dataclass(frozen=True, kw_only=True)
class Answer:
    """One row: the labels of one person for one example, or the undoing of such a row.

    `id`: made by the page, so that an answer that is sent twice is kept once.
    `example`: the name of the example.
    `undoes`: the id of the row that this one undoes; "" for an answer.
    `decides`: whether the person had opened a disagreement, with what others said in view.
    `digest`: of the text or row that the person saw (`digest`).
    The others are those of an Annotation; `by` is never "".
    """

    id: str
    example: str
    by: str
    labels: tuple[Label, ...] = ()
    complete: bool = True
    skipped: bool = False
    seconds: float | None = None
    at: float | None = None
    undoes: str = ""
    decides: bool = False
    digest: str = field(default="", compare=False)

    def annotation(self) -> Annotation:
        """The same as an Annotation."""
        return Annotation(
            labels=self.labels,
            by=self.by,
            complete=self.complete,
            skipped=self.skipped,
            seconds=self.seconds,
            at=self.at,
        )


def plain(label: Label) -> dict[str, Any]:
    """A label as JSON has it."""
    return {field: getattr(label, field) for field in label.__dataclass_fields__}


def labels_as_text(labels: Iterable[Label]) -> str:
    """Labels as one line of JSON."""
    return json.dumps([plain(one) for one in labels], ensure_ascii=False)


def labels_of(kind: Kind, found: Any) -> tuple[Label, ...]:
    """Labels from JSON. Raises AnswerError for what is no label of this kind."""
    if not isinstance(found, list) or len(found) > MOST_LABELS:
        raise AnswerError(f"labels are a list of up to {MOST_LABELS:,}")
    return tuple(_label(kind, one) for one in found)


def _label(kind: Kind, found: Any) -> Label:
    fields = kind.__dataclass_fields__
    if not isinstance(found, dict) or set(found) != set(fields):
        raise AnswerError(f"a label has {', '.join(fields)}: {str(found)[:200]} has others")
    checked_name(found["name"])
    for key in set(fields) - {"name"}:
        value = found[key]
        right = int if kind is Span else int | float
        if (
            isinstance(value, bool)
            or not isinstance(value, right)
            or not -_MOST_SECONDS < value < _MOST_SECONDS
        ):
            raise AnswerError(f"{key} of a label is a number: it is {str(value)[:50]}")
    try:
        return kind(**found)
    except ValueError as error:
        raise AnswerError(str(error)) from None


def checked_name(name: Any) -> str:
    """The name of a class or of a person. Raises AnswerError for one that is none."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not is_visible(name):
        raise AnswerError(
            f"a name has 1 to {LONGEST_NAME} characters in one line that are not all spaces: "
            f"{ascii(name)[:50]} has not"
        )
    return name


def is_visible(name: str) -> bool:
    """Whether a name is one line that shows, of characters that a file in UTF-8 can hold."""
    kinds = [unicodedata.category(letter) for letter in name]
    shown = any(kind[0] not in "CZ" for kind in kinds)
    # Cc: controls, such as the end of a line; Zl and Zp end lines, too; Cs: half a character.
    return shown and not {"Cc", "Cs", "Zl", "Zp"} & set(kinds)


def answer_of(kind: Kind, found: Any, example: Example | None, by: str) -> Answer:
    """An answer that the page sent, about an example. Raises AnswerError for what is none.

    `example`: None where the source has it no more as it was shown.
    """
    if not isinstance(found, Mapping) or not _ID.fullmatch(str(found.get("id"))):
        raise AnswerError("an answer has an id of 8 to 64 letters, digits, - and _")
    undoes = found.get("undoes", "")
    if not isinstance(undoes, str) or (undoes and not _ID.fullmatch(undoes)):
        raise AnswerError(f"an answer undoes the id of another: {str(undoes)[:70]!r} is none")
    labels = labels_of(kind, found.get("labels", []))
    skipped = found.get("skipped", False) is True
    if kind is Choice and not undoes and len(labels) != (0 if skipped else 1):
        raise AnswerError(f"an example has one class: {len(labels)} were given")
    for one in labels:
        length = len(example.text or "") if example is not None else math.inf
        if isinstance(one, Span) and one.end > length:
            raise AnswerError(f"a span ends at {one.end}, and the text has {length} characters")
    return Answer(
        id=found["id"],
        example=str(found["example"]) if example is None else example.name,
        digest=shown_digest(found) if example is None else digest(example),
        by=checked_name(by),
        labels=() if skipped or undoes else labels,
        complete=found.get("complete", True) is not False,
        skipped=skipped,
        seconds=_number(found.get("seconds")),
        at=_number(found.get("at")),
        undoes=undoes,
        decides=not undoes and found.get("decides", False) is True,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An integer may have more digits than a float can.
    return float(value) if 0 <= value <= _MOST_SECONDS else None


def shown_digest(found: Mapping[str, Any]) -> str:
    """The digest of what the page showed. Raises AnswerError for what is none."""
    value = found["digest"]
    if not isinstance(value, str) or not re.fullmatch(r"(?:[0-9a-f]{16})?", value):
        raise AnswerError(f"a digest has 16 digits of base 16: {str(value)[:50]!r} has not")
    return value


def source_digest(collection: Collection) -> str:
    """What tells whether a source is still the one that a page knows."""
    said = hashlib.sha256()
    for one in collection.examples:
        said.update(f"{one.name}\0{digest(one)}\0".encode(errors="surrogatepass"))
    return said.hexdigest()[:16]


def digest(example: Example) -> str:
    """What tells whether the text or the row of an example is still what was labelled.

    "" for a picture, whose name is its path.
    """
    if example.picture is not None:
        return ""
    said = example.text if example.text is not None else json.dumps(sorted(example.fields.items()))
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:16]


def standing(answers: Iterable[Answer]) -> dict[str, dict[str, Answer]]:
    """What holds now: for each example, the last answer of each person that is not undone.

    Those that decide a disagreement are the last ones, whoever answers after them.
    """
    rows = list(answers)
    undone = {one.undoes for one in rows if one.undoes}
    found: dict[str, dict[str, Answer]] = {}
    for one in rows:
        if not one.undoes and one.id not in undone:
            of_example = found.setdefault(one.example, {})
            of_example.pop(one.by, None)  # the order is that of the last answers
            of_example[one.by] = one
    return {
        name: dict(sorted(said.items(), key=lambda item: item[1].decides))
        for name, said in found.items()
    }


def annotated(
    collection: Collection, answers: Iterable[Answer], names: Iterable[str]
) -> Collection:
    """A collection with the answers that hold, after the annotations that it has.

    `names`: the classes, with those that were added on the page.
    """
    held = standing(answers)
    examples = tuple(
        replace(
            one,
            annotations=(*one.annotations, *(a.annotation() for a in held[one.name].values())),
        )
        if one.name in held
        else one
        for one in collection.examples
    )
    return replace(collection, examples=examples, names=tuple(names))
