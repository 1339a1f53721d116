"""Chains, names and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from shoestring.core import Chain, Task, Technique, chain
from shoestring.core.technique import settings

from .games import Nim


@dataclass(frozen=True)
class Choice:
    strength: float = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Append(Technique):
    """Appends its letter to a text."""

    letter: str = "a"
    choice: Choice = Choice()
    patterns: tuple[str, ...] = field(default_factory=tuple)
    inner: Technique | None = None

    def __call__(self, model: Any, task: Task) -> Any:
        return model + self.letter


@dataclass(frozen=True, kw_only=True)
class Needs(Technique):
    """Has a setting without a default."""

    must: int

    def __call__(self, model: Any, task: Task) -> Any:
        return model


def test_a_chain_runs_from_left_to_right_and_the_empty_one_is_the_identity():
    a, b, c = (Append(letter=letter) for letter in "abc")
    assert chain(a, b, c)("", Nim()) == "abc" and chain(c, a)("x", Nim()) == "xca"
    model = object()
    assert chain()(model, Nim()) is model and repr(chain()) == "chain()"


def test_chains_within_chains_are_flattened():
    a, b, c = (Append(letter=letter) for letter in "abc")
    nested = chain(chain(), chain(a, chain(b)), c)
    assert nested == chain(a, b, c) == Chain((a, b, c)) and nested.techniques == (a, b, c)
    assert (
        chain(chain()) == chain()
        and hash(nested) == hash(chain(a, b, c))
        and nested != chain(a, c, b)
    )


def test_name_is_the_call_that_makes_it():
    technique = chain(Append(letter="b", choice=Choice(0.1)), Needs(must=3))
    assert repr(technique) == (
        "chain(Append(letter='b', choice=Choice(strength=0.1, names=()), patterns=(), inner=None), "
        "Needs(must=3))"
    )
    assert eval(repr(technique)) == technique


@pytest.mark.parametrize(
    ("technique", "count"),
    [
        (chain(), 0),
        (Append(), 0),
        (Append(letter="a", patterns=()), 0),
        (Append(letter="b"), 1),
        (Append(letter="b", patterns=("*",)), 2),
        (Append(choice=Choice(0.1)), 2),  # another choice, and its strength
        (Append(choice=Choice(0.1, ("x",))), 3),
        (Append(inner=Append()), 1),
        (Append(inner=chain(Append(letter="c"), Append(letter="d"))), 3),
        (Needs(must=1), 1),
        (chain(Append(letter="b"), Append(), Needs(must=1)), 2),
    ],
)
def test_settings_that_somebody_chose_are_counted(technique: Technique, count: int):
    assert settings(technique) == count


def test_a_technique_without_a_call_cannot_be_made():
    class Half(Technique):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Half()  # type: ignore[abstract]


@dataclass(frozen=True, kw_only=True)
class Layered(Technique):
    """Acts on layers."""

    strength: int = 1
    only: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __call__(self, model: Any, task: Task) -> Any:
        return model


def test_a_name_tells_of_layers_only_where_some_were_chosen():
    assert repr(Layered()) == "Layered(strength=1)"
    assert repr(Layered(keep=("a", "b"))) == "Layered(strength=1, keep=('a', 'b'))"
    assert repr(Layered(only=("a",), strength=2)) == "Layered(strength=2, only=('a',))"


def test_layers_are_those_with_matrices_unless_a_technique_says_otherwise():
    from torch import nn

    from shoestring.core import ActsOnLayers
    from shoestring.kit import parameters_of

    model = nn.Sequential(
        nn.Embedding(3, 4),
        nn.LayerNorm(4),
        nn.Linear(4, 4),
        nn.Sequential(nn.Linear(4, 2), nn.ReLU()),
    )
    assert Layered().layers(model, Nim()) == ["0", "2", "3.0"]
    for weight in parameters_of(model):
        weight.prune(weight.raw.bool())  # a state, and a module of torch's within each layer
    assert Layered().layers(model, Nim()) == ["0", "2", "3.0"]
    alone = nn.Linear(2, 2)
    assert Layered().layers(alone, Nim()) == [""]
    parameters_of(alone)[1].prune(parameters_of(alone)[1].raw.bool())
    assert Layered().layers(alone, Nim()) == [""]
    technique = Layered(keep=("2",))
    assert technique.prepared(model, Nim()) is technique
    assert isinstance(technique, ActsOnLayers) and not isinstance(Append(), ActsOnLayers)


def test_what_takes_no_part_in_comparing_is_no_setting():
    @dataclass(frozen=True, kw_only=True)
    class Knows(Append):
        known: int | None = field(default=None, repr=False, compare=False)

    assert settings(Knows(known=3)) == 0 and Knows(known=3) == Knows()
