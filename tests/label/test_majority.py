"""Counting votes, in the one place that does it."""

from __future__ import annotations

import numpy as np
import pytest

from shoestring.label.audit import majority as of_annotators
from shoestring.label.majority import leading, majority, most_said
from shoestring.label.weak import MajorityVote, Votes


def test_shares_by_hand():
    found = majority([[0, 0, 1], [2, -1, -1], [-1, -1, -1]], 3)
    np.testing.assert_allclose(found[:2], [[2 / 3, 1 / 3, 0], [0, 0, 1]])
    assert np.isnan(found[2]).all() and of_annotators is majority
    with pytest.raises(ValueError, match="nobody has seen"):
        majority([[0, 3]], 3)


def test_the_vote_of_rules_is_that_of_the_classes_in_the_lead():
    matrix = ((0, 0, 1), (0, 1, -1), (-1, -1, -1))
    votes = Votes(matrix=matrix, rules=("a", "b", "c"), classes=("x", "y"))
    wanted = [[1, 0], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_allclose(MajorityVote().probabilities(votes), wanted)
    np.testing.assert_allclose(leading(np.array([[2.0, 1.0], [1.0, 1.0], [0.0, 0.0]])), wanted)


def test_the_last_of_a_tie_counts():
    assert most_said(["a", "b", "a"]) == "a"
    assert most_said(["a", "b"]) == "b" and most_said(["b", "a", "c", "a", "c"]) == "c"
