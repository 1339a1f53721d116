"""The command `shoestring label`, from a source to labels and a trained file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import labelling
import pytest

from shoestring.label import Choice, Collection, Example
from shoestring.label.collect import Answer, Store
from shoestring.label.collect.order import is_honest
from shoestring.label.formats import read

ROOT = Path(__file__).parents[2]
ROWS = [
    (f"a {word} day at the {place}", word)
    for place in ("sea", "lake", "town", "farm", "fair", "pool", "park", "zoo", "mill", "inn")
    for word in ("good", "bad", "fine", "sad")
]
HAPPY = {"good": "yes", "fine": "yes", "bad": "no", "sad": "no"}


def table(folder: Path) -> Path:
    path = folder / "days.csv"
    path.write_text("text\n" + "".join(f"{text}\n" for text, _ in ROWS))
    return path


def labelled(path: Path, count: int) -> Path:
    """A project of the table with so many labels."""
    project = path.with_name("days.csv.labels")
    collection = read(path)
    with closing(Store(project, Choice, ("yes", "no"))) as store:
        store.add(
            [
                (
                    Answer(
                        id=f"answer-{at:04}",
                        example=example.name,
                        by="ann",
                        labels=(Choice(name=HAPPY[ROWS[at][1]]),),
                    ),
                    example,
                )
                for at, example in enumerate(collection.examples[:count])
            ]
        )
    return project


def started(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The command as a process, and what it printed until its page is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shoestring", "label", *arguments, "--no-browser"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "until Ctrl-C" in line:
            break
    return process, said


def test_a_table_is_served_and_ctrl_c_says_where_the_labels_are(tmp_path):
    table(tmp_path)
    process, said = started(tmp_path, "days.csv", "--classes", "yes, no", "--no-model")
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]{20,})", said)
        assert found, said
        port = found[1]
        second = subprocess.run(
            [sys.executable, "-m", "shoestring", "label", "days.csv", "--no-model"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert second.returncode == 1 and "another process has the project" in second.stderr
        assert f"http://127.0.0.1:{port}/" in second.stderr and found[2] not in second.stderr
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    assert "0 of 40 examples are labelled, in days.csv.labels" in rest
    with closing(Store(tmp_path / "days.csv.labels")) as store:
        assert store.names() == ("yes", "no") and store.setting("port") == port
        assert store.token == found[2]


def test_labels_are_exported(tmp_path, shoestring):
    project = labelled(table(tmp_path), 12)
    status, out, err = shoestring("label", "days.csv", "--export", "out.jsonl")
    assert status == 0, err
    assert "out.jsonl: 40 examples, 12 of them labelled" in out
    again = read(tmp_path / "out.jsonl")
    said = [one.annotations[0].labels[0] for one in again.examples if one.annotations]
    assert said == [Choice(name=HAPPY[word]) for _, word in ROWS[:12]]
    before = (tmp_path / "days.csv").read_bytes()
    for same in ("days.csv", "./days.csv", str(tmp_path / "days.csv")):
        status, _, err = shoestring("label", "days.csv", "--export", same)
        assert status == 1 and "is the source of the labels" in err
    assert (tmp_path / "days.csv").read_bytes() == before
    project.unlink()
    status, _, err = shoestring("label", "days.csv", "--export", "other.jsonl")
    assert status == 1 and "there are no labels at days.csv.labels" in err


def test_what_an_export_leaves_out_is_said(tmp_path, shoestring):
    labelled(table(tmp_path), 12)
    with closing(Store(tmp_path / "days.csv.labels")) as store:
        again = [replace(one, id=f"{one.id}-2", by="bea") for one in store.answers()[:3]]
        store.add([(one, None) for one in again])
    status, out, err = shoestring("label", "days.csv", "--export", "out.csv")
    assert status == 0, err
    assert "out.csv: 40 examples, 12 of them labelled; 28 are there without a label" in out
    assert "Examples with several answers, of which the file has the last alone: 3." in out
    assert "ends in .jsonl" in out


def test_what_was_collected_afresh_is_exported_alone(tmp_path, shoestring):
    path = tmp_path / "days.csv"
    path.write_text("text,label\n" + "".join(f"{text},{word}\n" for text, word in ROWS))
    process, _ = started(tmp_path, "days.csv", "--afresh", "--classes", "yes, no", "--no-model")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    labelled(path, 3)
    # the project was told so once: the export needs no --afresh, and training neither
    status, out, err = shoestring("label", "days.csv", "--export", "out.jsonl")
    assert status == 0, err
    assert "out.jsonl: 40 examples, 3 of them labelled" in out
    said = [one.annotations for one in read(tmp_path / "out.jsonl").examples if one.annotations]
    assert [[list(each.labels) for each in one] for one in said] == [
        [[Choice(name=HAPPY[word])]] for _, word in ROWS[:3]
    ]


@pytest.mark.slow
def test_three_labels_are_trained_without_a_search(tmp_path, shoestring):
    from shoestring import load

    labelled(table(tmp_path), 3)
    status, out, err = shoestring("label", "days.csv", "--train", "days.shoe")
    assert status == 0, err
    assert re.search(
        r"answers [\d.]+ % right of (\d examples?) that it did not learn from; it is as it was "
        r"trained \(a search for a smaller file takes 5 examples or more",
        out,
    ), out
    load(tmp_path / "days.shoe")


@pytest.mark.slow
def test_a_file_is_trained_from_the_labels(tmp_path, shoestring, monkeypatch):
    from shoestring import load
    from shoestring.recipes import labelling as recipe

    monkeypatch.setattr(recipe, "MINUTES", 0.4)
    labelled(table(tmp_path), 40)
    status, out, err = shoestring("label", "days.csv", "--train", "days.shoe")
    assert status == 0, err
    found = re.search(r"days\.shoe has ([\d,]+) bytes and answers ([\d.]+) % right of (\d+)", out)
    assert found, out
    assert int(found[1].replace(",", "")) == (tmp_path / "days.shoe").stat().st_size
    assert float(found[2]) > 70
    load(tmp_path / "days.shoe")


def test_too_few_labels_are_told_and_nothing_is_written(tmp_path, shoestring):
    labelled(table(tmp_path), 1)
    status, _, err = shoestring("label", "days.csv", "--train", "days.shoe")
    assert status == 1 and "too few labels" in err
    assert not (tmp_path / "days.shoe").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("absent.csv",), "there is no absent.csv"),
        (("empty",), "empty"),
        (("days.csv", "--classes", "yes,Yes"), "nobody could tell them apart"),
        (("days.csv", "--mark", "boxes"), "boxes are on pictures"),
        (("days.csv", "--port", "{taken}"), "cannot listen on port"),
    ],
)
def test_what_cannot_be_labelled_is_told_in_a_sentence(tmp_path, shoestring, arguments, word):
    table(tmp_path)
    (tmp_path / "empty").mkdir()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        asked = [one.format(taken=taken) for one in arguments]
        status, _, err = shoestring("label", *asked, "--no-browser", "--no-model")
    assert status == 1 and word in err and err.count("\n") == 1, err
    assert not list(tmp_path.glob("*.lock"))


def test_a_model_learns_beside_the_page_and_chooses(tmp_path):
    """The real network, in its own process, on real sentences of the test's own."""
    from time import monotonic, sleep

    from shoestring.recipes.labelling import learn_choices

    examples = tuple(Example(name=f"{at:03}", text=text) for at, (text, _) in enumerate(ROWS))
    collection = Collection(examples=examples, kind=Choice, names=("yes", "no"))
    with labelling.opened(collection, tmp_path / "a", learn=learn_choices) as project:
        found = project.next({"by": "ann", "session": "s", "held": [], "want": 24})["examples"]
        sent = [
            {
                "id": f"answer-{one['name']}",
                "example": one["name"],
                "by": "ann",
                "labels": [{"name": HAPPY[ROWS[one["index"]][1]]}],
            }
            for one in found
        ]
        project.take({"session": "s", "answers": sent})
        ends = monotonic() + 120
        while not project.status()["rounds"] and monotonic() < ends:
            sleep(0.05)
        status = project.status()
        assert status["rounds"], status["model"]
        more = project.next({"by": "ann", "session": "s", "held": [], "want": 12})["examples"]
        for one in more:
            said = one["prediction"]
            assert (said is None) == is_honest(one["name"])
            assert said is None or (said["by"] == "the model" and 0 < said["score"] <= 1)
        assert any(one["prediction"] for one in more)


def _fails(collection: Collection, curve: object) -> None:
    raise ValueError("too few labels, on purpose")


def _ends(collection: Collection, curve: object) -> None:
    os._exit(7)


@pytest.mark.slow
@pytest.mark.parametrize(("learn", "word"), [(_fails, "on purpose"), (_ends, "ended 3 times")])
def test_a_model_that_fails_is_told_and_stops_nobody(tmp_path, learn, word):
    from time import monotonic, sleep

    with labelling.opened(labelling.texts(30), tmp_path / "a", learn=learn) as project:
        sent = [
            {"id": f"answer-{at:04}", "example": f"row {at}", "by": "ann",
             "labels": [{"name": "cat"}]}
            for at in range(20)
        ]  # fmt: skip
        project.take({"session": "s", "answers": sent})
        ends = monotonic() + 60
        while word not in project.status()["model"] and monotonic() < ends:
            sleep(0.05)
        assert word in project.status()["model"]
        assert len(project.next({"by": "ann", "session": "s", "want": 5})["examples"]) == 5


def test_the_forecast_says_stop_or_go_on():
    from shoestring.label.collect import Point
    from shoestring.recipes.labelling import forecast

    def curve(*scores: float) -> list[Point]:
        return [
            Point(labels=40 * (at + 1), score=score, error=0.01) for at, score in enumerate(scores)
        ]

    assert forecast(curve(0.5, 0.6, 0.7)) == ""
    assert forecast(curve(0.5, 0.6, 0.68, 0.74, 0.79)).startswith("Go on: 200 more labels")
    assert forecast(curve(0.95, 0.95, 0.95, 0.95, 0.95, 0.95)).startswith("Stop now: ")


def test_a_small_gain_that_is_unsure_does_not_stop():
    from shoestring.label import label_forecast, little_to_gain
    from shoestring.label.collect import Point
    from shoestring.recipes.labelling import MORE, WORTH_POINTS, forecast

    rows = ((20, 0.70), (40, 0.79), (80, 0.80), (120, 0.81))
    points = [
        (labels, score, (score * (1 - score) / (0.2 * labels)) ** 0.5) for labels, score in rows
    ]
    found = label_forecast(points)
    gain = found.gain(MORE)
    assert gain.middle is not None and gain.high is not None
    assert 100 * gain.middle < WORTH_POINTS < 100 * gain.high
    assert not little_to_gain(found, labels=MORE, points=WORTH_POINTS).stop
    said = forecast([Point(labels=a, score=b, error=c) for a, b, c in points])
    assert said.startswith("Go on: 200 more labels would add about 0.")


def test_five_of_five_right_is_no_certainty():
    from shoestring.label.collect import Point
    from shoestring.recipes.labelling import FEWEST_FOR_ADVICE, _advice, forecast, least_error

    assert least_error(1.0, 5) == pytest.approx((7 / 9 * 2 / 9 / 9) ** 0.5)
    assert least_error(0.0, 5) == least_error(1.0, 5)
    right = [Point(labels=labels, score=1.0, error=0.0) for labels in (20, 22, 24, 26, 28)]
    assert forecast(right).startswith("Go on: ")
    unknown = [Point(labels=one.labels, score=1.0) for one in right]
    assert forecast(unknown) == forecast(right)
    heap = labelling.texts(200)
    said = _advice(right[:-1], right[-1], FEWEST_FOR_ADVICE - 1, heap)
    assert said.startswith("29 examples are too few to say whether to stop")
    assert _advice(right[:-1], right[-1], FEWEST_FOR_ADVICE, heap) == forecast(right)
    assert _advice([], None, 0, heap) == ""


def test_no_more_labels_are_forecast_than_are_left():
    from shoestring.label.collect import Point
    from shoestring.recipes.labelling import forecast

    curve = [Point(labels=50 * at, score=0.9 - 4 / at**2 / 20, error=0.01) for at in range(1, 6)]
    assert ": 200 more labels" in forecast(curve, 300)
    assert ": 43 more labels" in forecast(curve, 43)
    assert forecast(curve, 0) == ""


def test_a_function_that_returns_no_task_is_refused(tmp_path, shoestring):
    status, _, err = shoestring("label", "os:getcwd")
    assert status == 1 and "os:getcwd returned str: labelling wants a Supervised task" in err
