"""Duplicates, contradictions, leaks, outliers, slices, groups and annotators."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from shoestring.label.audit.annotators import dawid_skene, majority
from shoestring.label.audit.balance import balance, group_rates
from shoestring.label.audit.near import contradictions, leaks
from shoestring.label.audit.near_pictures import near_pictures, thumbnails
from shoestring.label.audit.near_texts import near_texts
from shoestring.label.audit.outliers import outliers
from shoestring.label.audit.rates import holm, rate
from shoestring.label.audit.slices import (
    Slice,
    cluster_slices,
    failing_slices,
    field_slices,
    quarters,
)

TEXTS = [
    "What is the speed of the Mississippi River ?",
    "How deep is a fathom ?",
    "what is the SPEED of the Mississippi river?",
    "<b>How</b> deep is a fathom ?",
    "How deep is a fathom ?",
    "Who wrote the song of the Volga boatmen, and when was it first printed?",
    "",
    "",
    "?!",
]


def test_texts_that_are_the_same_but_for_case_and_punctuation_are_near():
    found = near_texts(TEXTS)
    pairs = {(row.first, row.second): row for row in found.rows}
    assert pairs[1, 4].exact and pairs[6, 7].exact
    assert pairs[0, 2].similarity == 1 and not pairs[0, 2].exact
    assert set(pairs) == {(1, 4), (6, 7), (0, 2)}
    assert found.groups[1] == found.groups[4] != found.groups[0] == found.groups[2]
    loose = {(row.first, row.second) for row in near_texts(TEXTS, similarity=0.5).rows}
    assert (1, 3) in loose and (0, 5) not in loose
    many = [f"Dear customer, your parcel number {k} is on its way to you." for k in range(60)]
    crowd = near_texts(many)
    assert "are like more than 20 others" in crowd.notes[0] and len(crowd.rows) <= 60 * 20
    with pytest.raises(ValueError, match="similarity is"):
        near_texts(TEXTS, similarity=1.5)


def cuts(count: int, side: int = 96) -> np.ndarray:
    """Parts of two photographs that scikit-learn brings, N×3×S×S; no two overlap."""
    parts = [
        photograph[top : top + side, left : left + side]
        for photograph in load_sample_images().images
        for top in range(427 - side, 200, -side)
        for left in range(0, 640 - side, side)
    ]
    return np.stack(parts[:count]).transpose(0, 3, 1, 2).astype(np.float32) / 255


def test_pictures_that_were_scaled_compressed_or_darkened_are_near_and_others_not(tmp_path):
    pictures, paths = cuts(24), []
    for index, one in enumerate(pictures):
        path = tmp_path / f"{index}.png"
        Image.fromarray((one * 255).round().astype(np.uint8).transpose(1, 2, 0)).save(path)
        paths.append(path)
    first = Image.open(paths[0])
    first.resize((64, 64)).save(tmp_path / "small.png")
    Image.open(paths[1]).save(tmp_path / "again.jpg", quality=60)
    Image.fromarray((np.asarray(Image.open(paths[2])) * 0.8).astype(np.uint8)).save(
        tmp_path / "dark.png"
    )
    (tmp_path / "copy.png").write_bytes(paths[3].read_bytes())
    (tmp_path / "cut.png").write_bytes(paths[4].read_bytes()[:200])
    (tmp_path / "text.png").write_text("<script>no picture</script>")
    added = [tmp_path / n for n in ("small.png", "again.jpg", "dark.png", "copy.png")]
    broken = [tmp_path / n for n in ("cut.png", "text.png", "missing.png")]
    found = near_pictures([*paths, *added, *broken])
    assert {(row.first, row.second) for row in found.rows} == {(0, 24), (1, 25), (2, 26), (3, 27)}
    assert [row.exact for row in found.rows if row.first == 3] == [True]
    assert found.unreadable == (28, 29, 30)
    assert "3 pictures could not be read" in found.notes[0]
    assert len(set(found.groups.tolist())) == 27


def test_arrays_of_pictures_and_plain_ones():
    pictures = np.concatenate([cuts(5), cuts(2)])
    assert {(r.first, r.second) for r in near_pictures(pictures).rows} == {(0, 5), (1, 6)}
    plain = np.stack([np.zeros((1, 8, 8)), np.ones((1, 8, 8)), np.full((1, 8, 8), np.nan)])
    small = thumbnails(plain)
    assert near_pictures(small).rows == () and list(small.why) == [2]
    with pytest.raises(ValueError, match=r"shape \[2, 8, 8\]"):
        thumbnails(np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="bits is 65"):
        near_pictures(pictures, bits=65)


def test_plain_pictures_are_alike_by_their_colour():
    colours = [(0.8, 0.1, 0.1), (0.1, 0.1, 0.8), (0.1, 0.8, 0.1), (0.5, 0.5, 0.5), (0.8, 0.11, 0.1)]
    pictures = np.stack([np.full((32, 32, 3), c, np.float32) for c in colours]).transpose(
        0, 3, 1, 2
    )
    assert [(r.first, r.second) for r in near_pictures(pictures).rows] == [(0, 4)]
    black = near_pictures(np.full((20, 1, 8, 8), np.nan, np.float32))
    assert black.rows == () and len(black.unreadable) == 20


def test_pairs_with_different_labels_contradict_and_pairs_across_splits_leak():
    found = near_texts(TEXTS)
    labels = [0, 1, 2, 1, 0, 0, 0, -1, 0]
    rows = contradictions(found, labels)
    assert {(r.pair.first, r.pair.second): r.labels for r in rows} == {
        (1, 4): (1, 0),
        (0, 2): (0, 2),
    }
    splits = ["train", "train", "test", "train", "train", "", "validation", "", "test"]
    assert [(r.pair.first, r.splits) for r in leaks(found, splits)] == [(0, ("train", "test"))]
    with pytest.raises(ValueError, match="for 9 examples"):
        contradictions(found, [0])
    with pytest.raises(ValueError, match="1 splits for 9 examples"):
        leaks(found, ["train"])


def test_a_point_far_away_is_an_outlier():
    points = np.random.default_rng(0).normal(size=(300, 4))
    points[17] = 12
    found = outliers(points)
    assert found.rows[0].index == 17 and found.rows[0].distance > 4 and len(found.rows) <= 6
    assert outliers(np.zeros((20, 2))).rows == ()
    same = np.zeros((20, 2))
    same[3] = 5
    assert [row.index for row in outliers(same, neighbours=3).rows] == [3]
    with pytest.raises(ValueError, match="example 2 are NaN"):
        outliers([[0.0], [1.0], [np.nan]])
    with pytest.raises(ValueError, match="at least 3"):
        outliers([[0.0]])


def test_intervals_and_corrections_by_hand():
    # Wilson, 8 of 10: (0.8 + 0.19207) / 1.38415 ± ...
    found = rate(8, 10)
    assert (found.low, found.high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert rate(0, 10).low == 0 and rate(10, 10).high == 1
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    with pytest.raises(ValueError, match="3 of 2"):
        rate(3, 2)


def test_a_slice_that_fails_is_named_and_chance_alone_names_few():
    draw = np.random.default_rng(0)
    town = np.array(["north", "south"])[draw.integers(2, size=600)]
    lengths = draw.integers(1, 100, size=600).astype(float)
    errors = draw.random(600) < np.where(town == "north", 0.3, 0.1)
    parts = [*field_slices({"town": town.tolist()}), *quarters("length", lengths)]
    rows = failing_slices(errors, parts)
    assert [row.name for row in rows] == ["town is north"]
    assert rows[0].errors.value > rows[0].rest.value and rows[0].chance < 0.01
    named = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        by_luck = [Slice(name=str(k), held=draw.random(200) < 0.3) for k in range(20)]
        named += bool(failing_slices(draw.random(200) < 0.2, by_luck))
    assert named <= 10  # 5 are expected at most; 20 slices untested for their number: more than 50
    with pytest.raises(ValueError, match="'short' has shape"):
        failing_slices(errors, [Slice(name="short", held=np.ones(3, bool))])


def test_fields_become_slices_by_value_or_by_quarter():
    ages = [str(k) for k in range(100)]
    names = [f"person {k}" for k in range(100)]
    found = field_slices({"age": ages, "name": names, "sex": ["f", "m"] * 50})
    assert [one.name for one in found] == [
        "age is 0 to 24.75",
        "age is 24.75 to 49.5",
        "age is 49.5 to 74.25",
        "age is 74.25 to 99",
        "sex is f",
        "sex is m",
    ]
    assert sum(one.held for one in found[:4]).tolist() == [1] * 100


def test_clusters_are_slices():
    draw = np.random.default_rng(0)
    points = np.concatenate([draw.normal(size=(60, 2)), draw.normal(size=(60, 2)) + 20])
    found = cluster_slices(points, clusters=2)
    assert len(found) == 2 and sorted(int(one.held.sum()) for one in found) == [60, 60]
    assert cluster_slices(points[:30], clusters=5) == ()


def test_rare_classes_are_said():
    rows = balance([0] * 90 + [1] * 105 + [2] * 3 + [-1], ["a", "b", "c", "d"])
    assert [(row.name, row.count, row.rare) for row in rows] == [
        ("d", 0, True),
        ("c", 3, True),
        ("a", 90, False),
        ("b", 105, False),
    ]
    with pytest.raises(ValueError, match="a label is 3, and there are 2 names"):
        balance([3], ["a", "b"])


def test_a_group_that_is_missed_more_often_is_seen():
    draw = np.random.default_rng(0)
    group = np.array(["blue", "green", ""])[draw.integers(3, size=1500)]
    labels = draw.integers(2, size=1500)
    missed = (group == "green") & (labels == 1) & (draw.random(1500) < 0.4)
    rows = group_rates(np.where(missed, 0, labels), labels, group.tolist(), ["no", "yes"])
    first = rows[0]
    assert first.what == "missed yes" and first.chance < 1e-6
    green = next(row for row in rows if (row.group, row.what) == ("green", "missed yes"))
    assert green.rate.low < 0.4 < green.rate.high and green.rest.value == 0
    assert {row.group for row in rows} == {"blue", "green"}
    equal = [row for row in rows if row.what == "labelled yes"]
    assert all(row.chance > 0.05 for row in equal)
    with pytest.raises(ValueError, match="single value 'x'"):
        group_rates([0, 1], [0, 1], ["x", "x"], ["no", "yes"])
    with pytest.raises(ValueError, match="2 predictions, 2 labels and 1 values"):
        group_rates([0, 1], [0, 1], ["x"], ["no", "yes"])


def test_votes_of_three_by_hand():
    votes = np.array([[0, 0, 1], [1, 1, 1], [0, -1, 0], [-1, -1, -1]])
    shares = majority(votes, 2)
    assert np.allclose(shares[:3], [[2 / 3, 1 / 3], [0, 1], [1, 0]])
    assert np.isnan(shares[3]).all()
    found = dawid_skene(votes, 2)
    assert found.labels.tolist() == [0, 1, 0, -1]
    rows = {row.index: row for row in found.rows}
    assert rows[0].agreement == 1 and rows[2].agreement == pytest.approx(2 / 3)
    assert rows[0].votes == 3 and rows[1].votes == 2
    assert rows[2].information < rows[0].information
    assert rows[1].information == 0  # two different votes tell as much in any order


def test_few_votes_at_random_do_not_seem_to_tell_more_than_many_good_ones():
    draw = np.random.default_rng(0)
    true = draw.integers(10, size=400)

    def voting(skill: float) -> np.ndarray:
        return np.where(draw.random(400) < skill, true, draw.integers(10, size=400))

    random, good = [], []
    for few in (20, 50):
        for _ in range(2):
            votes = np.stack([*(voting(0.9) for _ in range(3)), voting(0.6), voting(0)], 1)
            votes = np.concatenate([votes, voting(0.95)[:, None]], 1)
            votes[draw.permutation(400)[few:], 4] = -1
            votes[draw.permutation(400)[few:], 5] = -1
            found = dawid_skene(votes, 10)
            rows = {row.index: row for row in found.rows}
            assert found.rows[0].index == 4 and found.rows[1].index in (3, 5)
            random.append(rows[4].information)
            good.append(rows[5].information)
    assert np.mean(random) < 0.2 and np.mean(good) > 1.2


def test_without_a_common_example_nothing_is_said_of_annotators():
    votes = np.full((40, 3), -1)
    votes[:20, 0], votes[20:, 1] = np.arange(20) % 3, np.arange(20) % 2
    votes[20:, 2] = votes[20:, 1]
    found = dawid_skene(votes, 3)
    last = found.rows[-1]
    assert last.index == 0 and last.votes == 20
    assert np.isnan([last.agreement, last.accuracy, last.information]).all()
    assert all(row.information > 0.5 and row.accuracy > 0.9 for row in found.rows[:2])


def test_one_round_of_dawid_and_skene_against_the_formulas():
    votes = np.array([[0, 0], [1, 0], [1, 1]])
    found = dawid_skene(votes, 2, rounds=1)
    shares = np.array([[1, 0], [0.5, 0.5], [0, 1]])
    theta = np.full((2, 2, 2), 0.01)
    for example, annotator in np.ndindex(3, 2):
        theta[annotator, :, votes[example, annotator]] += shares[example]
    theta /= theta.sum(2, keepdims=True)
    prior = np.array([1.51, 1.51]) / 3.02
    wanted = np.array([prior * theta[0, :, a] * theta[1, :, b] for a, b in votes])
    assert np.allclose(found.probabilities, wanted / wanted.sum(1, keepdims=True))
    assert found.rounds == 1


# Table 1 of Dawid and Skene 1979: 45 patients, seen three times by the first anaesthetist and once
# by each of four others, who say how fit they are for an operation.
PATIENTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343
1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222
1111111 1111111 2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343
2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""


def test_the_anaesthetists_of_dawid_and_skene_have_their_published_error_rates():
    votes = np.array([[int(one) - 1 for one in patient] for patient in PATIENTS.split()])
    found = dawid_skene(votes, 4, people=[0, 0, 0, 1, 2, 3, 4], rounds=1000)
    assert found.probabilities.mean(0) == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.006)
    published = [[0.89, 0.11, 0, 0], [0.07, 0.88, 0.05, 0], [0, 0.34, 0.66, 0], [0, 0, 0.56, 0.44]]
    assert np.allclose(found.confusion[0], published, atol=0.011)
    assert {row.index: row.votes for row in found.rows} == {0: 135, 1: 45, 2: 45, 3: 45, 4: 45}
    with pytest.raises(ValueError, match="for 7 columns of votes"):
        dawid_skene(votes, 4, people=[0, 1])


def test_simulated_annotators_are_rated_as_they_were_made():
    draw = np.random.default_rng(0)
    true = draw.integers(3, size=400)
    skill = np.array([0.9, 0.75, 0.5, 0.4, 1 / 3])
    right = draw.random((400, 5)) < skill
    votes = np.where(right, true[:, None], (true[:, None] + draw.integers(1, 3, (400, 5))) % 3)
    votes = np.concatenate([votes, np.ones((400, 1), int)], 1)  # always presses 1
    votes[draw.random((400, 6)) < 0.2] = -1
    found = dawid_skene(votes, 3)
    rows = {row.index: row for row in found.rows}
    assert rows[5].constant and rows[5].information < 0.01 and found.rows[0].index in (4, 5)
    assert not any(rows[k].constant for k in range(5))
    assert [rows[k].accuracy for k in range(4)] == pytest.approx(skill[:4], abs=0.08)
    voted = np.nan_to_num(majority(votes, 3)).argmax(1)
    seen = found.labels >= 0
    assert (found.labels == true)[seen].mean() >= (voted == true)[seen].mean() + 0.02


def test_votes_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match="nobody voted"):
        dawid_skene(np.full((3, 2), -1), 2)
    with pytest.raises(ValueError, match="a vote is 2"):
        dawid_skene(np.array([[2]]), 2)
    with pytest.raises(ValueError, match="give integers"):
        majority(np.array([[0.5]]), 2)
    with pytest.raises(ValueError, match="classes is 1"):
        majority(np.array([[0]]), 1)
