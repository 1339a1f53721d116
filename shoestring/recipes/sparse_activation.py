"""Mixtures of experts that predict bytes: more numbers, hardly more milliseconds."""

from __future__ import annotations

import torch
from torch import nn

from shoestring.kit import AdamW, Training
from shoestring.models import CausalNetwork, experts, feed_forward

WIDTH, HIDDEN, EXPERTS = 64, 128, 8
TRAINING = Training(600, AdamW(3e-3))
NETWORKS = {
    "dense": "dense, as many milliseconds",
    "experts": "8 experts, one for each byte",
    "small": "dense, as large as one expert",
    "large": "dense, as many bytes",
    "random": "8 experts, a random router that does not learn",
    "by byte": "8 experts, chosen by the byte itself",
}
"""The networks by name, with what tables call them."""


def network(name: str) -> nn.Module:
    """One of NETWORKS, untrained: five layers, of which the second and the fourth differ."""
    around = feed_forward(HIDDEN)
    inside = {
        "dense": feed_forward(2 * HIDDEN),
        "small": feed_forward(HIDDEN),
        "large": feed_forward(EXPERTS * HIDDEN),
        "by byte": experts(EXPERTS, HIDDEN, is_routed=False),
    }.get(name, experts(EXPERTS, HIDDEN))
    # Each expert gets 32 of the 256 bytes, drawn at random.
    assigned = torch.randperm(256) % EXPERTS if name == "by byte" else None
    made = CausalNetwork(WIDTH, [around, inside, around, inside, around], assigned=assigned)
    if name == "random":
        for part, one in made.named_parameters():
            one.requires_grad_("router" not in part)
    return made
