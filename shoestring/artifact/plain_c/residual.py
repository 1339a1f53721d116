"""Residual sums of floats, computed with the convolution before them: its output is not stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoestring.artifact.plain_c.building import Building
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.products import limits_of
from shoestring.artifact.plain_c.traced import Step


def floats_added_at_once(now: Building, step: Step) -> bool:
    """Let the convolution right before an Add compute it too, with a limit after it."""
    last = now.layers[-1] if now.layers else None
    if not isinstance(last, Product) or last.zero is not None or last.other is not None:
        return False
    if last.window.position_step != 1 or last.window.sums[0] == 1 or last.signs:
        return False
    if np.isfinite(last.low) or np.isfinite(last.high) or len(step.inputs) != 2:
        return False
    held = [value for value, buffer in now.holds.items() if buffer == last.target]
    if len(held) != 1 or held[0] not in step.inputs or now.graph.reader(held[0]) is not step:
        return False
    other = step.inputs[1 - step.inputs.index(held[0])]
    out = step.outputs[0]
    if other is None or other not in now.holds or now.graph.types[out] != "float32":
        return False
    buffer = now.buffers[now.holds[other]]
    if not now.shape(other) == now.shape(held[0]) == now.shape(out) or buffer.kind != "float":
        return False
    low, high = -np.inf, np.inf
    after = now.graph.reader(out)
    limits = None if after is None else limits_of(now, after)
    if after is not None and limits is not None:
        low, high = limits
        now.done.add(after.index)
        out = after.outputs[0]
    target = now.target(out, step)
    now.layers[-1] = replace(last, target=target, other=buffer.number, low=low, high=high)
    return True
