"""Students that teach each other: in one process, in several, and when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.core.taught import Taught
from shoestring.distill import Copies, EachStep, Peers, codistill, codistill_one
from shoestring.distill.exchange import Exchange
from shoestring.kit import AdamW, Supervised, Training, clone, resuming, train


def task(seed: int = 0) -> Supervised:
    with seeded(seed):
        x = torch.randn(64, 5)
        part = (x, (x[:, 0] > x[:, 1]).long())
    return Supervised(train=part, validation=part, test=part, batch_size=32)


def pair(count: int = 2) -> list[nn.Module]:
    with seeded(0):
        return [
            nn.Sequential(nn.Linear(5, 6 + n), nn.ReLU(), nn.Linear(6 + n, 2)) for n in range(count)
        ]


def weights(models: list[nn.Module]) -> list[list[torch.Tensor]]:
    return [[one.detach().clone() for one in model.parameters()] for model in models]


def same(one: list[nn.Module], other: list[nn.Module]) -> bool:
    return all(
        torch.equal(a, b)
        for first, second in zip(weights(one), weights(other), strict=True)
        for a, b in zip(first, second, strict=True)
    )


# -- in one process


def test_one_step_by_hand():
    """Each takes the gradient of its own loss and of the distance from the other as it is."""
    students, peers = pair(), Peers(weight=0.4, temperature=2.0, alone=0.0)
    with seeded(1):
        done = codistill(students, task(), Training(1, AdamW(0.1)), peers=peers)
    expected = [clone(one) for one in students]
    for index, one in enumerate(expected):
        with seeded(1):
            train(one, Taught(task(), students[1 - index], 0.4, 2.0), Training(1, AdamW(0.1)))
    for got, wanted in zip(done, expected, strict=True):
        for a, b in zip(got.parameters(), wanted.parameters(), strict=True):
            torch.testing.assert_close(a, b)
    assert not same(done, students), "the students that were given stay as they were"


def test_alone_they_are_trained_as_alone():
    students = pair()
    peers = Peers(alone=0.99)
    with seeded(1):
        done = codistill(students, task(), Training(20), peers=peers)
    for got, one in zip(done, students, strict=True):
        with seeded(1):
            wanted = train(clone(one), task(), Training(20))
        for a, b in zip(got.parameters(), wanted.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_copies_of_each_step_are_the_students_and_older_ones_are_not():
    results = {}
    for exchange in (EachStep(), Copies(1), Copies(7)):
        with seeded(1):
            results[exchange] = codistill(pair(), task(), Training(20), exchange=exchange)
    assert same(results[EachStep()], results[Copies(1)])
    assert not same(results[EachStep()], results[Copies(7)])


def test_three_learn_from_the_mean_of_the_others():
    with seeded(1):
        done = codistill(pair(3), task(), Training(200, AdamW(0.02)))
    scores = [task().score(one.eval(), "validation") for one in done]
    assert min(scores) > 0.9


def test_a_training_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shoestring.kit.training.resume._SECONDS", 0.0)
    training, exchange = Training(230), Copies(70)

    class Stop(Exception):
        pass

    class Stopping(Supervised):
        seen = 0

        def loss(self, model, batch):
            Stopping.seen += 1
            if Stopping.seen == 300:
                raise Stop
            return super().loss(model, batch)

    part = task().train
    stopping = Stopping(train=part, validation=part, test=part, batch_size=32)
    with seeded(1), resuming(tmp_path), pytest.raises(Stop):
        codistill(pair(), stopping, training, exchange=exchange)
    with seeded(1), resuming(tmp_path):
        resumed = codistill(pair(), stopping, training, exchange=exchange)
    with seeded(1):
        whole = codistill(pair(), task(), training, exchange=exchange)
    assert same(resumed, whole) and Stopping.seen > 300


def test_students_that_cannot_teach_each_other_are_refused():
    with pytest.raises(ValueError, match="1 students cannot teach each other"):
        codistill(pair()[:1], task(), Training(1))
    one = pair()[0]
    with pytest.raises(ValueError, match="students 0 and 1 have equal weights"):
        codistill([one, clone(one)], task(), Training(1))
    with pytest.raises(ValueError, match=r"shape \[32, 3\], and the model's \[32, 2\]"):
        codistill([one, nn.Linear(5, 3)], task(), Training(1), peers=Peers(alone=0.0))
    for wrong in (lambda: Copies(0), lambda: Peers(alone=1.0)):
        with pytest.raises(ValueError, match="give"):
            wrong()


# -- in several processes, here threads where a kill is not what matters


def run_all(folder: Path, count: int = 2, steps: int = 40, **settings) -> list[nn.Module]:
    """One student after the other would wait: they run in threads, seeded apart by a lock."""
    done: dict[int, nn.Module] = {}
    source = (
        "import json, sys, torch; from test_codistillation import *; number = int(sys.argv[1]); "
        "done = codistill_one(number, pair(int(sys.argv[3])), task(), Training(int(sys.argv[4])), "
        "sys.argv[2], copies=Copies(10), **json.loads(sys.argv[5])); "
        "torch.save(done.state_dict(), f'{sys.argv[2]}/done-{number}.pt')"
    )
    begun = [begin(source, number, folder, count, steps, settings) for number in range(count)]
    for number, process in enumerate(begun):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        done[number] = pair(count)[number]
        done[number].load_state_dict(torch.load(folder / f"done-{number}.pt"))
    return [done[number] for number in range(count)]


def begin(source: str, number: int, folder: Path, count: int, steps: int, settings: dict):
    arguments = [str(one) for one in (number, folder, count, steps, json.dumps(settings))]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_processes_give_the_same_result_each_time(tmp_path: Path):
    first, second = (run_all(tmp_path / name) for name in ("first", "second"))
    assert same(first, second) and not same(first, pair())
    with seeded(0):
        alone = train(pair()[0], task(), Training(40))
    assert not same(first[:1], [alone]), "it learned from the other"
    # They learn from each other in the later half of 40 steps, with a copy every 10.
    left = sorted(path.name for path in (tmp_path / "first").glob("student-*-*.pt"))
    assert left == [f"student-{n}-{turn:06d}.pt" for n in (0, 1) for turn in range(2)]


SLOW = """
import sys, time, torch
from test_codistillation import *
from shoestring.kit.training import resume
resume._SECONDS = 0.0
class Slow(Supervised):
    def loss(self, model, batch):
        time.sleep(0.004)
        return super().loss(model, batch)
part = task().train
slow = Slow(train=part, validation=part, test=part, batch_size=32)
number, folder = int(sys.argv[1]), sys.argv[2]
done = codistill_one(
    number, pair(), slow, Training(600), folder, copies=Copies(25), patience=float(sys.argv[3])
)
torch.save(done.state_dict(), f'{folder}/done-{number}.pt')
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_one_that_is_killed_and_started_again_changes_nothing(tmp_path: Path):
    def run(folder: Path, kill: bool) -> list[nn.Module]:
        folder.mkdir()
        begun = [begin(SLOW, number, folder, 90, 0, {}) for number in range(2)]
        if kill:
            until = time.monotonic() + 90
            while not (folder / "student-1-000010.pt").exists() and time.monotonic() < until:
                time.sleep(0.005)
            begun[1].send_signal(signal.SIGKILL)
            begun[1].communicate()
            time.sleep(0.5)
            begun[1] = begin(SLOW, 1, folder, 90, 0, {})
        done = pair()
        for number, process in enumerate(begun):
            _, said = process.communicate(timeout=200)
            assert process.returncode == 0 and "left no copy" not in said, said
            done[number].load_state_dict(torch.load(folder / f"done-{number}.pt"))
        return done

    assert same(run(tmp_path / "killed", True), run(tmp_path / "whole", False))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_where_one_is_killed_for_good_the_other_ends_with_its_last_copy(tmp_path: Path):
    one, other = (begin(SLOW, number, tmp_path, 20, 0, {}) for number in range(2))
    until = time.monotonic() + 90
    while not (tmp_path / "student-1-000004.pt").exists() and time.monotonic() < until:
        time.sleep(0.005)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    _, said = one.communicate(timeout=200)
    assert one.returncode == 0 and said.count("student 1 has left no copy") == 1, said
    assert (tmp_path / "done-0.pt").exists() and not (tmp_path / "done-1.pt").exists()


def test_without_the_other_it_goes_on_and_says_so(tmp_path: Path):
    with pytest.warns(
        UserWarning, match=r"student 1 has left no copy 0 for 0.05 seconds: student 0"
    ):
        alone = codistill_one(
            0, pair(), task(), Training(40), tmp_path, copies=Copies(10), patience=0.05
        )
    with seeded(0):
        wanted = train(clone(pair()[0]), task(), Training(40))
    assert same([alone], [wanted]), "without the other it is trained alone"
    with warnings.catch_warnings():  # all copies of the first are there: nothing to wait for
        warnings.simplefilter("error")
        codistill_one(1, pair(), task(), Training(40), tmp_path, copies=Copies(10), patience=0.05)
    again = codistill_one(
        0, pair(), task(), Training(40), tmp_path, copies=Copies(10), patience=0.05
    )
    assert same([again], [alone]), "a training that is done is read"


def test_one_that_died_teaches_with_its_last_copy(tmp_path: Path):
    (_, other), into = pair(), clone(pair()[1])
    gone = Exchange(tmp_path, 1, 0.0)
    gone.leave(other, 0)
    mine = Exchange(tmp_path, 0, 0.05)
    with pytest.warns(UserWarning, match="left no copy 3"):
        assert mine.take(1, into, 3)
    assert same([into], [other])
    with warnings.catch_warnings():  # said once, and not waited for again
        warnings.simplefilter("error")
        began = time.monotonic()
        mine.patience = 30.0
        assert mine.take(1, into, 4) and time.monotonic() - began < 10
        gone.leave(clone(other), 5)
        threading.Timer(0.2, lambda: gone.leave(other, 6)).start()
        assert mine.take(1, into, 5) and mine.take(1, into, 6), "it is back, and waited for"


def test_a_folder_of_another_run_is_refused_and_so_is_a_second_process(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codistill_one(0, pair(), task(), Training(10), tmp_path, patience=0.0)
    with pytest.raises(ValueError, match="has another co-distillation: it began with"):
        codistill_one(1, pair(), task(), Training(20), tmp_path, patience=0.0)
    with pytest.raises(ValueError, match=r"the student 2 of 2, .* number is 0 to 1"):
        codistill_one(2, pair(), task(), Training(10), tmp_path)
    with pytest.raises(ValueError, match=r"copies of this run take about [\d,]+ bytes, and may"):
        codistill_one(
            1, pair(), task(), Training(10_000), tmp_path / "big", copies=Copies(1), most_bytes=1000
        )
    from shoestring.artifact.locks import FileLock

    lock = FileLock(tmp_path / "student-1.lock")
    try:
        with pytest.raises(BlockingIOError, match="another process trains the student 1"):
            codistill_one(1, pair(), task(), Training(10), tmp_path, patience=0.0)
    finally:
        lock.release()


def test_a_damaged_copy_is_named(tmp_path: Path):
    (tmp_path / "student-1-000000.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"student-1-000000.pt cannot be read .*: delete it"):
        Exchange(tmp_path, 0, 0.0).take(1, pair()[1], 0)
