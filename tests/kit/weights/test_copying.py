"""Copies of modules: what was computed, what is shared, locks, and what cannot be copied."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Queue

import pytest
import torch
from torch import nn

from shoestring import Supervised, apply, load, write
from shoestring.kit import clone, parameters_of
from shoestring.kit.weights.copying import UncopyableError
from shoestring.quantize import PostTraining


@dataclass
class Note:
    """Something of a user's that holds a tensor."""

    value: torch.Tensor


class Keeps(nn.Module):
    """Keeps what it computes, in all the ways that people do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.maps, self.last, self.pair, self.note, self.aux = [], {}, (), None, torch.tensor(0.0)

    def forward(self, x):
        a = self.layer(x)
        self.maps.append(a)
        self.last["deep"] = [{"a": a}]
        self.pair, self.note, self.aux = (a, 1), Note(a), a.sum()
        return a


@pytest.fixture
def task():
    x, y = torch.randn(32, 8), torch.arange(32) % 4
    return Supervised(train=(x, y), validation=(x, y), test=(x, y), batch_size=16)


def kept(value):
    """A module that holds this value within another."""
    model = nn.Sequential(nn.Linear(8, 4), nn.Identity())
    model[1].log = {"of": [value]}
    return model


def test_what_was_computed_is_copied_without_its_gradients():
    model = Keeps()
    model(torch.ones(2, 8)).sum().backward()
    copied = clone(model)
    found = [copied.maps[0], copied.last["deep"][0]["a"], copied.pair[0], copied.note.value]
    assert all(one is found[0] for one in found)  # one tensor, as it was one
    assert torch.equal(found[0], model.maps[0].detach()) and not found[0].requires_grad
    assert copied.aux.grad_fn is None and model.maps[0].grad_fn is not None


def test_a_model_that_keeps_what_it_computes_becomes_a_file(task, tmp_path):
    model, x = Keeps(), torch.randn(3, 8)
    model(x).sum().backward()
    for made in (model, apply(PostTraining(), model, task)):
        write(made, task, tmp_path / "kept.shoe")
        torch.testing.assert_close(
            torch.as_tensor(load(tmp_path / "kept.shoe")(x)),
            made.eval()(x).detach(),
            atol=1e-3,
            rtol=0,
        )


def test_locks_are_new_ones_of_their_kind():
    condition, queue = threading.Condition(), Queue()
    model = kept(
        [
            threading.Lock(),
            threading.RLock(),
            condition,
            threading.Event(),
            queue,
            threading.local(),
        ]
    )
    lock = model[1].log["of"][0][0]
    with lock:
        copies = clone(model)[1].log["of"][0]
        assert type(copies[0]) is type(lock) and copies[0].acquire(blocking=False)
    with copies[1], copies[2]:
        copies[2].notify_all()
    copies[3].set()
    assert not model[1].log["of"][0][3].is_set()
    copies[4].put("one")
    assert copies[4].get(timeout=1) == "one" and queue.empty()


def test_the_lock_that_two_conditions_share_is_one_in_the_copy():
    lock = threading.Lock()
    one, two, same = clone(kept([threading.Condition(lock), threading.Condition(lock), lock]))[
        1
    ].log["of"][0]
    with same:
        assert not one.acquire(blocking=False) and not two.acquire(blocking=False)


def test_a_generator_goes_on_alike_in_the_copy():
    model = kept(torch.Generator().manual_seed(3))
    copied = clone(model)
    first = torch.rand(2, generator=model[1].log["of"][0])
    assert torch.equal(torch.rand(2, generator=copied[1].log["of"][0]), first)


def test_what_cannot_be_copied_is_named_with_its_module(tmp_path, task):
    with (tmp_path / "log.txt").open("w") as opened:
        for made in (
            lambda model: clone(model),
            lambda model: write(model, task, tmp_path / "x.shoe"),
        ):
            with pytest.raises(
                TypeError,
                match=r"1\.log\['of'\]\[0\] is an open file .*TextIOWrapper.*forward\(\) needs it",
            ):
                made(kept(opened))
    with pytest.raises(TypeError, match=r"1\.log\['of'\]\[0\] is a generator"):
        clone(kept(one for one in "abc"))


@pytest.mark.filterwarnings("ignore:.*torch.compile:UserWarning")
def test_compiled_and_parallel_modules_are_copied_as_what_is_within(task):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    names = [one.name for one in parameters_of(model)]
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        copied = clone(wrapped)
        assert (
            type(copied) is nn.Sequential and [one.name for one in parameters_of(wrapped)] == names
        )
        assert (
            torch.equal(copied[0].weight, model[0].weight)
            and copied[0].weight is not model[0].weight
        )
    inside = nn.Sequential(
        torch.compile(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), backend="eager"), nn.Linear(16, 4)
    )
    assert type(clone(inside)[0]) is nn.Sequential
    inside.compile(backend="eager")
    assert type(apply(PostTraining(), inside, task).inner[0]) is nn.Sequential


def test_what_is_no_module_is_not_copied():
    with pytest.raises(
        TypeError, match="a torch module is wanted as the model, and this is a dict"
    ):
        clone({"weight": torch.ones(2)})  # type: ignore[arg-type]


def test_a_function_that_holds_a_part_of_the_model_is_named():
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.head = lambda x: self.b(x.relu())

        def forward(self, x):
            return self.head(self.a(x))

    with pytest.raises(
        UncopyableError,
        match="head is a function that holds a Network of the model, which a copy of it would "
        "share: make it a method",
    ):
        clone(Network())


def test_a_mapping_of_ones_own_is_not_walked_through():
    class Endless(Mapping):
        def __getitem__(self, key):
            return key

        def __len__(self):
            return 10**9

        def __iter__(self):
            raise AssertionError("nobody may walk through it")

        def __deepcopy__(self, memo):
            return self

    model = nn.Linear(2, 2)
    model.table = Endless()
    assert clone(model).table is model.table
