"""Batch norm as the scale and shift that it is once training is over."""

from __future__ import annotations

import torch
from torch import nn


def settle_batch_norm(model: nn.Module) -> nn.Module:
    """Fold what each batch norm has seen into its scale and shift, in place, and keep it from seeing more.

    The module answers as before in evaluation mode: its mean is now 0 and its variance such that it divides by 1, the same in
    all of them, and it stays in evaluation mode while the rest trains. Those without a scale or without running statistics
    are left as they are. Returns the model.
    """
    model.train()
    for part in model.modules():
        if not (isinstance(part, nn.modules.batchnorm._BatchNorm) and part.affine and part.track_running_stats):
            continue
        mean, variance = part.running_mean, part.running_var
        assert mean is not None and variance is not None
        with torch.no_grad():
            scale = part.weight / torch.sqrt(variance + part.eps)
            part.bias.sub_(mean * scale)
            part.weight.copy_(scale)
            mean.zero_()
            variance.fill_(1.0)
            part.eps = 0.0
            assert part.num_batches_tracked is not None
            part.num_batches_tracked.zero_()
        part.eval()
    return model
