"""Wrong labels by confident learning, on numbers that a reader can check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shoestring.label.audit.confident import (
    ByBoth,
    ByClass,
    ByConfidence,
    ByNoiseRate,
    NormalisedMargin,
    SelfConfidence,
    confident_joint,
    label_errors,
    tag_errors,
    vote_errors,
)

# Two classes. The mean probability of class 0 over its three examples is (0.9 + 0.8 + 0.1) / 3 =
# 0.6, and that of class 1 over its own is (0.9 + 0.7) / 2 = 0.8.
TABLE = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.3, 0.7]])
LABELS = np.array([0, 0, 0, 1, 1])


def made(count: int, classes: int, wrong: float, seed: int = 0):
    """Probabilities, given labels and true ones of examples that a good model sees."""
    draw = np.random.default_rng(seed)
    true = draw.integers(classes, size=count)
    given = np.where(draw.random(count) < wrong, draw.integers(classes, size=count), true)
    logits = draw.normal(size=(count, classes)) + 5 * np.eye(classes)[true]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), given, true


def test_the_joint_is_that_of_the_paper_by_hand():
    found = confident_joint(TABLE, LABELS)
    assert np.allclose(found.thresholds, [0.6, 0.8])
    assert found.certain.tolist() == [0, 0, 1, 1, -1]  # 0.7 is below 0.8: it is of neither
    assert found.counts.tolist() == [[2, 1], [0, 1]]
    assert np.allclose(found.joint, [[2, 1], [0, 2]])  # the row of label 1 has two examples


def test_the_wrong_label_is_found_and_what_it_should_be_is_said():
    for pruning in (ByNoiseRate(), ByClass(), ByBoth(), ByConfidence()):
        found = label_errors(TABLE, LABELS, pruning=pruning)
        (row,) = found.rows
        assert (row.index, row.given, row.suggested) == (2, 0, 1)
        assert row.quality == pytest.approx(0.1)
        assert found.share == pytest.approx(0.2)
        assert sorted(found.order) == [0, 1, 2, 3, 4] and found.order[0] == 2


@pytest.mark.parametrize("pruning", [ByNoiseRate(), ByClass(), ByBoth(), ByConfidence()])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_model_that_knows_nothing_calls_no_label_wrong(pruning, classes: int):
    draw = np.random.default_rng(0)
    labels = draw.integers(classes, size=200)
    uniform = np.full((200, classes), 1 / classes)
    constant = np.tile(draw.dirichlet(np.ones(classes)), (200, 1))
    for table in (uniform, constant):
        assert label_errors(table, labels, pruning=pruning).rows == ()
    ties = np.zeros((200, classes))
    ties[:, :2] = 0.5
    tied = label_errors(ties, labels % 2, pruning=pruning)
    assert tied.rows == ()
    some = ties[:20].copy(), labels[:20] % 2
    some[0][0] = np.eye(classes)[1 - some[1][0]]  # of this one it is sure
    assert {row.index for row in label_errors(*some, pruning=pruning).rows} <= {0}


def test_qualities_by_hand():
    assert np.allclose(SelfConfidence()(TABLE, LABELS), [0.9, 0.8, 0.1, 0.9, 0.7])
    assert np.allclose(NormalisedMargin()(TABLE, LABELS), [0.9, 0.8, 0.1, 0.9, 0.7])
    three = np.array([[0.5, 0.3, 0.2]])
    assert NormalisedMargin()(three, np.array([1])) == pytest.approx([(0.3 - 0.5 + 1) / 2])


@pytest.mark.parametrize("pruning", [ByNoiseRate(), ByClass(), ByBoth(), ByConfidence()])
def test_most_of_the_changed_labels_are_found_and_few_others(pruning):
    table, given, true = made(2000, 5, 0.1)
    found = label_errors(table, given, pruning=pruning)
    flags = {row.index for row in found.rows}
    wrong = set(np.flatnonzero(given != true).tolist())
    assert len(flags & wrong) > 0.85 * len(wrong) and len(flags & wrong) > 0.9 * len(flags)
    qualities = [row.quality for row in found.rows]
    assert qualities == sorted(qualities)
    assert all(true[row.index] == row.suggested for row in found.rows if row.index in wrong)


def test_by_noise_rate_against_a_slow_and_obvious_reference():
    table, given, _ = made(300, 4, 0.2, seed=3)
    joint = confident_joint(table, given).joint
    wanted = set()
    for label in range(4):
        rows = np.flatnonzero(given == label)
        for other in range(4):
            if other != label:
                by_margin = sorted(rows, key=lambda k: table[k, label] - table[k, other])
                wanted |= set(by_margin[: round(joint[label, other])])
    wanted = {int(k) for k in wanted if table[k].argmax() != given[k]}
    found = {row.index for row in label_errors(table, given).rows}
    assert len(found ^ wanted) <= 3  # remainders are rounded so that a row keeps its sum


def test_the_order_of_the_examples_does_not_matter():
    table, given, _ = made(500, 3, 0.15)
    order = np.random.default_rng(1).permutation(500)
    found = {row.index for row in label_errors(table, given).rows}
    shuffled = label_errors(table[order], given[order])
    assert {int(order[row.index]) for row in shuffled.rows} == found


def test_clean_labels_have_no_rows_and_a_class_without_examples_is_no_suggestion():
    table = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.8, 0.2, 0.0], [0.2, 0.8, 0.0]])
    found = label_errors(table, [0, 1, 0, 1])
    assert found.rows == () and found.confident.thresholds[2] == np.inf


def test_one_example_of_each_class_stays():
    table = np.array([[0.1, 0.9], [0.05, 0.95], [0.1, 0.9]])
    for pruning in (ByNoiseRate(), ByClass()):
        flagged = {row.index for row in label_errors(table, [0, 0, 1], pruning=pruning).rows}
        assert len(flagged & {0, 1}) <= 1


def test_tags_are_judged_by_token_and_a_sentence_by_its_worst():
    table, given, true = made(400, 4, 0.05)
    cuts = np.arange(8, 400, 8)
    sentences, tags = np.split(table, cuts), np.split(given, cuts)
    padded = [np.append(one, -100) for one in tags]
    rows = [np.vstack([one, np.full((1, 4), 0.25)]) for one in sentences]
    found = tag_errors(rows, padded)
    whole = label_errors(table, given)
    assert [(row.index * 8 + row.part, row.given) for row in found.rows] == [
        (row.index, row.given) for row in whole.rows
    ]
    assert np.allclose(found.quality, [one.min() for one in np.split(whole.quality, cuts)])
    wrong = set(np.flatnonzero(given != true).tolist())
    assert len(wrong & {row.index for row in whole.rows}) > 0.7 * len(wrong)


def test_votes_are_judged_one_by_one():
    table, true, _ = made(300, 3, 0.0)
    votes = np.stack([true, true, np.full(300, -1)], 1)
    votes[:20, 1] = (true[:20] + 1) % 3  # the second annotator errs twenty times
    found = vote_errors(table, votes)
    assert {(row.index, row.part) for row in found.rows} >= {(k, 1) for k in range(18)} or (
        sum(row.part == 1 and row.index < 20 for row in found.rows) >= 18
    )
    assert sum(row.part == 0 for row in found.rows) <= 3
    assert not np.isnan(found.quality).any()
    votes[5] = -1
    assert np.isnan(vote_errors(table, votes).quality[5])


@pytest.mark.parametrize(
    ("table", "labels", "says"),
    [
        ([[0.5, 0.5], [np.nan, 1]], [0, 1], "the probabilities of example 1 are NaN"),
        ([[0.5, 0.5], [2.0, 3.0]], [0, 1], "example 1 sum to 5.*softmax"),
        ([[0.5, 0.5], [-0.5, 1.5]], [0, 1], "example 1 has a probability out of 0 to 1"),
        ([[1.0], [1.0]], [0, 0], "a single class"),
        ([0.5, 0.5], [0, 1], r"shape \[2\]"),
        (np.zeros((0, 2)), [], "at least one"),
        ([[0.5, 0.5], [0.5, 0.5]], [0], r"labels have shape \[1\] for 2 examples"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 2], "example 1 has label 2.*nobody has seen"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, -1], "example 1 has label -1"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 0.5], "give integers"),
    ],
)
def test_bad_input_is_named(table, labels, says):
    with pytest.raises(ValueError, match=says):
        label_errors(table, labels)


def test_bad_parts_are_named():
    with pytest.raises(ValueError, match="2 sentences and labels of 1"):
        tag_errors([[[0.5, 0.5]], [[0.5, 0.5]]], [[0]])
    with pytest.raises(ValueError, match="sentence 0 has 1 tokens and 2 labels"):
        tag_errors([[[0.5, 0.5]]], [[0, 1]])
    with pytest.raises(ValueError, match="no sentences"):
        tag_errors([], [])
    with pytest.raises(ValueError, match="nobody voted"):
        vote_errors([[0.5, 0.5]], [[-1, -1]])
    with pytest.raises(ValueError, match="examples × annotators"):
        vote_errors([[0.5, 0.5]], [0])
