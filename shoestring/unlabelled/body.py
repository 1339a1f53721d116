"""The body of a network: what it computes before its last linear layer, with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import evaluating
from shoestring.kit.tracing.last_linear import last_linear
from shoestring.unlabelled.material import Material


@dataclass(frozen=True)
class Body:
    """A place in a network where an example is a vector: what goes into its last linear layer.

    `head`: the name of that layer.
    `axis`: of its input, with the features.
    """

    head: str
    axis: int

    def features(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """The vectors of examples, N×F, with gradients; the mean over places where there are some.

        `network`: that in which the place was found, or a clone of it.
        """
        heard: list[Tensor] = []
        hook = network.get_submodule(self.head).register_forward_pre_hook(
            lambda _, given: heard.append(given[0])
        )
        try:
            network(*inputs)
        finally:
            hook.remove()
        rows = heard[-1].movedim(self.axis, -1)
        return rows.flatten(1, -2).mean(1) if rows.ndim > 2 else rows


@dataclass(frozen=True)
class States:
    """A place in a network where each token is a vector that knows the others.

    `part`: the name of the module that answers them.
    """

    part: str

    def features(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """The vectors of tokens, N×T×F, with gradients, of ids N×T.

        `network`: that in which the place was found, or a clone of it.
        """
        heard: list[Tensor] = []

        def note(_: nn.Module, __: Any, made: Any) -> None:
            heard.append(made)

        hook = network.get_submodule(self.part).register_forward_hook(note)
        try:
            network(*inputs)
        finally:
            hook.remove()
        return heard[-1]


def body(model: nn.Module, given: Material) -> Body:
    """Where the last linear layer of a model is, by trying it on two examples.

    Raises ValueError for a model without one, or that is nothing else.
    """
    found = last_linear(model, lambda: _run(model, given))
    if found is None or found.module is model:
        lacks = "has no last linear layer" if found is None else "is one linear layer"
        raise ValueError(
            f"{type(model).__name__} {lacks}: what is pretrained is all that comes before that "
            "layer. Give a network with a body and a linear head"
        )
    return Body(_name(model, found.module), found.axis)


def states(model: nn.Module, given: Material) -> States | None:
    """Where the tokens of a text are vectors that know of each other, last in a model; or None.

    Found by trying: the module that answers N×T×F, of which the vector of the first token changes
    where another token does.
    """
    texts = given.inputs[0]
    rows = (texts != 0).sum(1).argsort(descending=True)[:1]
    (text,) = given.task.prepared((texts[rows],))
    length = int((text != 0).sum())
    if length < 2:
        return None
    other = text.clone()
    other[:, 1:length] = text[:, 1:length].flip(1)
    other[:, 1] = text[:, 0]
    before, after = (_heard(model, one) for one in (text, other))
    found = [
        part
        for part, made in before.items()
        if part in after and not torch.allclose(made[:, 0], after[part][:, 0], atol=1e-7)
    ]
    return States(found[-1]) if found else None


def _heard(model: nn.Module, ids_NT: Tensor) -> dict[str, Tensor]:
    """What modules answer for the tokens of texts, N×T×F each, in the order in which they end."""
    names = {part: name for name, part in model.named_modules() if part is not model}
    heard: dict[str, Tensor] = {}

    def note(module: nn.Module, _: Any, made: Any) -> None:
        if (
            isinstance(made, Tensor)
            and made.is_floating_point()
            and made.ndim == 3
            and made.shape[:2] == ids_NT.shape
        ):
            heard.pop(names[module], None)
            heard[names[module]] = made

    hooks = [part.register_forward_hook(note) for part in names]
    try:
        with evaluating(model), torch.no_grad():
            model(ids_NT)
    finally:
        for hook in hooks:
            hook.remove()
    return heard


def _run(model: nn.Module, given: Material) -> Any:
    known = given.task.known()[:2]
    return given.task.outputs(model, given.task.inputs(known))


def _name(model: nn.Module, part: nn.Module) -> str:
    return next(name for name, one in model.named_modules() if one is part)
