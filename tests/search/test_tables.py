"""Networks for tables: against one by hand, with and without categories, and files."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from made_shown import Shown

from shoestring.artifact import load
from shoestring.artifact import save as save_bytes
from shoestring.artifact.format.file import pack
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training, save, train
from shoestring.search import HashedRows, RowEach, TableNetwork, TableNorm, Tables
from shoestring.search.hashing import FACTORS, same_hash
from shoestring.search.steps import draft, steps_of

SPACE = Tables(sizes=(3, 5), mean=(10.0, -1.0, 0.0), deviation=(2.0, 0.5, 1.0), classes=4)


def table(**settings: object) -> TableNetwork:
    fields = {
        "sizes": (3, 5),
        "mean": (10.0,),
        "deviation": (2.0,),
        "rows": RowEach(),
        "width": 2,
        "hidden": (),
        "norm": TableNorm.NONE,
        "classes": 2,
    }
    return TableNetwork(**fields | settings)  # type: ignore[arg-type]


def test_whatever_is_picked_makes_a_network():
    draw = random.Random(0)
    ids, numbers = torch.tensor([[0, 0], [2, 4]]), torch.rand(2, 3)
    for _ in range(40):
        assert SPACE.made(SPACE.drawn(draw)).network()(ids, numbers).shape == (2, 4)
    alone = Tables(mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))
    assert len(alone.decisions) == 4  # no embeddings to decide on
    for _ in range(10):
        assert alone.made(alone.drawn(draw)).network()(numbers).shape == (2, 2)
    categories = Tables(sizes=(3, 5))
    for _ in range(10):
        assert categories.made(categories.drawn(draw)).network()(ids).shape == (2, 2)


def test_a_linear_network_by_hand():
    """The second column follows the first's three ids and spare row: its id 4 has the row 8."""
    network = table().network()
    ids, numbers = torch.tensor([[1, 4]]), torch.tensor([[13.0]])
    vectors = network.categories.weight  # type: ignore[union-attr]
    taken = torch.cat([vectors[1], vectors[8], torch.tensor([1.5])])[None]  # type: ignore[index]
    assert torch.allclose(network(ids, numbers), network.layers[0](taken))  # type: ignore[index, operator]


def test_columns_share_hashed_rows():
    network = table(rows=HashedRows(4)).network()
    vectors = network.categories.weight  # type: ignore[union-attr]
    assert vectors.shape == (4, 2)
    seen = torch.zeros(4)
    network.layers.register_forward_hook(lambda _, given, __: seen.copy_(given[0][0, :4]))  # type: ignore[union-attr]
    for first, second in product(range(3), range(5)):
        network(torch.tensor([[first, second]]), torch.zeros(1, 1))
        rows = [same_hash(key, FACTORS[0], 4) for key in (first, 4 + second)]
        assert torch.equal(seen, vectors[rows].flatten())  # type: ignore[index, operator]


def test_an_unseen_id_reads_the_spare_row_of_its_column(tmp_path: Path):
    """In a file of a trained network: columns of 3 and 5 ids have the rows 0 to 3 and 4 to 9."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.stack([torch.randint(0, size, (64,), generator=draw) for size in (3, 5)], 1)
    split = ids, (ids[:, 0] == 1).long()
    task = Supervised(train=split, validation=split)
    architecture = table(mean=(), deviation=(), classes=2)
    with seeded(0):
        network = architecture.network()
        table_KC = network.get_parameter("categories.weight")
        assert not table_KC[[3, 9]].any() and table_KC.all(1).sum() == 8
        train(network, task, Training(steps=200, optimizer=AdamW(learning_rate=0.05)))
    assert not table_KC[[3, 9]].any()  # no training had such ids
    assert score(task, network) == 1
    with torch.no_grad():
        table_KC[[3, 9]] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    save(network.eval(), task, tmp_path / "found.shoe")
    loaded = load(tmp_path / "found.shoe")
    for first, second in product((0, 2, 3, 4, 7, 2**40, -1, -9), (0, 4, 5, 6, 2**40, -1, -9)):
        rows = [first if 0 <= first < 3 else 3, 4 + second if 0 <= second < 5 else 9]
        with torch.no_grad():
            expected = network.get_submodule("layers")(table_KC[rows].flatten()[None])
            given = torch.tensor([[first, second]])
            torch.testing.assert_close(network(given), expected)
        np.testing.assert_allclose(loaded(given), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("unseen", [3, 4, 2**40, -1])
def test_an_unseen_id_is_hashed_as_one_more_of_its_column(unseen: int):
    network = table(rows=HashedRows(1000), mean=(), deviation=()).network()
    rows = [same_hash(key, FACTORS[0], 1000) for key in range(10)]
    assert len(set(rows)) == 10  # of 3 ids and a spare one, and of 5 and one
    vectors = network.get_parameter("categories.weight")
    expected = network.get_submodule("layers")(vectors[[rows[3], rows[4]]].flatten()[None])
    assert torch.equal(network(torch.tensor([[unseen, 0]])), expected)


def test_the_steps_of_a_table_are_known(tmp_path: Path):
    """So that a table of operations foretells its milliseconds; the draft answers as it does."""
    network = table(hidden=(8,)).network().eval()
    steps = steps_of(network, Shown(torch.tensor([[0, 0]]), torch.zeros(1, 1)))
    assert not steps.unknown
    save_bytes(path := tmp_path / "draft.shoe", pack(draft(steps)))
    for ids in ([[1, 4]], [[3, -1]]):
        given = torch.tensor(ids), torch.rand(1, 1)
        with torch.no_grad():
            expected = network(*given).numpy()
        np.testing.assert_allclose(load(path)(*given)[0], expected, atol=1e-5)


def test_layers_that_are_not_there():
    code = table(hidden=(8, 16), norm=TableNorm.BATCH).code()
    assert code.count("nn.Linear") == 3 and code.count("BatchNorm1d") == 2
    decisions = SPACE.decisions
    picks = [0] * len(decisions)
    assert SPACE.made(picks).hidden == ()
    picks[4] = 2  # the last of three hidden layers
    assert SPACE.made(picks).hidden == (16,)


def test_its_repr_evaluates_to_it():
    import shoestring.search as names

    for seed in range(5):
        architecture = SPACE.made(SPACE.drawn(random.Random(seed)))
        assert eval(repr(architecture), dict(vars(names))) == architecture


@pytest.mark.parametrize(
    "architecture",
    [
        table(rows=HashedRows(4), hidden=(8,), norm=TableNorm.BATCH),
        table(),
        table(sizes=(), hidden=(8, 8)),
        table(mean=(), deviation=(), hidden=(8,)),
    ],
)
def test_files_answer_as_the_networks(architecture: TableNetwork, tmp_path: Path):
    ids = torch.stack([torch.arange(12) % 3, torch.arange(12) % 5], 1)
    inputs = (ids,) * bool(architecture.sizes) + (torch.rand(12, 1),) * bool(architecture.mean)
    split = inputs if len(inputs) > 1 else inputs[0], torch.arange(12) % 2
    task = Supervised(train=split, validation=split)
    with seeded(0):
        network = architecture.network()
        network(*inputs)
    save(network.eval(), task, tmp_path / "found.shoe")
    with torch.no_grad():
        expected = network(*inputs).numpy()
    np.testing.assert_allclose(load(tmp_path / "found.shoe")(*inputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "a table without columns"),
        ({"mean": (1.0,)}, "1 means and the deviations"),
        ({"mean": (1.0,), "deviation": (0.0,)}, "1 where it never changes"),
        ({"sizes": (3, 0)}, "must be 1 or more"),
        ({"sizes": (2**30, 2**30)}, "2,147,483,648 ids together"),
        ({"sizes": (2**31 - 1,)}, "the hash takes up to 2,147,483,646"),
        ({"sizes": (3,), "hidden": ((-1,),)}, "hidden widths 0 or more"),
    ],
)
def test_spaces_that_make_no_networks(settings: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        Tables(**settings)  # type: ignore[arg-type]
