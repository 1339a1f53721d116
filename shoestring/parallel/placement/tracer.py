"""Records the calls of a model on an example, with branches and sizes as they are for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from shoestring.kit.tracing.example import tensors


class Tracer(fx.Tracer):
    """Records calls while they run, so that forward() may branch on sizes and values.

    Torch's own tracer does not know the values. What is no tensor, such as a size, is recorded as
    the number that it was.

    `whole`: classes of modules whose calls are recorded as one.
    `arguments`: what the model is called on.
    """

    def __init__(self, whole: tuple[type, ...], arguments: Sequence[Any]) -> None:
        super().__init__()
        self.whole, self.arguments = whole, list(arguments)
        self.values: dict[fx.Node, Any] = {}
        self.runs = False  # whether a call runs now, inside of which nothing is recorded

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Record a call and run it; what stands for its answer, or the answer without a tensor."""
        proxy = super().create_proxy(kind, target, *args, **kwargs)
        self.runs = True
        try:
            with torch.no_grad():
                value = self._value(proxy.node)
        finally:
            self.runs = False
        if not tensors(value):
            self.graph.erase_node(proxy.node)
            return value
        self.values[proxy.node] = value
        return proxy

    def _known(self, node: fx.Node) -> Any:
        if node not in self.values:  # a buffer, which torch's tracer records by itself
            self.values[node] = self._value(node)
        return self.values[node]

    def _value(self, node: fx.Node) -> Any:
        target: Any = node.target
        args = map_arg(node.args, self._known)
        kwargs = map_arg(node.kwargs, self._known)
        if node.op == "placeholder":
            return self.arguments.pop(0) if self.arguments else (args[0] if args else None)
        if node.op == "get_attr":
            value: Any = self.root
            for part in target.split("."):
                value = getattr(value, part)
            return value
        if node.op == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the calls within a module are recorded as one."""
        return isinstance(m, self.whole) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict
    ) -> Any:
        """A module is called: recorded, but not within a call that runs."""
        return (
            forward(*args, **kwargs) if self.runs else super().call_module(m, forward, args, kwargs)
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A parameter is read: recorded, but not within a call that runs."""
        return attr_val if self.runs else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What stands for the answer of a call."""
        return _Known(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Which way a branch goes."""
        return bool(self.values[obj.node])

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The parts of an answer, such as the pieces of torch.chunk."""
        parts: Any = obj
        return iter([parts[index] for index in range(len(self.values[obj.node]))])


class _Known(fx.Proxy):
    """Stands for tensors, and knows what is not a tensor about them, such as their sizes."""

    tracer: Tracer

    def __getattr__(self, k: str) -> Any:
        found = getattr(self.tracer.values[self.node], k, None)
        is_plain = found is not None and not callable(found) and not isinstance(found, Tensor)
        return found if is_plain else super().__getattr__(k)

    def __len__(self) -> int:
        return len(self.tracer.values[self.node])
