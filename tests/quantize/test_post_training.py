"""Post-training quantisation and its kin: ranges by hand, settings, and what they refuse."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from zoo import ZOO

from shoestring.artifact import load, read
from shoestring.core import Cost, Task, score, seeded
from shoestring.kit import (
    ExportError,
    Quantised,
    ShortfallWarning,
    SkippedWarning,
    State,
    Supervised,
    Training,
    parameters_of,
    restore,
    write,
)
from shoestring.meters import Size
from shoestring.quantize import (
    GPTQ,
    Entropy,
    MeanSquare,
    MinMax,
    Percentile,
    PerChannel,
    PerGroup,
    PerTensor,
    PostTraining,
    QuantizationAware,
    Rate,
)
from shoestring.quantize.ranges import BINS, Histogram
from shoestring.quantize.weight_grids import round_weight


def seen(values: torch.Tensor) -> Histogram:
    found = Histogram()
    for part in values.split(100):
        found.limits(part)
    for part in values.split(100):
        found.count(part)
    return found


def test_ranges_of_a_bell_with_one_outlier():
    with seeded(0):
        values = torch.cat([torch.randn(20_000), torch.tensor([60.0])])
    found = seen(values)
    assert found.counts is not None and found.counts.sum() == 20_001
    assert MinMax()(found, 255) == (found.low, found.high) and found.high == 60.0
    low, high = Percentile(0.99)(found, 255)
    assert low == pytest.approx(-2.58, abs=0.15) and high == pytest.approx(2.58, abs=0.15)
    whole = 64.0 / BINS
    assert Percentile(1.0)(found, 255) == pytest.approx((found.low, found.high), abs=whole)
    # At 15 levels it pays to clip; the best of all parts, by trying.
    best = MeanSquare()(found, 15)
    errors = {}
    for part in np.linspace(0.2, 1, 81):
        step = (found.high - found.low) * part / 15
        grid = (values / step).round().clamp(
            round(found.low * part / step), round(found.high * part / step)
        ) * step
        errors[part] = float((grid - values).square().mean())
    assert (
        best[1] == pytest.approx(60.0 * min(errors, key=errors.__getitem__), rel=0.1)
        and best[1] < 60
    )
    assert Entropy()(found, 15)[1] < 60


@pytest.mark.parametrize("ranges", [MinMax(), Percentile(), MeanSquare(), Entropy()])
def test_ranges_of_few_values(ranges):
    for values in (torch.zeros(5), torch.full((5,), 3.0), torch.tensor([-1.0])):
        low, high = ranges(seen(values), 255)
        assert low <= high and np.isfinite([low, high]).all()


def test_calibration_refuses_numbers_that_are_none():
    with pytest.raises(ValueError, match="NaN or infinite"):
        Histogram().limits(torch.tensor([1.0, float("nan")]))


def test_weights_on_grids_by_hand():
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.634, 0.0, 0.016], [12.7, 1.0, -12.7, 0.06]]))
    (weight,) = [one for one in parameters_of(layer) if one.name == "weight"]
    round_weight(weight, 8, PerChannel(), MinMax())
    assert torch.allclose(
        weight.value(), torch.tensor([[1.27, -0.63, 0.0, 0.02], [12.7, 1.0, -12.7, 0.1]]), atol=1e-6
    )
    round_weight(weight, 8, PerTensor(), MinMax())
    assert torch.allclose(weight.value()[0], torch.tensor([1.3, -0.6, 0.0, 0.0]), atol=1e-6)


def test_groups_of_columns_have_steps_of_their_own():
    layer = nn.Linear(32, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(64.0).view(2, 32) % 16 - 8)
        layer.weight[:, 16:] *= 100
    (weight,) = parameters_of(layer)
    round_weight(weight, 8, PerGroup(16), MinMax())
    state = weight.state
    assert isinstance(state, State) and state.scale is not None and state.scale.shape == (2, 2)
    assert torch.allclose(state.scale[0] * 127, torch.tensor([8.0, 800.0]))
    assert torch.allclose(weight.value(), layer.weight, atol=400 / 127)


@pytest.mark.by_default("ranges2")
@pytest.mark.parametrize("ranges", [MinMax(), Percentile(), MeanSquare(), Entropy()])
def test_the_file_scores_as_the_module_does(trained, ranges, tmp_path):
    model, task = trained
    quantised = PostTraining(ranges=ranges, examples=128)(model, task.sealed())
    write(quantised, task, tmp_path / "a.shoe")
    on_file = score(task, load(tmp_path / "a.shoe", threads=1))
    assert abs(on_file - score(task, quantised)) <= 0.005 and on_file > score(task, model) - 0.02
    assert not any(isinstance(one, Quantised) for one in model.modules())


def test_layers_that_are_kept_compute_with_floats(trained, tmp_path):
    model, task = trained
    write(
        PostTraining(keep=("layers.3", "layers.9"), examples=64)(model, task.sealed()),
        task,
        tmp_path / "a.shoe",
    )
    shapes = {
        one.bits.shape: one.element
        for one in read(tmp_path / "a.shoe").tensors
        if one.bits.ndim > 1
    }
    assert (
        shapes[64, 32, 3, 3] == shapes[10, 128] == 1
        and shapes[32, 1, 3, 3] == shapes[128, 256] == 3
    )
    with pytest.raises(ValueError, match=r"no such layer; the nearest are layers\.3"):
        PostTraining(keep=("layers.33",))(model, task.sealed())


def test_what_is_quantised_again_starts_from_the_module(trained):
    model, task = trained
    once = PostTraining(examples=64)(model, task.sealed())
    again = PostTraining(bits=4, examples=64)(once, task.sealed())
    assert isinstance(again, Quantised) and not isinstance(again.inner, Quantised)


def test_one_example_and_no_layers(trained):
    model, task = trained
    quantised = PostTraining(examples=1)(
        model, replace(task, train=tuple(one[:1] for one in task.train)).sealed()
    )
    assert score(task, quantised) > 0.5
    with pytest.warns(SkippedWarning, match="nothing to do"):
        PostTraining(keep=("*",))(model, task.sealed())


def test_data_of_the_wrong_shape(trained):
    model, task = trained
    flat = tuple((x.flatten(1), y) for x, y in (task.train, task.validation, task.test))
    wrong = Supervised(train=flat[0], validation=flat[1], test=flat[2])
    with pytest.raises((ExportError, RuntimeError)):
        PostTraining()(model, wrong.sealed())


@pytest.mark.parametrize("wrong", [{"bits": 1}, {"bits": 9}, {"examples": 0}])
def test_settings_out_of_range(wrong):
    for technique in (PostTraining, QuantizationAware):
        with pytest.raises(ValueError, match="give"):
            technique(**wrong)
    with pytest.raises(ValueError, match="power of two"):
        PerGroup(24)
    with pytest.raises(ValueError, match="share"):
        Percentile(0.3)


@pytest.mark.by_default("mlp", "residual", "rnn", "attention")
@pytest.mark.parametrize("animal", ZOO, ids=lambda one: one.name)
def test_any_module_becomes_a_file_or_says_why(animal, tmp_path):
    model, task = animal()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)
        quantised = PostTraining(examples=8)(model, task.sealed())
        write(quantised, task, tmp_path / "a.shoe")
    file, module = score(task, load(tmp_path / "a.shoe", threads=1)), score(task, quantised)
    assert abs(file - module) <= 0.1 * max(1.0, abs(module))


class Doubled(nn.Linear):
    """A layer of a class of its own: what it returns is not its product, nor a tensor."""

    def forward(self, input: torch.Tensor) -> tuple[torch.Tensor, int]:  # type: ignore[override]
        return torch.nn.functional.linear(input, self.weight, self.bias) * 2, 0


class OfItsOwn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = Doubled(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)[0]))


def test_a_layer_of_a_class_of_its_own(tmp_path):
    with seeded(0):
        x = torch.randn(64, 6)
        split = (x, x[:, :3].argmax(1))
        task, model = Supervised(train=split, validation=split, test=split), OfItsOwn().eval()
    quantised = PostTraining(examples=64)(model, task.sealed())
    write(quantised, task, tmp_path / "a.shoe")
    with torch.no_grad():
        expected, plain = quantised(x).numpy(), model(x).numpy()
    assert np.abs(expected - plain).max() < 0.05 * np.abs(plain).max()
    assert (
        np.abs(load(tmp_path / "a.shoe", threads=1)(x) - expected).max()
        < 0.02 * np.abs(plain).max()
    )
    with pytest.raises(ValueError, match="restored into the module that the technique returned"):
        restore(tmp_path / "a.shoe", model)


def test_a_name_that_is_no_tuple(trained):
    model, task = trained
    with pytest.raises(TypeError, match=r"write \('layers.0',\)"):
        PostTraining(only="layers.0")(model, task.sealed())  # type: ignore[arg-type]


class Single(nn.Module):
    """One image at a time, without an axis of examples."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 5, 3), nn.Linear(5, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(images[0])).mean((1, 2)))[None]


def test_one_image_without_an_axis_of_examples():
    with seeded(0):
        x, model = torch.randn(1, 3, 7, 7), Single().eval()
    task = Supervised(**dict.fromkeys(("train", "validation", "test"), (x, torch.zeros(1).long())))
    quantised = PostTraining(bits=4)(model, task.sealed())
    with torch.no_grad():  # the biases take up all that rounding shifts, since there is one example
        assert torch.allclose(quantised(x), model(x), atol=2e-3)


def test_channels_of_zeros_keep_their_biases_where_inputs_are_large():
    with seeded(1):
        x, first = 1e4 * torch.randn(48, 6), nn.Linear(6, 8)
        with torch.no_grad():
            first.weight.mul_(1e-4)
            first.weight[2:6], first.bias[2:6] = 0.0, torch.tensor([0.3, 0.2, -0.4, 0.5])
        task = Supervised(
            **dict.fromkeys(("train", "validation", "test"), (x, torch.zeros(48).long()))
        )
    quantised = PostTraining()(nn.Sequential(first).eval(), task.sealed())
    with torch.no_grad():
        assert torch.allclose(quantised(x)[:, 2:6], first.bias[2:6].expand(48, 4), atol=1e-3)


def test_a_recurrent_network_is_hardly_touched_and_it_is_said():
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.last = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.rnn(x)[0][:, -1])

    split = (torch.randn(64, 5, 8), torch.randint(0, 4, (64,)))
    task = Supervised(train=split, validation=split, test=split).sealed()
    said = (
        r"quantized 2% of the weights; not rnn \(98%\): no integer kernels.* "
        r"WeightOnly or WeightSharing make"
    )
    with pytest.warns(SkippedWarning, match=said):
        PostTraining()(Tagger(), task)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkippedWarning)
        PostTraining(only=("last",))(Tagger(), task)  # who names layers knows


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_layers_of_no_size(tmp_path):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.none, self.last = nn.Linear(8, 16), nn.Linear(8, 0), nn.Linear(16, 4)
            self.scale, self.nothing = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.empty(0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.cat([self.first(x), self.none(x)], 1)) * self.scale

    with seeded(0):
        x, model = torch.randn(64, 8), Odd().eval()
    split = (x, x[:, :4].argmax(1))
    task = Supervised(train=split, validation=split, test=split)
    for technique in (
        PostTraining(),
        PostTraining(bits=4, rounding=GPTQ()),
        QuantizationAware(training=Training(2)),
        Rate(training=Training(8)),
    ):
        made = technique(model, task.sealed()).eval()
        write(made, task, tmp_path / "a.shoe")
        with torch.no_grad():
            wanted = made(x).numpy()
        assert (
            np.abs(load(tmp_path / "a.shoe", threads=1)(x) - wanted).max()
            < 0.02 * np.abs(wanted).max()
        )


class Told:
    """A meter that reads the given numbers: the first of two for modules that are not quantised."""

    def __init__(self, before: list[float], after: list[float]) -> None:
        self.before, self.after = iter(before), iter(after)

    def __call__(self, subject: Any, task: Task) -> Cost:
        return Cost(
            milliseconds=next(self.after if isinstance(subject, Quantised) else self.before)
        )


@pytest.mark.slow
def test_what_does_not_pay_is_refused_with_its_cost():
    x, y = torch.randn(64, 2), torch.randint(0, 2, (64,))
    task = Supervised(train=(x, y), validation=(x, y), test=(x, y))
    small, large = (
        nn.Sequential(nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, 2)),
    )
    with pytest.warns(
        ShortfallWarning,
        match=r"PostTraining does not pay: \d+ bytes in place of \d+; the model is as it was",
    ):
        kept = PostTraining(pays=Size())(
            small, task
        )  # steps and ranges take more than the weights had
    assert not isinstance(kept, Quantised) and torch.equal(kept[0].weight, small[0].weight)
    assert isinstance(PostTraining(pays=Size())(large, task), Quantised)
    assert isinstance(PostTraining(pays=Told([3, 3, 3], [9, 2, 1]))(large, task), Quantised)
    with pytest.warns(ShortfallWarning, match="3 milliseconds in place of 3"):
        assert not isinstance(PostTraining(pays=Told([9, 3, 1], [3, 1, 9]))(large, task), Quantised)
    assert "pays" not in repr(PostTraining()) and "pays=Size()" in repr(PostTraining(pays=Size()))
