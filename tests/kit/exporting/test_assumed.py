"""What an export takes for granted of lengths is checked.

A declared axis really varies, or the file holds to its bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring import Axis, Task, Vary, load, write
from shoestring.kit import ExportError


class Shown(Task):
    """A task that is no more than its example."""

    def __init__(self, *inputs: tuple[Tensor, Mapping[int, Any]]) -> None:
        self.inputs = inputs

    def batches(self, split: str) -> list[Any]:
        return []

    def loss(self, model: Any, batch: Any) -> Tensor:
        return torch.zeros(())

    def score(self, predict: Any, split: str) -> float:
        return 0.0

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(Vary(*one) for one in self.inputs), {}


class Truncates(nn.Module):
    """Looks at the first sixteen only."""

    def forward(self, x: Tensor) -> Tensor:
        """N×T to N×T or N×16."""
        if x.shape[1] > 16:
            x = x[:, :16]
        return x * 2


class LongIsSpecial(nn.Module):
    """Does otherwise with more than sixteen."""

    def forward(self, x: Tensor) -> Tensor:
        """N×T to N×T."""
        return x * 2 if x.shape[1] > 16 else x * 3


class InBlocks(nn.Module):
    """Pads to whole blocks of four where it has to."""

    def forward(self, x: Tensor) -> Tensor:
        """N×T to N×T."""
        length = x.shape[1]
        if missing := (4 - length % 4) % 4:
            x = nn.functional.pad(x, (0, missing))
        return x.unflatten(1, (-1, 4)).cumsum(2).flatten(1)[:, :length]


class ByNumber(nn.Module):
    """Does otherwise with more than three examples."""

    def forward(self, x: Tensor) -> Tensor:
        """N×C to N×C."""
        return x * 2 if x.shape[0] <= 3 else x * 3


class OneIsSpecial(nn.Module):
    """Does otherwise with a single example."""

    def forward(self, x: Tensor) -> Tensor:
        """N×C to N×C."""
        return x * 2 if x.shape[0] > 1 else x * 3


class OneLosesItsAxis(nn.Module):
    """Has no axis of examples where there is one."""

    def forward(self, x: Tensor) -> Tensor:
        """N×8 to N, or nothing at all."""
        value = x.sum(1)
        return value if x.shape[0] > 1 else value[0]


class Broadcasts(nn.Module):
    """Adds where two lengths are the same, sums first where they are not."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """N×T, N×U to N×U."""
        return x + y if x.shape[1] == y.shape[1] else x.sum(1, keepdim=True) + y


class Refuses(nn.Module):
    """Takes twelve at most."""

    def forward(self, x: Tensor) -> Tensor:
        """N×T to N×T."""
        if x.shape[1] > 12:
            raise ValueError("too long")
        return x.cumsum(1)


class Halves(nn.Module):
    """Down and up again: the sides must be even."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 4, 3, 2, 1), nn.ConvTranspose2d(4, 1, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """N×1×H×W to the same."""
        return x + self.up(self.down(x))


NT = {0: "N", 1: "T"}


@pytest.mark.by_default("longer", "blocks", "few", "two inputs", "even sides")
@pytest.mark.parametrize(
    ("model", "inputs", "told"),
    [
        (
            Truncates(),
            [(torch.randn(2, 10), NT)],
            r"axis 'T' .* 17 long than where it is 10 .* Axis\('T', most=16\)",
        ),
        (
            LongIsSpecial(),
            [(torch.randn(2, 40), NT)],
            r"axis 'T' .* 16 long than where it is 40 .* Axis\('T', least=17\)",
        ),
        (InBlocks(), [(torch.randn(2, 8), NT)], r"axis 'T' .* Axis\('T', multiple=4\)"),
        (
            ByNumber(),
            [(torch.randn(2, 8), {0: "N"})],
            r"axis 'N' .* 4 long than where it is 2 .* Axis\('N', most=3\)",
        ),
        (ByNumber(), [(torch.randn(9, 8), {0: "N"})], r"axis 'N' .* Axis\('N', least=4\)"),
        (
            OneIsSpecial(),
            [(torch.randn(2, 8), {0: "N"})],
            r"axis 'N' .* 1 long than where it is 2 .* Axis\('N', least=2\)",
        ),
        (
            OneLosesItsAxis(),
            [(torch.randn(2, 8), {0: "N"})],
            r"axis 'N' .* returns shape \(1,\) and the module \(\).* Axis\('N', least=2\)",
        ),
        (
            Broadcasts(),
            [(torch.randn(2, 8), NT), (torch.randn(2, 8), {0: "N", 1: "U"})],
            r"axis 'T' .* take 'T' out of the axes that vary, or give axes that are always "
            r"equally long one name",
        ),
        (
            Halves(),
            [(torch.randn(2, 1, 16, 16), {0: "N", 2: "H", 3: "W"})],
            r"Axis\('H', multiple=2\) and Axis\('W', multiple=2\)",
        ),
    ],
    ids=[
        "longer",
        "shorter",
        "blocks",
        "few",
        "many",
        "one",
        "one without an axis",
        "two inputs",
        "even sides",
    ],
)
def test_a_declared_axis_that_does_not_really_vary_is_refused_with_its_bounds(
    model: nn.Module, inputs: list[Any], told: str, tmp_path: Path
):
    with pytest.raises(ExportError, match=told):
        write(model, Shown(*inputs), tmp_path / "m.shoe")


@pytest.mark.by_default("4096")
@pytest.mark.parametrize("bound", [129, 200, 512, 4096])
def test_bounds_far_from_the_example_are_found(bound: int, tmp_path: Path):
    class Cuts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :bound] * 2 if x.shape[1] > bound else x * 3

    class Few(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.shape[0] <= bound else x * 3

    with pytest.raises(
        ExportError,
        match=rf"'T' .* {bound + 1} long than where it is 12 .* Axis\('T', most={bound}\)",
    ):
        write(Cuts(), Shown((torch.randn(2, 12), NT)), tmp_path / "m.shoe")
    with pytest.raises(ExportError, match=rf"Axis\('N', most={bound}\)"):
        write(Few(), Shown((torch.randn(2, 12), {0: "N"})), tmp_path / "m.shoe")
    wide = {0: "N", 1: Axis("T", most=bound + 100)}
    with pytest.raises(ExportError, match=rf"Axis\('T', most={bound}\)"):
        write(Cuts(), Shown((torch.randn(2, 12), wide)), tmp_path / "m.shoe")


@pytest.mark.by_default("area")
@pytest.mark.parametrize(
    ("choose", "shape"),
    [
        (lambda x: x.shape[1] > x.shape[2], (2, 16, 8)),
        (lambda x: x.shape[1] * x.shape[2] > 4096, (2, 8, 8)),
        (lambda x: x.shape[1] > 20 and x.shape[0] > 2, (2, 12, 8)),
        (lambda x: x.shape[1] > x.shape[2] + 150, (2, 12, 8)),
    ],
    ids=["longer than wide", "area", "long and many", "much longer than wide"],
)
def test_steps_that_depend_on_two_lengths_are_refused(
    choose: Any, shape: tuple[int, ...], tmp_path: Path
):
    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if choose(x) else x * 3

    for bounds in ({}, {"least": 9}, {"most": 600}):
        axes = {
            0: "N",
            1: Axis("T", **({} if shape[1] == 8 and "least" in bounds else bounds)),
            2: Axis("H", most=15 if shape[1] == 16 else 600),
        }
        try:
            write(Two(), Shown((torch.randn(shape), axes)), tmp_path / "m.shoe")
        except ExportError as error:
            assert "other steps" in str(error)
        else:  # what is written is right wherever the file answers
            loaded = load(tmp_path / "m.shoe")
            for n, t, h in [
                (1, 1, 1),
                (3, 21, 4),
                (2, 10, 12),
                (2, 65, 65),
                (2, 165, 8),
                (2, 9, 15),
                (5, 300, 2),
                (1, 600, 600),
            ]:
                x = torch.randn(n, t, h)
                try:
                    found = loaded(x)
                except ValueError:
                    continue
                np.testing.assert_allclose(
                    found, Two()(x).numpy(), rtol=1e-5, err_msg=str((n, t, h, bounds))
                )


def test_a_guard_that_cannot_be_read_is_tried(tmp_path: Path):
    import math

    class Logs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if math.log2(x.shape[1]) < 5 else x * 3

    with pytest.raises(ExportError):
        write(Logs(), Shown((torch.randn(2, 16), NT)), tmp_path / "m.shoe")


def test_a_single_length_that_the_module_refuses_shuts_out_no_others(tmp_path: Path):
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[1] == 10:
                raise ValueError("not ten")
            return x * 2

    write(Picky(), Shown((torch.randn(2, 16), NT)), tmp_path / "m.shoe")
    assert load(tmp_path / "m.shoe").signature() == "x: float32[N, T]"


def test_a_length_that_is_too_large_to_try_is_a_bound_of_the_file(tmp_path: Path):
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.shape[1] <= 1 << 24 else x * 3

    write(Wide(), Shown((torch.randn(2, 12), NT)), tmp_path / "m.shoe")
    assert load(tmp_path / "m.shoe").signature() == "x: float32[N, T (up to 16777216)]"


@pytest.mark.parametrize(
    ("model", "axis", "example", "right", "wrong"),
    [
        (Truncates(), Axis("T", most=16), 10, [1, 2, 16], [17, 40]),
        (InBlocks(), Axis("T", multiple=4), 8, [4, 12, 400], [1, 7, 9]),
        (LongIsSpecial(), Axis("T", least=20), 40, [20, 41], [16, 19]),
    ],
    ids=["most", "multiple", "least"],
)
def test_bounds_that_are_declared_are_held_by_the_file(
    model: nn.Module, axis: Axis, example: int, right: list[int], wrong: list[int], tmp_path: Path
):
    write(model, Shown((torch.randn(2, example), {0: "N", 1: axis})), tmp_path / "m.shoe")
    loaded = load(tmp_path / "m.shoe")
    assert str(axis) in loaded.signature()
    for length in right:
        x = torch.randn(3, length)
        np.testing.assert_allclose(loaded(x), model(x).numpy(), rtol=1e-5, atol=1e-5)
    for length in wrong:
        with pytest.raises(ValueError, match=rf"axis 'T' is {length} long, and this file takes"):
            loaded(torch.randn(3, length))


def test_what_the_module_refuses_the_file_refuses_too(tmp_path: Path):
    write(Refuses(), Shown((torch.randn(2, 8), NT)), tmp_path / "m.shoe")
    loaded = load(tmp_path / "m.shoe")
    assert loaded(torch.ones(1, 12)).shape == (1, 12)
    with pytest.raises(ValueError, match=r"'T' is 13 long, and this file takes T \(up to 12\)"):
        loaded(torch.ones(1, 13))


def test_steps_that_are_the_same_for_every_length_are_left_alone(tmp_path: Path):
    write(InBlocks(), Shown((torch.randn(2, 9), NT)), tmp_path / "m.shoe")  # pads, by nothing too
    loaded = load(tmp_path / "m.shoe")
    assert loaded.signature() == "x: float32[N, T]"
    for length in (1, 4, 7, 8, 13):
        x = torch.randn(2, length)
        np.testing.assert_allclose(loaded(x), InBlocks()(x).numpy(), rtol=1e-5, atol=1e-5)


def test_an_example_that_is_not_as_its_axis_is_declared_is_refused(tmp_path: Path):
    with pytest.raises(
        ExportError, match=r"10 long along axis 1, which is declared as T \(multiple of 4\)"
    ):
        write(
            Truncates(),
            Shown((torch.randn(2, 10), {0: "N", 1: Axis("T", multiple=4)})),
            tmp_path / "m.shoe",
        )


@pytest.mark.by_default("2-one way-GRU")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    "settings",
    [{}, {"bidirectional": True, "num_layers": 2, "bias": False}],
    ids=["one way", "both ways, two layers"],
)
@pytest.mark.parametrize("examples", [1, 2])
def test_recurrent_networks_whose_first_axis_is_time_run_at_any_length(
    kind: Any, settings: dict[str, Any], examples: int, tmp_path: Path
):
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = kind(8, 6, **settings)

        def forward(self, x: Tensor) -> Tensor:
            return self.cells(x)[0]

    torch.manual_seed(0)
    model = Network().eval()
    axes = {0: "T"} if examples == 1 else {0: "T", 1: "N"}
    write(model, Shown((torch.randn(7, examples, 8), axes)), tmp_path / "m.shoe")
    loaded = load(tmp_path / "m.shoe")
    for shape in [(1, examples), (19, examples), *([] if examples == 1 else [(3, 5), (1, 1)])]:
        x = torch.randn(*shape, 8)
        np.testing.assert_allclose(loaded(x), model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_plain_recurrent_layers_are_named_with_the_way_out(tmp_path: Path):
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.RNN(8, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.cells(x)[0]

    with pytest.raises(ExportError, match=r"cells would have to be nn\.GRU or nn\.LSTM"):
        write(Network(), Shown((torch.randn(7, 2, 8), {0: "T"})), tmp_path / "m.shoe")
