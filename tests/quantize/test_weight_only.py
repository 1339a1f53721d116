"""Matrices in groups of a few bits."""

from __future__ import annotations

import warnings

import pytest
from torch import nn

from shoestring.artifact import load, read
from shoestring.core import score, seeded
from shoestring.kit import AdamW, SkippedWarning, Supervised, Training, parameters_of, train, write
from shoestring.models import DigitsLeNet
from shoestring.quantize import PerChannel, PerGroup, WeightOnly
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Supervised]:
    task = digits()
    with seeded(0):
        return train(DigitsLeNet(), task, Training(120, AdamW(3e-3))), task


@pytest.mark.slow
def test_weight_only_names_what_does_not_divide(trained, tmp_path):
    model, task = trained
    with pytest.warns(
        SkippedWarning, match=r"layers\.0\.weight \(a tensor \[32, 1, 3, 3\] does not divide"
    ):
        rounded = WeightOnly()(model, task.sealed())
    size = write(rounded, task, tmp_path / "a.shoe")
    plain = write(model, task, tmp_path / "b.shoe")
    elements = {one.bits.shape: one.element for one in read(tmp_path / "a.shoe").tensors}
    assert elements[128, 256] == 3 and elements[10, 128] == 3 and size < 0.6 * plain
    assert abs(score(task, load(tmp_path / "a.shoe", threads=1)) - score(task, rounded)) < 1e-9


@pytest.mark.slow
def test_the_rest_has_a_step_a_channel(trained, tmp_path):
    """All matrices and kernels are whole numbers then, of as many steps as channels, and the file
    answers as the module does.
    """
    model, task = trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rounded = WeightOnly(bits=6, rest=PerChannel())(model, task.sealed())
    size = write(rounded, task, tmp_path / "a.shoe")
    with pytest.warns(SkippedWarning, match=r"rest=PerChannel\(\) rounds them too"):
        part = write(WeightOnly(bits=6)(model, task.sealed()), task, tmp_path / "b.shoe")
    by_name = {
        one.name: one for one in parameters_of(rounded) if one.is_parameter and one.raw.ndim > 1
    }
    kernel = by_name["layers.0.weight"]
    assert (
        kernel.state is not None
        and kernel.state.scale is not None
        and kernel.state.scale.shape == (32, 1, 1, 1)
    )
    numbers = (kernel.value() / kernel.state.scale).detach()
    assert (
        float((numbers - numbers.round()).abs().max()) < 1e-3
        and 20 < float(numbers.abs().max()) <= 31.01
    )
    assert size < part
    assert abs(score(task, load(tmp_path / "a.shoe", threads=1)) - score(task, rounded)) < 1e-9
    assert score(task, rounded) > score(task, model) - 0.02


def test_the_rest_is_not_in_groups():
    with pytest.raises(
        TypeError,
        match=r"rest=PerGroup\(size=32\): it is for what does not divide into groups; give "
        r"PerChannel",
    ):
        WeightOnly(rest=PerGroup(32))  # type: ignore[arg-type]


def test_a_rest_that_there_is_not_is_refused():
    with pytest.raises(
        ValueError,
        match=r"rest=PerChannel\(\) beside granularity=PerChannel\(\), which fits every tensor: "
        r"give "
        r"one of them",
    ):
        WeightOnly(granularity=PerChannel(), rest=PerChannel())
