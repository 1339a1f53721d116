"""Whole numbers that another technique made cheap to code stay what they are in post-training
quantisation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load, read
from shoestring.artifact.format.protobuf import onnx_bytes
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.core import Technique, score, seeded
from shoestring.kit import (
    AdamW,
    Quantised,
    Training,
    Weight,
    fold_batch_norm,
    parameters_of,
    train,
    write,
)
from shoestring.kit.weights.state import spread
from shoestring.models import DigitsLeNet
from shoestring.quantize import (
    GPTQ,
    PerChannel,
    PerGroup,
    PerTensor,
    PostTraining,
    Rate,
    Trellis,
    WeightOnly,
    WeightSharing,
)
from shoestring.quantize.weight_grids import keep_grid
from shoestring.tasks import digits


def on_grid(numbers: list[list[float]], step: Any, reach: int | None = None) -> Weight:
    """The weight of a layer, so many steps."""
    step = torch.tensor(step)
    layer = nn.Linear(len(numbers[0]), len(numbers), bias=False)
    (weight,) = parameters_of(layer)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(numbers) * spread(step, layer.weight))
    weight.round(step, reach)
    return weight


def kept(weight: Weight) -> tuple[Any, int]:
    """Step and reach of a weight."""
    state = weight.state
    assert state is not None and state.scale is not None and state.reach is not None
    return state.scale.tolist(), int(state.reach)


def test_a_grid_within_reach_stays():
    weight = on_grid([[3.0, -7.0], [0.0, 1.0]], 0.25)
    before = weight.value()
    assert (
        keep_grid(weight, 4) and kept(weight) == (0.25, 7) and torch.equal(weight.value(), before)
    )
    weight = on_grid([[3.0, -127.0], [0.0, 0.0]], [[0.25], [0.5]])  # a channel of zeros
    before = weight.value()
    assert (
        keep_grid(weight, 8)
        and kept(weight) == ([[0.25], [0.5]], 127)
        and torch.equal(weight.value(), before)
    )


def test_what_is_further_off_or_no_grid_of_channels_does_not():
    assert not keep_grid(on_grid([[3.0, -8.0]], 0.25), 4)
    assert not keep_grid(
        on_grid([[1.0] * 32], [[0.25, 0.5]]), 8
    )  # groups of columns: there are no kernels
    (plain,) = parameters_of(nn.Linear(2, 2, bias=False))
    assert not keep_grid(plain, 8)
    plain.share(torch.tensor([0.0, 0.25]), torch.tensor([[0, 1], [1, 0]]))
    assert not keep_grid(plain, 8)


def test_a_step_that_must_be_larger_is_so_by_a_whole_number_or_not_at_all():
    weight = on_grid([[3.0, -6.0], [0.0, 0.0]], [[0.25], [0.25]])
    before = weight.value()
    assert keep_grid(weight, 8, torch.tensor([0.6, 1.1])) and kept(weight) == (
        [[0.75], [1.25]],
        127,
    )
    assert torch.allclose(weight.value(), before)
    assert not keep_grid(
        on_grid([[3.0, -6.0]], [[0.25]]), 8, torch.tensor([0.5])
    )  # 3 is no multiple of 2
    assert keep_grid(on_grid([[2.0, -6.0]], 0.25), 8, torch.tensor([0.5]))
    assert keep_grid(on_grid([[3.0, -6.0]], 0.25), 8, torch.tensor([0.2]))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.other = nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32)
        self.last = nn.Linear(288, 10)

    def forward(self, images: Tensor) -> Tensor:
        images = torch.relu(self.norm(self.first(images)))
        return self.last(torch.relu(self.other(self.second(images))).flatten(1))


@pytest.fixture(scope="module", params=[DigitsLeNet, Normed])
def rated(request: pytest.FixtureRequest) -> tuple[nn.Module, Any]:
    """A network whose weights Rate put on grids."""
    task = digits()
    with seeded(0):
        model = train(request.param(), task, Training(200, AdamW(2e-3)))
        return Rate(price=2e-5, training=Training(250, AdamW(3e-3)))(model, task.sealed()), task


def numbers(model: nn.Module) -> dict[str, Tensor]:
    """The whole numbers of the weights of layers that are on grids."""
    found: dict[str, Tensor] = {}
    for one in parameters_of(model):
        state = one.state
        if one.raw.ndim > 1 and state is not None and state.scale is not None:
            found[one.name.removeprefix("inner.")] = (one.value() / state.scale.detach()).round()
    return found


@pytest.mark.slow
def test_rate_and_then_whole_numbers_is_as_small_as_rate(rated, tmp_path):
    model, task = rated
    small = write(model, task, tmp_path / "rate.shoe")
    quantised = PostTraining()(model, task.sealed())
    whole = write(quantised, task, tmp_path / "whole.shoe")
    steps = sum(
        4 * one.state.scale.numel()
        for one in parameters_of(quantised)
        if one.state is not None and one.state.scale is not None
    )
    assert whole <= 1.25 * small + steps
    assert score(task, load(tmp_path / "whole.shoe", threads=1)) == pytest.approx(
        score(task, quantised), abs=1 / 400
    )
    assert score(task, quantised) > score(task, model) - 0.01

    before, after = numbers(model), numbers(quantised)
    assert before.keys() == after.keys() and len(after) >= 3
    assert all(
        torch.equal(one.abs(), after[name].abs()) for name, one in before.items()
    )  # a norm may turn a channel round
    content = read(tmp_path / "whole.shoe")
    assert Counter(ELEMENTS[one.element][0] for one in content.tensors if one.bits.ndim > 1) == {
        "int8": len(after)
    }
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "a.onnx"), 4
    onnxruntime.InferenceSession(
        onnx_bytes(content.graph, content.tensors), options, providers=["CPUExecutionProvider"]
    )
    kernels = Counter(node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node)
    assert kernels["QLinearConv"] == 2 and kernels["QGemm"] == len(after) - 2
    assert not {"Conv", "FusedConv", "Gemm", "BatchNormalization"} & kernels.keys()


@pytest.mark.slow
@pytest.mark.by_default("DigitsLeNet")
def test_what_is_kept_is_not_rounded_another_way(rated):
    model, task = rated
    plain, other = (
        PostTraining(rounding=one)(model, task.sealed())
        for one in (PostTraining().rounding, GPTQ())
    )
    assert all(torch.equal(one, numbers(other)[name]) for name, one in numbers(plain).items())
    fewer = PostTraining(bits=2, rounding=GPTQ())(model, task.sealed())  # -1 to 1: too few for most
    assert not all(torch.equal(one, numbers(fewer)[name]) for name, one in numbers(plain).items())
    assert all(int(one.abs().max()) <= 1 for one in numbers(fewer).values())


@pytest.mark.by_default("before0-True", "before4-False")
@pytest.mark.parametrize(
    ("before", "stays"),
    [
        (Trellis(price=1e-6, batches=4, rounds=2, coarseness=0.5), True),
        (WeightOnly(bits=3, granularity=PerChannel(), only=("layers.7", "layers.9")), True),
        (WeightOnly(bits=3, granularity=PerTensor(), only=("layers.7",)), True),
        (WeightOnly(bits=3, granularity=PerGroup(32), only=("layers.7",)), False),
        (WeightSharing(levels=7, training=Training(0)), False),
    ],
)
def test_after_other_techniques(trained, before: Technique, stays: bool):
    task = trained[1].sealed()
    model = before(trained[0], task)
    quantised = PostTraining()(model, task)
    assert isinstance(quantised, Quantised)
    first = {one.name: one for one in parameters_of(model)}
    same = {
        name: torch.equal(one.value(), first[name].value())
        for one in parameters_of(quantised)
        if (name := one.name.removeprefix("inner.")).endswith("weight")
        and first[name].state is not None
    }
    assert same and set(same.values()) == {stays}


def test_a_norm_is_folded_into_the_steps():
    with seeded(0):
        model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).train()
        for _ in range(20):
            model(torch.randn(32, 6) * 2 + 1)
        with torch.no_grad():
            model[1].weight.copy_(torch.tensor([1.5, -0.5, 0.0, 2.0]))
        x = torch.randn(50, 6)
    weight = next(one for one in parameters_of(model) if one.name == "0.weight")
    weight.round(torch.tensor(0.125))
    weight.prune(torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) > 0.3)
    before = (weight.value() / 0.125).round()
    task = digits()
    y = torch.zeros(50).long()
    folded = fold_batch_norm(
        model.eval(), replace(task, train=(x, y), validation=(x, y), test=(x, y))
    )
    assert isinstance(folded[1], nn.Identity)  # type: ignore[index]
    with torch.no_grad():
        assert torch.allclose(folded(x), model(x), atol=1e-5)
    after = next(one for one in parameters_of(folded) if one.name == "0.weight")
    assert (
        after.state is not None
        and after.state.scale is not None
        and after.state.scale.shape == (4, 1)
    )
    signs = torch.tensor([[1.0], [-1.0], [0.0], [1.0]])
    assert torch.equal((after.value() / after.state.scale).round() + 0.0, before * signs + 0.0)
    steps = after.state.scale.detach().flatten()
    assert steps[2] == steps[[0, 1, 3]].min()  # where a channel is all zeros, as fine as others are


def test_a_norm_after_levels_or_groups_takes_them_away():
    x = torch.randn(20, 32, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(20).long()
    task = replace(digits(), train=(x, y), validation=(x, y), test=(x, y))
    for change in (
        lambda weight: weight.share(torch.tensor([0.0, 0.25]), torch.ones(4, 32).int()),
        lambda weight: weight.round(torch.full((4, 2), 0.1)),
    ):
        model = nn.Sequential(nn.Linear(32, 4), nn.BatchNorm1d(4))
        change(next(one for one in parameters_of(model) if one.name == "0.weight"))
        state = next(
            one
            for one in parameters_of(fold_batch_norm(model.eval(), task))
            if one.name == "0.weight"
        ).state
        assert state is not None and state.scale is state.codebook is state.indices is None
