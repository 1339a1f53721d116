"""The weight state, with numbers to check by hand."""

from __future__ import annotations

import copy
import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.kit import (
    SkippedWarning,
    bake,
    check_finite,
    clone,
    compressible,
    parameters_of,
    state_of,
    with_state,
)


def linear() -> nn.Linear:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]]))
        model.bias.zero_()
    return model


def weight_of(model: nn.Module):
    return next(one for one in parameters_of(model) if one.raw.ndim == 2)


def test_mask_zeroes_without_a_sign_and_only_ever_grows():
    model = linear()
    weight_of(model).prune(torch.tensor([[True, False, True], [False, True, True]]))
    assert model.weight.tolist() == [[1, 0, 3], [0, 5, -6]]
    assert not torch.signbit(model.weight[model.weight == 0]).any()
    weight_of(model).prune(torch.tensor([[False, True, True], [True, True, True]]))
    assert model.weight.tolist() == [[0, 0, 3], [0, 5, -6]]


def test_codebook_then_mask():
    model = linear()
    weight_of(model).share(torch.tensor([-1.0, 7.0]), torch.tensor([[0, 1, 0], [1, 1, 0]]))
    weight_of(model).prune(torch.tensor([[True, True, False], [True, False, True]]))
    assert model.weight.tolist() == [[-1, 7, 0], [7, 0, -1]]
    assert weight_of(model).state.indices.dtype == torch.uint8  # type: ignore[union-attr]


def test_indices_take_no_more_than_they_need():
    model = nn.Linear(300, 2)
    weight_of(model).share(torch.arange(300.0), torch.arange(600).view(2, 300) % 300)
    assert weight_of(model).state.indices.dtype == torch.int32  # type: ignore[union-attr]
    assert model.weight[1, 299] == 299


def test_gradient_of_a_level_is_the_sum_over_its_weights():
    model = linear()
    indices = torch.tensor([[0, 1, 0], [1, 1, 0]])
    weight_of(model).share(torch.tensor([-1.0, 7.0]), indices)
    weight_of(model).prune(torch.tensor([[True, True, False], [True, True, True]]))
    x = torch.tensor([[1.0, 10.0, 100.0]])
    (model(x) * torch.tensor([2.0, 3.0])).sum().backward()
    # d/dw is [2, 20, 200] for the first row and [3, 30, 300] for the second; w[0, 2] is masked.
    assert weight_of(model).state.codebook.grad.tolist() == [2 + 300, 20 + 3 + 30]  # type: ignore[union-attr]
    assert weight_of(model).raw.grad is None


def test_levels_of_a_frozen_weight_are_frozen():
    model = linear().requires_grad_(False)
    weight_of(model).share(torch.tensor([-1.0, 7.0]), torch.tensor([[0, 1, 0], [1, 1, 0]]))
    assert not any(one.requires_grad for one in model.parameters())
    assert not bake(model).weight.requires_grad


def test_bake_makes_a_trained_weight_trainable_again():
    model = linear()
    weight_of(model).share(torch.tensor([-1.0, 7.0]), torch.tensor([[0, 1, 0], [1, 1, 0]]))
    assert not parametrize.is_parametrized(bake(model))
    assert type(model) is nn.Linear and isinstance(model.weight, nn.Parameter)
    assert model.weight.requires_grad and model.weight.tolist() == [[-1, 7, -1], [7, 7, -1]]


def test_codebook_has_the_type_of_the_weight():
    model = linear().half()
    weight_of(model).share(torch.tensor([-1.0, 7.0]), torch.tensor([[0, 1, 0], [1, 1, 0]]))
    assert model.weight.dtype == torch.float16
    assert model.float().weight.dtype == torch.float32


def test_members_come_in_one_order_whatever_is_known_of_them():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    names = [one.name for one in parameters_of(model)]
    assert names == [
        "0.bias",
        "0.weight",
        "1.bias",
        "1.num_batches_tracked",
        "1.running_mean",
        "1.running_var",
        "1.weight",
        "2.bias",
        "2.weight",
    ]
    for one in parameters_of(model):
        if one.is_parameter:
            one.prune(torch.ones_like(one.raw, dtype=torch.bool))
            assert [other.name for other in parameters_of(model)] == names
    assert [one.name for one in parameters_of(bake(model))] == names


def test_members_of_another_parametrization_are_what_it_computes_from():
    model = nn.Sequential(
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2)
    )
    names = [one.name for one in parameters_of(model)]
    assert (
        "0.parametrizations.weight.original0" in names
        and "0.parametrizations.weight.original1" in names
    )
    assert sum(one.raw.numel() for one in parameters_of(model)) == sum(
        one.numel() for one in model.parameters()
    )
    with pytest.warns(
        SkippedWarning, match=r"me skipped 0\.weight: parametrized by something else"
    ):
        assert [one.name for one in compressible(model, "me")] == ["1.weight"]
    with pytest.raises(TypeError, match=r"0\.weight is parametrized by something else"):
        parameters_of(model)[1].attach()
    with torch.no_grad():
        model[0].parametrizations.weight.original0.mul_(2)
    assert torch.equal(with_state(clone(model), state_of(model))[0].weight, model[0].weight)


def test_compressible_chooses_by_parameter():
    model = nn.Module()
    model.a = nn.Parameter(torch.zeros(4, 5))
    model.b = nn.Parameter(torch.zeros(30))
    model.c = nn.Parameter(torch.zeros(2, 2, dtype=torch.int64), requires_grad=False)
    model.d = nn.Parameter(torch.zeros(0, 5))
    model.register_buffer("e", torch.zeros(4, 5))
    assert [one.name for one in compressible(model, "me")] == ["a"]
    assert [one.name for one in compressible(model, "me", 21)] == []
    assert [one.name for one in compressible(model, "me", axes=1)] == ["a", "b"]


def test_tied_weight_has_one_state():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    (one,) = parameters_of(model)
    assert one.name == "0.weight" and len(one.owners) == 2
    one.share(torch.tensor([1.0, 2.0]), torch.arange(15).view(5, 3) % 2)
    model(torch.tensor([0])).sum().backward()
    assert model[0].parametrizations.weight[0] is model[1].parametrizations.weight[0]
    assert [p.shape for p in model.parameters()] == [(5, 3), (2,)]
    baked = bake(clone(model))
    assert baked[0].weight is baked[1].weight and baked[0].weight[0].tolist() == [1, 2, 1]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_network_is_copied_after_a_backward_pass(kind: type):
    model = kind(3, 4, num_layers=2)
    for one in parameters_of(model):
        one.prune(torch.rand_like(one.raw) > 0.5)
    x = torch.randn(5, 2, 3)
    model(x)[0].sum().backward()
    copied = clone(model)
    assert torch.equal(copied(x)[0], model(x)[0])
    copied[0] if isinstance(copied, nn.Sequential) else copied(x)[0].sum().backward()
    baked = bake(clone(copied))
    copy.deepcopy(baked)
    assert torch.equal(baked(x)[0], model(x)[0])
    with torch.no_grad():
        baked.weight_hh_l0.zero_()
    assert not torch.equal(baked(x)[0], model(x)[0])
    assert torch.equal(copied(x)[0], model(x)[0])


def test_module_that_keeps_what_it_computed_is_copied():
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.last = self.inner(x)
            return self.last

    model = Keeps()
    model(torch.ones(1, 2))
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)
    assert torch.equal(clone(model).last, model.last)  # type: ignore[arg-type]


def test_lists_and_dicts_of_parameters():
    model = nn.ParameterDict(
        {"list": nn.ParameterList([nn.Parameter(torch.full((2, 2), i + 1.0)) for i in range(12)])}
    )
    for one in parameters_of(model):
        one.prune(torch.eye(2, dtype=torch.bool))
    assert [one[0].tolist() for one in model["list"]] == [[i + 1.0, 0] for i in range(12)]
    assert [one[0].tolist() for one in bake(model)["list"]] == [[i + 1.0, 0] for i in range(12)]  # type: ignore[index]


def test_state_of_another_model_is_refused():
    state = state_of(linear())
    with pytest.raises(ValueError, match=r"another model: \['bias'\] are in one of them only"):
        with_state(nn.Linear(3, 2, bias=False), state)
    with pytest.raises(
        ValueError, match=r"bias is \(3,\), not \(2,\)|weight is \(3, 2\), not \(2, 3\)"
    ):
        with_state(nn.Linear(2, 3), state)


def test_numbers_that_are_not_finite_are_named():
    model = nn.Sequential(linear(), linear())
    model.register_buffer("mask", torch.full((2, 2), float("-inf")))
    check_finite(model)
    model[1].weight.data[0, 1] = float("inf")
    model[1].weight.data[0, 2] = float("nan")
    with pytest.raises(ValueError, match=r"1\.weight holds 2 values that are NaN or infinite"):
        check_finite(model)
    model[1].weight.data.fill_(1)
    model.mask.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="mask holds 1 values"):
        check_finite(model)


def test_lazy_module_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3))
    for use in (parameters_of, state_of, bake, check_finite, lambda m: compressible(m, "me")):
        with pytest.raises(
            ValueError, match="1 is lazy and has not seen an input yet: call the model once"
        ):
            use(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(torch.ones(1, 2))
    assert len(parameters_of(model)) == 4


def test_a_clone_and_its_model_are_parametrized_apart():
    model = linear()
    weight_of(model).prune(torch.eye(2, 3, dtype=torch.bool))
    other = clone(model)
    bias = next(one for one in parameters_of(other) if one.name == "bias")
    bias.prune(torch.tensor([True, False]))
    assert isinstance(model.bias, nn.Parameter) and not parametrize.is_parametrized(model, "bias")
    bake(other)
    assert parametrize.is_parametrized(model, "weight") and model.weight.tolist() == [
        [1, 0, 0],
        [0, 5, 0],
    ]
    bake(model)
    assert other.weight.tolist() == [[1, 0, 0], [0, 5, 0]]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_a_hook_computes_from_are_skipped_and_copied():
    model = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))
    model(torch.ones(1, 3)).sum().backward()
    copied = clone(model)
    assert torch.equal(copied(torch.ones(1, 3)), model(torch.ones(1, 3)))
    with pytest.warns(
        SkippedWarning, match=r"me skipped 0\.weight_g, 0\.weight_v: parametrized by something else"
    ):
        assert [one.name for one in compressible(model, "me")] == ["1.weight"]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    ("wrap", "call"),
    [
        (torch.nn.utils.weight_norm, "torch.nn.utils.remove_weight_norm(layer)"),
        (torch.nn.utils.spectral_norm, "torch.nn.utils.remove_spectral_norm(layer)"),
        (
            torch.nn.utils.parametrizations.weight_norm,
            "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
        ),
    ],
)
def test_the_call_that_makes_a_plain_weight_is_named_and_does(wrap, call):
    model = nn.Sequential(wrap(nn.Linear(3, 2)), nn.Linear(2, 2)).eval()
    expected = model(torch.ones(1, 3))
    with pytest.warns(
        SkippedWarning, match=rf"me skipped 0\.weight.*{re.escape(call)} makes a plain parameter"
    ):
        compressible(model, "me")
    eval(call, {"torch": torch, "layer": model[0]})
    assert [one.name for one in compressible(model, "me")] == ["0.weight", "1.weight"]
    torch.testing.assert_close(model(torch.ones(1, 3)), expected)


def test_masks_of_torchs_own_pruning_are_told_and_values_are_found_all_the_same():
    model = nn.Sequential(nn.Linear(3, 2))
    torch.nn.utils.prune.l1_unstructured(model[0], "weight", amount=3)
    with pytest.warns(
        SkippedWarning,
        match=r"masks in 0\.weight_orig: torch\.nn\.utils\.prune\.remove\(layer, name\)",
    ):
        assert [one.name for one in compressible(model, "me")] == ["0.weight_orig"]
    torch.nn.utils.prune.remove(model[0], "weight")
    assert [one.name for one in compressible(model, "me")] == ["0.weight"]


def test_a_model_without_values_says_so():
    with pytest.raises(
        ValueError,
        match=r"1\.weight is on the meta device and has no values: .*load_state_dict\(\.\.\., "
        r"assign=True\)",
    ):
        parameters_of(nn.Sequential(nn.ReLU(), nn.Linear(3, 2, device="meta", bias=False)))
