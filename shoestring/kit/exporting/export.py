"""Export a module to a file: its graph with the weights as inputs, and the weights as tensors."""

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
from shoestring.artifact.format import describing, file, saving
from shoestring.artifact.format.graph import OperatorError
from shoestring.artifact.format.graph import encode as encode_graph
from shoestring.artifact.format.tensors import NUMBERS, Tensor, unsigned
from shoestring.artifact.progress import progress
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.core import Task, array, unwrapped
from shoestring.core.entries import called
from shoestring.kit.exporting.answers import check_answer, check_outputs, tolerance_of
from shoestring.kit.exporting.assumptions import check_lengths, declaration, narrow, suggested
from shoestring.kit.exporting.guards import Guards, noted
from shoestring.kit.exporting.joining import Exported, disputed, joined
from shoestring.kit.exporting.lowering import lower
from shoestring.kit.exporting.onnx_graph import Names, convert
from shoestring.kit.exporting.raw_inputs import with_input_chain
from shoestring.kit.exporting.recurrent import free_lengths, step_by_step
from shoestring.kit.exporting.torchlib import read_once
from shoestring.kit.exporting.translations import translations
from shoestring.kit.quantised.integers import say_what_stays, scales_of
from shoestring.kit.quantised.module import plain_module
from shoestring.kit.tracing.example import (
    Example,
    ExportError,
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


def save(
    model: nn.Module,
    task: Task,
    path: str | Path,
    *,
    exported: Exported | None = None,
    smallest: bool = False,
    names: bool = False,
    notes: Mapping[str, str] | None = None,
) -> int:
    """Write the file of a model and return its size in bytes.

    The file is written whole or not at all, and its weights are the module's, bit for bit.

    `task`: gives the example that the model is exported with.
    `path`: where the file goes.
    `exported`: the result of `export(model, task)`, if only weights have changed since.
    `smallest`: a few per cent fewer bytes, decoded a weight at a time: some ten million per second
        where numba is installed (the extra `fast`), half a million where it is not.
    `names`: whether the file has the names of its tensors; they take bytes.
    `notes`: texts by key for those who get the file, such as `{"licence": "Apache-2.0"}`.

    Raises ExportError as `export` does, ValueError for NaN or infinite weights that the graph uses
    (others are named in a SkippedWarning), and OSError where the file cannot be written.
    """
    model = unwrapped(model)
    saving.check_place(Path(path))
    exported = exported or export(model, task)
    check_finite(model, exported.wanted)
    data = pack(model, exported, smallest=smallest)
    if names or notes:
        members = [weight.name for weight in parameters_of(model)] if names else []
        data = describing.with_names(data, members, notes or {})
    saving.save(path, data)
    return len(data)


write = save


def pack(model: nn.Module, exported: Exported, *, smallest: bool = False) -> bytes:
    """The bytes of the file of a model.

    `exported`, `smallest`: as `save` takes them.
    """
    content = exported.content(_tensors(parameters_of(model), exported))
    with progress("packing", len(content.tensors)) as advance:
        return file.pack(content, smallest=smallest, advance=advance)


def parameter_bytes(model: nn.Module) -> int:
    """The uncompressed size that papers state: 4 bytes for each element of the distinct tensors.

    These are parameters and buffers.
    """
    return 4 * sum(weight.raw.numel() for weight in parameters_of(model))


def export(model: nn.Module, task: Task) -> Exported:
    """The graph of a module in evaluation mode, checked against the module.

    It is checked on the example, at a second shape, and at the lengths at which forward() may
    compute something else.
    Raises ExportError where the model fails on the example, has an operator that files do not hold,
    or computes something else along an axis that the example says varies.
    """
    model = unwrapped(model)
    parameters = parameters_of(model)
    baked = bake(clone(model)).eval().cpu()
    exported = _export_entries(baked, examples_of(task), scales_of(parameters))
    say_what_stays(model, parameters, exported.integers)
    return exported if task.input_chain is None else with_input_chain(exported, task.input_chain)


def _export_entries(
    model: nn.Module, examples: Sequence[Example], scales: Mapping[int, np.ndarray]
) -> Exported:
    """The checked graphs of a baked module: one for each entry, or one of forward().

    `scales`: the scales of the weights that may become integers, by their index.
    """
    if not examples[0].entry:
        return _checked(model, examples[0], scales)
    parts: dict[str, Exported] = {}
    with progress("tracing entries", len(examples)) as advance:
        for example in examples:
            entry = example.entry
            try:
                called(model, entry)
                own = clone(model)  # what one entry leaves in the module, no other finds
                before = [one.raw.clone() for one in parameters_of(own)]
                parts[entry] = _checked(_Entry(own, entry), replace(example, entry=""), scales)
                after = [one.raw for one in parameters_of(own)]
                if len(before) != len(after) or not all(map(_is_same, before, after)):
                    raise ExportError(
                        "it changes tensors of the module, which a file does not keep from call "
                        "to call: return what other entries need, and take it as an argument"
                    )
            except (ExportError, ValueError) as error:
                raise ExportError(f"the entry {entry!r}: {error}") from error
            advance(entry)
    if both := disputed(parts):
        parameters = parameters_of(model)
        names = ", ".join(parameters[index].name for index in sorted(both))
        text = "(not every entry that reads them can take integers)"
        text = f"in floating point in the file: {names} {text}"
        warnings.warn(text, SkippedWarning, stacklevel=3)
        left = {index: scale for index, scale in scales.items() if index not in both}
        return _export_entries(model, examples, left)
    return joined(parts)


def _is_same(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers, NaN where the other has NaN."""
    alike = before.shape == after.shape and before.dtype == after.dtype
    return alike and bool(((before == after) | ((before != before) & (after != after))).all())


def _checked(model: nn.Module, example: Example, scales: Mapping[int, np.ndarray]) -> Exported:
    """The graph of a baked module's forward(), which returns what the module returns."""
    parameters = parameters_of(model)
    expected = _answer(
        model,
        example,
        "the model failed on the task's example",
        "make task.example() return arguments that the model takes, in its types (a half-precision "
        "model wants half)",
    )
    check_outputs(expected)
    exported, guards = _export(model, parameters, example, expected, scales)
    values = _tensors(parameters, exported)
    loaded = _loaded(exported, values)
    tolerance = tolerance_of(model, parameters, expected, exported.graph, values)
    check_answer(loaded, example, expected, tolerance)
    second, answer = reshaped(example), lambda at: _attempt(lambda: _answer(model, at, "", ""))
    if second is not None and (expected := answer(second)) is None:
        bounds = " and ".join(map(declaration, suggested(example, guards)))
        advice = (
            "wrap the tensor in task.example() as Vary(x, {}) if it cannot vary, or name the axes "
            "that do"
        )
        advice += f", with their bounds, such as {bounds}" * bool(bounds)
        expected = _answer(model, second, "the model itself failed at a second shape", advice)
    narrowed = check_lengths(
        example,
        guards,
        answer,
        compare=lambda at, wanted: check_answer(loaded, at, wanted, tolerance),
        runs=lambda at: _attempt(lambda: loaded(*at.args, **at.kwargs)) is not None,
    )
    if second is not None:
        where = (
            " at a second shape, though it varies in the example: wrap the tensor in Vary(x, {})"
        )
        check_answer(loaded, second, expected, tolerance, where)
    return replace(exported, graphs={"": narrow(exported.graph, narrowed)})


def _attempt(run: Callable[[], Any]) -> Any:
    """The result of a call; None where it fails."""
    try:
        return run()
    except (ExportError, file.ShoeError, ValueError):
        return None


def _answer(model: nn.Module, example: Example, failed: str, advice: str) -> Any:
    """What the model returns on an example.

    Raises ExportError where it fails, which says `failed`, the reason, and `advice`.
    """
    try:
        with torch.no_grad():
            return model(*example.args, **example.kwargs)
    except Exception as error:
        raise ExportError(
            f"{failed} ({type(error).__name__}: {error}{line_of(error)}): "
            f"{advice_on(error, advice)}"
        ) from error


class _Entry(nn.Module):
    """A module whose forward() is an entry of another, with all its parameters in their order."""

    def __init__(self, model: nn.Module, entry: str) -> None:
        super().__init__()
        self.model, self.entry = model, entry

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return called(self.model, self.entry)(*args, **kwargs)


class _Call(nn.Module):
    """A module that calls another with given weights, which so are inputs of the exported graph.

    There they keep the layout that they have in the module.
    """

    model: nn.Module

    def __init__(self, model: nn.Module, parameters: Parameters) -> None:
        super().__init__()
        # As a submodule, the model would make its own weights part of the graph.
        self.__dict__["model"] = model
        self.names = [weight.names for weight in parameters]

    def forward(
        self, weights: list[torch.Tensor], call: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> Any:
        # All names of a tied weight are given here: torch's own tying leaves the tracer's tensors
        # in a module that has two names.
        values = {
            name: weight
            for names, weight in zip(self.names, weights, strict=True)
            for name in names
        }
        output = torch.func.functional_call(self.model, values, call[0], call[1], tie_weights=False)
        return tuple(tensors(output))


def _export(
    model: nn.Module,
    parameters: Parameters,
    example: Example,
    expected: Any,
    scales: Mapping[int, np.ndarray],
) -> tuple[Exported, Guards]:
    """The graph of a baked module, not checked yet, and what it assumes of the lengths of axes.

    `expected`: what the module returns on the example.
    """
    weights = [weight.raw.detach() for weight in parameters]
    leaves, form = tree.flatten((example.args, example.kwargs))
    varying = torch.export.Dim.DYNAMIC
    shapes = tree.fill(
        form,
        [
            dict.fromkeys(example.axes[id(leaf)], varying) if id(leaf) in example.axes else None
            for leaf in leaves
        ],
    )
    call = _Call(model, parameters)

    def exported() -> Any:
        forget_kernels()
        # The default domain's opset 20 is the first with Gelu; nothing newer is needed.
        return torch.onnx.export(
            call,
            (weights, (example.args, example.kwargs)),
            dynamo=True,
            verbose=False,
            opset_version=20,
            dynamic_shapes=([None] * len(weights), shapes),
            custom_translation_table=translations(),
        )

    with quiet(), torch.no_grad(), read_once(), noted() as guards:
        program = attempted(exported, model, step_by_step(model))
    assert program is not None
    arguments, inputs = numbered((example.args, example.kwargs))
    structure, outputs = numbered(tree.plain(expected))
    names = Names(
        weights=len(weights),
        inputs=input_names(model.model, arguments, model.entry)
        if isinstance(model, _Entry)
        else input_names(plain_module(model), arguments),
        axes=[example.axes.get(id(leaf), {}) for leaf in inputs],
        outputs=output_names(structure, len(outputs)),
    )
    return _converted(program.model_proto, names, arguments, structure, weights, scales), guards


def _converted(
    model: Any,
    names: Names,
    arguments: Any,
    structure: Any,
    weights: list[torch.Tensor],
    scales: Mapping[int, np.ndarray],
) -> Exported:
    """The graph of an ONNX model, which is changed in place.

    Raises ExportError for an operator that files do not hold.
    """
    # numpy has no bfloat16, and no weight of that type is on a grid.
    known = [array(one) if one.dtype != torch.bfloat16 else np.empty(0) for one in weights]
    free_lengths(model)
    integers = lower(model, known, scales)
    try:
        graph, wanted, constants = convert(model, names, arguments, structure)
        encode_graph(graph)
    except OperatorError as error:
        raise ExportError(
            f"the model uses the operator {error}. Write that step with other functions, or leave "
            "it out of forward() and do it before or after the file runs"
        ) from None
    return Exported({"": graph}, wanted, constants, integers)


def _tensors(parameters: Parameters, exported: Exported) -> list[Tensor]:
    """The tensors of a file: the weights that its graphs use, then their large constants."""
    values = {index: parameters[index].value() for index in exported.wanted}
    values |= {
        index: integers.of(values[index])
        for index, integers in exported.integers.items()
        if index in values
    }
    return [_tensor(value, index) for index, value in values.items()] + list(exported.constants)


def _tensor(value: torch.Tensor, index: int) -> Tensor:
    """A weight's value as a tensor of a file. `index`: which of the module's parameters it is.

    Raises ExportError for a type that files do not hold.
    """
    name = str(value.dtype).removeprefix("torch.")
    if value.is_complex():
        raise ExportError(
            f"a file cannot hold tensors of type {name}: keep the real and the imaginary part as "
            "two real parameters, or torch.view_as_real() of it as one, and join them in forward() "
            "with torch.complex(real, imaginary)"
        )
    if name not in NUMBERS:
        raise ExportError(
            f"a file cannot hold tensors of type {name}: convert the model with model.float()"
        )
    value = value.cpu().contiguous()
    kind = unsigned(NUMBERS[name])
    bits = value.view(
        {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[kind.itemsize]
    )
    return Tensor(NUMBERS[name], bits.numpy().view(kind), index)


def _loaded(exported: Exported, values: list[Tensor]) -> Loaded:
    """The file of an export, ready to run; raises ExportError where the runtime refuses it."""
    try:
        return Loaded(exported.content(values), threads=1)
    except file.ShoeError as error:
        raise ExportError(
            f"the model was exported, but {error}: if it computes in bfloat16 or another type that "
            "the runtime lacks, convert it with model.float()"
        ) from error
