"""Label Studio's JSON: tasks with annotations and predictions, exported or to import."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from urllib.parse import parse_qs, unquote, urlsplit

from shoestring.artifact import save
from shoestring.label.example import Annotation, Box, Collection, Example, Span
from shoestring.label.formats.content import (
    inside,
    is_picture,
    json_of,
    names_in,
    number,
    split_of,
    text_of,
    told,
)
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.label_studio_results import (
    KINDS,
    Control,
    check_results,
    labels_of,
    results_in,
    that_say_something,
    time_of,
)
from shoestring.label.formats.label_studio_tasks import labelling_config, task_of
from shoestring.label.formats.records import fields_of, scalar

NAME, SPLIT, PRIORITY = "example", "split", "priority"
"""Keys of `data` that this package writes, so that Label Studio can show and sort by them."""


@final
@dataclass(frozen=True, kw_only=True)
class LabelStudio(Format):
    """The JSON of Label Studio: its full export, its short one (JSON-MIN), and what it imports.

    Rectangles are turned from per cent into pixels; spans are checked against the text that they
    carry; skipped tasks and predictions with their scores are kept. What one labelling control
    gave is read, since a collection has labels of one kind.

    `result`: the name of that control (`from_name`); "" for the one with labels for most tasks.
    `data`: the key of `data` that has the text or the picture; "" to find it.
    """

    result: str = ""
    data: str = ""

    def read(self, source: Path) -> Collection:
        tasks = json_of(text_of(source), str(source))
        if not isinstance(tasks, list) or not tasks:
            raise FormatError(f"{source} is no list of tasks, as Label Studio exports: [{{…}}, …]")
        counts: Counter[str] = Counter()
        whole = [_task(one, f"task {at:,} of {source}", counts) for at, one in enumerate(tasks, 1)]
        merged = _merged(whole)
        control, notes = _control(self.result, merged, source)
        examples = []
        names: set[str] = set()
        for at, task in enumerate(merged, 1):
            where = f"task {at:,} of {source}"
            example = self._example(task, at, source, control, where, counts)
            if example.name in names:
                raise FormatError(f"{where}: another task is named {example.name!r} too")
            names.add(example.name)
            examples.append(example)
        return Collection(
            examples=tuple(examples),
            kind=control.kind,
            names=names_in(examples),
            notes=(*notes, *told(counts)),
        )

    def _example(
        self,
        task: Mapping[str, Any],
        at: int,
        source: Path,
        control: Control,
        where: str,
        counts: Counter[str],
    ) -> Example:
        data = task["data"]
        key = self._key(data, control, where, counts)
        text, picture = data[key], None
        if control.shows_picture or is_picture(str(text)):
            picture, text = _picture(str(text), source, where, counts), None
        elif not isinstance(text, str):
            raise FormatError(f"{where}: the text under {key!r} is {str(text)[:40]!r}")
        priority = data.get(PRIORITY)
        priority = None if priority is None else number(priority, PRIORITY, where)
        own = {key, NAME, SPLIT, PRIORITY}
        others = {name: value for name, value in data.items() if name not in own}
        fields = fields_of(others, counts)
        name = data.get(NAME)
        return Example(
            name=name if isinstance(name, str) and name else scalar(task.get("id", at)),
            text=text,
            picture=picture,
            fields=fields,
            annotations=that_say_something(
                control,
                (
                    _annotation(one, text, control, where, counts)
                    for one in task["annotations"]
                    if one.get("was_cancelled") or control.has(one)
                ),
            ),
            predictions=that_say_something(
                control,
                (
                    _prediction(one, text, control, priority, where, counts)
                    for one in task["predictions"]
                    if control.has(one)
                ),
            ),
            split=split_of(str(data.get(SPLIT, ""))),
            priority=priority,
        )

    def _key(
        self, data: Mapping[str, Any], control: Control, where: str, counts: Counter[str]
    ) -> str:
        """The key of the text or the picture: named, that of the object tag, or by its content."""
        if self.data:
            if self.data not in data:
                raise FormatError(f"{where} has no {self.data!r} in its data: {_keys(data)}")
            return self.data
        if control.to_name in data:
            return control.to_name
        found = [
            key
            for key, value in data.items()
            if isinstance(value, str)
            and key not in (NAME, SPLIT)
            and not (control.kind is Span and is_picture(value))
            and not (control.kind is Box and not (is_picture(value) or key in ("image", "img")))
        ]
        if found:
            counts[f"Tasks of which {found[0]!r} was taken (or name data=)"] += 1
            return found[0]
        raise FormatError(f"{where} has nothing to label in its data: name the key with data=")

    def write(self, collection: Collection, path: Path) -> tuple[str, ...]:
        """Write tasks to import, and beside them NAME.xml, the labelling configuration.

        The score of a prediction is the priority of its example, where it has one, since Label
        Studio orders tasks by it; how sure the model is stands at the single results. Pictures are
        named as its local files: set LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT to the file's folder.
        """
        counts: Counter[str] = Counter()
        several = any(
            len(said.labels) > 1
            for example in collection.examples
            for said in (*example.annotations, *example.predictions)
        )
        tasks = [task_of(one, collection.kind, path, counts) for one in collection.examples]
        save(path, json.dumps(tasks, ensure_ascii=False, indent=1, allow_nan=False).encode())
        if collection.names:
            save(path.with_suffix(".xml"), labelling_config(collection, several).encode())
        else:
            counts["Classes are not known yet, so that no labelling configuration is written"] = 1
        return told(counts)


def _keys(data: Mapping[str, Any]) -> str:
    return f"its keys are {', '.join(map(repr, list(data)[:12]))}"


def _task(task: Any, where: str, counts: Counter[str]) -> dict[str, Any]:
    """A task with `data`, `annotations` and whole `predictions`, of whichever export."""
    if isinstance(task, dict) and "annotation_id" in task and "data" not in task:
        return _short(task, where)
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise FormatError(f"{where} has no data, as each task of Label Studio has")
    said = task.get("annotations", task.get("completions"))  # before version 1.0
    said = [] if said is None else said
    foretold = task.get("predictions") or []
    if not _are_objects(said) or not isinstance(foretold, list):
        raise FormatError(
            f"{where}: its annotations are {str(said)[:40]!r}: a list of objects is wanted. Export "
            "as JSON, and not in a newer form than that of Label Studio 1"
        )
    for one in foretold:
        _identity(one.get("id") if isinstance(one, dict) else one, where)
    drafts = task.get("drafts")
    counts["Drafts that nobody submitted, left out"] += (
        len(drafts) if isinstance(drafts, list) else 0
    )
    whole = {one["id"]: one for one in foretold if isinstance(one, dict) and "id" in one}
    for one in said:  # an export may name predictions by number, and have them elsewhere
        used = one.get("prediction")
        if isinstance(used, dict) and "id" in used:
            whole.setdefault(_identity(used["id"], where), used)
    predictions = []
    for one in foretold:
        if isinstance(one, dict):
            predictions.append(one)
        elif one in whole:
            predictions.append(whole[one])
        else:
            counts[
                "Predictions of which the export has only the number, left out: those that were "
                "imported have them"
            ] += 1
    for one in (*said, *predictions):
        check_results(one, where)
    return {
        "id": _identity(task.get("id"), where),
        "data": task["data"],
        "annotations": said,
        "predictions": predictions,
    } | ({} if task.get("id") is not None else {"id": scalar(task.get("inner_id", ""))})


def _identity(value: Any, where: str) -> Any:
    """The number of a task or a prediction."""
    if value is not None and not isinstance(value, int | str):
        raise FormatError(f"{where}: an id is {str(value)[:40]!r}: a number is wanted")
    return value


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _short(task: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A task of JSON-MIN: its data, its number, its results by name, then who and when.

    The data end with the number `id`; the results follow until `annotator`.
    """
    keys = list(task)
    start = keys.index("id") if "id" in keys else -1
    end = keys.index("annotator") if "annotator" in keys else keys.index("annotation_id")
    results = []
    for name in keys[start + 1 : end]:
        value = task[name]
        if isinstance(value, str) or (isinstance(value, dict) and "choices" in value):
            chosen = [value] if isinstance(value, str) else value["choices"]
            results.append({"from_name": name, "type": "choices", "value": {"choices": chosen}})
        for one in value if isinstance(value, list) else ():
            kind = next((kind for kind in KINDS if isinstance(one, dict) and kind in one), None)
            sizes = {
                key: one[key]
                for key in ("original_width", "original_height")
                if kind is not None and key in one
            }
            results.append({"from_name": name, "type": kind or "unknown", "value": one, **sizes})
    return {
        "id": _identity(task.get("id"), where),
        "data": {key: task[key] for key in keys[: max(start, 0)]},
        "annotations": [
            {
                "result": results,
                "completed_by": task.get("annotator"),
                "lead_time": task.get("lead_time"),
                "created_at": task.get("created_at"),
            }
        ],
        "predictions": [],
    }


def _merged(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks of one number together: the short export has a record for each annotation."""
    found: dict[Any, dict[str, Any]] = {}
    for at, task in enumerate(tasks):
        number_of = task["id"] if task["id"] not in (None, "") else ("at", at)
        before = found.get(number_of)
        if before is None:
            found[number_of] = {**task, "id": task["id"] if task["id"] != "" else at + 1}
        elif before["data"] == task["data"]:
            before["annotations"] = [*before["annotations"], *task["annotations"]]
        else:
            found[("at", at)] = task
    for at, task in enumerate(found.values(), 1):
        task["id"] = at if task["id"] is None else task["id"]
    return list(found.values())


def _control(
    wanted: str, tasks: list[dict[str, Any]], source: Path
) -> tuple[Control, tuple[str, ...]]:
    """The control whose labels are read, and what is said of the others."""
    controls: Counter[Control] = Counter()
    unknown: Counter[str] = Counter()
    for task in tasks:
        seen: set[Control] = set()
        for said in (*task["annotations"], *task["predictions"]):
            for result in results_in(said):
                kind, name = str(result.get("type")), str(result.get("from_name", ""))
                if kind in KINDS:
                    seen.add(Control(name, str(result.get("to_name", "")), kind))
                else:
                    unknown[kind] += 1
        controls.update(seen)
    notes = [
        f"Results of the type {kind!r}, which are not read: {count:,}."
        for kind, count in unknown.items()
    ]
    if wanted and wanted not in {one.name for one in controls}:
        raise FormatError(
            f"no result of {source} comes from a control named {wanted!r}: there are "
            f"{', '.join(sorted({repr(one.name) for one in controls})) or 'none'}"
        )
    if not controls:
        is_seen = any(is_picture(str(one)) for task in tasks for one in task["data"].values())
        return Control("", "image" if is_seen else "text", "choices"), tuple(notes)
    chosen = next(one for one, _ in controls.most_common() if not wanted or one.name == wanted)
    others = sorted({repr(one.name) for one in controls} - {repr(chosen.name)})
    if others:
        notes.insert(
            0,
            f"The labels of the control {chosen.name!r} are read, and those of "
            f"{', '.join(others)} are not: name another with result=.",
        )
    return chosen, tuple(notes)


def _picture(named: str, source: Path, where: str, counts: Counter[str]) -> Path:
    """The file of a picture that a task names by the address it has in Label Studio."""
    address = urlsplit(named)
    folder = source.parent
    if address.path == "/data/local-files/":
        return inside(folder, parse_qs(address.query).get("d", [""])[0], where)
    if address.scheme in ("http", "https", "s3", "gs", "azure-blob") or named.startswith("/data/"):
        counts[
            "Pictures that are on a server: they are looked for in the folder of the file, by the "
            "last part of their address"
        ] += 1
        return folder / (Path(unquote(address.path)).name or "unnamed")
    return inside(folder, named, where)


def _annotation(
    said: Mapping[str, Any], text: str | None, control: Control, where: str, counts: Counter[str]
) -> Annotation:
    by = said.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    seconds = said.get("lead_time")
    skipped = bool(said.get("was_cancelled"))
    return Annotation(
        labels=() if skipped else labels_of(said, text, control, where, counts),
        by=scalar(by),
        skipped=skipped,
        seconds=None if seconds is None else number(seconds, "lead_time", where),
        at=time_of(said.get("created_at"), where),
    )


def _prediction(
    said: Mapping[str, Any],
    text: str | None,
    control: Control,
    priority: float | None,
    where: str,
    counts: Counter[str],
) -> Annotation:
    """A prediction; the lowest score of its results is how sure the model is of it."""
    sure = [
        number(one["score"], "score", where)
        for one in results_in(said)
        if one.get("from_name") == control.name and one.get("score") is not None
    ]
    score = min(sure) if sure else None
    if score is None and said.get("score") is not None:
        given = number(said["score"], "score", where)
        score = given if priority is None or given != priority else None
    if score is not None and not 0 <= score <= 1:
        counts["Scores of predictions that are not from 0 to 1, left out"] += 1
        score = None
    return Annotation(
        labels=labels_of(said, text, control, where, counts),
        by=str(said.get("model_version") or ""),
        score=score,
    )


def kind_of_data(task: Any) -> bool:
    """Whether an entry of a list is a task of Label Studio, in one of its forms."""
    return isinstance(task, dict) and (
        isinstance(task.get("data"), dict) or {"annotation_id", "annotator"} <= set(task)
    )
