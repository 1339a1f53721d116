"""The document of a search: numbers that can be checked by hand, and folders of all kinds."""

import hashlib
import json
import math
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from processes import CONTEXT

from shoestring.artifact import save
from shoestring.core import Cost, Ledger, Row
from shoestring.kit import Study
from shoestring.kit.study import alone
from shoestring.plan.kept import Timed, note_timed
from shoestring.report import Document, document_of
from shoestring.report.document import Axis, Point
from shoestring.report.rates import rates_of

from .made import MACHINE, describe, finish, search, small, trial


def points(document: Document) -> dict[str, object]:
    return {point.label: point for point in document.points}


def test_before_after_budget_and_frontier(tmp_path):
    found = document_of(search(tmp_path))
    assert found.kind == "study" and found.title == "sums.shoe" and not found.working
    assert found.before is not None and found.after is not None
    assert found.before.costs == {"bytes": 1000} and found.before.scores == {"score": 0.9}
    assert found.after.costs == {"bytes": 400, "seconds": 30.0} and found.after.minutes == 0.5
    assert found.after in found.points and found.after.error == 0.002
    assert found.frontier == ("trial-2", "trial-1", "packed")
    assert found.named == {"free": "packed", "balanced": "trial-1"}
    assert [(rate.start, rate.given, round(rate.got, 4)) for rate in found.rates] == [
        ("trial-2", 200, 0.095),
        ("trial-1", 400, 0.005),
    ]
    assert [rate.words for rate in found.rates] == [
        "+200 B buy +9.50 points",
        "+400 B buy +0.50 points",  # 0.005 is more than twice the error of 0.002
    ]
    assert found.budget is not None and found.budget.met is True
    size, drop = found.budget.limits
    assert (size.at_most, size.measured, size.kept) == (500, 400, True)  # half of 1,000 B
    assert drop.at_least is not None and drop.at_least == pytest.approx(0.89) and drop.kept
    assert size.words == "size<=50%: at most 500 B"
    assert drop.words == "drop<=1%: at least 89 %", "in the unit of the axis"
    assert found.budget.text == "size<=50%, drop<=1%", "as it was typed"
    assert [point.fits for point in found.points] == [False, False, True, False, False, False]
    assert found.machine == MACHINE and "names of its tensors" not in found.versions
    assert found.notes == ()


def test_a_difference_that_is_noise_has_no_exchange_rate(tmp_path):
    path = search(tmp_path)
    noisy = trial("N(bits=5)", 0.898, 500, error=0.0025)
    finish(path.with_name("sums.shoe.study"), noisy, small(3.0))
    first, second, third = document_of(path).rates
    assert first.clear and (first.start, first.end) == ("trial-2", "trial-1")
    # 0.003 and 0.002 are less than two standard errors: of 0.0032 for both, and of 0.0025.
    assert not second.clear and second.words == "+100 B: no clear change of the score"
    assert not third.clear and third.words == "+300 B: no clear change of the score"


def test_overlapping_times_have_no_exchange_rate():
    axis = Axis(field="milliseconds", name="latency", unit="ms", words="", better="lower", log=True)
    score = replace(axis, field="score", name="score", unit="", better="higher", log=False)
    fast, slow = (
        Point(id=name, label=name, costs={"milliseconds": 2.0 * at}, scores={"score": 10.0 * at})
        for at, name in enumerate(("fast", "slow"), 1)
    )
    (rate,) = rates_of([fast, slow], [axis], [score], "milliseconds")
    assert rate.clear and rate.words == "+2 ms buy +10"
    wide = [replace(point, intervals={"milliseconds": (1.0, 5.0)}) for point in (fast, slow)]
    (rate,) = rates_of(wide, [axis], [score], "milliseconds")
    assert not rate.clear and rate.words == "+10: no clear change of the latency"


def test_limits_are_told_in_the_units_of_their_axes(tmp_path):
    path = search(
        tmp_path,
        budget="latency<=80%, score>=85%, drop(recall)<=2",
        command=[],
        fields=["milliseconds", "bytes"],
        scores={"recall": 70.0},
        original_cost={"bytes": 800, "milliseconds": 0.0115688484},
    )
    many = trial("M()", 0.89, 300, scores={"recall": 69.0})
    finish(path.with_name("sums.shoe.study"), many, small(3.0))
    found = document_of(path).budget
    assert found is not None and found.text == "latency<=80%, score>=85%, drop(recall)<=2"
    assert sorted(limit.words for limit in found.limits) == [
        "drop(recall)<=2: at least 68",
        "latency<=80%: at most 0.00926 ms",
        "score>=85%",
    ]


def test_each_byte_and_each_number_of_the_delivered_file(tmp_path):
    found = document_of(search(tmp_path))
    size = len(small())
    assert found.bill is not None and found.bill.total == size
    assert sum(row.bytes for row in found.bill.rows) == size
    (layer,) = found.layers
    assert layer.numbers == 4 and layer.zeros == 0.5 and layer.bits == 8 * layer.bytes / 4
    assert layer.bytes == sum(row.bytes for row in found.bill.rows if row.tensor)


def test_the_model_that_came_in_has_the_bytes_that_compress_prints_and_its_file_its_own(tmp_path):
    found = document_of(search(tmp_path))
    before, packed = found.points[:2]
    assert (before.id, before.costs["bytes"], before.number) == ("before", 1000, None)
    assert (packed.id, packed.costs["bytes"], packed.number) == ("packed", 800, 3)
    assert before.note == "its bytes are 4 for each of its numbers"


def test_times_of_both_files_are_those_that_the_search_ended_with(tmp_path):
    path = search(tmp_path)
    folder, timed = path.with_name("sums.shoe.study"), (0.25, 0.5, 1.0)
    digest = hashlib.sha256(small()).hexdigest()
    note_timed(folder, Timed(sha256=digest, before=(1.0, 2.0, 3.0), after=timed))
    found = document_of(path)
    assert found.before is not None and found.before.costs["milliseconds"] == 2.0
    assert found.after is not None and found.after.costs["milliseconds"] == 0.5
    assert found.after.intervals == {"milliseconds": (0.25, 1.0)}
    assert found.after in found.points
    assert "milliseconds" in [axis.field for axis in found.resources]
    assert sum("milliseconds" in point.costs for point in found.points) == 3
    assert found.speed is None and found.search_seconds is None, "as older versions noted it"
    note_timed(folder, Timed(sha256="of another", before=timed, after=timed))
    assert all("milliseconds" not in point.costs for point in document_of(path).points)


@pytest.mark.parametrize(
    ("ratio", "words", "clear"),
    [
        ((0.3, 0.456, 0.6), "ratio 0.46 (0.30 to 0.60)", True),
        ((0.9, 0.97, 1.1), "ratio 0.97 (0.90 to 1.10)", False),
        ((0.19, 0.99, 2.34), "ratio too noisy to tell (0.19 to 2.34)", False),
    ],
)
def test_the_ratio_of_both_times_and_the_whole_search(tmp_path, ratio, words, clear):
    path = search(tmp_path, budget="time<=60s, drop<=1%")
    folder, quartiles = path.with_name("sums.shoe.study"), (1.0, 2.0, 3.0)
    digest = hashlib.sha256(small()).hexdigest()
    timed = Timed(sha256=digest, before=quartiles, after=quartiles, ratio=ratio, seconds=56.0)
    note_timed(folder, timed)
    found = document_of(path)
    assert found.speed is not None
    assert (found.speed.words, found.speed.clear) == (words, clear)
    assert found.search_seconds == 56.0 and found.budget is not None
    time = next(limit for limit in found.budget.limits if limit.field == "time")
    assert (time.words, time.at_most, time.measured, time.kept) == ("time<=60s", 60, 56.0, True)
    note_timed(folder, replace(timed, seconds=61.0))
    late = document_of(path).budget
    assert late is not None
    assert next(limit for limit in late.limits if limit.field == "time").kept is False


def test_labels_that_were_bought_have_their_row_and_their_limit(tmp_path):
    ledger = Ledger(tmp_path / "sums.ledger")
    bought = {"run": "one", "task": "sums", "technique": "Margin(labels=40)"}
    ledger.append(Row(kind="apply", cost_after=Cost(labels=40), **bought))
    ledger.append(Row(kind="apply", cost_after=Cost(labels=9), **{**bought, "run": "another"}))
    digest = hashlib.sha256(small()).hexdigest()
    ledger.append(Row(kind="apply", **{**bought, "technique": "A(bits=4)"}, sha256=digest))
    path = search(
        tmp_path, budget="labels<=50, drop<=1%", labels=40, bought="40 labels bought", ledger=None
    )
    found = document_of(path, Path(ledger.path))
    assert [row.cost_after.get("labels") for row in found.ledger] == [40, None]
    assert found.budget is not None
    labels = next(limit for limit in found.budget.limits if limit.field == "labels")
    assert (labels.words, labels.measured, labels.kept) == ("labels<=50", 40, True)
    describe(path.with_name("sums.shoe.study"), budget="labels<=50, drop<=1%")  # an older note
    older = document_of(path).budget
    assert older is not None
    assert next(limit for limit in older.limits if limit.field == "labels").kept is None


def test_a_loss_on_test_data_that_is_far_from_that_on_validation_data_is_said(tmp_path):
    path = search(tmp_path)
    ledger = Ledger(tmp_path / "shoestring.ledger")
    origin, delivered = (hashlib.sha256(small(at)).hexdigest() for at in (8.0, 0.25))
    ledger.append(Row(kind="prove", technique="", score_after=0.88, sha256=origin))
    # On validation data 0.005 is lost, with a standard error of 0.002.
    ledger.append(Row(kind="prove", technique="", score_after=0.872, sha256=delivered))
    assert document_of(path).notes == ()
    ledger.append(Row(kind="prove", technique="", score_after=0.86, sha256=delivered))
    (note,) = document_of(path).notes
    assert "On test data 2.00 points of the score are lost" in note
    assert "0.50 ± 0.40 points on validation data" in note


def test_a_chain_that_cannot_be_told_apart_is_written_whole(tmp_path):
    path = search(tmp_path)
    finish(path.with_name("sums.shoe.study"), trial("X('('), Y()", 0.7, 100), small(6.0))
    assert document_of(path).points[-1].technique == "chain(X('('), Y())"


def test_a_failed_trial_and_one_whose_score_is_no_number_are_told_apart(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    finish(folder, trial("E()", None, 90, note="the score is nan"), None)
    finish(folder, trial("F()", math.inf, 80), small(9.0))
    finish(folder, trial("G()", math.nan, 70), small(7.0))
    states = {label: point.state for label, point in points(document_of(path)).items()}
    assert states == {
        "as it came in": "ok",
        "as a file, without loss": "ok",
        "A(bits=4)": "ok",
        "B(bits=2)": "ok",
        "C": "failed",
        "D(bits=8)": "ok",
        "E": "nan",
        "F": "nan",
        "G": "nan",
    }
    json.loads(document_of(path).to_json())


def test_noise_leaves_a_limit_open(tmp_path):
    path = search(
        tmp_path,
        budget="latency<=2ms, drop<=1%",
        fields=["milliseconds", "bytes"],
        original_cost={"bytes": 800, "milliseconds": 4.0},
    )
    folder = path.with_name("sums.shoe.study")
    noisy = trial("N()", 0.9, noise={"milliseconds": (1.5, 3.0)})
    cost = Cost(bytes=300, milliseconds=2.5)
    # Timed by nobody that is known: the note of the search has no timer.
    note = json.loads((folder / "search.json").read_text())
    del note["timer"]
    (folder / "search.json").write_text(json.dumps(note))
    finish(folder, replace(noisy, cost=cost), small(3.0))
    save(path, small(3.0))
    found = document_of(path)
    assert found.after is not None and found.after.fits is None
    assert found.budget is not None and found.budget.met is None
    latency = next(limit for limit in found.budget.limits if limit.field == "milliseconds")
    assert (latency.at_most, latency.measured, latency.kept) == (2.0, 2.5, None)
    assert any("latency cannot be decided" in note for note in found.notes)
    assert [axis.field for axis in found.resources][:2] == ["milliseconds", "bytes"]


def test_a_budget_that_is_not_kept_says_which_limit_blocks(tmp_path):
    path = search(tmp_path, budget="size<=100B, drop<=1%")
    found = document_of(path)
    assert found.budget is not None and found.budget.met is False
    assert any("budget is not kept" in note for note in found.notes)
    assert any(note.startswith("Size blocks: 400B was reached") for note in found.notes)


def test_without_a_budget_nothing_fits_or_fails(tmp_path):
    found = document_of(search(tmp_path, budget=""))
    assert found.budget is None and {point.fits for point in found.points} == {None}


def test_scores_on_test_data_come_from_the_ledger_that_the_search_wrote(tmp_path):
    path = search(tmp_path, ledger="../elsewhere.ledger")
    ledger = Ledger(tmp_path / "elsewhere.ledger")
    origin, delivered = (hashlib.sha256(small(at)).hexdigest() for at in (8.0, 0.25))
    ledger.append(Row(kind="prove", technique="", score_after=0.88, sha256=origin))
    ledger.append(Row(kind="prove", technique="", score_after=0.1, sha256=delivered))
    ledger.append(Row(kind="prove", technique="", score_after=0.87, sha256=delivered))
    ledger.append(Row(kind="prove", technique="", score_after=0.5, sha256="of another"))
    found = document_of(path)
    assert found.before is not None and found.before.test == 0.88
    assert found.after is not None and found.after.test == 0.87, "the newest counts"
    assert (found.before.tests, found.after.tests) == (1, 2)
    assert [row.id for row in found.ledger] == [1, 2, 3]
    assert f"shoestring ledger {tmp_path}/elsewhere.ledger" in [c.command for c in found.commands]


def test_a_file_that_is_gone_or_of_another_command_is_said(tmp_path):
    path = search(tmp_path)
    save(path, small(77.0))
    found = document_of(path)
    assert found.after is not None and found.after.id == "file" and found.after in found.points
    assert found.after.costs == {"bytes": len(small(77.0))} and found.after.scores == {}
    assert any("none of the files of this search" in note for note in found.notes)
    path.unlink()
    found = document_of(path)
    assert found.after is None and found.bill is None and found.layers == ()
    assert any("is not there" in note for note in found.notes)
    assert not any("inspect" in command.command for command in found.commands)


def test_a_damaged_delivered_file_is_said_and_the_search_is_shown(tmp_path):
    path = search(tmp_path)
    path.write_bytes(small()[:-3])
    found = document_of(path)
    assert found.bill is None and len(found.points) == 6
    assert any(note.startswith("sums.shoe cannot be read") for note in found.notes)


def test_trials_of_another_model_are_said_and_not_shown(tmp_path):
    path = search(tmp_path)
    finish(path.with_name("sums.shoe.study"), trial("Z()", 0.99, 1), small(5.0), model="another")
    found = document_of(path)
    assert "Z" not in points(found) and len(found.points) == 6
    assert any("has other trials" in note for note in found.notes)


def test_files_that_were_swept_are_no_longer_on_the_frontier(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    (folder / f"{hashlib.sha256(small(0.5)).hexdigest()}.shoe").unlink()
    found = document_of(path)
    assert found.frontier == ("trial-1", "packed") and len(found.points) == 6
    assert any("files of 1 trials are no longer there" in note for note in found.notes)


def test_a_study_without_trials_and_one_with_failed_ones_only(tmp_path):
    folder = tmp_path / "sums.shoe.study"
    folder.mkdir()
    describe(folder)
    found = document_of(folder)
    assert [point.id for point in found.points] == ["before", "packed"]
    assert found.frontier == ("packed",)
    assert any("No trial was finished" in note for note in found.notes)
    finish(folder, trial("C()", None, note="no"), None)
    found = document_of(folder)
    assert any("All 1 trials failed" in note for note in found.notes)


def _work(folder: Path, pipe) -> None:
    """A process that works on a study until it is told to end."""
    with alone(folder), Study(folder, "model") as study:
        claim = study.claim("chain(H(bits=3))")
        assert claim is not None
        pipe.send("begun")
        pipe.recv()


def test_a_search_that_goes_on_in_another_process(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    here, there = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_work, args=(folder, there))
    process.start()
    assert here.recv() == "begun"
    found = document_of(path)
    assert found.working and any("tried now: H(bits=3)" in note for note in found.notes)
    here.send("end")
    process.join()
    found = document_of(path)
    assert not found.working and not any("tried now" in note for note in found.notes)


@pytest.mark.parametrize("note", ["[" * 100_000, "{"])
def test_a_damaged_note_is_named(tmp_path, note):
    folder = search(tmp_path).with_name("sums.shoe.study")
    (folder / "search.json").write_text(note)
    with pytest.raises(ValueError, match=r"search\.json is damaged \(.*run compress again"):
        document_of(folder)


def test_reading_changes_nothing_in_the_folder(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    before = {one: one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    document_of(path)
    assert {one: one.read_bytes() for one in folder.rglob("*") if one.is_file()} == before


def test_twenty_thousand_trials_are_sampled_and_collected_in_seconds(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    with sqlite3.connect(folder / "study.sqlite") as connection:
        rows = [
            ("model", one.technique, 0, 1.0, None, one.to_json())
            for one in (trial(f"X({at})", at / 40_000, 1000 + at) for at in range(20_000))
        ]
        connection.executemany(
            "insert into trials (model, technique, seed, fidelity, file, trial) "
            "values (?, ?, ?, ?, ?, ?)",
            rows,
        )
    began = time.monotonic()
    found = document_of(path)
    text = found.to_json()
    assert time.monotonic() - began < 60  # about 2 s; the machine may be busy
    assert len(found.points) == 1000 and len(text) < 1_000_000
    shown = {point.id for point in found.points}
    assert {*found.frontier, *found.named.values(), "before", "packed", "trial-1"} <= shown
    assert any("Of 20,006 points 1,000 are shown" in note for note in found.notes)


def test_hostile_names_stay_texts(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    long = "</script><script>alert(1)</script>" * 30_000
    name = "X('</script>\"\\n\\x00')"
    finish(folder, trial(name, 0.7, 100, note=long, scores={"<b>": 0.5, long: 0.1}), small(6.0))
    found = document_of(path)
    text = found.to_json()
    assert "<" not in text and len(text) < 50_000
    values = json.loads(text)
    point = values["points"][-1]
    assert point["steps"] == [name] and point["technique"] == "", "the steps say it all"
    assert point["scores"]["<b>"] == 0.5
    assert point["note"].endswith(f"({len(long):,} characters)")


def test_the_commands_are_those_that_were_given_and_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search(tmp_path, command=["compress", "my file.py:sums", "--inputs", "x y.npz"])
    (tmp_path / "sums.shoe").rename("a $(b).shoe")
    (tmp_path / "sums.shoe.study").rename("a $(b).shoe.study")
    commands = [one.command for one in document_of(Path("a $(b).shoe")).commands]
    assert "shoestring compress 'my file.py:sums' --inputs 'x y.npz'" in commands
    assert "shoestring frontier 'a $(b).shoe' --pick 1" in commands
    assert "shoestring score 'a $(b).shoe' 'my file.py:sums' --inputs 'x y.npz'" in commands
