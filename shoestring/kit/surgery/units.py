"""Removing hidden units that do nothing, and sorting the others so that their zeros code well."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task
from shoestring.kit.surgery.constants import LayerInput, constants
from shoestring.kit.surgery.cutting import answers, differs, reason_not_to_cut
from shoestring.kit.surgery.finding import dependencies_of
from shoestring.kit.surgery.groups import DependencyGroups, Group, groups_of, size_attributes_of
from shoestring.kit.surgery.marks import WeightAxis
from shoestring.kit.surgery.removing import answers_without, arranged, fails_in_training
from shoestring.kit.tracing.example import Example, at_both_shapes, examples_of
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import (
    Parameters,
    SkippedWarning,
    Weight,
    bake,
    parameters_of,
)

FEW_OUTPUTS = 32
"""Units that are read by at most so many outputs are sorted by the signs of their weights."""


def remove_dead_units(model: nn.Module, task: Task) -> nn.Module:
    """A copy of the model without hidden units that do nothing: the same answers up to rounding.

    A unit is removed with all that depends on it, across residual branches, concatenations and
    heads of an attention, when each layer that reads it has zero weights for it, or gets a constant
    from it. The constant is zero, or the layer's bias absorbs it, which takes a bias without a
    state, and no padding. A unit without incoming weights gives a constant. Each layer keeps one
    unit or more. Units that this leaves dead are removed too.

    Where a single layer gives the units and a single one reads them, and their weights have zeros,
    the units that stay are sorted so that zeros are adjacent: by the signs of their outgoing
    weights where there are at most `FEW_OUTPUTS`, else by their number of nonzero weights.

    States of weights, requires_grad, training mode, device and memory format are kept; gradients
    are not. Layers that are tied, that something else parametrizes, or that mix units, stay as they
    are, without a warning. A SkippedWarning names the model, where it does not run on the task's
    example, and a layer, where the model answers differently without its units (because forward()
    has their number written into it, say). Raises ValueError for a lazy module that has not seen an
    input, ExportError for an example that does not fit its declared axes.
    """
    result, parameters, examples = clone(model), parameters_of(model), examples_of(task)
    if not any(
        weight.is_parameter and weight.raw.ndim > 1 and bool((weight.value() == 0).any())
        for weight in parameters
    ):
        return result
    plain = _plain(result)
    reasons = {
        weight.name: reason for weight in parameters if (reason := reason_not_to_cut(weight))
    }
    dependencies, reason = dependencies_of(plain, examples, reasons)
    if dependencies is None:
        warnings.warn(
            f"remove_dead_units skipped the model: {reason}", SkippedWarning, stacklevel=2
        )
        return result
    groups = DependencyGroups(
        tuple(group for group in groups_of(dependencies) if group.reads),
        tuple(dependencies.used),
        dependencies.each,
    )
    remover = _Remover(result, plain, groups, _free(parameters), examples)
    while remover.remove():
        pass
    for name, reason in remover.skipped.items():
        if reason:
            warnings.warn(
                f"remove_dead_units skipped {name}: {reason}", SkippedWarning, stacklevel=2
            )
    return remover.result


def _plain(model: nn.Module) -> nn.Module:
    return bake(clone(model)).eval().cpu()


def _free(parameters: Parameters) -> set[int]:
    """The indices of the parameters whose values may change: they have no state and can be cut."""

    def is_free(weight: Weight) -> bool:
        return weight.is_parameter and weight.state is None and not reason_not_to_cut(weight)

    return {index for index, weight in enumerate(parameters) if is_free(weight)}


def _slices(group: Group, key: WeightAxis, value: Tensor) -> Tensor:
    """Each unit's slices of a weight's value, (units, slices, other channels, kernel)."""
    own, along = group.slices[key], value.cpu().movedim(key[1], 0)
    return along[own.flatten()].reshape(*own.shape, along.shape[1], -1)


@dataclass(frozen=True, eq=False)
class _Elsewhere:
    """A plain copy with other weights, and other inputs for it.

    The task's example has few rows: a unit that forward() reads by its index, or through a
    threshold, may be silent in all of them.
    """

    model: nn.Module
    examples: Sequence[Example]


@dataclass(eq=False)
class _Remover:
    """A model whose dead units are being removed.

    `result`: the model.
    `plain`: a plain copy of it on the CPU.
    `groups`: the dependency groups of both.
    `free`: indices of the biases that may change.
    `examples`: one of each entry of the model, which must answer as before.
    `skipped`: groups that stay as they are, and why; "" where only the order would have changed.
    """

    result: nn.Module
    plain: nn.Module
    groups: DependencyGroups
    free: set[int]
    examples: Sequence[Example]
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters, self.both_shapes = parameters_of(self.plain), at_both_shapes(self.examples)
        with torch.no_grad():
            self.expected = answers(self.plain, self.both_shapes)
        self.elsewhere = [
            _elsewhere(self.plain, self.both_shapes, seed, height, factor)
            for seed, (height, factor) in enumerate(((1, 1), (3, 1), (5, 10), (1, -10)))
        ]

    def remove(self) -> bool:
        """Remove and sort the units of each group; whether any was removed, which may free more."""
        before, inputs = sum(map(len, self.groups.groups)), constants(self.plain, self.both_shapes)
        constant = [_constant_of(group, inputs) for group in self.groups.groups]
        # From last to first: the order of a layer's units depends on the units of later layers.
        for index in reversed(range(len(constant))):
            group = self.groups.groups[index]
            if group.name not in self.skipped:
                units, additions = self._chosen(group, constant[index])
                if not torch.equal(units, torch.arange(len(group))):
                    self._try(index, units, additions)
        return sum(map(len, self.groups.groups)) < before

    def _chosen(
        self, group: Group, constant: dict[WeightAxis, LayerInput]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """(indices of the units that stay, in their new order; what to add to biases, by index)."""
        parameters = self.parameters
        reads = {key: _slices(group, key, parameters[key[0]].value()) for key in group.reads}
        gone, folded = torch.ones(len(group), dtype=torch.bool), dict[WeightAxis, Tensor]()
        for key, weight in reads.items():
            unused = (weight == 0).flatten(1).all(1)
            zero = torch.zeros(len(group), dtype=torch.bool)
            if key in constant:
                zero = (constant[key].values == 0).all(1)
                if constant[key].bias in self.free:
                    folded[key] = ~unused & ~zero & ~constant[key].values.isnan().any(1)
            gone &= unused | zero | folded.get(key, zero)
        gone[0] &= not gone.all()
        units = (~gone).nonzero().flatten()
        if len(reads) == len(group.gives) == 1:
            (key,) = group.gives
            incoming = _slices(group, key, parameters[key[0]].value())
            units = _sorted(units, incoming, *reads.values())
        additions = {
            constant[key].bias: _addition(reads[key][own & gone], constant[key].values[own & gone])
            for key, own in folded.items()
            if (own & gone).any()
        }
        return units, {index: more for index, more in additions.items() if index is not None}

    def _try(self, index: int, units: Tensor, additions: dict[int, Tensor]) -> None:
        """Leave a group with these units in this order, or skip it where the answers change.

        `additions`: what to add to biases, by their indices.
        """
        group = self.groups.groups[index]
        every, reason = torch.arange(len(group)), ""
        stays = torch.isin(every, units)
        orders = (
            (units,) if stays.all() or torch.equal(units, every[stays]) else (units, every[stays])
        )
        attributes = () if stays.all() else size_attributes_of(self.plain, self.parameters, group)
        for sizes in ((), *attributes):
            alone = replace(self.groups, groups=(replace(group, size_attributes=sizes),))
            for order in orders:
                changed = arranged(self.result, alone, [order])
                biases = parameters_of(changed) if additions else ()
                for bias, more in additions.items():
                    biases[bias].raw.data += more.to(biases[bias].raw)
                elsewhere: list[_Elsewhere] = []
                if not (wrong := self._is_wrong(changed)):
                    elsewhere, wrong = self._cut_elsewhere(alone, order, every[~stays])
                if not wrong:
                    self._accept(changed, index, every[~stays])
                    self.elsewhere = elsewhere
                    return
                reason = reason or wrong
        self.skipped[group.name] = (
            "" if stays.all() else f"with {len(units)} of its {len(every)} units the model {reason}"
        )

    def _accept(self, changed: nn.Module, index: int, gone: Tensor) -> None:
        """Go on with a model in which one group lacks the units that are gone."""
        by_group = [
            gone if other == index else gone[:0] for other in range(len(self.groups.groups))
        ]
        self.groups = self.groups.after(self.parameters, by_group)
        self.result, self.plain = changed, _plain(changed)
        self.parameters = parameters_of(self.plain)

    def _cut_elsewhere(
        self, alone: DependencyGroups, order: Tensor, gone: Tensor
    ) -> tuple[list[_Elsewhere], str]:
        """The copies elsewhere without the units, and how one of them answers differently.

        "" where none does. Answers that are not finite tell nothing.
        """
        cut = [replace(one, model=arranged(one.model, alone, [order])) for one in self.elsewhere]
        for one, without in zip(self.elsewhere, cut, strict=True):
            try:
                expected = answers_without(
                    one.model, one.examples, alone, [gone], parameters_of(one.model)
                )
            except Exception:  # what it cannot do with all units, it need not do with fewer
                continue
            with torch.no_grad():
                if all(bool(answer.isfinite().all()) for answer in expected) and (
                    wrong := differs(without.model, one.examples, expected)
                ):
                    return [], f"{wrong}, with other weights or inputs"
        return cut, ""

    def _is_wrong(self, changed: nn.Module) -> str:
        """How a changed model answers differently; "" where it does not."""
        trial = _plain(changed)
        with torch.no_grad():
            return differs(trial, self.both_shapes, self.expected) or fails_in_training(
                self.plain, trial, self.examples
            )


def _elsewhere(
    plain: nn.Module, examples: Sequence[Example], seed: int, height: float, factor: float
) -> _Elsewhere:
    """A copy with weights drawn by the seed, `height` times the mean magnitude of each tensor, on
    examples whose floating-point tensors are multiplied by `factor`.
    """

    def scaled(leaf: Any) -> Any:
        return leaf * factor if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    model, generator = clone(plain), torch.Generator().manual_seed(seed)
    for one in parameters_of(model):
        if one.is_parameter and one.raw.is_floating_point():
            size = height * (one.raw.abs().float().mean() + 0.05)
            one.raw.data.copy_(torch.randn(one.raw.shape, generator=generator) * size)
    return _Elsewhere(
        model,
        [
            replace(one, args=tree.map(scaled, one.args), kwargs=tree.map(scaled, one.kwargs))
            for one in examples
        ],
    )


def _constant_of(group: Group, inputs: dict[int, LayerInput]) -> dict[WeightAxis, LayerInput]:
    """The constants that the units give to each layer that reads them, (units, slices)."""
    known = {key: inputs[key[0]] for key in group.reads if key[0] in inputs}
    return {key: replace(one, values=one.values[group.slices[key]]) for key, one in known.items()}


def _addition(weight: Tensor, values: Tensor) -> Tensor:
    """What units with constant values add to each output, (outputs,).

    `weight`: as `_slices` gives it. `values`: (units, slices).
    """
    outgoing = weight.double().permute(2, 0, 1, 3)
    return (outgoing * values.double().unsqueeze(-1)).flatten(2).sum((1, 2))


def _sorted(units: Tensor, incoming: Tensor, outgoing: Tensor) -> Tensor:
    """Units in an order in which zeros are adjacent; in the order given where no weight is zero.

    Equal units keep their order.
    `incoming`, `outgoing`: weights of all units, as `_slices` gives them.
    """
    nonzero, outgoing = incoming != 0, outgoing.transpose(1, 2).flatten(2)  # (units, outputs, rest)
    if nonzero.all() and (outgoing != 0).all():
        return units
    if outgoing.shape[1] <= FEW_OUTPUTS:
        signs = outgoing.sign().add(1).to(torch.uint8).flatten(1)
        keys: list[Any] = [one.numpy().tobytes() for one in signs]
    else:
        keys = (nonzero.flatten(1).sum(1) + (outgoing != 0).flatten(1).sum(1)).tolist()
    return torch.tensor(sorted(units.tolist(), key=keys.__getitem__, reverse=True))
