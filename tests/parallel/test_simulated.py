"""Workers of a simulation: what they learn, by hand and beside one process, and going on."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from made_pulled import Pulled
from torch import Tensor, nn

from shoestring.core import score, seeded
from shoestring.core.spending import counting
from shoestring.kit import (
    SGD,
    AdamW,
    Constant,
    DivergedError,
    Supervised,
    Training,
    Workers,
    parameters_of,
    resuming,
    train,
)
from shoestring.kit.training import resume
from shoestring.parallel import (
    AdaptivelyCompensated,
    AsItComes,
    ByStaleness,
    DelayCompensated,
    EightBits,
    LateGradients,
    OneBit,
    PowerSGD,
    RandomK,
    SimulatedAsynchronous,
    SimulatedSynchronous,
    StepTimes,
    TopK,
)
from shoestring.plan import diagnose
from shoestring.prune import Magnitude
from shoestring.search import range_test

PLAIN = SGD(0.1, momentum=0.0)


def one_weight() -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def learnt(workers: Workers | None, steps: int, *wanted: float, optimizer=PLAIN) -> float:
    training = Training(steps, optimizer, Constant(0.0), workers=workers)
    model = train(one_weight(), Pulled(wanted), training)
    return float(next(model.parameters()).detach())


def late(late: LateGradients, workers: int = 2) -> SimulatedAsynchronous:
    return SimulatedAsynchronous(StepTimes.equal(workers, spread=0.0), late)


def pictures() -> Supervised:
    with seeded(3):
        inputs = torch.randn(96, 8)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=8)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


def weights(training: Training) -> Tensor:
    with seeded(0):
        model = train(net(), pictures(), training)
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def test_a_late_gradient_by_hand():
    """Two workers begin with 1. The first hands in 1 - 0: 0.9. The second, 1 - 2 = -1: 1.0.
    The first, which has 0.9, hands in 0.9 - 0: 0.91."""
    assert learnt(late(AsItComes()), 1, 0.0, 2.0) == pytest.approx(0.9)
    assert learnt(late(AsItComes()), 2, 0.0, 2.0) == pytest.approx(1.0)
    assert learnt(late(AsItComes()), 3, 0.0, 2.0) == pytest.approx(0.91)


def test_a_late_gradient_is_compensated_by_hand():
    """The second, -1, was made with 1 where the weight is 0.9: -1 + 0.5 · 1 · (0.9 - 1)."""
    assert learnt(late(DelayCompensated(0.5)), 2, 0.0, 2.0) == pytest.approx(0.9 + 0.1 * 1.05)


def test_the_adaptive_compensation_by_hand():
    """The mean of squares is 0.1 · 1, then 0.9 · 0.1 + 0.1 · 1 = 0.19; the weight 2 / √0.19."""
    found = learnt(late(AdaptivelyCompensated(2.0, decay=0.9)), 2, 0.0, 2.0)
    assert found == pytest.approx(0.9 + 0.1 * (1 + 2 / 0.19**0.5 * 0.1))


def test_the_rate_of_a_late_gradient_by_hand():
    """The third worker's gradient is 2 steps late: half of the rate."""
    first_two = learnt(late(ByStaleness(), 3), 2, 0.0, 0.0, 0.0)
    assert first_two == pytest.approx(1 - 0.1 - 0.1)
    assert learnt(late(ByStaleness(), 3), 3, 0.0, 0.0, 0.0) == pytest.approx(0.8 - 0.05)


@pytest.mark.parametrize(
    "workers",
    [
        late(AsItComes(), 1),
        late(ByStaleness(), 1),
        late(DelayCompensated(), 1),
        late(AdaptivelyCompensated(), 1),
        SimulatedSynchronous(StepTimes.equal(1)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("optimizer", [AdamW(1e-2), SGD(0.1)], ids=repr)
def test_one_worker_learns_what_one_process_does(workers, optimizer):
    expected = weights(Training(20, optimizer))
    assert torch.equal(weights(Training(20, optimizer, workers=workers)), expected)


def test_workers_that_wait_change_the_weights_once_a_round():
    """Gradients of 1 with 0 and 2 cancel out. Of a last round with one of them, it counts alone."""
    together = SimulatedSynchronous(StepTimes.equal(2))
    assert learnt(together, 2, 0.0, 2.0) == pytest.approx(1.0)
    assert learnt(together, 2, 0.0, 1.0) == pytest.approx(1 - 0.1 * 0.5)
    assert learnt(together, 3, 0.0, 1.0) == pytest.approx(0.95 - 0.1 * 0.95)


def test_a_gradient_that_comes_last_is_lost():
    """The second worker is slow, so only the first's examples count."""
    with_backup = SimulatedSynchronous(StepTimes((1.0, 3.0), spread=0.0), backups=1)
    assert learnt(with_backup, 2, 0.0, 2.0) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "workers",
    [
        late(AdaptivelyCompensated(), 3),
        SimulatedAsynchronous(StepTimes.equal(4, slowest=3.0)),
        SimulatedSynchronous(StepTimes.equal(3), backups=1),
        SimulatedSynchronous(StepTimes.equal(3), exchange=TopK(0.1)),
        SimulatedSynchronous(StepTimes.equal(3), exchange=RandomK(0.1)),
        SimulatedSynchronous(StepTimes.equal(3), exchange=PowerSGD(1)),
        SimulatedAsynchronous(StepTimes.equal(3), exchange=OneBit(0.9)),
    ],
    ids=repr,
)
def test_a_training_goes_on_where_it_was_killed(workers, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 1)
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    training = Training(31, SGD(0.1), workers=workers)
    expected = weights(training)

    def killed(step: int) -> None:
        if step == 17:
            raise KeyboardInterrupt

    with resuming(tmp_path):
        with pytest.raises(KeyboardInterrupt), seeded(0):
            train(net(), pictures(), training, before_step=killed)
        assert torch.equal(weights(training), expected)


def test_a_technique_that_changes_weights_while_it_trains_has_workers():
    """What is pruned stays pruned, with the weights of each worker."""
    training = Training(60, SGD(0.1), workers=SimulatedAsynchronous(StepTimes.equal(4)))
    with seeded(0):
        model = train(net(), pictures(), Training(60, SGD(0.1)))
        pruned = Magnitude(density=0.4, training=training)(model, pictures())
    zeros = [int((one.value() == 0).sum()) for one in parameters_of(pruned)]
    sizes = [one.raw.numel() for one in parameters_of(pruned)]
    assert sum(zeros) >= 0.5 * sum(size for size, none in zip(sizes, zeros, strict=True) if none)
    assert score(pictures(), pruned) > 0.8


def test_weights_that_are_late_are_not_those_of_one_process():
    expected = weights(Training(20, SGD(0.1)))
    assert not torch.equal(weights(Training(20, SGD(0.1), workers=late(AsItComes(), 8))), expected)


def test_a_slow_worker_holds_up_those_who_wait_and_not_the_others():
    times = StepTimes.equal(8, slowest=3.0, spread=0.0)
    waiting, free = SimulatedSynchronous(times), SimulatedAsynchronous(times)
    assert waiting.simulated_time(80) == 30.0  # ten rounds
    assert SimulatedSynchronous(times, backups=1).simulated_time(80) == 10.0
    assert free.simulated_time(8) == 2.0  # seven of them twice before the slow one once
    assert waiting.simulated_time(0) == free.simulated_time(0) == 0.0
    assert waiting.simulated_time(800) / free.simulated_time(800) > 2


def test_times_vary_and_are_the_same_again():
    times = StepTimes.equal(3, spread=0.3)
    first = list(islice(times.ends(), 50))
    assert first == list(islice(times.ends(), 50)) == sorted(first)
    assert {worker for _, worker in first} == {0, 1, 2}
    assert first != list(islice(StepTimes.equal(3, spread=0.3, seed=1).ends(), 50))
    wild = islice(StepTimes((1.0,), spread=9.0).rounds(), 99)
    assert min(min(one) for one in wild) > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: StepTimes(()), "no worker"),
        (lambda: StepTimes((1.0, 0.0)), "worker 1 takes 0.0"),
        (lambda: StepTimes((1.0,), spread=-1), "spread of -1"),
        (lambda: StepTimes.equal(0), "0 workers"),
        (lambda: SimulatedSynchronous(StepTimes.equal(2), backups=2), "2 of 2 workers"),
        (lambda: SimulatedSynchronous(StepTimes.equal(2), backups=0.5), "0.5 of 2 workers"),  # pyright: ignore[reportArgumentType]
        (lambda: StepTimes.equal(2.5), "2.5 workers"),  # pyright: ignore[reportArgumentType]
        (lambda: SimulatedSynchronous(StepTimes.equal(2)).simulated_time(-1), "-1 steps"),
        (lambda: SimulatedAsynchronous(StepTimes.equal(2)).simulated_time(-1), "-1 steps"),
        (lambda: DelayCompensated(-1.0), "compensation of -1"),
        (lambda: AdaptivelyCompensated(1.0, decay=1.0), "decay of 1"),
    ],
)
def test_numbers_out_of_range(wrong, words: str):
    with pytest.raises(ValueError, match=words):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Training(3, workers=4), r"workers of shoestring\.parallel"),  # pyright: ignore[reportArgumentType]
        (lambda: Training(3, workers=SimulatedAsynchronous), r"workers of shoestring\.parallel"),  # pyright: ignore[reportArgumentType]
        (lambda: SimulatedAsynchronous(4), r"give StepTimes"),  # pyright: ignore[reportArgumentType]
        (lambda: SimulatedSynchronous(4), r"give StepTimes"),  # pyright: ignore[reportArgumentType]
        (lambda: SimulatedAsynchronous(StepTimes.equal(2), AsItComes), r"give AsItComes\(\)"),  # pyright: ignore[reportArgumentType]
        (lambda: SimulatedAsynchronous(StepTimes.equal(2), None), r"give AsItComes\(\)"),  # pyright: ignore[reportArgumentType]
        (
            lambda: SimulatedAsynchronous(StepTimes.equal(2), exchange=TopK),
            r"give SinglePrecision\(\)",
        ),  # pyright: ignore[reportArgumentType]
        (lambda: SimulatedSynchronous(StepTimes.equal(2), exchange=8), r"give SinglePrecision\(\)"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_is_of_another_kind(wrong, words: str):
    with pytest.raises(TypeError, match=words):
        wrong()


def test_times_in_a_list_are_a_value_too():
    assert hash(Training(3, workers=SimulatedSynchronous(StepTimes([1.0, 2.0]))))  # type: ignore[arg-type]


def test_a_training_that_takes_turns_loses_neither_turn_to_a_slow_worker():
    """Batches 0 and 2 take turns; each round begins with another worker, and so loses another."""
    workers = SimulatedSynchronous(StepTimes((1.0, 3.0), spread=0.0), backups=1)
    assert learnt(workers, 2, 0.0, 2.0) == pytest.approx(0.9)
    assert learnt(workers, 4, 0.0, 2.0) == pytest.approx(0.9 - 0.1 * (0.9 - 2.0))


def test_a_parameter_without_a_gradient_in_some_of_a_round_has_the_mean_of_those_it_had():
    class Turns(Pulled):
        def loss(self, model, batch):
            part = model[0] if float(batch) == 0 else model[1]
            return 0.5 * (part.weight - batch).square().sum()

    model = nn.Sequential(one_weight(), one_weight())
    workers = SimulatedSynchronous(StepTimes.equal(2))
    train(model, Turns((0.0, 2.0)), Training(2, PLAIN, Constant(0.0), workers=workers))
    found = [float(one.detach()) for one in model.parameters()]
    assert found == pytest.approx([0.9, 1.1])


def test_weights_that_broke_in_the_last_steps_are_an_error():
    """The loss is of a worker's older weights, and is finite for some steps more."""

    class Steep(Pulled):
        def loss(self, model, batch):
            return 3e38 * model.weight.sum()

    steep = Training(2, SGD(1e3, momentum=0.0), Constant(0.0), workers=late(AsItComes(), 4))
    with pytest.raises(DivergedError, match="after the last of 2 steps"):
        train(one_weight(), Steep((0.0,)), steep)


class Two(Pulled):
    """The same with two weights: their gradients are those of y and of y / 4."""

    def loss(self, model, batch):
        return -(model.weight * torch.tensor([[1.0, 0.25]])).sum() * batch.sum()


def two_weights(workers: Workers, steps: int, *drawn: float) -> list[float]:
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    train(
        model, Two(drawn), Training(steps, SGD(1.0, momentum=0.0), Constant(0.0), workers=workers)
    )
    return model.weight.detach().flatten().tolist()


def test_what_workers_do_not_send_waits_with_each_of_them():
    """Half of two numbers is sent. The second worker's first round is 8 and 2, and the next 0 and
    0: then it sends the 2 that it kept. The first worker's are 0 and 0, and 1 and 0.25: it sends 1.
    """
    workers = SimulatedSynchronous(StepTimes.equal(2), exchange=TopK(0.5))
    assert two_weights(workers, 2, 0.0, 8.0, 1.0, 0.0) == pytest.approx([4, 0])
    assert two_weights(workers, 4, 0.0, 8.0, 1.0, 0.0) == pytest.approx([4.5, 1])
    one_by_one = SimulatedAsynchronous(StepTimes.equal(2, spread=0.0), exchange=TopK(0.5))
    assert two_weights(one_by_one, 4, 0.0, 8.0, 1.0, 0.0) == pytest.approx([9, 2])


def test_an_exchange_that_sends_all_is_that_of_single_precision():
    for kind in (SimulatedSynchronous, SimulatedAsynchronous):
        plain, all_sent = (
            kind(StepTimes.equal(3), **more) for more in ({}, {"exchange": TopK(1.0)})
        )
        expected = weights(Training(20, SGD(0.1), workers=plain))
        found = weights(Training(20, SGD(0.1), workers=all_sent))
        assert torch.allclose(found, expected, atol=1e-6)


def test_the_bytes_that_are_sent_are_spent():
    """Two numbers. In a round of four workers 2 · 3 · 8 bytes go around; of 8 bits, 4 · 3 · 6."""
    equal = StepTimes.equal(4)
    for workers, due in (
        (SimulatedSynchronous(equal), 2 * 2 * 3 * 8),
        (SimulatedSynchronous(equal, exchange=EightBits()), 2 * 4 * 3 * 6),
        (SimulatedAsynchronous(equal), 8 * (8 + 8)),
        (SimulatedAsynchronous(equal, exchange=EightBits()), 8 * (6 + 8)),
    ):
        with counting() as spending:
            two_weights(workers, 8, 1.0)
        assert spending.cost().communicated_bytes == due


def test_backups_are_of_exchanges_that_keep_nothing():
    equal = StepTimes.equal(3)
    weights(Training(6, PLAIN, workers=SimulatedSynchronous(equal, 1, EightBits())))
    with pytest.raises(ValueError, match=r"with 1 backups.*PowerSGD.*give backups=0"):
        weights(Training(6, PLAIN, workers=SimulatedSynchronous(equal, 1, PowerSGD())))


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"some are torch\.float16.*precision=Mixed"):
        training = Training(2, PLAIN, workers=SimulatedSynchronous(StepTimes.equal(2)))
        train(one_weight().half(), Pulled((0.0,)), training)


def test_what_is_of_one_process_says_so():
    training = Training(100, workers=late(AsItComes()))
    with pytest.raises(ValueError, match="range test is of one process"):
        range_test(net(), pictures(), training)
    with pytest.raises(ValueError, match="diagnose is of one process"):
        diagnose(net(), pictures(), training=training)


@pytest.mark.slow
def test_the_example_of_the_page_learns():
    page = Path(__file__).parents[2] / "docs" / "parallel.md"
    found = re.search(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    namespace = dict[str, Any]()
    exec(found.group(1), namespace)
    assert namespace["task"].score(namespace["model"], "validation") > 0.75
