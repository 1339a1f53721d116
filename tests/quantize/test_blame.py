"""Which layer breaks is said before anybody scores the file."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Task, score, seeded
from shoestring.kit import Agreement, Quantised, ShortfallWarning, Training, clone
from shoestring.plan.experiments import Experiments
from shoestring.plan.proposal import Proposal
from shoestring.prune import Magnitude
from shoestring.quantize import GPTQ, PostTraining


class Loudness(nn.Module):
    """N×64 samples, some loud and some hardly heard, to N×4.

    The logarithm of a spectrum, which 8 bits of the loud ones do not reach.
    `hidden`: whether a layer is between the two others.
    `least`: of what the logarithm is taken.
    `box`: whether a place in pixels comes first.
    """

    def __init__(self, hidden: bool = True, least: float = 1e-12, box: bool = False) -> None:
        super().__init__()
        self.spectrum, self.last = nn.Linear(64, 32, bias=False), nn.Linear(16 if hidden else 32, 4)
        self.hidden = nn.Linear(32, 16) if hidden else nn.Identity()
        self.least, self.box = least, nn.Linear(64, 4) if box else None

    def forward(self, samples: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        loud = self.spectrum(samples).square().clamp_min(self.least).log()
        classes = self.last(
            self.hidden(loud).relu() if isinstance(self.hidden, nn.Linear) else loud
        )
        return classes if self.box is None else (1000 * self.box(samples.sign()), classes)


def made(**settings) -> tuple[nn.Module, Task]:
    with seeded(3):
        samples = torch.randn(600, 64) * torch.logspace(0, -5, 600)[torch.randperm(600), None]
        model = Loudness(**settings).eval()
        return model, Agreement(model, samples).sealed()


@pytest.fixture(scope="module")
def case() -> tuple[nn.Module, Task]:
    return made()


def test_the_layer_is_named_and_leaving_it_alone_mends_it(case):
    model, task = case
    with pytest.warns(
        ShortfallWarning,
        match=r"answers are \d\d% off .*: spectrum \d\d%, .*keep=\('spectrum',\), or",
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
        plain = nn.Sequential(
            nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
        )
    own = Agreement(plain, samples).sealed()
    with pytest.warns(
        ShortfallWarning,
        match=r"Each layer alone, to the nearest: .*No layer stands out: more bits, "
        r"rounding=GPTQ\(\), ",
    ) as said:
        PostTraining(bits=3)(plain, own)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShortfallWarning)
        PostTraining()(plain, own)


def test_what_scores_its_files_itself_is_told_nothing(case):
    """Planners prepare: they would pay for a look at each layer in every trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShortfallWarning)
        quantised = PostTraining(rounding=GPTQ()).prepared(*case)(*case)
    assert isinstance(quantised, Quantised)


@pytest.mark.slow
def test_nor_is_the_planner(case, tmp_path):
    for techniques in (
        (PostTraining(),),
        (Magnitude(density=0.9, training=Training(1)), PostTraining()),
    ):
        trial = Experiments(*case, tmp_path / "study")(Proposal(techniques=techniques))
        assert trial is not None and trial.score is not None and "answers are" not in trial.note


def said_of(model: nn.Module, task: Task, **settings) -> str:
    with pytest.warns(ShortfallWarning, match="answers are") as said:
        PostTraining(**settings)(model, task)
    assert len(said) == 1
    return str(said[0].message)


@pytest.mark.filterwarnings("ignore:one and the same answer")
def test_of_two_layers_and_of_those_that_are_left(case):
    """What is kept already is kept in the advice too."""
    assert "stands out, keep=('spectrum',), or training with the rounding" in said_of(
        *made(hidden=False)
    )
    assert "stands out, keep=('last', 'spectrum'), or" in said_of(*case, keep=("last",))
    assert "stands out, keep=('last', 'hidden', 'spectrum'), or" in said_of(
        *case, keep=("last", "hidden")
    )


def test_the_advice_has_nothing_that_was_done(case):
    assert "or more bits, rounding=GPTQ(), training" in said_of(*case, bits=4)
    assert "or more bits, training" in said_of(*case, bits=4, rounding=GPTQ())


def test_answers_that_are_no_longer_finite():
    said = said_of(*made(least=0.0))
    assert (
        "answers are not finite off" not in said
        and "spectrum not finite" in said
        and "keep=('spectrum',)" in said
    )


def test_an_output_of_large_numbers_does_not_hide_another():
    assert "alone, to the nearest: spectrum" in said_of(*made(box=True))


class Odd(nn.Module):
    """The same, a layer under a name that looks like a pattern."""

    def __init__(self, inner: Loudness) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {"a[0]": inner.spectrum, "b": nn.Sequential(inner.hidden, nn.ReLU(), inner.last)}
        )

    def forward(self, samples: Tensor) -> Tensor:
        return self.parts["b"](self.parts["a[0]"](samples).square().clamp_min(1e-12).log())


def test_a_name_that_looks_like_a_pattern(case):
    model, task = Odd(clone(case[0])), case[1]
    assert "keep=('parts.a[[]0]',)" in said_of(model, task)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShortfallWarning)
        PostTraining(keep=("parts.a[[]0]",))(model, task)
