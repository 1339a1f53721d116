"""Graph surgery: hidden units that do nothing are taken out, and those that stay are put in an
order that codes well.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from shoestring.core import Task, seeded
from shoestring.kit.surgery.cutting import answers, differs, is_in_groups, take, tensors
from shoestring.kit.surgery.unread import remove_unread
from shoestring.kit.tracing.example import Example, examples_of, with_shapes
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.parameters import SkippedWarning, Weight, clone, members

FEW_OUTPUTS = 32
"""Units with no more outputs than this after them are ordered by signs."""

# The axis of the units, of what a layer takes and of what it gives. By forward(), so that
# parametrized layers are found and layers that compute something of their own are not.
_AXES: dict[Any, int] = {nn.Linear.forward: -1, nn.Conv1d.forward: -2, nn.Conv2d.forward: -3}
_NORMS: tuple[Any, ...] = (nn.BatchNorm1d.forward, nn.BatchNorm2d.forward)
_TENSORS = ("weight", "bias", "running_mean", "running_var")
_SIZES = (
    ("out_features", "out_channels", "num_features"),
    ("in_features", "in_channels"),
)  # along axis 0 and 1


def remove_dead_units(model: nn.Module, task: Task) -> nn.Module:
    """A copy of the model without the hidden units that do nothing.

    Smaller tensors, the same answers up to rounding.
    Where one linear layer or convolution (groups=1) alone follows another, with nothing between but
    steps that keep units apart (activations, dropout, batch norm, pooling, flattening), a unit of
    the first goes when the second gives it no weight, or when it has no incoming weight and what it
    then gives is a constant that is zero or that the second one's bias can take up: a bias without
    a state, and no padding. Repeated until nothing changes; of each layer one unit stays.

    Where the two layers have weights that are zero, the units that stay are sorted so that zeros
    meet zeros: by the signs of their outgoing weights where there are few outputs, else by how many
    weights they have.

    Where outputs go several ways (residual branches, concatenations, heads of an attention), units
    go when nothing reads them: when all layers that take them in give them no weight.

    States of weights, requires_grad, training mode, device and memory format are kept; gradients
    are not. Layers whose weights are tied, frozen or parametrized by something else may stay as
    they are, without a word. With a SkippedWarning: the whole model, where torch.fx cannot trace it
    or it fails on the task's example; a layer, where the model does not answer as before once its
    units are gone (because forward() has their number written into it, say). Of a model with
    several entries, units go when no entry reads them, and the rest is left with a SkippedWarning.
    Raises ValueError for a lazy module that has not seen an input, ExportError for an example that
    is wrong.
    """
    members(model)  # says so where a module is lazy
    own = examples_of(task)
    if names := [one.entry for one in own if one.entry]:
        why = (
            f"they are found in one graph, and the model has entries ({', '.join(names)}); "
            "units that nothing reads are removed"
        )
        warnings.warn(
            f"remove_dead_units skipped pairs of layers: {why}", SkippedWarning, stacklevel=2
        )
        return remove_unread(clone(model), task)
    (example,), examples = own, with_shapes(own)
    skipped: dict[str, str] = {}
    expected, chains = list[Tensor](), list[_Chain]()
    result, judged = clone(model), clone(model).eval().cpu()
    with torch.no_grad():
        try:
            expected = answers(judged, examples)
            chains = _chains(judged, example)
        except Exception as error:
            skipped["the model"] = (
                "torch.fx cannot trace it and run it on the task's example "
                f"({type(error).__name__}: {error})"
            )
        while chains:
            before = result
            # From the last to the first: the units of a layer depend on those that come after, in
            # their number and order.
            for chain in [one for one in reversed(chains) if one.name not in skipped]:
                units, constant = _arranged(judged, chain)
                if units == list(range(chain.units)):
                    continue
                changed = _with_units(result, chain, units, constant)
                trial = clone(changed).eval().cpu()
                if reason := differs(trial, examples, expected):
                    skipped[chain.name] = (
                        f"with {len(units)} of its {chain.units} units, sorted, the model {reason}"
                    )
                else:
                    result, judged = changed, trial
            chains = _chains(judged, example) if result is not before else []
    for name, reason in skipped.items():
        warnings.warn(f"remove_dead_units skipped {name}: {reason}", SkippedWarning, stacklevel=2)
    return remove_unread(result, task) if expected else result


# -- chains


@dataclass(frozen=True)
class _Chain:
    """A layer, the steps after it, the layer that alone takes what they give, and what each node
    gave for the example.
    """

    start: fx.Node
    steps: tuple[fx.Node, ...]
    end: fx.Node
    known: dict[fx.Node, Any]
    name: str
    units: int

    def layers(self, model: nn.Module) -> tuple[Any, list[Any], Any]:
        """The first layer, the batch norm that each step is or None, and the last layer."""
        first, *between, last = (
            model.get_submodule(str(one.target)) if one.op == "call_module" else None
            for one in (self.start, *self.steps, self.end)
        )
        return first, [one if _forward(one) in _NORMS else None for one in between], last

    def spread(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """One value for each unit, in the shape of what the first layer gives."""
        axis = _AXES[_forward(self.layers(model)[0])]
        return chosen.view(-1, *[1] * (-axis - 1)).expand(self.known[self.start].shape)

    def run(self, model: nn.Module, value: Tensor) -> list[Tensor]:
        """What goes into each batch norm and into the last layer, for a value that the first one
        gives.

        As rows × units × copies, these being the places that flattening gives a unit. Raises
        RuntimeError where they differ.
        """
        _, norms, last = self.layers(model)
        interpreter = fx.Interpreter(model, graph=self.start.graph)
        interpreter.env = {node: one for node, one in self.known.items() if not tensors(one)}
        axes = [*(None if norm is None else 1 for norm in norms), _AXES[_forward(last)]]
        node, value = self.start, value.clone()  # steps may work in place
        found: list[Tensor] = []
        for step, axis in zip((*self.steps, self.end), axes, strict=True):
            if axis is not None:
                found.append(
                    value.clone()
                    .movedim(axis, -1)[None]
                    .flatten(0, -2)
                    .unflatten(-1, (self.units, -1))
                )
            if step is not self.end:
                interpreter.env[node] = value
                node, value = step, interpreter.run_node(step)
        return found

    def keeps_units_apart(self, model: nn.Module) -> bool:
        """Whether each unit has places of its own all along, in the order of the units.

        Found by trying.
        Units are changed in sets, of which every two units have one that holds the first and not
        the second.
        """
        given, generator = self.known[self.start], torch.Generator().manual_seed(0)
        one, other = (
            torch.randn(given.shape, generator=generator).mul_(3).to(given.dtype) for _ in range(2)
        )
        try:
            before = self.run(model, one)
        except RuntimeError:
            return False
        for bit in range((self.units - 1).bit_length()):
            for kind in (0, 1):
                chosen = (torch.arange(self.units) >> bit) % 2 == kind
                after = self.run(model, torch.where(self.spread(model, chosen), other, one))
                for a, b in zip(before, after, strict=True):
                    changed = (a != b) & ~(a.isnan() & b.isnan())
                    if (changed.any(2).any(0) & ~chosen).any():
                        return False
        return True


def _forward(module: Any) -> Any:
    return getattr(type(module), "forward", None)


class _Tracer(fx.Tracer):
    """Takes modules of torch.nn for single steps, also when they are parametrized and so of a class
    of their own.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        kind = type(m).__bases__[0] if parametrize.is_parametrized(m) else type(m)
        # Or a user's class that computes nothing of its own.
        return getattr(kind, "forward", None) in _AXES or (
            kind.__module__.startswith("torch.nn.") and not issubclass(kind, nn.Sequential)
        )


def _traced(model: nn.Module, example: Example) -> tuple[fx.Graph, dict[fx.Node, Any]]:
    """The graph of a model, and what each node gives for the example."""
    model = clone(model)  # tracing may leave its stand-ins for tensors in the model
    bound = inspect.signature(model.forward).bind(*example.args, **example.kwargs)
    bound.apply_defaults()
    # What is no tensor is fixed: forward() may branch on it.
    fixed = {name: one for name, one in bound.arguments.items() if not tensors(one)}
    with quiet(), seeded(0):
        graph = _Tracer().trace(model, concrete_args=fixed or None)
        interpreter = fx.Interpreter(model, garbage_collect_values=False, graph=graph)
        interpreter.extra_traceback = False
        interpreter.run(*bound.args, *bound.kwargs.values(), enable_io_processing=False)
    return graph, interpreter.env


def _chains(model: nn.Module, example: Example) -> list[_Chain]:
    """The chains of a model whose units keep apart, in the order of the graph."""
    graph, known = _traced(model, example)
    owned, modules = _owned(model), dict(model.named_modules())
    targets = [str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")]

    def called(node: fx.Node) -> Any:
        return modules[str(node.target)] if node.op == "call_module" else None

    def is_free(node: fx.Node) -> bool:
        """Whether a module is called once, and its tensors are used by nothing else."""
        once = sum(f"{one}.".startswith(f"{node.target}.") for one in targets) == 1
        has = [name for name in _TENSORS if getattr(called(node), name, None) is not None]
        return once and all((id(called(node)), name) in owned for name in has)

    def is_layer(node: fx.Node) -> bool:
        return (
            _forward(called(node)) in _AXES
            and getattr(called(node), "groups", 1) == 1
            and is_free(node)
        )

    def is_step(node: fx.Node) -> bool:
        if _forward(called(node)) in _NORMS:
            return is_free(node)
        held = [] if called(node) is None else [*called(node).parameters(), *called(node).buffers()]
        return isinstance(known[node], Tensor) and all(one.numel() == 1 for one in held)

    def follow(start: fx.Node) -> _Chain | None:
        node, steps = start, []
        while True:
            # Sizes may be taken of it by anyone.
            users = [one for one in node.users if one.op == "output" or tensors(known[one])]
            if len(users) != 1 or [
                one for one in users[0].all_input_nodes if tensors(known[one])
            ] != [node]:
                return None
            (node,) = users
            if is_layer(node):
                return _Chain(
                    start, tuple(steps), node, known, str(start.target), len(called(start).weight)
                )
            if node.op == "output" or not is_step(node):
                return None
            steps.append(node)

    found = [
        chain for node in graph.nodes if is_layer(node) and (chain := follow(node)) is not None
    ]
    return [chain for chain in found if chain.units > 1 and chain.keeps_units_apart(model)]


def _owned(model: nn.Module) -> dict[tuple[int, str], Weight]:
    """The weights that one module alone owns, and nothing else parametrizes, by owner and
    attribute.
    """
    found = [
        one
        for one in members(model)
        if len(one.owners) == 1 and not one.is_foreign and not is_in_groups(one)
    ]
    return {(id(module), attribute): one for one in found for module, attribute in one.owners}


# -- the units of a chain


def _arranged(model: nn.Module, chain: _Chain) -> tuple[list[int], Tensor | None]:
    """The units that stay, one at least, in an order that codes well, and what the last layer's
    bias takes up from the others.
    """
    first, _, last = chain.layers(model)
    incoming = first.weight.detach().flatten(1) != 0
    outgoing = last.weight.detach().reshape(
        len(last.weight), chain.units, -1
    )  # outputs × units × copies
    unused, silent = (outgoing == 0).all(2).all(0), ~incoming.any(1)
    bias = first.weight.new_zeros(chain.units) if first.bias is None else first.bias.detach()
    values = chain.run(model, chain.spread(model, bias))[-1]
    zero = (values == 0).all(2).all(0)
    # A constant that is not the same in every row depends on the place: on how near the border is,
    # say.
    rounding = 8 * torch.finfo(values.dtype).eps * values[0].abs()
    same = ((values - values[0]).abs() <= rounding).all(2).all(0)
    folded = silent & ~unused & ~zero & same & _takes_constants(model, last)
    keep = ~(unused | silent & zero | folded)
    if not keep.any():
        keep[0], folded[0] = True, False
    units: list[int] = keep.nonzero().flatten().tolist()
    if not (incoming.all() and (outgoing != 0).all()):
        if len(outgoing) <= FEW_OUTPUTS:
            signs = outgoing.sign().add(1).to(torch.uint8).transpose(0, 1).flatten(1)
            keys: list[Any] = [one.numpy().tobytes() for one in signs]
        else:
            keys = (incoming.sum(1) + (outgoing != 0).sum((0, 2))).tolist()
        units.sort(key=keys.__getitem__, reverse=True)  # those that are equal stay as they are
    constant = (
        (outgoing[:, folded].double() * values[0, folded].double()).sum((1, 2))
        if folded.any()
        else None
    )
    return units, constant


def _takes_constants(model: nn.Module, layer: Any) -> bool:
    """Whether a constant input amounts to a change of the bias, and the bias is free to change.

    One with a state is not: the sum would be no level of its codebook and no multiple of its step.
    """
    if layer.bias is None or _owned(model)[id(layer), "bias"].state is not None:
        return False
    padding = getattr(layer, "padding", "valid")
    return padding == "valid" if isinstance(padding, str) else not any(padding)


def _with_units(
    model: nn.Module, chain: _Chain, units: Sequence[int], constant: Tensor | None
) -> nn.Module:
    """A copy with these units of a chain, in this order, and a last bias that is larger by
    `constant`.
    """
    model = clone(model)
    owned = _owned(model)
    first, norms, last = chain.layers(model)
    taken = [
        (last, 1, ("weight",)),
        *((norm, 0, _TENSORS) for norm in norms if norm is not None),
        (first, 0, _TENSORS),
    ]
    for module, axis, names in taken:
        for name in names:
            if (weight := owned.get((id(module), name))) is not None:
                copies = weight.raw.shape[axis] // chain.units
                take(
                    weight,
                    axis,
                    (torch.tensor(units)[:, None] * copies + torch.arange(copies)).flatten(),
                )
        for name in _SIZES[axis]:
            if hasattr(module, name):
                setattr(module, name, getattr(module, name) // chain.units * len(units))
    if constant is not None:
        last.bias.data += constant.to(last.bias)
    return model
