"""Small runs on parts of a task's data: their sizes, what is kept, and when they stop."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from torch import nn

from shoestring.core import Task
from shoestring.kit import AdamW, Supervised, Training
from shoestring.plan import scaling, small_runs
from shoestring.plan.small_runs import one_run, sizes_of

MODULE = sys.modules["shoestring.plan.small_runs"]  # the package has a function of that name
TRAINING = Training(250, AdamW(3e-2))


def circles(examples: int = 800, held_out: int = 300) -> Supervised:
    """Is a point in a circle? A question that more examples answer better."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(examples + held_out, 4, generator=generator) * 2 - 1
    inside = (points.square().sum(1) < 1.2).long()
    return Supervised(
        train=(points[:examples], inside[:examples]),
        validation=(points[examples:], inside[examples:]),
        batch_size=32,
        name="circles",
    )


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


def test_sizes_by_hand():
    assert sizes_of(100_000, 0.1) == [1000, 1778, 3162, 5623, 10_000]
    assert sizes_of(600, 0.1) == [20, 26, 35, 46, 60]


@pytest.mark.parametrize(
    ("examples", "share", "words"),
    [
        (300, 0.1, r"0.1 of them are 30: a forecast takes 60 or more, so give share=0.2"),
        (37, 0.1, "it takes more examples"),
        (0, 0.1, "has 0 examples"),
        (1000, 0, "share of 0"),
        (1000, 1.1, "share of 1.1"),
        (1000, math.nan, "share of nan"),
    ],
)
def test_what_is_too_small_is_said(examples, share, words):
    with pytest.raises(ValueError, match=words):
        sizes_of(examples, share)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "circles.json"
    said: list[str] = []
    model = network()
    before = [one.clone() for one in model.parameters()]
    found = small_runs(
        model, circles(), share=0.5, seeds=2, training=TRAINING, path=path, say=said.append
    )
    after = list(model.parameters())
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    return found, path, said


def test_there_is_a_score_for_each_size_and_seed(runs):
    found, _, said = runs
    assert found.examples == 800 and found.planned == len(found.points) == len(said) == 10
    assert sorted({one.size for one in found.points}) == sizes_of(800, 0.5)
    assert {one.seed for one in found.points} == {0, 1}
    assert "1 of 10: 40 examples, seed 0" in said[0] and said[0].endswith(" left")
    assert said[-1].endswith("; about 0 s left")
    assert 0.2 < found.chance < 0.8  # two classes, and nothing learnt


def test_they_are_what_a_forecast_takes(runs):
    found, _, _ = runs
    told = scaling(found.points, chance=found.chance)
    assert told.undecided == ""
    final, _ = one_run(network(), circles(), 800, 0, TRAINING)
    assert told.at(800).low - 0.02 < final < told.at(800).high + 0.02


def test_what_was_measured_is_not_measured_again(runs, monkeypatch):
    found, path, _ = runs

    def no_more(*_, **__):
        raise AssertionError("a training began")

    monkeypatch.setattr(MODULE, "train", no_more)
    again = small_runs(network(), circles(), share=0.5, seeds=2, training=TRAINING, path=path)
    assert again == found
    with pytest.raises(AssertionError, match="a training began"):  # other trainings are not these
        small_runs(network(), circles(), share=0.5, seeds=2, training=Training(7), path=path)


def test_a_killed_run_goes_on_from_the_last_score(runs, tmp_path, monkeypatch):
    found, path, _ = runs
    half = tmp_path / "half.json"
    written = json.loads(path.read_text())
    (key, rows), *_ = written.items()
    written[key] = dict(list(rows.items())[:6])
    half.write_text(json.dumps(written))
    said: list[str] = []
    again = small_runs(
        network(), circles(), share=0.5, seeds=2, training=TRAINING, path=half, say=said.append
    )
    assert again == found and len(said) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', '{"key": {"0 40": {}}}'])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "runs.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is damaged"):
        small_runs(network(), circles(), share=0.5, training=TRAINING, path=path)


def test_the_time_ends_them(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("shoestring.kit.clock.monotonic", lambda: now[0])

    def slow(model, task, training, **_):
        now[0] += 10
        return model

    monkeypatch.setattr(MODULE, "train", slow)
    settings = {"share": 0.5, "seeds": 3, "training": TRAINING}
    found = small_runs(network(), circles(), minutes=1, **settings)
    assert len(found.points) == 6 and found.planned == 15  # six trainings of ten seconds
    with pytest.raises(ValueError, match="enough for 2 of 15"):
        small_runs(network(), circles(), minutes=0.3, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"seeds": 0}, "0 seeds"), ({"minutes": 0}, "0 minutes"), ({"minutes": math.nan}, "nan min")],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        small_runs(network(), circles(), share=0.5, **settings)


class Unlabelled(Task):
    """A task whose examples cannot be chosen."""

    def batches(self, split, *, model=None):
        yield torch.zeros(1)

    def loss(self, model, batch):
        return model(batch).sum()

    def score(self, predict, split):
        return 0.0

    def example(self):
        return (torch.zeros(1),), {}


def test_a_task_without_labels_to_choose_is_refused():
    with pytest.raises(TypeError, match="no labels that can be bought or changed"):
        small_runs(network(), Unlabelled())
