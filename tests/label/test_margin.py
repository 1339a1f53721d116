"""Margin, and what it shares with the techniques that choose by doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from label_pools import Echo, pool_of, probabilities, random_pool
from torch import Tensor, nn

from shoestring.core import LabelBudgetError, apply, label_task, seeded
from shoestring.core.kinds import BinaryLogits, ClassLogits, Numbers
from shoestring.kit import SkippedWarning, Supervised, Training
from shoestring.label import (
    Badge,
    Balanced,
    ByLength,
    Clustered,
    FarApart,
    LeastConfident,
    Listed,
    Margin,
    PredictiveEntropy,
    Stochastic,
    Worthiest,
    purchases,
)

PLAIN = Margin(batch=Worthiest())


def test_by_hand():
    task = pool_of(probabilities((0.8, 0.1, 0.1), (0.5, 0.45, 0.05), (0.4, 0.3, 0.3)))
    # margins of 0.7, 0.05 and 0.1
    assert PLAIN.choose(Echo(3), task, 3).tolist() == [1, 2, 0]
    assert LeastConfident(batch=Worthiest()).choose(Echo(3), task, 3).tolist() == [2, 1, 0]
    assert PredictiveEntropy(batch=Worthiest()).choose(Echo(3), task, 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize("technique", [Margin, LeastConfident, PredictiveEntropy])
def test_against_a_slow_reference(technique: Any):
    def worth(row: list[float]) -> float:
        ranked = sorted(row, reverse=True)
        if technique is Margin:
            return 1 - (ranked[0] - ranked[1])
        if technique is LeastConfident:
            return 1 - ranked[0]
        return -sum(one * float(np.log(one)) for one in row)

    for number in range(5):
        task = random_pool(1203, 4, seed=number)  # three chunks
        said = task.inputs(task.pool())[0].double().softmax(1).tolist()
        wanted = sorted(range(1203), key=lambda row: -worth(said[row]))[:20]
        assert technique(batch=Worthiest()).choose(Echo(4), task, 20).tolist() == wanted


def test_a_bought_label_is_not_chosen_again():
    task = pool_of(probabilities((0.5, 0.4, 0.1), (0.4, 0.35, 0.25), (0.9, 0.05, 0.05)))
    bought = task.buy([1])
    assert PLAIN.choose(Echo(3), bought, 2).tolist() == [0, 2]


@pytest.mark.parametrize("batch", [Clustered(), FarApart()])
def test_a_batch_is_not_of_near_copies(batch: Any):
    """Fifty copies of the most doubtful example, and twenty others that are nearly as doubtful."""
    with seeded(0):
        others = 1.0 + 0.5 * torch.randn(20, 3)
        copies = torch.zeros(50, 3) + 1e-5 * torch.randn(50, 3)
    task = pool_of(torch.cat([copies, others]))
    with seeded(0):
        chosen = Margin(batch=batch).choose(Echo(3), task, 10)
    assert sum(chosen < 50) <= 2 and len(set(chosen.tolist())) == 10
    assert sum(PLAIN.choose(Echo(3), task, 10) < 50) == 10, "and without a batch it is"


@pytest.mark.parametrize("batch", [Clustered(), FarApart(), Stochastic()])
def test_copies_alone_still_give_a_whole_batch(batch: Any):
    task = pool_of(torch.ones(30, 3))
    with seeded(0):
        chosen = Margin(batch=batch).choose(Echo(3), task, 12)
    assert len(set(chosen.tolist())) == 12


def test_stochastic_draws_by_worth():
    sure, torn = (0.98, 0.01, 0.01), (0.5, 0.49, 0.01)
    task = pool_of(probabilities(*[sure] * 50, *[torn] * 50))
    with seeded(0):
        drawn = Margin(batch=Stochastic()).choose(Echo(3), task, 20)
        even = Margin(batch=Stochastic(power=0.0)).choose(Echo(3), task, 60)
    assert sum(drawn >= 50) >= 18 and 20 <= sum(even >= 50) <= 40


class Tags(nn.Module):
    """Logits N×T×3 of tokens, by a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 3)
        self.last = nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.last.weight)
        with torch.no_grad():
            self.table.weight.copy_(5 * torch.eye(6, 3))  # 1 and 2 are sure; 0 and 3 to 5 are not
            self.table.weight[0] = 0

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(self.table(ids))


def _tagging(*sentences: list[int]) -> Supervised:
    ids = torch.tensor(sentences)
    return Supervised(
        train=(ids[:1], ids[:1] * 0),
        validation=(ids, ids * 0),
        test=(ids, ids * 0),
        unlabelled=ids,
        answer=ids * 0,
        kinds=ClassLogits(2),
        criterion=lambda outputs, tags: nn.functional.cross_entropy(
            outputs.flatten(0, 1), tags.flatten()
        ),
    )


def test_padding_of_a_sentence_is_worth_nothing():
    # 3 is a token about which the model knows nothing, as it does about padding
    task = _tagging([1, 1, 1, 0], [1, 3, 1, 1], [1, 0, 0, 0], [3, 3, 0, 0])
    assert PLAIN.choose(Tags(), task, 2).tolist() == [3, 1]
    # The first two differ by two places of certainty only.
    assert PLAIN.choose(Tags(), task, 4).tolist() == [3, 1, 0, 2]


def test_a_long_sentence_costs_more_and_is_worth_more():
    task = _tagging([3, 1, 1, 1], [3, 0, 0, 0], [1, 1, 0, 0])
    assert ByLength().of(task, [0, 1, 2]).tolist() == [4, 1, 2]
    priced = replace(PLAIN, prices=ByLength())
    assert priced.choose(Tags(), task, 1).tolist() == PLAIN.choose(Tags(), task, 1).tolist() == [0]
    listed = replace(PLAIN, prices=Listed((1000.0, 1.0, 1.0)))
    assert listed.choose(Tags(), task, 1).tolist() == [1]


def test_a_long_text_with_one_class_is_worth_less_for_its_price():
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(1, 2)
            with torch.no_grad():
                self.last.weight.copy_(torch.tensor([[0.5], [-0.5]]))
                self.last.bias.zero_()

        def forward(self, ids: Tensor) -> Tensor:
            return self.last((ids == 2).sum(1, keepdim=True).float())

    # margins of 0 and of 0.46: the long one is more doubtful, and five times as dear
    task = pool_of(torch.tensor([[1, 1, 1, 1, 1], [2, 0, 0, 0, 0]]), classes=2)
    assert PLAIN.choose(Counts(), task, 1).tolist() == [0]
    assert replace(PLAIN, prices=ByLength()).choose(Counts(), task, 1).tolist() == [1]


def test_pictures_with_a_class_for_each_pixel():
    unsure, sure = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    sure[:, 0] = 9
    model = nn.Conv2d(2, 2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.eye(2)[:, :, None, None])
    inputs = torch.cat([sure, unsure, sure])
    masks = torch.zeros(3, 4, 4).long()
    task = Supervised(
        train=(inputs[:1], masks[:1]),
        validation=(inputs, masks),
        test=(inputs, masks),
        unlabelled=inputs,
        answer=masks,
        merit=lambda out, y: (out.argmax(1) == y).mean((1, 2)),
    )
    assert Margin().choose(model, task, 1).tolist() == [1]


def test_yes_or_no_by_one_output():
    task = pool_of(torch.tensor([[4.0], [0.1], [-3.0]]), classes=2, kinds=BinaryLogits())
    assert PLAIN.choose(Echo(1), task, 3).tolist() == [1, 2, 0]


def test_classes_are_balanced_where_asked():
    """Two classes of three are rare: the model says 0 of most examples."""
    rows = [(0.5, 0.3, 0.2)] * 20 + [(0.3, 0.4, 0.3)] * 6 + [(0.3, 0.25, 0.45)] * 6
    task = pool_of(probabilities(*rows), known=2)  # one label of 0, one of 1
    with seeded(0):
        chosen = replace(PLAIN, classes=Balanced()).choose(Echo(3), task, 7)
    assert np.bincount([int(np.argmax(rows[one])) for one in chosen]).tolist() == [2, 2, 3]


def test_the_loop_buys_what_was_asked_for_in_rounds():
    task = random_pool(60, known=5, limit=30)
    technique = Margin(labels=20, rounds=3, training=Training(3))
    with seeded(0):
        seen = [len(label_task(now).known()) for _, now in purchases(technique, Echo(3), task)]
    # the first 5 are copies of pool examples with indices of their own
    assert seen == [5, 11, 18, 25]


def test_the_loop_pays_no_more_than_it_may():
    task = random_pool(60, known=5)
    prices = Listed(tuple(1.0 + number % 3 for number in range(60)))
    technique = Margin(labels=30, rounds=3, training=Training(2), prices=prices)
    with seeded(0):
        *_, (_, last) = purchases(technique, Echo(3), task)
    bought = [one for one in last.known() if one < 60]
    paid = float(prices.of(task, bought).sum())
    assert 24 <= paid <= 30


@pytest.mark.parametrize("technique", [Margin, Badge, LeastConfident])
def test_where_a_few_are_dear_the_budget_is_spent(technique: Any):
    """One in ten costs 50: the others are a fifth of the mean price."""
    task = random_pool(400, known=5)
    prices = Listed(tuple(50.0 if number % 10 == 3 else 1.0 for number in range(400)))
    buyer = technique(labels=200, rounds=6, training=Training(2), prices=prices)
    with seeded(0):
        *_, (_, last) = purchases(buyer, Echo(3), task)
    paid = float(prices.of(task, [one for one in last.known() if one < 400]).sum())
    assert paid == 200


def test_a_round_in_which_all_is_too_dear_says_so():
    task = random_pool(20, known=5)
    dear = Margin(labels=20, rounds=4, training=Training(2), prices=Listed((7.0,) * 20))
    with seeded(0), pytest.warns(SkippedWarning) as said:
        *_, (_, last) = purchases(dear, Echo(3), task)
    assert len(last.known()) == 5 + 2
    assert "round 1 buys nothing with 5 of the 20 that are left, since the cheapest label" in (
        first := str(said[0].message)
    )
    assert "of the 20 in the pool costs 7: give fewer rounds= or more labels=" in first
    everything = replace(dear, labels=1000, rounds=2)
    with seeded(0), pytest.warns(SkippedWarning, match="round 2 .* no example is left in the pool"):
        *_, (_, last) = purchases(everything, Echo(3), task.buy(range(18)))
    assert len(last.known()) == 25


def test_a_pool_without_any_label():
    task = random_pool(40)
    with seeded(0):
        model = apply(Margin(labels=10, rounds=2, training=Training(2)), Echo(3), task)
    assert torch.isfinite(model(torch.ones(1, 3))).all()


def test_bad_input():
    task = random_pool(10, known=3)
    for name, value in (("labels", 0), ("rounds", 0), ("labels", True), ("labels", 1.5)):
        with pytest.raises(ValueError, match=f"{name}={value!r}: give an integer, 1 or more"):
            Margin(**{name: value})
    for count in (0, 11, -1):
        with pytest.raises(ValueError, match=f"{count} examples were asked for, and the pool has"):
            Margin().choose(Echo(3), task, count)
    with pytest.raises(LabelBudgetError, match="labels=11 are to be bought, and the task sells 10"):
        Margin(labels=11)(Echo(3), task)
    with pytest.raises(LabelBudgetError, match="the task sells 4 more"):
        Margin(labels=5)(Echo(3), random_pool(10, known=3, limit=4))
    everything = task.buy(range(10))
    with pytest.raises(ValueError, match="the pool of supervised is empty"):
        Margin().choose(Echo(3), everything, 1)
    with pytest.raises(ValueError, match=r"factor of a batch is 0\.5"):
        Clustered(0.5)
    with pytest.raises(ValueError, match="power of a batch is -1"):
        Stochastic(-1)


def test_answers_that_are_no_numbers_or_no_classes():
    task = random_pool(10)
    broken = Echo(3)
    with torch.no_grad():
        broken.last.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="answers NaN for example 0"):
        Margin().choose(broken, task, 2)
    with pytest.raises(ValueError, match="have one class, of which a model is always sure"):
        Margin().choose(Echo(3, 1), task, 2)
    with pytest.raises(ValueError, match=r"gives no classes \(output: numbers\)"):
        Margin().choose(Echo(3), replace(task, kinds=Numbers()), 2)


def test_prices_that_do_not_fit():
    task = random_pool(10, known=3)
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"the price of index 1 is {value}"):
            Listed((1.0, value))
    for count in (9, 20):
        priced = Margin(prices=Listed((1.0,) * count))
        with pytest.raises(ValueError, match=f"there are {count} prices and 13 examples"):
            priced.choose(Echo(3), task, 2)
    with pytest.raises(ValueError, match="counts the tokens of integer inputs"):
        Margin(prices=ByLength()).choose(Echo(3), task, 2)


def test_one_class_for_a_whole_sentence_is_needed_to_balance():
    task = _tagging([1, 1, 1, 0], [1, 3, 1, 1], [1, 0, 0, 0], [3, 3, 0, 0])
    with pytest.raises(ValueError, match="these have several places"):
        replace(PLAIN, classes=Balanced()).choose(Tags(), task, 2)
