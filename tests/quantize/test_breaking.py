"""Which layer breaks is said before anybody scores the file."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Task, score, seeded
from shoestring.kit import Agreement, Quantised, ShortfallWarning
from shoestring.quantize import GPTQ, PostTraining


class Loudness(nn.Module):
    """N×64 samples, some loud and some hardly heard, to N×4: the logarithm of a spectrum, which 8 bits of the loud ones do not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum, self.hidden, self.last = nn.Linear(64, 32, bias=False), nn.Linear(32, 16), nn.Linear(16, 4)

    def forward(self, samples: Tensor) -> Tensor:
        loud = self.spectrum(samples).square().clamp_min(1e-12).log()
        return self.last(self.hidden(loud).relu())


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Task]:
    with seeded(3):
        samples = torch.randn(600, 64) * torch.logspace(0, -5, 600)[torch.randperm(600), None]
        model = Loudness().eval()
        return model, Agreement(model, samples).sealed()


def test_the_layer_is_named_and_leaving_it_alone_mends_it(case):
    model, task = case
    with pytest.warns(
        ShortfallWarning, match=r"answers are \d\d% off .* alone: spectrum \d\d%, .*keep=\('spectrum',\) leaves"
    ) as said:
        broken = PostTraining()(model, task)
    assert len(said) == 1 and said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShortfallWarning)
        mended = PostTraining(keep=("spectrum",))(model, task)
    assert score(task, mended) > score(task, broken) + 0.1


def test_where_all_layers_share_the_blame_more_bits_are_advised():
    samples = torch.randn(600, 64)
    with seeded(1):
        plain = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    own = Agreement(plain, samples).sealed()
    with pytest.warns(ShortfallWarning, match=r"Each layer alone: .*None stands out: give more bits") as said:
        PostTraining(bits=3)(plain, own)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShortfallWarning)
        PostTraining()(plain, own)


def test_what_scores_its_files_itself_is_told_nothing(case):
    """Planners prepare: they would pay for a look at each layer in every trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShortfallWarning)
        made = PostTraining(rounding=GPTQ()).prepared(*case)(*case)
    assert isinstance(made, Quantised)
