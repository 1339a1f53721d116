"""New networks in the planner: which fit a model, when one is tried, and what a reader is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo import classified

from shoestring.core import Budget, Cost, chain, score, seeded
from shoestring.distill import Replace
from shoestring.kit import AdamW, Training, Trial, load_into, train
from shoestring.kit.clock import Clock
from shoestring.meters import Operations
from shoestring.models import Ending, Images, NgramFamily, TextEncoder, VGGFamily
from shoestring.plan.arms import gentlest_by
from shoestring.plan.experiments import Experiments
from shoestring.plan.moves import Arm, Move, moves
from shoestring.plan.proposal import Proposal
from shoestring.plan.replacements import loading_of, made_by, replacements
from shoestring.plan.rounds import Rounds
from shoestring.plan.standing import Standing
from shoestring.plan.untrained import Untrained


def linear(*last: nn.Module, classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes), *last)


# -- which fit


def one_hot(answers: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy(answers, functional.one_hot(labels, 10).float())


def of_probabilities(answers: Tensor, labels: Tensor) -> Tensor:
    return functional.nll_loss(answers.log(), labels)


@pytest.mark.parametrize(
    ("last", "criterion", "ending"),
    [
        ((), functional.cross_entropy, Ending.LOGITS),
        ((nn.LogSoftmax(1),), functional.nll_loss, Ending.LOG_PROBABILITIES),
        ((nn.Softmax(1),), of_probabilities, Ending.PROBABILITIES),
        ((nn.Sigmoid(),), one_hot, Ending.SIGMOIDS),
    ],
    ids=["logits", "log-probabilities", "probabilities", "sigmoids"],
)
def test_images_get_networks_with_their_statistics_and_the_same_kind_of_answers(
    task, last, criterion, ending
):
    model = linear(*last)
    before = [parameter.clone() for parameter in model.parameters()]
    found = replacements(model, replace(task, criterion=criterion))
    assert [move.name for move in found] == [
        "Replace by VGGFamily",
        "Replace by ShuffleNetFamily",
    ]
    images = found[0].technique.by.images  # type: ignore[attr-defined]
    pixels = task.train[0][: 8 * task.batch_size]
    assert images.ending is ending and (images.side, images.classes) == (8, 10)
    assert images.mean[0] == pytest.approx(float(task.train[0].mean()), rel=0.1)
    assert images.deviation[0] == pytest.approx(float(pixels.std()), rel=0.1)
    assert all(map(torch.equal, before, model.parameters())) and model.training


def test_texts_get_the_classifier_of_their_ids():
    task = classified((6,), ids=30)
    (found,) = replacements(TextEncoder(30, classes=4, width=8, layers=1, heads=2, hidden=8), task)
    family = found.technique.by  # type: ignore[attr-defined]
    assert isinstance(family, NgramFamily) and (family.texts.ids, family.texts.classes) == (30, 4)


class Two(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        answers = self.last(images.flatten(1))
        return answers, answers


def test_what_does_not_fit_gets_none_and_nothing_fails(task):
    cases: dict[str, tuple[nn.Module, Any]] = {
        "numbers, no images": (nn.Linear(5, 4), classified((5,))),
        "two inputs": (nn.Bilinear(5, 5, 4), classified((5,), (5,))),
        "ids without a table": (nn.Linear(6, 4), classified((6,), ids=9)),
        "numbers are answered": (
            linear(),
            replace(task, criterion=lambda a, b: (a - b[:, None]).square().mean()),
        ),
        "two answers": (
            Two(),
            replace(task, criterion=lambda a, b: functional.cross_entropy(a[0], b % 4)),
        ),
        "one row of pixels": (
            nn.Sequential(nn.Flatten(), nn.Linear(8, 4)),
            classified((1, 1, 8)),
        ),
        "a loss that fails": (linear(), replace(task, criterion=lambda a, b: 1 / 0)),
    }
    assert [what for what, case in cases.items() if replacements(*case)] == []
    said: list[str] = []
    assert replacements(*cases["a loss that fails"], say=said.append) == []
    assert len(said) == 1 and "failed (ZeroDivisionError: division by zero)" in said[0]
    replacements(*cases["two inputs"], say=said.append)
    assert len(said) == 1  # where nothing fits, nothing failed


# -- how wide, and what a reader is told


@pytest.mark.parametrize("limit", [0.02, 0.1, 0.25, 0.7])
def test_the_widest_network_that_is_fast_enough_is_found_in_few_trials(limit: float):
    """Milliseconds as a small network's: some for every layer, the rest by the square of width."""
    asked: list[float] = []

    def excess(dial: float) -> float:
        asked.append(dial)
        width = Replace.strength.value(dial)
        return float(torch.log(torch.tensor((0.01 + 0.8 * width**2) / limit)))

    dial = gentlest_by(excess)
    assert dial is not None and -0.35 < excess(dial) <= 0 and len(asked) <= 6


def test_no_width_is_found_where_none_is_fast_enough_and_the_widest_where_all_are():
    assert gentlest_by(lambda dial: 1.0) is None and gentlest_by(lambda dial: None) is None
    assert gentlest_by(lambda dial: -9.0) == 0.0


def test_a_reader_is_told_how_the_file_is_loaded(task):
    move = replacements(linear(), task)[0]
    name = repr(chain(move.at(0.5, 10), *[one.at(0.0, 0) for one in moves()[-1:]]))
    made = made_by(name)
    assert made.startswith("VGGFamily(images=Images(mean=(") and made.endswith(")(0.4472)")
    text = loading_of(name, "small.shoe")
    assert f"shoestring.load_into('small.shoe', {made})" in text
    assert loading_of("chain(Rate(price=1))", "small.shoe") == made_by("chain()") == ""


# -- when


def rounds_of(model: nn.Module, task: Any, folder: Any, seconds: float) -> Rounds:
    experiments = Experiments(model, task, folder)
    cost = replace(experiments.original.cost, milliseconds=1.0)
    experiments.original = replace(experiments.original, cost=cost)
    budget = Budget.parse("latency<=0.5ms, drop<=1%")
    standing = Standing(experiments, budget, Clock(seconds), lambda trial: None)
    standing.best = experiments.original
    return Rounds(Untrained(standing), 0.01, 10)


def trained(rounds: Rounds, arm: Arm, lost: float, milliseconds: float = 0.4) -> tuple[Arm, Trial]:
    """A trial of a kind of chain, as if it had been trained for 100 steps."""
    trial = Trial(
        technique=arm.name,
        seed=0,
        cost=Cost(bytes=1000, milliseconds=milliseconds),
        score=rounds.experiments.base - lost,
    )
    proposal = Proposal(techniques=(), arm=arm.name, steps=100)
    rounds.aiming.made.setdefault(arm.name, []).append((trial, proposal))
    return arm, trial


@pytest.fixture
def rounds(model, task, tmp_path, monkeypatch) -> Rounds:
    made = rounds_of(model, task, tmp_path, 600.0)
    monkeypatch.setattr(made.aiming, "fast_enough", lambda arm: [0.8 for _ in arm.moves])
    monkeypatch.setattr(made.replacing, "_step", lambda arm, dials: 0.01)
    return made


def test_a_new_network_is_tried_where_what_was_thinned_fails(rounds):
    thinned = Arm((next(move for move in moves() if move.name == "Channels"),))
    (new,) = rounds.replacing.after([trained(rounds, thinned, lost=0.3)])
    assert new.name == "Replace by VGGFamily" and isinstance(new.moves[0].technique.by, VGGFamily)
    assert rounds.replacing.after([]) == [new], "also where nothing was fast enough"
    kept = trained(rounds, thinned, lost=0.005)
    assert rounds.replacing.after([kept]) == []
    nearly = trained(rounds, thinned, lost=0.012)
    assert rounds.replacing.after([nearly]) == [], "a longer training will do"


def test_none_is_tried_where_the_time_is_too_short_or_none_is_fast_enough(
    rounds, monkeypatch, model, task, tmp_path
):
    monkeypatch.setattr(rounds.replacing, "_step", lambda arm, dials: 9.0)
    assert rounds.replacing.after([]) == []
    monkeypatch.setattr(rounds.aiming, "fast_enough", lambda arm: None)
    assert rounds.replacing.after([]) == []
    soon = rounds_of(model, task, tmp_path, 1.0)
    monkeypatch.setattr(
        "shoestring.plan.replacing.replacements", lambda *given: pytest.fail("it looked for some")
    )
    assert soon.replacing.after([]) == []


def test_it_goes_on_where_it_is_expected_to_end_ahead(rounds, monkeypatch):
    """It has lost more than what was thinned after as many steps, and learns faster."""
    thinned = Arm((next(move for move in moves() if move.name == "Channels"),))
    (new,) = rounds.replacing.after([])
    for lost, first in ((0.12, new), (0.6, thinned)):
        results = [trained(rounds, thinned, lost=0.1), trained(rounds, new, lost=lost)]
        assert rounds._promising(results, 0.95)[0] is first
    assert rounds._promising([trained(rounds, thinned, lost=0.1)], 0.95) == [thinned]


def test_rounds_try_it_in_the_second_and_go_on_with_the_better(rounds, monkeypatch):
    thinned, other = (Arm((move,)) for move in moves() if move.name in ("Channels", "LowRank"))
    tried: list[str] = []

    def aimed(arm: Arm, share: float, target: float | None) -> Trial:
        tried.append(arm.name)
        is_new = isinstance(arm.moves[0].technique, Replace)
        return trained(rounds, arm, lost=0.02 if is_new else 0.3)[1]

    monkeypatch.setattr(rounds.aiming, "train", aimed)
    monkeypatch.setattr(rounds, "_as_many_as_fit", lambda share, most: most)
    rounds._fewer_for_longer([thinned, other])
    assert tried == [
        *(arm.name for arm in (thinned, other)),
        *(thinned.name, "Replace by VGGFamily", other.name),
        "Replace by VGGFamily",
    ]


class Deaf(nn.Module):
    """Two convolutions of which nothing can be removed: forward() has the weights and the sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.ParameterList([torch.randn(64, 1, 3, 3) / 3, torch.randn(64, 64, 3, 3)])
        self.last = nn.Linear(64 * 64, 10)

    def forward(self, images: Tensor) -> Tensor:
        for weight in self.weight:
            images = functional.conv2d(images, weight, padding=1).relu() / 8
        return self.last(images.reshape(-1, 4096))


@pytest.mark.slow
def test_a_search_delivers_a_new_network_where_nothing_can_be_thinned(task, tmp_path, monkeypatch):
    with seeded(0):
        model = train(Deaf(), task.sealed(), Training(150, AdamW(3e-3))).eval()
    experiments = Experiments(model, task, tmp_path, [Operations()])
    budget = Budget.parse("operations<=10%").against(experiments.came_in)
    said: list[str] = []
    standing = Standing(experiments, budget, Clock(1e4), lambda trial: None, said.append)
    standing.begin([experiments.original])
    rounds = Rounds(Untrained(standing), 0.01, 22)
    monkeypatch.setattr(rounds.aiming, "steps", lambda arm, share: 100)
    rounds.train()
    best = standing.best
    assert best is not None and standing.fits(best) and best.score > 0.6
    assert best.technique.startswith("chain(Replace(width=") and any("is tried" in t for t in said)
    (tmp_path / "x.shoe").write_bytes(experiments.bytes_of(best))
    names = {"VGGFamily": VGGFamily, "Images": Images, "Ending": Ending}
    again = load_into(tmp_path / "x.shoe", eval(made_by(best.technique), names))
    assert score(task, again) == pytest.approx(best.score, abs=0.01)


def test_a_training_that_was_stopped_is_known_again(rounds, monkeypatch):
    assert rounds.replacing.resumed() == []
    note = {"arm": "Replace by VGGFamily + PostTraining"}
    monkeypatch.setattr("shoestring.plan.replacing.open_proposals", lambda folder: [note])
    assert [arm.name.split(" + ")[0] for arm in rounds.replacing.resumed()] == [
        "Replace by VGGFamily",
        "Replace by ShuffleNetFamily",
    ]


def test_moves_are_told_apart_by_their_family(task):
    names = [move.name for move in replacements(linear(), task)]
    assert len(set(names)) == len(names) == 2
    own = Move(Replace(by=linear))  # type: ignore[arg-type]
    assert own.name == "Replace by linear"
