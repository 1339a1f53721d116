"""Which meters a budget needs."""

from dataclasses import fields

from shoestring.core import Budget, Cost
from shoestring.meters import Energy, Latency, Memory, Operations, Size, default_meters


def test_a_budget_gets_the_meters_of_its_limits_and_no_others():
    assert (
        default_meters(Budget())
        == []
        == default_meters(Budget.parse("time<=1h, labels<=5, drop<=1%"))
    )
    assert default_meters(Budget.parse("size<=4KB, drop<=1%")) == [Size()]
    limits = "energy<=1mJ, memory<=1MB, operations<=1M, latency<=1ms, size<=1KB"
    assert default_meters(Budget.parse(limits)) == [
        Size(),
        Latency(),
        Operations(),
        Memory(),
        Energy(),
    ]


def test_a_meter_measures_what_it_says(linear):
    for meter in (Size(), Latency(), Operations(), Memory()):
        assert set(meter(linear.path, linear.task).measured()) == {meter.measures}
    assert {one.measures for one in (Size, Latency, Operations, Memory, Energy)} < {
        f.name for f in fields(Cost)
    }
