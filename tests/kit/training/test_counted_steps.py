"""Operations of training steps, by hand, and nothing changed by counting them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from shoestring import kit
from shoestring.core import Ledger, Technique, apply, seeded
from shoestring.core.spending import counting
from shoestring.kit import Supervised, Training


def task(count: int = 8, *, batch_size: int = 4, shape: tuple[int, ...] = (3,)) -> Supervised:
    with seeded(0):
        x, y = torch.randn(count, *shape), torch.arange(count) % 2
    return Supervised(train=(x, y), validation=(x, y), test=(x, y), batch_size=batch_size)


def operations(model: nn.Module, one: Any, steps: int) -> int | None:
    with counting() as spent, seeded(0):
        kit.train(model, one, Training(steps))
    return spent.cost().training_operations


# Of a layer from I to O on N examples: forward 2·N·I·O, the gradient of the weights as much, that
# of the inputs as much again where somebody wants it: of the first layer nobody does.
FIRST, SECOND = 2 * 2 * 4 * 3 * 5, 3 * 2 * 4 * 5 * 2


def mlp() -> nn.Module:
    with seeded(1):
        return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


def test_operations_by_hand():
    assert operations(mlp(), task(), 1) == FIRST + SECOND
    assert operations(mlp(), task(), 7) == 7 * (FIRST + SECOND)
    assert operations(mlp(), task(), 0) is None


def test_batches_of_several_shapes_are_counted_each():
    each = FIRST + SECOND
    assert operations(mlp(), task(6), 4) == 2 * each + 2 * each // 2  # batches of 4 and 2

    class Three(Supervised):
        def batches(self, split: str, **kwargs: Any) -> Any:
            for (x,), y in super().batches(split, **kwargs):
                yield from (((x[:count],), y[:count]) for count in (4, 3, 2))

    plain = task(4)
    three = Three(train=plain.train, validation=plain.validation, test=plain.test, batch_size=4)
    assert operations(mlp(), three, 6) is None, "at first two steps are counted"
    assert operations(mlp(), three, 303) == 101 * (each + 3 * each // 4 + each // 2)


def test_what_the_teacher_does_is_counted():
    learned = task().taught_by(mlp().eval())
    forward = 2 * 4 * (3 * 5 + 5 * 2)
    assert operations(mlp(), learned, 3) >= 3 * (FIRST + SECOND + forward)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.inner, self.last = kind(3, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        q = self.first(x).unsqueeze(1)
        return self.last(functional.scaled_dot_product_attention(q, q, q).squeeze(1).mean(1))


def test_recurrent_layers_and_attention_are_counted():
    # An LSTM from 3 to 6 over 5 steps has 4·6·(3 + 6) weights; forward once, backward twice that.
    lstm = 3 * 2 * 4 * 5 * 24 * 9
    found = operations(Recurrent(nn.LSTM), task(shape=(5, 3)), 1)
    assert found is not None and abs(found - lstm - 3 * 2 * 4 * 6 * 2) <= 0.3 * lstm
    (q_k, weights_v) = (2 * 4 * 5 * 5 * 8,) * 2
    found = operations(Attention(), task(shape=(5, 3)), 1)
    assert (
        found is not None
        and found >= 2 * 2 * 20 * 3 * 8 + 3 * (q_k + weights_v) + 3 * 2 * 4 * 8 * 2
    )


def test_convolutions_are_counted_as_torch_does():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
    one = task(shape=(1, 8, 8))
    with FlopCounterMode(display=False) as torchs:
        one.loss(kit.clone(model), next(iter(one.batches("train")))).backward()
    assert operations(model, one, 1) == torchs.get_total_flops() > 0


def test_what_nobody_counts_is_unmeasured():
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Bilinear(3, 3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x, x)

    assert operations(Pairs(), task(), 2) is None

    @dataclass(frozen=True)
    class Opaque:
        inner: Any

    class Wrapped(Supervised):
        def batches(self, split: str, **kwargs: Any) -> Any:
            return map(Opaque, super().batches(split, **kwargs))

        def loss(self, model: Any, batch: Any) -> Tensor:
            return super().loss(model, batch.inner)

    plain = task()
    assert (
        operations(
            mlp(), Wrapped(train=plain.train, validation=plain.validation, test=plain.test), 2
        )
        is None
    )


@pytest.mark.parametrize(
    "make", [mlp, lambda: Recurrent(nn.LSTM), lambda: Recurrent(nn.GRU), Attention]
)
def test_counting_changes_no_bit(make: Any):
    one = task(shape=(3,) if make is mlp else (5, 3))
    with seeded(2):
        models = [make()]
    models += [kit.clone(models[0]), kit.clone(models[0])]
    taught = one.taught_by(kit.clone(models[0]).eval())
    assert operations(models[0], taught, 6) is not None
    with seeded(0):
        kit.train(models[1], taught, Training(6))
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(next(models[1].parameters()), next(models[2].parameters()))


def test_the_ledger_has_it(tmp_path: Path):
    @dataclass(frozen=True, kw_only=True)
    class Train(Technique):
        steps: int = 3
        fails: bool = False

        def __call__(self, model: Any, task: Any) -> Any:
            trained = kit.train(kit.clone(model), task, Training(self.steps))
            if self.fails:
                raise ZeroDivisionError
            return trained

    ledger = Ledger(tmp_path / "ledger.sqlite")
    apply(Train(), mlp(), task(), ledger=ledger)
    with pytest.raises(ZeroDivisionError):
        apply(replace(Train(), fails=True, steps=2), mlp(), task(), ledger=ledger)
    assert [row.cost_after.training_operations for row in ledger.rows()] == [
        3 * (FIRST + SECOND),
        2 * (FIRST + SECOND),
    ]
