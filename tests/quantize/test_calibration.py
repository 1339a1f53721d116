"""What is seen of a network before it is rounded serves for every number of bits and every choice
of layers.

ResNet-20, on one busy core: changing one layer takes 0.29 s in place of 1.61, all of them 5.0 in
place of 8.1; the table of all 20 layers (`sensitivity`, in which files are made and scored too) 154
s in place of 189.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo import ZOO

from shoestring.core import Technique, seeded
from shoestring.core.technique import settings
from shoestring.kit import SkippedWarning, Supervised, Training, state_of
from shoestring.plan import fallback, sensitivity
from shoestring.quantize import GPTQ, Entropy, MinMax, PostTraining, QuantizationAware
from shoestring.quantize import calibration as calibrating


def bits(model: nn.Module) -> dict[str, bytes]:
    """Values and states, bit for bit; grids of activations are among them."""
    state = state_of(model)
    found = {name: value.numpy().tobytes() for name, value in state.values.items()}
    return found | {
        f"{n} {w}": v.numpy().tobytes()
        for n, known in state.states.items()
        for w, v in known.items()
    }


class Looked(Exception):
    """Another look at the examples."""


@pytest.fixture
def no_look(monkeypatch: pytest.MonkeyPatch):
    """From when it is called, calibration may not look at the examples."""

    def refuse() -> None:
        def looked(*_: Any) -> None:
            raise Looked

        monkeypatch.setattr(
            calibrating.Calibration, "_watch", lambda self, seen, look: looked() if seen else None
        )
        monkeypatch.setattr(calibrating, "calibration_batches", looked)

    return refuse


@pytest.mark.by_default("base0")
@pytest.mark.parametrize(
    "base",
    [PostTraining(examples=100), PostTraining(examples=100, ranges=Entropy(), rounding=GPTQ())],
)
def test_prepared_gives_the_same_and_looks_no_more(trained, base: PostTraining, no_look):
    model, task = trained[0], trained[1].sealed()
    changes: list[dict[str, Any]] = [
        {},
        {"bits": 3},
        {"only": ("layers.3",)},
        {"keep": ("layers.0", "layers.9")},
        {"bits": 5, "keep": ("layers.7",)},
    ]
    wanted = [bits(replace(base, **change)(model, task)) for change in changes]
    prepared = base.prepared(model, task)
    assert prepared == base and hash(prepared) == hash(base) and repr(prepared) == repr(base)
    assert settings(prepared) == settings(base)
    no_look()
    assert [bits(replace(prepared, **change)(model, task)) for change in changes] == wanted


@pytest.mark.by_default("mlp", "residual", "gru")
@pytest.mark.parametrize("animal", ZOO, ids=lambda one: one.name)
def test_one_layer_at_a_time_in_any_module(animal):
    model, task = animal()
    task, base = task.sealed(), PostTraining(examples=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)
        prepared = base.prepared(model, task)
        for layer in base.layers(model, task)[-2:]:
            assert bits(replace(prepared, only=(layer,))(model, task)) == bits(
                replace(base, only=(layer,))(model, task)
            )


def test_another_model_task_or_count_is_looked_at_anew(trained, no_look):
    model, task = trained[0], trained[1].sealed()
    prepared = PostTraining(examples=50).prepared(model, task)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert bits(prepared(other, task)) == bits(PostTraining(examples=50)(other, task))
    no_look()
    prepared(model, task)
    for technique, asked in (
        (replace(prepared, examples=60), task),
        (prepared, trained[1].taught_by(model).sealed()),
    ):
        with pytest.raises(Looked):
            technique(model, asked)
    with torch.no_grad():
        model.layers[0].bias[0] += 1.0
    try:
        with pytest.raises(Looked):
            prepared(model, task)
    finally:
        with torch.no_grad():
            model.layers[0].bias[0] -= 1.0


def test_trained_with_rounding_from_what_was_prepared(trained, no_look):
    model, task = trained[0], trained[1].sealed()
    base = QuantizationAware(bits=3, examples=50, training=Training(2))
    with seeded(0):
        wanted = bits(base(model, task))
    prepared = base.prepared(model, task)
    assert prepared == base and repr(prepared) == repr(base)
    no_look()
    with seeded(0):
        assert bits(prepared(model, task)) == wanted


class Padded(nn.Module):
    """A value that is read as it is and, with zeros around it, by another layer.

    What is seen of it depends on which are chosen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        value = self.first(x)
        return self.second(value) + self.third(nn.functional.pad(value, (1, 1)))


@pytest.mark.parametrize("ranges", [MinMax(), Entropy()])
def test_what_is_seen_of_a_value_is_that_of_the_layers_that_were_chosen(ranges):
    with seeded(0):
        x, model = torch.randn(200, 4), Padded()
        nn.init.constant_(model.first.bias, 9.0)  # far from zero, which the padding brings in
    task: Any = Supervised(
        **dict.fromkeys(("train", "validation", "test"), (x, torch.zeros(200).long()))
    ).sealed()
    base = PostTraining(ranges=ranges)
    prepared = base.prepared(model, task)
    for only in (("second",), ("third",), ("second", "third"), ("first",)):
        assert bits(replace(prepared, only=only)(model, task)) == bits(
            replace(base, only=only)(model, task)
        )


@pytest.mark.slow
def test_planners_calibrate_once(trained, monkeypatch: pytest.MonkeyPatch):
    model, task = trained[0], trained[1]
    asked: list[int] = []
    plain = calibrating.calibration_batches
    monkeypatch.setattr(
        calibrating,
        "calibration_batches",
        lambda task, examples, model: asked.append(examples) or plain(task, examples, model),
    )
    table = sensitivity(model, task, [PostTraining(examples=64)], meters=(), examples=100)
    assert len(table.effects) == 4 and asked == [64]
    found = fallback(model, task, PostTraining(examples=65), drop=0.5, examples=100)
    assert isinstance(found.technique, Technique) and asked == [64, 65]
