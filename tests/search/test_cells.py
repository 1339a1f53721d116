"""Networks of cells: sizes, what is joined, their code as plain Python, and files."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, save
from shoestring.search import Block, BlockCombiner, CellNetwork, Cells, Convolution, Unchanged

SMALL = Cells(channels=1, blocks=3, widths=(8, 16), depths=(1, 2))


def plain(blocks: tuple[Block, ...], width: int = 8) -> CellNetwork:
    return CellNetwork(
        normal=blocks, reduction=blocks, width=width, depth=1, sizes=2, channels=3, classes=4
    )


def test_whatever_is_picked_makes_a_network():
    draw, sizes = random.Random(0), set[int]()
    for _ in range(20):
        network = SMALL.made(SMALL.drawn(draw)).network()
        assert network(torch.rand(2, 1, 11, 14)).shape == (2, 10)  # no multiples of 4
        sizes.add(sum(one.numel() for one in network.parameters()))
    assert len(sizes) > 10


def test_a_block_adds_or_joins_and_loose_maps_are_given():
    """By hand: two blocks of nothing; the second reads the first, so that one map is loose."""
    sums = (
        Block(0, 1, Unchanged(), Unchanged()),
        Block(2, 2, Unchanged(), Unchanged()),
    )
    cell = plain(sums).network().get_submodule("cell_0").eval()
    maps = torch.rand(1, 8, 4, 4)
    with torch.no_grad():
        expected = 2 * (cell.before(maps) + cell.last(maps))
        assert torch.allclose(cell(maps, maps), expected)
    apart = (Block(0, 1, Unchanged(), Unchanged()), Block(1, 1, Unchanged(), Unchanged()))
    assert plain(apart).network().get_submodule("cell_0")(maps, maps).shape == (1, 16, 4, 4)
    joined = (Block(0, 1, Unchanged(), Unchanged(), BlockCombiner.JOINED),)
    assert plain(joined).network().get_submodule("cell_0")(maps, maps).shape == (1, 8, 4, 4)


def test_a_reduction_halves_and_widths_double():
    network = plain((Block(0, 1, Convolution(3), Unchanged()),)).network()
    maps, seen = torch.rand(1, 3, 12, 12), list[tuple[int, ...]]()
    for cell in list(network.children())[1:-1]:
        cell.register_forward_hook(lambda _, __, given: seen.append(tuple(given.shape[1:])))
    network(maps)
    assert seen == [(8, 12, 12), (16, 6, 6), (16, 6, 6)]


def test_what_nothing_reads_is_left_out():
    """Cells that read the cell before the last one alone: each second cell is read by nothing."""
    blocks = (Block(0, 0, Convolution(3), Unchanged()),)
    network = CellNetwork(
        normal=blocks, reduction=blocks, width=8, depth=3, sizes=1, channels=3, classes=4
    ).network()
    assert [name for name, _ in network.named_children()] == ["first", "cell_0", "cell_2", "head"]
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    assert all(one.grad is not None for one in network.parameters())


def test_every_weight_of_a_network_has_a_gradient():
    draw = random.Random(1)
    for _ in range(10):
        network = SMALL.made(SMALL.drawn(draw)).network()
        network(torch.rand(2, 1, 12, 12)).sum().backward()
        assert all(one.grad is not None for one in network.parameters())


def test_its_code_runs_where_there_is_only_torch(tmp_path: Path):
    """And takes the weights of the network that was found."""
    architecture = SMALL.made(SMALL.drawn(random.Random(4)))
    (tmp_path / "found.py").write_text(architecture.code())
    with seeded(0):
        network = architecture.network().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    torch.save(torch.ones(1, 1, 8, 8), tmp_path / "x.pt")
    program = (
        "import sys, torch; from found import Network; n = Network().eval(); "
        "n.load_state_dict(torch.load('weights.pt')); print(n(torch.load('x.pt')).sum().item()); "
        "assert not any(name.startswith('shoestring') for name in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = network(torch.ones(1, 1, 8, 8)).sum().item()
    assert float(done.stdout) == pytest.approx(expected, abs=1e-4)


def test_its_repr_evaluates_to_it():
    import shoestring.search as names

    architecture = SMALL.made(SMALL.drawn(random.Random(1)))
    assert eval(repr(architecture), dict(vars(names))) == architecture


@pytest.mark.slow
def test_files_of_every_operation_answer_as_the_networks(tmp_path: Path):
    images, labels = torch.rand(8, 1, 12, 12), torch.arange(8) % 4
    task = Supervised(train=(images, labels), validation=(images, labels))
    for operation in Cells().operations:
        with seeded(0):
            network = CellNetwork(
                normal=(Block(0, 1, operation, operation, BlockCombiner.JOINED),),
                reduction=(Block(0, 1, operation, operation),),
                width=8,
                depth=1,
                sizes=2,
                channels=1,
                classes=4,
            ).network()
            network(images)  # batch norms have seen something
        save(network.eval(), task, tmp_path / "found.shoe")
        with torch.no_grad():
            expected = network(images).numpy()
        np.testing.assert_allclose(load(tmp_path / "found.shoe")(images), expected, atol=1e-4)


def test_options_are_counted_where_maps_grow():
    names = Counter(len(one.options) for one in Cells(blocks=2).decisions)
    assert names[2] == 4 + 4 + 2  # the maps of each first block, four combiners, depth, stride
    assert names[3] == 4 + 1  # the maps of each second block, and the widths


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"widths": (10,)}, "multiples of 4"),
        ({"blocks": 0}, "blocks 1 to 24"),
        ({"strides": (3,)}, "stride of 3: give strides of 1 or 2"),
    ],
)
def test_spaces_that_make_no_networks(settings: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        Cells(**settings)  # type: ignore[arg-type]


def test_modules_are_plain():
    assert isinstance(SMALL.made(SMALL.drawn(random.Random(2))).network(), nn.Module)
