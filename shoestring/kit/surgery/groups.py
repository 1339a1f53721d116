"""Dependency groups: which slices of which weights are removed together, unit by unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from shoestring.kit.surgery.dependency import Dependencies
from shoestring.kit.surgery.marks import WeightAxis
from shoestring.kit.weights.parameters import Parameters

SizeAttribute = tuple[str, str, int]
"""An integer attribute of a module: the module's path, the attribute's name, and by how much it
falls for each unit that is removed."""


@dataclass(frozen=True, eq=False)
class Group:
    """Units with slices along the same axes of the same weights; each unit goes or stays whole.

    `name`: the first layer that gives the units.
    `layers`: all layers that give them.
    `slices`: of each weight axis, the indices of each unit's slices, (units, slices of a unit).
    `reads`: the weight axes along which a layer takes the units in. With zeros there the model
        answers as it does without the units.
    `gives`: the weight axes along which a layer gives the units.
    `are_parts`: whether a unit is several channels that the model mixes, as an attention's head is.
    `size_attributes`: attributes of modules that follow the number of units.
    """

    name: str
    layers: tuple[str, ...]
    slices: dict[WeightAxis, Tensor]
    reads: frozenset[WeightAxis]
    gives: frozenset[WeightAxis]
    are_parts: bool
    size_attributes: tuple[SizeAttribute, ...] = ()

    def __len__(self) -> int:
        """The number of units."""
        return len(next(iter(self.slices.values())))


@dataclass(frozen=True, eq=False)
class DependencyGroups:
    """The dependency groups of a model, in the order of its layers.

    `used`: (index of a weight, number of positions at which the example multiplies it).
    `each`: outputs for each input channel of depthwise convolutions, by the index of their weights.
    """

    groups: tuple[Group, ...]
    used: tuple[tuple[int, float], ...]
    each: dict[int, int]

    def products(self, parameters: Parameters, gone: Sequence[Tensor] = ()) -> float:
        """The number of multiplications in the model's layers on the example.

        `gone`: of each group, the indices of the units to leave out.
        """
        return self.products_of(
            [weight.raw.shape for weight in parameters], [len(units) for units in gone]
        )

    def products_of(self, shapes: Sequence[Sequence[int]], counts: Sequence[int]) -> float:
        """The number of multiplications with weights of these shapes.

        `counts`: of each group, the number of units to leave out.
        """
        sizes = [list(shape) for shape in shapes]
        for group, count in zip(self.groups, counts, strict=False):
            for (index, axis), slices in group.slices.items():
                sizes[index][axis] -= count * slices.shape[1]
        return sum(positions * math.prod(sizes[index]) for index, positions in self.used)

    def after(self, parameters: Parameters, gone: Sequence[Tensor]) -> DependencyGroups:
        """The groups of the model once these units of each group are removed.

        `parameters`: those of the model before.
        """
        new_indices = {
            key: stays.cumsum(0) - 1 for key, stays in self.left(parameters, gone).items()
        }
        groups: list[Group] = []
        for group, units in zip(self.groups, gone, strict=True):
            stays = torch.ones(len(group), dtype=torch.bool)
            stays[units] = False
            slices = {key: new_indices[key][own[stays]] for key, own in group.slices.items()}
            groups.append(replace(group, slices=slices))
        return replace(self, groups=tuple(groups))

    def left(self, parameters: Parameters, gone: Sequence[Tensor]) -> dict[WeightAxis, Tensor]:
        """Of each weight axis with units, which slices stay, bool (slices,)."""
        left = dict[WeightAxis, Tensor]()
        for group, units in zip(self.groups, gone, strict=True):
            for (index, axis), slices in group.slices.items():
                stays = left.setdefault(
                    (index, axis), torch.ones(parameters[index].raw.shape[axis], dtype=torch.bool)
                )
                stays[slices[units].flatten()] = False
        return left


def groups_of(dependencies: Dependencies) -> list[Group]:
    """The groups of two units or more, in the order of the layers that give them."""
    marks = dependencies.marks
    alike: dict[tuple[tuple[WeightAxis, int], ...], list[dict[WeightAxis, list[int]]]] = {}
    for slices in marks.removable().values():
        unit: dict[WeightAxis, list[int]] = {}
        for key, index in slices:
            unit.setdefault(key, []).append(index)
        kind = tuple(sorted((key, len(own)) for key, own in unit.items()))
        alike.setdefault(kind, []).append(unit)
    groups: list[tuple[int, Group]] = []
    attended = {
        mark for one in dependencies.attention for mark in marks.roots(one).unique().tolist()
    }
    order = {key: turn for turn, key in enumerate(dependencies.gives)}
    for units in alike.values():
        giving = sorted((key for key in units[0] if key in order), key=order.__getitem__)
        if len(units) < 2 or not giving:
            continue
        first = giving[0]
        units.sort(key=lambda unit: min(unit[first]))
        slices = {key: torch.tensor([unit[key] for unit in units]) for key in units[0]}
        layers = [name for index, _ in giving for name in dependencies.parameters[index].layers]
        reads = frozenset(key for key in slices if key in dependencies.reads)
        are_parts = all(slices[key].shape[1] > 1 for key in giving) and attended.issuperset(
            marks.roots(marks.slices(*first)[slices[first][:, 0]]).tolist()
        )
        names = tuple(dict.fromkeys(layers))
        group = Group(layers[0], names, slices, reads, frozenset(giving), are_parts)
        groups.append((order[first], group))
    return [group for _, group in sorted(groups, key=lambda pair: pair[0])]


def size_attributes_of(
    model: nn.Module, parameters: Parameters, group: Group
) -> list[tuple[SizeAttribute, ...]]:
    """Sets of integer attributes, around a group's layers, that may follow its number of units.

    forward() may compute with them (the number of heads of an attention, say). The first set has
    those that equal the number of units, the second those that equal a multiple of it too.
    """
    owners = [
        name
        for index, axis in group.slices
        if (index, axis) not in group.reads
        for name in parameters[index].layers
    ]
    around = {
        ".".join(name.split(".")[:depth])
        for name in group.layers
        for depth in range(len(name.split(".")))
    }
    modules = dict(model.named_modules())
    each = {
        len(group) * each: each for each in (*(one.shape[1] for one in group.slices.values()), 1)
    }
    multiples = tuple(
        (path, name, each[value])
        for path in sorted({*around, *owners})
        for name, value in vars(modules[path]).items()
        if type(value) is int and value in each
    )
    equal = tuple(one for one in multiples if one[2] == 1)
    return [one for one in dict.fromkeys((equal, multiples)) if one]
