"""Counts the operations of whatever torch runs, as it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_FLASH = "_scaled_dot_product_flash_attention"
_SAME_AS = {
    f"{_FLASH}_for_cpu": _FLASH,
    f"{_FLASH}_for_cpu_backward": f"{_FLASH}_backward",
}
"""Operators that torch does not count, each with one that does as many operations."""
_UNKNOWN = {
    "_trilinear",
    "_transformer_encoder_layer_fwd",
    "_native_multi_head_attention",
    "_cudnn_rnn",
    "_cudnn_rnn_backward",
    "linear",
    "matmul",
    "scaled_dot_product_attention",
    "mkldnn_linear",
    "mkldnn_convolution",
    "_addmm_activation",
    "_int_mm",
    "_weight_int8pack_mm",
    "_weight_int4pack_mm",
    "_sparse_addmm",
    "_miopen_rnn",
    "miopen_rnn",
    "miopen_convolution",
    "addbmm",
    "addr",
    "_fft_r2c",
    "_fft_c2r",
    "_fft_c2c",
    "cdist",
    "_cdist_forward",
    "_cdist_backward",
    "_pdist_forward",
    "linalg_solve",
    "_linalg_solve_ex",
    "linalg_inv_ex",
    "_linalg_svd",
    "_linalg_eigh",
}
"""Operators that multiply matrices or do similar work, and whose operations are not counted."""


class CountedOperations(TorchDispatchMode):
    """Adds up the operations of all operators within.

    `operations`: until now; None once an operator ran that is not counted. Matrix products,
        convolutions, recurrent layers and attention count; a multiply and an add are two.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: int | None = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        output = func(*args, **given)
        if self.operations is not None:
            count = _operations(func, args, given, output)
            self.operations = None if count is None else self.operations + count
        return output


@contextmanager
def counted_as_trained() -> Iterator[CountedOperations]:
    """Within, operations are counted, with gradients.

    Without gradients torch runs a transformer's layer as one operator, which is not counted.
    """
    with torch.enable_grad(), CountedOperations() as counted:
        yield counted


def _operations(func: Any, args: Any, kwargs: dict[str, Any], output: Any) -> int | None:
    """The operations of one operator; None where it is not counted."""
    packet = getattr(func, "overloadpacket", None)
    if packet is None:  # torch.cond and the like
        return None
    name = packet.__name__
    if (formula := flop_registry.get(packet)) is None and name in _SAME_AS:
        formula = flop_registry.get(getattr(torch.ops.aten, _SAME_AS[name]))
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=output))
    if name in ("dot", "vdot", "mv", "addmv"):
        return 2 * args[1 if name == "addmv" else 0].numel()
    if name.startswith("mkldnn_rnn_layer"):
        # forward and backward both take first the input T×N×I and the two matrices of a layer
        steps, examples = args[0].shape[:2]
        once = 2 * steps * examples * (args[1].numel() + args[2].numel())
        return 2 * once if name.endswith("backward") else once
    return None if name in _UNKNOWN else 0
