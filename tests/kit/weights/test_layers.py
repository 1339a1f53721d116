import pytest
import torch
from torch import nn

from shoestring.core import Technique
from shoestring.kit import Training, chosen, compressible, parameters_of, touched
from shoestring.prune import Magnitude
from shoestring.quantize import Rate, Trellis, WeightSharing
from shoestring.tasks import digits

NAMES = ["stem", "stages.0.conv1", "stages.0.conv2", "stages.1.conv1", "head"]


@pytest.mark.parametrize(
    ("only", "keep", "expected"),
    [
        ((), (), NAMES),
        (("stages.*",), (), NAMES[1:4]),
        ((), ("stem", "head"), NAMES[1:4]),
        (("*.conv1",), ("stages.1.*",), ["stages.0.conv1"]),
        (("stem",), ("s*",), []),
    ],
)
def test_names_that_fit_only_and_not_keep(only, keep, expected):
    assert chosen(NAMES, only, keep, "someone") == expected


def test_a_pattern_that_fits_nothing_is_refused_with_the_near_misses():
    with pytest.raises(
        ValueError, match=r"someone: only= names 'stages.0.conv3'.*nearest are stages.0.conv"
    ):
        chosen(NAMES, ("stages.0.conv3",), (), "someone")
    with pytest.raises(ValueError, match=r"keep= names 'x\*'"):
        chosen(NAMES, (), ("x*",), "someone")


class Tied(nn.Module):
    """An embedding that is also the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(6, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.out = nn.Linear(4, 6, bias=False)
        self.out.weight = self.words.weight


@pytest.mark.parametrize(
    ("only", "keep", "expected"),
    [
        ((), (), ["words.weight", "body.0.weight"]),
        (("out",), (), ["words.weight"]),
        (("words",), (), ["words.weight"]),
        ((), ("out",), ["body.0.weight"]),
        (("*",), ("words",), ["body.0.weight"]),
        (("words",), ("out",), []),
    ],
)
def test_a_tied_weight_is_touched_by_any_of_its_layers_and_kept_by_any(only, keep, expected):
    model = Tied()
    found = compressible(model, "test")
    assert found[0].layers == ("words", "out")
    assert [weight.name for weight in touched(found, only, keep, "test")] == expected


def test_a_name_that_is_a_layer_but_has_no_such_weight_is_refused_too():
    model = Tied()
    with pytest.raises(ValueError, match="test: keep= names 'body', and there is no such layer"):
        touched(compressible(model, "test"), (), ("body",), "test")


@pytest.mark.parametrize(
    "technique",
    [
        Magnitude(density=0.5, training=Training(0)),
        WeightSharing(levels=4, training=Training(0)),
        WeightSharing(levels=4, vector_levels=2, training=Training(0)),
        Rate(training=Training(1)),
        Trellis(batches=2, rounds=1),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("field", ["only", "keep"])
def test_techniques_change_the_layers_chosen_and_no_others(technique: Technique, field: str):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 10)
    )
    changed = type(technique)(**{**vars(technique), field: ("3",)})(model, digits().sealed())
    states = {
        weight.name.split(".")[0] for weight in parameters_of(changed) if weight.state is not None
    }
    assert states == ({"3"} if field == "only" else {"1", "5"})
