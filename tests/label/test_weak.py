"""Rules, their table, ways to combine them, and a network that learns from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_rules import RULES, few_texts, made, network
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.label import Between, Example, HasAny, MajorityVote, Says, Votes, Weak
from shoestring.label.weak import (
    DawidSkene,
    RuleError,
    combined,
    rule_table,
    votes_of,
)
from shoestring.label.weak.weak import _best


def of(*rows: tuple[int, ...], classes: int = 2) -> Votes:
    names = tuple(f"rule {place}" for place in range(len(rows[0])))
    return Votes(matrix=rows, rules=names, classes=tuple("abcdef"[:classes]))


def test_the_rules_that_need_no_code():
    says = Says("pos", ("superb", "not bad", "enjoy*"), unless=("not superb",))
    seen = ["Superb!", "It is not  bad", "I enjoyed it", "superbly", "bad", "not superb", ""]
    votes = [says(Example(name="x", text=text)) for text in seen]
    assert votes == ["pos", "pos", "pos", None, None, None, None]
    assert says(Example(name="x")) is None and says("SUPERB") == "pos"
    assert says.__name__ == "pos: superb, not bad, enjoy*"
    assert (
        HasAny(1, (4, 5))(torch.tensor([0, 5])) == 1 and HasAny(1, (4,))(torch.tensor([3])) is None
    )
    assert [Between(0, 1, least=2)([9, one]) for one in (1.9, 2, float("nan"))] == [None, 0, None]
    assert Between(0, 1, most=2)(torch.tensor([[9.0], [3.0]])) is None


def test_the_table_of_rules():
    votes = of((0, 0), (0, 1), (-1, 1), (-1, -1))
    table = rule_table(votes, [0, 1, None, 0])
    first, second = table.rows
    assert (first.coverage, first.overlap, first.conflict) == (0.5, 0.5, 0.25)
    assert (first.accuracy, first.checked, first.votes_for) == (0.5, 2, ("a",))
    assert (second.coverage, second.overlap, second.accuracy) == (0.75, 0.5, 1.0)
    assert table.covered == 0.75 and "all together: 75.0%" in str(table)
    assert "rule 1" in table._repr_html_()
    assert rule_table(votes).rows[0].accuracy is None
    assert rule_table(votes, np.array([0, 1, -1, 0])).rows == table.rows
    with pytest.raises(ValueError, match="1 labels for 4 examples"):
        rule_table(votes, [0])
    silent = rule_table(of((-1, 0), (-1, 0)))
    assert silent.notes[0] == "rule 0 never votes: it can be deleted, or is misspelt."
    assert silent.notes[1] == "No rule votes for 'b': the rules never find that class."
    wrong = rule_table(of(*[(0, 1)] * 20), [1] * 20)
    assert "rule 0 is right in 0%, no more than by chance." in wrong.notes
    assert "Another rule contradicts rule 0 wherever it votes." in wrong.notes


def test_the_majority():
    votes = of((0, 0, 1), (0, 1, -1), (-1, -1, -1), (-1, 2, -1), classes=3)
    assert MajorityVote().probabilities(votes).tolist() == [
        [1, 0, 0],
        [0.5, 0.5, 0],
        [1 / 3, 1 / 3, 1 / 3],
        [0, 0, 1],
    ]


def drawn(count: int, accuracies: list[float], seed: int = 0) -> tuple[Votes, np.ndarray]:
    """Votes of independent rules of known accuracies, each on four examples of five."""
    draw = np.random.default_rng(seed)
    true = draw.integers(3, size=count)
    columns = []
    for accuracy in accuracies:
        other = (true + draw.integers(1, 3, size=count)) % 3
        column = np.where(draw.random(count) < accuracy, true, other)
        columns.append(np.where(draw.random(count) < 0.8, column, -1))
    rows = tuple(tuple(int(one) for one in row) for row in np.stack(columns, 1))
    return of(*rows, classes=3), true


def test_a_model_finds_out_which_rules_are_good():
    model = DawidSkene()
    votes, true = drawn(2000, [0.95, 0.5, 0.45, 0.45, 0.4])
    right = [(one.probabilities(votes).argmax(1) == true).mean() for one in (model, MajorityVote())]
    assert right[0] > right[1] + 0.1
    found = model.probabilities(votes)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found == model.probabilities(votes)).all()
    # It is not surer of itself than it may be; the prior makes it less so.
    assert -0.12 < found.max(1).mean() - (found.argmax(1) == true).mean() < 0.02


@pytest.mark.parametrize("model", [DawidSkene(), MajorityVote()])
@pytest.mark.parametrize(
    "votes",
    [
        of((-1, -1), (-1, -1)),
        of((0, 0), (0, 0), (0, -1)),
        of((0, 1), (0, 1), (1, 0)),
        of((1, -1)),
        Votes(matrix=(), rules=("a",), classes=("x", "y")),
    ],
)
def test_odd_votes_give_probabilities(model, votes: Votes):
    found = model.probabilities(votes)
    assert found.shape == (len(votes.matrix), 2) and np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(1), 1)


def test_a_model_is_used_only_where_it_beats_the_majority():
    votes, true = drawn(2000, [0.95, 0.5, 0.45, 0.45, 0.4])
    some = [int(one) if at < 300 else None for at, one in enumerate(true)]
    better = combined(votes, some)
    assert not isinstance(better.combiner, MajorityVote)
    assert "beats the majority on" in better.why and "MajorityVote" in better.why
    alike, true = drawn(2000, [0.7, 0.7, 0.7])
    some = [int(one) if at < 300 else None for at, one in enumerate(true)]
    plain = combined(alike, some)
    assert isinstance(plain.combiner, MajorityVote) and "is not beaten" in plain.why
    assert len(plain.accuracies) == 2
    assert combined(votes).why == "The majority decides, since no known label has a vote."
    with pytest.raises(ValueError, match="all 2 rules abstain on all 2 examples"):
        combined(of((-1, -1), (-1, -1)))
    with pytest.raises(ValueError, match="1 labels for 2 examples"):
        combined(of((0,), (1,)), [0])


def test_rules_that_are_wrong_are_named():
    examples = [Example(name="first", text="a"), Example(name="second", text="b")]

    def fails(example: Example) -> str | None:
        return {"a": "x"}[example.text or ""]

    with pytest.raises(RuleError, match=r"'fails' raised KeyError .'b'. on the example 'second'"):
        votes_of([fails], examples, ("x", "y"))
    for vote in ("z", 2, -2, True, 0.5):
        with pytest.raises(RuleError, match=r"votes .* on the example 'first': the classes are"):
            votes_of({"odd": lambda _, vote=vote: vote}, examples, ("x", "y"))
    with pytest.raises(ValueError, match="two rules are named"):
        votes_of([lambda _: None, lambda _: 0], examples, ("x", "y"))
    with pytest.raises(ValueError, match="there are no rules"):
        votes_of([], examples, ("x", "y"))
    with pytest.raises(ValueError, match="tell two or more apart"):
        votes_of({"one": lambda _: 0}, examples, ("x",))
    with pytest.raises(ValueError, match=r"example 0 has the votes \(5,\)"):
        of((5,))
    with pytest.raises(ValueError, match="example 1 has 1 votes of 2 rules"):
        of((0, 1), (0,))


QUICK = {"training": Training(40, AdamW(4e-2)), "tuning": Training(10, AdamW(5e-3))}


def test_a_network_learns_from_rules():
    task = few_texts(20, 0)
    with seeded(0):
        model, scores = Weak(rules=RULES, **QUICK).tried(network(), task)
    assert set(scores) == {"MajorityVote", "DawidSkene", "true labels"}
    assert scores["MajorityVote"] > scores["true labels"] + 0.05
    best = task.score(model.eval(), "validation")
    assert best == pytest.approx(max(scores["MajorityVote"], best)) and best > 0.45
    # Votes that were made elsewhere, in the order of the pool, do the same.
    (ids,) = task.inputs(task.pool())
    votes = votes_of({str(rule): rule for rule in RULES}, list(ids), [str(one) for one in range(3)])
    with seeded(0):
        again = Weak(rules=votes, models=(), **QUICK).tried(network(), task)[1]
    assert again["MajorityVote"] == scores["MajorityVote"]
    assert repr(Weak(rules=votes)).startswith("Weak(rules=<votes of 9 rules on 1500 examples, ")


def test_rules_that_hurt_are_not_used():
    task = few_texts(400, 0)
    misled = tuple(HasAny((rule.votes + 1) % 3, rule.ids) for rule in RULES)
    with seeded(0):
        model, scores = Weak(rules=misled, models=(), **QUICK).tried(network(), task)
    assert scores["true labels"] > scores["MajorityVote"]
    assert task.score(model.eval(), "validation") == scores["true labels"]


class Answers(nn.Module):
    """Right on the first examples: the input is the number of the example, and its class 0."""

    def __init__(self, right: int):
        super().__init__()
        self.right = right

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        is_right = (numbers[:, 0] < self.right).float()
        return torch.stack([is_right, 1 - is_right], 1)


def test_networks_are_compared_example_by_example():
    numbers, zeros = torch.arange(60.0)[:, None], torch.zeros(60, dtype=torch.long)
    task = Supervised(train=(numbers, zeros), validation=(numbers, zeros))
    metric = replace(task, metric=lambda outputs, targets: (outputs.argmax(1) == targets).mean())
    for right, expected in ((30, "MajorityVote"), (31, "MajorityVote"), (33, "true labels")):
        networks: dict[str, nn.Module] = {
            "MajorityVote": Answers(30),
            "true labels": Answers(right),
        }
        scores = {"MajorityVote": 30 / 60, "true labels": right / 60}
        assert _best(scores, networks, task) == expected
        # A score that tells nothing of each example needs more than its own standard error.
        assert _best(scores, networks, metric) == "MajorityVote"


def test_what_cannot_be_learnt_from_is_refused():
    task = few_texts(20, 0)
    with pytest.raises(ValueError, match="2 rules say nothing of any of the 1500 examples"):
        Weak(rules=(HasAny(0, (999,)), HasAny(1, (998,))), **QUICK)(network(), task)
    everything = tuple(range(241))
    with pytest.raises(ValueError, match="contradict each other everywhere"):
        Weak(rules=(HasAny(0, everything), HasAny(1, everything), HasAny(2, everything)), **QUICK)(
            network(), task
        )
    with pytest.raises(ValueError, match="votes on 1 examples, and the pool has 1500"):
        Weak(rules=of((0, 1), classes=3), **QUICK)(network(), task)


def test_the_made_texts_are_what_they_say():
    ids, labels = made(4000, torch.Generator().manual_seed(1))
    own = ((ids - 1) // 60 == labels[:, None]) & (ids <= 180)
    assert own.float().mean() == pytest.approx(0.2, abs=0.01)


def test_words_that_are_in_every_text_or_none_are_refused():
    for bad in ("who", ("who", 3)):
        with pytest.raises(TypeError, match="give a tuple of texts"):
            Says("a", bad)  # type: ignore[arg-type]
    for words, unless in ((("",), ()), (("a", " "), ()), (("a",), ("*",))):
        with pytest.raises(ValueError, match="has an empty word"):
            Says("a", words, unless=unless)
    with pytest.raises(ValueError, match="give one or more"):
        Says("a", ())
