"""What techniques left alone or did not reach, as it is remembered with a trial and told of the
file that is delivered.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

from shoestring.kit import ShortfallWarning, SkippedWarning, Training
from shoestring.meters import Ratio
from shoestring.plan import compress
from shoestring.plan.checks import remark_on_drop
from shoestring.plan.experiments import Experiments
from shoestring.plan.main_job import Report
from shoestring.plan.proposal import Proposal
from shoestring.plan.weighing import hearing
from shoestring.prune import Channels, OfChannels
from shoestring.quantize import PostTraining

WIDE = Channels(share=0.25, of=OfChannels(), multiple=32, training=Training(0))
SAID = "not reached: Channels was asked to leave 25% of the channels and left 100%"


def test_shortfalls_are_heard_where_they_are_asked_for_each_once():
    def say() -> None:
        for _ in range(2):
            warnings.warn("3 of 4", ShortfallWarning, stacklevel=2)
            warnings.warn("a bias", SkippedWarning, stacklevel=2)

    notes, all_of_them = list[str](), list[str]()
    with hearing(notes):
        say()
    with hearing(all_of_them, shortfalls=True):
        say()
    assert notes == ["a bias"] and all_of_them == ["not reached: 3 of 4", "a bias"]


def test_the_delivered_file_is_told_of_with_all_steps_of_its_chain(model, task, tmp_path):
    experiments = Experiments(model, task, tmp_path / "study")
    first = experiments(Proposal(techniques=(WIDE,)))
    both = experiments(
        Proposal(techniques=(WIDE, PostTraining()))
    )  # goes on from the first, which is in memory
    other = experiments(Proposal(techniques=(PostTraining(),)))
    assert first is not None and both is not None and other is not None
    for trial in (first, both):
        assert trial.note.count(SAID) == 1
    assert SAID not in other.note
    # Another process that finds the trial tells it as well.
    again = Experiments(model, task, tmp_path / "study")
    found = again(Proposal(techniques=(WIDE, PostTraining())))
    assert found is not None and found.note == both.note and not again.heard

    outcome = compress(model, task, "size<=6KB, drop<=20%", tmp_path / "out.shoe", minutes=2 / 60)
    for trial, told in ((both, True), (other, False)):
        report = Report(
            outcome=replace(outcome, trial=replace(trial, note=f"{trial.note}\na bias".strip())),
            onnx_bytes_before=1,
            score_before=0.9,
            score_after=0.9,
            milliseconds_before=1.0,
            milliseconds_after=1.0,
            speed=Ratio(median=1.0, low=1.0, high=1.0),
            bill=(),
            seconds=12.0,
        )
        lines = report.as_text().splitlines()
        assert (
            sum(line.startswith(SAID) for line in lines) == told
            and lines.count("left alone: a bias") == 1
        )
        assert any(one.startswith(SAID) for one in report.as_json()["notes"]) == told


def test_a_drop_that_allows_any_share_is_remarked_on():
    assert "points are written drop<=2%" in remark_on_drop(2.0, 0.98)
    assert [remark_on_drop(*one) for one in ((None, 0.9), (0.02, 0.9), (2.0, 31.5))] == [""] * 3
