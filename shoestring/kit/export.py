"""From a module to a file: its graph with the weights as inputs, and the weights in the module's own layout."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import file, sign_layers
from shoestring.artifact.file import Content
from shoestring.artifact.graph import Graph, OperatorError
from shoestring.artifact.graph import encode as encode_graph
from shoestring.artifact.runtime import Loaded
from shoestring.artifact.tensors import NUMBERS, Tensor, unsigned
from shoestring.core import Task, array
from shoestring.kit import embedding_bag
from shoestring.kit.alike import TOLERANCE, alike
from shoestring.kit.example import (
    Example,
    ExportError,
    arrays,
    example_of,
    input_names,
    numbered,
    output_names,
    over,
    plain,
    reshaped,
)
from shoestring.kit.lowering import lower
from shoestring.kit.onnx_graph import Names, convert
from shoestring.kit.progress import progress
from shoestring.kit.quantised import Quantised, plain_module, translations
from shoestring.kit.sizes import RESIZABLE, resize
from shoestring.kit.state import spread
from shoestring.kit.tracing import attempted, forget_kernels, quiet
from shoestring.kit.weights import SkippedWarning, Weight, bake, check_finite, clone, members
from shoestring.kit.whole import Whole, say_what_stays, steps_in, steps_of

QUANTISED_TOLERANCE = 0.1


@dataclass(frozen=True)
class Exported:
    """A module's graph, which weights it wants (`wanted`: places among `members`), constants too large for a graph, and which
    of the weights it wants as whole numbers."""

    graph: Graph
    wanted: tuple[int, ...]
    constants: tuple[Tensor, ...]
    wholes: Mapping[int, Whole] = field(default_factory=dict)


def write(model: nn.Module, task: Task, path: str | Path, *, exported: Exported | None = None, smallest: bool = False) -> int:
    """Write the file of a model at `path`, whole or not at all, and return its size in bytes.

    Lossless: the file's weights are the module's, bit for bit. `exported`: the graph of `export(model, task)`, for a model
    of which only weights have changed since. `smallest`: a few per cent fewer bytes, decoded a weight at a time: 2 million
    in a second where numba is installed (the extra `fast`), 0.1 million where it is not. Raises ExportError, ValueError for weights that are NaN or infinite and that the graph uses (others are named in a SkippedWarning), OSError.
    """
    exported = exported or export(model, task)
    check_finite(model, exported.wanted)
    data = pack(model, exported, smallest=smallest)
    file.save(path, data)
    return len(data)


def pack(model: nn.Module, exported: Exported, *, smallest: bool = False) -> bytes:
    """The bytes of the file."""
    content = Content(exported.graph, _tensors(model, exported))
    with progress("packing", len(content.tensors)) as advance:
        return file.pack(content, smallest=smallest, advance=advance)


def restore(path: str | Path, model: nn.Module, *, max_bytes: int = file.MAX_BYTES) -> nn.Module:
    """A copy of `model` with the weights of the file, to go on training: zeros become a mask, levels a codebook, multiples a step.

    `model` may be the one from before hidden units were removed: the layers of torch become as small as the file has them. `max_bytes` is that of `load`. Parameters that the file has not (its graph does not use them) keep the model's values, with a SkippedWarning.
    Raises ValueError where the file is of another model, ShoeError for a damaged file.
    """
    model = bake(clone(model))
    found = members(model)
    content = file.read(path, max_bytes)
    whole = steps_in(content)
    for place, (one, packed) in enumerate(zip(content.tensors, content.packed, strict=True)):
        if one.member is None:
            continue
        if one.member >= len(found) or not _fits(found[one.member], one.bits.shape):
            name = found[one.member].name if one.member < len(found) else f"number {one.member}"
            other = "; a quantised file is restored into the module that the technique returned" if whole else ""
            raise ValueError(
                f"{path} is of another model: its tensor {list(one.bits.shape)} is not the shape of {name}{other}"
            )
        weight = found[one.member]
        value, steps = _torch(one), packed.steps
        if place in whole and weight.raw.is_floating_point():
            steps = whole[place]
            value = (value * spread(torch.from_numpy(steps), value) + 0.0).to(weight.raw.dtype)
        if value.dtype != weight.raw.dtype:
            raise ValueError(
                f"{path} is of another model: it holds {weight.name} as {value.dtype} and the model as {weight.raw.dtype}; "
                "convert the model first, as with model.half()"
            )
        if weight.raw.shape != value.shape:
            weight.raw.data = value
            resize(weight)
        with torch.no_grad():
            weight.raw.copy_(value)
        if not weight.is_parameter or not value.is_floating_point() or weight.is_foreign:
            continue
        if steps is not None:
            shape = steps.shape if place in whole else (-1, *[1] * (value.ndim - 1)) if len(steps) > 1 else ()
            step = torch.from_numpy(steps.copy()).reshape(shape).clamp_min(torch.finfo(value.dtype).tiny)
            weight.round(step, 127 if place in whole else None)
        elif 1 < packed.levels <= min(65536, value.numel() // 2):
            levels, indices = torch.unique(value, return_inverse=True)
            weight.share(levels, indices)
        if weight.raw.ndim >= 2 and (value == 0).any():
            weight.prune(value != 0)
    held = {one.member for one in content.tensors}
    if left := [weight.name for place, weight in enumerate(found) if weight.is_parameter and place not in held]:
        warnings.warn(f"{path} does not hold {', '.join(left)}: they keep the model's values", SkippedWarning, stacklevel=2)
    return model


def _fits(weight: Weight, shape: tuple[int, ...]) -> bool:
    """Whether the weight has this shape, or can be cut to it because units were removed."""
    own = tuple(weight.raw.shape)
    if own == shape:
        return True
    smaller = len(own) == len(shape) and all(0 < new <= old for new, old in zip(shape, own, strict=True))
    return smaller and len(weight.owners) == 1 and isinstance(weight.owners[0][0], RESIZABLE)


def parameter_bytes(model: nn.Module) -> int:
    """4 bytes for each element of the distinct parameters and buffers: the size that papers call uncompressed."""
    return 4 * sum(member.raw.numel() for member in members(model))


def export(model: nn.Module, task: Task) -> Exported:
    """The graph of a module in evaluation mode, checked at the example's shape and at a second one.

    Raises ExportError where the model fails on the example, has an operator that files do not hold, or is fixed along an
    axis that the example says varies.
    """
    steps, original = steps_of(model), model
    model = bake(clone(model)).eval().cpu()
    example = example_of(task)
    expected = _answer(
        model,
        example,
        "the model failed on the task's example",
        "make task.example() return arguments that the model takes, in its types (a half-precision model wants half)",
    )
    _check_outputs(expected)
    exported = _export(model, example, expected, steps)
    say_what_stays(original, exported.wholes)
    loaded = _loadable(exported, model)
    tolerance = _tolerance(model, expected, exported)
    _compare(loaded, example, expected, tolerance, "")
    if (second := reshaped(example)) is not None:
        expected = _answer(
            model,
            second,
            "the model itself failed at a second shape",
            "wrap the tensor in task.example() as Vary(x, {}) if it cannot vary, or name the axes that do",
        )
        where = " at a second shape, though it varies in the example: wrap the tensor in Vary(x, {})"
        _compare(loaded, second, expected, tolerance, where)
    return exported


def _answer(model: nn.Module, example: Example, failed: str, advice: str) -> Any:
    """What the model returns; raises ExportError."""
    try:
        with torch.no_grad():
            return model(*example.args, **example.kwargs)
    except Exception as error:
        raise ExportError(f"{failed} ({type(error).__name__}: {error}): {advice}") from error


def _check_outputs(expected: Any) -> None:
    _, outputs = numbered(plain(expected))
    if not outputs:
        raise ExportError(f"the model returns no tensor but {type(expected).__name__}: make forward() return tensors")
    if any(one.is_complex() for one in outputs):
        raise ExportError("the model returns complex numbers, which files do not hold: return torch.view_as_real() of them")


class _Call(nn.Module):
    """Calls a module with weights that are given, so that they are inputs of the graph and keep their layout."""

    model: nn.Module

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.__dict__["model"] = model  # not as a submodule, or its weights would be the graph's own
        paths = {id(module): f"{prefix}." if prefix else "" for prefix, module in model.named_modules()}
        self.names = [[paths[id(module)] + name for module, name in one.owners] for one in members(model)]

    def forward(self, weights: list[torch.Tensor], call: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        # Each owner is named here: torch's own tying leaves a module that has two names with the tracer's tensors in it.
        named = {name: one for names, one in zip(self.names, weights, strict=True) for name in names}
        output = torch.func.functional_call(self.model, named, call[0], call[1], tie_weights=False)
        return tuple(numbered(plain(output))[1])


def _export(model: nn.Module, example: Example, expected: Any, steps: Mapping[int, np.ndarray]) -> Exported:
    values = [member.raw.detach() for member in members(model)]
    fixed = torch.export.Dim.DYNAMIC
    shapes = over(
        lambda leaf: dict.fromkeys(example.axes[id(leaf)], fixed) if id(leaf) in example.axes else None, example.args
    )
    keyed = over(
        lambda leaf: dict.fromkeys(example.axes[id(leaf)], fixed) if id(leaf) in example.axes else None, example.kwargs
    )
    call = _Call(model)

    def exported() -> Any:
        forget_kernels()
        # The default domain's opset 20 is the first with Gelu; nothing newer is needed.
        return torch.onnx.export(
            call,
            (values, (example.args, example.kwargs)),
            dynamo=True,
            verbose=False,
            opset_version=20,
            dynamic_shapes=([None] * len(values), (shapes, keyed)),
            custom_translation_table=translations() | embedding_bag.translations(),
        )

    with quiet(), torch.no_grad():
        program = attempted(exported, model)
    assert program is not None
    arguments, inputs = numbered((example.args, example.kwargs))
    structure, outputs = numbered(plain(expected))
    names = Names(
        weights=len(values),
        inputs=input_names(plain_module(model), arguments),
        axes=[example.axes.get(id(leaf), {}) for leaf in inputs],
        outputs=output_names(structure, len(outputs)),
    )
    # Of types that numpy has not, none is on a grid.
    known = [array(one) if one.dtype != torch.bfloat16 else np.empty(0) for one in values]
    proto = program.model_proto
    wholes = lower(proto, known, steps)
    try:
        graph, wanted, constants = convert(proto, names, arguments, structure)
        encode_graph(graph)
    except OperatorError as error:
        raise ExportError(
            f"the model uses the operator {error}. Write that step with other functions, or leave it out of forward() and do "
            "it before or after the file runs"
        ) from None
    return Exported(graph, wanted, constants, wholes)


def _tensors(model: nn.Module, exported: Exported) -> list[Tensor]:
    found = members(model)
    values = {place: found[place].value() for place in exported.wanted}
    values |= {place: whole.of(values[place]) for place, whole in exported.wholes.items() if place in values}
    return [_bits(value, place) for place, value in values.items()] + list(exported.constants)


def _bits(value: torch.Tensor, member: int) -> Tensor:
    name = str(value.dtype).removeprefix("torch.")
    if value.is_complex():
        raise ExportError(
            f"a file cannot hold tensors of type {name}: keep the real and the imaginary part as two real parameters, or "
            "torch.view_as_real() of it as one, and join them in forward() with torch.complex(real, imaginary)"
        )
    if name not in NUMBERS:
        raise ExportError(f"a file cannot hold tensors of type {name}: convert the model with model.float()")
    value = value.cpu().contiguous()
    kind = unsigned(NUMBERS[name])
    plain = value.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[kind.itemsize])
    return Tensor(NUMBERS[name], plain.numpy().view(kind), member)


def _torch(one: Tensor) -> torch.Tensor:
    signed = one.bits.view(one.bits.dtype.str.replace("u", "i").replace("<i1", "|i1"))
    name = next(name for name, number in NUMBERS.items() if number == one.element)
    return torch.from_numpy(signed.copy()).view(getattr(torch, name))


def _loadable(exported: Exported, model: nn.Module) -> Loaded:
    try:
        return Loaded(Content(exported.graph, _tensors(model, exported)), threads=1)
    except file.ShoeError as error:
        raise ExportError(
            f"the model was exported, but {error}: if it computes in bfloat16 or another type that the runtime lacks, convert "
            "it with model.float()"
        ) from error


def _tolerance(model: nn.Module, expected: Any, exported: Exported) -> float:
    """TOLERANCE, and eight times that where the module computes in half precision; where it rounds activations or takes their
    signs, a sum that is one bit apart may go to another whole number, here and there."""
    if isinstance(model, Quantised) or sign_layers.layers(exported.graph, _tensors(model, exported)):
        return QUANTISED_TOLERANCE
    computed = [one.raw for one in members(model)] + numbered(plain(expected))[1]
    return TOLERANCE * (8 if any(one.dtype in (torch.float16, torch.bfloat16) for one in computed) else 1)


def _compare(loaded: Loaded, example: Example, expected: Any, tolerance: float, where: str) -> None:
    """The file must answer as the module does."""
    try:
        got = loaded(*example.args, **example.kwargs)
    except (file.ShoeError, ValueError) as error:
        raise ExportError(f"the exported graph fails{where}: {error}") from error
    _, wanted = numbered(plain(expected))
    for value, ours in zip(wanted, arrays(got), strict=True):
        theirs = array(value.float() if value.dtype == torch.bfloat16 else value)
        if theirs.shape != ours.shape:
            raise ExportError(f"the exported graph returns shape {ours.shape} and the module {theirs.shape}{where}")
        if not alike(ours, theirs, tolerance):
            off = float(np.nanmax(np.abs(ours.astype(np.float64) - theirs)))
            raise ExportError(
                f"the exported graph differs from the module by {off:.3g}{where}; if forward() draws random numbers or "
                "changes the module, make it give the same answer twice in evaluation mode"
            )
