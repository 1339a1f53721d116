"""One trial of a training: how it ends, and that it is remembered as it was."""

from __future__ import annotations

import math
from typing import Any

import pytest
from torch import nn
from zoo import classified

from shoestring.core import Task, score, seeded
from shoestring.kit import (
    LAMB,
    LARS,
    SGD,
    Adagrad,
    AdamW,
    Averaged,
    Clipped,
    Constant,
    Supervised,
    Training,
    train,
)
from shoestring.search import (
    Chosen,
    End,
    Halving,
    RandomSettings,
    TreeParzen,
    TriedSettings,
    trials,
)
from shoestring.search.trials import tried


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 10))


def chosen(steps: int = 18, rate: float = 1e-2, batch_size: int | None = None) -> Chosen:
    return Chosen(training=Training(steps, AdamW(rate)), batch_size=batch_size)


def ran(task: Task, one: Chosen, **settings: Any) -> TriedSettings:
    given = {
        "halving": Halving(),
        "look": lambda part, score: False,
        "until": math.inf,
        "seed": 3,
        **settings,
    }
    return tried(one, task, network, **given)


def test_a_trial_is_a_plain_training_and_looking_changes_nothing():
    task, seen = classified((3,)), list[tuple[int, float]]()

    def look(part: int, score: float) -> bool:
        seen.append((part, score))
        return False

    done = ran(task, chosen(batch_size=10), look=look)
    with seeded(3):
        model = train(network(), chosen(batch_size=10).task(task), Training(18, AdamW(1e-2)))
    assert done.end is End.FINISHED and done.share == 1.0 and done.note == ""
    assert done.score == score(task, model) and [part for part, _ in seen] == [1, 3]
    assert isinstance(task, Supervised) and done.error == pytest.approx(
        math.sqrt(done.score * (1 - done.score) / len(task.validation[1]))  # type: ignore[operator]
    )


def test_it_ends_where_a_look_says_so():
    done = ran(classified((3,)), chosen(), look=lambda part, score: part == 3)
    assert done.end is End.STOPPED and done.share == 6 / 18 and done.score is not None


def test_it_ends_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch):
    """Each look at the clock takes a second: the first is the beginning, the next are the steps."""
    now = iter(range(100))
    monkeypatch.setattr(trials, "monotonic", lambda: float(next(now)))
    done = ran(classified((3,)), chosen(), until=4.0)
    assert done.end is End.OUT_OF_TIME and done.share == 2 / 18 and done.seconds == 6.0


def test_what_goes_wrong_is_noted():
    class Scores(Task):
        def __init__(self, found: float) -> None:
            self.found = found

        def batches(self, split: str) -> Any:
            return classified((3,)).batches(split)

        def loss(self, model: Any, batch: Any) -> Any:
            return classified((3,)).loss(model, batch)

        def score(self, predict: Any, split: str) -> float:
            return self.found

    diverged = ran(classified((3,)), chosen(rate=1e30))
    assert diverged.end is End.DIVERGED and "the loss is" in diverged.note
    noise = ran(Scores(math.nan), chosen())  # type: ignore[abstract]
    assert noise.end is End.FAILED and "the validation score is nan" in noise.note
    fine = ran(Scores(0.5), chosen())  # type: ignore[abstract]
    assert fine.end is End.FINISHED and fine.error is None


@pytest.mark.parametrize("optimizer", [Adagrad(0.3), SGD(0.3), LARS(0.3), LAMB(0.3)], ids=repr)
def test_a_trial_is_the_same_after_json(optimizer: Any):
    done = TriedSettings(
        chosen=Chosen(
            training=Training(
                7, optimizer, Constant(0.1), clipping=Clipped(0.1), statistics=Averaged(3)
            ),
            batch_size=12,
        ),
        score=0.25,
        error=0.1,
        share=1 / 3,
        seconds=1.5,
        end=End.STOPPED,
        note="as 'it' is",
    )
    assert TriedSettings.from_json(done.to_json()) == done
    assert (
        TriedSettings.from_json(TriedSettings(chosen=chosen(), end=End.FAILED).to_json()).score
        is None
    )


def test_bad_input():
    with pytest.raises(ValueError, match="1 or more"):
        TreeParzen(drawn=0)
    assert repr(RandomSettings()) == "RandomSettings()" and repr(End.FINISHED) == "End.FINISHED"
