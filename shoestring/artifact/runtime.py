"""Running a file with ONNX Runtime: called as the module was, with arrays or tensors, and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import file
from shoestring.artifact.file import Content
from shoestring.artifact.graph import Tree
from shoestring.artifact.protobuf import onnx
from shoestring.artifact.tensors import ELEMENTS
from shoestring.artifact.wire import ShoeError


class Loaded:
    """A file that runs. Call it as the module was called: it returns the module's structure, with numpy arrays in it."""

    def __init__(self, content: Content, *, threads: int | None = None) -> None:
        """`threads`: how many a run may use, None for as many as there are cores. Raises ShoeError."""
        import onnxruntime

        self.inputs, self.outputs = content.graph.inputs, content.graph.outputs
        self._arguments, self._structure = content.graph.arguments, content.graph.structure
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        model = onnx(content.graph, content.tensors)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no class of their own
            raise ShoeError(f"ONNX Runtime {onnxruntime.__version__} cannot run this graph: {_first_line(error)}") from None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the module would return. Arguments that the example did not have as tensors are fixed and may be left out."""
        found: dict[int, Any] = {}
        positions, names = self._arguments
        if len(args) > len(positions) + len(names):
            raise TypeError(f"{len(args)} arguments were given; this file takes {self.signature()}")
        # What was a keyword in the example may come by position, after the others, and the other way round.
        keywords = dict(zip(list(names)[: len(args) - len(positions)], args[len(positions) :], strict=False))
        for tree, value in zip(positions, args, strict=False):
            _leaves(tree, value, found)
        for name, value in {**keywords, **kwargs}.items():
            place = next((i for i, port in enumerate(self.inputs) if port.name == name), None)
            if name in names:
                _leaves(names[name], value, found)
            elif place is not None:
                found[place] = value
            else:
                raise TypeError(f"there is no argument {name!r}; this file takes {self.signature()}")
        return _rebuild(self._structure, self._run(found))

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Outputs by name from inputs by name."""
        places = {port.name: place for place, port in enumerate(self.inputs)}
        unknown = [name for name in inputs if name not in places]
        if unknown:
            raise TypeError(f"there is no input {unknown[0]!r}; this file takes {self.signature()}")
        results = self._run({places[name]: value for name, value in inputs.items()})
        return {port.name: value for port, value in zip(self.outputs, results, strict=True)}

    def signature(self) -> str:
        """The inputs in words: name, type and shape of each."""
        return ", ".join(
            f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]" for p in self.inputs
        ) or "no inputs"  # fmt: skip

    def _run(self, found: dict[int, Any]) -> list[np.ndarray]:
        feeds: dict[str, np.ndarray] = {}
        sizes: dict[str, int] = {}
        for place, port in enumerate(self.inputs):
            if place not in found:
                raise TypeError(f"the input {port.name!r} is missing; this file takes {self.signature()}")
            feeds[port.name] = _array(found[place], port.name, ELEMENTS[port.element][0])
            shape = feeds[port.name].shape
            fits = len(shape) == len(port.shape) and all(
                sizes.setdefault(want, have) == have if isinstance(want, str) else want == have
                for want, have in zip(port.shape, shape, strict=True)
            )
            if not fits:
                wanted = ", ".join(map(str, port.shape))
                raise ValueError(f"the input {port.name!r} has shape {list(shape)} and [{wanted}] is wanted")
        try:
            return self._session.run(None, feeds)
        except Exception as error:
            raise ShoeError(f"the graph failed while it ran: {_first_line(error)}") from None


def load(path: str | Path, *, threads: int | None = None, max_bytes: int = file.MAX_BYTES) -> Loaded:
    """The file at `path`, ready to run on `threads` threads (None: all cores).

    Raises ShoeError for a file that is damaged or wants more than `max_bytes` of tensors, OSError for one that cannot be
    read. Nothing but what is in the file is ever loaded, and nothing in it is executed but operators from a list.
    """
    return Loaded(file.read(path, max_bytes), threads=threads)


def _leaves(tree: Tree, value: Any, found: dict[int, Any]) -> None:
    if isinstance(tree, int):
        found[tree] = value
    elif isinstance(tree, dict):
        for key, branch in tree.items():
            _leaves(branch, value[key], found)
    elif isinstance(tree, list | tuple):
        for branch, one in zip(tree, value, strict=True):
            _leaves(branch, one, found)


def _rebuild(tree: Tree, values: list[np.ndarray]) -> Any:
    if isinstance(tree, int):
        return values[tree]
    if isinstance(tree, dict):
        return {key: _rebuild(branch, values) for key, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_rebuild(branch, values) for branch in tree)
    return None


def _array(value: Any, name: str, wanted: str) -> np.ndarray:
    """The value as an array of the wanted type; numbers of the same kind are converted, others refused."""
    values = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if values.dtype.name == wanted:
        return np.ascontiguousarray(values).reshape(values.shape)
    same = {"f": "f", "i": "iu", "u": "iu", "b": "b"}.get(values.dtype.kind, "")
    if wanted == "bfloat16" or np.dtype(wanted).kind not in same:
        raise TypeError(f"the input {name!r} is of type {values.dtype.name} and {wanted} is wanted")
    return values.astype(wanted)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
