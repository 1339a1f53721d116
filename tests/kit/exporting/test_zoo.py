"""Any nn.Module: every animal of the zoo goes into a file, comes back, is pruned, shared, restored
and trained on.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from zoo import ZOO, Animal, longer, tensors

from shoestring.artifact import load
from shoestring.artifact.format import file
from shoestring.core import Task, seeded
from shoestring.kit import (
    AdamW,
    Exported,
    ModelState,
    Ramp,
    SkippedWarning,
    Training,
    bake,
    clone,
    export,
    parameters_of,
    restore,
    state_of,
    train,
    with_state,
    write,
)
from shoestring.prune import Magnitude
from shoestring.quantize import WeightSharing

pytestmark = pytest.mark.by_default(
    "mlp*",
    "convolutions*",
    "residual*",
    "lstm*",
    "tied*",
    "dict_output*",
    "half*",
    "weight_norm*",
    "frozen*",
)


@dataclass
class Visit:
    """One animal, its graph, and what pruning and sharing made of it.

    Tests leave all of it as it is.
    """

    animal: Animal
    model: nn.Module
    task: Task
    exported: Exported
    untouched: ModelState
    pruned: nn.Module
    shared: nn.Module
    warned: list[str]
    folder: Path

    def file(self, model: nn.Module, name: str) -> Path:
        path = self.folder / f"{name}.shoe"
        write(model, self.task, path, exported=self.exported)
        return path


@pytest.fixture(scope="module", params=ZOO, ids=lambda animal: animal.name)
def visit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    model, task = request.param()
    exported = export(model, task)
    with seeded(0), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        train(
            clone(model), task, Training(1)
        )  # and the model itself, forward and backward, before it is copied:
        task.loss(model, next(iter(task.batches("train")))).backward()
        model.zero_grad()
        untouched = state_of(model)
        pruned = Magnitude(density=0.3, training=Training(2), ramp=Ramp(0.5, rounds=2))(model, task)
        shared = WeightSharing(levels=8, training=Training(2, AdamW(1e-4)))(pruned, task)
    skipped = [str(one.message) for one in warned if one.category is SkippedWarning]
    assert len(skipped) == len(warned), [str(one.message) for one in warned]
    folder = tmp_path_factory.mktemp(request.param.name)
    return Visit(request.param, model, task, exported, untouched, pruned, shared, skipped, folder)


def outputs(predict: Any, task: Task, by: int) -> list[np.ndarray]:
    args, kwargs = longer(task, by)
    if isinstance(predict, nn.Module):
        predict.eval()
    with torch.no_grad():
        return [np.asarray(one) for one in tensors(predict(*args, **kwargs))]


def assert_alike(ours: list[np.ndarray], theirs: list[np.ndarray], closely: bool = False) -> None:
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        tolerance = 1e-6 if closely else 4e-3 if a.dtype == np.float16 else 2e-5
        np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=tolerance, atol=tolerance)


def same(a: ModelState, b: ModelState) -> bool:
    def equal(x: dict[str, torch.Tensor], y: dict[str, torch.Tensor]) -> bool:
        return x.keys() == y.keys() and all(
            x[key].dtype == y[key].dtype and torch.equal(x[key], y[key]) for key in x
        )

    return (
        equal(a.values, b.values)
        and a.states.keys() == b.states.keys()
        and all(equal(a.states[name], b.states[name]) for name in a.states)
    )


@pytest.mark.parametrize("which", ["model", "pruned", "shared"])
def test_file_runs_as_the_module_does_at_two_shapes(visit: Visit, which: str):
    model = getattr(visit, which)
    loaded = load(visit.file(model, which))
    for by in (0, 3):
        assert_alike(outputs(loaded, visit.task, by), outputs(model, visit.task, by))


@pytest.mark.parametrize("which", ["model", "pruned", "shared"])
def test_file_holds_the_weights_bit_for_bit(visit: Visit, which: str):
    model = getattr(visit, which)
    found = parameters_of(model)
    content = file.read(visit.file(model, which))
    kept = [(one.bits, found[one.member]) for one in content.tensors if one.member is not None]
    assert kept
    for bits, weight in kept:
        assert bits.tobytes() == weight.value().contiguous().numpy().tobytes(), weight.name
        assert bits.shape == tuple(weight.raw.shape)


def test_file_shrinks(visit: Visit):
    whole, pruned, shared = (
        visit.file(getattr(visit, n), n).stat().st_size for n in ("model", "pruned", "shared")
    )
    assert shared < pruned < whole


def test_most_parameters_are_compressed(visit: Visit):
    content, found = file.read(visit.file(visit.shared, "shared")), parameters_of(visit.shared)
    coded = sum(
        one.tensor.bits.size
        for one in content.packed
        if one.coding != 0
        and one.tensor.member is not None
        and found[one.tensor.member].is_parameter
    )
    assert coded >= visit.animal.compressed * sum(
        one.raw.numel() for one in found if one.is_parameter
    )


def test_argument_is_left_alone(visit: Visit):
    assert same(state_of(visit.model), visit.untouched)
    assert (
        all(type(one).__name__[:12] != "Parametrized" for one in visit.model.modules())
        or "norm" in visit.animal.name
    )
    assert all(
        one.state is None or one.state.codebook is None for one in parameters_of(visit.pruned)
    )


def test_what_is_skipped_is_named(visit: Visit):
    if visit.animal.name in ("weight_norm", "spectral_norm"):
        call = (
            "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') makes a plain "
            "parameter of it"
        )
        why = f"parametrized by something else ({call})"
        assert visit.warned == [
            f"{who} skipped 0.weight: {why}" for who in ("Magnitude", "WeightSharing")
        ]
    else:
        assert visit.warned == []


def test_names_and_order_of_members_stay(visit: Visit):
    names = [one.name for one in parameters_of(visit.model)]
    for model in (visit.pruned, visit.shared, bake(clone(visit.shared)), clone(visit.shared)):
        assert [one.name for one in parameters_of(model)] == names
    assert [len(one.owners) for one in parameters_of(visit.shared)] == [
        len(one.owners) for one in parameters_of(visit.model)
    ]


def test_restored_model_answers_alike_and_keeps_masks_and_codebooks_in_training(visit: Visit):
    fresh, _ = visit.animal()
    with torch.no_grad():
        for one in fresh.parameters():
            one.add_(0.1)
    restored = restore(visit.file(visit.shared, "shared"), fresh)
    for by in (0, 3):
        assert_alike(
            outputs(restored, visit.task, by), outputs(visit.shared, visit.task, by), closely=True
        )
    zeros = {
        one.name: one.value() == 0 for one in parameters_of(visit.shared) if one.mask is not None
    }
    assert zeros
    with seeded(0):
        train(restored, visit.task, Training(2))
    moved = 0
    for one in parameters_of(restored):
        if (
            one.name in zeros and one.raw.requires_grad
        ):  # too small for a codebook: pruned all the same
            assert one.mask is not None
        if one.name in zeros:
            value = one.value()
            assert (value[zeros[one.name]] == 0).all()
            if one.state is not None and one.state.codebook is not None:
                assert value.unique().numel() <= 9
                moved += int(one.state.trainable)
    assert moved


def test_state_goes_through_pickle(visit: Visit):
    fresh, _ = visit.animal()
    for model in (visit.model, visit.pruned, visit.shared):
        state = pickle.loads(pickle.dumps(state_of(model)))
        other = with_state(fresh, state)
        assert same(state_of(other), state_of(model))
        assert_alike(outputs(other, visit.task, 1), outputs(model, visit.task, 1), closely=True)


def test_clones_are_equal_and_apart(visit: Visit):
    for copied in (
        clone(visit.shared),
        clone(clone(visit.shared)),
        copy.deepcopy(clone(visit.shared)),
    ):
        assert same(state_of(copied), state_of(visit.shared))
        assert_alike(
            outputs(copied, visit.task, 0), outputs(visit.shared, visit.task, 0), closely=True
        )
        ours = {
            one.data_ptr()
            for one in (*visit.shared.parameters(), *visit.shared.buffers())
            if one.numel()
        }
        assert not ours & {
            one.data_ptr() for one in (*copied.parameters(), *copied.buffers()) if one.numel()
        }


def test_baked_model_is_plain_and_pickles(visit: Visit):
    baked = bake(clone(visit.shared))
    assert all(one.state is None for one in parameters_of(baked))
    assert [one.raw.requires_grad for one in parameters_of(baked)] == [
        one.raw.requires_grad for one in parameters_of(visit.model)
    ]
    if (
        "norm" not in visit.animal.name or visit.animal.name == "norms"
    ):  # torch does not pickle what it parametrized itself
        baked = pickle.loads(pickle.dumps(baked))
    assert_alike(outputs(baked, visit.task, 1), outputs(visit.shared, visit.task, 1), closely=True)


def test_what_is_tied_stays_tied(visit: Visit):
    if visit.animal.name not in ("tied", "gpt2"):
        pytest.skip("nothing is tied")
    shape = max((one.shape for one in visit.model.parameters()), key=lambda shape: shape.numel())
    restored = restore(visit.file(visit.shared, "shared"), visit.animal()[0])
    for model in (
        clone(visit.model),
        visit.pruned,
        visit.shared,
        restored,
        bake(clone(visit.shared)),
        copy.deepcopy(visit.shared),
    ):
        (one,) = (one for one in parameters_of(model) if one.raw.shape == shape)
        assert len(one.owners) == 2
        first, second = (getattr(module, attribute) for module, attribute in one.owners)
        assert torch.equal(first, second)
        assert sum(p.shape == shape for p in model.parameters()) == 1


def test_frozen_weights_stay_frozen(visit: Visit):
    if visit.animal.name != "frozen":
        pytest.skip("nothing is frozen")
    with seeded(0):
        trained = train(clone(visit.shared), visit.task, Training(2))
    one, other = (
        {one.name: one for one in parameters_of(model)}["0.weight"]
        for model in (visit.shared, trained)
    )
    assert torch.equal(one.value(), other.value())
