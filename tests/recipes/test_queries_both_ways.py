"""Queries and documents both ways: the finder is TF-IDF at first, and both directions learn."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score, scores, seeded
from shoestring.dual import BackTranslation, DualLearning, Rounds
from shoestring.kit import AdamW, Training, train, write
from shoestring.recipes.queries_both_ways import (
    finding,
    library_of,
    mean_average_precision,
    queries_both_ways,
)

KINDS = ("owls", "bats", "newts", "crabs", "moths", "wasps", "eels", "toads")
ASKED = ("birds", "mammals", "amphibians", "shells", "wings", "stings", "fish", "frogs")
"""Words of queries that no document has but the last: a query's words must be learned."""
DOCUMENTS = [
    f"{kind} of {place} eat {food} {kind}"
    for kind in KINDS
    for place, food in (("ponds", "leaves"), ("woods", "seeds"), ("caves", "worms"))
]
LIBRARY = library_of([*DOCUMENTS, " ".join(ASKED), " ".join(ASKED)])
QUERIES = [ASKED[number // 3] for number in range(24)]
ANSWERS = [[3 * (number // 3) + one for one in range(3)] for number in range(24)]


def task(pairs: int = 24):
    found = finding(
        LIBRARY,
        train=(QUERIES[:pairs], ANSWERS[:pairs]),
        validation=(QUERIES, ANSWERS),
        test=(QUERIES, ANSWERS),
    )
    return queries_both_ways(found, LIBRARY, ["owls eat", "unknown"], list(range(24)))


def test_untrained_it_ranks_as_tf_idf_by_hand():
    library = library_of(["red red cat", "red dog", "cat dog"])
    assert library.words == ("cat", "dog", "red")
    assert library.lists(["a red cat", "zebra"]) == [[5, 3, 2], [2]]
    rare = log(4 / 3) + 1  # each word is in two of three documents
    twice = 1 + log(2)
    finder = library.networks().ahead.eval()
    with torch.no_grad():
        found = finder(library.ids(["red"]))[0] / 20
    assert found.tolist() == pytest.approx(
        [twice / sqrt(twice**2 + 1), rare / sqrt(2 * rare**2), 0.0], abs=1e-5
    )


def test_mean_average_precision_by_hand():
    scores_QD = [[0.9, 0.1, 0.5, 0.7], [0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, 0.0]]
    relevant = [[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    wanted = ((1 / 1 + 2 / 3) / 2 + 1 / 2) / 2
    assert mean_average_precision(scores_QD, relevant) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="no query has a relevant document"):
        mean_average_precision(scores_QD, [[0] * 4] * 3)


def test_a_query_is_as_likely_as_its_words_and_its_length():
    library = library_of(["red red cat", "red dog", "cat dog"])
    both = queries_both_ways(
        finding(library, train=(["red"], [[0]]), validation=(["red"], [[0]])), library
    )
    writer = library.networks().back.eval()
    documents, queries = torch.tensor([0, 1]), library.ids(["red", "red"])
    with torch.no_grad():
        at_once = both.backward.log_likelihood(writer, documents, queries)
        first = writer(documents, torch.ones(2, 1, dtype=torch.long))[:, 0].softmax(-1)
    assert first.sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert first[0, 5] > first[1, 5]  # two of three words of the first document are red
    assert first[:, :2].max() < 1e-6
    ends = torch.tensor(-2.0).sigmoid()
    assert at_once.exp().tolist() == pytest.approx((first[:, 5] * ends).tolist(), rel=1e-4)
    with seeded(0):
        drawn = both.backward.sample(writer, documents.repeat(200))
    assert set(drawn.flatten().tolist()) <= {0, 2, 3, 4, 5}


def test_both_directions_learn_what_words_of_queries_mean():
    both, model = task(), LIBRARY.networks()
    before = score(both, model), score(both.back, model.back)
    with seeded(0):
        train(model, both.sealed(), Training(60, AdamW(3e-2)))
    assert before[0] < 0.5 and score(both, model) > 0.95
    assert score(both.back, model.back) > before[1] + 0.3
    assert scores(both, model)["forward"] == score(both, model)
    assert len(both.sources) == 1  # type: ignore[arg-type]


def test_techniques_of_two_directions_run_on_queries():
    both, model = task(6), LIBRARY.networks()
    few = Training(3, AdamW(1e-2))
    for technique in (
        BackTranslation(renewal=Rounds(1), training=few),
        DualLearning(fluency=0, training=few),
    ):
        with seeded(0):
            result = technique(model, both.sealed())
        assert all(torch.isfinite(one).all() for one in result.parameters())
        assert score(both, result) > 0


@pytest.mark.slow
def test_one_file_finds_and_writes(tmp_path: Path):
    both, model = task(), LIBRARY.networks().eval()
    write(model, both, tmp_path / "both.shoe")
    file = load(tmp_path / "both.shoe")
    assert set(file.entries) == {"ahead", "encode_back", "step_back"}
    assert score(both, file) == pytest.approx(score(both, model))
    part = both.backward.of(file)
    assert score(both.back, part) == pytest.approx(score(both.back, model.back), abs=1e-4)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no document answers 'owls' of train"):
        finding(LIBRARY, train=(["owls"], [[]]))
    with pytest.raises(ValueError, match="of 2 documents no two share a word"):
        library_of(["one", "two"])
    with pytest.raises(ValueError, match="no sources without a pair"):
        both = queries_both_ways(task().ahead, LIBRARY)  # type: ignore[arg-type]
        BackTranslation()(LIBRARY.networks(), both)
