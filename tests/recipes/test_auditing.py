"""An audit of collections of one's own: what was planted is found, and nothing is changed."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shoestring.kit import Training
from shoestring.label import Annotation, Box, Choice, Collection, Example
from shoestring.recipes import auditing
from shoestring.recipes.audit_report import (
    as_csv,
    as_json,
    as_text,
    findings,
    meaning,
    plain,
    proposal,
)
from shoestring.recipes.auditing import Audit, audit, audits
from shoestring.recipes.own_data import own_data

GOOD = ["good", "fine", "great", "superb", "lovely", "excellent"]
BAD = ["bad", "poor", "awful", "dreadful", "boring", "terrible"]
THINGS = ["actors", "music", "story", "pictures", "jokes", "costumes", "dialogue", "ending"]


def said(name: str, *others: tuple[str, str]) -> tuple[Annotation, ...]:
    first = Annotation(labels=(Choice(name=name),), by="ann" if others else "")
    return (first, *(Annotation(labels=(Choice(name=n),), by=by) for by, n in others))


def reviews(count: int = 160) -> tuple[Collection, set[str]]:
    """Sentences with a mood, and the names of those whose label is wrong."""
    draw = np.random.default_rng(0)
    examples, wrong = [], set()
    for number in range(count):
        is_good = number % 2 == 1
        words = GOOD if is_good else BAD
        text = f"the {draw.choice(THINGS)} of film {draw.integers(10**6)} is {draw.choice(words)}"
        name = "yes" if is_good != (number < 8) else "no"
        if number < 8:
            wrong.add(str(number))
        third = "yes"  # whatever it is
        examples.append(
            Example(
                name=str(number),
                text=text,
                fields={"town": "north" if number % 4 < 2 else "south"},
                annotations=said(name, ("bea", name), ("cat", third)),
                split="test" if number >= count - 20 else "train",
            )
        )
    last = examples[-1]
    leak = replace(examples[-1], name="leak", split="train", annotations=last.annotations)
    against = Example(
        name="against",
        text=str(examples[20].text).upper() + " !",
        fields={"town": "north"},
        annotations=said("yes", ("bea", "yes")),
    )
    blank = Example(name="blank", text="<b>nobody</b> said anything of this", fields={})
    made = Collection(examples=(*examples, leak, against, blank), kind=Choice, names=("no", "yes"))
    return made, wrong


@pytest.fixture(scope="module")
def answers() -> list[Audit]:
    return list(audits(reviews()[0], attribute="town", minutes=0.03))


def test_planted_wrong_labels_contradictions_and_leaks_are_found(answers: list[Audit]):
    first, last = answers
    assert not first.is_last and last.is_last and last.accuracy > 0.85
    wrong = reviews()[1]
    flagged = [last.examples[row.index] for row in last.errors]
    assert len(wrong & set(flagged)) >= 6 and len(set(flagged) - wrong) <= 4
    rows = {(row.example, row.finding): row for row in findings(last)}
    assert rows["20", "contradiction"].other == "against"
    assert rows["leak", "leak"].other == "159" and rows["leak", "leak"].proposal == "remove"
    assert "blank" not in last.examples
    assert any("1 examples have no label" in note for note in last.notes)
    annotators = {last.people[row.index]: row for row in last.annotators.rows}  # type: ignore[union-attr]
    assert annotators["cat"].constant and annotators["cat"].information < 0.05
    assert annotators["ann"].information > 0.5
    assert {row.group for row in last.groups} == {"north", "south"}


def test_the_report_the_table_and_the_proposal_agree(answers: list[Audit]):
    last = answers[-1]
    text = as_text(last)
    assert f"{len(last.errors)} labels that are probably wrong" in text
    assert "always the same label" in text and "1 contradiction:" in text
    table = list(csv.DictReader(io.StringIO(as_csv(last))))
    assert len(table) == len(list(findings(last))) and table[0]["finding"] == "contradiction"
    fixes = list(csv.DictReader(io.StringIO(proposal(last))))
    assert len({row["name"] for row in fixes}) == len(fixes)
    relabelled = {row["name"]: row for row in fixes if row["action"] == "relabel"}
    assert set(relabelled) == {last.examples[row.index] for row in last.errors}
    assert all(row["label"] != row["new_label"] for row in relabelled.values())
    known = json.loads(as_json(last))
    assert known["examples"] == len(last.examples) and len(known["findings"]) == len(table)


def test_what_is_printed_has_no_control_characters():
    assert plain("a\x1b[31mb\nc") == "a?[31mb?c"


def test_what_cannot_be_audited_is_named():
    made, _ = reviews(40)
    with pytest.raises(ValueError, match="no example has the field 'age': the fields are town"):
        audit(made, attribute="age")
    whole = [replace(e, fields={"age": str(k), "to": "all", "who": f"p{k}"}) for k, e in
             enumerate(made.examples)]  # fmt: skip
    for field, says in (("to", "is 'all' in all examples"), ("who", "different values")):
        with pytest.raises(ValueError, match=says):
            next(audits(replace(made, examples=tuple(whole)), attribute=field))
    ages = next(audits(replace(made, examples=tuple(whole)), attribute="age")).groups
    assert len({row.group for row in ages}) == 4
    same = [replace(e, text="it is", annotations=said("no" if k % 2 else "yes")) for k, e in
            enumerate(made.examples)]  # fmt: skip
    (found,) = audits(replace(made, examples=tuple(same)))
    assert found.is_last and len(found.contradictions) == len(found.examples) // 2
    assert any("all examples are equal" in note for note in found.notes)
    assert "no model was asked" in as_text(found) and not found.errors
    assert json.loads(as_json(found))["accuracy"] is None
    with pytest.raises(ValueError, match="minutes is 0"):
        audit(made, minutes=0)
    boxes = Collection(
        examples=(
            Example(
                name="a",
                picture=Path("a.png"),
                annotations=(
                    Annotation(labels=(Box(left=0, top=0, width=1, height=1, name="x"),)),
                ),
            ),
        ),
        kind=Box,
    )
    with pytest.raises(ValueError, match="kind Box"):
        audit(boxes)
    one = replace(made, examples=tuple(replace(e, annotations=said("no")) for e in made.examples))
    with pytest.raises(ValueError, match="too few labels"):
        audit(one)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_of_a_coin_are_called_no_better_than_chance(seed: int):
    draw = np.random.default_rng(seed)
    examples = tuple(
        replace(e, annotations=said(str(draw.choice(["no", "yes"]))), split="")
        for e in reviews(200)[0].examples
    )
    found = next(audits(Collection(examples=examples, kind=Choice), minutes=0.03))
    assert found.agreement is not None and found.agreement.is_by_chance
    assert not found.errors and not found.slices
    assert any("the models know no more of the labels than chance" in n for n in found.notes)
    text = as_text(found)
    assert "no better than chance" in text and "nothing is wrong" not in text
    assert "relabel" not in proposal(found) and json.loads(as_json(found))["is_by_chance"]


def test_the_last_answer_says_it_too():
    draw = np.random.default_rng(0)
    examples = tuple(
        Example(
            name=str(number),
            fields={"size": f"{draw.normal():.4f}"},
            annotations=said(f"kind {draw.integers(10)}"),
        )
        for number in range(200)
    )
    found = audit(Collection(examples=examples, kind=Choice), minutes=0.03)
    assert found.agreement is not None and found.agreement.is_by_chance and not found.errors
    assert "the models know no more of the labels than chance" in as_text(found)
    assert found.influence is None


def test_a_long_list_says_how_many_of_it_can_be_wrong(answers: list[Audit]):
    last = answers[-1]
    assert last.agreement is not None and last.agreement.chance < 1e-6
    assert meaning(replace(last, errors=())) == ""
    assert "were 5" not in meaning(replace(last, errors=last.errors[:1]))
    longer = replace(last, errors=last.errors * 10)
    listed, wrong = len(longer.errors), len(last.examples) // 20
    assert f"at most {wrong} of these {listed} " in meaning(longer)
    assert meaning(longer) in as_text(longer)
    assert f"{listed} labels that may be wrong" in as_text(longer)


def test_rows_of_a_table_and_a_class_with_one_example():
    draw = np.random.default_rng(0)
    examples = []
    for number in range(90):
        kind = number % 2
        fields = {"size": f"{draw.normal(4 * kind):.3f}", "colour": "red" if kind else "blue"}
        name = "lonely" if number == 50 else f"kind {kind}"
        examples.append(Example(name=str(number), fields=fields, annotations=said(name)))
    examples.append(replace(examples[3], name="copy"))
    made = Collection(examples=tuple(examples), kind=Choice)
    found = audit(made, minutes=0.03, most=1000)
    assert "50" not in {found.examples[row.index] for row in found.errors}
    assert any("nothing is said of their labels" in note for note in found.notes)
    assert any("1 example has a class that no other fold has (class 'lonely')" in note
               for note in found.notes)  # fmt: skip
    assert "1 class is rare: lonely (1); collect" in as_text(found)
    assert next((row.name, row.count) for row in found.balance) == ("lonely", 1)
    exact = [row for row in found.near.rows if row.exact]
    assert [(found.examples[r.first], found.examples[r.second]) for r in exact] == [("3", "copy")]
    fewer = audit(made, minutes=0.03, most=30)
    assert len(fewer.examples) == 30
    assert any("30 of 91 examples were drawn" in note for note in fewer.notes)


def test_numbers_too_large_for_a_network_are_left_out_with_a_note():
    draw = np.random.default_rng(0)
    examples = tuple(
        Example(
            name=str(number),
            fields={"size": f"{draw.normal(4 * (number % 2)):.3f}", "big": f"{draw.normal()}e300"},
            annotations=said(f"kind {number % 2}"),
        )
        for number in range(60)
    )
    found = next(audits(Collection(examples=examples, kind=Choice), minutes=0.03))
    assert found.accuracy > 0.8 and any("column 'big' is left out" in n for n in found.notes)


@pytest.mark.slow
def test_pictures_and_those_that_do_not_open(tmp_path: Path):
    draw = np.random.default_rng(0)
    examples = []
    for number in range(80):
        kind = number % 2
        pixels = draw.integers(0, 60, (24, 24, 3)).astype(np.uint8)
        pixels[6:18, 6:18, 0 if kind else 2] += 150
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        name = ["blue", "red"][kind if number != 7 else 1 - kind]
        examples.append(Example(name=path.name, picture=path, annotations=said(name)))
    (tmp_path / "7b.png").write_bytes((tmp_path / "7.png").read_bytes())
    (tmp_path / "cut.png").write_bytes((tmp_path / "9.png").read_bytes()[:100])
    for name, label in (("7b.png", "red"), ("cut.png", "red")):
        examples.append(Example(name=name, picture=tmp_path / name, annotations=said(label)))
    found = audit(Collection(examples=tuple(examples), kind=Choice), minutes=0.03)
    assert [found.examples[row.index] for row in found.errors] == ["7.png"]
    assert [r.pair.exact for r in found.contradictions] == [True]
    assert any("cut.png" in note for note in found.notes) and "cut.png" not in found.examples


def test_annotators_without_a_common_example_are_not_rated():
    collection, _ = reviews(60)
    rows = tuple(
        replace(
            e,
            annotations=tuple(
                replace(one, by="ann" if n % 2 else "bea") for one in e.annotations[:1]
            ),
        )
        for n, e in enumerate(collection.examples)
    )
    found = audit(replace(collection, examples=rows), minutes=0.02)
    assert "on examples that nobody else voted on" in as_text(found)
    assert json.loads(as_json(found))["annotators"][0]["accuracy"] is None


def test_of_two_people_neither_is_called_careless_and_of_three_one_is():
    draw = np.random.default_rng(0)

    def report(by: tuple[str, ...], shared: int) -> tuple[str, dict[str, Any]]:
        examples = []
        for n in range(70):
            right = n % 2
            wrong = draw.random() < 0.3  # bob errs, and ann never
            votes = [(who, "AB"[right ^ (wrong and who == "bob")]) for who in by]
            told = votes if n < shared else votes[:1]
            fields = {"a": f"{right + 0.1 * draw.normal():.3f}"}
            examples.append(
                Example(name=f"{n}", fields=fields, annotations=said("AB"[right], *told))
            )
        made = Collection(examples=tuple(examples), kind=Choice, names=("A", "B"))
        found = next(audits(made))  # what people said needs no longer training
        return as_text(found), {
            one["name"]: one for one in json.loads(as_json(found))["annotators"]
        }

    text, rows = report(("ann", "bob"), 13)
    lines = text[text.index("Annotators:") :]
    assert "% right" not in lines and "a third person" in lines
    assert rows["ann"]["accuracy"] is None and not rows["ann"]["is_rated"]
    assert rows["ann"]["shared"] == 13 and "70 votes, 13 of them shared" in lines
    text, rows = report(("ann", "bob", "cem"), 13)
    assert "fewer than 30 shared" in text and "% right" not in text
    text, rows = report(("ann", "bob", "cem"), 60)
    assert rows["bob"]["is_rated"] and rows["bob"]["accuracy"] < 0.85 < rows["ann"]["accuracy"]
    lines = text[text.index("Annotators, the least informative first:") :].splitlines()
    assert lines[1].startswith("  bob: ") and "% right" in lines[1]


def test_what_wrong_labels_cost_is_measured_on_labels_that_found_none_of_them(monkeypatch):
    draw = np.random.default_rng(0)
    examples = [
        Example(name=f"{n}", fields={"a": f"{draw.normal():.3f}"}, annotations=said("AB"[n % 2]))
        for n in range(120)
    ]
    validated = own_data(Collection(examples=tuple(examples), kind=Choice)).validation
    given: list[list[int]] = []

    def taken(model, task, training, suspects):
        given.append(suspects.tolist())

    monkeypatch.setattr(auditing, "influence", taken)
    for turned in (False, True):
        rows = [
            replace(e, annotations=said("AB"[1 - int(e.name) % 2]))
            if turned and e.name in validated
            else e
            for e in examples
        ]
        looked = auditing._looked_at(
            Collection(examples=tuple(rows), kind=Choice, names=("A", "B")), "", 1000, 0
        )
        auditing._influence(looked, Training(50), 0, [])
    assert given[0] and given[0] == given[1]


@pytest.mark.slow
def test_with_minutes_it_is_measured_what_the_wrong_labels_cost():
    found = audit(reviews()[0], minutes=20)
    assert found.influence is not None and found.fit is not None
    assert len(found.influence.without) == 3
    text = as_text(found)
    assert "What the wrong labels cost" in text and "Underfit or contradiction?" in text
    assert not any("more minutes" in note for note in found.notes)
