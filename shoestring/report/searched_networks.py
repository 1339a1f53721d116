"""The document of a search for networks: what was tried, what time bought, and the code.

What was delivered is shown as that of any search: its bill, its layers, its budget and its ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shoestring.artifact.format.names import LOCK, NETWORKS, SEARCHED, STUDY
from shoestring.artifact.format.saving import check_file
from shoestring.artifact.locks import is_held
from shoestring.core.budget import Budget
from shoestring.core.resource import LIMITED
from shoestring.report.commands import command
from shoestring.report.document import Document, Networks, Point, Spent, finite, rounded
from shoestring.report.points import frontier_ids, resource_axes, sampled, score_axes
from shoestring.report.rates import rates_of

_OWN, _DELIVERED = "yours", "delivered"
"""The names of two files in the comparison of a search."""
_RESOURCES = ("bytes", "milliseconds", "operations", "memory_bytes", "joules")
"""What networks are compared by, besides what is limited."""


def document_of_networks(folder: Path, made: Document | None) -> Document:
    """The document of the search for networks in a folder.

    `made`: the document of the delivered file; None where there is none yet.

    Raises ValueError where what the search left is damaged or newer than this version; OSError.
    """
    path = folder / SEARCHED
    check_file(path)
    try:
        note = json.loads(path.read_bytes())
        return _document(note, folder, made)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}): run shoestring search again"
        ) from None


def _document(note: Mapping[str, Any], folder: Path, made: Document | None) -> Document:
    file = folder.with_name(folder.name.removesuffix(NETWORKS))
    files = {one["name"]: one for one in note["files"]}
    networks = _networks(note, files)
    error = _error(networks)
    before, after = _own(files, error), _delivered(made, files, error)
    chosen = networks.get(_key(note["chosen"]))
    estimated = chosen if after and _DELIVERED in files else None  # it was measured instead
    points = [*([before] if before else []), *networks.values(), *([after] if after else [])]
    first = _limited(note["limits"])
    resources, scores = resource_axes(points, first), score_axes(points, before)
    fields = [axis.field for axis in resources]
    compared = [one for one in points if one.fidelity in (None, 1) and one is not estimated]
    frontier = frontier_ids(compared, fields[0], scores) if fields else ()
    by_id = {one.id: one for one in points}
    wanted = {*frontier, *(one.id for one in (before, after) if one)}
    shown, sample = sampled(points, wanted)
    base = made or Document(kind="networks", title=file.name)
    working = bool(is_held(folder / LOCK))
    return replace(
        base,
        kind="networks",
        title=file.name,
        working=working,
        notes=tuple(filter(None, [*_notes(note, base, working, error), sample])),
        resources=resources,
        scores=scores,
        before=before,
        after=after,
        points=shown,
        frontier=frontier,
        named={} if chosen is None else {"chosen": chosen.id},
        budget=base.budget and replace(base.budget, text=note["budget"] or base.budget.text),
        speed=None,
        search_seconds=finite(note["seconds"]) and rounded(note["seconds"], 3),
        rates=rates_of([by_id[name] for name in frontier], resources, scores, fields[0])
        if fields
        else (),
        commands=_commands(note, file, base),
        networks=Networks(
            curve=_curve(note["trials"], networks),
            words=" ".join(_words(note, [*scores])),
            code=note["text"],
            file=note["code"],
            compared=tuple(one.id for one in compared),
        ),
    )


def _key(picks: Sequence[int]) -> str:
    """The technique of the trials of a network, which is the repr of its picks."""
    return repr(tuple(picks))


def _networks(note: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Point]:
    """The points of the networks that were trained, by their picks, the longest trained first.

    Those whose files were timed with the delivered one have these milliseconds.
    """
    found, full = dict[str, Point](), 0
    for number, one in enumerate(note["found"]["networks"], 1):
        costs = {**one["estimate"], **{k: v for k, v in one["cost"].items() if k != "bytes"}}
        if one["score"] is not None and one["share"] == 1:
            full += 1
            timed = files.get(f"network {full} of the search")
            costs |= {} if timed is None else {"milliseconds": timed["milliseconds"]}
        part = "" if one["share"] == 1 else f", {one['share']:.0%} of a training"
        seconds = finite(one["cost"].get("seconds"))
        found[_key(one["picks"])] = Point(
            id=f"network-{number}",
            label=f"network {number}{part}",
            technique=one["architecture"],
            state="failed" if one["score"] is None else "ok",
            costs={k: rounded(v) for k, v in costs.items() if k in _RESOURCES and finite(v)},
            scores={} if finite(one["score"]) is None else {"score": one["score"]},
            error=finite(one.get("error")),  # which notes of earlier versions lack
            fits=not one["over"],
            minutes=None if seconds is None else rounded(seconds / 60, 4),
            fidelity=one["share"],
            note=one["note"],
        )
    return found


def _error(networks: Mapping[str, Point]) -> float | None:
    """The largest standard error of the scores of fully trained networks; None without any.

    It stands for that of files whose scores' errors nobody kept, on the same validation examples.
    """
    known = [one.error for one in networks.values() if one.fidelity == 1 and one.error is not None]
    return max(known, default=None)


def _own(files: Mapping[str, Any], error: float | None) -> Point | None:
    """The point of the reader's own model; None where there is none."""
    one = files.get(_OWN)
    if one is None:
        return None
    costs, scores = _measured(one)
    return Point(id="before", label="your own model", costs=costs, scores=scores, error=error)


def _delivered(
    made: Document | None, files: Mapping[str, Any], error: float | None
) -> Point | None:
    """The point of the delivered file, with the milliseconds of the comparison."""
    if made is None or made.after is None:
        return None
    # Its own error is of the difference from the network that it was made of.
    known = [one for one in (error, made.after.error) if one is not None]
    point = replace(made.after, id="delivered", error=max(known, default=None), fidelity=None)
    one = files.get(_DELIVERED)
    if one is None or one["bytes"] != made.after.costs.get("bytes"):
        return point
    costs, scores = _measured(one)
    return replace(
        point,
        costs={**made.after.costs, **costs},
        scores={**scores, **made.after.scores},
        intervals={},
    )


def _measured(one: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """The costs and the score of a file of the comparison."""
    costs = {name: rounded(one[name]) for name in ("bytes", "milliseconds")}
    return costs, {"score": one["score"]}


def _limited(limits: str) -> list[str]:
    """The fields of what is compared: what is limited first, milliseconds before bytes."""
    budget = Budget.parse(limits) if limits else Budget()
    named = [LIMITED[name].field for name in budget.limits() if name in LIMITED]
    first = [one for one in named if one in _RESOURCES]
    return list(dict.fromkeys([*sorted(first, key=lambda one: one != "milliseconds"), *_RESOURCES]))


def _curve(trials: Sequence[Mapping[str, Any]], networks: Mapping[str, Point]) -> tuple[Spent, ...]:
    """The trainings as they ended, with the best score by then; those without a score take time."""
    found, minutes, best = list[Spent](), 0.0, None
    for one in trials:
        minutes += (one["seconds"] or 0.0) / 60
        score = finite(one["score"])
        if score is None or one["picks"] not in networks:
            continue
        if not one["over"]:
            best = score if best is None else max(best, score)
        found.append(
            Spent(
                id=networks[one["picks"]].id,
                minutes=rounded(minutes),
                score=score,
                share=one["share"],
                best=best,
            )
        )
    return tuple(found)


def _words(note: Mapping[str, Any], scores: Sequence[Any]) -> Iterator[str]:
    """Sentences that say what time bought: an exchange rate of minutes against the score."""
    curve = _curve(note["trials"], _networks(note, {}))
    percent = bool(scores) and scores[0].unit == "%"

    def amount(value: float) -> str:
        return f"{100 * value:+.2f} points" if percent else f"{value:+.4g}"

    def told(value: float) -> str:
        return f"{100 * value:.2f} %" if percent else f"{value:.4g}"

    known = [one for one in curve if one.best is not None]
    if len(known) > 1:
        half = [one for one in known if one.minutes <= known[-1].minutes / 2] or known[:1]
        first, last = half[-1], known[-1]
        assert first.best is not None and last.best is not None
        yield (
            f"The first {_time(first.minutes)} of {_time(last.minutes)} of training came to a best "
            f"score of {told(first.best)}; the rest bought {amount(last.best - first.best)}."
        )
    if note["longer"] is not None:
        before, after = note["longer"]
        yield f"Training the best for longer came to {told(after)}, {amount(after - before)}."


def _time(minutes: float) -> str:
    """Minutes as text."""
    return f"{60 * minutes:.0f} s" if minutes < 1.5 else f"{minutes:.3g} min"


def _notes(
    note: Mapping[str, Any], base: Document, working: bool, error: float | None
) -> Iterator[str]:
    """Sentences that a reader must see; `error` is that of the files' scores."""
    if note["not_kept"]:
        yield f"{note['not_kept'][:1].upper()}{note['not_kept'][1:]}."
    if base.after is None and not working:
        yield (
            "Nothing was compressed yet, since the search was ended before that: the same command "
            "goes on from there."
        )
    yield "Bytes of networks are estimates of what they take after compression, at 4 bits a weight."
    if any("milliseconds" in one["estimate"] for one in note["found"]["networks"]):
        yield (
            "Milliseconds of networks that were not trained fully are foretold by a table of "
            "operations."
        )
    if error is not None and note["files"]:
        yield (
            "The errors (±) of the scores of files of the comparison are the largest of the fully "
            "trained networks', since the validation examples are the same."
        )
    if note["workers"] > 1 and "latency" in note["limits"]:
        yield (
            f"The networks' own milliseconds were measured while {note['workers']} processes "
            "searched, and may be too many."
        )
    if any(one.id.startswith("trial-") for one in base.points):  # else they say that there is none
        yield from base.notes


def _commands(note: Mapping[str, Any], file: Path, base: Document) -> tuple[Any, ...]:
    """The command that searches again, that shows the compression alone, and those of the file."""
    words = tuple(map(str, note["command"]))
    again = [command("search again, from what is known already", *words)] if words else []
    study = file.with_name(f"{file.name}{STUDY}")
    if study.exists():
        what = "a page of how it was compressed, and what else could be had of this network"
        again.append(command(what, "report", study))
    return (*again, *base.commands)
