"""Labels and unlabelled inputs side by side: the average, and a training that was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from half_moons import CHANGES, moons, network
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Training, resuming
from shoestring.kit.training import resume
from shoestring.unlabelled import FreeMatch, MeanTeacher
from shoestring.unlabelled.consistency import Alongside, Pair, Weakly, risen
from shoestring.unlabelled.material import material


def test_the_average_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        pair = Pair(layer, decay=0.5)
        layer.weight.fill_(3.0)
    pair.follow(1)  # 1/11 of the average stays
    assert float(pair.average.weight.detach()) == pytest.approx(1 / 11 + 3 * 10 / 11)  # type: ignore[union-attr, operator]
    with torch.no_grad():
        pair.average.weight.fill_(1.0)  # type: ignore[union-attr, operator]
    pair.follow(1000)
    assert float(pair.average.weight.detach()) == pytest.approx(2.0)  # type: ignore[union-attr, operator]
    assert not any(one.requires_grad for one in pair.average.parameters())
    assert not pair.train().average.training


def test_a_weight_rises_to_one():
    assert risen(0.0, 0.3) == pytest.approx(0.0067, abs=1e-3)
    assert risen(0.3, 0.3) == risen(0.9, 0.3) == risen(0.0, 0.0) == 1.0


def test_batches_have_labels_and_others():
    task = moons(labels=8, free=20)
    seen: list[Tensor] = []

    def term(pair: Any, inputs: tuple[Tensor, ...], share: float) -> Tensor:
        seen.append(inputs[0])
        return torch.tensor(2.0)

    free = (torch.as_tensor(task.unlabelled),)
    beside = Alongside(task, torch.clone, free, 500, term, 3.0)
    pair = Pair(network(), 0.9)
    (batch,) = beside.batches("train", model=pair)
    assert len(batch[0][1]) == 8 and len(batch[1][0]) == 20  # all, where there are fewer
    with torch.no_grad():
        own = float(task.loss(pair, batch[0]))
        assert float(beside.loss(pair, batch)) == pytest.approx(own + 6.0)
    assert len(seen) == 1
    assert len(list(beside.batches("validation"))) == len(list(task.batches("validation")))


def test_unlabelled_inputs_are_prepared_as_labelled_ones():
    task = replace(moons(20), prepare=lambda x: x + 100)
    free = material(network(), task, *CHANGES.values()).inputs
    beside = Alongside(task, torch.clone, free, 500, lambda *_: torch.zeros(()), 1.0)
    for (labelled, _), others in beside.batches("train"):
        assert labelled[0].min() > 90 and others[0].min() > 90


def test_batches_of_another_form_are_refused():
    odd = Weakly(_Lists(moons(), torch.clone), torch.clone)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a training batch is list"):
        list(odd.batches("train"))


class _Lists(Weakly):
    def batches(self, split: str, *, model: Any = None) -> Any:
        return iter([[1, 2]])


@pytest.mark.parametrize("kind", [MeanTeacher, FreeMatch])
def test_a_killed_training_goes_on(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also the average, the thresholds, and which unlabelled examples come next."""
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    calls = [0, 10**9]

    def breaking(points: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        return points + 0.1 * torch.randn_like(points)

    technique = kind(training=Training(230, AdamW(1e-2)), weak=CHANGES["weak"], strong=breaking)
    task, model = moons().sealed(), network()
    given = material(model, task, technique.weak, technique.strong)

    def learnt() -> list[Tensor]:
        with seeded(5):
            return [one.detach() for one in technique.learnt(model, given, model).parameters()]

    whole = learnt()
    calls[:] = [0, 215]
    with resuming(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            learnt()
        calls[:] = [0, 10**9]
        again = learnt()
        assert calls[0] < 60, "it began from the start"
    assert all(map(torch.equal, whole, again))
