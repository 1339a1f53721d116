"""Hidden units that do nothing are taken out, and those that stay are put in an order that codes
well.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit.surgery.constants import Taken, constants
from shoestring.kit.surgery.cutting import answers, differs
from shoestring.kit.surgery.dependency import reason_not_to_cut
from shoestring.kit.surgery.groups import (
    DependencyGroups,
    Group,
    Place,
    arranged,
    fails_in_training,
    families_of,
    followed,
    numbers_of,
)
from shoestring.kit.tracing.example import Example, examples_of, with_shapes
from shoestring.kit.weights.parameters import SkippedWarning, bake, clone, parameters_of

FEW_OUTPUTS = 32
"""Units with no more outputs than this after them are ordered by signs."""


def remove_dead_units(model: nn.Module, task: Task) -> nn.Module:
    """A copy of the model without the hidden units that do nothing.

    Smaller tensors, the same answers up to rounding.
    A unit goes with all that belongs to it, wherever outputs go (residual branches, concatenations,
    heads of an attention), when each layer that takes it in gives it no weight, or gets a constant
    from it: zero, or a number that the layer's bias can take up, which is a bias without a state,
    and no padding. A unit without incoming weights gives a constant. Of each layer one unit stays.
    What that frees is removed too.

    Where a single layer gives the units and a single one takes them in, and their weights have
    zeros, the units that stay are sorted so that zeros meet zeros: by the signs of their outgoing
    weights where there are few outputs, else by how many weights they have.

    States of weights, requires_grad, training mode, device and memory format are kept; gradients
    are not. Layers whose weights are tied or parametrized by something else, or that mix units,
    stay as they are, without a word. With a SkippedWarning: the whole model, where it does not run
    on the task's example; a layer, where the model does not answer as before once its units are
    gone (because forward() has their number written into it, say). Raises ValueError for a lazy
    module that has not seen an input, ExportError for an example that is wrong.
    """
    result, found, own = clone(model), parameters_of(model), examples_of(task)
    if not any(
        one.is_parameter and one.raw.ndim > 1 and bool((one.value() == 0).any()) for one in found
    ):
        return result
    judged = _plain(result)
    marks, reason = followed(
        judged, own, {one.name: why for one in found if (why := reason_not_to_cut(one))}
    )
    if marks is None:
        warnings.warn(
            f"remove_dead_units skipped the model: {reason}", SkippedWarning, stacklevel=2
        )
        return result
    coupling = DependencyGroups(
        tuple(one for one in families_of(marks) if one.reads), tuple(marks.used), marks.each
    )
    free = {
        at
        for at, one in enumerate(found)
        if one.is_parameter and one.state is None and not reason_not_to_cut(one)
    }
    remover = _Remover(result, judged, coupling, free, own)
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


def _slices(group: Group, key: Place, value: Tensor) -> Tensor:
    """The slices that a weight's value has of each unit.

    Units × slices × the other channels × the kernel.
    """
    own, along = group.slices[key], value.cpu().movedim(key[1], 0)
    return along[own.flatten()].reshape(*own.shape, along.shape[1], -1)


@dataclass(eq=False)
class _Remover:
    """A model on the way, a plain copy of it on the processor, and the families of both.

    `free`: biases that may change.
    """

    result: nn.Module
    judged: nn.Module
    coupling: DependencyGroups
    free: set[int]
    own: Sequence[Example]
    skipped: dict[str, str] = field(default_factory=dict)
    """Families that stay as they are, and why.

    Without a word where nothing else than the order would change.
    """

    def __post_init__(self) -> None:
        self.found, self.examples = parameters_of(self.judged), with_shapes(self.own)
        with torch.no_grad():
            self.expected = answers(self.judged, self.examples)

    def remove(self) -> bool:
        """Remove and sort the units of each family; whether any was removed, which may free others."""
        before, taken = sum(map(len, self.coupling.groups)), constants(self.judged, self.examples)
        held = [_held(group, taken) for group in self.coupling.groups]
        # From the last to the first: the units of a layer depend on those that come after, in their
        # number and order.
        for at in reversed(range(len(held))):
            group = self.coupling.groups[at]
            if group.name not in self.skipped:
                units, constant = self._chosen(group, held[at])
                if not torch.equal(units, torch.arange(len(group))):
                    self._try(at, units, constant)
        return sum(map(len, self.coupling.groups)) < before

    def _chosen(self, group: Group, held: dict[Place, Taken]) -> tuple[Tensor, dict[int, Tensor]]:
        """The units that stay, one at least, in an order that codes well, and what biases take up
        from the others, by place.
        """
        found = self.found
        reads = {key: _slices(group, key, found[key[0]].value()) for key in group.reads}
        gone, folded = torch.ones(len(group), dtype=torch.bool), dict[Place, Tensor]()
        for key, weight in reads.items():
            unused, zero = (
                (weight == 0).flatten(1).all(1),
                torch.zeros(len(group), dtype=torch.bool),
            )
            if key in held:
                zero = (held[key].values == 0).all(1)
                if held[key].bias in self.free:
                    folded[key] = ~unused & ~zero & ~held[key].values.isnan().any(1)
            gone &= unused | zero | folded.get(key, zero)
        gone[0] &= not gone.all()
        units = (~gone).nonzero().flatten()
        if len(reads) == len(group.gives) == 1:
            ((place, axis),) = group.gives
            units = _sorted(
                units, _slices(group, (place, axis), found[place].value()), *reads.values()
            )
        constant = {
            held[key].bias: _given(reads[key][mine & gone], held[key].values[mine & gone])
            for key, mine in folded.items()
            if (mine & gone).any()
        }
        return units, {place: more for place, more in constant.items() if place is not None}

    def _try(self, at: int, units: Tensor, constant: dict[int, Tensor]) -> None:
        """Leave a family with these units in this order.

        Where the model then answers otherwise it is skipped.
        """
        group, every, reason = (
            self.coupling.groups[at],
            torch.arange(len(self.coupling.groups[at])),
            "",
        )
        stays = torch.isin(every, units)
        orders = (
            (units,) if stays.all() or torch.equal(units, every[stays]) else (units, every[stays])
        )
        for numbers in ((), *(() if stays.all() else numbers_of(self.judged, self.found, group))):
            alone = replace(self.coupling, groups=(replace(group, numbers=numbers),))
            for order in orders:
                changed = arranged(self.result, alone, [order])
                biases = parameters_of(changed) if constant else ()
                for place, more in constant.items():
                    biases[place].raw.data += more.to(biases[place].raw)
                if not (wrong := self._is_wrong(changed)):
                    gone = [
                        every[~stays] if other == at else every[:0]
                        for other in range(len(self.coupling.groups))
                    ]
                    self.coupling = self.coupling.after(self.found, gone)
                    self.result, self.judged = changed, _plain(changed)
                    self.found = parameters_of(self.judged)
                    return
                reason = reason or wrong
        self.skipped[group.name] = (
            "" if stays.all() else f"with {len(units)} of its {len(every)} units the model {reason}"
        )

    def _is_wrong(self, changed: nn.Module) -> str:
        trial = _plain(changed)
        with torch.no_grad():
            return differs(trial, self.examples, self.expected) or fails_in_training(
                self.judged, trial, self.own
            )


def _held(group: Group, taken: dict[int, Taken]) -> dict[Place, Taken]:
    """Of the layers that take a family in, the constants that its units give them, units × slices."""
    found = {key: taken[key[0]] for key in group.reads if key[0] in taken}
    return {key: replace(one, values=one.values[group.slices[key]]) for key, one in found.items()}


def _given(weight: Tensor, values: Tensor) -> Tensor:
    """What units × slices that hold these constants give to each output, by the weights of
    `_slices`.
    """
    outgoing = weight.double().permute(2, 0, 1, 3)
    return (outgoing * values.double().unsqueeze(-1)).flatten(2).sum((1, 2))


def _sorted(units: Tensor, incoming: Tensor, outgoing: Tensor) -> Tensor:
    """Units in an order that codes well, by the weights of `_slices` of them and of others.

    As they are where none is zero.
    """
    there, outgoing = (
        incoming != 0,
        outgoing.transpose(1, 2).flatten(2),
    )  # units × outputs × what is along them
    if there.all() and (outgoing != 0).all():
        return units
    if outgoing.shape[1] <= FEW_OUTPUTS:
        signs = outgoing.sign().add(1).to(torch.uint8).flatten(1)
        keys: list[Any] = [one.numpy().tobytes() for one in signs]
    else:
        keys = (there.flatten(1).sum(1) + (outgoing != 0).flatten(1).sum(1)).tolist()
    return torch.tensor(
        sorted(units.tolist(), key=keys.__getitem__, reverse=True)
    )  # those that are equal stay as they are
