"""Plans of memory: nothing lies over what is still needed, and little is wasted."""

from __future__ import annotations

import numpy as np
import pytest
import tiers
from c_graphs import Made

from shoestring.artifact.plain_c.lowering import lowered
from shoestring.artifact.plain_c.memory import ARENA, Memory, planned


def chain(made: Made, value: str, count: int) -> str:
    """Convolutions one after the other, of 8 × 8 × 4 floats each."""
    for _ in range(count):
        value = made.node("Conv", value, np.ones((4, 4, 3, 3)), pads=(1, 1, 1, 1))
    return value


def check(memory: Memory) -> None:
    """No two rows of the map are at the same bytes at the same time."""
    for one in memory.map:
        for other in memory.map:
            if one is other or one.place.space != other.place.space:
                continue
            in_time = one.first <= other.last and other.first <= one.last
            in_space = (
                one.place.offset < other.place.offset + other.bytes
                and other.place.offset < one.place.offset + one.bytes
            )
            assert not (in_time and in_space and one.bytes and other.bytes)
    ends = [row.place.offset + row.bytes for row in memory.map if row.place.space == ARENA]
    assert max(ends, default=0) <= memory.arena_bytes < max(ends, default=0) + 4


def test_a_chain_needs_two_buffers():
    made = Made(x=(1, 4, 8, 8))
    network = lowered(made.content(chain(made, "x", 6)), {})
    kept = planned(network, {}, reuse_inputs=False)
    check(kept)
    assert kept.arena_bytes == 2 * 1024
    reused = planned(network, {}, reuse_inputs=True)
    check(reused)
    assert reused.arena_bytes == 1024 and reused.written == (0,)


def test_a_residual_sum_is_written_over_what_it_adds():
    made = Made(x=(1, 4, 8, 8))
    value = chain(made, "x", 1)
    for _ in range(3):
        value = made.node("Add", chain(made, value, 2), value)
    network = lowered(made.content(chain(made, value, 1)), {})
    memory = planned(network, {}, reuse_inputs=False)
    check(memory)
    assert memory.arena_bytes == 2 * 1024  # the convolution before it is not stored


@pytest.mark.parametrize("seed", range(tiers.repetitions(10, 200)))
def test_random_networks(seed):
    drawn, made = np.random.default_rng(seed), Made(x=(1, 4, 8, 8))
    values = [chain(made, "x", 1)]
    for _ in range(int(drawn.integers(2, 12))):
        one, other = drawn.choice(values), drawn.choice(values)
        kind = drawn.integers(0, 4)
        if kind == 0:
            values.append(made.node("Add", str(one), str(other)))
        elif kind == 1:
            values.append(made.node("Sigmoid", str(one)))
        else:
            values.append(chain(made, str(one), 1))
    network = lowered(made.content(made.node("Add", values[-1], values[0])), {})
    scratch = {at: int(drawn.integers(0, 300)) for at in range(len(network.layers))}
    for reuse in (False, True):
        check(planned(network, scratch, reuse_inputs=reuse))
