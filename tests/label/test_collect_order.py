"""Who gets which example, and how far people agree."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import labelling
import pytest

from shoestring.label import Annotation, Box, Choice, Span
from shoestring.label.collect import Answer, agreements
from shoestring.label.collect.agreement import decided, disagreements
from shoestring.label.collect.answer import standing
from shoestring.label.collect.order import EVERY, LEASE_SECONDS, Order, is_honest

COUNT = 60
COLLECTION = labelling.texts(COUNT)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def answer(at: int, by: str, name: str = "cat", **more: object) -> Answer:
    made = Answer(
        id=f"{by}-{at}-{name}-0000", example=f"row {at}", by=by, labels=(Choice(name=name),)
    )
    return replace(made, **more)


def test_two_people_never_have_one_example_and_each_is_asked_once():
    draw, order = random.Random(0), Order(COLLECTION)
    done: list[int] = []
    held: dict[str, list[int]] = {"ann": [], "bob": []}
    for _ in range(400):
        by = draw.choice(["ann", "bob"])
        held[by] += order.next(by, f"page of {by}", held[by], max(0, 4 - len(held[by])))
        assert not set(held["ann"]) & set(held["bob"])
        if held[by]:
            at = held[by].pop(0)
            done.append(at)
            order.take([answer(at, by)], f"page of {by}")
    assert sorted(done) == list(range(COUNT))


def test_an_example_that_is_on_its_way_is_not_given_again():
    order = Order(COLLECTION)
    (first,) = order.next("ann", "s", [], 1)
    assert first not in order.next("ann", "s", [first], 50)


def test_a_page_that_is_not_heard_of_loses_its_examples_and_is_told():
    clock = Clock()
    order = Order(COLLECTION, clock=clock)
    mine = order.next("ann", "s", [], 5)
    assert len(order.next("bob", "t", [], COUNT)) == COUNT - 5
    clock.now += LEASE_SECONDS - 1
    assert order.renew("ann", "s", mine) == []
    clock.now += LEASE_SECONDS - 1
    assert not set(order.next("bob", "t", [], COUNT)) & set(mine)
    clock.now += 2
    assert set(mine) <= set(order.next("bob", "t", [], COUNT))
    assert order.renew("ann", "s", mine) == mine


def test_what_another_answered_meanwhile_is_lost_too():
    clock = Clock()
    order = Order(COLLECTION, clock=clock)
    (at,) = order.next("ann", "s", [], 1)
    clock.now += 2 * LEASE_SECONDS
    order.take([answer(at, "bob")], "t")
    assert order.renew("ann", "s", [at]) == [at]


def test_a_closed_page_gives_its_examples_back_and_leases_outlive_the_process():
    order = Order(COLLECTION)
    mine = order.next("ann", "s", [], 5)
    again = Order(COLLECTION, leases=order.leases)
    assert not set(again.next("bob", "t", [], COUNT)) & set(mine)
    assert sorted(again.release("s")) == sorted(f"row {at}" for at in mine)
    assert set(again.next("bob", "t", [], COUNT)) >= set(mine)


def test_leases_that_ended_before_a_restart_are_none():
    clock = Clock()
    order = Order(COLLECTION, clock=clock)
    order.next("ann", "s", [], COUNT)
    clock.now += LEASE_SECONDS + 1
    again = Order(COLLECTION, leases=order.leases, clock=clock)
    assert len(again.next("bob", "t", [], COUNT)) == COUNT


def test_what_is_undone_belongs_to_the_page_that_undid_it():
    order = Order(COLLECTION)
    (at,) = order.next("ann", "s", [], 1)
    said = answer(at, "ann")
    order.take([said], "s")
    order.take([replace(said, id="undo-0001", labels=(), undoes=said.id)], "s")
    assert order.answered() == 0
    assert at not in order.next("bob", "t", [], COUNT)
    assert order.next("ann", "s", [], 1) == [at]


def test_a_share_goes_to_two_people_and_never_twice_to_one():
    order = Order(COLLECTION, agreement=0.5)
    for by in ("ann", "bob", "eve"):
        while found := order.next(by, by, [], 10):
            for at in found:
                order.take([answer(at, by)], by)
    seen = Counter(len(held) for held in order.held.values())
    counts = order.counts()
    assert set(seen) == {1, 2} and seen[2] == counts["agreement"] and counts["second"] == 0
    assert 0.3 * COUNT < seen[2] < 0.7 * COUNT and counts["labelled"] == COUNT


def test_a_model_chooses_but_for_an_honest_share():
    order = Order(COLLECTION)
    wanted = [name for name in order.index if not is_honest(name)][::-1]
    order.choose([*wanted, "row 99"])
    given = [f"row {at}" for at in order.next("ann", "s", [], 20)]
    honest = [name for name in given if is_honest(name)]
    assert len(honest) == 20 // EVERY
    assert [name for name in given if not is_honest(name)] == wanted[: 20 - len(honest)]


def test_the_source_has_the_first_word():
    first, second, *rest = COLLECTION.examples
    said = replace(first, annotations=(Annotation(labels=(Choice(name="cat"),)),))
    urgent = replace(rest[-1], priority=0.9)
    order = Order(replace(COLLECTION, examples=(said, second, *rest[:-1], urgent)))
    assert order.next("ann", "s", [], 1) == [COUNT - 1]
    assert 0 not in order.next("ann", "s", [], COUNT)
    assert order.counts()["labelled"] == 1


def test_priorities_choose_no_honest_example():
    # The priority is the number of the row; all of the honest ones have one, too.
    rows = tuple(
        replace(one, priority=float(at)) for at, one in enumerate(labelling.texts(400).examples)
    )
    order = Order(replace(COLLECTION, examples=rows))
    given = order.next("ann", "s", [], 100)
    honest = [at for at in given if is_honest(rows[at].name)]
    others = [at for at in given if not is_honest(rows[at].name)]
    assert len(honest) == 100 // EVERY
    best = sorted((at for at in range(400) if not is_honest(rows[at].name)), reverse=True)
    assert others == best[: len(others)]
    # They come as they would come without priorities, which is in random order.
    plain = Order(replace(COLLECTION, examples=labelling.texts(400).examples))
    drawn = [at for at in plain.next("ann", "s", [], 400) if is_honest(rows[at].name)]
    assert honest == drawn[: len(honest)]
    assert 120 < sum(honest) / len(honest) < 280
    # A model's order goes before that of the source, and leaves them alone as well.
    again = Order(replace(COLLECTION, examples=rows))
    again.choose(["row 3", "row 4", "row 5"])
    mixed = again.next("ann", "s", [], 30)
    assert [at for at in mixed if is_honest(rows[at].name)] == honest[: 30 // EVERY]


def test_with_splits_of_its_own_the_source_orders_all_examples():
    rows = tuple(
        replace(one, priority=float(at), split="train")
        for at, one in enumerate(COLLECTION.examples)
    )
    order = Order(replace(COLLECTION, examples=rows))
    assert order.next("ann", "s", [], COUNT) == list(range(COUNT))[::-1]


def both(ours: tuple, theirs: tuple) -> float | None:
    """The agreement of two people on an example."""
    rows = [
        Answer(id="a" * 8, example="one", by="ann", labels=ours),
        Answer(id="b" * 8, example="one", by="bob", labels=theirs),
    ]
    (found,) = agreements(standing(rows))
    assert found.kind == "F1" and (found.one, found.other) == ("ann", "bob")
    return found.value


def test_the_order_of_boxes_counts_for_nothing():
    def at(*lefts: float) -> tuple[Box, ...]:
        return tuple(Box(left=left, top=0, width=10, height=10, name="cat") for left in lefts)

    # The two at 3 are one; those at 0 and at 6 are apart then.
    for ours, theirs in (((0, 3), (3, 6)), ((3, 0), (3, 6)), ((0, 3), (6, 3)), ((6, 3), (3, 0))):
        assert both(at(*ours), at(*theirs)) == 0.5
    draw = random.Random(0)
    for _ in range(50):
        # Of a grid, so that many pairs are equally alike.
        ours, theirs = ([draw.randrange(12) * 1.0 for _ in range(5)] for _ in range(2))
        said = both(at(*ours), at(*theirs))
        assert said == both(at(*theirs), at(*ours))
        assert said == both(at(*draw.sample(ours, 5)), at(*draw.sample(theirs, 5)))


def test_agreement_on_marks_counts_those_that_both_made():
    box = Box(left=0, top=0, width=10, height=10, name="cat")
    near = replace(box, left=2)
    assert both((box,), (replace(box, left=20),)) == 0
    assert both((box,), (replace(box, left=4),)) == 0  # 60 of 140
    assert both((box,), (near,)) == 1
    assert both((box,), (replace(near, name="dog"),)) == 0
    assert both((box, replace(box, left=50)), (near,)) == pytest.approx(2 / 3)
    span = Span(start=0, end=3, name="cat")
    assert both((span,), (replace(span, end=4),)) == 0
    assert both((), ()) == 1


def test_a_disagreement_is_where_no_label_has_more_than_half():
    def rows(*said: tuple) -> list[Answer]:
        return [
            Answer(id=f"{at}" * 8, example="one", by=by, labels=labels, skipped=not labels)
            for at, (by, labels) in enumerate(said)
        ]

    cat, dog = (Choice(name="cat"),), (Choice(name="dog"),)
    wide, short = (Span(start=0, end=4, name="x"),), (Span(start=0, end=3, name="x"),)
    for said, is_one in (
        ([("ann", cat)], False),
        ([("ann", cat), ("bob", cat)], False),
        ([("ann", cat), ("bob", dog)], True),
        ([("ann", cat), ("bob", ())], False),
        ([("ann", cat), ("bob", dog), ("cem", dog)], False),
        ([("ann", wide), ("bob", short)], True),
        ([("ann", cat), ("bob", dog), ("ann", dog)], False),  # ann decided
    ):
        found = disagreements(standing(rows(*said)))
        assert list(found) == ["one"] * is_one, said
    opened = replace(rows(("ann", cat))[0], id="decision", decides=True)
    late = replace(rows(("cem", dog))[0], id="too late")
    held = standing([*rows(("ann", cat), ("bob", dog)), opened, late])
    assert not disagreements(held), "ann opened it and said the same again"
    assert [one.by for one in decided(held)["one"]] == ["bob", "cem", "ann"], "the decision counts"
    undone = Answer(id="undoing 1", example="one", by="ann", undoes="decision")
    assert disagreements(standing([*rows(("ann", cat), ("bob", dog)), opened, undone]))
    (told,) = disagreements(standing(rows(("ann", cat), ("bob", dog), ("ann", cat)))).values()
    assert [one.by for one in told] == ["bob", "ann"], "the last answer is that of ann"
