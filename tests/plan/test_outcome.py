"""An outcome in a notebook: what went in, what came out, and what else could be had."""

import re
from dataclasses import replace
from pathlib import Path

from shoestring.core import Budget, Cost
from shoestring.kit import Trial
from shoestring.plan import Frontier, Outcome
from shoestring.plan.verdict import judge

TRIAL = Trial(
    technique="chain(A(bits=4))",
    score=0.895,
    error=0.002,
    cost=Cost(bytes=400, milliseconds=0.5),
    noise={"milliseconds": (0.4, 0.6)},
    scores={"recall": 0.7},
    note="left alone: <b>",
)


def outcome(budget: str) -> Outcome:
    limits = Budget.parse(budget)
    return Outcome(
        trial=TRIAL,
        verdict=judge(limits, TRIAL, 0.9),
        budget=limits,
        limits=limits,
        frontier=Frontier.of([TRIAL], ("bytes",), 0.9),
        trials=(TRIAL,),
        score_before=0.9,
        scores_before={"recall": 0.75},
        bytes_before=1000,
        file=Path("folder") / "small.shoe",
        reference=Path("original.shoe"),
        folder=Path("small.shoe.study"),
        seconds=1.0,
    )


def rows(written: str) -> list[list[str]]:
    """The texts of the cells."""
    return [
        [re.sub("<.*?>", "", cell) for cell in re.findall("<td[^>]*>(.*?)</td>", row)]
        for row in re.findall("<tr>(.*?)</tr>", written)
    ]


def test_it_shows_both_files_and_the_verdict():
    written = outcome("size<=500B, drop<=1%")._repr_html_()
    assert rows(written)[1:5] == [
        ["bytes", "1,000", "400", "2.5 times smaller"],
        ["score (validation)", "0.9000", "0.8950", "± 0.0020"],
        ["recall (validation)", "0.7500", "0.7000", ""],
        ["milliseconds a run", "", "0.5", "0.4 to 0.6"],
    ]
    assert "small.shoe keeps size&lt;=500B, drop&lt;=0.01." in written
    assert "left alone: &lt;b&gt;" in written and "write_report" in written
    assert ["1", "A(bits=4)", "400"] in [row[:3] for row in rows(written)], "the frontier"


def test_printing_it_gives_the_same_as_text():
    lines = str(outcome("size<=500B, drop<=1%")).splitlines()
    assert lines[0] == "small.shoe keeps size<=500B, drop<=0.01."
    assert lines[2].split(maxsplit=3) == ["bytes", "1,000", "400", "2.5 times smaller"]
    assert lines[3].split() == ["score", "(validation)", "0.9000", "0.8950", "±", "0.0020"]
    assert (
        "left alone: <b>" in lines
        and lines[-1] == str(outcome("size<=1B").frontier).splitlines()[-1]
    )


def test_it_says_where_the_budget_is_not_kept_and_what_was_measured_of_nothing():
    assert "small.shoe does not keep size&lt;=100B" in outcome("size<=100B")._repr_html_()
    failed = replace(outcome("size<=100B"), trial=replace(TRIAL, cost=Cost(), score=None))
    assert rows(failed._repr_html_())[1] == ["bytes", "1,000", "0", ""]
