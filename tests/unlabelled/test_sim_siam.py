"""SimSiam: pairs become alike, a collapse is said, and a training that was killed goes on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from getting import few_labels
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Training, resuming
from shoestring.kit.training import resume
from shoestring.models import DigitsLeNet
from shoestring.unlabelled import CollapsedWarning, Distorted, Shifted, SimSiam
from shoestring.unlabelled.body import body
from shoestring.unlabelled.material import material
from shoestring.unlabelled.sim_siam import Twins, _apart, deviation

STRONG = Distorted(turn=15, scale=0.1, shear=0.1, shift=0.1, light=0.2, covered=0)


def dense() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def test_the_deviation_by_hand():
    around = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, -1.0]])
    assert deviation(around) == pytest.approx(1.0)
    assert deviation(torch.tensor([[1.0, 2.0], [2.0, 4.0]])) == pytest.approx(0.0, abs=1e-6)


def test_the_loss_by_hand():
    """The mean of two negative cosines; what is to be predicted gets no gradient."""
    model, task = dense(), few_labels(100, 0)
    twins = Twins(model, body(model, material(model, task, Shifted(), STRONG)), 48, 8).eval()
    vectors, wanted = torch.rand(3, 8), torch.rand(3, 8, requires_grad=True)
    with torch.no_grad():
        twins.predictor[3].weight.zero_()  # type: ignore[union-attr, operator]
        twins.predictor[3].bias.copy_(torch.eye(8)[0])  # type: ignore[union-attr, operator]
    loss = _apart(twins, vectors, wanted)
    by_hand = -(wanted[:, 0] / wanted.norm(dim=1)).mean()
    assert float(loss.detach()) == pytest.approx(float(by_hand.detach()))
    loss.backward()
    assert wanted.grad is None


def test_two_changes_of_a_picture_become_alike_and_other_pictures_do_not():
    with seeded(0):
        model, task = DigitsLeNet(), few_labels(100, 0)
    technique = SimSiam(
        training=Training(0),
        pretraining=Training(40, AdamW(5e-3)),
        size=48,
        width=64,
        weak=Shifted(),
        strong=STRONG,
    )
    given = material(model, task.sealed(), technique.weak, technique.strong)
    place = body(model, given)
    images = given.inputs[0][:200]

    def alike(network: nn.Module) -> float:
        """How much nearer two changes of a picture are than changes of two pictures, as cosines."""
        with seeded(1), torch.no_grad():
            first, second = (
                nn.functional.normalize(place.features(network.eval(), (STRONG(images),)))
                for _ in range(2)
            )
        cosines = first @ second.T
        return float(cosines.diagonal().mean() - cosines.mean()) / float(1 - cosines.mean())

    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("error", CollapsedWarning)
        made = technique.learnt(model, given, model)
    assert alike(made) > alike(model) + 0.1


def blank(images: Tensor) -> Tensor:
    return torch.zeros_like(images)


def test_a_collapse_is_said():
    """Where changes leave nothing of the pictures, there is nothing to tell apart."""
    model, task = dense(), few_labels(100, 0)
    with torch.no_grad():
        model[1].weight.zero_()  # type: ignore[union-attr, operator, index]
    model[1].requires_grad_(False)  # type: ignore[index]
    technique = SimSiam(training=Training(2), pretraining=Training(3), strong=blank)
    with (
        seeded(0),
        pytest.warns(CollapsedWarning, match=r"deviate by 0\b.*The pretraining has collapsed"),
    ):
        technique.learnt(model, material(model, task.sealed(), None, blank), model)


def test_a_killed_pretraining_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    calls = [0, 10**9]

    def breaking(images: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        return images + 0.1 * torch.randn_like(images)

    technique = SimSiam(
        training=Training(5), pretraining=Training(110), size=8, width=8, strong=breaking
    )
    model, task = dense(), few_labels(100, 0).sealed()
    given = material(model, task, technique.weak, technique.strong)

    def learnt() -> list[Tensor]:
        with seeded(5):
            return [one.detach() for one in technique.learnt(model, given, model).parameters()]

    whole = learnt()
    calls[:] = [0, 210]
    with resuming(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            learnt()
        calls[:] = [0, 10**9]
        again = learnt()
        assert calls[0] < 80, "it began from the start"
    assert all(map(torch.equal, whole, again))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": 1}, "the inputs of a batch is 1: give an integer, 2 or more"),
        ({"width": 2}, "the width of the projector is 2: give an integer, 4 or more"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        SimSiam(**settings)
