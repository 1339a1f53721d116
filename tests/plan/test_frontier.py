"""Which point is delivered, and what a killed search finds when it comes back."""

from pathlib import Path

from shoestring.core import Budget, Cost
from shoestring.plan.frontier import Journal, Point, best, undominated


def point(size: int, score: float) -> Point:
    return Point(f"{size}.shoe", Cost(bytes=size), score, 0.98 - score, "Technique()")


POINTS = [point(9000, 0.981), point(5000, 0.985), point(3000, 0.975), point(2000, 0.96)]


def test_of_the_points_that_fit_the_best_score_is_delivered():
    assert best(POINTS, Budget(size=5000, drop=0.01)) == POINTS[1]
    assert best(POINTS, Budget(size=4000, drop=0.01)) == POINTS[2]


def test_without_a_limit_on_size_the_smallest_file_is_delivered():
    assert best(POINTS, Budget(drop=0.01)) == POINTS[2]


def test_where_none_fits_the_nearest_is_delivered():
    # Shares over the limits: 5,000 bytes are 1.5 times over the size; 3,000 are half over it, and four times over the drop.
    budget = Budget(size=2000, drop=0.001)
    assert [round(p.excess(budget), 6) for p in POINTS] == [3.5, 1.5, 4.0, 19.0]
    assert best(POINTS, budget) == POINTS[1]


def test_a_least_score_counts_as_the_other_limits_do():
    assert best(POINTS, Budget(score=0.97)) == POINTS[2]
    assert [round(p.excess(Budget(score=0.98)), 6) for p in POINTS] == [0, 0, round(0.005 / 0.98, 6), round(0.02 / 0.98, 6)]


def test_an_unmeasured_limit_is_never_kept():
    assert not POINTS[0].fits(Budget(latency=1.0))
    assert POINTS[0].excess(Budget(latency=1.0)) == float("inf")


def test_the_frontier_leaves_out_what_another_point_beats_in_both():
    assert [p.cost.bytes for p in undominated(POINTS)] == [2000, 3000, 5000]


def test_a_journal_is_read_back_and_another_search_does_not_go_on_with_it(tmp_path: Path):
    journal = Journal(tmp_path / "j", "this search")
    journal.add(POINTS[0], {"density": 0.1})
    again = Journal(tmp_path / "j", "this search")
    assert again.points == POINTS[:1]
    assert again.stages == [{"density": 0.1}]
    (tmp_path / "j" / "stage-00.shoe").write_bytes(b"of this search")
    other = Journal(tmp_path / "j", "another search")
    assert other.foreign and other.points == []
    assert list((tmp_path / "j").iterdir()) == [], "the files of the one are not mixed with those of the other"


def test_a_journal_that_was_cut_short_is_begun_again(tmp_path: Path):
    (tmp_path / "journal.json").write_text('{"identity": "this se')
    assert Journal(tmp_path, "this search").points == []
