"""Graph surgery across branches.

The units of a model that go or stay as a whole, and how they are taken out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.artifact.format.axes import Axis
from shoestring.core import Task, seeded
from shoestring.kit.surgery.cutting import answers, differs, take, tensors
from shoestring.kit.surgery.dependency import Dependencies, Place, reason_to_stay
from shoestring.kit.tracing.example import Example, examples_of, with_shapes
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.layers import Patterns, chosen
from shoestring.kit.weights.parameters import Parameters, SkippedWarning, bake, clone, parameters_of
from shoestring.kit.weights.sizes import resize

_SHORT = 8  # an axis that varies is cut to this length to find out what belongs together


@dataclass(frozen=True, eq=False)
class Group:
    """Units that are alike: each is slices along the same axes of the same weights, and goes or
    stays as a whole.

    `name`: the first layer that gives the units.
    `layers`: all that do.
    `slices`: of each (weight, axis), the weight by its place among the members, units × slices of a
        unit.
    `reads`: those of them along which a layer takes the units in: with zeros there the units might
        as well be gone.
    `gives`: those of them along which a layer gives the units.
    `are_parts`: whether units are several channels that the model mixes, as heads of an attention.
    `numbers`: attributes of modules (path, name) that go by the units, and by how much for each of
        them.
    """

    name: str
    layers: tuple[str, ...]
    slices: dict[Place, Tensor]
    reads: frozenset[Place]
    gives: frozenset[Place]
    are_parts: bool
    numbers: tuple[tuple[str, str, int], ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.slices.values())))


@dataclass(frozen=True, eq=False)
class DependencyGroups:
    """The families of a model, in the order of its layers.

    `used`: (weight, how many places it is multiplied at on the example); `each`: of convolutions in
    which each channel is by itself, by their weights, outputs for each of them.
    """

    groups: tuple[Group, ...]
    used: tuple[tuple[int, float], ...]
    each: dict[int, int]

    def products(self, found: Parameters, gone: Sequence[Tensor] = ()) -> float:
        """Products of the model's layers on the example, without the units (of each family) that
        are to go.
        """
        return self.products_of([one.raw.shape for one in found], [len(units) for units in gone])

    def products_of(self, shapes: Sequence[Sequence[int]], counts: Sequence[int]) -> float:
        """Products of layers with weights of these shapes, without so many units of each family."""
        sizes = [list(shape) for shape in shapes]
        for group, count in zip(self.groups, counts, strict=False):
            for (place, axis), slices in group.slices.items():
                sizes[place][axis] -= count * slices.shape[1]
        return sum(places * math.prod(sizes[place]) for place, places in self.used)

    def after(self, found: Parameters, gone: Sequence[Tensor]) -> DependencyGroups:
        """The coupling of the model with these parameters once these units of each family are gone."""
        left = self.left(found, gone)
        places = {key: stays.cumsum(0) - 1 for key, stays in left.items()}
        groups: list[Group] = []
        for group, units in zip(self.groups, gone, strict=True):
            stays = torch.ones(len(group), dtype=torch.bool)
            stays[units] = False
            slices = {key: places[key][own[stays]] for key, own in group.slices.items()}
            groups.append(replace(group, slices=slices))
        return replace(self, groups=tuple(groups))

    def left(self, found: Parameters, gone: Sequence[Tensor]) -> dict[Place, Tensor]:
        """Of each (weight, axis) with units on it, which slices stay."""
        left = dict[Place, Tensor]()
        for group, units in zip(self.groups, gone, strict=True):
            for (place, axis), slices in group.slices.items():
                stays = left.setdefault(
                    (place, axis), torch.ones(found[place].raw.shape[axis], dtype=torch.bool)
                )
                stays[slices[units].flatten()] = False
        return left


def dependency_groups(
    model: nn.Module, task: Task, only: Patterns = (), keep: Patterns = (), *, who: str
) -> DependencyGroups:
    """What belongs together in a model, and can go.

    Found by trying, and each family tried out by taking a unit of it out.
    `only`, `keep`: layers whose units may go, and must not. With a SkippedWarning from `who`: the
        whole model, where it does not run on the task's example or returns something else than
        tensors; weights that are frozen, tied or parametrized by something else, whose units all
        stay; a family where the model does not answer without a unit as it does with zeros in place
        of it. Raises ValueError for a lazy module, and for names of no layer.
    """
    judged, examples = bake(clone(model)).eval().cpu(), examples_of(task)
    marks, reason = followed(
        judged,
        examples,
        {one.name: why for one in parameters_of(model) if (why := reason_to_stay(one))},
    )
    if marks is None:
        warnings.warn(f"{who} skipped the model: {reason}", SkippedWarning, stacklevel=3)
        return DependencyGroups((), (), {})
    found = families_of(marks)
    _say_what_stays(marks, found, who)
    names = list(dict.fromkeys(name for group in found for name in group.layers))
    if only or keep:
        wanted, left = set(chosen(names, only, (), who)), set(chosen(names, (), keep, who))
        found = [
            one for one in found if wanted.intersection(one.layers) and left.issuperset(one.layers)
        ]
    coupling = DependencyGroups((), tuple(marks.used), marks.each)
    kept: list[Group] = []
    for group in found:
        reasons: list[str] = []
        for numbers in ((), *numbers_of(judged, marks.members, group)):
            tried = replace(group, numbers=numbers)
            reasons.append(
                _fails(judged, marks.members, examples, replace(coupling, groups=(tried,)))
            )
            if not reasons[-1]:
                kept.append(tried)
                break
        else:
            text = f"without one of its {len(group)} units the model {reasons[0]}"
            warnings.warn(f"{who} skipped {group.name}: {text}", SkippedWarning, stacklevel=3)
    return replace(coupling, groups=tuple(kept))


def without(model: nn.Module, coupling: DependencyGroups, gone: Sequence[Tensor]) -> nn.Module:
    """A copy of the model without these units of each family.

    The layers stay the user's own, with smaller weights.
    States of weights, requires_grad, training mode, device and memory format are kept; gradients
    are not.
    """
    stays = [torch.ones(len(group), dtype=torch.bool) for group in coupling.groups]
    for one, units in zip(stays, gone, strict=True):
        one[units] = False
    return arranged(model, coupling, [one.nonzero().flatten() for one in stays])


def arranged(model: nn.Module, coupling: DependencyGroups, units: Sequence[Tensor]) -> nn.Module:
    """A copy of the model with these units of each family, in this order, and without the others.

    See `without`.
    """
    model = clone(model)
    found, modules = parameters_of(model), dict(model.named_modules())
    order: dict[Place, Tensor] = {}
    for group, stay in zip(coupling.groups, units, strict=True):
        for path, name, each in group.numbers:
            setattr(
                modules[path], name, getattr(modules[path], name) - each * (len(group) - len(stay))
            )
        for (place, axis), slices in group.slices.items():
            own = order.setdefault((place, axis), torch.arange(found[place].raw.shape[axis]))
            own[slices.flatten()] = -1
            own[slices[stay.sort().values].flatten()] = slices[stay].flatten()
    for (place, axis), own in order.items():
        if not torch.equal(taken := own[own >= 0], torch.arange(len(own))):
            take(found[place], axis, taken)
            resize(found[place], coupling.each.get(place, 0))
    return model


def zeroed(model: nn.Module, coupling: DependencyGroups, gone: Sequence[Tensor]) -> nn.Module:
    """A plain copy of the model in which nothing reads these units of each family.

    It answers as one without them does.
    """
    model = bake(clone(model))
    _silence(parameters_of(model), coupling, gone)
    return model


def _silence(
    found: Parameters, coupling: DependencyGroups, gone: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Have nothing read these units; returns the weights that changed, and what they were."""
    before = dict[int, tuple[Tensor, Tensor]]()
    with torch.no_grad():
        for group, units in zip(coupling.groups, gone, strict=True):
            for place, axis in group.reads if len(units) else ():
                raw = found[place].raw
                before.setdefault(place, (raw, raw.clone()))
                raw.index_fill_(axis, group.slices[place, axis][units].flatten().to(raw.device), 0)
    return list(before.values())


def followed(
    judged: nn.Module, examples: Sequence[Example], reasons: dict[str, str]
) -> tuple[Dependencies | None, str]:
    """The marks of a plain model in evaluation mode after a run, on a short example where it takes
    one; or None, and why not.

    `reasons`: of the weights that must not be cut, by name, why.
    """
    try:
        marks, answered = _followed(judged, examples, reasons)
    except Exception as error:
        return None, f"it does not run on the task's example ({type(error).__name__}: {error})"
    reason = next(filter(None, map(_hidden, answered)), "")
    return (None, reason) if reason else (marks, "")


def _followed(
    judged: nn.Module, examples: Sequence[Example], reasons: dict[str, str]
) -> tuple[Dependencies, list[Any]]:
    """The marks of a model after a run of each entry, on short examples where it takes them, and
    what it answered.

    The runs share the marks: what one entry alone reads is read.
    """
    short = [_shortened(one) for one in examples]
    shorter = [one if cut is None else cut for one, cut in zip(examples, short, strict=True)]
    for tried in (shorter, examples) if any(one is not None for one in short) else (examples,):
        marks = Dependencies(judged, lambda weight: reasons.get(weight.name, ""))
        try:
            with quiet(), seeded(0), torch.no_grad():
                with marks:
                    answered = [one.run(judged) for one in tried]
                marks.fix_values(
                    [answered, [tensors(one) for one in answered]]
                )  # the latter of mappings of any class
            return marks, answered
        except Exception:
            if tried is examples:
                raise
    raise AssertionError("unreachable")


def _hidden(answer: Any) -> str:
    """Why a model's answers could not be compared; empty where they can."""
    leaves = tree.leaves(answer)
    wrong = leaves[:1] if not tensors(answer) else [leaf for leaf in leaves if is_dataclass(leaf)]
    kind = type(wrong[0] if wrong else answer).__name__
    return (
        f"it returns {kind}: have forward() return tensors, in tuples, lists and dicts"
        if wrong or not leaves
        else ""
    )


def _shortened(example: Example) -> Example | None:
    """The example, cut along the axes that vary; None where it is short."""
    cut = False

    def shorter(leaf: Any) -> Any:
        nonlocal cut
        for axis, name in example.axes.get(id(leaf), {}).items():
            if leaf.shape[axis] > (short := Axis.read(name).near(_SHORT)):
                leaf, cut = leaf.narrow(axis, 0, short), True
        return leaf

    changed = Example(
        tree.map(shorter, example.args), tree.map(shorter, example.kwargs), {}, example.entry
    )
    return changed if cut else None


def _say_what_stays(marks: Dependencies, found: Sequence[Group], who: str) -> None:
    """Name the layers whose units stay, whatever they are."""
    met = {
        place
        for place, _ in (
            *marks.gives,
            *marks.reads,
            *(key for group in found for key in group.slices),
        )
    }
    layers: dict[str, list[str]] = {}
    for place, weight in enumerate(marks.members):
        reason = marks.reasons.get(
            place, "" if place in met else "what it computes does not keep channels apart"
        )
        if reason and weight.is_parameter and weight.raw.ndim > 1:
            layers.setdefault(reason, []).extend(name or weight.name for name in weight.layers)
    for reason, names in layers.items():
        warnings.warn(
            f"{who} skipped {', '.join(dict.fromkeys(names))}: {reason}",
            SkippedWarning,
            stacklevel=4,
        )


def families_of(marks: Dependencies) -> list[Group]:
    """Units that are slices of the same weights, as families of two units or more."""
    all_close: dict[tuple[tuple[Place, int], ...], list[dict[Place, list[int]]]] = {}
    for slices in marks.united().values():
        unit: dict[Place, list[int]] = {}
        for place, index in slices:
            unit.setdefault(place, []).append(index)
        all_close.setdefault(
            tuple(sorted((place, len(own)) for place, own in unit.items())), []
        ).append(unit)
    found: list[tuple[int, Group]] = []
    attended = {mark for one in marks.shares for mark in marks.roots(one).unique().tolist()}
    order = {place: turn for turn, place in enumerate(marks.gives)}
    for units in all_close.values():
        giving = sorted((place for place in units[0] if place in order), key=order.__getitem__)
        if len(units) < 2 or not giving:
            continue
        units.sort(key=lambda unit: min(unit[giving[0]]))
        slices = {place: torch.tensor([unit[place] for unit in units]) for place in units[0]}
        layers = [name for place, _ in giving for name in marks.members[place].layers]
        reads = frozenset(place for place in slices if place in marks.reads)
        are_parts = all(slices[place].shape[1] > 1 for place in giving) and attended.issuperset(
            marks.roots(marks.slices(*giving[0])[slices[giving[0]][:, 0]]).tolist()
        )
        names = tuple(dict.fromkeys(layers))
        found.append(
            (order[giving[0]], Group(layers[0], names, slices, reads, frozenset(giving), are_parts))
        )
    return [group for _, group in sorted(found, key=lambda pair: pair[0])]


def numbers_of(
    model: nn.Module, found: Parameters, group: Group
) -> list[tuple[tuple[str, str, int], ...]]:
    """Whole numbers of the modules around a family's layers that its units explain.

    Forward() may go by them.
    """
    owners = [
        name
        for place, axis in group.slices
        if (place, axis) not in group.reads
        for name in found[place].layers
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
    all_close = [
        (path, name, each[value])
        for path in sorted({*around, *owners})
        for name, value in vars(modules[path]).items()
        if type(value) is int and value in each
    ]
    few = tuple(one for one in all_close if one[2] == 1)
    return [one for one in dict.fromkeys((few, tuple(all_close))) if one]


def _fails(
    judged: nn.Module, found: Parameters, examples: Sequence[Example], coupling: DependencyGroups
) -> str:
    """What goes wrong without the last unit of the one group."""
    gone = [torch.tensor([len(coupling.groups[0]) - 1])]
    return check(judged, without(judged, coupling, gone), examples, coupling, gone, found)


def removed(
    model: nn.Module, task: Task, coupling: DependencyGroups, gone: Sequence[Tensor], *, who: str
) -> tuple[nn.Module, DependencyGroups]:
    """The model without these units of each family, and its coupling.

    Checked on the task's example.
    Where the model then answers otherwise than it does when nothing reads these units, families
    that fail alone are left whole, with a SkippedWarning from `who`.
    """
    judged, examples = bake(clone(model)).eval().cpu(), examples_of(task)
    cut, found = without(model, coupling, gone), parameters_of(judged)
    if not check(judged, bake(clone(cut)).eval().cpu(), examples, coupling, gone, found):
        return cut, coupling.after(found, gone)
    fine = list(gone)
    for place, group in enumerate(coupling.groups):
        alone = [units if at == place else units[:0] for at, units in enumerate(gone)]
        trial = without(judged, coupling, alone) if len(gone[place]) else None
        if trial is not None and (reason := check(judged, trial, examples, coupling, alone, found)):
            text = f"without {len(gone[place])} of its {len(group)} units the model {reason}"
            warnings.warn(f"{who} skipped {group.name}: {text}", SkippedWarning, stacklevel=3)
            fine[place] = fine[place][:0]
    cut = without(model, coupling, fine)
    if reason := check(judged, bake(clone(cut)).eval().cpu(), examples, coupling, fine, found):
        warnings.warn(
            f"{who} removed nothing: with fewer units in several layers the model {reason}",
            SkippedWarning,
            stacklevel=3,
        )
        return model, coupling
    return cut, coupling.after(found, fine)


def check(
    judged: nn.Module,
    cut: nn.Module,
    examples: Sequence[Example],
    coupling: DependencyGroups,
    gone: Sequence[Tensor],
    found: Parameters,
) -> str:
    """How a model without units answers differently from one in which nothing reads them.

    Empty where it does not.
    Both are plain, in evaluation mode and on the processor; `judged`, whose parameters are `found`,
    is changed, and changed back, and `cut` is left in training.
    """
    both = with_shapes(examples)
    with torch.no_grad():
        before = _silence(found, coupling, gone)
        try:
            expected = answers(judged, both)
        finally:
            for raw, was in before:
                raw.copy_(was)
        return differs(cut, both, expected) or fails_in_training(judged, cut, examples)


def fails_in_training(judged: nn.Module, cut: nn.Module, examples: Sequence[Example]) -> str:
    """What goes wrong in training mode, when forward() may call more layers.

    Empty where it goes wrong with all units too.
    """
    try:
        answers(cut.train(), examples)
    except Exception as error:
        try:
            answers(clone(judged).train(), examples)
        except Exception:
            return ""
        return f"fails in training ({type(error).__name__}: {error})"
    return ""
