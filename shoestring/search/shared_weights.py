"""One set of weights from which every network of a space takes its part."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from shoestring.artifact.progress import progress
from shoestring.kit import SkippedWarning
from shoestring.search.space import Architecture, Role


@dataclass(frozen=True)
class Part:
    """A part of a parameter, which has a shared weight of its own.

    `key`: what it is for (`Role`), the name within that, and the size of the kernel.
    `shape`: in this network; another one may have more of the first two axes.
    """

    key: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """Where a network has a parameter, and the parts that lie side by side in it, along axis 1."""

    owner: nn.Module
    name: str
    parts: tuple[Part, ...]


def slots_of(architecture: Architecture, network: nn.Module) -> list[Slot]:
    """The parameters of a network of this architecture, with what each is for.

    A parameter that several modules have is there for each, with the key of the first.
    Raises ValueError where the maps that a role reads do not add up to the inputs.
    """
    roles, slots = architecture.roles(), list[Slot]()
    known: dict[int, tuple[Part, ...]] = {}
    for prefix, owner in network.named_modules(remove_duplicate=False):
        for name, parameter in owner.named_parameters(recurse=False):
            if id(parameter) not in known:
                path = f"{prefix}.{name}" if prefix else name
                role, rest = _role(network, path, roles)
                known[id(parameter)] = _parts(role, rest, tuple(parameter.shape), path)
            slots.append(Slot(owner, name, known[id(parameter)]))
    return slots


def _role(network: nn.Module, path: str, roles: Mapping[str, Role]) -> tuple[Role, str]:
    """The role of the smallest part that has one, and the name of the parameter in that part."""
    names = path.split(".")
    for length in range(len(names), 0, -1):
        if (role := roles.get(".".join(names[:length]))) is not None:
            return role, ".".join(names[length:])
    layer, around = names[:-1], names[:-2]
    kind = _kind(network.get_submodule(".".join(layer)))
    beside = network.get_submodule(".".join(around))
    return Role(f"{path} of {_kind(beside) if isinstance(beside, nn.Sequential) else kind}"), ""


def _kind(layer: nn.Module) -> str:
    """What a layer computes, whatever its channels are."""
    name = type(layer).__name__
    if isinstance(layer, nn.Sequential):
        return f"({', '.join(_kind(one) for one in layer)})"
    if isinstance(layer, nn.Embedding):  # rows of a table of another size are other words
        return f"{name} {layer.num_embeddings}"
    if isinstance(layer, _ConvNd):
        grouped = "each" if layer.groups == layer.in_channels > 1 else layer.groups
        return f"{name} {layer.kernel_size} {layer.dilation} {grouped}"
    return name


def _parts(role: Role, rest: str, shape: tuple[int, ...], path: str) -> tuple[Part, ...]:
    # In a parameter's name torch takes no dots.
    key = f"{role.key} {rest}".replace(".", " ").strip()
    key = f"{key} ({len(shape)} axes{''.join(f', {size}' for size in shape[2:])})"
    if len(shape) < 2 or not role.reads:
        return (Part(key, shape),)
    count = len(role.reads)
    channels = role.channels or (shape[1] // count,) * count
    if len(channels) != count or sum(channels) != shape[1]:
        told = role.channels or "equal shares"
        raise ValueError(
            f"{path} has {shape[1]} inputs, and its role reads {count} maps "
            f"({', '.join(role.reads)}) of {told}: give `channels` that add up to {shape[1]}"
        )
    return tuple(
        Part(f"{key} from {read}", (shape[0], own, *shape[2:]))
        for read, own in zip(role.reads, channels, strict=True)
    )


def _built(architecture: Architecture) -> nn.Module:
    """The network, without a use of random numbers for whoever draws them next."""
    with torch.random.fork_rng(devices=[]):
        return architecture.network()


def _region(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(size) for size in shape)


def _holds(large: Iterable[int], small: Iterable[int]) -> bool:
    return all(one >= other for one, other in zip(large, small, strict=True))


class SharedWeights(nn.Module):
    """The shared weights; called, it answers as the network that `walk` took last.

    Source: Bender et al. 2018, section 3 (one weight for each choice at each place); Yu et al.
    2019, section 3.1 (the first channels of the widest).
    Differs: batch norms share their scales and shifts among widths too, and only statistics are
    each network's own (Guo et al. 2020, section 3.3). Groups of channels are those of the network,
    so that networks of other widths have a channel in another group.

    `architectures`: whose weights there are. A weight is as large as the largest of them needs, and
        begins as that network's does.
    """

    def __init__(self, architectures: Collection[Architecture]) -> None:
        super().__init__()
        largest: dict[str, list[tuple[int, ...]]] = {}
        begun: dict[str, Tensor] = {}
        self.users: dict[str, int] = {}
        """How many of the architectures use a weight, by key."""
        with progress("what networks share", len(architectures)) as advance:
            for architecture in architectures:
                slots = slots_of(architecture, architecture.network())
                for key in {part.key for slot in slots for part in slot.parts}:
                    self.users[key] = self.users.get(key, 0) + 1
                for part, value in _pieces(slots):
                    known = largest.setdefault(part.key, [])
                    if not any(_holds(shape, part.shape) for shape in known):
                        known.append(part.shape)
                        begun[part.key] = _joined(begun.get(part.key), value)
                advance("")
        self.weights = nn.ParameterDict({key: nn.Parameter(one) for key, one in begun.items()})
        self._path: tuple[nn.Module, ...] = ()  # in a tuple, so that it is no part of this module

    def walk(self, architecture: Architecture) -> None:
        """Let calls be answered by this network, whose gradients reach the shared weights."""
        self._path = (self._bound(architecture),)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (network,) = self._path
        network.train(self.training)
        return network(*args, **kwargs)

    def _bound(self, architecture: Architecture) -> nn.Module:
        """The network with slices of the shared weights in the place of its parameters."""
        network = _built(architecture)
        for slot in slots_of(architecture, network):
            pieces = [self._slice(part) for part in slot.parts]
            del slot.owner._parameters[slot.name]
            setattr(slot.owner, slot.name, pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1))
        return network

    def _slice(self, part: Part) -> Tensor:
        weight = self.weights[part.key]
        return weight if weight.shape == part.shape else weight[_region(part.shape)]

    def network(self, architecture: Architecture) -> nn.Module:
        """A network of its own, whose parameters begin as the shared weights are now.

        What the shared weights do not have begins as in any new network, with a SkippedWarning.
        """
        network = architecture.network()
        slots, lacking = slots_of(architecture, network), set[str]()
        with torch.no_grad():
            for part, value in _pieces(slots):
                if part.key not in self.weights:
                    lacking.add(part.key)
                    continue
                weight = self.weights[part.key]
                both = tuple(min(a, b) for a, b in zip(weight.shape, part.shape, strict=True))
                value[_region(both)] = weight[_region(both)]
                if both != part.shape:
                    lacking.add(part.key)
        if lacking:
            warnings.warn(
                f"the shared weights lack {len(lacking)} that this network has, such as "
                f"{min(lacking)!r}, because no network that was drawn had them: they begin as in "
                "any new network. Train the supernet for more steps",
                SkippedWarning,
                stacklevel=3,
            )
        return network


def _pieces(slots: Iterable[Slot]) -> Iterator[tuple[Part, Tensor]]:
    """Each part of each parameter, with the values that it has there, as a view."""
    for slot in slots:
        value, begin = slot.owner._parameters[slot.name], 0
        assert value is not None
        for part in slot.parts:
            if len(slot.parts) == 1:
                yield part, value
                continue
            yield part, value.detach()[:, begin : begin + part.shape[1]]
            begin += part.shape[1]


def _joined(old: Tensor | None, new: Tensor) -> Tensor:
    """The new values, and the old ones where there are any; zeros where there are neither."""
    if old is None:
        return new.detach().clone()
    shape = tuple(max(a, b) for a, b in zip(old.shape, new.shape, strict=True))
    joined = torch.zeros(shape, dtype=old.dtype)
    for one in (new.detach(), old):
        joined[_region(tuple(one.shape))] = one
    return joined
