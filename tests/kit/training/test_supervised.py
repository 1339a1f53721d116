"""Inputs in, targets out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoestring.core import SealedError, Vary, score
from shoestring.kit import Supervised, accuracy


def task(examples: int = 5, **settings) -> Supervised:
    x, y = torch.arange(examples * 2.0).view(examples, 2), torch.arange(examples) % 2
    return Supervised(train=(x, y), validation=(x, y), test=(x, y), batch_size=2, **settings)


def test_score_is_the_mean_merit():
    assert accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])).tolist() == [1, 0]
    chosen = task()

    def first(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]] * len(x))

    assert chosen.score(first, "validation") == 3 / 5
    assert chosen.standard_error(first, "validation") == pytest.approx((0.6 * 0.4 / 5) ** 0.5)


def test_batches_are_shuffled_for_training_only_and_seeded():
    chosen = task(8)
    assert [y.tolist() for _, y in chosen.batches("validation")] == [[0, 1]] * 4
    torch.manual_seed(0)
    first = [x[0].flatten().tolist() for x, _ in chosen.batches("train")]
    torch.manual_seed(0)
    assert first == [x[0].flatten().tolist() for x, _ in chosen.batches("train")]
    assert first != [x[0].flatten().tolist() for x, _ in chosen.batches("train")]
    assert sorted(one for batch in first for one in batch) == list(range(16))


def test_no_training_batch_is_of_one_example():
    assert [len(y) for _, y in task(5).batches("train")] == [2, 3]
    assert [len(y) for _, y in task(5).batches("validation")] == [2, 2, 1]
    assert [len(y) for _, y in task(1).batches("train")] == [1]


def test_axes_of_each_input():
    split = ((torch.ones(4, 3, 2), torch.zeros(4, 5)), torch.tensor([0, 1, 1, 1]))
    splits = dict.fromkeys(("train", "validation", "test"), split)
    args, _ = Supervised(**splits, axes=({1: "T"}, {})).example()
    assert [one.axes for one in args] == [{0: "N", 1: "T"}, {0: "N"}]
    args, _ = Supervised(**splits, axes={1: "T"}).example()
    assert [one.axes for one in args] == [{0: "N", 1: "T"}, {0: "N", 1: "T"}]
    with pytest.raises(
        ValueError, match="axes has 1 mappings and supervised has 2 inputs: give one for each"
    ):
        Supervised(**splits, axes=[{1: "T"}])
    with pytest.raises(
        ValueError,
        match=r"axes names axis 3 of input 0 of supervised, of shape \[4, 3, 2\]: give axes from "
        r"1 on",
    ):
        Supervised(**splits, axes=({3: "T"}, {}))
    with pytest.raises(TypeError, match="axes=None: give one mapping"):
        Supervised(**splits, axes=None)  # type: ignore[arg-type]


def test_several_inputs_and_outputs():
    x, z, y = torch.ones(4, 3, 2), torch.zeros(4), torch.tensor([0, 1, 1, 1])
    split = ((x, z), y)
    chosen = Supervised(
        train=split,
        validation=split,
        test=split,
        batch_size=3,
        axes={1: "T"},
        merit=lambda outputs, targets: accuracy(outputs["logits"][0], targets),
    )
    (args, kwargs) = chosen.example()
    assert kwargs == {} and [one.axes for one in args] == [{0: "N", 1: "T"}, {0: "N"}]
    assert isinstance(args[0], Vary) and args[0].tensor.shape == (2, 3, 2)
    seen = []

    def predict(a: torch.Tensor, b: torch.Tensor) -> dict:
        seen.append((a.shape, b.shape))
        return {"logits": [torch.tensor([[0.0, 1.0]] * len(b))]}

    assert score(chosen, predict) == 3 / 4
    assert seen == [((4, 3, 2), (4,))]


X = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("outputs", "targets", "advice", "merit"),
    [
        (
            X[:, :1],
            X[:, :1],
            "for numbers",
            lambda out, y: -((out.reshape(y.shape) - y) ** 2).mean((1,)),
        ),
        (X[:, 0], X[:, 0], "for numbers", lambda out, y: -((out.reshape(y.shape) - y) ** 2)),
        (
            X[:, :1],
            (X[:, :1] > 0).float(),
            "for yes or no",
            lambda out, y: ((out > 0).reshape(y.shape) == y).mean((1,)),
        ),
        (
            X[:, :1],
            (X[:, 0] > 0).long(),
            "for yes or no",
            lambda out, y: (out > 0).reshape(y.shape) == y,
        ),
        (X[:, :1], X[:, 0] > 0, "for yes or no", lambda out, y: (out > 0).reshape(y.shape) == y),
        (
            IMAGES,
            (IMAGES > 0).float(),
            "for yes or no",
            lambda out, y: ((out > 0).reshape(y.shape) == y).mean((1, 2, 3)),
        ),
        (
            X,
            X.softmax(-1),
            "for labels that are shares",
            lambda out, y: out.argmax(-1) == y.argmax(-1),
        ),
        (
            torch.cat([IMAGES, -IMAGES, IMAGES * 0 - 9], 1),
            (IMAGES[:, 0] < 0).long(),
            "classes along axis 1",
            lambda out, y: (out.argmax(1) == y).mean((1, 2)),
        ),
    ],
    ids=[
        "numbers N×1",
        "numbers N",
        "yes or no",
        "yes or no, whole numbers",
        "yes or no, bools",
        "mask",
        "shares",
        "segmentation",
    ],
)
def test_accuracy_refuses_what_it_does_not_fit_and_the_merit_that_it_names_does(
    outputs, targets, advice, merit
):
    split = (X if outputs.ndim < 3 else IMAGES, targets)
    given = {"train": split, "validation": split, "test": split}
    with pytest.raises(
        ValueError, match=f"accuracy, the default score, does not fit outputs .*{advice}"
    ):
        score(Supervised(**given), lambda x: outputs)
    chosen = Supervised(**given, merit=merit)
    best = 0 if "numbers" in advice else 1
    assert score(chosen, lambda x: outputs) == best
    assert score(chosen, lambda x: -outputs.flip(-1)) < best


def test_as_many_classes_as_steps_are_ambiguous_and_nan_is_no_answer():
    steps = torch.randn(24, 5, 5)
    split = (X, steps.argmax(1))
    chosen = Supervised(train=split, validation=split, test=split)
    with pytest.raises(
        ValueError,
        match=r"does not fit .*argmax\(1\) == y\).mean\(\(1,\)\), for classes along axis 1, as "
        r"cross_entropy has them",
    ):
        score(chosen, lambda x: steps)
    split = (X, torch.zeros(24, dtype=torch.long))
    zeros = Supervised(train=split, validation=split, test=split)
    assert score(zeros, lambda x: torch.full((len(x), 3), torch.nan)) == 0


def test_a_merit_of_another_shape_is_refused():
    y = (X[:, :1] > 0).float()
    given = {"train": (X, y), "validation": (X, y), "test": (X, y)}
    with pytest.raises(
        ValueError,
        match=r"the merit gives shape \[24, 24\] for targets \[24, 1\]: a number for each example",
    ):
        score(Supervised(**given, merit=lambda out, y: (out > 0) == y), lambda x: x[:, 0])
    with pytest.raises(ValueError, match=r"the merit gives shape \[576\] for targets \[24, 1\]"):
        score(
            Supervised(**given, merit=lambda out, y: ((out > 0) == y).reshape(-1)),
            lambda x: x[:, 0],
        )
    with pytest.raises(ValueError, match=r"the merit gives one number .* give it as metric="):
        score(
            Supervised(**given, merit=lambda out, y: float(((out > 0) == y).mean())),
            lambda x: x[:, :1],
        )
    assert (
        score(Supervised(**given, merit=lambda out, y: (out > 0) == y), lambda x: x[:, :1]) == 1
    )  # one for each target


def test_a_metric_is_of_the_whole_split():
    y = (
        (X[:, 0] > 1).long().repeat(50)
        # 1,200, so that there are several batches, and the rare class is not in the same share of
        # each
    )
    x = X.repeat(50, 1)

    def macro_f1(outputs, targets):
        chosen = outputs["logits"].argmax(-1)
        found = [
            2
            * ((chosen == c) & (targets == c)).sum()
            / ((chosen == c).sum() + (targets == c).sum())
            for c in (0, 1)
        ]
        return np.mean(found)

    def predict(x):
        return {"logits": torch.stack([0.5 - x[:, 0], x[:, 0] - 0.5], 1)}

    chosen = Supervised(train=(x, y), validation=(x, y), test=(x, y), metric=macro_f1)
    assert score(chosen, predict) == pytest.approx(macro_f1(predict(x), y))
    assert chosen.merits(predict, "validation") is None
    by_hand = np.std(
        [macro_f1(predict(x[at]), y[at]) for at in torch.randint(len(y), (200, len(y)))]
    )
    assert chosen.standard_error(predict, "validation") == pytest.approx(by_hand, rel=0.4)
    with pytest.raises(
        ValueError, match=r"the metric gives shape \[1200\], and one number is wanted"
    ):
        score(
            Supervised(train=(x, y), validation=(x, y), test=(x, y), metric=lambda out, y: y),
            predict,
        )
    with pytest.raises(ValueError, match="has a merit and a metric"):
        Supervised(
            train=(x, y), validation=(x, y), test=(x, y), metric=macro_f1, merit=lambda out, y: y
        )


def test_bad_data_is_refused():
    x, y = torch.ones(4, 2), torch.zeros(4)
    good = (x, y)
    with pytest.raises(ValueError, match="the test split of mine is empty"):
        Supervised(train=good, validation=good, test=(x[:0], y[:0]), name="mine")
    with pytest.raises(
        ValueError, match="the train split of supervised has 4 inputs and 3 targets"
    ):
        Supervised(train=(x, y[:3]), validation=good, test=good)
    with pytest.raises(
        ValueError, match="the validation split of supervised holds NaN or infinite inputs"
    ):
        Supervised(train=good, validation=(x / 0, y), test=good)
    with pytest.raises(
        ValueError, match="the train split of supervised holds NaN or infinite targets"
    ):
        Supervised(train=(x, y / 0), validation=good, test=good)
    with pytest.raises(ValueError, match="there is no split 'dev'"):
        task().score(lambda x: x, "dev")


def test_sealed_task_has_no_test_split():
    with pytest.raises(SealedError):
        list(task().sealed().batches("test"))


def test_augmentation_changes_training_inputs_only():
    chosen = task(4, augment=lambda x: -x)
    assert all((x[0] <= 0).all() for x, _ in chosen.batches("train"))
    assert all((x[0] >= 0).all() for x, _ in chosen.batches("validation"))


def test_inputs_are_made_ready_in_every_split_before_they_are_changed():
    chosen = task(4, prepare=lambda x: x[:, :1], augment=lambda x: -x)
    assert sorted(float(one) for x, _ in chosen.batches("train") for one in x[0].flatten()) == [
        -6,
        -4,
        -2,
        0,
    ]
    assert [x[0].tolist() for x, _ in chosen.batches("validation")] == [[[0], [2]], [[4], [6]]]
    widths = []

    def predict(x: torch.Tensor) -> torch.Tensor:
        widths.append(x.shape[1])
        return torch.cat([x, -x], 1)

    chosen.score(predict, "test")
    assert widths == [1]
    (example,), _ = chosen.example()
    assert example.tensor.shape == (2, 2)  # what a user may give


def test_without_a_test_split_nothing_can_be_proved():
    x, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    task = Supervised(train=(x, y), validation=(x, y), name="mine")
    assert not task.has_test and Supervised(train=(x, y), validation=(x, y), test=(x, y)).has_test
    with pytest.raises(ValueError, match="mine has no test split: give it one"):
        list(task.batches("test"))


def test_inputs_and_targets_of_a_training_batch_change_together():
    inputs = torch.arange(12.0).view(6, 2)
    splits = dict.fromkeys(("train", "validation", "test"), (inputs, inputs[:, 0]))
    task = Supervised(
        **splits, batch_size=4, augment=lambda x: x + 1, together=lambda x, y: (-x, y * 2)
    )
    rows = {}
    for (seen,), wanted in task.batches("train"):
        rows |= {float(a): (float(b), float(c)) for (a, b), c in zip(seen, wanted, strict=True)}
    assert rows == {-(x + 1): (-(x + 2), 2 * x) for x in inputs[:, 0].tolist()}
    ((same,), wanted), *_ = task.batches("validation")
    assert torch.equal(same, inputs[:4]) and torch.equal(wanted, inputs[:4, 0])
