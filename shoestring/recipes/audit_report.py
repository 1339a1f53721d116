"""An audit as text, as rows of a table and as a proposal of what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from shoestring.label.audit.annotators import FEWEST_OTHERS, FEWEST_SHARED, Annotator, Annotators
from shoestring.label.audit.rates import rate
from shoestring.label.formats.lines import as_line
from shoestring.recipes.auditing import Audit

SHOWN = 5
"""Rows of each kind that the text has."""
_PROPOSED = ("name", "label", "new_label", "action", "quality", "other", "text", "digest")
_CHARACTERS = 60  # of a text, beside its name


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One example, or two, that something is wrong with; a row of the table.

    `example`: its name.
    `finding`: "contradiction", "wrong label", "leak", "duplicate" or "outlier".
    `label`: the one it has.
    `proposal`: what to do: "relabel", "settle", "remove" or "look".
    `label_proposed`: for "relabel"; "" else.
    `quality`: of the label, 0 (wrong) to 1 (right), or how alike or how far; what orders a kind.
    `other`: the name of the other example of a pair; "" else.
    `why`: a sentence.
    `text`: of the example; "" for pictures and rows.
    """

    example: str
    finding: str
    label: str
    proposal: str
    label_proposed: str
    quality: float
    other: str
    why: str
    text: str = ""


def findings(audit: Audit) -> Iterator[Finding]:
    """All that is wrong with single examples or pairs, the worst first."""
    for row in audit.contradictions:
        a, b = (audit.names[label] for label in row.labels)
        yield _of(
            audit,
            row.pair.first,
            "contradiction",
            "settle",
            row.pair.similarity,
            f"nearly the same as another example, which is {b!r}, and this is {a!r}",
            other=row.pair.second,
        )
    for row in audit.errors:
        yield _of(
            audit,
            row.index,
            "wrong label",
            "relabel",
            row.quality,
            f"models that did not see it give its label a probability of {row.quality:.3f}",
            proposed=audit.names[row.suggested],
        )
    for row in audit.leaks:
        at = 0 if row.splits[0] == "train" else 1
        pair = (row.pair.first, row.pair.second)
        yield _of(
            audit,
            pair[at],
            "leak",
            "remove",
            row.pair.similarity,
            f"nearly the same as an example of the {row.splits[1 - at]} split: remove it from "
            "training",
            other=pair[1 - at],
        )
    pairs = {(row.pair.first, row.pair.second) for row in (*audit.contradictions, *audit.leaks)}
    for row in audit.near.rows:
        if (row.first, row.second) not in pairs:
            yield _of(
                audit,
                row.second,
                "duplicate",
                "remove",
                row.similarity,
                f"{'the same as' if row.exact else 'nearly the same as'} another example with its "
                "label",
                other=row.first,
            )
    for row in audit.outliers:
        yield _of(
            audit, row.index, "outlier", "look", row.distance,
            f"{row.distance:.1f} times as far from its neighbours as most examples",
        )  # fmt: skip


def _of(
    audit: Audit,
    index: int,
    finding: str,
    proposal: str,
    quality: float,
    why: str,
    *,
    proposed: str = "",
    other: int | None = None,
) -> Finding:
    return Finding(
        example=audit.examples[index],
        finding=finding,
        label=audit.names[int(audit.labels[index])],
        proposal=proposal,
        label_proposed=proposed,
        quality=round(quality, 4),
        other="" if other is None else audit.examples[other],
        why=why,
        text=audit.texts[index] if audit.texts else "",
    )


def as_csv(audit: Audit) -> str:
    """All findings as CSV, a line each."""
    header = [one.name for one in fields(Finding)]
    rows = (list(asdict(row).values()) for row in findings(audit))
    return "".join(as_line(cells) for cells in (header, *rows))


def proposal(audit: Audit) -> str:
    """What to change, as CSV, the worst first: name, label, new_label, action, quality, other,
    text, digest.

    Where a name is a number, it is the number of the example in its file (`numbering`). `digest` is
    of the values of a row; it tells at --apply whether they are the same still.

    `action` is "relabel", with the class that the models find likeliest, or "settle", where two
    examples contradict each other, or "remove", for leaks and duplicates. An example is there once.
    Look at the rows, delete those that you do not agree with, and apply the rest.
    """
    lines = [as_line(_PROPOSED)]
    digests = dict(zip(audit.examples, audit.digests, strict=True)) if audit.digests else {}
    done: set[str] = set()
    rows = sorted(findings(audit), key=lambda row: row.finding != "wrong label")
    for row in rows:
        if row.proposal != "look" and row.example not in done:
            done.add(row.example)
            said = (row.label, row.label_proposed, row.proposal, str(row.quality), row.other)
            lines.append(as_line([row.example, *said, row.text, digests.get(row.example, "")]))
    return "".join(lines)


def numbering(audit: Audit) -> str:
    """What the names of examples mean where they are numbers; "" where they are names."""
    if not all(name.isdecimal() for name in audit.examples):
        return ""
    return (
        "a number names an example by its place in the file, from 1 (in a table, 1 is the first "
        "row below the names of the columns), or is what the column `example` says"
    )


def as_json(audit: Audit) -> str:
    """Everything that is known, as JSON."""
    annotators = audit.annotators.rows if audit.annotators is not None else ()
    known: dict[str, Any] = {
        "examples": len(audit.examples),
        "classes": list(audit.names),
        "accuracy": audit.accuracy,
        "agreement": None if audit.agreement is None else asdict(audit.agreement),
        "is_by_chance": audit.agreement is not None and audit.agreement.is_by_chance,
        "meaning": meaning(audit),
        "findings": [asdict(row) for row in findings(audit)],
        "slices": [asdict(row) for row in audit.slices],
        "groups": [asdict(row) for row in audit.groups],
        "balance": [asdict(row) for row in audit.balance],
        "annotators": [_annotator(audit.people[row.index], row) for row in annotators],
        "influence": None if audit.influence is None else asdict(audit.influence),
        "fit": None
        if audit.fit is None
        else {**asdict(audit.fit), "reason": audit.fit.reason.value},
        "notes": list(audit.notes),
    }
    return json.dumps(_finite(known), indent=1)


def _finite(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def as_text(audit: Audit) -> str:
    """A short report, the worst first, with what to do."""
    rows = list(findings(audit))
    lines = [f"{len(audit.examples):,} examples of {len(audit.names)} classes; {_agreement(audit)}"]
    for kind, title, todo in _KINDS:
        some = [row for row in rows if row.finding == kind]
        if some:
            lines += ["", f"{_counted(audit, kind, title, len(some))}: {todo}"]
            lines += [f"  {meaning(audit)}"] * (kind == "wrong label")
            lines += [f"  {_line(row)}" for row in some[:SHOWN]]
            lines += [f"  … and {len(some) - SHOWN:,} more"] * (len(some) > SHOWN)
    lines += _of_the_whole(audit)
    by_chance = audit.agreement is None or audit.agreement.is_by_chance
    if not rows and not by_chance:
        lines.append("nothing is wrong with single examples, as far as these models can tell")
    notes = [*filter(None, [numbering(audit)]), *audit.notes]
    if notes:
        lines += ["", "Notes:", *(f"  {plain(note)}" for note in notes)]
    return "\n".join(lines)


def as_first(audit: Audit) -> str:
    """A first answer before the report: how much of each kind, and the two worst labels."""
    rows = list(findings(audit))
    by_kind = {kind: [row for row in rows if row.finding == kind] for kind, _, _ in _KINDS}
    counted = (
        _counted(audit, kind, title, len(by_kind[kind]))
        for kind, title, _ in _KINDS
        if by_kind[kind]
    )
    said = "; ".join(counted) or "nothing was found yet"
    return "\n".join([_agreement(audit), said, *map(_line, by_kind["wrong label"][:2])])


def _agreement(audit: Audit) -> str:
    if audit.agreement is None:
        return "no model was asked (see the notes)"
    said = (
        "models that did not see an example agree with its label in "
        f"{100 * audit.accuracy:.1f} % of them"
    )
    if audit.agreement.is_by_chance:
        expected = 100 * audit.agreement.expected
        return f"{said}, no better than chance ({expected:.1f} %): nothing follows for the labels"
    return said


def _counted(audit: Audit, kind: str, title: str, count: int) -> str:
    """Such as "3 duplicates"; of a list that is mostly right, not that it is probably wrong."""
    if kind == "wrong label" and count > 2 * _SUPPOSED * len(audit.examples):
        return f"{count:,} labels that may be wrong"
    if count == 1:
        title = _ONE[kind]
    return f"{count:,} {title}"


def meaning(audit: Audit) -> str:
    """What the agreement of the models means for the list of wrong labels; "" where it is empty.

    The models disagree with right labels too, wherever they err: nothing in the data tells how many
    of the list are such. What can be said is how many can be wrong at most, for a share of wrong
    labels in the data.
    """
    if not audit.errors:
        return ""
    listed, wrong = len(audit.errors), int(_SUPPOSED * len(audit.examples))
    said = (
        f"the models disagree with {100 * (1 - audit.accuracy):.1f} % of all labels, with right "
        "ones too, wherever they err"
    )
    if wrong >= listed:
        return said
    return (
        f"{said}: were {100 * _SUPPOSED:.0f} % of all labels wrong, at most {wrong:,} of these "
        f"{listed:,} ({100 * wrong / listed:.0f} %) would be"
    )


_SUPPOSED = 0.05
"""A share of wrong labels, to show what it would mean for the list."""
_ONE = {
    "contradiction": "contradiction",
    "wrong label": "label that is probably wrong",
    "leak": "leak from training into another split",
    "duplicate": "duplicate",
    "outlier": "outlier",
}
_KINDS = (
    ("contradiction", "contradictions", "look at both, and give them one label"),
    ("wrong label", "labels that are probably wrong", "look at them, the first ones first"),
    ("leak", "leaks from training into other splits", "remove them from training"),
    ("duplicate", "duplicates", "keep one of each"),
    ("outlier", "outliers", "look whether they belong here"),
)


def _line(row: Finding) -> str:
    name, label = plain(row.example), plain(row.label)
    if row.text:
        short = plain(" ".join(row.text.split()))
        name += f" “{short[:_CHARACTERS]}{'…' if len(short) > _CHARACTERS else ''}”"
    if row.proposal == "relabel":
        return (
            f"{name}: {label!r}, rather {plain(row.label_proposed)!r} (quality {row.quality:.3f})"
        )
    if row.other:
        return f"{name} and {plain(row.other)}: {label!r}, alike by {row.quality:.3f}"
    return f"{name}: {label!r}, {row.why}"


def _of_the_whole(audit: Audit) -> list[str]:
    """Lines about classes, slices, groups, people and what the wrong labels cost."""
    lines: list[str] = []
    if audit.slices:
        lines += ["", f"{len(audit.slices):,} slices fail: collect or check examples like these"]
        for row in audit.slices[:SHOWN]:
            lines.append(
                f"  {plain(row.name)}: {_percent(row.errors)} errors, elsewhere "
                f"{100 * row.rest.value:.1f} % (chance {row.chance:.2g})"
            )
    if rare := [row for row in audit.balance if row.rare]:
        named = ", ".join(f"{plain(row.name)} ({row.count:,})" for row in rare[:SHOWN])
        said = "1 class is rare" if len(rare) == 1 else f"{len(rare):,} classes are rare"
        more = f" and {len(rare) - SHOWN:,} more" if len(rare) > SHOWN else ""
        lines += ["", f"{said}: {named}{more}; collect more of them"]
    if differ := [row for row in audit.groups if row.chance < 0.05]:
        lines += ["", f"{len(differ):,} rates differ between groups: see whether they may"]
        for row in differ[:SHOWN]:
            lines.append(
                f"  {plain(row.group)}, {plain(row.what)}: {_percent(row.rate)}, elsewhere "
                f"{100 * row.rest.value:.1f} % (chance {row.chance:.2g})"
            )
    elif audit.groups:
        lines += ["", "no rate differs surely between the groups of the attribute"]
    if audit.annotators is not None:
        lines += _of_people(audit.people, audit.annotators)
    if audit.influence is not None:
        lines += ["", f"What the wrong labels cost: {audit.influence.verdict}"]
    if audit.fit is not None:
        lines += ["", f"Underfit or contradiction? {audit.fit.verdict}"]
    return lines


def _of_people(people: Sequence[str], annotators: Annotators) -> list[str]:
    """Lines about annotators; those whose votes tell too little of them get no verdict."""
    rows = annotators.rows
    rated = [row for row in rows if row.is_rated]
    lines = ["", "Annotators, the least informative first:" if rated else "Annotators:"]
    for row in [*rated, *(row for row in rows if not row.is_rated)][:SHOWN]:
        told = "on examples that nobody else voted on"
        if row.shared:
            share = _percent(rate(row.agreeing, row.shared))
            told = f"{row.shared:,} of them shared, {share} agree with the others"
        if row.is_rated:
            right = f"{100 * row.accuracy:.0f} % right, {row.information:.2f} bits a vote"
            told = f"{right}; {told}"
        same = "; always the same label" if row.constant else ""
        lines.append(f"  {plain(people[row.index])}: {row.votes:,} votes, {told}{same}")
    some = [row for row in rows if row.shared and not row.is_rated]
    if any(row.others < FEWEST_OTHERS for row in some):
        lines.append(
            "  Where two people differ, their votes do not tell who is right: a third person on "
            f"the same examples ({FEWEST_SHARED} or more) is needed to say who is careless"
        )
    elif some:
        lines.append(
            f"  Of fewer than {FEWEST_SHARED} shared examples nobody is rated: more of them are "
            "needed to say who is careless"
        )
    return lines


def _annotator(name: str, row: Annotator) -> dict[str, Any]:
    """One annotator for JSON; what the votes do not tell is null."""
    unknown = {} if row.is_rated else {"accuracy": None, "information": None}
    return {"name": name, **asdict(row), "is_rated": row.is_rated, **unknown}


def _percent(one: Any) -> str:
    return f"{100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def plain(text: str) -> str:
    """A text of the data as a terminal may show it: without control characters."""
    return "".join(one if one.isprintable() else "?" for one in text)
