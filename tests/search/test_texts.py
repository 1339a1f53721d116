"""Networks for texts: n-grams and pooling against an obvious reference, padding, and files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, save
from shoestring.search import Grams, HashedRows, Ngrams, Pooling, RowEach, TextNetwork
from shoestring.search.hashing import FACTORS, PRIME, same_hash

LONG = (Grams(HashedRows(11), 3), Grams(HashedRows(7), 2), Grams(HashedRows(13), 2))
TEXTS = torch.tensor([[5, 9, 999, 1, 3], [7, 2, 0, 0, 0], [4, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


def text(pooling: Pooling = Pooling.MEAN, **settings: object) -> TextNetwork:
    fields = {"ids": 1000, "grams": LONG, "dropout": 0.0, "hidden": 4, "classes": 3}
    return TextNetwork(pooling=pooling, **fields | settings)  # type: ignore[arg-type]


def slowly(
    network: nn.Module, grams: tuple[Grams, ...], pooling: Pooling, ids: list[int]
) -> Tensor:
    """What the network pools, one n-gram after the other."""
    words, found = [one for one in ids if one], list[Tensor]()
    for length, (rows, width) in enumerate(grams, 1):
        table = getattr(network, f"table_{length}").weight
        vectors = list[Tensor]()
        for at in range(len(words) - length + 1):
            key = words[at]
            for word in words[at + 1 : at + length]:
                key = (key * FACTORS[0] + word) % PRIME
            row = key
            if isinstance(rows, HashedRows):
                row = same_hash(key, FACTORS[length], rows.rows)
            vectors.append(table[row])
        if not vectors:
            found.append(torch.zeros(width))
            continue
        all_KC = torch.stack(vectors)
        match pooling:
            case Pooling.SUM:
                found.append(all_KC.sum(0))
            case Pooling.ROOT:
                found.append(all_KC.sum(0) / len(vectors) ** 0.5)
            case Pooling.MEAN:
                found.append(all_KC.mean(0))
            case Pooling.MAX:
                found.append(all_KC.max(0).values)
            case Pooling.ATTENTION:
                weights = getattr(network, f"weight_{length}")(all_KC).softmax(0)
                found.append((weights * all_KC).sum(0))
    return torch.cat(found)


@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("grams", [LONG, (Grams(RowEach(), 3),), (Grams(RowEach(), 3), *LONG[1:2])])
def test_what_is_pooled(pooling: Pooling, grams: tuple[Grams, ...]):
    with seeded(0):
        network = text(pooling, grams=grams).network().eval()
    with torch.no_grad():
        slow = torch.stack([slowly(network, grams, pooling, row) for row in TEXTS.tolist()])
        assert torch.allclose(network(TEXTS), network.layers(slow), atol=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("pooling", list(Pooling))
def test_padding_changes_nothing(pooling: Pooling):
    network = text(pooling).network().eval()
    with torch.no_grad():
        assert torch.allclose(network(TEXTS[1:2]), network(TEXTS[1:2, :2]), atol=1e-6)
        assert network(TEXTS[2:, :1]).shape == (2, 3)  # shorter than the longest n-gram


def test_whatever_is_picked_makes_a_network():
    space, draw = Ngrams(ids=1000), random.Random(0)
    for _ in range(40):
        architecture = space.made(space.drawn(draw))
        assert architecture.network()(TEXTS).isfinite().all()
        assert "rand(" in architecture.code() or not architecture.dropout


def test_dropped_ids_are_those_of_training():
    with seeded(0):  # a network whose hidden layer is dead would answer the same
        network = text(dropout=0.5).network()
    torch.manual_seed(0)
    with torch.no_grad():
        assert not torch.equal(network(TEXTS), network(TEXTS))
        network.eval()
        assert torch.equal(network(TEXTS), network(TEXTS))


def test_its_repr_evaluates_to_it():
    import shoestring.search as names

    for seed in range(5):
        architecture = Ngrams(ids=50).made(Ngrams(ids=50).drawn(random.Random(seed)))
        assert eval(repr(architecture), dict(vars(names))) == architecture


@pytest.mark.slow
@pytest.mark.by_default("Pooling.MAX")
@pytest.mark.parametrize("pooling", list(Pooling))
def test_files_answer_as_the_networks(pooling: Pooling, tmp_path: Path):
    """At other lengths than that of the example, hashes of large ids included."""
    ids = torch.randint(1, 2**31 - 1, (8, 9), generator=torch.Generator().manual_seed(0))
    ids[3:, 5:] = 0
    split = ids, torch.arange(8) % 3
    task = Supervised(train=split, validation=split, axes={1: "T"})
    with seeded(0):
        network = text(pooling, dropout=0.2).network().eval()
    save(network, task, tmp_path / "found.shoe")
    loaded = load(tmp_path / "found.shoe")
    for some in (ids, ids[:2, :4], ids[:1, :2]):
        with torch.no_grad():
            expected = network(some).numpy()
        np.testing.assert_allclose(loaded(some), expected, atol=1e-5)


UNSEEN = torch.tensor([[49, 50, 51, 2**31, 2**40], [-1, 3, -50, -(2**40), 0]])


def test_unseen_ids_read_the_spare_row():
    """Of 50 ids, each with a row: those from 50 on, and those below 0, have the row 50."""
    network = text(Pooling.SUM, ids=50, grams=(Grams(RowEach(), 3),)).network().eval()
    vectors = network.get_parameter("table_1.weight")
    assert vectors.shape == (51, 3) and not vectors[50].any() and vectors[:50].all()
    with torch.no_grad():
        vectors[50] = torch.tensor([1.0, 2.0, 3.0])
        sums = torch.stack([vectors[49] + 4 * vectors[50], vectors[3] + 3 * vectors[50]])
        torch.testing.assert_close(network(UNSEEN), network.get_submodule("layers")(sums))


def test_files_answer_as_the_networks_for_unseen_ids(tmp_path: Path):
    """Each with a row and a spare one, and hashed in n-grams of two."""
    split = torch.randint(1, 50, (8, 5)), torch.arange(8) % 3
    task = Supervised(train=split, validation=split)
    with seeded(0):
        network = text(ids=50, grams=(Grams(RowEach(), 3), LONG[1]), hidden=0).network().eval()
    with torch.no_grad():
        network.get_parameter("table_1.weight")[50] = torch.tensor([1.0, 2.0, 3.0])
        expected = network(UNSEEN).numpy()
    save(network, task, tmp_path / "found.shoe")
    np.testing.assert_allclose(load(tmp_path / "found.shoe")(UNSEEN), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ids": 1}, "1 ids: give 2"),
        ({"widths": (0,)}, "must be 1 or more"),
        ({"lengths": (4,)}, "n-grams of 4 ids: give 1 to 3"),
        ({"dropouts": (1.0,)}, "dropout of 1.0"),
    ],
)
def test_spaces_that_make_no_networks(settings: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        Ngrams(**{"ids": 10} | settings)  # type: ignore[arg-type]
