"""Runs a file without torch.

A loaded file is called like the module, with arrays or tensors. By default it runs on ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact import tree
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.text_steps import TextStep, texts_of
from shoestring.artifact.format import file
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.file import Content, Entries
from shoestring.artifact.format.graph import Graph, Port
from shoestring.artifact.format.tensors import ELEMENTS, Tensor
from shoestring.artifact.runtime import load_limits
from shoestring.artifact.runtime.raw_inputs import checked_input_chain, checked_step
from shoestring.artifact.runtime.segments import cut
from shoestring.artifact.runtime.session import (
    Feeds,
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
    """ONNX Runtime on the processor. Files may be hostile, so time and memory are bounded.

    A graph of more than about 2,000 nodes, tensors and constants, with few bytes of tensors (the
    number grows with the root of the megabytes), loads without being optimised, and runs more
    slowly. One of more than 24,576, and as many for each megabyte, is refused. See docs/format.md.

    Where llvmlite is installed (the extra `fast`), our own kernels compute layers of signs
    (`docs/binary.md`) between its runs. Otherwise ONNX Runtime computes them, as convolutions and
    matrix products of numbers that are -1 or +1.
    """

    def start(self, graph: Graph, tensors: list[Tensor], threads: int | None) -> Session:
        """The graph ready to run, in segments where it has layers for our own kernels.

        `threads`: how many threads a run may use; None: as many as there are cores.
        Raises ShoeError for a graph that ONNX Runtime cannot run.
        """
        return cut(graph, tensors, threads) or OnnxSession(session(graph, tensors, threads))


ONNX_RUNTIME = OnnxRuntime()


class Loaded:
    """A file that is ready to run.

    It is called like the module, and returns the same structure, with numpy arrays in it. In a file
    with several entries, one is called by its name: `loaded.encode(x)` or `loaded["encode"](x)`.
    `entries`: the entries by name, each a Loaded of its own; {} if the file has one graph, which
        has no name.
    `inputs`: the inputs, with names, types and shapes; () if the file has entries.
    `outputs`: the outputs, with names and types; () if the file has entries.
    `input_chain`: how raw inputs become one of the inputs (`from_raw`); None if the file does not
        say.
    """

    def __init__(
        self,
        content: Content | Entries,
        *,
        threads: int | None = None,
        runtime: Runtime = ONNX_RUNTIME,
    ) -> None:
        """Make a file's contents ready to run.

        `content`: the contents of the file.
        `threads`: how many threads a run may use, 1 or more; None: as many as there are cores.
        `runtime`: what runs the graph.
        Raises ShoeError for a graph that the runtime cannot run, ValueError for fewer than one
        thread, and TypeError for a `runtime` that is not a runtime.
        """
        if threads is not None and threads < 1:
            raise ValueError(
                f"threads is {threads}: give 1 or more, or None for as many as there are cores"
            )
        self.entries: Mapping[str, Loaded] = {}
        self.inputs, self.outputs = tuple[Port, ...](), tuple[Port, ...]()
        self.input_chain: InputChain | None = None
        self._session: Session | None = None
        if isinstance(content, Entries):
            named = file.by_entry(content).items()
            load_limits.check((entry.graph, entry.tensors) for _, entry in named)
            self.entries = {
                name: Loaded(entry, threads=threads, runtime=runtime) for name, entry in named
            }
            return
        self.inputs, self.outputs = content.graph.inputs, content.graph.outputs
        self.input_chain = checked_input_chain(content)
        self._arguments, self._structure = content.graph.arguments, content.graph.structure
        named_sizes = {size for port in self.inputs for size in port.shape if isinstance(size, str)}
        self._bounded = {
            text: axis for text in named_sizes if (axis := Axis.read(text)).name != text
        }
        self._session = checked(runtime).start(content.graph, content.tensors, threads)

    def __getattr__(self, name: str) -> Loaded:
        """The entry of this name; raises AttributeError."""
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
        """What the module would return, as numpy arrays.

        Where the file's input chain takes texts, texts in the place of its input go through it.
        Where the chain also has labels, a list of texts gives a list of answers, and one text one
        (docs/text-tools.md).
        Arguments are given by position or by name. The name of an input is a name too. Arguments
        that were no tensors in the example are fixed, and may be left out.
        Raises TypeError for arguments that are missing, unknown, given twice, nested differently or
        of another type, ValueError for another shape or integers that do not fit the type, and
        ShoeError where the graph fails.
        """
        self._check_single()
        if len(args) == 1 and not kwargs and self._answers(args[0]):
            found = self.answers([args[0]] if isinstance(args[0], str) else args[0])
            return found[0] if isinstance(args[0], str) else found
        values: dict[int, Any] = {}
        positions, names = self._arguments
        if len(args) > len(positions) + len(names):
            raise TypeError(f"{len(args)} arguments were given; this file takes {self.signature()}")
        # An argument that had a name in the example may come by position, after the others.
        keywords = dict(
            zip(
                list(names)[: max(len(args) - len(positions), 0)],
                args[len(positions) :],
                strict=False,
            )
        )
        for position, (structure, value) in enumerate(zip(positions, args, strict=False), 1):
            values |= tree.match(structure, value, f"argument {position}")
        for name, value in [*keywords.items(), *kwargs.items()]:
            index = next((i for i, port in enumerate(self.inputs) if port.name == name), None)
            if name not in names and index is None:
                known = dict.fromkeys([*names, *(port.name for port in self.inputs)])
                raise TypeError(
                    f"there is no argument {name!r}{_near(name, known)}; this file takes "
                    f"{self.signature()}"
                )
            given = tree.match(names.get(name, index), value, f"the argument {name!r}")
            if values.keys() & given.keys() or (name in keywords and name in kwargs):
                raise TypeError(
                    f"the argument {name!r} is given twice; this file takes {self.signature()}"
                )
            values |= given
        return tree.fill(self._structure, self._run(values))

    def answers(self, texts: Sequence[str], **settings: Any) -> list[Any]:
        """The answer to each text: its words with tags, its words, its label or its completions.

        `settings`: of the `answers` of the chain's step, such as `spaces=True` for HashedWords.
        Raises TypeError where the file has no labels for texts, and ValueError for other inputs.
        """
        chain = self.input_chain
        step = None if chain is None else chain.steps[0]
        if chain is None or not isinstance(step, TextStep) or chain.job is None:
            raise TypeError(
                f"this file has no answers to texts: it takes {self.signature()}; a file that a "
                "tagger, a segmenter or an identifier was saved in has"
            )
        run: Any = self.stepped if step.carries_state else self.scores_of_ids
        return step.answers(texts_of(texts), chain.labels, run, **settings)

    def _answers(self, value: Any) -> bool:
        chain = self.input_chain
        return chain is not None and chain.job is not None and chain.is_raw(value)

    def scores_of_ids(self, made: np.ndarray) -> np.ndarray:
        """The first output, given the only input: the array that the chain's first step makes.

        Raises ShoeError where the scores are not as many as the chain's labels.
        """
        (scores, *_) = self._run({0: made})
        assert self.input_chain is not None
        step, labels = self.input_chain.steps[0], len(self.input_chain.labels)
        wanted = step.scores(labels) if isinstance(step, TextStep) else labels
        if (found := scores.shape[-1]) != wanted:
            said = f", which have {wanted:,}" if wanted != labels else ""
            raise ShoeError(f"damaged file: it has {labels} labels{said} for {found} scores")
        return scores

    def stepped(self, ids: np.ndarray, state: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Scores N×K and the next states N×H, given an id of each text N and the states before it.

        `state`: None: zeros. Raises ShoeError where there is no score of each id.
        """
        if state is None:
            state = np.zeros((len(ids), int(self.inputs[1].shape[1])), np.float32)
        return checked_step(self.input_chain, len(ids), *self._run({0: ids, 1: state}))

    def from_raw(self, raw: Any, *args: Any, **kwargs: Any) -> Any:
        """What a call returns, given raw inputs in the place of one of the inputs.

        `raw`: a batch of sounds, texts or numbers, as the first step of `input_chain` takes them.
        `args`, `kwargs`: the other inputs, as a call takes them.
        Raises TypeError where the file has no input chain, ValueError for other raw inputs, and
        what a call raises.
        """
        self._check_single()
        chain = self.input_chain
        if chain is None:
            raise TypeError(
                f"this file has no input chain, so it takes no raw inputs but {self.signature()}"
            )
        made = chain(raw)
        if not args and not kwargs:
            return self(**{self.inputs[chain.input].name: made})
        given = list(args)
        given.insert(chain.input, made)
        return self(*given, **kwargs)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The outputs by name, given the inputs by name; raises as a call does."""
        self._check_single()
        indices = {port.name: index for index, port in enumerate(self.inputs)}
        unknown = [name for name in inputs if name not in indices]
        if unknown:
            left = [name for name in indices if name not in inputs]
            raise TypeError(
                f"there is no input {unknown[0]!r}{_near(unknown[0], left)}; this file takes "
                f"{self.signature()}"
            )
        results = self._run({indices[name]: value for name, value in inputs.items()})
        return {port.name: value for port, value in zip(self.outputs, results, strict=True)}

    def signature(self) -> str:
        """The name, type and shape of each input in words, such as `x: float32[N, 3]`."""
        if self.entries:
            return "; ".join(f"{name}({entry.signature()})" for name, entry in self.entries.items())
        return (
            ", ".join(
                f"{p.name}: {ELEMENTS[p.element][0]}[{', '.join(map(str, p.shape))}]"
                for p in self.inputs
            )
            or "no inputs"
        )

    def _check_single(self) -> None:
        """Raises TypeError where the file has entries, of which the call must name one."""
        if self.entries:
            calls = " or ".join(f".{name}(...)" for name in self.entries)
            raise TypeError(
                f"this file is called by the name of an entry, {calls}: it has {self.signature()}"
            )

    def _run(self, values: dict[int, Any]) -> list[np.ndarray]:
        """The outputs in order, given the inputs by index."""
        assert self._session is not None
        feeds = self._feeds(values)
        try:
            return [np.asarray(value) for value in self._session.run(feeds)]
        except Exception as error:
            raise ShoeError(f"the graph failed while it ran: {first_line(error)}") from None

    def _feeds(self, values: dict[int, Any]) -> Feeds:
        """The inputs by name, as arrays whose types and shapes are checked."""
        feeds: Feeds = {}
        sizes: dict[str, int] = {}  # of the axes that vary
        owners: dict[str, str] = {}  # the first input that has each of them
        for index, port in enumerate(self.inputs):
            if index not in values:
                raise TypeError(
                    f"the input {port.name!r} is missing; this file takes {self.signature()}"
                )
            value = values[index]
            chain = self.input_chain
            if chain is not None and chain.input == index and chain.is_raw(value):
                value = chain(value)
            feeds[port.name] = as_input(value, port.name, ELEMENTS[port.element][0])
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
        return feeds


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    max_bytes: int = file.MAX_BYTES,
    max_seconds: float | None = None,
    runtime: Runtime = ONNX_RUNTIME,
) -> Loaded:
    """The file at `path`, ready to run: `load(path)(x)`, or `load(path).encode(x)` for an entry.

    Nothing outside the file is loaded, and nothing in it is executed but operators from a list. In
    memory, each entry has its own copy of the tensors that it reads.
    `threads`: how many threads a run may use, 1 or more; None: as many as there are cores.
    `max_bytes`: the most memory that the tensors may take, in bytes.
    `max_seconds`: the most work that decoding may be, by the account in docs/format.md; None: 1 s,
        and 1 s for each MB of tensors. Raise both for a large file that you trust.
    `runtime`: `OnnxRuntime()`, or `OpenVINO()` for a file that you trust; see docs/runtimes.md.
    Raises ShoeError for a file that is damaged, needs more memory or cannot run, OSError for one
    that cannot be read, and ValueError for fewer than one thread.
    """
    return Loaded(file.read_model(path, max_bytes, max_seconds), threads=threads, runtime=runtime)


def _near(name: Any, names: Iterable[str]) -> str:
    """The words " (did you mean NAME?)" with the most similar name; "" if none is similar."""
    near = get_close_matches(str(name), list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def as_input(value: Any, name: str, wanted: str) -> np.ndarray:
    """The value as a C-contiguous array of the wanted type.

    `name`: what error messages call the input.
    `wanted`: the name of the type. Floats are converted to floats, and integers to integers if they
        fit.
    Raises TypeError for a value that is no array or of another kind, and ValueError for integers
    that do not fit.
    """
    try:
        values = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the input {name!r} is no array ({error}) and {wanted} is wanted"
        ) from None
    # Runtimes do not look at the byte order.
    if values.dtype.name == wanted and values.dtype.isnative:
        return np.ascontiguousarray(values).reshape(values.shape)
    same = {"f": "f", "i": "iu", "u": "iu", "b": "b"}.get(values.dtype.kind, "")
    if wanted == "bfloat16" or np.dtype(wanted).kind not in same:
        raise TypeError(
            f"the input {name!r} is of type {values.dtype.name} and {wanted} is wanted: if its "
            f"numbers mean the same, convert it, as with .astype({wanted!r})"
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
