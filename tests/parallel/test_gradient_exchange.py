"""What workers send of their gradients: by hand, in real processes, and what is no gradient."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import (
    PowerSGDState,
    powerSGD_hook,
)
from torch.multiprocessing import start_processes  # pyright: ignore[reportPrivateImportUsage]

from shoestring.parallel import (
    BFloat16Gradients,
    DynamicTree,
    EightBits,
    GradientExchange,
    LinearLevels,
    OneBit,
    PowerSGD,
    RandomK,
    SinglePrecision,
    TopK,
    traffic,
)
from shoestring.parallel.exchange.places import packed_bytes
from shoestring.parallel.meeting import means
from shoestring.parallel.programs import Programs

EXCHANGES = [
    SinglePrecision(),
    BFloat16Gradients(),
    EightBits(),
    EightBits(LinearLevels()),
    TopK(0.05),
    TopK(0.05, momentum=0.9),
    RandomK(0.05),
    PowerSGD(1),
    PowerSGD(3),
    OneBit(),
    OneBit(momentum=0.9),
]
FEEDING_BACK = [TopK(0.05), RandomK(0.05), PowerSGD(1), PowerSGD(3), OneBit(), OneBit(0.9)]
SHAPES = ((20, 1, 5, 5), (20,), (40, 30), (), (3, 2), (12, 50), (0, 4))


def gradients(seed: int = 0) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    scales = (1.0, 1e-4, 30.0, 1.0, 1.0, 1e-2, 1.0)
    return [
        scale * torch.randn(shape, generator=drawn)
        for scale, shape in zip(scales, SHAPES, strict=True)
    ]


def sent_once(exchange: GradientExchange, *numbers: float) -> list[float]:
    """What comes of a vector's numbers."""
    vector = [torch.tensor(numbers)]
    coder = exchange.coder(vector)
    return coder.decode(coder.encode(vector))[0].tolist()


def joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([one.reshape(-1).double() for one in tensors])


# -- each by hand


def test_whole_numbers_by_hand():
    assert sent_once(SinglePrecision(), 1.0, -1e-30, 3.14159265) == [
        1.0,
        float(np.float32(-1e-30)),
        float(np.float32(3.14159265)),
    ]
    # 8 bits of precision: between 1 and 2 there are 128 of them
    assert sent_once(BFloat16Gradients(), 1.0, 1 + 1 / 128, 1 + 1 / 512) == [1, 1 + 1 / 128, 1]


def test_linear_levels_by_hand():
    """254 is the largest, so that levels are 2 apart; 2.9 is next to 2, and 0.9 to 0."""
    found = sent_once(EightBits(LinearLevels()), 254.0, -254.0, 2.9, 3.1, 0.9)
    assert found == pytest.approx([254, -254, 2, 4, 0])


def test_the_dynamic_tree_by_hand():
    """Below a hundredth of the largest there are 16 parts of a power of ten: the first from 0.001
    to 0.0015625, whose middle is 0.00128125. Below a hundred-thousandth there are two."""
    found = sent_once(EightBits(), 1.0, 0.0013, -0.0013, 3e-6, 0.0)
    assert found == pytest.approx([1, 0.00128125, -0.00128125, 3.25e-6, 0], rel=1e-6)
    levels = DynamicTree().levels()
    assert len(levels) == len(set(levels.tolist())) == 256
    assert (levels.diff() > 0).all() and float(levels[-1]) == 1.0
    assert float(levels[levels > 0].min()) == pytest.approx(0.55e-6)


@pytest.mark.parametrize("levels", [DynamicTree(), LinearLevels()], ids=repr)
def test_the_fast_search_of_a_level_finds_the_nearest(levels):
    vector = torch.randn(4_000, generator=torch.Generator().manual_seed(1))
    vector = torch.cat([vector, vector * 1e-3, vector * 1e-6, levels.levels()])
    scale = vector.abs().max()
    coder = EightBits(levels).coder([vector])
    found = coder.decode(coder.encode([vector]))[0]
    distances = (vector[:, None] / scale - levels.levels()).abs()
    assert torch.allclose((vector - found).abs() / scale, distances.min(1).values, atol=2e-7)


def test_the_largest_by_hand_and_the_others_wait():
    vector = [torch.tensor([1.0, -4.0, 3.0, 0.5])]
    coder = TopK(0.5).coder(vector)
    assert coder.decode(coder.encode(vector))[0].tolist() == [0, -4, 3, 0]
    # kept were 1 and 0.5: now there are 2, -4, 3, 1
    assert coder.decode(coder.encode(vector))[0].tolist() == [0, -4, 3, 0]
    nothing = [torch.zeros(4)]
    assert coder.decode(coder.encode(nothing))[0].tolist() == [2, 0, 0, 1]
    assert len(coder.encode(vector)) == 2 * 4 + packed_bytes(2, 4)


def test_the_momentum_of_a_number_ends_when_it_is_sent():
    """Of 4 and 1, 4 is sent. Of 1 there are 1, then 0.5 more."""
    coder = TopK(0.5, momentum=0.5).coder([torch.zeros(2)])
    sent = [coder.decode(coder.encode([torch.tensor(g)]))[0] for g in ([4.0, 1.0], [0.0, 0.0])]
    assert [one.tolist() for one in sent] == [[4, 0], [0, 1.5]]


def test_random_numbers_are_of_the_same_places_in_all_workers_and_of_all_in_the_end():
    first, second = (RandomK(0.25).coder([torch.zeros(40)]) for _ in range(2))
    taken = torch.zeros(40)
    for _ in range(30):
        one, other = (coder.decode(coder.encode([torch.ones(40)]))[0] for coder in (first, second))
        assert torch.equal(one, other) and int((one != 0).sum()) == 10
        taken += one
    assert float(taken.min()) > 5  # none of 40 was left out
    other = RandomK(0.25, seed=1).coder([torch.zeros(40)])
    fresh = RandomK(0.25).coder([torch.zeros(40)])
    assert not torch.equal(
        other.decode(other.encode([torch.ones(40)]))[0],
        fresh.decode(fresh.encode([torch.ones(40)]))[0],
    )


def test_one_bit_by_hand():
    """1 and 3 have the mean 2; -1 alone. The second time there are 1 + 1 - 2, 3 + 3 - 2, -1."""
    vector = [torch.tensor([1.0, 3.0, -1.0])]
    coder = OneBit().coder(vector)
    assert coder.decode(coder.encode(vector))[0].tolist() == [2, 2, -1]
    assert coder.decode(coder.encode(vector))[0].tolist() == [2, 2, -1]  # of 0, 4 and -1
    assert len(coder.encode(vector)) == 8 + 1
    slow = OneBit(momentum=0.5).coder([torch.zeros(1)])
    sent = [float(slow.decode(slow.encode([torch.tensor([g])]))[0]) for g in (1.0, 0.0)]
    assert sent == [1.0, 0.5]


def test_a_matrix_of_rank_one_comes_out_as_it_was():
    matrix = [torch.outer(torch.arange(1.0, 9.0), torch.tensor([1.0, -2.0, 0.0, 3.0, 1.0, 1.0]))]
    coder = PowerSGD(1).coder(matrix)
    sent = coder.encode(matrix)
    assert len(sent) == 4 * (8 + 6)
    assert torch.allclose(coder.decode(sent)[0], matrix[0], atol=1e-4)
    whole = [torch.randn(4, 4)]  # 8 numbers for 16 are not half of them less
    assert torch.equal(PowerSGD(1).coder(whole).mean(whole, One())[0], whole[0])


class One:
    """A group of one worker."""

    count = 1

    def mean_(self, tensor: Tensor) -> None:
        pass

    def gathered(self, sent: Tensor) -> list[Tensor]:
        return [sent]


def test_power_steps_come_to_the_best_of_this_rank():
    """Without new gradients' noise, as singular values have it."""
    matrix = gradients()[2]
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    best = left[:, :3] * values[:3] @ right[:3]
    coder = PowerSGD(3).coder([matrix])
    for _ in range(300):
        for error in coder.tensors[:1]:
            error.zero_()
        found = coder.mean([matrix], One())[0]
    assert torch.allclose(found, best, atol=1e-2 * float(values[0]) / 10)


def test_a_gradient_of_zeros_leaves_power_steps_as_able_as_before():
    matrix = gradients()[2]
    matrix[0], matrix[:, 0] = 0, 0  # where a first try with a column of an identity would stay
    for rank in (1, 3):
        coder = PowerSGD(rank).coder([matrix])
        assert coder.mean([torch.zeros_like(matrix)], One())[0].abs().max() == 0
        assert coder.mean([matrix], One())[0].norm() > 0.2 * matrix.norm()


# -- all of them


@pytest.mark.parametrize("exchange", EXCHANGES, ids=repr)
def test_what_is_decoded_has_the_shapes_and_the_length_is_always_the_same(exchange):
    coder = exchange.coder(gradients())
    kept = [id(one) for one in coder.tensors]
    step = traffic(exchange, gradients())
    for seed in range(3):
        sent = coder.encode(gradients(seed))
        assert sent.dtype == torch.uint8 and sent.shape == (step.sent,)
        found = coder.decode(sent)
        assert [tuple(one.shape) for one in found] == list(SHAPES)
        assert all(one.dtype == torch.float32 for one in found)
    assert kept == [id(one) for one in coder.tensors]  # a snapshot puts its numbers into them
    assert hash(exchange) == hash(eval(repr(exchange)))


@pytest.mark.parametrize("exchange", FEEDING_BACK, ids=repr)
def test_what_is_left_out_is_sent_later(exchange):
    """All that was sent and what is kept is all there was."""
    coder = exchange.coder(gradients())
    sent, due = torch.zeros(()), torch.zeros(())
    velocity = [torch.zeros_like(one) for one in gradients()]
    share = getattr(exchange, "momentum", 0.0)
    for seed in range(12):
        sent = sent + joined(coder.decode(coder.encode(gradients(seed))))
        velocity = [share * v + one for v, one in zip(velocity, gradients(seed), strict=True)]
        due = due + joined(velocity)
    if isinstance(exchange, PowerSGD):
        kept = {tuple(one.shape): one for one in coder.tensors[: len(coder.tensors) // 2]}
        left = [
            kept.get((one.shape[0], one.numel() // one.shape[0]), torch.zeros_like(one))
            if one.numel() and one.ndim > 1
            else torch.zeros_like(one)
            for one in gradients()
        ]
        assert len(kept) == 3
    else:
        left = [coder.tensors[0]]
    assert torch.allclose(sent + joined(left), due, atol=2e-3)
    assert float(joined(left).norm()) > 0.1


@pytest.mark.parametrize("exchange", EXCHANGES, ids=repr)
def test_bytes_that_are_no_gradients_are_an_error_or_some_gradients(exchange):
    coder = exchange.coder(gradients())
    sent = coder.encode(gradients())
    for wrong in (sent[:-1], torch.cat([sent, sent[:1]]), sent[:0]):
        with pytest.raises(ValueError, match="the same model and the same exchange"):
            coder.decode(wrong)
    with pytest.raises(ValueError, match="they are bytes"):
        coder.decode(sent.float())
    with pytest.raises(ValueError, match="they are bytes"):
        coder.decode(sent[None])
    drawn = torch.Generator().manual_seed(5)
    refused = 0
    for _ in range(60):
        garbled = sent.clone()
        count = int(torch.randint(1, len(sent), (1,), generator=drawn))
        where = torch.randperm(len(sent), generator=drawn)[:count]
        garbled[where] = torch.randint(0, 256, (count,), generator=drawn, dtype=torch.uint8)
        try:
            assert [tuple(one.shape) for one in coder.decode(garbled)] == list(SHAPES)
        except ValueError:
            refused += 1
    assert not refused or isinstance(exchange, TopK | EightBits)
    if isinstance(exchange, TopK):
        assert refused > 10


@pytest.mark.parametrize("exchange", EXCHANGES, ids=repr)
def test_gradients_of_other_shapes_are_an_error(exchange):
    coder = exchange.coder(gradients())
    with pytest.raises(ValueError, match=r"20×1×5×5.*make a coder for them"):
        coder.encode([*gradients()[:-1], torch.zeros(3)])
    with pytest.raises(ValueError, match="of the shapes 3"):
        coder.mean([torch.zeros(3)], One())
    with pytest.raises(ValueError, match="of no gradients"):
        exchange.coder([torch.zeros(0)])


@pytest.mark.parametrize("exchange", EXCHANGES, ids=repr)
def test_a_gradient_that_broke_stays_so(exchange):
    """What is NaN must not look like a gradient after it was sent."""
    broken = [torch.full((40, 30), math.nan)]
    coder = exchange.coder(broken)
    assert bool(coder.decode(coder.encode(broken))[0].isnan().any())


@pytest.mark.parametrize("exchange", EXCHANGES, ids=repr)
def test_all_workers_of_a_group_get_the_same_mean(exchange):
    coders = [exchange.coder(gradients()) for _ in range(3)]
    alone = [exchange.coder(gradients()) for _ in range(3)]
    for step in range(3):
        each = [gradients(10 * step + worker) for worker in range(3)]
        first, *others = means(coders, each)
        for other in others:
            assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
        if not isinstance(exchange, PowerSGD | BFloat16Gradients):
            decoded = [c.decode(c.encode(g)) for c, g in zip(alone, each, strict=True)]
            due = sum(joined(one) for one in decoded) / 3
            assert torch.allclose(joined(first), due, rtol=1e-5, atol=1e-6)
    if isinstance(exchange, PowerSGD):  # of equal workers the mean is what each would say
        one = exchange.coder(gradients())
        equal = means([exchange.coder(gradients()) for _ in range(2)], [gradients(1)] * 2)[1]
        assert torch.allclose(joined(equal), joined(one.mean(gradients(1), One())), atol=1e-3)


def test_an_error_in_one_worker_is_no_hang():
    coders = [PowerSGD(1).coder(gradients()) for _ in range(3)]
    with pytest.raises(ValueError, match="of the shapes 3"):
        means(coders, [gradients(), [torch.zeros(3)], gradients()])


# -- two real processes


class Bucket:
    """What torch's hook takes of its gradients."""

    def __init__(self, gradients: list[Tensor]) -> None:
        self.vector = torch.cat([one.reshape(-1) for one in gradients])
        self.shapes = [one.shape for one in gradients]

    def gradients(self) -> list[Tensor]:
        parts = self.vector.split([one.numel() for one in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def buffer(self) -> Tensor:
        return self.vector

    def index(self) -> int:
        return 0

    def is_last(self) -> bool:
        return True


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found: dict[str, list[Tensor]] = {}
    for exchange in EXCHANGES:
        coder = exchange.coder(gradients())
        for step in range(3):
            found[repr(exchange)] = coder.mean(gradients(10 * step + rank), Programs(rank, 2))
    for rank_of_parts in (1, 3):
        found[f"torch {rank_of_parts}"] = as_torch_has_it(rank_of_parts, rank)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def as_torch_has_it(rank_of_parts: int, rank: int) -> list[Tensor]:
    """The third step of torch's hook, which begins with our random numbers."""
    begin = PowerSGD(rank_of_parts).coder(gradients()[:-1]).tensors[3:]
    state = PowerSGDState(None, rank_of_parts, start_powerSGD_iter=2)
    state.start_powerSGD_iter = 0
    rows = sum(one.shape[0] for one in gradients() if one.shape[1:].numel() > 9)
    state.p_memory_dict[0] = torch.empty(rows * rank_of_parts)
    state.q_memory_dict[0] = torch.cat([one.reshape(-1) for one in begin])
    found: list[Tensor] = []
    for step in range(3):
        bucket = Bucket([torch.atleast_1d(one) for one in gradients(10 * step + rank)[:-1]])
        powerSGD_hook(state, bucket).wait()  # type: ignore[arg-type]
        found = bucket.gradients()
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[dict[str, list[Tensor]]]:
    folder: Path = tmp_path_factory.mktemp("two")
    start_processes(worker, (str(folder),), nprocs=2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=repr)
def test_two_processes_get_the_same_mean_as_two_threads(exchange, both):
    first, second = (one[repr(exchange)] for one in both)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    coders = [exchange.coder(gradients()) for _ in range(2)]
    for step in range(3):
        threads = means(coders, [gradients(10 * step), gradients(10 * step + 1)])[0]
    assert torch.allclose(joined(first), joined(threads), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3])
def test_power_sgd_is_that_of_torch(rank, both):
    ours, theirs = both[0][repr(PowerSGD(rank))][:-1], both[0][f"torch {rank}"]
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one.reshape(-1), other.reshape(-1), rtol=1e-3, atol=1e-3)


# -- bad input


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: TopK(0.0), "share of 0.0"),
        (lambda: TopK(1.5), "share of 1.5"),
        (lambda: TopK(momentum=1.0), "momentum of 1.0"),
        (lambda: RandomK(-1), "share of -1"),
        (lambda: PowerSGD(0), "rank of 0"),
        (lambda: PowerSGD(1.5), "rank of 1.5"),  # pyright: ignore[reportArgumentType]
        (lambda: OneBit(momentum=-0.1), "momentum of -0.1"),
    ],
)
def test_numbers_that_no_exchange_has(wrong, words: str):
    with pytest.raises(ValueError, match=words):
        wrong()


def test_levels_of_another_kind():
    with pytest.raises(TypeError, match=r"give DynamicTree\(\)"):
        EightBits(LinearLevels)  # type: ignore[arg-type]
