"""What each layer of a model costs on this machine: measured milliseconds, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, fx, nn

from shoestring.kit import clone
from shoestring.kit.tracing.example import tensors
from shoestring.parallel.placement.layers import LayerCost, LayerGraph
from shoestring.parallel.placement.recording import Recorded, recorded, weights_of


def layer_costs(
    model: nn.Module,
    example: Tensor | tuple[Any, ...],
    *,
    whole: Sequence[type] = (),
    runs: int = 10,
) -> LayerGraph:
    """The layers of a model with what each costs here, in evaluation mode without gradients.

    A layer is a module with weights, and with it the functions that follow it; where branches meet,
    a layer begins (see `Recorded`). A module that is called several times is a layer each time,
    named "cell", "cell (2)" and so on, and its weights are counted in each.

    `example`: what the model is called on; a tuple for several arguments. What is placed is then
        a call on so many examples as it has.
    `whole`: classes of modules that are each taken as one layer, such as a residual block. Classes
        of torch, such as nn.TransformerEncoderLayer, are.
    `runs`: of which the median is taken for each call, 1 or more, after one to warm up.

    Branches and sizes are recorded as they are for the example.

    Raises ValueError for no run, and for a model that cannot be recorded, or not on the example.
    """
    if runs < 1:
        raise ValueError(f"runs={runs!r}: a layer is measured in 1 run or more")
    arguments = example if isinstance(example, tuple) else (example,)
    found = recorded(clone(model), arguments, whole)
    timed = _Timed(found.module)
    with torch.no_grad():
        for _ in range(runs + 1):
            timed.run(*(one for one in arguments if tensors(one)))
    seconds = {node: median(its[1:]) for node, its in timed.seconds.items()}
    return LayerGraph(_layers(found, seconds, timed.sizes), tuple(whole))


class _Timed(fx.Interpreter):
    """Runs the calls one by one, with a clock.

    `seconds`: of each call in each run.
    `sizes`: of each call, the bytes of the tensors that it gives.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seconds: dict[fx.Node, list[float]] = {}
        self.sizes: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        began = perf_counter()
        made = super().run_node(n)
        self.seconds.setdefault(n, []).append(perf_counter() - began)
        self.sizes[n] = sum(one.numel() * one.element_size() for one in tensors(made))
        return made


def _layers(
    found: Recorded, seconds: dict[fx.Node, float], sizes: dict[fx.Node, int]
) -> tuple[LayerCost, ...]:
    layer_of, count = found.layer_of, len(found.names)
    inputs: list[dict[int, None]] = [{} for _ in range(count)]
    milliseconds, output_bytes = [0.0] * count, [0.0] * count
    weights: list[dict[int, Tensor]] = [{} for _ in range(count)]
    for node, layer in layer_of.items():
        milliseconds[layer] += 1000 * seconds[node]
        weights[layer] |= {id(one): one for one in weights_of(node, found.module)}
        others = [layer_of[one] for one in node.users if layer_of.get(one, layer) != layer]
        output_bytes[layer] += sizes[node] if others else 0
        for other in others:
            inputs[other][layer] = None
    return tuple(
        LayerCost(
            found.names[layer],
            milliseconds[layer],
            sum(one.numel() * one.element_size() for one in weights[layer].values()),
            output_bytes[layer],
            tuple(found.names[one] for one in inputs[layer]),
            found.calls(layer),
        )
        for layer in range(count)
    )
