"""The main job without labels: a model is compressed so that it answers as it did."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from shoestring import Agreement, load
from shoestring.core import Budget, score, seeded
from shoestring.kit import AdamW, SameClass, Supervised, Training, train
from shoestring.plan import compress, main_job


def images(task: Supervised) -> Tensor:
    return torch.cat([split[0] for split in (task.train, task.validation, task.test)])  # type: ignore[list-item]


@pytest.mark.slow
def test_a_classifier_is_compressed_without_a_label(model, task, tmp_path):
    agreement = Agreement(model, images(task), SameClass())
    outcome = compress(
        model, agreement, "size<=2KB, drop<=6%", tmp_path / "out.shoe", minutes=20 / 60
    )
    assert outcome.met and outcome.file.stat().st_size <= 2000 and outcome.score_before == 1
    assert (
        score(agreement, load(outcome.file)) == pytest.approx(outcome.trial.score)
        and outcome.trial.score >= 0.94
    )
    # It is as right as it was, though nobody told it what is right.
    assert score(task, load(outcome.file), "test") >= score(task, model, "test") - 0.06
    if outcome.taught:
        assert outcome.taught == "output as logits of classes along axis 1 (by same=)"


@pytest.mark.slow
def test_a_regression_is_compressed_and_the_report_says_what_was_taught(tmp_path):
    with seeded(0):
        layers = [
            layer for a, b in pairwise((8, 64, 64, 3)) for layer in (nn.Linear(a, b), nn.Tanh())
        ]
        network, x = nn.Sequential(*layers[:-1]), torch.randn(1000, 8)
        y = torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin(), 100 + 10 * x[:, 3]], 1)
        split = x, (y - y.mean(0)) / y.std(0)
        labelled = Supervised(
            train=split, validation=split, test=split, criterion=nn.functional.mse_loss
        )
        train(network, labelled, Training(500, AdamW(3e-3)))
    said: list[str] = []
    report = main_job(
        lambda: (network, Agreement(network, x)),
        Budget.parse("size<=3KB, drop<=20%"),
        tmp_path / "out.shoe",
        minutes=25 / 60,
        say=said.append,
    )
    assert report.outcome.score_before > 0.999 and report.score_before > 0.999
    assert report.outcome.trial.score == pytest.approx(report.score_after, abs=0.1)
    assert "taught                  output as numbers (nothing tells)" in report.as_text()
    assert report.as_json()["taught"] == "output as numbers (nothing tells)"
    assert report.met, report.as_text()


def test_two_sets_of_inputs_share_no_scores(model, task, tmp_path):
    for part in (slice(0, 600), slice(600, 1200)):
        agreement = Agreement(model, images(task)[part], SameClass())
        outcome = compress(
            model, agreement, "size<=6KB, drop<=20%", tmp_path / "out.shoe", minutes=1
        )
        assert outcome.met and score(agreement, load(outcome.file)) == pytest.approx(
            outcome.trial.score
        )
