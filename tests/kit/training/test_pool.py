"""Unlabelled examples, who labels them, and weights of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring import kit
from shoestring.core import LabelBudgetError, LabelTask, Purchases, label_task, score, seeded
from shoestring.kit import Supervised, Training
from shoestring.kit.training.criterion import losses_of

X = torch.arange(12.0).view(6, 2)
Y = torch.tensor([0, 1, 0, 1, 0, 1])


def task(**settings: Any) -> Supervised:
    """Places 0 to 3 are unlabelled, 4 and 5 came with a label."""
    chosen: dict[str, Any] = {"unlabelled": X[:4], "answer": Y[:4], "batch_size": 4, **settings}
    return Supervised(train=(X[4:], Y[4:]), validation=(X, Y), test=(X, Y), **chosen)


def trained_on(one: Supervised) -> dict[float, int]:
    """The label of each example of a training pass, by its first number."""
    return {
        float(x): int(y)
        for (xs,), ys, *_ in one.batches("train")
        for x, y in zip(xs[:, 0], ys, strict=True)
    }


def test_what_is_bought_is_trained_on_and_the_task_stays():
    before = task()
    assert isinstance(before, LabelTask) and label_task(before) is before
    bought = before.buy([2, 0, 2])
    assert trained_on(before) == {8.0: 0, 10.0: 1} and trained_on(bought) == {
        8.0: 0,
        10.0: 1,
        4.0: 0,
        0.0: 0,
    }
    assert bought.known().tolist() == [4, 5, 2, 0] and bought.pool().tolist() == [1, 3]
    assert before.pool().tolist() == [0, 1, 2, 3] and before.known().tolist() == [4, 5]
    assert bought.buy([0, 2, 4]) is bought, "what is known already costs nothing"
    assert bought.buy(torch.tensor([3])).labels([3, 5, 0]).tolist() == [1, 1, 0]
    assert bought.score(lambda x: functional.one_hot(Y).float(), "validation") == 1.0


def test_inputs_and_labels_of_places():
    (inputs,) = task().inputs([5, 0, 0])
    assert torch.equal(inputs, X[[5, 0, 0]]) and torch.equal(task().inputs([4])[0], X[4:5])
    assert torch.equal(task().inputs(np.array([3, 1]))[0], X[[3, 1]])
    with pytest.raises(
        ValueError, match="index 3 has no label: buy it, or ask for indices that known"
    ):
        task().labels([4, 3])
    for ask in (task().inputs, task().labels, task().buy):
        with pytest.raises(ValueError, match="there is no index 6: the indices are 0 to 5"):
            ask([1, 6])


def test_nobody_is_asked_twice():
    asked: list[list[int]] = []

    def answer(indices: Any) -> Tensor:
        asked.append(list(indices))
        return Y[list(indices)]

    one = task(answer=answer)
    first, second = one.buy([1, 0]), one.buy([1, 2])
    assert asked == [[1, 0], [2]]
    assert trained_on(first) == {8.0: 0, 10.0: 1, 2.0: 1, 0.0: 0} and trained_on(second)[2.0] == 1


def test_the_limit_holds():
    one = task(limit=3)
    bought = one.buy([0, 1])
    assert (one.left(), bought.left(), task().left()) == (3, 1, None)
    with pytest.raises(
        LabelBudgetError, match="2 labels were asked for, and 1 more may be bought: ask for fewer"
    ):
        bought.buy([0, 2, 3])
    assert bought.buy([3, 1]).left() == 0 and bought.left() == 1
    run = Purchases()
    handed: Any = run.counted(one)
    handed.buy([0, 1])
    with pytest.raises(
        LabelBudgetError, match="4 labels in all were asked for and 3 may be bought"
    ):
        handed.buy([2, 3])


def test_without_anybody_to_ask_inputs_are_there_all_the_same():
    one = task(answer=None)
    assert (
        len(one.pool()) == 4 and one.left() == 0 and torch.equal(one.inputs(one.pool())[0], X[:4])
    )
    with pytest.raises(LabelBudgetError, match="there is nobody to ask"):
        one.buy([1])
    run = Purchases()
    assert run.counted(one) is one
    plain = Supervised(train=(X, Y), validation=(X, Y), test=(X, Y))
    assert (
        len(plain.pool()) == 0
        and plain.known().tolist() == list(range(6))
        and plain.buy([2]) is plain
    )


def test_labels_of_ones_own_are_free_and_may_still_be_bought():
    guessed = task(answer=1 - Y[:4]).with_labels([0, 0, 0], indices=[0, 1, 5])
    assert trained_on(guessed) == {0.0: 0, 2.0: 0, 10.0: 0} and guessed.known().tolist() == [
        0,
        1,
        5,
    ]
    assert guessed.pool().tolist() == [0, 1, 2, 3] and guessed.left() is None
    bought = guessed.buy([0])
    assert trained_on(bought) == {0.0: 1, 2.0: 0, 10.0: 0} and bought.pool().tolist() == [1, 2, 3]
    assert trained_on(task().with_labels([1, 1])) == {8.0: 1, 10.0: 1}


def test_weights_multiply_the_loss_of_each_example():
    weighted = task(batch_size=2).with_labels([0, 1], weights=[2.0, 0.5])
    model = nn.Linear(2, 2)
    ((inputs, targets, weights),) = list(weighted.batches("train"))
    losses = functional.cross_entropy(model(*inputs), targets, reduction="none")
    torch.testing.assert_close(
        weighted.loss(model, (inputs, targets, weights)), (losses * weights).mean()
    )
    ones = weighted.with_labels([0, 1], weights=[1.0, 1.0])
    with seeded(0):
        (batch,) = list(ones.batches("train"))
    torch.testing.assert_close(ones.loss(model, batch), ones.loss(model, batch[:2]))
    grown = weighted.buy([3])
    assert sorted(float(w) for *_, ws in grown.batches("train") for w in ws) == [0.5, 1.0, 2.0]
    assert len(next(iter(grown.batches("validation")))) == 2
    with seeded(0):
        assert isinstance(kit.train(kit.clone(model), weighted.sealed(), Training(2)), nn.Linear)


def test_what_was_given_or_handed_out_changes_nothing_later():
    labels, weights = torch.tensor([1, 1]), torch.tensor([1.0, 1.0])
    one = task().with_labels(labels, weights)
    labels.fill_(0), weights.fill_(0)
    one.known()[:] = 0
    assert one.known().tolist() == [4, 5] and one.labels([4, 5]).tolist() == [1, 1]
    assert [w.tolist() for *_, w in one.batches("train")] == [[1.0, 1.0]]


def test_an_example_of_no_weight_is_not_learned():
    one = task().with_labels([0, 1], weights=[0.0, 0.0])
    model = nn.Linear(2, 2)
    trained = kit.train(kit.clone(model), one, Training(3))
    assert torch.equal(trained.weight, model.weight)


def test_outputs_are_in_evaluation_mode_and_losses_one_per_example():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9)).train()
    one = task()
    outputs = one.outputs(model, one.inputs(range(6)))
    torch.testing.assert_close(outputs, model[0](X).detach())
    assert model.training and not outputs.requires_grad
    torch.testing.assert_close(
        one.losses(outputs, Y), functional.cross_entropy(outputs, Y, reduction="none")
    )
    halved = task(prepare=lambda x: x / 2)
    torch.testing.assert_close(
        halved.outputs(model, halved.inputs([1])), model[0](X[1:2] / 2).detach()
    )


@pytest.mark.parametrize(
    ("criterion", "outputs", "targets"),
    [
        (functional.cross_entropy, torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])),
        (functional.cross_entropy, torch.randn(5, 3), torch.rand(5, 3).softmax(1)),
        (
            functional.cross_entropy,
            torch.randn(5, 3, 2),
            torch.tensor([[0, 1], [2, -100], [1, 1], [0, 0], [2, 1]]),
        ),
        (
            nn.CrossEntropyLoss(torch.tensor([1.0, 5.0, 2.0])),
            torch.randn(5, 3),
            torch.tensor([0, 2, 1, 1, 0]),
        ),
        (functional.mse_loss, torch.randn(5, 4), torch.randn(5, 4)),
        (functional.binary_cross_entropy_with_logits, torch.randn(5), torch.rand(5)),
        (
            lambda out, y: ((out["a"] - y) ** 2).mean() + out["b"][0].mean(),
            {"a": torch.randn(5), "b": (torch.randn(5, 2),)},
            torch.randn(5),
        ),
    ],
    ids=[
        "classes",
        "soft labels",
        "many targets",
        "weighted classes",
        "squares",
        "yes or no",
        "a mapping",
    ],
)
def test_losses_are_those_of_batches_of_one(
    criterion: Callable[..., Any], outputs: Any, targets: Tensor
):
    def row(value: Any, at: int) -> Any:
        if isinstance(value, dict):
            return {key: row(one, at) for key, one in value.items()}
        return (
            tuple(row(one, at) for one in value) if isinstance(value, tuple) else value[at : at + 1]
        )

    losses = losses_of(criterion, outputs, targets)
    slowly = torch.stack([criterion(row(outputs, at), targets[at : at + 1]) for at in range(5)])
    torch.testing.assert_close(losses, slowly)


def test_several_inputs_and_none_labelled_at_first():
    z = torch.arange(6.0)
    one = Supervised(
        train=((X[:0], z[:0]), Y[:0]),
        validation=((X, z), Y),
        test=((X, z), Y),
        unlabelled=(X, z),
        answer=lambda indices: [int(Y[p]) for p in indices],
    )
    assert list(one.batches("train")) == [] and len(one.pool()) == 6
    with pytest.raises(ValueError, match="has no batches"):
        kit.train(nn.Linear(2, 2), one, Training(1))
    bought = one.buy([5, 1])
    ((inputs, targets),) = list(bought.batches("train"))
    assert [tuple(part.shape) for part in inputs] == [(2, 2), (2,)] and sorted(
        targets.tolist()
    ) == [1, 1]
    assert [tuple(part.shape) for part in one.inputs([0])] == [(1, 2), (1,)]


def test_a_changed_copy_keeps_what_was_bought():
    bought = replace(task(limit=2).buy([1]), batch_size=1)
    assert (
        bought.known().tolist() == [4, 5, 1] and bought.left() == 1 and trained_on(bought)[2.0] == 1
    )
    other = replace(bought, train=(X[:3], Y[:3]))
    assert other.known().tolist() == [4, 5, 6] and other.left() == 2
    assert (
        score(bought.sampled(2, 0), nn.Linear(2, 2)) in (0.0, 0.5, 1.0)
        and bought.sampled(2, 0).left() == 1
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"unlabelled": torch.ones(4, 3)}, r"the unlabelled inputs have shapes \[\[4, 3\]\]"),
        ({"unlabelled": (X, X)}, "give as many"),
        (
            {"unlabelled": torch.full((4, 2), torch.nan)},
            "the unlabelled inputs hold NaN or infinity",
        ),
        ({"answer": Y[:3]}, "there are 3 answers for 4 unlabelled examples"),
        ({"limit": -1}, "limit=-1: give how many labels"),
        ({"limit": 1.5}, "limit=1.5: give how many labels"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        task(**settings)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (
            lambda: task(answer=lambda indices: [1]).buy([0, 1]),
            r"the answer to 2 indices has shape \[1\]",
        ),
        (
            lambda: task(answer=lambda indices: [[1, 0]] * 2).buy([0, 1]),
            r"has shape \[2, 2\], and labels \[2\]",
        ),
        (lambda: task(answer=lambda indices: [np.nan] * 2).buy([0, 1]), "the labels hold NaN"),
        (lambda: task().with_labels([1]), "there are 1 labels for 2 indices"),
        (lambda: task().with_labels([1, 0], indices=[3, 3]), "no index twice"),
        (lambda: task().with_labels([1, 0], weights=[1.0]), r"weights of shape \[1\]"),
        (lambda: task().with_labels([1, 0], weights=[1.0, -1.0]), "0 or more"),
    ],
)
def test_bad_labels_are_refused(act: Callable[[], Any], says: str):
    with pytest.raises(ValueError, match=says):
        act()


def test_soft_answers_to_classes_are_refused_and_wider_numbers_are_not():
    soft = task(answer=lambda indices: torch.tensor([0.3, 0.6])[: len(indices)])
    with pytest.raises(ValueError, match=r"float32, and as the torch.int64 of the targets"):
        soft.buy([0, 1])
    assert task(answer=lambda indices: np.ones(len(indices))).buy([0]).labels([0]).tolist() == [1]
    values = Supervised(
        train=(X[4:], Y[4:].float()),
        validation=(X, Y.float()),
        test=(X, Y.float()),
        unlabelled=X[:4],
        answer=lambda indices: np.array([0.1, 0.2])[: len(indices)],
    )
    assert values.buy([0, 1]).labels([0, 1]).tolist() == pytest.approx([0.1, 0.2])


def test_a_replaced_limit_or_answer_counts_and_what_was_bought_stays():
    bought = task(limit=2).buy([0])
    assert bought.left() == 1
    more = replace(bought, limit=3)
    assert more.left() == 2 and more.pool().tolist() == [1, 2, 3]
    assert replace(bought, batch_size=2).left() == 1
    other = replace(bought, answer=1 - Y[:4], limit=None).buy([1])
    assert other.labels([0, 1]).tolist() == [int(Y[0]), 1 - int(Y[1])]
    with pytest.raises(ValueError, match="limit=-1"):
        replace(bought, limit=-1)
    anew = replace(bought, unlabelled=X[:2], answer=Y[:2], limit=None)
    assert anew.pool().tolist() == [0, 1] and anew.known().tolist() == [2, 3, 4]


def test_other_inputs_with_the_same_labels_are_what_the_pool_has():
    whole = task()
    (known,) = whole.inputs(whole.known())
    bought = whole.buy([1])
    for one in (whole, bought):
        (inputs, targets) = one.train
        changed = replace(one, train=(inputs + 1, targets))
        (found,) = changed.inputs(changed.known())
        assert torch.equal(found, inputs + 1)
        # the same examples keep what was bought
        (kept,) = replace(one, batch_size=1).inputs(one.known())
        assert torch.equal(kept, inputs)
    assert torch.equal(whole.inputs(whole.known())[0], known)


def test_a_pool_of_another_type_and_negative_classes_say_what_to_do():
    whole = task()
    with pytest.raises(ValueError, match=r"float64, and those to train on .*x\.float\(\)"):
        replace(whole, unlabelled=X[:4].double())
    inputs, targets = whole.train
    with pytest.raises(ValueError, match=r"unlabelled=x\[y < 0\]"):
        replace(whole, train=(inputs, torch.full_like(targets, -1)))
    replace(whole, train=(inputs, torch.full_like(targets, -100)))  # cross-entropy leaves it out
    assert whole.unlabelled is not None  # else it is nobody's half-labelled data
