"""Batch norm as the scale and shift that it is once training is over."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn


def settle_batch_norm(model: nn.Module) -> nn.Module:
    """Fold what each batch norm has seen into its scale and shift, in place, and keep it from seeing more.

    The module answers as before in evaluation mode: its mean is now 0 and its variance such that it divides by 1, and it is in
    evaluation mode. A channel that never varied gets a scale of 0: what it gives is its shift. Left as they are: those without
    a scale or running statistics, and those whose scale or shift is parametrized or shared. Returns the model.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    users = Counter(id(one) for part in norms for one in part._parameters.values())
    for part in norms:
        own = [part._parameters.get("weight"), part._parameters.get("bias")]
        if part.running_mean is None or any(one is None or users[id(one)] > 1 for one in own):
            continue
        mean, variance = part.running_mean, part.running_var
        assert mean is not None and variance is not None
        with torch.no_grad():
            scale = part.weight / torch.sqrt(variance + part.eps)
            scale[variance < 1e-3 * part.eps] = 0
            part.bias.sub_(mean * scale)
            part.weight.copy_(scale)
            mean.zero_()
            variance.fill_(1.0 - part.eps)
            assert part.num_batches_tracked is not None
            part.num_batches_tracked.zero_()
        part.eval()
    return model
