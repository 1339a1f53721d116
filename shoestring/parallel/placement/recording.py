"""A model as a graph of its calls, and the layers that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from shoestring.parallel.placement.tracer import Tracer


@dataclass(frozen=True)
class Recorded:
    """The calls of a model, and which layer each belongs to.

    A layer is a module with weights and without modules of its own, or one of the classes in
    `whole`, and with it what follows until the next one: functions, activations, pooling. What
    takes outputs of several layers belongs to the last of them where that one waits for the others
    anyway, as the sum at the end of a residual block does; elsewhere, as where branches meet, a
    layer begins. What takes no output of a layer begins one too.

    `module`: the model with its calls as a graph.
    `names`: of each layer.
    `layer_of`: the number of the layer of each call; what the model is given, its weights and the
        answer have none.
    """

    module: fx.GraphModule
    names: tuple[str, ...]
    layer_of: dict[fx.Node, int]

    def calls(self, layer: int) -> tuple[str, ...]:
        """The names of a layer's calls."""
        return tuple(node.name for node, its in self.layer_of.items() if its == layer)


def recorded(model: nn.Module, arguments: Sequence[Any], whole: Sequence[type]) -> Recorded:
    """The calls of a model on an example; the model is left in evaluation mode.

    `arguments`: of the model.
    `whole`: classes of modules that are each taken as one layer.

    Raises ValueError for a model that cannot be recorded, and that calls nothing.
    """
    model.eval()
    try:
        graph = Tracer(tuple(whole), arguments).trace(model)
    except Exception as error:
        raise ValueError(
            f"the calls of {type(model).__name__} cannot be recorded: {error}. "
            "Where the example is right, take the class of modules that fails as one layer: "
            "whole=(ThatClass,)"
        ) from error
    module = fx.GraphModule(model, graph)
    names, layer_of, turns = list[str](), dict[fx.Node, int](), dict[str, int]()
    needs: list[int] = []  # of each layer those that it waits for, as bits
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        before = {layer_of[one] for one in node.all_input_nodes if one in layer_of}
        last = max(before, default=0)
        begins = node.op == "call_module" and _has_weights(module.get_submodule(str(node.target)))
        if begins or not before or any(not (needs[last] >> one) & 1 for one in before):
            name = str(node.target) if begins else (node.name if before else "start")
            turns[name] = turns.get(name, 0) + 1
            names.append(name if turns[name] == 1 else f"{name} ({turns[name]})")
            last = len(names) - 1
            needs.append(1 << last)
        layer_of[node] = last
        for one in before:
            needs[last] |= needs[one]
    if not names:
        raise ValueError(f"{type(model).__name__} calls nothing, so that nothing can be placed")
    return Recorded(module, tuple(names), layer_of)


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in (*module.parameters(), *module.buffers()))


def weights_of(node: fx.Node, module: fx.GraphModule) -> list[torch.Tensor]:
    """The parameters and buffers that a call has, as a module or among its arguments."""
    if node.op == "call_module":
        called = module.get_submodule(str(node.target))
        return [*called.parameters(), *called.buffers()]
    names = [str(one.target) for one in node.all_input_nodes if one.op == "get_attr"]
    found = [_attribute(module, name) for name in names]
    return [one for one in found if isinstance(one, torch.Tensor)]


def _attribute(module: nn.Module, name: str) -> object:
    for part in name.split("."):
        module = getattr(module, part)
    return module
