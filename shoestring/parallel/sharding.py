"""A module whose weights are spread over programs by torch's FSDP2, and is whole again later."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import _composable_state as composable
from torch.utils._pytree import tree_leaves, tree_map_only

from shoestring.kit.quantised.module import Grid
from shoestring.kit.training.remembering import remembering
from shoestring.kit.weights.parameters import parameters_of
from shoestring.parallel.programs import Programs

# the first name is of torch 2.13, which warns of the second
_all_gather: Any = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
_reduce_scatter: Any = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1 << 20  # the first is a number of C's mallopt
_LISTS = nn.ParameterList, nn.ParameterDict


class Shards:
    """The weights of a module, of which each program keeps a part until `gather`.

    `parameters`: of the module, as DTensors.
    `calls`: tells this program's exchanges since `forget` from others; a number.
    `sent`: the bytes that this program sent.
    """

    def __init__(
        self, model: nn.Module, blocks: tuple[type[nn.Module], ...], programs: Programs
    ) -> None:
        from torch.distributed.device_mesh import init_device_mesh  # these take a second to import
        from torch.distributed.fsdp import FSDPModule, fully_shard

        self.model, self.programs = model, programs
        self.calls = self.sent = self.step = 0
        unit_of = _units(model, blocks)
        _check_can_be_sharded(model, unit_of)
        self._modules = [_Before.of(part) for part in unit_of]
        owners = [
            (part, name, p)
            for part in unit_of
            for name, p in part._parameters.items()
            if p is not None
        ]
        _give_back_what_is_freed()
        mesh = init_device_mesh("cpu", (programs.count,))
        outer_first = [part for part in unit_of if unit_of[part] is part]
        self._units: list[FSDPModule] = []
        for index, part in reversed([*enumerate(outer_first)]):
            part.register_forward_hook(_plain_outputs)  # before that of FSDP; `restore` takes both
            unit = cast(FSDPModule, fully_shard(part, mesh=mesh))
            self._units.append(unit)
            if any(unit_of[one] is part and one._parameters for one in unit_of):
                unit.set_custom_all_gather(cast(Any, _Gathered(self, f"weights {index}")))
                unit.set_custom_reduce_scatter(cast(Any, _Reduced(self, f"gradients {index}")))
        self._owned = [(part, name, p, part._parameters[name]) for part, name, p in owners]
        for _, _, whole, _ in self._owned:
            whole.data = torch.empty(0, dtype=whole.dtype)  # the same parameter comes back later
        for one in self._modules:
            one.note_added()
        self.parameters = [p for p in model.parameters() if p.requires_grad]

    def local(self) -> list[nn.Parameter]:
        """This program's part of each parameter that is trained, in the same memory."""
        return [nn.Parameter(cast(Any, p).to_local().detach()) for p in self.parameters]

    def forget(self, step: int) -> None:
        """A step begins: forget the calls of the last one."""
        self.calls, self.step = 0, step

    def note(self, what: str, tensor: Tensor) -> None:
        """Count what an exchange of so large a tensor sends."""
        self.calls = zlib.crc32(what.encode(), self.calls)
        self.sent += tensor.nbytes * (self.programs.count - 1) // self.programs.count

    def gather(self) -> None:
        """Make the module an ordinary one with whole weights, one parameter after the other."""
        for unit in self._units:
            unit.reshard()
        for one in self._modules:
            one.restore()
        whole: dict[int, Tensor] = {}
        self.parameters = []
        for part, name, parameter, sharded in self._owned:
            if id(parameter) not in whole:  # a tied one is there once for each owner
                shard = cast(Any, sharded)
                gathered = self.programs.together(shard.full_tensor, self.step)
                parameter.data = whole[id(parameter)] = gathered.detach()
                shard.grad = parameter.grad = None
            part._parameters.pop(name, None)
            setattr(part, name, parameter)
        order = [list(one.parameters) for one in self._modules]
        for one, names in zip(self._modules, order, strict=True):
            for name in names:  # as they were: optimizers go by the order
                one.module._parameters[name] = one.module._parameters.pop(name)
        self._owned = []


def _give_back_what_is_freed() -> None:
    """Let C's allocator return large pieces to the system when they are freed, where it is glibc.

    It raises the size from which it does so by itself, to 32 MB, and then weights of layers, which
    come and go in each step, leave holes: a program would hold more than with whole weights.
    """
    with suppress(OSError, AttributeError, TypeError):  # another system
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


@dataclass
class _Before:
    """What a module was before it was sharded."""

    module: nn.Module
    kind: type[nn.Module]
    hooks: dict[str, dict[Any, Any]]
    attributes: set[str]
    parameters: list[str]

    @classmethod
    def of(cls, module: nn.Module) -> _Before:
        own = vars(module)
        hooks = {key: dict(value) for key, value in own.items() if "_hooks" in key}
        return cls(module, type(module), hooks, set(own), list(module._parameters))

    def note_added(self) -> None:
        """From now on, what the module gets is its own."""
        self.attributes = set(vars(self.module)) - self.attributes

    def restore(self) -> None:
        """Take off what FSDP put on; torch has no call for it."""
        self.module.__class__ = self.kind
        for key, hooks in self.hooks.items():
            now = vars(self.module)[key]
            now.clear()
            now.update(hooks)
        for key in self.attributes:
            vars(self.module).pop(key, None)
        composable._module_state_mapping.pop(self.module, None)


@dataclass(frozen=True, eq=False)
class _Exchanged:
    """An exchange among programs; FSDP calls one for each unit and direction."""

    shards: Shards
    what: str

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Memory for what is sent or comes."""
        return torch.empty(*size, dtype=dtype, device=device)


class _Gathered(_Exchanged):
    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, async_op: bool = False
    ) -> None:
        """The parts of all programs, one after the other."""
        self.shards.note(self.what, output_tensor)
        self.shards.programs.together(
            lambda: _all_gather(output_tensor, input_tensor, group),
            self.shards.step,
        )


class _Reduced(_Exchanged):
    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: Any,
        op: Any,
        async_op: bool = False,
    ) -> None:
        """This program's part of the mean of all gradients."""
        self.shards.note(self.what, input_tensor)
        self.shards.programs.together(
            lambda: _reduce_scatter(output_tensor, input_tensor, op, group),
            self.shards.step,
        )


def _plain_outputs(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """The outputs of a module, as FSDP finds the gradients of all of them.

    It misses those of a view that is changed in place, and those in objects that it does not know.
    """
    for one in tree_leaves(outputs):
        if not isinstance(one, Tensor | int | float | str | None):
            raise ValueError(
                f"a {type(module).__name__} returns a {type(one).__name__}, in which FSDP looks "
                "for no tensors: let it return tensors, tuples or dictionaries"
            )
    return tree_map_only(Tensor, lambda one: one.clone() if one._is_view() else one, outputs)


def _units(model: nn.Module, blocks: tuple[type[nn.Module], ...]) -> dict[nn.Module, nn.Module]:
    """Each module, and the one whose call gathers its weights, outer ones first."""
    found: dict[nn.Module, nn.Module] = {}

    def visit(part: nn.Module, unit: nn.Module, inside: bool) -> None:
        if part in found:
            return
        owns = any(p is not None for p in part._parameters.values())
        is_whole = isinstance(part, blocks) or (owns and _is_layer(part))
        if not inside and (is_whole or owns) and not isinstance(part, _LISTS):
            unit = part
        found[part] = unit
        for child in part.children():
            visit(child, unit, inside or is_whole)

    visit(model, model, False)
    return found


def _is_layer(part: nn.Module) -> bool:
    """Whether a layer is torch's: some, as attention, use weights of a layer within them."""
    return any(
        kind is not nn.Module
        and kind.__module__.startswith("torch.nn.modules.")
        and not kind.__module__.endswith(".container")
        for kind in type(part).__mro__
    )


def _check_can_be_sharded(model: nn.Module, unit_of: dict[nn.Module, nn.Module]) -> None:
    """Raise ValueError, with names, for weights that cannot be spread over programs."""
    weights = [weight for weight in parameters_of(model) if weight.is_parameter]
    states = [w.name for w in weights if w.state is not None or w.is_foreign]
    grids = [name for name, part in model.named_modules() if isinstance(part, Grid)]
    _refuse(
        [*states, *grids],
        "computed from other numbers (masks, codebooks, grids), which stay whole",
        "bake(model) makes plain parameters of them; or use AllReduced()",
    )
    devices = {w.raw.device.type for w in weights} - {"cpu"}
    _refuse(
        sorted(devices),
        "the devices of some weights, and programs exchange them by gloo",
        "use model.cpu()",
    )
    kinds = {w.raw.dtype for w in weights}
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        _refuse(
            sorted(map(str, kinds)),
            "the types of the weights, and one type of 32 bits or more is sharded",
            "use model.float(), and precision=Mixed() where it should be fast",
        )
    _refuse(
        [w.name for w in weights if not w.raw.ndim or not w.raw.is_contiguous()],
        "single numbers, or not contiguous in memory, which FSDP cannot take",
        "give them an axis, or use .contiguous()",
    )
    _refuse(
        [
            " and ".join(w.names)
            for w in weights
            if len({unit_of[owner] for owner, _ in w.owners}) > 1
        ],
        "one weight in several layers (tied), which would be gathered apart",
        "name the class of a module that holds all of these layers in `blocks`",
    )
    _refuse(
        [name for name, _ in remembering(model)],
        "layers that remember what happens in training, which differs among programs",
        "train without workers, or with simulated ones",
    )


def _refuse(names: list[str], why: str, instead: str) -> None:
    if names:
        raise ValueError(f"weights cannot be sharded: {', '.join(names)} are {why}: {instead}")
