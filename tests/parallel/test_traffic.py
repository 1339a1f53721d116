"""How many bytes an exchange sends, and modelled times of a wire, by hand."""

from __future__ import annotations

import pytest
import torch

from shoestring.parallel import (
    WIRES,
    BFloat16Gradients,
    EightBits,
    OneBit,
    PowerSGD,
    RandomK,
    SinglePrecision,
    TopK,
    Traffic,
    Wire,
    traffic,
)


def test_bytes_by_hand():
    """A matrix of 20 by 30, and a bias of 20."""
    sizes = [torch.zeros(20, 30), torch.zeros(20)]
    assert traffic(SinglePrecision(), sizes) == Traffic(2480, (2480,), ())
    assert traffic(BFloat16Gradients(), sizes) == Traffic(1240, (1240,), ())
    assert traffic(EightBits(), sizes) == Traffic(628, (), (628,))
    # 6 numbers, 6 times 6 low bits, and 6 + 9 marks
    assert traffic(TopK(0.01), sizes) == Traffic(31, (), (31,))
    assert traffic(RandomK(0.01), sizes) == Traffic(32, (24,), ())  # with the number of the step
    assert traffic(PowerSGD(2), sizes) == Traffic(480, (240, 240), ())
    assert traffic(OneBit(), sizes) == Traffic(94, (), (94,))
    assert Traffic(0, (100, 20), ()).among(4) == 2 * 3 * 120
    assert Traffic(0, (), (10,)).among(4) == 4 * 3 * 10
    assert Traffic(5, (100,), (10,)).among(1) == 0


def test_times_on_a_wire_by_hand():
    wire = Wire(8e6, 0.001)  # a megabyte a second
    assert wire.reduce_seconds(4_000_000, 4) == pytest.approx(6 * 1.001)
    assert wire.gather_seconds(1_000_000, 4) == pytest.approx(3 * 1.001)
    assert wire.server_seconds(1_000_000, 2_000_000, 4) == pytest.approx(12.002)
    assert wire.mean_seconds(Traffic(0, (4_000_000,), (1_000_000,)), 4) == pytest.approx(9.009)
    assert wire.mean_seconds(Traffic(0, (4_000_000,), ()), 1) == 0
    shared = Wire(8e6, 0.0, is_shared=True)
    assert shared.gather_seconds(1_000_000, 4) == pytest.approx(12)
    whole = traffic(SinglePrecision(), [torch.zeros(400, 30)])
    times = [one.mean_seconds(whole, 4) for one in WIRES.values()]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Wire(0, 0), "a rate above 0"),
        (lambda: Wire(1e6, -1), "latency of 0 or more"),
        (lambda: Wire(1e6, 0).gather_seconds(1, 0), "0 workers"),
    ],
)
def test_numbers_that_no_wire_has(wrong, words: str):
    with pytest.raises(ValueError, match=words):
        wrong()
