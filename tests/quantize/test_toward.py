"""A price that is steered: the course by hand, and a training that ends at the bytes asked for."""

import math

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Training, pack, resuming, state_of, train
from shoestring.kit.exporting.export import export
from shoestring.kit.training import resume
from shoestring.quantize import Rate
from shoestring.quantize.toward import _FIRST, INTEGRAL, PROPORTIONAL, Course, Toward, remove_course
from shoestring.tasks import digits


def course(goal: float, *, tensors: int = 0, steps: int = 100, rise: float = 0.5) -> Course:
    return Course(Toward(goal), tensors, steps, rise, nn.Identity())


@pytest.mark.parametrize("bytes_", [0, -3.0, math.inf, math.nan])
def test_bytes_that_make_no_sense(bytes_):
    with pytest.raises(ValueError, match="above 0"):
        Toward(bytes_)


def test_the_goal_is_in_bits_without_what_describes_the_tensors():
    assert course(1000, tensors=5).goal == 8 * (1000 - 5 * 20)
    assert course(100, tensors=50).goal == 8 * 25, "a quarter at least is left for the numbers"


def test_on_the_course_the_price_stays():
    found = course(100)  # 800 bits
    for step, bits in (
        (0, 80_000),
        (25, 8_000),
        (50, 800),
        (75, 800),
    ):  # halfway up the rise a tenth, then what is asked for
        found.steer(step, bits)
        assert found.price == pytest.approx(_FIRST)


def test_above_the_course_the_price_rises_and_below_it_falls():
    found = course(100)
    found.steer(0, 80_000)
    found.steer(10, 80_000 * 100 ** (-0.2) * 1.2)  # a fifth too many, after a tenth of the training
    off = math.log(1.2)
    integral = _FIRST * math.exp(INTEGRAL * off * 0.1)
    assert (
        found.price == pytest.approx(integral * math.exp(PROPORTIONAL * off))
        and found.price > _FIRST
    )
    found.steer(50, 800 / 1.3)
    assert found.price < _FIRST


def test_no_distance_counts_for_more_than_half_or_twice():
    far, further = course(100), course(100)
    for one, bits in ((far, 1e7), (further, 1e9)):
        one.steer(0, 800.0)
        one.steer(50, bits)
    assert far.price == further.price == pytest.approx(_FIRST * math.exp(0.7 * (40 * 0.5 + 4)))


def test_a_goal_above_the_start_leads_up_and_the_price_is_soon_back():
    found = course(1e6, steps=1000)
    for step in range(0, 600, 20):
        found.steer(step, 800.0)
    assert found.price < 1e-3 * _FIRST and float(found.known[0]) >= 1e-9, (
        "no further than where it has no effect"
    )
    for step in range(600, 1000, 20):
        found.steer(step, 2 * found.goal)
    assert found.price > _FIRST


def test_without_a_rise_it_is_at_the_goal_from_the_start():
    found = course(100, rise=0.0)
    found.steer(0, 1600)
    assert found.price == pytest.approx(_FIRST * math.exp(PROPORTIONAL * math.log(2)))


def test_what_it_knows_is_in_a_buffer_of_the_model_and_leaves_with_it():
    model = nn.Linear(2, 2)
    before = set(model.state_dict())
    first = Course(Toward(100), 2, 100, 0.5, model)
    first.steer(0, 800.0)
    first.steer(50, 3000.0)
    assert set(model.state_dict()) > before
    assert Course(Toward(100), 2, 100, 0.5, model).price == pytest.approx(float(first.known[0])), (
        "a second phase goes on from it"
    )
    remove_course(model)
    assert set(model.state_dict()) == before
    remove_course(model)


# -- in a training


@pytest.fixture(scope="module")
def task():
    return digits()


@pytest.fixture(scope="module")
def model(task):
    with seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        return train(network, task.sealed(), Training(300, AdamW(3e-3)))


def toward(goal: float, steps: int) -> Rate:
    return Rate(price=Toward(goal), rise=0.6, training=Training(steps, AdamW(3e-3)))


@pytest.mark.by_default("500")
@pytest.mark.parametrize("goal", [500, 1200])
def test_a_training_ends_near_the_bytes_asked_for(model, task, goal):
    with seeded(0):
        small = toward(goal, 400)(model, task.sealed())
    size = len(pack(small, export(small, task)))
    assert 0.8 * goal < size < 1.2 * goal, "graph and frame, 45 bytes or so, among them"
    assert not any("price" in name for name, _ in small.named_buffers()), (
        "nothing of the course is left"
    )


class Killed(BaseException):
    pass


@pytest.mark.by_default("100")
@pytest.mark.parametrize("at", [100, 200])
def test_resumed_it_gives_the_same_bits(model, task, at, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "_SECONDS", 0.0)

    def run():
        with seeded(0):
            return state_of(toward(700, 260)(model, task.sealed()))

    expected, whole = run(), resume.Snapshot.save

    def save(self, now, batches, *, last=False):
        whole(self, now, batches, last=last)
        if now >= at:
            raise Killed

    with monkeypatch.context() as patch, resuming(tmp_path):
        patch.setattr(resume.Snapshot, "save", save)
        with pytest.raises(Killed):
            run()
    with resuming(tmp_path):
        found = run()
    assert expected.values.keys() == found.values.keys()
    assert all(torch.equal(expected.values[name], found.values[name]) for name in expected.values)


def test_toward_is_what_a_planner_calls():
    assert Rate(rise=0.25).toward(960.0) == Rate(rise=0.25, price=Toward(960.0))
    assert eval(repr(Rate(price=Toward(960.0)).price)) == Toward(960.0)
