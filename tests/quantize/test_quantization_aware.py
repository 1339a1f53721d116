"""Training with the rounding in it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import SkippedWarning, Training, parameters_of, write
from shoestring.quantize import MinMax, PerTensor, PostTraining, QuantizationAware


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:PostTraining. answers are")
def test_few_bits_and_training_with_the_rounding(trained, tmp_path):
    model, task = trained
    with seeded(0):
        rough = PostTraining(bits=2, granularity=PerTensor(), weight_ranges=MinMax(), examples=128)(
            model, task.sealed()
        )
        aware = QuantizationAware(
            bits=2, granularity=PerTensor(), examples=128, training=Training(60)
        )(model, task.sealed())
    assert score(task, aware) > score(task, rough) + 0.02
    for one in parameters_of(aware):
        if one.raw.ndim > 1 and one.state is not None and one.state.scale is not None:
            whole = one.value() / one.state.scale.detach()
            assert torch.allclose(whole, whole.round(), atol=1e-4) and whole.abs().max() <= 1.01
    write(aware, task, tmp_path / "a.shoe")
    assert abs(score(task, load(tmp_path / "a.shoe", threads=1)) - score(task, aware)) <= 0.005


def test_a_model_without_layers_comes_back(trained):
    _, task = trained
    with pytest.warns(SkippedWarning, match="found nothing to do"):
        same = QuantizationAware(training=Training(0))(nn.Flatten(), task.sealed())
    assert isinstance(same, nn.Flatten)
