"""The file of a labelling project: what was acknowledged stays, once, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import labelling
import pytest
from processes import CONTEXT
from tiers import repetitions

from shoestring.label import Annotation, Box, Choice, Span
from shoestring.label.collect import Answer, Point, Project, Store, annotated
from shoestring.label.collect.answer import AnswerError, answer_of, labels_of
from shoestring.label.collect.order import Order, is_honest

COLLECTION = labelling.texts(400)


def answer(number: int, name: str = "cat", by: str = "ann", **more: object) -> Answer:
    example = COLLECTION.examples[number % len(COLLECTION.examples)].name
    made = Answer(id=f"answer-{number:05}", example=example, by=by, labels=(Choice(name=name),))
    return replace(made, **more)


def rows(*answers: Answer) -> list:
    known = {one.name: one for one in COLLECTION.examples}
    return [(one, known[one.example]) for one in answers]


def test_answers_come_back_as_they_were(tmp_path):
    said = answer(1, seconds=1.5, at=1e9, complete=False)
    with closing(Store(tmp_path / "a", Choice, ("cat", "dog"))) as store:
        store.add(rows(said, answer(2, skipped=True, labels=())))
        store.add_name("emu")
        store.add_point(Point(labels=10, score=0.5))
        known = store.id, store.token
    with closing(Store(tmp_path / "a")) as again:
        assert again.answers() == [said, answer(2, skipped=True, labels=())]
        assert again.names() == ("cat", "dog", "emu")
        assert again.curve() == [Point(labels=10, score=0.5)]
        assert (again.id, again.token, again.kind) == (*known, Choice)
    assert os.stat(tmp_path / "a").st_mode & 0o077 == 0 or sys.platform == "win32"


def test_an_answer_that_is_sent_twice_is_kept_once(tmp_path):
    with closing(Store(tmp_path / "a", Choice)) as store:
        assert store.add(rows(answer(1), answer(2), answer(1))) == {answer(1).id, answer(2).id}
        assert store.add(rows(answer(2), answer(3))) == {answer(3).id}
        assert [one.id for one in store.answers()] == [answer(n).id for n in (1, 2, 3)]


def test_rows_are_never_changed(tmp_path):
    with closing(Store(tmp_path / "a", Choice, ("cat",))) as store:
        store.add(rows(answer(1)))
        store.add_point(Point(labels=1, score=1.0))
    with closing(sqlite3.connect(tmp_path / "a")) as file:
        for sql in (
            "update answers set labels = '[]'",
            "delete from answers",
            "delete from classes",
            "update curve set score = 0",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                file.execute(sql)


def test_what_holds_is_the_last_answer_of_each_person_that_is_not_undone(tmp_path):
    one = answer(1)
    changed = replace(one, id="changed-1", labels=(Choice(name="dog"),))
    other = replace(one, id="of-bob-01", by="bob")
    undo = replace(one, id="undo-0001", labels=(), undoes=changed.id)
    collection = annotated(COLLECTION, [one, changed, other], ("cat",))
    said = collection.examples[1].annotations
    assert [(a.by, a.labels[0]) for a in said] == [
        ("ann", Choice(name="dog")),
        ("bob", Choice(name="cat")),
    ]
    said = annotated(COLLECTION, [one, changed, other, undo], ()).examples[1].annotations
    assert [(a.by, a.labels[0]) for a in said] == [
        ("ann", Choice(name="cat")),
        ("bob", Choice(name="cat")),
    ]
    assert annotated(COLLECTION, [one, replace(undo, undoes=one.id)], ()) == replace(
        COLLECTION, names=()
    )


def test_labels_of_a_text_that_changed_are_kept_and_not_shown(tmp_path):
    with closing(Store(tmp_path / "a", Choice)) as store:
        store.add(rows(answer(1), answer(2)))
    first, second, third, *rest = COLLECTION.examples
    other = replace(COLLECTION, examples=(first, replace(second, text="rewritten"), third, *rest))
    with labelling.opened(other, tmp_path / "a") as project:
        assert project.order.answered() == 1
        assert "labels of 1 examples that are not in the source now" in project.notes[-1]
        assert len(project.store.answers()) == 2


@pytest.mark.parametrize(
    "found",
    [
        [{"name": "cat", "more": 1}],
        [{"name": ""}],
        [{"name": 3}],
        "cat",
        [{"name": "x" * 201}],
        [3],
    ],
)
def test_labels_that_make_no_sense_are_refused(found):
    with pytest.raises(AnswerError):
        labels_of(Choice, found)


def test_spans_and_boxes_are_checked():
    example = COLLECTION.examples[0]
    length = len(example.text or "")
    span = {"start": 0, "end": length, "name": "cat"}
    sent = {"id": "span-0001", "labels": [span]}
    assert answer_of(Span, sent, example, "ann").labels == (Span(**span),)
    for wrong in (
        {**span, "end": length + 1},
        {**span, "end": 0},
        {**span, "start": -1},
        {**span, "start": 0.5},
        {**span, "start": True},
    ):
        with pytest.raises(AnswerError):
            answer_of(Span, {**sent, "labels": [wrong]}, example, "ann")
    box = {"left": 0.5, "top": 1, "width": 2, "height": 3, "name": "cat"}
    assert labels_of(Box, [box]) == (Box(**box),)
    for wrong in ({**box, "width": 0}, {**box, "left": float("nan")}, {**box, "top": "1"}):
        with pytest.raises(AnswerError):
            labels_of(Box, [wrong])
    with pytest.raises(AnswerError, match="one class"):
        answer_of(Choice, {"id": "none-0001", "labels": []}, example, "ann")


def keep(path: Path, sent: list[dict], connection: Connection) -> None:
    """Take answers one by one, and say which are kept."""
    with labelling.opened(COLLECTION, path) as project:
        for one in sent:
            told = project.take({"session": "s", "answers": [one]})
            connection.send(told["stored"])


def test_a_process_that_is_killed_loses_no_answer_that_it_acknowledged(tmp_path):
    path, draw = tmp_path / "a.labels", random.Random(0)
    sent = [
        {
            "id": f"id-{at:06}",
            "example": COLLECTION.examples[at].name,
            "by": "ann",
            "labels": [{"name": "cat"}],
        }
        for at in range(300)
    ]
    acknowledged, ids = set[str](), list[str]()
    kills = repetitions(2, 30)
    for turn in range(kills + 1):
        ours, theirs = CONTEXT.Pipe()
        waiting = [one for one in sent if one["id"] not in acknowledged]
        process = CONTEXT.Process(target=keep, args=(path, waiting, theirs))
        process.start()
        theirs.close()
        stop = draw.randrange(1, 30) if turn < kills else len(waiting)
        with contextlib.suppress(EOFError):
            while stop:
                acknowledged |= set(ours.recv())
                stop -= 1
            if turn < kills:
                process.kill()  # wherever it is in the next one
            while True:
                acknowledged |= set(ours.recv())
        process.join()
        ours.close()
        with closing(Store(path)) as store:
            ids = [one.id for one in store.answers()]
        assert len(ids) == len(set(ids)) and acknowledged <= set(ids)
    assert len(ids) == 300


def test_a_full_disk_is_told_and_nothing_is_half_kept(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    path, kept, failed = tmp_path / "a", 0, 0
    with closing(Store(path, Choice)) as store:
        for number in range(60):
            limit = (10_000 + 6_000 * number) if number % 2 else before[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            try:
                store.add(rows(*(answer(20 * number + one, "c" * 100) for one in range(20))))
                kept += 20
            except OSError as error:
                failed += 1
                assert "make room on its disk" in str(error) and str(path) in str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert store.count() == kept
    assert failed > 3 and kept > 500
    with closing(Store(path)) as store:
        assert len(store.answers()) == kept


def test_a_second_process_is_told_where_the_first_is(tmp_path):
    path = tmp_path / "a.labels"
    with labelling.opened(COLLECTION, path) as project:
        project.announce("http://127.0.0.1:7/?token=secret")
        call = (
            f"import sys; sys.path.insert(0, {str(Path(labelling.__file__).parent)!r})\n"
            "import labelling\nfrom pathlib import Path\n"
            "from shoestring.label.collect import Project\n"
            f"Project(labelling.texts(3), Path({str(path)!r}))"
        )
        ran = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    last = ran.stderr.splitlines()[-1]
    assert ran.returncode == 1 and "BlockingIOError" in last
    assert "its page: http://127.0.0.1:7/)" in last and "secret" not in last
    with labelling.opened(COLLECTION, path):
        pass
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.labels"]


def test_a_project_of_the_first_version_keeps_its_answers(tmp_path):
    path = tmp_path / "a"
    with closing(Store(path, Choice, ("cat",))) as store:
        one = Answer(id="11111111", example="row 0", by="ann", labels=(Choice(name="cat"),))
        store.add([(one, COLLECTION.examples[0])])
    with closing(sqlite3.connect(path)) as file:
        file.execute("alter table answers drop column decides")
        file.execute("pragma user_version = 1")
    with closing(Store(path, Choice)) as store:
        assert store.answers() == [one]
        two = replace(one, id="22222222", decides=True)
        store.add([(two, COLLECTION.examples[0])])
    with closing(Store(path)) as store:
        assert store.answers() == [one, two]


def test_files_that_are_no_project_are_refused(tmp_path):
    (tmp_path / "text").write_text("not a database, but a text of some length " * 50)
    with pytest.raises(ValueError, match="no labelling project"):
        Store(tmp_path / "text", Choice)
    with closing(sqlite3.connect(tmp_path / "other")) as file:
        file.execute("create table mine (a)")
    with pytest.raises(ValueError, match="of another program"):
        Store(tmp_path / "other", Choice)
    with closing(Store(tmp_path / "a", Choice)):
        pass
    with pytest.raises(ValueError, match="kind choice, and now the kind is box"):
        Store(tmp_path / "a", Box)
    with closing(sqlite3.connect(tmp_path / "a")) as file:
        file.execute("pragma user_version = 99")
    with pytest.raises(ValueError, match="has schema 99"):
        Store(tmp_path / "a", Choice)
    with pytest.raises(FileNotFoundError):
        Store(tmp_path / "absent")
    with pytest.raises(OSError, match="cannot make the labelling project"):
        Store(tmp_path / "no folder" / "a", Choice)


def test_projects_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no example"):
        Project(labelling.texts(0), tmp_path / "a")
    for names in (("cat", "Cat "), ("cat", "cat"), ("cat", " ")):
        with pytest.raises(ValueError, match="class"):
            Project(labelling.texts(3, names=names), tmp_path / "a")
    with pytest.raises(ValueError, match="it is 0 to 1"):
        Project(labelling.texts(3), tmp_path / "a", agreement=2)


def test_what_a_page_sends_is_kept_or_refused_with_a_sentence(tmp_path):
    with labelling.opened(labelling.texts(3), tmp_path / "a") as project:
        good = {"id": "good-0001", "example": "row 0", "by": "ann", "labels": [{"name": "cat"}]}
        sent = [
            good,
            {**good, "id": "x"},
            {**good, "id": "other-001", "example": "row 99"},
            {**good, "id": "nobody-01", "by": " "},
            "nonsense",
        ]
        told = project.take({"session": "s", "answers": json.loads(json.dumps(sent))})
        assert told["stored"] == ["good-0001"] and len(told["refused"]) == 4
        assert [one.id for one in project.store.answers()] == ["good-0001"]
        for wrong in ({"session": "s"}, {"answers": []}, {"session": "s", "answers": 3}):
            with pytest.raises(AnswerError):
                project.take(wrong)


def test_an_answer_to_another_text_is_kept_and_set_aside(tmp_path):
    """The page was open while the source lost its first row: row 2 is what row 3 was."""
    before = labelling.texts(6)
    texts = [one.text for one in before.examples]
    after = replace(
        before,
        examples=tuple(
            replace(one, text=text)
            for one, text in zip(before.examples[:-1], texts[1:], strict=True)
        ),
    )

    def sent(at: int, number: int, **more: object) -> dict[str, object]:
        shown = page["examples"][[one["name"] for one in page["examples"]].index(f"row {at}")]
        return {"id": f"answer-{number:04}", "example": shown["name"], "digest": shown["digest"],
                "by": "ann", "labels": [{"name": "cat"}], **more}  # fmt: skip

    asked = {"by": "ann", "session": "s", "want": 6}
    with labelling.opened(before, tmp_path / "a") as project:
        page = project.next(asked)
    with labelling.opened(after, tmp_path / "a") as project:
        # The last row is gone, and the numbers of the page are those of another source.
        told = project.next({**asked, "held": [5, 0], "source": page["source"]})
        assert told["source"] != page["source"] and told["lost"] == []
        told = project.take({"session": "s", "answers": [sent(2, 1), sent(5, 2)]})
        assert told["stored"] == told["aside"] == ["answer-0001", "answer-0002"]
        assert told["refused"] == [] and project.status()["labelled"] == 0
        assert not any(one.annotations for one in project.labelled().examples)
        wrong = project.take({"session": "s", "answers": [sent(2, 3, digest="x")]})
        assert wrong["stored"] == [] and "a digest has 16 digits" in wrong["refused"][0]["why"]
        assert project.take({"session": "s", "answers": [sent(2, 4, digest="")]})["aside"]
    with labelling.opened(before, tmp_path / "a") as project:  # the row is back
        assert project.status()["labelled"] == 2
        names = [one.name for one in project.labelled().examples if one.annotations]
        assert names == ["row 2", "row 5"]


def test_a_guess_of_the_source_is_not_shown_where_the_model_is_scored(tmp_path):
    said = Annotation(labels=(Choice(name="cat"),), score=0.9)
    collection = labelling.texts(60)
    examples = tuple(replace(one, predictions=(said,)) for one in collection.examples)
    with labelling.opened(replace(collection, examples=examples), tmp_path / "a") as project:
        shown = project.next({"by": "ann", "session": "s", "want": 60})["examples"]
    guessed = {one["name"]: one["prediction"] is not None for one in shown}
    assert len(guessed) == 60
    assert all(guess != is_honest(name) for name, guess in guessed.items())


def test_a_restart_frees_what_a_closed_page_had_and_keeps_what_an_open_one_has(
    tmp_path, monkeypatch
):
    collection, now = labelling.texts(20), [time.time()]
    timed = partial(Order, clock=lambda: now[0])
    monkeypatch.setattr("shoestring.label.collect.project.Order", timed)

    def asked(by: str, **more: object) -> dict[str, object]:
        return {"by": by, "session": f"page of {by}", "want": 10, **more}

    with labelling.opened(collection, tmp_path / "a") as project:
        mine = [one["index"] for one in project.next(asked("ann"))["examples"]]
        assert len(project.next(asked("bob"))["examples"]) == 10
        project.release(asked("bob"))
        now[0] += 170  # renewed shortly before the lease that was written first ends
        assert project.next(asked("ann", held=mine, want=0))["lost"] == []
    now[0] += 100
    with labelling.opened(collection, tmp_path / "a") as project:
        free = {one["index"] for one in project.next(asked("eve", want=20))["examples"]}
        assert free == set(range(20)) - set(mine)


@pytest.mark.parametrize("name", ["a\nb", "\u200b", "\u2028x", "\ud800", "\t", "", "a" * 201])
def test_names_that_nobody_could_read_or_write_are_refused(tmp_path, name):
    sent = {"id": "answer-0001", "example": "row 1", "by": "ann", "labels": [{"name": name}]}
    with labelling.opened(labelling.texts(3), tmp_path / "a") as project:
        for by, label in (("ann", name), (name, "cat")):
            answer = {**sent, "by": by, "labels": [{"name": label}]}
            told = project.take({"session": "s", "answers": [answer]})
            assert told["stored"] == [] and "a name has 1 to 200" in told["refused"][0]["why"]
        with pytest.raises(AnswerError, match="a name has 1 to 200"):
            project.add_name({"name": name})
        assert project.add_name({"name": "👩\u200d🔬 é"})["names"][-1:] == ["👩\u200d🔬 é"]
    if len(name) <= 200:
        with pytest.raises(ValueError, match="give it one that shows, in one line"):
            Project(labelling.texts(3, names=("cat", name)), tmp_path / "b")


def test_numbers_that_are_too_large_are_none_or_refused():
    example = COLLECTION.examples[0]
    sent = {"id": "answer-0001", "labels": [{"name": "cat"}], "seconds": 10**400, "at": 1e300}
    answer = answer_of(Choice, sent, example, "ann")
    assert answer.seconds is None and answer.at is None
    wide = {"left": 0, "top": 0, "width": 10**400, "height": 1, "name": "cat"}
    with pytest.raises(AnswerError, match="width of a label is a number"):
        labels_of(Box, [wide])


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right on Windows")
def test_one_project_under_two_names_has_one_page(tmp_path):
    with labelling.opened(labelling.texts(3), tmp_path / "a"):
        (tmp_path / "b").symlink_to(tmp_path / "a")
        with pytest.raises(BlockingIOError, match="another process has the project"):
            Project(labelling.texts(3), tmp_path / "b")
