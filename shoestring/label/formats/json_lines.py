"""JSON lines: a record a line, plain, as Prodigy or doccano write them, or as this package does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from shoestring.artifact import save
from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span
from shoestring.label.formats.columns import LABELS, TEXTS
from shoestring.label.formats.content import (
    all_different,
    inside,
    json_of,
    last_said,
    names_in,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.records import KEY, example_of, fields_of, record_of, scalar
from shoestring.label.formats.spans import box_of, span_of
from shoestring.label.formats.table import relative

Record = Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class JsonLines(Format):
    """A JSON object for each example: the one format here that keeps all of a collection.

    It reads plain records ({"text": …, "label": …}), those of Prodigy (`spans`, `accept`, `answer`,
    `_input_hash`), and those of doccano ("label": [[0, 5, "PER"]]). It writes records that Prodigy
    takes, with a key of its own for what Prodigy has no place for.

    `text`, `label`: the keys to take; "" for the known names (text, sentence, …; label, class, …).
    """

    text: str = ""
    label: str = ""

    def read(self, source: Path) -> Collection:
        content = text_of(source)
        records: list[tuple[str, Record]] = []
        if content.lstrip()[:1] == "[":
            listed = json_of(content, str(source))
            records = [(f"entry {at:,} of {source}", one) for at, one in enumerate(listed, 1)]
        else:
            for at, line in enumerate(content.split("\n"), 1):  # JSON may have other ends of lines
                if line.strip():
                    where = f"line {at:,} of {source}"
                    records.append((where, json_of(line, where)))
        if not records:
            raise FormatError(f"{source} is empty: give a JSON object in each line")
        counts: Counter[str] = Counter()
        first = records[0][1]
        own = isinstance(first, dict) and isinstance(first.get(KEY), dict)
        examples: dict[str, Example] = {}
        for number, (where, record) in enumerate(records, 1):
            if not isinstance(record, dict):
                raise FormatError(f"{where} is no JSON object ({{…}}) but {str(record)[:40]!r}")
            if own:
                example = example_of(record, source.parent, where)
                if example.name in examples:
                    all_different([*examples, example.name], source, "the example")
            else:
                made = self._example(record, number, source, where, counts)
                if made is None:
                    continue
                before = examples.get(made.name)
                example = made if before is None else _joined(before, made)
            examples[example.name] = example
        kind = _kind(examples, counts, first if own else {})
        kept = tuple(_only(example, kind) for example in examples.values())
        names = _written_names(first[KEY], records[0][0]) if own else ()
        names += tuple(name for name in names_in(kept) if name not in names)
        return Collection(examples=kept, kind=kind, names=names, notes=told(counts))

    def _example(
        self, record: Record, number: int, source: Path, where: str, counts: Counter[str]
    ) -> Example | None:
        """The example of a record; None, counted, where it has none."""
        key = self.text or next((name for name in TEXTS if isinstance(record.get(name), str)), "")
        text, picture = record.get(key) if key else None, None
        named = record.get("image")
        if isinstance(named, str) and named.startswith("data:"):
            named = Path(str(record.get("path", ""))).name  # Prodigy keeps where it came from
            if not named:
                counts["Pictures inside of the file, which need a file of their own, left out"] += 1
                return None
        if isinstance(named, str) and "://" in named:
            counts["Pictures on the net, left out: fetch them and name the files"] += 1
            return None
        if isinstance(named, str) and named:
            picture, text = inside(source.parent, named, where), None
        elif not isinstance(text, str):
            if self.text:
                raise FormatError(f"{where} has no text under {self.text!r}")
            text = None
        said, labels_key = self._annotation(record, text, where, counts)
        prodigy = "_input_hash" in record
        special = {key if text is not None else "", "image", labels_key, *_PRODIGY, "split"}
        others = {**_mapping(record.get("meta")), **record}
        others = {name: value for name, value in others.items() if name not in special}
        fields = fields_of(others, counts)
        if text is None and picture is None and not fields:
            raise FormatError(
                f"{where} has neither a text nor a picture: its keys are "
                f"{', '.join(map(repr, list(record)[:12]))}; name the text with text="
            )
        name = str(record["_input_hash"]) if prodigy else f"{number}"
        return Example(
            name=name,
            text=text,
            picture=picture,
            fields=fields,
            annotations=() if said is None else (said,),
            split=split_of(str(record.get("split", ""))),
        )

    def _annotation(
        self, record: Record, text: str | None, where: str, counts: Counter[str]
    ) -> tuple[Annotation | None, str]:
        """What was said in a record, or None; and the key that has the class."""
        answer = record.get("answer")
        key = self.label or next((name for name in LABELS if name in record), "")
        labels: list[Label] = []
        marks = record.get("spans", record.get("entities"))
        value = record.get(key) if key else None
        is_marked = isinstance(marks, list)
        if isinstance(value, list) and value and all(isinstance(one, list) for one in value):
            marks, value, is_marked = value, None, True  # doccano
        for mark in marks if isinstance(marks, list) else ():
            found = box_of(mark, where, counts) if text is None else span_of(mark, text, where)
            if found is not None:
                labels.append(found)
        accepted = record.get("accept")
        if isinstance(accepted, list):
            named = [name for one in accepted if (name := scalar(one)).strip()]
            counts["Labels without a name (null), left out"] += len(accepted) - len(named)
            labels += [Choice(name=name) for name in named]
        elif value is not None and not isinstance(value, dict):
            several = value if isinstance(value, list) else [value]
            labels += [Choice(name=scalar(one)) for one in several if scalar(one) != ""]
        if answer == "ignore":
            return _signed(Annotation(skipped=True), record), key
        if answer == "reject":
            counts["Answers that reject what was shown, which say no label, left out"] += 1
            return None, key
        said_nothing = not labels and not (is_marked and answer == "accept")
        if said_nothing and not isinstance(accepted, list):
            return None, key
        return _signed(Annotation(labels=tuple(labels)), record), key

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write a record for each example; nothing is lost."""
        lines = []
        for number, example in enumerate(collection.examples):
            named = None
            if example.picture is not None:
                named = relative(example.picture, path.parent)
            record = record_of(example, named, last_said(example))
            if number == 0:
                record[KEY] |= {"kind": collection.kind.__name__, "names": list(collection.names)}
            lines.append(json.dumps(record, ensure_ascii=False, allow_nan=False))
        if not lines:
            raise ValueError("a collection without examples is no file of JSON lines: add some")
        save(path, "".join(f"{line}\n" for line in lines).encode())
        return ()


_PRODIGY = frozenset(
    (
        *("accept", "answer", "config", "html", "meta", "options", "path", "spans", "entities"),
        *("tokens", "width", "height", "_input_hash", "_task_hash", "_session_id"),
        *("_annotator_id", "_timestamp", "_view_id", "_is_binary"),
    )
)


def _signed(said: Annotation, record: Record) -> Annotation:
    """With who said it, and when."""
    by = record.get("_annotator_id") or record.get("_session_id") or ""
    at = record.get("_timestamp")
    if not isinstance(at, int | float) or isinstance(at, bool):
        at = None
    return replace(said, by=str(by), at=None if at is None else float(at))


def _joined(before: Example, now: Example) -> Example:
    """One example of what several lines say of it."""
    return replace(before, annotations=(*before.annotations, *now.annotations))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _kind(
    examples: Mapping[str, Example], counts: Counter[str], first: Record
) -> type[Choice] | type[Span] | type[Box]:
    """The kind that most labels have; the labels of others are counted."""
    kinds: dict[str, type[Choice] | type[Span] | type[Box]] = {
        one.__name__: one for one in (Choice, Span, Box)
    }
    written = first.get(KEY, {}).get("kind")
    if str(written) in kinds:
        return kinds[str(written)]
    seen = Counter(
        type(label).__name__
        for example in examples.values()
        for said in example.annotations
        for label in said.labels
    )
    if not seen:
        return Choice
    most = seen.most_common(1)[0][0]
    for name, count in seen.items():
        if name != most:
            counts[f"Labels of the kind {name} beside those of {most}, left out"] += count
    return kinds[most]


def _written_names(own: Record, where: str) -> tuple[str, ...]:
    """The classes that the first line names."""
    names = own.get("names", [])
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise FormatError(f"{where}: the names of the classes are {names!r}: a list is wanted")
    return tuple(dict.fromkeys(names))


def _only(example: Example, kind: type[Label]) -> Example:
    """The example with the labels of one kind."""

    def kept(all_said: tuple[Annotation, ...]) -> tuple[Annotation, ...]:
        cut = [
            replace(said, labels=tuple(one for one in said.labels if isinstance(one, kind)))
            for said in all_said
        ]
        return tuple(
            one for one, said in zip(cut, all_said, strict=True) if one.labels or not said.labels
        )

    return replace(
        example, annotations=kept(example.annotations), predictions=kept(example.predictions)
    )
