"""Tuning on Ray: what Ray answers in our words; and, where it is installed, a small cluster."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from shoestring.kit import AdamW, Training
from shoestring.models import DigitsLeNet
from shoestring.search import (
    Chosen,
    End,
    Halving,
    Knobs,
    TriedSettings,
    tune_on_cluster,
)
from shoestring.search.cluster import _ended, _Trial
from shoestring.tasks import digits


@dataclass
class Result:
    """What Ray tells of a trial."""

    metrics: dict[str, Any] | None = None
    error: Exception | None = None
    config: dict[str, Any] = field(default_factory=dict)


def test_what_ray_knows_of_a_trial():
    chosen = Chosen(training=Training(9), batch_size=4)
    stopped = _ended(
        chosen, Result({"score": 0.5, "part": 3, "done": True, "time_total_s": 2.5}), 9
    )
    assert stopped == TriedSettings(
        chosen=chosen, score=0.5, share=1 / 3, seconds=2.5, end=End.STOPPED
    )
    cut = _ended(chosen, Result({"score": 0.5, "part": 1, "done": False}), 9)
    assert cut.end is End.OUT_OF_TIME and cut.share == 1 / 9
    dead = _ended(chosen, Result(error=RuntimeError("a long story\nthe worker died")), 9)
    assert dead.end is End.FAILED and dead.note == "the worker died" and dead.score is None
    done = TriedSettings(chosen=chosen, score=0.75, share=1.0, end=End.FINISHED)
    assert _ended(chosen, Result({"score": 0.75, "tried": done.to_json()}), 9) == done


def test_a_worker_makes_the_training_of_the_values_that_were_picked():
    trial = _Trial(Knobs(), Halving(), 64, 100, 0)
    picked = {
        "optimizer": "AdamW",
        "AdamW: learning rate": 0.0123456,
        "AdamW: weight decay": 0.1,
        "batch size": "32",
        "schedule": "Cosine(0.02)",
        "clipping": "Unclipped()",
    }
    assert trial.chosen(picked) == Chosen(
        training=Training(200, AdamW(0.01235, weight_decay=0.1)), batch_size=32
    )


def test_without_ray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"tune_on_cluster: .*extra `cluster`"):
        tune_on_cluster(digits(), DigitsLeNet, minutes=1, steps=9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of which there are many
def test_trials_on_a_small_cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        found = tune_on_cluster(digits(), DigitsLeNet, minutes=3, steps=180, most=6)
    finally:
        ray.shutdown()
    assert found.default.end is End.FINISHED and 4 <= len(found.trials) <= 7
    assert {one.end for one in found.trials} <= {End.FINISHED, End.STOPPED, End.OUT_OF_TIME}
    assert found.best.score is not None and found.default.score is not None
    assert found.best.score >= found.default.score > 0.5
    assert len({repr(one.chosen) for one in found.trials}) == len(found.trials)
