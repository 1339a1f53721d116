"""Tuning: what it finds, in which time, what it keeps, and whether it says that it does not pay."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from study_workers import start, wait_for
from torch import Tensor, nn
from tuning_worker import RATE_ALONE, STEPS, Far, all_to_the_end, hang, one_weight
from zoo import CLASSES, classified

from shoestring.core import Cost
from shoestring.kit import AdamW, StudyHeld, Training
from shoestring.kit.study import alone
from shoestring.kit.study.trial import StudyError
from shoestring.search import (
    Chosen,
    End,
    Halving,
    RandomSettings,
    TreeParzen,
    TriedSettings,
    Tuned,
    UntunedError,
    trials,
    tune,
    tuning,
)
from shoestring.search.default_training import LOOKED_AT


def tuned(**settings: Any) -> Tuned:
    given = {"minutes": 5.0, "steps": 45, "knobs": RATE_ALONE, "most": 12, **settings}
    return tune(Far(), one_weight, **given)  # type: ignore[abstract]


def test_it_finds_what_the_default_does_not_reach_and_stops_the_others_early():
    """From about 0, 45 steps of the highest rate, 0.9, arrive; those of 0.003 go 0.1 far."""
    found = tuned()
    assert len(found.trials) == 12 and found.knobs == ("learning rate",)
    assert found.default == found.trials[0] and found.default.end is End.FINISHED
    assert found.default.chosen == Chosen(
        training=Training(45, AdamW(3e-3, weight_decay=0.01)), batch_size=None
    )
    assert found.training.optimizer.learning_rate > 0.4
    assert found.gained is not None and found.gained > 10 and found.pays
    stopped = [one for one in found.trials if one.end is End.STOPPED]
    assert stopped and all(one.share in (1 / 9, 1 / 3) for one in stopped)
    # at a rung who goes on is among the best third of those who came to it before
    best = max(one.score or -99 for one in found.trials if one.end is End.FINISHED)
    assert best == found.best.score
    told = str(found).splitlines()
    assert len(told) == 14 and told[1].endswith(repr(found.training))
    assert "Ahead of the default by" in told[-1] and "1 knobs" in told[-1]


def test_random_search_trains_all_to_the_end_and_a_seed_repeats_it():
    first, again = (tuned(by=RandomSettings(), halving=Halving(rungs=0), most=5) for _ in range(2))
    assert {one.end for one in first.trials} == {End.FINISHED}
    assert [one.chosen for one in first.trials] == [one.chosen for one in again.trials]
    other = tuned(by=RandomSettings(), halving=Halving(rungs=0), most=5, seed=1)
    assert [one.chosen for one in first.trials[1:]] != [one.chosen for one in other.trials[1:]]


def test_it_ends_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch):
    """On a clock that a training moves by 20 s: two in a minute, of which the default is one, and
    the third is cut; without time there is the default all the same.
    """
    now = 0.0

    def seconds(*_: Any) -> float:
        return now

    class Slow(Far):
        def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
            nonlocal now
            now += 20 / 45
            return super().loss(model, batch)

    monkeypatch.setattr(trials, "monotonic", seconds)
    monkeypatch.setattr(tuning, "monotonic", seconds)
    given: dict[str, Any] = {"steps": 45, "knobs": RATE_ALONE, "halving": Halving(rungs=0)}
    found = tune(Slow(), one_weight, minutes=50 / 60, **given)  # type: ignore[abstract]
    ends = [one.end for one in found.trials]
    assert ends == [End.FINISHED, End.FINISHED, End.OUT_OF_TIME]
    assert 50 <= found.seconds < 51.0
    short = tune(Slow(), one_weight, minutes=0.01, **given)  # type: ignore[abstract]
    assert [one.end for one in short.trials] == [End.FINISHED] and short.best == short.default
    assert short.gained == 0 and not short.pays


def test_it_goes_on_where_it_was_killed(tmp_path: Path):
    built = 0

    def killed() -> nn.Module:
        nonlocal built
        built += 1
        if built == 9:  # four to look at it, then the trials
            raise KeyboardInterrupt
        return one_weight()

    with pytest.raises(KeyboardInterrupt):
        tune(
            Far(),  # type: ignore[abstract]
            killed,
            minutes=5,
            steps=45,
            knobs=RATE_ALONE,
            most=9,
            folder=tmp_path,
        )
    held = [one for one in read(tmp_path) if "value" in str(one)]
    assert held
    began = built
    found = tuned(most=9, folder=tmp_path)
    assert len(found.trials) == 9
    kept = [one.chosen for one in tuned(most=5, folder=tmp_path).trials]
    assert kept == [one.chosen for one in found.trials] and began == 9  # nothing ran again
    values = [one["params"] for one in parameters(tmp_path)]
    interrupted = next(one for one, state in zip(values, states(tmp_path), strict=True) if state)
    assert values.count(interrupted) == 2  # the interrupted one, and its repetition


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_it_goes_on_after_a_kill_in_the_middle_of_a_trial(tmp_path: Path):
    """Two trials ended and the third had made 9 steps: what comes of it is what comes of a tuning
    that nobody killed.
    """
    folder, said = tmp_path / "tuning", tmp_path / "said"
    process = start(hang, folder, 2, said, 3)
    try:
        assert wait_for(said, process) == "in the middle"
        with pytest.raises(StudyHeld):
            all_to_the_end(Far(), folder, 3)  # type: ignore[abstract]
    finally:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    assert process.exitcode == -signal.SIGKILL
    before = [one.number for one in study_of(folder).get_trials() if "ended" in one.user_attrs]
    assert before == [0, 1]

    steps = 0

    class Counted(Far):
        def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
            nonlocal steps
            steps += torch.is_grad_enabled()
            return super().loss(model, batch)

    found = all_to_the_end(Counted(), folder, 3)  # type: ignore[abstract]
    whole = all_to_the_end(Far(), None, 3)  # type: ignore[abstract]
    assert [(one.chosen, one.score) for one in found.trials] == [
        (one.chosen, one.score) for one in whole.trials
    ]
    assert steps == STEPS + LOOKED_AT  # one training, and a look at which default there is
    assert states(folder) == [False, False, True, False]


def read(folder: Path) -> list[str]:
    return (folder / tuning.JOURNAL).read_text().splitlines()


def study_of(folder: Path) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / tuning.JOURNAL)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def parameters(folder: Path) -> list[dict[str, Any]]:
    return [{"params": one.params} for one in study_of(folder).get_trials()]


def states(folder: Path) -> list[bool]:
    """Of each trial whether it was interrupted."""
    return [
        one.state.name == "FAIL" and "ended" not in one.user_attrs
        for one in study_of(folder).get_trials()
    ]


def test_other_trainings_in_one_folder_are_kept_apart(tmp_path: Path):
    tuned(most=2, folder=tmp_path)
    assert len(tuned(most=1, folder=tmp_path, steps=36).trials) == 1
    assert len(tuned(most=1, folder=tmp_path).trials) == 2


def test_other_data_under_the_same_name_are_kept_apart(tmp_path: Path):
    """A score of other labels says nothing of these; the multiples of a batch size are of one."""
    task = classified((3,), name="mine")
    inputs, labels = task.train

    def trials_of(other: Any, most: int) -> int:
        given: dict[str, Any] = {"minutes": 5, "steps": 3, "most": most, "folder": tmp_path}
        return len(tune(other, lambda: nn.Linear(3, CLASSES), **given).trials)

    assert trials_of(task, 3) == 3
    assert trials_of(replace(task, train=(inputs, (labels + 1) % CLASSES)), 1) == 1
    assert trials_of(replace(task, train=((inputs[0] + 1e-3,), labels)), 1) == 1
    assert trials_of(replace(task, batch_size=6), 2) == 2
    same = replace(task, train=((inputs[0].clone(),), labels.clone()))
    assert trials_of(same, 1) == 3  # all that it has are there, and none is added


def test_a_folder_that_another_process_has(tmp_path: Path):
    with alone(tmp_path), pytest.raises(StudyHeld, match="wait until it ends"):
        tuned(folder=tmp_path)


def test_a_score_that_is_noise_does_not_pay():
    class Noise(Far):
        def score(self, predict: Any, split: str) -> float:
            (weight,) = predict.parameters()
            return 0.5 + 0.01 * float(torch.sin(1e4 * weight))  # anything, and the same again

        def standard_error(self, predict: Any, split: str) -> float:
            return 0.01

    found = tune(Noise(), one_weight, minutes=5, steps=9, knobs=RATE_ALONE, most=8)  # type: ignore[abstract]
    assert found.gained is not None and 0 <= found.gained <= 0.02 and not found.pays
    assert "within its error: take the default" in str(found)


def test_a_loss_that_is_never_finite():
    class Broken(Far):
        def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
            return super().loss(model, batch) * float("nan")

    with pytest.raises(UntunedError, match=r"of 3 trials none .*no longer finite.*lower rates"):
        tune(Broken(), one_weight, minutes=5, steps=9, knobs=RATE_ALONE, most=3)  # type: ignore[abstract]


def test_rates_at_which_the_loss_diverges_are_drawn_less():
    """A weight that has gone far has a loss of NaN, and the best rates are just below that."""

    class Cliff(Far):
        def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
            (weight,) = model.parameters()
            return super().loss(model, batch) * (torch.nan if weight.abs() > 1.03 else 1)

    found = tune(
        Cliff(),  # type: ignore[abstract]
        one_weight,
        minutes=5,
        steps=45,
        knobs=RATE_ALONE,
        by=TreeParzen(drawn=10),
        halving=Halving(rungs=0),
        most=41,
    )
    diverged = [one.end is End.DIVERGED for one in found.trials]
    # the best rates are just below those that diverge; where these did not count, 24 of 30 did
    assert sum(diverged[11:]) <= 18


def test_an_error_of_the_task_is_said_at_the_first_trial(tmp_path: Path):
    class Broken(Far):
        def score(self, predict: Any, split: str) -> float:
            raise KeyError("reference")

    with pytest.raises(UntunedError, match=r"the default training failed.*KeyError: 'reference'"):
        tune(Broken(), one_weight, minutes=5, steps=9, folder=tmp_path)  # type: ignore[abstract]
    # mended, it begins with the default
    mended = tune(Far(), one_weight, minutes=5, steps=9, most=1, folder=tmp_path)  # type: ignore[abstract]
    assert [one.end for one in mended.trials] == [End.FINISHED]


@pytest.mark.parametrize("damaged", ["{", "nothing\n", '{"op_code": 99}\n', "\x00\xff\n"])
def test_a_journal_that_is_damaged(damaged: str, tmp_path: Path):
    tuned(most=2, folder=tmp_path)
    path = tmp_path / tuning.JOURNAL
    whole = path.read_text(encoding="utf-8")
    path.write_text(damaged + whole, encoding="utf-8")
    if damaged == "{":
        path.write_text(whole + damaged)  # a line that was being written: it is cut off
        assert len(tuned(most=3, folder=tmp_path).trials) == 3
        return
    with pytest.raises(StudyError, match="is no journal of a tuning, or is damaged"):
        tuned(most=2, folder=tmp_path)


def test_a_trial_that_dies_is_noted_and_the_others_go_on():
    count = 0

    class Sometimes(Far):
        def score(self, predict: Any, split: str) -> float:
            nonlocal count
            count += 1
            if count == 2:
                raise MemoryError("no memory left")
            return super().score(predict, split)

    found = tune(
        Sometimes(),  # type: ignore[abstract]
        one_weight,
        minutes=5,
        steps=9,
        knobs=RATE_ALONE,
        halving=Halving(rungs=0),
        most=4,
    )
    assert [one.end for one in found.trials].count(End.FAILED) == 1
    assert found.trials[1].note == "MemoryError: no memory left"


def test_without_optuna(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match=r"tune: optuna is not installed.*extra `search`"):
        tuned()


def test_bad_input():
    same = one_weight()
    with pytest.raises(ValueError, match="tuning for 0 minutes: give a number above 0"):
        tuned(minutes=0)
    with pytest.raises(ValueError, match="steps=0: give an integer, 1 or more"):
        tuned(steps=0)
    with pytest.raises(ValueError, match="most=0: give"):
        tuned(most=0)
    with pytest.raises(ValueError, match="make a new one at each call"):
        tune(classified((3,)), lambda: same, minutes=1, steps=3)


def test_a_default_that_did_not_end_is_not_compared():
    one = Chosen(training=Training(3), batch_size=None)
    ended = TriedSettings(chosen=one, score=0.5, share=1.0, end=End.FINISHED)
    first = TriedSettings(chosen=one, end=End.DIVERGED)
    found = Tuned(best=ended, default=first, trials=(first, ended), knobs=(), seconds=1.0)
    assert found.cost == Cost(settings=0, seconds=1.0)
    assert found.gained is None and found.pays and "no difference is known" in str(found)
    assert Halving() == Halving(factor=3, rungs=2)
