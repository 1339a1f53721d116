"""What can teach: a module, a loaded file, the path of a file, or any function of the inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import Loaded, load, tree

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class Asked(nn.Module):
    """A teacher that is only asked: a function, or a file that runs outside of torch.

    It has no layers, no gradients and no mode of training. Its entries are those of a loaded file.
    Copies share the function. It pickles where it was made of a path, which is then read again.

    `ask`: called with what the model is called with; returns a nest of tensors and arrays.
    `what`: what error messages call it.
    `path`: of the file; None for a function.
    """

    def __init__(self, ask: Callable[..., Any], what: str, path: Path | None = None) -> None:
        super().__init__()
        self.ask, self.what, self.path = ask, what, path
        if isinstance(ask, Loaded):
            for name, entry in ask.entries.items():
                if not hasattr(self, name):
                    self.add_module(name, Asked(entry, f"{what}, entry {name!r}"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The answer, as tensors on the device of the first tensor that was given.

        Raises TypeError for an answer that has something else in it than numbers.
        """
        given = [leaf for leaf in tree.leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        device = given[0].device if given else torch.device("cpu")
        if isinstance(self.ask, Loaded):
            args, kwargs = tree.map(_on_processor, args), tree.map(_on_processor, kwargs)
        return tree.map(lambda leaf: self._tensor(leaf, device), self.ask(*args, **kwargs))

    def _tensor(self, leaf: Any, device: torch.device) -> Any:
        if leaf is None or isinstance(leaf, torch.Tensor):
            return leaf if leaf is None else leaf.detach().to(device)
        numbers = np.asarray(leaf)
        if numbers.dtype.kind not in "fiub":
            raise TypeError(
                f"{self.what} answered with {type(leaf).__name__}: a teacher returns tensors or "
                "arrays of numbers, in tuples, lists and dicts as the model does"
            )
        return torch.as_tensor(numbers.copy(), device=device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Asked:
        return self

    def __reduce__(self) -> Any:
        if self.path is None:
            raise TypeError(
                f"{self.what} cannot be sent to another process: give the path of a file, or a "
                "module"
            )
        return as_teacher, (self.path,)


def as_teacher(given: Any) -> nn.Module:
    """What teaches, as a module: modules themselves, and everything else `Asked`.

    `given`: a module; the path of a `.shoe` or `.onnx` file; a loaded file; or a function that is
        called as the model is, and returns the same nest of tensors or arrays. The inputs of an
        `.onnx` file are given by position or by their names, and its outputs are a tuple where
        there are several.

    Raises TypeError for anything else, and OSError or ValueError for a file that cannot be read.
    """
    if isinstance(given, nn.Module):
        return given
    if isinstance(given, str | Path):
        return _of_file(Path(given))
    if isinstance(given, Loaded):
        return Asked(given, "the loaded file")
    if isinstance(given, type) or not callable(given):
        what = f"the class {given.__name__}" if isinstance(given, type) else repr(given)[:80]
        raise TypeError(
            f"the teacher is {what}: give a module, a function, a loaded file, or the path of a "
            ".shoe or .onnx file"
        )
    return Asked(given, f"the teacher {getattr(given, '__name__', type(given).__name__)}()")


def _of_file(path: Path) -> Asked:
    """The teacher in a file, on as many threads as torch uses."""
    suffix = path.suffix.lower()
    if suffix not in (".shoe", ".onnx"):
        raise TypeError(
            f"the teacher is the path {str(path)!r}: a .shoe or an .onnx file can teach; build any "
            "other model as a module, load its weights, and give that"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} to be the teacher")
    if suffix == ".shoe":
        return Asked(load(path, threads=torch.get_num_threads()), f"the file {path}", path)
    return Asked(_OnnxFile(path), f"the file {path}", path)


class _OnnxFile:
    """An ONNX file that ONNX Runtime runs; inputs by position or by name."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common class
            raise ValueError(f"ONNX Runtime cannot run {path}: {str(error)[:300]}") from None
        self.path = path
        self.inputs = {one.name: one.type for one in self.session.get_inputs()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        names = list(self.inputs)
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or given.keys() != self.inputs.keys():
            raise TypeError(
                f"{self.path} takes the inputs {', '.join(names)}, and got {len(args)} by position "
                f"and {', '.join(kwargs) or 'none'} by name"
            )
        feeds = {name: self._array(name, value) for name, value in given.items()}
        try:
            outputs = self.session.run(None, feeds)
        except Exception as error:
            raise ValueError(f"{self.path} failed while it ran: {str(error)[:300]}") from None
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _array(self, name: str, value: Any) -> np.ndarray:
        kind = _TYPES.get(self.inputs[name])
        if kind is None:
            raise TypeError(f"the input {name} of {self.path} is {self.inputs[name]}: not numbers")
        numbers = _on_processor(value)
        return np.asarray(numbers).astype(kind, copy=False)


def _on_processor(leaf: Any) -> Any:
    return leaf.detach().cpu().numpy() if isinstance(leaf, torch.Tensor) else leaf
