"""Layers on devices: schedules by hand, searches beside all placements there are, real parts."""

from __future__ import annotations

import itertools
import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.models import LeNet5, ResNet20, TextEncoder
from shoestring.parallel import (
    BalancedParts,
    BranchAndBound,
    Device,
    DoesNotFitError,
    DynamicProgramming,
    EarliestEnd,
    LayerCost,
    LayerGraph,
    Link,
    OneDevice,
    PlacementProblem,
    PolicyGradient,
    RandomPlacements,
    layer_costs,
    place,
    simulated_run,
)
from shoestring.parallel.placement.frontier import Frontier, Growth
from shoestring.parallel.placement.room import Room

# 1,000 bytes take 1 ms, and are there 1 ms later.
WIRE = Link(1e6, 1e-3)


def diamond() -> LayerGraph:
    """One layer, two that take its output, and one that takes theirs."""
    return LayerGraph(
        (
            LayerCost("a", 2.0, 100, 1000),
            LayerCost("b", 6.0, 100, 1000, ("a",)),
            LayerCost("c", 4.0, 100, 2000, ("a",)),
            LayerCost("d", 2.0, 100, 0, ("b", "c")),
        )
    )


def chain(*milliseconds: float, size: float = 0.0, weights: float = 1.0) -> LayerGraph:
    return LayerGraph(
        tuple(
            LayerCost(f"{i}", one, weights, size, (f"{i - 1}",) if i else ())
            for i, one in enumerate(milliseconds)
        )
    )


def drawn(draw: random.Random, layers: int, devices: int) -> PlacementProblem:
    """A problem at random, in which memory is scarce."""
    graph = LayerGraph(
        tuple(
            LayerCost(
                f"{i}",
                draw.uniform(0.1, 3.0),
                draw.choice([1e4, 1e5, 1e6]) * draw.random(),
                draw.uniform(1e3, 3e5),
                tuple(f"{one}" for one in draw.choices(range(max(0, i - 4), i), k=2)) if i else (),
            )
            for i in range(layers)
        )
    )
    size = sum(one.weight_bytes + one.output_bytes for one in graph.layers)
    some = [
        Device(f"{i}", draw.choice([0.5, 1.0, 4.0, 10.0]), size * draw.uniform(0.3, 1.2))
        for i in range(devices)
    ]
    pairs = itertools.combinations([one.name for one in some], 2)
    links = {pair: Link(10 ** draw.uniform(7, 9), 10 ** draw.uniform(-5, -3)) for pair in pairs}
    return PlacementProblem(graph, some, links)


def all_placements(problem: PlacementProblem) -> list[float]:
    """The milliseconds of all placements that are possible."""
    every = itertools.product(range(len(problem.devices)), repeat=len(problem.graph))
    runs = [simulated_run(problem, devices) for devices in every]
    return [run.milliseconds for run in runs if run.is_possible]


# -- the simulated run


def test_a_schedule_by_hand():
    problem = PlacementProblem(diamond(), [Device("x"), Device("y", 2.0)], WIRE)
    run = simulated_run(problem, (0, 0, 1, 0))
    # a runs until 2. Its output is sent until 3 and there at 4, c takes 4 / 2 on y, until 6, its
    # output is sent until 8 and there at 9. Meanwhile b runs until 8, and d from 9 on.
    assert run.begins == (0.0, 2.0, 4.0, 9.0)
    assert run.ends == (2.0, 8.0, 6.0, 11.0)
    # x: three weights, three outputs, and the one that it was sent. y: one of each.
    assert run.bytes == (300 + 2000 + 2000, 100 + 2000 + 1000)
    assert run.is_possible and run.milliseconds == 11.0


def test_an_output_is_sent_once_to_each_device():
    graph = LayerGraph(
        (
            LayerCost("a", 1.0, 0, 1000),
            LayerCost("b", 1.0, 0, 0, ("a",)),
            LayerCost("c", 1.0, 0, 0, ("a",)),
        )
    )
    problem = PlacementProblem(graph, [Device("x"), Device("y"), Device("z")], WIRE)
    assert simulated_run(problem, (0, 1, 1)).ends == (1.0, 4.0, 5.0)
    assert simulated_run(problem, (0, 1, 1)).bytes == (1000, 1000, 0)
    assert simulated_run(problem, (0, 1, 2)).ends == (1.0, 4.0, 4.0)


def test_a_wire_carries_one_output_at_a_time():
    graph = LayerGraph(
        (
            LayerCost("a", 0.0, 0, 1000),
            LayerCost("b", 0.0, 0, 1000),
            LayerCost("c", 1.0, 0, 0, ("a", "b")),
        )
    )
    problem = PlacementProblem(graph, [Device("x"), Device("y")], WIRE)
    assert simulated_run(problem, (0, 0, 1)).begins[2] == 3.0  # sent until 2, there at 3


def test_what_is_missing_is_told():
    problem = PlacementProblem(chain(1, 1, weights=60), [Device("x", memory=100.0)], {})
    run = simulated_run(problem, (0, 0))
    assert run.missing == (20.0,) and not run.is_possible
    apart = PlacementProblem(chain(1, 1), [Device("x"), Device("y")], {})
    assert simulated_run(apart, (0, 1)).milliseconds == math.inf


# -- the searches


@pytest.mark.parametrize("seed", range(12))
def test_the_exact_optimum_is_the_best_of_all_placements(seed: int):
    draw = random.Random(seed)
    problem = drawn(draw, draw.randint(2, 6), draw.choice([2, 3]))
    least = min(all_placements(problem), default=None)
    for method in (BranchAndBound(), DynamicProgramming(width=10**6)):
        found = method.devices_of(problem)
        assert (found is None) == (least is None)
        if found is not None:
            run = simulated_run(problem, found)
            assert run.is_possible and run.milliseconds == pytest.approx(least)


@pytest.mark.parametrize("seed", range(6))
def test_no_placement_ends_before_the_bounds(seed: int):
    problem = drawn(random.Random(seed), 5, 3)
    growth = Growth(problem)
    one = growth.grown(Frontier.start(3), 0)
    two = growth.grown(one, 1)
    assert len(two) > 1
    bounds = growth.bounds(two, 2)
    for before, second, bound in zip(two.before, two.devices, bounds, strict=True):
        first = int(one.devices[before])
        ends = [
            run.milliseconds
            for others in itertools.product(range(3), repeat=3)
            if (run := simulated_run(problem, (first, int(second), *others))).is_possible
        ]
        assert not ends or bound <= min(ends) * (1 + 1e-9)


def test_the_room_on_the_fastest_device_bounds_by_hand():
    # 4 ms of work in two layers of 10 bytes; the device of speed 4 has room for one.
    problem = PlacementProblem(
        chain(2, 2, weights=10), [Device("x", 4.0, 10.0), Device("y")], Link(math.inf)
    )
    room, left = Room(problem), np.array([[10.0, math.inf]])
    # Half of the work on x, half on y: y takes 2 ms, and that is more than all of it shared.
    assert room.bound(0, np.zeros((1, 2)), left) == pytest.approx(2.0)
    # After the first layer is on x, no room is left: the second takes 2 ms.
    assert room.way(0, 1, np.array([[0.0, math.inf]])) == pytest.approx(2.0)
    assert room.way(0, 1, left) == pytest.approx(0.5)


def test_a_narrow_frontier_is_no_better_and_always_possible():
    draw = random.Random(3)
    for _ in range(5):
        problem = drawn(draw, 10, 3)
        best = BranchAndBound().devices_of(problem)
        assert best is not None
        least = simulated_run(problem, best).milliseconds
        for method in (DynamicProgramming(width=1), DynamicProgramming(), EarliestEnd()):
            if (found := method.devices_of(problem)) is not None:
                run = simulated_run(problem, found)
                assert run.is_possible and run.milliseconds >= least * (1 - 1e-9)


def test_the_greedy_search_takes_back_nothing():
    # The fast device holds one layer. Greed gives it the first, and the long one runs elsewhere.
    devices = [Device("slow"), Device("fast", 10.0, 60.0)]
    problem = PlacementProblem(chain(1, 10, weights=50), devices, WIRE)
    greedy, best = EarliestEnd().devices_of(problem), BranchAndBound().devices_of(problem)
    assert greedy == (1, 0) and best == (0, 1)
    assert simulated_run(problem, greedy).milliseconds == pytest.approx(0.1 + 1 + 10)
    assert simulated_run(problem, best).milliseconds == pytest.approx(1 + 1 + 1)


def test_plain_ways_by_hand():
    fast_and_slow = [Device("slow"), Device("fast", 3.0, 3.0)]
    problem = PlacementProblem(chain(1, 1, 1, 1), fast_and_slow, Link(math.inf))
    assert BalancedParts().devices_of(problem) == (1, 1, 1, 0)
    assert OneDevice().devices_of(problem) == (0, 0, 0, 0)  # the fast one holds three layers
    # The best of all placements is among so many draws, and nothing is better.
    best = RandomPlacements(samples=200).devices_of(problem)
    assert best is not None
    assert simulated_run(problem, best).milliseconds == min(all_placements(problem))


def test_the_policy_learns():
    """Chance would need 4,096 draws for it: the policy puts all on the fast one."""
    problem = PlacementProblem(chain(*[1.0] * 12), [Device("x"), Device("y", 9.0)], WIRE)
    method = PolicyGradient(samples=200, batch=10, rate=0.05)
    found = method.devices_of(problem)
    assert found == (1,) * 12
    assert found == method.devices_of(problem)  # the same seed
    assert RandomPlacements(samples=200).devices_of(problem) != found


def test_a_method_leaves_the_random_numbers_of_others_alone():
    problem = PlacementProblem(chain(1, 1), [Device("x")], {})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    PolicyGradient(samples=2, batch=1).devices_of(problem)
    assert torch.equal(before, torch.get_rng_state())


# -- graphs


def test_layers_are_sorted_and_joined():
    graph = LayerGraph(
        (
            LayerCost("d", 1.0, 1, 1, ("b", "c")),
            LayerCost("a", 1.0, 1, 1),
            LayerCost("b", 1.0, 1, 2, ("a",)),
            LayerCost("c", 1.0, 1, 3, ("a",)),
            LayerCost("e", 4.0, 1, 4, ("d",)),
            LayerCost("f", 1.0, 1, 5, ("e",)),
        )
    )
    assert [one.name for one in graph.layers] == ["a", "b", "c", "d", "e", "f"]
    # d and e take 5 together, e and f too: the first are joined. Then branches are left.
    five = graph.joined(5)
    assert [one.name for one in five.layers] == ["a", "b", "c", "d … e", "f"]
    assert [one.name for one in graph.joined(1).layers] == ["a", "b", "c", "d … f"]
    last = graph.joined(1).layers[-1]
    assert (last.milliseconds, last.weight_bytes, last.output_bytes) == (6.0, 3, 5)
    assert set(last.inputs) == {"b", "c"}


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ((), "no layer"),
        ((LayerCost("a", 1.0), LayerCost("a", 1.0)), "two layers are called 'a'"),
        ((LayerCost("a", 1.0, inputs=("b",)),), "takes the output of 'b'"),
        (
            (LayerCost("a", 1.0, inputs=("b",)), LayerCost("b", 1.0, inputs=("a",))),
            "wait for each other in a circle, among a, b",
        ),
        ((LayerCost("a", 1.0, inputs=("a",)),), "in a circle, among a"),
    ],
)
def test_hostile_graphs_are_refused(layers: tuple[LayerCost, ...], says: str):
    with pytest.raises(ValueError, match=says):
        LayerGraph(layers)


@pytest.mark.slow
@pytest.mark.by_default("100")
@pytest.mark.parametrize("layers", [100, 1000], ids=str)
def test_a_chain_fills_the_fast_device_and_crosses_once(layers: int):
    graph = chain(*[1.0] * layers, size=10.0)
    devices = [Device("x", 2.0, 0.6 * layers * 11.0), Device("y")]
    placement = place(graph, devices, WIRE, DynamicProgramming(width=8))
    # 0.6 of the layers take half a millisecond, the others one, and the wire 1.01 ms. y is first or
    # last. Where x is last, the output that it is sent takes the place of a layer.
    best = layers * (0.6 / 2 + 0.4) + 1.01
    assert placement.milliseconds == pytest.approx(best)
    assert len(str(placement).splitlines()) < 20


# -- devices and memory


def test_one_device_takes_all():
    placement = place(diamond(), [Device("only", 2.0)], {})
    assert placement.milliseconds == 14.0 / 2
    assert set(placement.device_of.values()) == {"only"}


def test_devices_without_a_link_share_nothing():
    placement = place(diamond(), [Device("x"), Device("y", 2.0)], {})
    assert set(placement.device_of.values()) == {"y"}
    two = LayerGraph((LayerCost("a", 1.0), LayerCost("b", 1.0)))
    assert place(two, [Device("x"), Device("y")], {}).milliseconds == 1.0  # nothing is handed on


def test_a_link_goes_both_ways_unless_there_is_another():
    names = [Device("x"), Device("y")]
    one = PlacementProblem(diamond(), names, {("x", "y"): WIRE})
    assert one.latency[1, 0] == one.latency[0, 1] == 1.0
    two = PlacementProblem(diamond(), names, {("x", "y"): WIRE, ("y", "x"): Link(1e6, 5e-3)})
    assert two.latency[1, 0] == 5.0 and two.latency[0, 1] == 1.0


def test_what_does_not_fit_is_said_with_the_nearest():
    with pytest.raises(DoesNotFitError, match=r"lacks 20 bytes on 'x'") as caught:
        place(chain(1, 1, weights=60), [Device("x", memory=100.0)], {})
    assert sum(caught.value.nearest.schedule.missing) == 20.0
    tight = [Device("x", memory=60.0), Device("y", memory=60.0)]
    assert place(chain(1, 1, weights=60), tight, WIRE).milliseconds == 3.0  # nothing, 1 ms later
    with pytest.raises(DoesNotFitError, match="found no placement of 2 layers"):
        place(chain(1, 1, weights=60), tight, {})  # both would fit, and cannot hand on


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Device("x", 0.0), "'x' has a speed of 0.0"),
        (lambda: Device("x", memory=-1), "'x' holds -1 bytes"),
        (lambda: Link(0), "a link of 0 bytes per second"),
        (lambda: Link(1, -1), "a link that takes -1 seconds"),
        (lambda: LayerCost("a", math.nan), "milliseconds=nan"),
        (lambda: LayerCost("a", 1, -1), "weight_bytes=-1"),
        (lambda: DynamicProgramming(width=0), "width=0"),
        (lambda: BranchAndBound(most=0), "most=0"),
        (lambda: RandomPlacements(samples=0), "samples=0"),
        (lambda: PolicyGradient(batch=0), "batch=0"),
        (lambda: PolicyGradient(rate=0.0), "rate=0.0"),
        (lambda: PolicyGradient(entropy=-1.0), "entropy=-1.0"),
        (lambda: place(diamond(), [], WIRE), "on no device"),
        (lambda: place(diamond(), [Device("x"), Device("x")], WIRE), "two devices are called"),
        (lambda: place(diamond(), [Device("x")], {("x", "z"): WIRE}), "no device 'z'"),
    ],
)
def test_numbers_out_of_range_are_refused(make, says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        make()


def test_a_graph_that_is_too_large_for_the_optimum_is_refused():
    problem = drawn(random.Random(0), 30, 3)
    with pytest.raises(ValueError, match="takes more than 10 branches"):
        BranchAndBound(most=10).devices_of(problem)


# -- real models


class Branches(nn.Module):
    """Two towers, a branch on a size, an option, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 8), nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.join = nn.Linear(16, 3)
        self.register_buffer("shift", torch.full((6,), 0.5))

    def forward(self, a, b, mask=None):
        if a.shape[1] != 6:
            raise ValueError("six features")
        left = torch.relu(self.left(a - self.shift))
        if mask is not None:
            left = left * mask
        first, second = self.right(b).chunk(2, 1)
        return {"scores": self.join(torch.cat([left, first, second], 1)), "left": left}


def test_the_costs_of_a_network_with_branches():
    graph = layer_costs(Branches(), (torch.rand(4, 6), torch.rand(4, 6)), runs=2)
    one = {layer.name: layer for layer in graph.layers}
    assert list(one) == ["start", "left", "right.0", "cat", "join"]
    assert one["left"].inputs == ("start",) and one["right.0"].inputs == ()
    assert set(one["cat"].inputs) == {"left", "right.0"} and one["join"].inputs == ("cat",)
    assert one["start"].weight_bytes == 6 * 4  # the buffer
    assert one["left"].weight_bytes == (6 * 8 + 8) * 4
    assert one["start"].output_bytes == 4 * 6 * 4
    assert one["right.0"].output_bytes == 4 * 8 * 4  # both halves
    assert one["join"].output_bytes == 0
    assert all(layer.milliseconds > 0 for layer in graph.layers)


def test_parts_of_a_network_with_branches_give_what_it_gives():
    model, example = Branches(), (torch.rand(4, 6), torch.rand(4, 6))
    graph = layer_costs(model, example, runs=1)
    # Each layer alone on a device: what crosses two parts is handed through the part between.
    size = max(one.weight_bytes + 3 * one.output_bytes for one in graph.layers) + 400
    found = place(graph, [Device(f"{i}", 1.0 + i, size) for i in range(4)], Link(1e9))
    parts = found.split(model, example)
    assert len(parts) > 1
    assert [name for part in parts for name in part.layers] == [one.name for one in graph.layers]
    answers = run_in_parts(parts, *example)
    wanted = model.eval()(*example)
    assert set(answers) == {"scores", "left"}
    for name, value in wanted.items():
        assert torch.allclose(answers[name], value, atol=1e-6)


def run_in_parts(parts, *inputs):
    values = inputs
    for part in parts[:-1]:
        values = part.module(*values)
    return parts[-1].module(*values)


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (LeNet5(), torch.rand(2, 1, 28, 28)),
        (ResNet20(4), torch.rand(2, 3, 32, 32)),
        (TextEncoder(50, width=16, layers=2, heads=2, hidden=16), torch.ones(2, 7).long()),
    ],
    ids=["lenet", "resnet", "text"],
)
def test_parts_of_our_networks_give_what_the_networks_give(model: nn.Module, example):
    model.train()
    graph = layer_costs(model, example, runs=1).joined(12)
    size = sum(one.weight_bytes + one.output_bytes for one in graph.layers)
    devices = [Device("fast", 8.0, 0.6 * size), Device("slow", 1.0, 1.2 * size)]
    placement = place(graph, devices, Link(1e9))
    parts = placement.split(model, example)
    assert len(parts) > 1 and {part.device for part in parts} == {"fast", "slow"}
    assert model.training  # the argument is left alone
    with torch.no_grad():
        given = run_in_parts(parts, example)
        assert torch.allclose(given, model.eval()(example), atol=1e-6)
    told = str(placement)
    assert f"{placement.milliseconds:.3f}" in told and "all on one device" in told


def test_a_block_can_be_one_layer():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.ReLU())
    assert len(layer_costs(model, torch.rand(1, 4), runs=1)) == 2
    whole = nn.Sequential(Pair(), nn.ReLU(), Pair())
    assert len(layer_costs(whole, torch.rand(1, 4), runs=1)) == 4
    assert len(layer_costs(whole, torch.rand(1, 4), runs=1, whole=(Pair,))) == 2


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.two(self.one(x))


def test_a_module_that_is_called_twice_is_two_layers():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.Linear(4, 4)

        def forward(self, x):
            return self.cell(torch.tanh(self.cell(x)))

    graph = layer_costs(Twice(), torch.rand(1, 4), runs=1)
    assert [one.name for one in graph.layers] == ["cell", "cell (2)"]
    assert graph.layers[1].inputs == ("cell",)


def test_what_cannot_be_recorded_is_said():
    with pytest.raises(ValueError, match=r"calls of Branches cannot be recorded: six features"):
        layer_costs(Branches(), (torch.rand(4, 5), torch.rand(4, 6)))
    with pytest.raises(ValueError, match="runs=0"):
        layer_costs(Branches(), (torch.rand(4, 6), torch.rand(4, 6)), runs=0)
    with pytest.raises(ValueError, match="calls nothing"):
        layer_costs(nn.Sequential(), torch.rand(1, 4))
    placement = place(layer_costs(Pair(), torch.rand(1, 4), runs=1), [Device("x")], {})
    with pytest.raises(ValueError, match="not that of this Branches"):
        placement.split(Branches(), (torch.rand(4, 6), torch.rand(4, 6)))
    with pytest.raises(ValueError, match="not that of this Pair"):
        place(diamond(), [Device("x")], {}).split(Pair(), torch.rand(1, 4))
