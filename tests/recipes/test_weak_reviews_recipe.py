"""The recipe of weak labels, on made texts; and its rules on sentences that anybody can check."""

from __future__ import annotations

from pathlib import Path

from made_rules import RULES, few_texts, network

from shoestring.artifact import load
from shoestring.kit import AdamW, Training
from shoestring.label import votes_of
from shoestring.recipes import weak_reviews
from shoestring.recipes.film_rules import FILM_RULES


def test_the_file_answers_as_was_proven(tmp_path: Path):
    task = few_texts(20, 0)
    (ids,) = task.inputs(task.pool())
    votes = votes_of({str(rule): rule for rule in RULES}, list(ids), ("0", "1", "2"))
    training = Training(60, AdamW(3e-2))
    path = tmp_path / "weak.shoe"
    validation, test = weak_reviews(task, votes, network(), path, training=training)
    assert 0.45 < validation <= 1 and 0.45 < test <= 1
    assert task.score(load(path), "test") == test


def test_the_rules_read_reviews():
    votes = votes_of(
        FILM_RULES,
        ["a superb , moving film", "dull and tedious", "it is not funny", "a film about dogs"],
        ("0", "1"),
    )
    said = [{one for one in row if one >= 0} for row in votes.matrix]
    assert said == [{1}, {0}, {0}, set()]
