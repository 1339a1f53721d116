"""What every technique must pass.

They are found by walking the package: a new one only adds its line to SETTINGS.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from getting import check_it_saves, few_labels
from made_duals import Readers, pictures_and_labels
from made_few import one_head
from made_pixel_words import BagOfPixels, pixel_words
from torch import Tensor, nn

import shoestring
from shoestring import kit, meters
from shoestring.adapt import ByAttention, ModelOutputs
from shoestring.artifact import load
from shoestring.core import (
    ActsOnLayers,
    Ledger,
    SealedError,
    Stage,
    Task,
    Technique,
    apply,
    chain,
    score,
    seeded,
)
from shoestring.core.entries import called, calls_of
from shoestring.core.resource import GETTING
from shoestring.dual import DenseJudge
from shoestring.kit import AdamW, Ramp, Training
from shoestring.label import Between, Margin
from shoestring.models import DigitsLeNet, Images, TextEncoder, VGGFamily
from shoestring.tasks import digits
from shoestring.unlabelled import Distorted, Shifted

# Three steps of training are no gain over the labels alone, as the guard says.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is refused, since:shoestring.unlabelled.RefusedWarning"
)

SETTINGS: dict[str, dict[str, Any]] = {
    "adapt.Frozen": {"training": Training(10, AdamW(1e-2))},
    "adapt.LearningWithoutForgetting": {"training": Training(4)},
    "adapt.Matching": {"comparison": ByAttention(5.0)},
    "adapt.Prototypes": {"features": ModelOutputs()},
    "adapt.Rehearsal": {"examples": 20, "training": Training(4)},
    "distill.EarlyExit": {"lost": 0.02, "training": Training(40, AdamW(5e-3))},
    "distill.Replace": {
        "by": VGGFamily(images=Images(mean=(0.3,), deviation=(0.4,), side=8, classes=10)),
        "width": 0.25,
        "training": Training(40, AdamW(5e-3)),
    },
    "distill.Student": {"training": Training(40, AdamW(5e-3))},
    "dual.Adversarial": {
        "judge": DenseJudge(source=64, target=10),
        "training": Training(3, AdamW(1e-3)),
    },
    "dual.BackTranslation": {"training": Training(3, AdamW(1e-3))},
    "dual.DualLearning": {"training": Training(3, AdamW(1e-3))},
    "dual.DualSupervised": {"training": Training(3, AdamW(1e-3))},
    "label.Weak": {
        "rules": tuple(Between(number % 10, 5 * number, least=0.8) for number in range(12)),
        "training": Training(20, AdamW(2e-2)),
        "tuning": Training(10, AdamW(2e-2)),
    },
    **{
        f"label.{name}": {"labels": 20, "rounds": 1, "training": Training(3)}
        for name in (
            "Badge",
            "Bald",
            "KCentre",
            "LeastConfident",
            "Margin",
            "PeakDoubts",
            "PredictiveEntropy",
            "ProbCover",
            "Random",
            "Typical",
        )
    },
    "prune.Blocks": {"batches": 1, "training": Training(2)},
    "prune.Channels": {"training": Training(4), "ramp": Ramp(0.3, rounds=2)},
    "prune.CheapConvolutions": {"batches": 1, "training": Training(2)},
    "prune.CompactEmbeddings": {"training": Training(2)},
    "prune.GroupLasso": {"penalty": 20.0, "training": Training(4)},
    "prune.Heads": {"training": Training(4), "ramp": Ramp(0.3, rounds=2)},
    "prune.LowRank": {"training": Training(2)},
    "prune.Magnitude": {"density": 0.3, "training": Training(2), "ramp": Ramp(rounds=1)},
    "quantize.BFloat16": {"keep": ("layers.0",)},
    "quantize.Binary": {"training": Training(20, AdamW(2e-3))},
    "quantize.PostTraining": {"examples": 64},
    "quantize.QuantizationAware": {"examples": 64, "training": Training(2)},
    "quantize.Rate": {"price": 1e-4, "training": Training(2)},
    "quantize.WeightSharing": {"levels": 16, "iterations": 5, "training": Training(2)},
    "quantize.Trellis": {"price": 1e-5, "batches": 4, "rounds": 2},
    "quantize.WeightOnly": {"only": ("layers.9",)},
    **{
        f"unlabelled.{name}": {"training": Training(3)}
        for name in (
            "FixMatch",
            "FreeMatch",
            "LabelsAlone",
            "MeanTeacher",
            "PiModel",
            "SemiSupervisedGAN",
        )
    },
    **{
        f"unlabelled.{name}": {"pretraining": Training(3), "training": Training(3)}
        for name in ("LayerWise", "MaskedTokens", "SimSiam")
    },
    "unlabelled.PseudoLabel": {"rounds": 1, "training": Training(3)},
}
"""Of each technique, settings under which it takes a second or less.

Fields without a default must be here.
"""

PRESSED: dict[str, dict[str, Any]] = {
    "prune.GroupLasso": {"training": Training(60, AdamW(3e-3))},
    "quantize.Rate": {"training": Training(60, AdamW(3e-3))},
    "quantize.Trellis": {"rounds": 4},
}
"""Of techniques whose strength shows only after some training, settings in place of those above
under which it does.
"""

PROVEN: dict[str, Any] = {"rounds": 3, "training": Training(100, AdamW(2e-2, 0.1))}
"""Of techniques that save labels, settings in place of those above under which they do."""
BESIDE: dict[str, Any] = {
    "training": Training(200, AdamW(2e-2, 0.1)),
    "weak": Shifted(0.02),
    "strong": Distorted(turn=15, scale=0.1, shear=0.1, shift=0.1, light=0.2, covered=0),
}
"""The same of those that learn from unlabelled digits of 8×8 pixels."""
PROVEN_OF: dict[str, dict[str, Any]] = {
    "unlabelled.FixMatch": BESIDE | {"confidence": 0.7},
    "unlabelled.FreeMatch": BESIDE,
    "unlabelled.MeanTeacher": BESIDE
    | {"training": Training(300, AdamW(2e-2, 0.1)), "weight": 2.0, "decay": 0.95},
}
"""In place of PROVEN."""
NOTHING = "nothing"
"""What a technique saves that is there for the others to beat."""

CHAINS = (
    "chain(WeightSharing(), WeightSharing(levels=8, overrides=(('head.*', 32),), vector_levels=4))",
    "chain(Magnitude(density=0.2, criterion=PerLayer((('*.weight', 0.5),))), Magnitude(), "
    "Magnitude(criterion=Global()))",
    "chain(Magnitude(criterion=PerLayer((('a*', 0.5), ('b', 0.1)))), "
    "WeightSharing(overrides=(('a', 4),)))",
)
"""Calls of techniques that have choices and tables in them."""


class Rows(nn.Module):
    """A transformer over the rows of a digit, for techniques that want heads and blocks."""

    def __init__(self) -> None:
        super().__init__()
        inside = TextEncoder(1, classes=10, width=32, layers=2, heads=4, hidden=32, dropout=0.0)
        self.first, self.layers, self.last = nn.Linear(8, 32), inside.layers, nn.Linear(8 * 32, 10)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.first(images.squeeze(1))
        for layer in self.layers:
            rows = layer(rows, torch.ones(rows.shape[:2], dtype=torch.bool))
        return self.last(rows.flatten(1))


class Levels(nn.Module):
    """A vector for each grey level of each pixel, for techniques that want a table of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Embedding(64 * 4, 64), nn.Linear(64, 64)])
        self.last = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        levels = (images.flatten(1) * 3).round().long().clamp(0, 3)
        states = self.layers[0](levels + 4 * torch.arange(64)).sum(1) / 2
        return self.last(torch.relu(self.layers[1](states)))


class Dropping(nn.Module):
    """A network that drops units in training, for techniques that want several answers of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1))
        self.last = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.layers(images))


NETWORKS: dict[str, type[nn.Module]] = {
    **{
        f"dual.{name}": Readers
        for name in ("Adversarial", "BackTranslation", "DualLearning", "DualSupervised")
    },
    "label.Bald": Dropping,
    "prune.Blocks": Rows,
    "prune.CompactEmbeddings": Levels,
    "prune.Heads": Rows,
    "unlabelled.MaskedTokens": BagOfPixels,
}
"""What a technique is tried on where that is not a DigitsLeNet."""

TASKS: dict[str, Callable[[], Task]] = {
    "adapt.LearningWithoutForgetting": one_head,
    "adapt.Rehearsal": one_head,
    "unlabelled.MaskedTokens": partial(pixel_words, 200),
}
"""What a technique is given to do where that is neither the digits nor a few labels of them."""

KNOWS: dict[type[nn.Module], Callable[[], Task]] = {
    Readers: partial(pictures_and_labels, 1000),
    BagOfPixels: pixel_words,
}
"""What a network knows that is not the digits, before a technique is tried on it."""

METERS = {"bytes": (meters.Size(), "bytes"), "operations": (meters.Operations(), "operations")}
"""What the first word after `Saves:` is measured by: the meter, and the field of the Cost.

Any other word is a field of a Cost that is of getting a model (labels), which is proven by a curve
at equal score: see tests/getting.py.
"""


def walk() -> list[type[Technique]]:
    """Every technique of the package outside core."""
    modules = [
        importlib.import_module(one.name)
        for one in pkgutil.walk_packages(shoestring.__path__, "shoestring.")
        if not one.name.startswith("shoestring.core")
    ]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Technique)
        and value.__module__ == module.__name__
        and "__call__" in vars(value)
    }
    return sorted(found, key=lambda one: (one.__module__, one.__name__))


TECHNIQUES = walk()


def room(technique: type[Technique]) -> str:
    return technique.__module__.split(".")[1]


def key(technique: type[Technique]) -> str:
    return f"{room(technique)}.{technique.__name__}"


def cheap(technique: type[Technique]) -> Technique:
    """The technique as the tests run it."""
    if key(technique) not in SETTINGS:
        pytest.fail(
            f"add a line to SETTINGS in tests/test_conformance.py: {key(technique)!r}: {{...}}, "
            "settings (of "
            f"{', '.join(f.name for f in fields(technique))}) under which it takes a second or less"  # type: ignore[arg-type]
        )
    return technique(**SETTINGS[key(technique)])


def names() -> dict[str, Any]:
    """What a repr may be made of: the names that the rooms give, and chain."""
    rooms = [
        one.name for one in pkgutil.iter_modules(shoestring.__path__, "shoestring.") if one.ispkg
    ]
    found: dict[str, Any] = {}
    for one in map(importlib.import_module, rooms):
        found |= {name: getattr(one, name) for name in getattr(one, "__all__", ())}
    return found


def saves(kind: type[Technique]) -> str:
    """The first word after `Saves:`."""
    said = re.search(r"Saves:\s+(\w+)", kind.__doc__ or "")
    assert said is not None and said[1] in (*METERS, *GETTING, NOTHING), (
        f"{key(kind)} says that it saves {said and said[1]!r}: begin with one of "
        f"{', '.join((*METERS, *GETTING))}, or add to METERS in tests/test_conformance.py what "
        "measures it"
    )
    return said[1]


@functools.cache
def task_for(kind: type[Technique]) -> Task:
    """The digits; where labels are what it saves, most without a label, which are for sale.

    Where two directions are trained, both.
    """
    if kind.__module__.startswith("shoestring.") and key(kind) in TASKS:
        return TASKS[key(kind)]()
    if ".dual." in kind.__module__:
        return pictures_and_labels()
    return few_labels(200, 0) if saves(kind) in (*GETTING, NOTHING) else digits()


@pytest.fixture
def task(kind: type[Technique]) -> Task:
    return task_for(kind)


@pytest.fixture(params=TECHNIQUES, ids=key)
def kind(request: pytest.FixtureRequest) -> type[Technique]:
    return request.param


@pytest.fixture
def technique(kind: type[Technique]) -> Technique:
    return cheap(kind)


@functools.cache
def trained(network: type[nn.Module]) -> nn.Module:
    """A network that knows most digits."""
    task = KNOWS.get(network, digits)()
    with seeded(0):
        model = kit.train(network(), task, Training(120, AdamW(3e-3)))
    assert score(task, model) > 0.85
    return model.train()


@pytest.fixture
def model(kind: type[Technique]) -> nn.Module:
    return trained(NETWORKS.get(key(kind), DigitsLeNet))


@functools.cache
def ran(technique: Technique, network: type[nn.Module]) -> nn.Module:
    with seeded(0):
        return technique(trained(network), task_for(type(technique)).sealed())


@pytest.fixture
def run(kind: type[Technique]):
    """Runs a technique on its model with seed 0; each once."""
    return lambda technique: ran(technique, NETWORKS.get(key(kind), DigitsLeNet))


def bits(model: nn.Module) -> dict[str, bytes]:
    """Values and states of a model, bit for bit."""
    state = kit.state_of(model)
    found = {name: value.numpy().tobytes() for name, value in state.values.items()}
    known = {
        (name, what): value
        for name, states in state.states.items()
        for what, value in states.items()
    }
    return found | {
        f"{name}'s {what}": value.numpy().tobytes() for (name, what), value in known.items()
    }


def effective(model: nn.Module) -> dict[str, bytes]:
    """The weights that a model computes with, bit for bit."""
    return {weight.name: weight.value().numpy().tobytes() for weight in kit.parameters_of(model)}


def looks(model: nn.Module) -> Any:
    """Whatever else of a model a careless technique could change."""
    parts = [
        (type(one), one.training, len(one._forward_hooks), len(one._forward_pre_hooks))
        for one in model.modules()
    ]
    return parts, [
        (id(p), p.requires_grad, p.grad is None, p.device, p.dtype) for p in model.parameters()
    ]


def test_some_are_found_and_every_line_is_of_one():
    assert {"prune.Magnitude", "quantize.WeightSharing"} <= {key(one) for one in TECHNIQUES}
    assert SETTINGS.keys() <= {key(one) for one in TECHNIQUES}, (
        "a line in SETTINGS is of no technique: delete it"
    )


def test_it_is_a_frozen_keyword_only_dataclass_of_its_room(kind: type[Technique]):
    assert is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(f.kw_only for f in fields(kind))
    assert kind.__mro__[1] is Technique, "no inheritance deeper than one"
    home = importlib.import_module(f"shoestring.{room(kind)}")
    assert getattr(home, kind.__name__) is kind and kind.__name__ in home.__all__


def test_its_docstring_is_the_contract(kind: type[Technique]):
    lines = (kind.__doc__ or "").splitlines()
    assert re.fullmatch(r"[A-Z].*\.", lines[0]) and len(lines) > 1 and lines[1] == "", (
        "one summary line, then an empty one"
    )
    for heading in ("Saves:", "Costs:", "Source:"):
        assert any(re.match(rf"\s*{heading} \S", line) for line in lines), (
            f"there is no line {heading}"
        )
    for f in fields(kind):  # type: ignore[arg-type]
        assert f"`{f.name}`" in (kind.__doc__ or ""), (
            f"the docstring does not say what `{f.name}` is"
        )
    assert kind.__call__.__doc__, "__call__ says what it returns"


def test_every_field_has_a_default_or_a_cheap_setting(kind: type[Technique], technique: Technique):
    for f in fields(kind):  # type: ignore[arg-type]
        given = (
            f.default is not MISSING
            or f.default_factory is not MISSING
            or f.name in SETTINGS[key(kind)]
        )
        assert given, f"{f.name} has no default: give one in SETTINGS"
        assert not isinstance(getattr(technique, f.name), str), (
            f"{f.name} is a string: choices are types"
        )
        assert not isinstance(getattr(technique, f.name), bool), (
            f"{f.name} is a switch: that means two techniques"
        )
    assert technique == cheap(kind) and hash(technique) == hash(cheap(kind))


def reprs(expressions: list[str]) -> list[str]:
    """The names of techniques that are made here, by their calls."""
    return [repr(eval(one, names())) for one in expressions]


@pytest.fixture(scope="module")
def reprs_elsewhere() -> dict[str, str]:
    """By key, or the call itself, the names of techniques as a process writes them whose strings
    have other hashes.
    """
    asked = {key(one): repr(cheap(one)) for one in TECHNIQUES if key(one) in SETTINGS} | {
        one: one for one in CHAINS
    }
    code = (
        "import json, sys; from test_conformance import reprs; "
        "print(json.dumps(reprs(json.load(sys.stdin))))"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "11",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([*asked.values()]),
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(asked, json.loads(done.stdout), strict=True))


def test_its_name_makes_it_again_and_is_the_same_in_every_process(
    kind: type[Technique], technique: Technique, reprs_elsewhere: dict[str, str]
):
    assert eval(repr(technique), names()) == technique
    assert reprs_elsewhere[key(kind)] == repr(technique)


@pytest.mark.parametrize("call", CHAINS)
def test_the_name_of_a_chain_is_the_same_in_every_process(
    call: str, reprs_elsewhere: dict[str, str]
):
    technique = eval(call, names())
    assert reprs_elsewhere[call] == repr(technique)
    assert eval(repr(technique), names()) == technique and isinstance(technique, Technique)


def test_it_refuses_names_of_no_layer_and_says_which_are_near(
    technique: Technique, model: nn.Module, task: Task
):
    if not {"only", "keep"} <= {f.name for f in fields(technique)}:  # type: ignore[arg-type]
        pytest.skip("it does not act on layers")
    for field in ("only", "keep"):
        named = replace(technique, **{field: ("layers.77",)})  # type: ignore[type-var]
        assert eval(repr(named), names()) == named != technique
        with pytest.raises(ValueError, match=rf"{field}= names 'layers.77'.*layers\.[017]"):
            named(model, task.sealed())


def test_it_tells_planners_which_layers_it_acts_on(
    technique: Technique, model: nn.Module, task: Task
):
    if not {"only", "keep"} <= {f.name for f in fields(technique)}:  # type: ignore[arg-type]
        pytest.skip("it does not act on layers")
    assert isinstance(technique, ActsOnLayers)
    found = technique.layers(model, task.sealed())
    assert (
        found and set(found) <= dict(model.named_modules()).keys() and len(set(found)) == len(found)
    )
    prepared = technique.prepared(model, task.sealed())
    assert prepared == technique and repr(prepared) == repr(technique)


def test_it_leaves_its_argument_alone(technique: Technique, model: nn.Module, task: Task):
    before = bits(model), looks(model)
    with seeded(0):
        result = technique(model, task.sealed())
    assert (bits(model), looks(model)) == before
    assert result is not model and not {id(p) for p in model.parameters()} & {
        id(p) for p in result.parameters()
    }
    assert result.training == model.training


def test_same_seed_same_result(technique: Technique, model: nn.Module, task: Task, run: Any):
    with seeded(0):
        again = technique(model, task.sealed())
    assert bits(again) == bits(run(technique))


# The second time there may be nothing left to take out.
@pytest.mark.filterwarnings("ignore:.*changed nothing in the model:shoestring.kit.SkippedWarning")
def test_it_works_in_a_chain(technique: Technique, model: nn.Module, task: Task, run: Any):
    with seeded(0):
        assert bits(chain(chain(), technique)(model, task.sealed())) == bits(run(technique))
    with seeded(0):
        twice = chain(technique, technique)(model, task.sealed())
    twice.eval()
    for entry, (args, _) in calls_of(task.example()).items():
        outputs = called(twice, entry)(*[getattr(one, "tensor", one) for one in args])
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        assert all(torch.isfinite(part).all() for part in parts)


@pytest.mark.by_default(
    "prune.Magnitude",
    "prune.Channels",
    "quantize.WeightSharing",
    "quantize.PostTraining",
    "quantize.Rate",
)
def test_it_works_through_apply(
    technique: Technique, model: nn.Module, task: Task, run: Any, tmp_path: Path
):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    result = apply(technique, model, task, ledger=ledger, meters=[meters.Size()])
    assert bits(result) == bits(run(technique)), "weighing changes nothing"
    (row,) = ledger.rows()
    assert (row.kind, row.technique, row.seed) == ("apply", repr(technique), 0)
    assert row.score_before == score(task, model) and row.score_after == score(task, result)
    assert row.cost_after.bytes and row.cost_after.seconds and row.cost_after.settings


def test_it_survives_the_file(
    technique: Technique, model: nn.Module, task: Task, run: Any, tmp_path: Path
):
    if technique.stage is Stage.LABELS and not isinstance(technique, Margin):
        pytest.skip("the layers stay as they are: Margin stands for all that choose labels")
    result, path = run(technique), tmp_path / "model.shoe"
    assert kit.write(result, task, path) == path.stat().st_size
    blank = kit.bake(kit.clone(result))  # of the result's shapes: a technique may remove units
    with torch.no_grad():
        for parameter in blank.parameters():
            parameter.zero_()
    assert effective(kit.restore(path, blank)) == effective(result)
    two_ways = isinstance(result, Readers)
    source = task.ahead if two_ways else task  # type: ignore[attr-defined]
    images, entry = source.validation[0], "read" if two_ways else ""  # type: ignore[attr-defined]
    with torch.no_grad():
        expected = called(kit.clone(result).eval(), entry)(images).numpy()
    largest = max(1.0, float(np.abs(expected).max()))
    apart = np.abs(called(load(path), entry)(images) - expected)
    # Where activations are rounded, a sum that falls between two whole numbers may go either way,
    # and what follows from it with it.
    rare = isinstance(result, kit.Quantised)
    assert (
        np.quantile(apart, 0.5 if rare else 1.0) <= 1e-4 * largest
        and apart.max() <= (0.05 if rare else 1e-4) * largest
    )
    assert score(task, load(path)) == pytest.approx(score(task, result), abs=1 / 400)


def amount(kind: type[Technique], technique: Technique, model: nn.Module, task: Task) -> float:
    """How much there is of what the technique saves.

    Of having the model, or of getting it with the technique.
    """
    word = saves(kind)
    if word in METERS:
        meter, field = METERS[word]
        return getattr(meter(model, task.sealed()), field)
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        apply(technique, trained(NETWORKS.get(key(kind), DigitsLeNet)), task, ledger=ledger)
        return getattr(ledger.rows()[0].cost_after, word)


@pytest.mark.by_default("prune.Heads")
def test_it_saves_what_it_says(
    kind: type[Technique], technique: Technique, model: nn.Module, task: Task, run: Any
):
    if (word := saves(kind)) == NOTHING:
        pytest.skip("it says that it saves nothing")
    if word in GETTING:
        settings = PROVEN_OF.get(key(kind), PROVEN)
        named = {f.name for f in fields(technique)}  # type: ignore[arg-type]
        proven = replace(  # type: ignore[type-var]
            technique, **{name: value for name, value in settings.items() if name in named}
        )
        check_it_saves(proven, word, key(kind))
        return
    before, after = (amount(kind, technique, one, task) for one in (model, run(technique)))
    assert after < before


def test_it_says_where_in_a_chain_it_belongs(kind: type[Technique]):
    assert isinstance(kind.stage, Stage), "give the class its stage, as in CONTRIBUTING.md"


@pytest.mark.by_default("prune.Magnitude", "prune.Channels", "quantize.WeightOnly")
def test_pressed_harder_it_saves_no_less(
    kind: type[Technique], technique: Technique, task: Task, run: Any
):
    """Two hundredths are for the noise of a training of a few steps."""
    if kind.strength is None:
        pytest.skip("it has nothing that presses harder")
    assert kind.strength.field in {f.name for f in fields(kind)}  # type: ignore[arg-type]
    base = replace(technique, **PRESSED.get(key(kind), {}))  # type: ignore[type-var]
    presses = [kind.strength.set(base, press) for press in (0.1, 0.5, 0.9)]
    assert len(set(presses)) == 3 and all(eval(repr(one), names()) == one for one in presses)
    left = [amount(kind, one, run(one), task) for one in presses]
    assert left[1] <= 1.02 * left[0] and left[2] <= 1.02 * left[1] and left[2] < left[0], dict(
        zip(presses, left, strict=True)
    )


def test_it_needs_no_test_split(technique: Technique, model: nn.Module, task: Task):
    sealed = task.sealed()
    with pytest.raises(SealedError):
        sealed.batches("test")
    with seeded(1):
        result = technique(model, sealed)
    assert score(sealed, result) > 0.2


def test_it_has_a_test_file(kind: type[Technique]):
    path = Path(__file__).parent / room(kind) / f"test_{kind.__module__.rsplit('.', 1)[-1]}.py"
    assert path.is_file(), f"write {path.relative_to(Path(__file__).parents[1])}"
