"""The grammar of budgets, and who is over one."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoestring.core import RESOURCES, Budget, BudgetError, Cost, Share
from shoestring.core.budget import limits_in_words
from shoestring.core.resource import LIMITED

PLAIN = [f.name for f in fields(Budget) if f.name not in ("named", "came_in")]
"""The limits that are fields of their own."""


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("size<=40KB, latency<=0.5ms, drop<=0.3%", {"size": 40_000, "latency": 0.5, "drop": 0.003}),
        ("size<=1KiB", {"size": 1024}),
        ("size<=7", None),
        ("size<=7B,memory<=2MiB", {"size": 7, "memory": 2 * 2**20}),
        ("size<=1.5MB", {"size": 1_500_000}),
        ("memory<=2GB", {"memory": 2e9}),
        ("SIZE <= 4 kb", {"size": 4000}),
        ("latency<=250us", {"latency": 0.25}),
        ("latency<=2s", {"latency": 2000}),
        ("operations<=3M", {"operations": 3e6}),
        ("operations<=12", {"operations": 12}),
        ("energy<=2mJ", {"energy": 0.002}),
        ("flash<=16KB, ram<=6KB", {"flash": 16_000, "ram": 6000}),
        ("instructions<=20M, flash<=50%", {"instructions": 20e6, "flash": Share(0.5)}),
        ("labels<=1K", {"labels": 1000}),
        ("labels<=0", {"labels": 0}),
        ("time<=2min", {"time": 120}),
        ("time<=1.5h", {"time": 5400}),
        ("person_time<=2h, time<=1h", {"person_time": 7200, "time": 3600}),
        ("person_time<=0min", {"person_time": 0}),
        ("training_operations<=3P", {"training_operations": 3e15}),
        ("communication<=1.5GB", {"communication": 1.5e9}),
        ("communication<=0B", {"communication": 0}),
        ("drop<=0", {"drop": 0}),
        ("drop<=0.25", {"drop": 0.25}),
        ("drop<=1e-3", {"drop": 0.001}),
        ("drop<=0.5%", {"drop": 0.005}),
        ("score>=0.98", {"score": 0.98}),
        ("Score >= 98 %", {"score": 0.98}),
        ("score>=-2.5", {"score": -2.5}),
        ("size <= 10 kb, LATENCY<=2 MS", {"size": 10_000, "latency": 2}),
    ],
)
def test_grammar_and_units(text: str, limits: dict[str, float] | None):
    if limits is None:
        with pytest.raises(BudgetError, match="size is given in B, KB"):
            Budget.parse(text)
        return
    budget = Budget.parse(text)
    found = {name: getattr(budget, name) for name in PLAIN if getattr(budget, name) is not None}
    assert found == pytest.approx(limits)


@pytest.mark.parametrize(
    ("text", "teaches"),
    [
        ("", r"cannot read ''.*write limits like 'size<=40KB"),
        ("size<=", "write limits like"),
        ("size<40KB", "cannot read 'size<40KB': size is an upper limit, so write size<=40KB"),
        ("size = 40kb", "so write size<=40kb"),
        ("size≤40KB", "so write size<=40KB"),
        ("size>=40KB", "size is an upper limit, so write size<=40KB"),
        ("drop>=1%", "drop is an upper limit, so write drop<=1%"),
        ("score<=0.98", "score is a lower limit, so write score>=0.98"),
        ("score=98%", "so write score>=98%"),
        ("10 kb", "cannot read '10 kb'"),
        ("latncy<=5ms", "there is no limit called 'latncy': .*; did you mean latency\\?"),
        ("milliseconds<=5", "did you mean latency\\?"),
        ("size<=10%, size<=40KB", "size is limited twice"),
        ("score>=0.9, score>=0.8", "score is limited twice"),
        ("size<=0%", "size<=0% cannot be met by any model: give a percentage more than 0"),
        ("latency<=-5%", "latency<=-5% cannot be met by any model"),
        ("size<=inf%", "size<=inf% limits nothing"),
        ("size<=4-4%", "'4-4' in 'size<=4-4%' is not a number"),
        ("time<=50%", "time is of getting a model, .*give it in s, min, h"),
        ("labels<=50%", "labels is of getting a model, .* such as labels<=200$"),
        ("person_time<=50%", "person_time is of getting a model, .*give it in s, min, h"),
        (
            "person_time<=2",
            "person_time is given in s, min, h, and needs a unit: person_time<=2s, say",
        ),
        ("training_operations<=0", "training_operations<=0 cannot be met by any model"),
        ("person_seconds<=5s", "did you mean person_time\\?"),
        ("communicated_bytes<=5MB", "did you mean communication\\?"),
        ("score>=nan", "score>=nan cannot be met by any model: give a number"),
        ("score>=-inf", "score>=-inf limits nothing"),
        ("score>=5KB", "score is given in no unit, %, not in 'KB'"),
        ("size<=40KB drop<=1%", "write limits like"),
        ("size<=40KB,", "cannot read ''"),
        (
            "bytes<=40KB",
            "there is no limit called 'bytes': the limits are size, latency, operations",
        ),
        ("size<=40KB, size<=50KB", "size is limited twice .*: keep one"),
        ("size<=40ms", "size is given in B, KB, MB, GB, KiB, MiB, GiB, not in 'ms'"),
        (
            "latency<=5",
            "latency is given in us, ms, s, and needs a unit: latency<=5ms, say, or latency<=50%, "
            "a share",
        ),
        ("drop<=5KB", "drop is given in no unit, %, not in 'KB'"),
        ("size<=4-4KB", "'4-4' in 'size<=4-4KB' is not a number"),
        ("size<=0KB", r"size<=0 cannot be met by any model: give a number more than 0"),
        ("latency<=-1ms", r"latency<=-1 cannot be met by any model: give a number more than 0"),
        ("labels<=-1", r"labels<=-1 cannot be met by any model: give a number 0 or more"),
        ("drop<=-0.1%", "give a number 0 or more"),
        ("drop<=nan", "drop<=nan cannot be met by any model"),
        ("size<=infKB", "size<=inf limits nothing: give a number more than 0"),
        ("operations<=1e999", "operations<=inf limits nothing"),
        ("latency<=-inf ms", "latency<=-inf cannot be met by any model"),
    ],
)
def test_errors_teach(text: str, teaches: str):
    with pytest.raises(BudgetError, match=teaches):
        Budget.parse(text)


def test_limits_given_as_numbers_are_checked_too():
    for name in ("size", "latency", "operations", "memory", "energy", "time"):
        with pytest.raises(BudgetError, match=f"{name}<=0 "):
            Budget(**{name: 0})
    assert Budget(labels=0, drop=0) == Budget.parse("labels<=0, drop<=0")
    assert issubclass(BudgetError, ValueError)


numbers = st.one_of(st.none(), st.floats(min_value=1e-12, max_value=1e15), st.integers(1, 10**12))
shares = st.one_of(numbers, st.builds(Share, st.floats(min_value=1e-12, max_value=1e6)))
having = {name for name, resource in LIMITED.items() if not resource.getting}


by_name = st.builds(
    "{}({})".format,
    st.sampled_from(["drop", "score"]),
    st.sampled_from(["recall", "F1", "top-5", "a b"]),
)
named = st.dictionaries(by_name, st.floats(min_value=1e-12, max_value=1e15))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a budget has many fields to draw
@given(
    st.builds(
        Budget, named=named, **{name: shares if name in having else numbers for name in PLAIN}
    )
)
def test_text_and_back(budget: Budget):
    if budget == Budget():
        assert str(budget) == ""
    else:
        assert Budget.parse(str(budget)) == budget
        assert str(Budget.parse(str(budget))) == str(Budget.parse(str(Budget.parse(str(budget)))))


def test_text_by_hand():
    budget = Budget(
        size=40_000,
        memory=1_000_001,
        latency=0.5,
        energy=0.25,
        time=60,
        drop=0.003,
        labels=7,
        operations=5,
    )
    assert str(budget) == (
        "size<=40KB, latency<=0.5ms, operations<=5, memory<=1000.001KB, energy<=0.25J, labels<=7, "
        "time<=60s, drop<=0.003"
    )
    assert str(Budget(size=999)) == "size<=999B"
    assert str(Budget(latency=np.float64(0.5))) == "latency<=0.5ms"
    assert Budget.parse(str(Budget(size=np.float32(1234.5)))).size == 1234.5


def test_unmeasured_is_over_budget():
    budget = Budget.parse("size<=1KB, latency<=2ms, labels<=10, drop<=1%")
    assert budget.exceeded(Cost(bytes=1000, milliseconds=2.0, labels=0), 0.0) == {}
    assert budget.exceeded(Cost(), None) == {
        "size": (None, 1000),
        "latency": (None, 2),
        "labels": (None, 10),
        "drop": (None, 0.01),
    }
    assert budget.exceeded(Cost(bytes=1001, milliseconds=1.0, labels=11), 0.02) == {
        "size": (1001, 1000),
        "labels": (11, 10),
        "drop": (0.02, 0.01),
    }
    assert Budget().exceeded(Cost(bytes=10**12), 1.0) == {}
    assert set(Budget(latency=1).exceeded(Cost(milliseconds=float("nan")), 0.0)) == {"latency"}
    assert set(Budget(drop=1).exceeded(Cost(), float("nan"))) == {"drop"}


def test_each_limit_reads_its_own_resource():
    cost = Cost(
        bytes=1,
        milliseconds=2.0,
        operations=3,
        memory_bytes=4,
        joules=5.0,
        flash_bytes=11,
        ram_bytes=12,
        instructions=13.0,
        labels=6,
        seconds=7.0,
        person_seconds=8.0,
        training_operations=9,
        communicated_bytes=10,
    )
    names = (
        "size",
        "latency",
        "operations",
        "memory",
        "energy",
        "labels",
        "time",
        "person_time",
        "training_operations",
        "communication",
        "flash",
        "ram",
        "instructions",
    )
    for number, name in enumerate(names, 1):
        assert Budget(**{name: number}).exceeded(cost, None) == {}
        assert Budget(**{name: number - 0.5}).exceeded(cost, None) == {name: (number, number - 0.5)}


def test_drop_forgives_the_last_bits_and_nothing_more():
    drop = 0.98 - 0.977  # 0.0030000000000000027
    assert drop > 0.003
    assert Budget(drop=0.003).exceeded(Cost(), drop) == {}
    assert Budget(drop=0).exceeded(Cost(), 1e-12) == {}
    assert Budget(drop=0).exceeded(Cost(), 1 / 1_000_000) == {"drop": (1e-6, 0)}
    assert Budget(drop=0).exceeded(Cost(), -0.5) == {}
    assert Budget(size=1000).exceeded(Cost(bytes=1001), 0.0)


def test_the_table_of_resources_has_each_field_of_a_cost_and_each_limit_of_a_budget():
    assert sorted(one.field for one in RESOURCES) == sorted(f.name for f in fields(Cost))
    assert [*LIMITED, "drop", "score"] == PLAIN
    for one in RESOURCES:
        assert one.units[one.unit] == 1 and one.about
        assert not (one.noisy and one.getting)
    assert {one.limit for one in RESOURCES if one.noisy} == {"latency", "memory", "energy"}
    said = limits_in_words()
    assert said.startswith(
        "size, memory, flash and ram (B, KB, MB, GB, KiB, MiB, GiB), latency (us, ms, s), "
        "operations and instructions (K, M, G, T), energy (uJ, mJ, J), each also"
    )
    assert all(name in said for name in LIMITED)


def test_a_share_is_of_what_came_in():
    budget = Budget.parse("latency<=50%, size<=10%, memory<=150%, operations<=3M, drop<=0.5%")
    assert (
        budget.latency == Share(0.5) and budget.size == Share(0.1) and budget.memory == Share(1.5)
    )
    assert budget.relative == ("size", "latency", "memory")
    assert str(budget) == "size<=10%, latency<=50%, operations<=3000000, memory<=150%, drop<=0.005"
    absolute = budget.against(Cost(bytes=40_000, milliseconds=3.0, memory_bytes=100))
    assert (
        absolute == Budget(size=4000, latency=1.5, memory=150, operations=3e6, drop=0.005)
        and absolute.relative == ()
    )
    assert absolute.against(Cost()) == absolute
    assert set(
        absolute.exceeded(Cost(bytes=4001, milliseconds=1.5, memory_bytes=150, operations=3), 0.0)
    ) == {"size"}


def test_a_share_of_what_nobody_measured_is_refused_by_name():
    budget = Budget.parse("size<=10%, latency<=12.5%")
    with pytest.raises(
        BudgetError,
        match=r"latency<=12\.5% needs the milliseconds a run of what came in, .*nobody measured",
    ):
        budget.against(Cost(bytes=100))
    for nothing in (0, float("nan"), float("inf")):
        with pytest.raises(
            BudgetError, match=rf"size<=10% needs the bytes of the file .*it has {nothing:g}"
        ):
            budget.against(Cost(bytes=nothing, milliseconds=1.0))  # type: ignore[arg-type]
    with pytest.raises(
        BudgetError, match=r"size<=10% is a share of what came in: call budget\.against\(cost\)"
    ):
        budget.exceeded(Cost(bytes=1, milliseconds=1.0), 0.0)


def test_shares_are_for_resources_of_having_a_model():
    for name in ("labels", "time", "drop", "score"):
        with pytest.raises(BudgetError, match=f"{name} cannot be a share"):
            Budget(**{name: Share(0.5)})
    for fraction in (0, -1, float("nan")):
        with pytest.raises(BudgetError, match="cannot be met"):
            Budget(size=Share(fraction))


def test_the_least_score():
    budget = Budget.parse("score>=98%, size<=1KB")
    assert budget.score == 0.98 and str(budget) == "size<=1KB, score>=0.98"
    assert budget.exceeded(Cost(bytes=1000), 0.5, 0.98) == {}
    assert budget.exceeded(Cost(bytes=1000), 0.0, 0.975) == {"score": (0.975, 0.98)}
    assert budget.exceeded(Cost(bytes=1001), None) == {"size": (1001, 1000), "score": (None, 0.98)}
    assert set(budget.exceeded(Cost(bytes=1), None, float("nan"))) == {"score"}
    assert budget.exceeded(Cost(bytes=1), None, 0.98 - 1e-12) == {} and budget.exceeded(
        Cost(bytes=1), None, 0.98 - 1e-6
    )
    assert Budget(score=-2).exceeded(Cost(), None, -1.5) == {} and Budget(score=-2).exceeded(
        Cost(), None, -2.5
    )


# -- scores by name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("drop(recall)<=0.5%", {"drop(recall)": 0.005}),
        ("score(recall)>=0.9, drop<=1%", {"score(recall)": 0.9}),
        ("Drop ( recall ) <= 0.02, SCORE(F1)>=90%", {"drop(recall)": 0.02, "score(F1)": 0.9}),
        ("score(top-5 of 10)>=-3", {"score(top-5 of 10)": -3}),
        ("drop(recall)<=1%, score(recall)>=0.8", {"drop(recall)": 0.01, "score(recall)": 0.8}),
        ("drop(recall)<=0", {"drop(recall)": 0}),
    ],
)
def test_limits_by_name_are_read(text: str, named: dict[str, float]):
    budget = Budget.parse(text)
    assert budget.named == pytest.approx(named) and budget.relative == ()
    assert Budget.parse(str(budget)) == budget and (budget.drop == 0.01) == ("drop<=" in text)
    assert hash(budget) == hash(Budget.parse(str(budget)))


@pytest.mark.parametrize(
    ("text", "teaches"),
    [
        ("drop(recall)>=1%", r"drop\(recall\) is an upper limit, so write drop\(recall\)<=1%"),
        ("score(recall)<=0.9", r"score\(recall\) is a lower limit, so write score\(recall\)>=0.9"),
        ("size(recall)<=4KB", r"there is no limit called 'size\(recall\)'"),
        ("drop()<=1%", r"there is no limit called 'drop\(\)'"),
        ("drop(a, b)<=1%", "cannot read 'drop\\(a'"),
        ("drop(recall)<=1%, drop( recall )<=2%", r"drop\(recall\) is limited twice"),
        ("drop(recall)<=4KB", r"drop\(recall\) is given in no unit, %, not in 'KB'"),
        (
            "drop(recall)<=-1%",
            r"drop\(recall\)<=-0\.01 cannot be met by any model: give a number 0 or more",
        ),
        ("score(recall)>=-inf", r"score\(recall\)>=-inf limits nothing"),
    ],
)
def test_errors_of_limits_by_name_teach(text: str, teaches: str):
    with pytest.raises(BudgetError, match=teaches):
        Budget.parse(text)


def test_limits_by_name_given_as_numbers_are_checked_too():
    with pytest.raises(
        BudgetError, match=r"no limit called 'recall': .*drop\(recall\) and score\(recall\)"
    ):
        Budget(named={"recall": 0.9})
    with pytest.raises(BudgetError, match="cannot be met"):
        Budget(named={"drop(recall)": -1})
    assert "drop(NAME) and score(NAME)" in limits_in_words()


def test_scores_by_name_are_kept_or_not():
    budget = Budget.parse("drop(recall)<=1%, score(precision)>=0.8").against(
        Cost(), {"recall": 0.9, "precision": 0.7}
    )
    assert budget == Budget.parse("drop(recall)<=1%, score(precision)>=0.8"), (
        "what came in is no limit"
    )
    assert budget.exceeded(Cost(), None, None, {"recall": 0.89, "precision": 0.8}) == {}
    assert budget.exceeded(Cost(), 0.5, 0.1, {"recall": 0.95, "precision": 0.9}) == {}
    over = budget.exceeded(Cost(), 0.0, 1.0, {"recall": 0.85, "precision": 0.79})
    assert over["drop(recall)"] == (pytest.approx(0.05), 0.01) and over["score(precision)"] == (
        0.79,
        0.8,
    )
    assert budget.exceeded(Cost(), 0.0, 1.0, {"recall": 0.9}) == {"score(precision)": (None, 0.8)}
    assert set(budget.exceeded(Cost(), None)) == {"drop(recall)", "score(precision)"}, (
        "unmeasured is over budget"
    )
    assert budget.without("drop(recall)") == Budget.parse("score(precision)>=0.8")
    assert budget.without("drop(recall)").came_in == budget.came_in
    assert Budget(size=1, drop=0.1).without("size") == Budget(drop=0.1)


def test_a_score_that_the_task_does_not_have_is_refused_with_those_that_it_has():
    budget = Budget.parse("drop(recal)<=1%")
    with pytest.raises(
        BudgetError,
        match=r"limits drop\(recal\), .*no score called 'recal': its scores are recall, F1; did "
        r"you",
    ):
        budget.against(Cost(), {"recall": 0.9, "F1": 0.8})
    with pytest.raises(BudgetError, match=r"has none by name: give them by Task\.scores"):
        budget.against(Cost(), {})
    with pytest.raises(BudgetError, match=r"call budget\.against\(cost, scores\)"):
        budget.against(Cost())
    with pytest.raises(BudgetError, match=r"call budget\.against\(cost, scores\) first"):
        budget.exceeded(Cost(), 0.0, 0.5, {"recal": 0.5})
