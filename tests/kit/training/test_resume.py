"""A training that was killed goes on, and comes out as if it had not been."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from zoo import classified

from shoestring.core import seeded
from shoestring.core.taught import Taught
from shoestring.kit import (
    Adagrad,
    MixtureOfExperts,
    Ramp,
    Supervised,
    Training,
    moved,
    parameters_of,
    resuming,
    state_of,
    train,
)
from shoestring.kit.training import resume
from shoestring.models import DigitsLeNet
from shoestring.prune import Magnitude
from shoestring.quantize import Rate
from shoestring.tasks import digits


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def task() -> Supervised:
    return replace(digits(), augment=moved, batch_size=64)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(resume, "_SECONDS", 0.0)


def program(task, technique):
    with seeded(0):
        model = train(DigitsLeNet(), task, Training(120), what="first")
        return technique(model, task)


def killed_at(monkeypatch, what: str, step: int):
    """Kill the training called `what` once it has kept the state before a step."""
    whole = resume.Snapshot.save

    def save(self, now, batches, *, last=False):
        whole(self, now, batches, last=last)
        if what in self.key and now >= step:
            raise Killed

    monkeypatch.setattr(resume.Snapshot, "save", save)


@pytest.mark.by_default("the training before")
@pytest.mark.parametrize(
    ("technique", "what"),
    [
        (Rate(price=1e-4, training=Training(260)), "rate"),
        (Magnitude(density=0.2, training=Training(260), ramp=Ramp(0.5, rounds=10)), "prun"),
        (Rate(training=Training(20)), "first"),
        (Magnitude(density=0.2, training=Training(260, Adagrad(0.05))), "prun"),
    ],
    ids=["rate", "pruning", "the training before", "Adagrad"],
)
def test_as_if_it_had_not_been_killed(task, technique, what, tmp_path, monkeypatch, at_once):
    expected = state_of(program(task, technique))
    with monkeypatch.context() as patch:
        killed_at(patch, what, 100)
        with pytest.raises(Killed), resuming(tmp_path):
            program(task, technique)
    with resuming(tmp_path):
        found = state_of(program(task, technique))
    assert expected.values.keys() == found.values.keys()
    assert all(torch.equal(expected.values[name], found.values[name]) for name in expected.values)


def test_what_layers_remember_goes_on_too(tmp_path, monkeypatch, at_once):
    def trained() -> MixtureOfExperts:
        with seeded(0):
            experts = [nn.Linear(6, 4) for _ in range(2)]
            model = MixtureOfExperts(experts, nn.Linear(6, 2), capacity_factor=1.0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # rows are dropped
                return train(model, classified((6,)), Training(105))

    expected = trained()
    with monkeypatch.context() as patch:
        killed_at(patch, "training", 100)
        with pytest.raises(Killed), resuming(tmp_path):
            trained()
    with resuming(tmp_path):
        found = trained()
    assert expected.shares is not None and found.shares is not None
    assert torch.equal(found.shares, expected.shares) and found.dropped == expected.dropped > 0


class Bent(nn.Module):
    """A layer and a function, which is no module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(6, 4), function

    def forward(self, rows: Tensor) -> Tensor:
        return self.function(self.layer(rows))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU()),
            lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh()),
        ),
        (lambda: Bent(torch.relu), lambda: Bent(torch.tanh)),
    ],
)
def test_networks_of_equal_weights_and_other_layers_are_kept_apart(tmp_path, first, second):
    with seeded(0):
        task = classified((6,))

    def weights(made) -> Tensor:
        with seeded(1):
            return next(train(made(), task, Training(3)).parameters()).detach()

    wanted = [weights(made) for made in (first, second)]
    assert not torch.equal(*wanted)
    for _ in range(2):
        with resuming(tmp_path):
            found = [weights(made) for made in (first, second)]
        assert all(map(torch.equal, found, wanted))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_training_of_an_older_version_goes_on(tmp_path, monkeypatch):
    with seeded(0):
        task, steps = classified((6,)), list[int]()
    # first names had no structure in them, then no data
    older, data = (lambda _: "", lambda _: b""), (resume._structure, lambda _: b"")
    for structure, told in (older, data, (resume._structure, resume.data_digest)):
        monkeypatch.setattr(resume, "_structure", structure)
        monkeypatch.setattr(resume, "data_digest", told)
        steps.clear()
        with resuming(tmp_path), seeded(1):
            train(nn.Linear(6, 4), task, Training(3), before_step=steps.append)
    assert not steps and len(list(tmp_path.iterdir())) == 1


def test_the_same_training_on_other_data_is_another(tmp_path):
    with seeded(0):
        task, teachers = classified((6,)), [nn.Linear(6, 4) for _ in range(2)]
    (inputs,), targets = task.train
    others = (
        replace(task, train=(inputs, targets.roll(1))),
        replace(task, train=(inputs + 1, targets)),
        replace(task, train=(torch.cat([inputs[:10], inputs[10:11] + 1, inputs[11:]]), targets)),
        replace(task, train=(inputs[:-1], targets[:-1])),
        replace(task, unlabelled=inputs[:3]),
        task.taught_by(teachers[0]),
        task.taught_by(teachers[1]),
        Taught(task, teachers[1], weight=0.5),
    )
    steps: list[int] = []
    for one in (task, *others):
        steps.clear()
        with resuming(tmp_path), seeded(1):
            train(nn.Linear(6, 4), one, Training(3), before_step=steps.append)
        assert steps == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 9
    steps.clear()
    with resuming(tmp_path), seeded(1):
        train(nn.Linear(6, 4), task.sealed(), Training(3), before_step=steps.append)
    assert not steps  # what is sealed trains on the same


@pytest.mark.slow
def test_what_is_finished_is_read(task, tmp_path):
    with resuming(tmp_path):
        first = program(task, Rate(price=1e-4, training=Training(30)))
    steps = []
    with resuming(tmp_path), seeded(0):
        train(DigitsLeNet(), task, Training(120), what="first", before_step=steps.append)
    assert steps == []
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".pt"] == []
    fresh = program(task, Rate(price=1e-4, training=Training(30)))
    for one, other in zip(parameters_of(first), parameters_of(fresh), strict=True):
        assert torch.equal(one.value(), other.value())


@pytest.mark.slow
def test_trainings_that_differ_are_kept_apart(task, tmp_path):
    with resuming(tmp_path):
        found = [program(task, Rate(price=price, training=Training(30))) for price in (1e-6, 1e-2)]
    fresh = [program(task, Rate(price=price, training=Training(30))) for price in (1e-6, 1e-2)]
    for one, other in zip(found, fresh, strict=True):
        assert all(
            torch.equal(a.value(), b.value())
            for a, b in zip(parameters_of(one), parameters_of(other), strict=True)
        )
    assert len(list(tmp_path.iterdir())) == 3
    with resuming(tmp_path), seeded(1):  # another seed, another width
        train(DigitsLeNet(), task, Training(120), what="first")
        train(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
            task,
            Training(120),
            what="first",
        )
    assert len(list(tmp_path.iterdir())) == 5


def test_a_file_that_is_damaged(task, tmp_path):
    for _ in range(2):
        with resuming(tmp_path), seeded(0):
            train(DigitsLeNet(), task, Training(5))
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"not a snapshot")
    with resuming(tmp_path), seeded(0), pytest.raises(ValueError, match="cannot be read"):
        train(DigitsLeNet(), task, Training(5))


def test_outside_nothing_is_kept(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(DigitsLeNet(), task, Training(2))
    assert list(tmp_path.iterdir()) == []


def test_random_numbers_of_graphics_processors_are_kept_too(monkeypatch):
    from shoestring.kit.training import resume

    put: list = []
    plain = resume._randomness()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["of the first"])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", put.append)
    resume._set_randomness(resume._randomness())
    assert put == [["of the first"]]
    resume._set_randomness(plain)
    resume._set_randomness(plain[:3])  # of a snapshot that an earlier version made
    assert put == [["of the first"]]
