"""Running a file without torch.

It is called as the module was, with arrays or tensors, and ONNX Runtime computes it by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import tree
from shoestring.artifact.format import file
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.file import Content, Entries
from shoestring.artifact.format.graph import Graph, Port
from shoestring.artifact.format.tensors import ELEMENTS, Tensor
from shoestring.artifact.runtime.segments import cut
from shoestring.artifact.runtime.session import (
    OnnxSession,
    Runtime,
    Session,
    checked,
    first_line,
    session,
)
from shoestring.artifact.wire import ShoeError


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime on the processor. Files may be anybody's: time and memory are bounded.

    Layers of signs (`docs/binary.md`) are computed by kernels of ours between its runs, where
    llvmlite is installed (the extra `fast`); otherwise by ONNX Runtime, as convolutions and
    products of numbers that are -1 or +1.
    """

    def start(self, graph: Graph, tensors: list[Tensor], threads: int | None) -> Session:
        """The graph ready to run, in segments where kernels of ours have something to do.

        Raises ShoeError.
        """
        return cut(graph, tensors, threads) or OnnxSession(session(graph, tensors, threads))


ONNX_RUNTIME = OnnxRuntime()


class Loaded:
    """A file that runs.

    Call it as the module was called: it returns the module's structure, with numpy arrays in it.
    A file with several entries is called by the name of one, as the module was: `loaded.encode(x)`,
    or `loaded["encode"](x)`.
    `entries`: each of them by its name, a Loaded of its own with `inputs`, `outputs` and `run`;
        empty where the file has one graph without a name.
    """

    def __init__(
        self,
        content: Content | Entries,
        *,
        threads: int | None = None,
        runtime: Runtime = ONNX_RUNTIME,
    ) -> None:
        """`threads`: how many a run may use, None for as many as there are cores.

        Raises ShoeError, ValueError for no threads.
        """
        if threads is not None and threads < 1:
            raise ValueError(
                f"threads is {threads}: give 1 or more, or None for as many as there are cores"
            )
        self.entries: Mapping[str, Loaded] = {}
        self.inputs, self.outputs = tuple[Port, ...](), tuple[Port, ...]()
        self._session: Session | None = None
        if isinstance(content, Entries):
            named = file.by_entry(content).items()
            self.entries = {
                name: Loaded(one, threads=threads, runtime=runtime) for name, one in named
            }
            return
        self.inputs, self.outputs = content.graph.inputs, content.graph.outputs
        self._arguments, self._structure = content.graph.arguments, content.graph.structure
        named_sizes = {size for port in self.inputs for size in port.shape if isinstance(size, str)}
        self._bounded = {
            text: axis for text in named_sizes if (axis := Axis.read(text)).name != text
        }
        self._session = checked(runtime).start(content.graph, content.tensors, threads)

    def __getattr__(self, name: str) -> Loaded:
        """The entry of this name."""
        entries: Mapping[str, Loaded] = self.__dict__.get("entries", {})
        if name in entries:
            return entries[name]
        known = f"; its entries are {', '.join(entries)}" if entries else ""
        raise AttributeError(
            f"a loaded file has no attribute {name!r}{known}{_near(name, entries)}"
        )

    def __getitem__(self, name: str) -> Loaded:
        """The entry of this name; raises KeyError."""
        if name not in self.entries:
            known = (
                f"its entries are {', '.join(self.entries)}"
                if self.entries
                else "it has one graph, which has no name: call it"
            )
            raise KeyError(f"this file has no entry {name!r}: {known}{_near(name, self.entries)}")
        return self.entries[name]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the module would return.

        Arguments that the example did not have as tensors are fixed and may be left out.
        """
        self._check_one()
        found: dict[int, Any] = {}
        positions, names = self._arguments
        if len(args) > len(positions) + len(names):
            raise TypeError(f"{len(args)} arguments were given; this file takes {self.signature()}")
        # What was a keyword in the example may come by position, after the others, and the other
        # way round.
        keywords = dict(
            zip(
                list(names)[: max(len(args) - len(positions), 0)],
                args[len(positions) :],
                strict=False,
            )
        )
        for place, (structure, value) in enumerate(zip(positions, args, strict=False)):
            found |= tree.match(structure, value, f"argument {place + 1}")
        for name, value in [*keywords.items(), *kwargs.items()]:
            place = next((i for i, port in enumerate(self.inputs) if port.name == name), None)
            if name not in names and place is None:
                known = dict.fromkeys([*names, *(port.name for port in self.inputs)])
                raise TypeError(
                    f"there is no argument {name!r}{_near(name, known)}; this file takes "
                    f"{self.signature()}"
                )
            given = tree.match(names.get(name, place), value, f"the argument {name!r}")
            if found.keys() & given.keys() or (name in keywords and name in kwargs):
                raise TypeError(
                    f"the argument {name!r} is given twice; this file takes {self.signature()}"
                )
            found |= given
        return tree.fill(self._structure, self._run(found))

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Outputs by name from inputs by name."""
        self._check_one()
        places = {port.name: place for place, port in enumerate(self.inputs)}
        unknown = [name for name in inputs if name not in places]
        if unknown:
            left = [name for name in places if name not in inputs]
            raise TypeError(
                f"there is no input {unknown[0]!r}{_near(unknown[0], left)}; this file takes "
                f"{self.signature()}"
            )
        results = self._run({places[name]: value for name, value in inputs.items()})
        return {port.name: value for port, value in zip(self.outputs, results, strict=True)}

    def signature(self) -> str:
        """The inputs in words: name, type and shape of each."""
        if self.entries:
            return "; ".join(f"{name}({one.signature()})" for name, one in self.entries.items())
        return (
            ", ".join(
                f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]"
                for p in self.inputs
            )
            or "no inputs"
        )

    def _check_one(self) -> None:
        """Raises TypeError where there are entries, of which one must be named."""
        if self.entries:
            calls = " or ".join(f".{name}(...)" for name in self.entries)
            raise TypeError(
                f"this file is called by the name of an entry, {calls}: it has {self.signature()}"
            )

    def _run(self, found: dict[int, Any]) -> list[np.ndarray]:
        assert self._session is not None
        feeds: dict[str, np.ndarray] = {}
        sizes: dict[str, int] = {}
        owners: dict[str, str] = {}  # of the lengths that inputs have in common
        for place, port in enumerate(self.inputs):
            if place not in found:
                raise TypeError(
                    f"the input {port.name!r} is missing; this file takes {self.signature()}"
                )
            feeds[port.name] = as_input(found[place], port.name, ELEMENTS[port.element][0])
            shape = feeds[port.name].shape
            fits = len(shape) == len(port.shape) and all(
                sizes.setdefault(want, have) == have if isinstance(want, str) else want == have
                for want, have in zip(port.shape, shape, strict=True)
            )
            if not fits:
                wanted = ", ".join(map(str, port.shape))
                known = [
                    f"{n} is {sizes[n]} as in {owners[n]!r}"
                    for n in port.shape
                    if isinstance(n, str) and n in owners
                ]
                where = f", where {' and '.join(known)}" if known else ""
                raise ValueError(
                    f"the input {port.name!r} has shape {list(shape)} and [{wanted}] is "
                    f"wanted{where}"
                )
            for name in port.shape:
                if isinstance(name, str):
                    owners.setdefault(name, port.name)
        for text, axis in self._bounded.items():
            if sizes[text] not in axis:
                raise ValueError(
                    f"the axis {axis.name!r} is {sizes[text]} long, and this file takes {text}: "
                    f"{self.signature()}"
                )
        try:
            return [np.asarray(value) for value in self._session.run(feeds)]
        except Exception as error:
            raise ShoeError(f"the graph failed while it ran: {first_line(error)}") from None


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    max_bytes: int = file.MAX_BYTES,
    runtime: Runtime = ONNX_RUNTIME,
) -> Loaded:
    """The file at `path`, ready to run on `threads` threads (None: all cores).

    A file with several entries: `load(path).encode(x)`. Each entry has a copy of the tensors that
    it reads in memory. Raises ShoeError for a file that is damaged or wants more than `max_bytes`
    of tensors, OSError for one that cannot be read. Nothing but what is in the file is ever loaded,
    and nothing in it is executed but operators from a list.
    `runtime`: `OpenVINO()` for another than ONNX Runtime, with the file of somebody whom you trust;
        see docs/runtimes.md.
    """
    return Loaded(file.read_model(path, max_bytes), threads=threads, runtime=runtime)


def _near(name: Any, names: Iterable[str]) -> str:
    """What was meant, perhaps."""
    near = get_close_matches(str(name), list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def as_input(value: Any, name: str, wanted: str) -> np.ndarray:
    """The value as an array of the wanted type.

    Numbers of the same kind are converted if they fit, others refused.
    """
    try:
        values = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the input {name!r} is no array ({error}) and {wanted} is wanted"
        ) from None
    if (
        values.dtype.name == wanted and values.dtype.isnative
    ):  # runtimes do not look at the order of bytes
        return np.ascontiguousarray(values).reshape(values.shape)
    same = {"f": "f", "i": "iu", "u": "iu", "b": "b"}.get(values.dtype.kind, "")
    if wanted == "bfloat16" or np.dtype(wanted).kind not in same:
        raise TypeError(
            f"the input {name!r} is of type {values.dtype.name} and {wanted} is wanted: if its "
            "numbers mean the same, convert it, as "
            f"with .astype({wanted!r})"
        )
    limits = np.iinfo(wanted) if same == "iu" else None
    if (
        limits
        and values.size
        and not limits.min <= int(values.min()) <= int(values.max()) <= limits.max
    ):
        raise ValueError(
            f"the input {name!r} has numbers that {wanted} cannot hold ({values.min()} to "
            f"{values.max()})"
        )
    with np.errstate(over="ignore"):
        return values.astype(wanted, order="C")
