"""Counts the operations of training steps, on a few of the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from shoestring.core.kinds import outputs_of
from shoestring.core.spending import is_counting, spend

_EVERY = 200
"""One of so many steps may be counted, and two at the beginning.

A counted step takes up to three times as long, because torch calls Python for each operator.
"""
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


class StepCounter:
    """Counts the operations of a training, and reports them with `spend` at the end.

    It counts the forward and backward pass of one step for each batch shape, and multiplies by the
    steps of that shape. Matrix products, convolutions and attention count, those of a teacher too;
    a multiply and an add are two. A counted step computes the same results, bit by bit. Nothing is
    counted outside of `apply`.

    The count is None where a shape was not counted (two steps are, and one more in each 200), where
    a batch has no tensors, or where a step uses an operator that is not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._on = is_counting()
        self._steps: dict[Any, int] = {}
        self._each: dict[Any, int | None] = {}
        compiled = ("torch._dynamo", "torch.jit")  # these run other code under a dispatch mode
        self._can = not any(type(part).__module__.startswith(compiled) for part in model.modules())

    @contextmanager
    def step(self, batch: Any) -> Iterator[None]:
        """The context of the forward and backward pass of one step."""
        if not self._on:
            yield
            return
        key = tuple((tuple(one.shape), one.dtype) for one in outputs_of(batch).values())
        taken = sum(self._steps.values())
        self._steps[key] = self._steps.get(key, 0) + 1
        if key in self._each or not key or not self._can or len(self._each) > 1 + taken // _EVERY:
            yield
            return
        with _Operators() as counted:
            yield
        self._each[key] = counted.operations

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Report the operations of the steps; of a training that failed, those until then."""
        if not self._on or not self._steps:
            return
        each = [(count, self._each.get(key)) for key, count in self._steps.items()]
        known = [count * operations for count, operations in each if operations is not None]
        spend("training_operations", sum(known) if len(known) == len(each) else None)


class _Operators(TorchDispatchMode):
    """Adds up the operations of all operators within; None once an uncounted operator ran."""

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


def _operations(func: Any, args: Any, kwargs: dict[str, Any], output: Any) -> int | None:
    """The operations of one operator; None where it is not counted."""
    packet = getattr(func, "overloadpacket", None)
    if packet is None:  # torch.cond and the like
        return None
    name = packet.__name__
    if (formula := flop_registry.get(packet)) is None and name in _SAME_AS:
        import torch

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
