"""A network that predicts the next byte from layers that look back, each twice as far."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.kit.routing.mixture import MixtureOfExperts
from shoestring.kit.routing.seats import HashRouter

BYTES = 256


class CausalNetwork(nn.Module):
    """Residual layers over bytes; layer K takes a byte and the one 2 to the K bytes before it.

    Source: van den Oord et al. 2016 (WaveNet), section 2.1, for the dilated layers. Differs: each
    layer is a small network of two matrices, as in a transformer, instead of a gate.

    `model(ids)` takes ids N×(T+1) (int64) and gives the log-probability, in nats, of each id after
    the first, N×T: as the task `NextWord` wants it.

    `width`: of the states.
    `layers`: for each layer, a function from (2 * width, width) to a module that takes vectors of
        the one width and gives vectors of the other: `feed_forward(hidden)`, or `experts(...)`.
        The router of a mixture is given these vectors; a `HashRouter` is given the bytes.
    """

    def __init__(self, width: int, layers: list[Callable[[int, int], nn.Module]]) -> None:
        super().__init__()
        self.vectors = nn.Embedding(BYTES, width)
        nn.init.normal_(self.vectors.weight, std=0.1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in layers)
        self.layers = nn.ModuleList(make(2 * width, width) for make in layers)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, BYTES)

    def forward(self, ids: Tensor) -> Tensor:
        """Log-probabilities N×T of the ids after the first, of N×(T+1)."""
        before = ids[:, :-1]
        states = self.vectors(before)
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            now = norm(states)
            earlier = functional.pad(now, (0, 0, 2**number, 0))[:, : now.shape[1]]
            seen = torch.cat([now, earlier], -1)
            if isinstance(layer, MixtureOfExperts) and isinstance(layer.router, HashRouter):
                states = states + layer(seen, layer.router(before))
            else:
                states = states + layer(seen)
        likely = self.output(self.norm(states)).log_softmax(-1)
        return likely.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)


def feed_forward(hidden: int) -> Callable[[int, int], nn.Module]:
    """What makes a layer of two matrices with a ReLU between them. `hidden`: the width there."""

    def made(given: int, wanted: int) -> nn.Module:
        return nn.Sequential(nn.Linear(given, hidden), nn.ReLU(), nn.Linear(hidden, wanted))

    return made


def experts(
    count: int,
    hidden: int,
    *,
    top_k: int = 1,
    router: Callable[[int, int], nn.Module] = nn.Linear,
    balance: float = 0.01,
    router_z: float = 0.001,
) -> Callable[[int, int], nn.Module]:
    """What makes a mixture of such layers.

    `count`: of the experts. `top_k`: how many of them a byte is sent to.
    `router`: makes the router, from the width of the vectors and the number of experts, such as
        `lambda width, count: HashRouter(assigned, count)`, where `assigned` has the expert of each
        of the 256 bytes.
    `balance`, `router_z`: the weights of the losses that keep a router in order.
    """

    def made(given: int, wanted: int) -> nn.Module:
        make = feed_forward(hidden)
        chooses = router(given, count)
        return MixtureOfExperts(
            [make(given, wanted) for _ in range(count)],
            chooses,
            top_k=top_k,
            balance=balance,
            router_z=router_z,
        )

    return made
