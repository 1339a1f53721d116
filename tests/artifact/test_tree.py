"""Nests: what is walked, in which order, under which names, and what is put together again."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest

from shoestring.artifact import tree

Pair = namedtuple("Pair", ["one", "other"])
NEST: Any = {"b": 1.5, "a": [2.5, (3.5, None)], "pair": Pair("x", {"deep": 4.5})}


class Picky(tuple):
    """Looks at what it is made of, as torch's own classes do."""

    __slots__ = ()

    def __new__(cls, values: Any) -> Picky:
        values = list(values)
        if not all(isinstance(one, float) for one in values):
            raise TypeError("floats alone")
        return super().__new__(cls, values)


@dataclass
class Record:
    """A leaf."""

    values: list[int]


def test_what_is_taken_apart_is_put_together_again():
    leaves, structure = tree.flatten(NEST)
    assert leaves == tree.leaves(NEST) == [1.5, 2.5, 3.5, None, "x", 4.5], (
        "in the order of the items, not of the keys"
    )
    assert structure == {"b": 0, "a": [1, (2, 3)], "pair": Pair(4, {"deep": 5})}
    assert (
        tree.fill(structure, leaves) == NEST and type(tree.fill(structure, leaves)["pair"]) is Pair
    )
    assert tree.fill({"y": (1, None, [0])}, ["first", [2]]) == {"y": ([2], None, ["first"])}, (
        "leaves are not entered"
    )


def test_what_does_not_count_has_no_number():
    leaves, structure = tree.flatten(NEST, lambda leaf: isinstance(leaf, float))
    assert leaves == [1.5, 2.5, 3.5, 4.5]
    assert structure == {"b": 0, "a": [1, (2, None)], "pair": Pair(None, {"deep": 3})}
    assert tree.fill(structure, leaves)["a"] == [2.5, (3.5, None)]


@pytest.mark.parametrize("leaf", [1.5, None, "text", Record([1]), {1, 2}])
def test_all_else_is_a_leaf(leaf: Any):
    assert (
        tree.leaves(leaf) == [leaf]
        and tree.flatten(leaf) == ([leaf], 0)
        and tree.items(leaf) == [((), leaf)]
    )
    assert tree.paths(leaf) == [("", leaf)] and tree.paths(leaf, "x") == [("x", leaf)]
    assert tree.map(lambda one: [one], leaf) == [leaf]


def test_paths_have_the_keys_and_the_indices():
    names = ["b", "a.0", "a.1.0", "a.1.1", "pair.0", "pair.1.deep"]
    assert [path for path, _ in tree.paths(NEST)] == names
    assert [path for path, _ in tree.paths(NEST, "batch")] == [f"batch.{name}" for name in names]
    assert [path for path, _ in tree.paths(("x", [{}, [], "y"]))] == ["0", "1.2"], (
        "what is empty has no leaf"
    )
    assert tree.paths({3: "x", "": "y"}) == [("3", "x"), ("", "y")]
    assert tree.items(NEST)[-1] == (("pair", 1, "deep"), 4.5)


def test_a_map_keeps_the_classes():
    class Own(dict):
        pass

    counted = defaultdict(list, {"x": 1.0})
    nest = [
        Own(x=1.0),
        OrderedDict(x=1.0),
        counted,
        UserDict({"x": 1.0}),
        Picky([1.0]),
        Pair(1.0, 1.0),
        MappingProxyType({"x": 1.0}),
    ]
    made = tree.map(lambda leaf: leaf + 1, nest)
    assert [type(one) for one in made] == [*map(type, nest[:-1]), dict], (
        "what cannot be set becomes a dict"
    )
    assert made[2].default_factory is list and made[4:6] == [(2.0,), (2.0, 2.0)]
    assert all(one["x"] == 2.0 for one in [*made[:4], made[-1]])
    assert nest[0] == {"x": 1.0} and counted == {"x": 1.0} and nest[3]["x"] == 1.0, (
        "the nest is left alone"
    )


def test_a_structure_is_made_of_plain_classes():
    """Or a class that looks at what it is made of would refuse numbers."""
    leaves, structure = tree.flatten((Picky([1.5, 2.5]), OrderedDict(x=3.5)))
    assert (
        structure == ((0, 1), {"x": 2})
        and type(structure[0]) is tuple
        and type(structure[1]) is dict
    )
    assert tree.fill(structure, leaves) == ((1.5, 2.5), {"x": 3.5})


def test_a_file_knows_tuples_lists_and_text():
    said = tree.plain({1: Pair("x", OrderedDict(y=["z"])), "two": None})
    assert said == {"1": ("x", {"y": ["z"]}), "two": None}
    assert type(said["1"]) is tuple and type(said["1"][1]) is dict


def test_a_nest_is_matched_with_a_structure():
    structure = ({"a": 1, "fixed": None}, [0, (2,)])
    assert tree.match(structure, [{"fixed": "any", "a": "x"}, ("y", [[7]])], "it") == {
        1: "x",
        0: "y",
        2: [7],
    }
    assert tree.match(None, {"what": "ever"}, "it") == {}


@pytest.mark.parametrize(
    ("structure", "nest", "said"),
    [
        ({"a": 0}, {"b": 1}, "it must be a dictionary with the keys 'a'"),
        ({"a": 0}, [1], "it must be a dictionary with the keys 'a'"),
        ({}, {"b": 1}, r"it must be a dictionary with the keys \(none\)"),
        ({"a": [0, 1]}, {"a": [1]}, r"it\['a'\] must be a list or tuple of 2"),
        ((0, ({"k": 1},)), [1, [{}]], r"it\[1\]\[0\] must be a dictionary with the keys 'k'"),
        ((0,), "x", "it must be a list or tuple of 1"),
    ],
)
def test_what_is_nested_otherwise_is_refused(structure: Any, nest: Any, said: str):
    with pytest.raises(TypeError, match=f"^{said}$"):
        tree.match(structure, nest, "it")
