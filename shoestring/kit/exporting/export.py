"""From a module to a file.

Its graph with the weights as inputs, and the weights in the module's own layout.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import tree
from shoestring.artifact.format import file, saving
from shoestring.artifact.format.graph import OperatorError
from shoestring.artifact.format.graph import encode as encode_graph
from shoestring.artifact.format.tensors import NUMBERS, Tensor, unsigned
from shoestring.artifact.kernels import sign_layers
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.core import Task, array, unwrapped
from shoestring.core.entries import called
from shoestring.kit.exporting.assumptions import check_lengths, declaration, narrow, suggested
from shoestring.kit.exporting.guards import Guards, noted
from shoestring.kit.exporting.joining import Exported, disputed, joined
from shoestring.kit.exporting.lowering import lower
from shoestring.kit.exporting.onnx_graph import Names, convert
from shoestring.kit.exporting.recurrent import free_lengths, step_by_step
from shoestring.kit.exporting.torchlib import read_once
from shoestring.kit.exporting.translations import translations
from shoestring.kit.progress import progress
from shoestring.kit.quantised.integers import say_what_stays, scales_of
from shoestring.kit.quantised.module import Grid, Quantised, plain_module
from shoestring.kit.tracing.compare import TOLERANCE, all_close
from shoestring.kit.tracing.example import (
    Example,
    ExportError,
    arrays,
    examples_of,
    input_names,
    numbered,
    output_names,
    reshaped,
    tensors,
)
from shoestring.kit.tracing.exporter import advice as advice_on
from shoestring.kit.tracing.exporter import attempted, forget_kernels, line_of, quiet
from shoestring.kit.weights.parameters import (
    Parameters,
    SkippedWarning,
    bake,
    check_finite,
    clone,
    parameters_of,
)

QUANTISED_TOLERANCE = 0.1


def save(
    model: nn.Module,
    task: Task,
    path: str | Path,
    *,
    exported: Exported | None = None,
    smallest: bool = False,
) -> int:
    """Write the file of a model at `path`, whole or not at all, and return its size in bytes.

    Lossless: the file's weights are the module's, bit for bit.
    `exported`: the graph of `export(model, task)`, for a model of which only weights have changed
        since.
    `smallest`: a few per cent fewer bytes, decoded a weight at a time: 2 million in a second where
        numba is installed (the extra `fast`), 0.1 million where it is not. Raises ExportError,
        ValueError for weights that are NaN or infinite and that the graph uses (others are named in
        a SkippedWarning), OSError.
    """
    model = unwrapped(model)
    saving.check_place(Path(path))
    exported = exported or export(model, task)
    check_finite(model, exported.wanted)
    data = pack(model, exported, smallest=smallest)
    saving.save(path, data)
    return len(data)


write = save


def pack(model: nn.Module, exported: Exported, *, smallest: bool = False) -> bytes:
    """The bytes of the file."""
    content = exported.content(_tensors(parameters_of(model), exported))
    with progress("packing", len(content.tensors)) as advance:
        return file.pack(content, smallest=smallest, advance=advance)


def parameter_bytes(model: nn.Module) -> int:
    """4 bytes for each element of the distinct parameters and buffers.

    The size that papers call uncompressed.
    """
    return 4 * sum(member.raw.numel() for member in parameters_of(model))


def export(model: nn.Module, task: Task) -> Exported:
    """The graph of a module in evaluation mode, checked at the example's shape, at a second one,
    and at the lengths where forward() may take other steps.

    Raises ExportError where the model fails on the example, has an operator that files do not hold,
    or takes other steps along an axis that the example says varies.
    """
    model = unwrapped(model)
    before = parameters_of(model)
    baked = bake(clone(model)).eval().cpu()
    exported = _joined(baked, examples_of(task), scales_of(before))
    say_what_stays(model, before, exported.integers)
    return exported


def _joined(
    model: nn.Module, examples: Sequence[Example], scales: Mapping[int, np.ndarray]
) -> Exported:
    """The graphs of a plain module's entries, checked, as one export.

    Of a module that is called itself, its own.
    """
    if not examples[0].entry:
        return _checked(model, examples[0], scales)
    parts: dict[str, Exported] = {}
    for one in examples:
        try:
            called(model, one.entry)
            parts[one.entry] = _checked(_Entry(model, one.entry), replace(one, entry=""), scales)
        except (ExportError, ValueError) as error:
            raise ExportError(f"the entry {one.entry!r}: {error}") from error
    if both := disputed(parts):
        found = parameters_of(model)
        names = ", ".join(found[index].name for index in sorted(both))
        text = (
            f"in floating point in the file: {names} (not every entry that reads them can "
            "take integers)"
        )
        warnings.warn(text, SkippedWarning, stacklevel=3)
        left = {index: scale for index, scale in scales.items() if index not in both}
        return _joined(model, examples, left)
    return joined(parts)


def _checked(model: nn.Module, example: Example, scales: Mapping[int, np.ndarray]) -> Exported:
    """The graph of a plain module, which answers as the module does."""
    found = parameters_of(model)
    expected = _answer(
        model,
        example,
        "the model failed on the task's example",
        "make task.example() return arguments that the model takes, in its types (a "
        "half-precision model wants half)",
    )
    _check_outputs(expected)
    exported, guards = _export(model, found, example, expected, scales)
    loaded = _loadable(exported, found)
    tolerance = _tolerance(model, found, expected, exported)
    _compare(loaded, example, expected, tolerance, "")
    second, answer = reshaped(example), lambda one: _attempt(lambda: _answer(model, one, "", ""))
    if second is not None and (expected := answer(second)) is None:
        bounds = " and ".join(map(declaration, suggested(example, guards)))
        advice = (
            "wrap the tensor in task.example() as Vary(x, {}) if it cannot vary, or name "
            "the axes that do"
        )
        advice += f", with their bounds, such as {bounds}" * bool(bounds)
        expected = _answer(model, second, "the model itself failed at a second shape", advice)
    narrowed = check_lengths(
        example,
        guards,
        answer,
        compare=lambda one, wanted: _compare(loaded, one, wanted, tolerance, ""),
        runs=lambda one: _attempt(lambda: loaded(*one.args, **one.kwargs)) is not None,
    )
    if second is not None:
        where = (
            " at a second shape, though it varies in the example: wrap the tensor in Vary(x, {})"
        )
        _compare(loaded, second, expected, tolerance, where)
    return replace(exported, graphs={"": narrow(exported.graph, narrowed)})


def _attempt(run: Callable[[], Any]) -> Any:
    """What it gives; None where it fails."""
    try:
        return run()
    except (ExportError, file.ShoeError, ValueError):
        return None


def _answer(model: nn.Module, example: Example, failed: str, advice: str) -> Any:
    """What the model returns; raises ExportError."""
    try:
        with torch.no_grad():
            return model(*example.args, **example.kwargs)
    except Exception as error:
        raise ExportError(
            f"{failed} ({type(error).__name__}: {error}{line_of(error)}): "
            f"{advice_on(error, advice)}"
        ) from error


def _check_outputs(expected: Any) -> None:
    outputs = tensors(expected)
    if not outputs:
        raise ExportError(
            f"the model returns no tensor but {type(expected).__name__}: make forward() return "
            "tensors, alone or in tuples, lists and dicts"
        )
    if any(one.is_complex() for one in outputs):
        raise ExportError(
            "the model returns complex numbers, which files do not hold: return "
            "torch.view_as_real() of them"
        )


class _Entry(nn.Module):
    """An entry of a module, as a module: it has the members of the whole one, in their order."""

    def __init__(self, model: nn.Module, entry: str) -> None:
        super().__init__()
        self.model, self.entry = model, entry

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return called(self.model, self.entry)(*args, **kwargs)


class _Call(nn.Module):
    """Calls a module with weights that are given, so that they are inputs of the graph and keep
    their layout.
    """

    model: nn.Module

    def __init__(self, model: nn.Module, found: Parameters) -> None:
        super().__init__()
        self.__dict__["model"] = (
            model  # not as a submodule, or its weights would be the graph's own
        )
        self.names = [one.names for one in found]

    def forward(
        self, weights: list[torch.Tensor], call: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> Any:
        # Each owner is named here: torch's own tying leaves a module that has two names with the
        # tracer's tensors in it.
        named = {
            name: one for names, one in zip(self.names, weights, strict=True) for name in names
        }
        output = torch.func.functional_call(self.model, named, call[0], call[1], tie_weights=False)
        return tuple(tensors(output))


def _export(
    model: nn.Module,
    found: Parameters,
    example: Example,
    expected: Any,
    scales: Mapping[int, np.ndarray],
) -> tuple[Exported, Guards]:
    values = [member.raw.detach() for member in found]
    fixed = torch.export.Dim.DYNAMIC
    leaves, form = tree.flatten((example.args, example.kwargs))
    shapes = tree.fill(
        form,
        [
            dict.fromkeys(example.axes[id(one)], fixed) if id(one) in example.axes else None
            for one in leaves
        ],
    )
    call = _Call(model, found)

    def exported() -> Any:
        forget_kernels()
        # The default domain's opset 20 is the first with Gelu; nothing newer is needed.
        return torch.onnx.export(
            call,
            (values, (example.args, example.kwargs)),
            dynamo=True,
            verbose=False,
            opset_version=20,
            dynamic_shapes=([None] * len(values), shapes),
            custom_translation_table=translations(),
        )

    with quiet(), torch.no_grad(), read_once(), noted() as guards:
        program = attempted(exported, model, step_by_step(model))
    assert program is not None
    arguments, inputs = numbered((example.args, example.kwargs))
    structure, outputs = numbered(tree.plain(expected))
    names = Names(
        weights=len(values),
        inputs=input_names(model.model, arguments, model.entry)
        if isinstance(model, _Entry)
        else input_names(plain_module(model), arguments),
        axes=[example.axes.get(id(leaf), {}) for leaf in inputs],
        outputs=output_names(structure, len(outputs)),
    )
    # Of types that numpy has not, none is on a grid.
    known = [array(one) if one.dtype != torch.bfloat16 else np.empty(0) for one in values]
    proto = program.model_proto
    free_lengths(proto)
    integers = lower(proto, known, scales)
    try:
        graph, wanted, constants = convert(proto, names, arguments, structure)
        encode_graph(graph)
    except OperatorError as error:
        raise ExportError(
            f"the model uses the operator {error}. Write that step with other functions, or leave "
            "it out of forward() and do "
            "it before or after the file runs"
        ) from None
    return Exported({"": graph}, wanted, constants, integers), guards


def _tensors(found: Parameters, exported: Exported) -> list[Tensor]:
    values = {place: found[place].value() for place in exported.wanted}
    values |= {
        place: whole.of(values[place])
        for place, whole in exported.integers.items()
        if place in values
    }
    return [_bits(value, place) for place, value in values.items()] + list(exported.constants)


def _bits(value: torch.Tensor, member: int) -> Tensor:
    name = str(value.dtype).removeprefix("torch.")
    if value.is_complex():
        raise ExportError(
            f"a file cannot hold tensors of type {name}: keep the real and the imaginary part as "
            "two real parameters, or "
            "torch.view_as_real() of it as one, and join them in forward() with "
            "torch.complex(real, imaginary)"
        )
    if name not in NUMBERS:
        raise ExportError(
            f"a file cannot hold tensors of type {name}: convert the model with model.float()"
        )
    value = value.cpu().contiguous()
    kind = unsigned(NUMBERS[name])
    plain = value.view(
        {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[kind.itemsize]
    )
    return Tensor(NUMBERS[name], plain.numpy().view(kind), member)


def _loadable(exported: Exported, found: Parameters) -> Loaded:
    try:
        return Loaded(exported.content(_tensors(found, exported)), threads=1)
    except file.ShoeError as error:
        raise ExportError(
            f"the model was exported, but {error}: if it computes in bfloat16 or another type "
            "that the runtime lacks, convert "
            "it with model.float()"
        ) from error


def _tolerance(model: nn.Module, found: Parameters, expected: Any, exported: Exported) -> float:
    """TOLERANCE, and eight times that where the module computes in half precision.

    Where it rounds activations or takes their signs, a sum that is one bit apart may go to another
    whole number, here and there.
    """
    rounds = any(isinstance(one, Quantised | Grid) for one in model.modules())
    if rounds or sign_layers.layers(exported.graph, _tensors(found, exported)):
        return QUANTISED_TOLERANCE
    computed = [one.raw for one in found] + tensors(expected)
    return TOLERANCE * (
        8 if any(one.dtype in (torch.float16, torch.bfloat16) for one in computed) else 1
    )


def _compare(loaded: Loaded, example: Example, expected: Any, tolerance: float, where: str) -> None:
    """The file must answer as the module does."""
    try:
        got = loaded(*example.args, **example.kwargs)
    except (file.ShoeError, ValueError) as error:
        raise ExportError(f"the exported graph fails{where}: {error}") from error
    for value, ours in zip(tensors(expected), arrays(got), strict=True):
        theirs = array(value.float() if value.dtype == torch.bfloat16 else value)
        if theirs.shape != ours.shape:
            raise ExportError(
                f"the exported graph returns shape {ours.shape} and the module "
                f"{theirs.shape}{where}"
            )
        if not (
            all_close(ours, theirs, tolerance)
            or (tolerance == QUANTISED_TOLERANCE and _are_shares_near(ours, theirs))
        ):
            off = float(np.nanmax(np.abs(ours.astype(np.float64) - theirs)))
            raise ExportError(
                f"the exported graph differs from the module by {off:.3g}{where}; if forward() "
                "draws random numbers or "
                "changes the module, make it give the same answer twice in evaluation mode"
            )


def _are_shares_near(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether both are numbers from 0 to 1 (of a sigmoid, a softmax) within a tenth of each other:
    their unit is 1, however small these are.
    """
    both = np.stack([ours, theirs]).astype(np.float64)
    return bool(
        both.size
        and both.min() >= 0
        and both.max() <= 1
        and np.abs(both[0] - both[1]).max() <= QUANTISED_TOLERANCE
    )
