"""The steps from raw inputs to an input of a network, and their description in a file.

A file has the description in its notes, under the key `KEY`, as JSON: the number of the input, of
each step its kind and its fields, and the labels of the scores where there are some.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from shoestring.artifact.chains.bracketed_words import BracketedWords
from shoestring.artifact.chains.bracketing import TURNS
from shoestring.artifact.chains.byte_prefix import BytePrefix
from shoestring.artifact.chains.hashed_characters import HashedCharacters
from shoestring.artifact.chains.hashed_ngrams import HashedNgrams, is_text
from shoestring.artifact.chains.hashed_text import HashedText
from shoestring.artifact.chains.hashed_words import HashedWords
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.artifact.chains.picture import Picture
from shoestring.artifact.chains.text_steps import TextStep
from shoestring.artifact.wire import ShoeError

KEY = "input chain"
"""The key of the note."""
Step = (
    LogMel
    | HashedNgrams
    | HashedWords
    | HashedCharacters
    | HashedText
    | BracketedWords
    | BytePrefix
    | Picture
    | Normalise
)
_KINDS: dict[str, type[Step]] = {
    "log_mel": LogMel,
    "hashed_ngrams": HashedNgrams,
    "hashed_words": HashedWords,
    "hashed_characters": HashedCharacters,
    "hashed_text": HashedText,
    "bracketed_words": BracketedWords,
    "byte_prefix": BytePrefix,
    "picture": Picture,
    "normalise": Normalise,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_LATER: dict[type[Step], set[str]] = {HashedText: {"scripts", "script_of"}}
"""Fields that files of earlier programs lack: where they are empty, they are not written."""
_MOST_STEPS = 8
_LONGEST = 1 << 18  # characters of a description
_MOST_LABELS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class InputChain:
    """Steps one after the other: raw inputs go into the first, the last gives the network's input.

    `steps`: 1 to 8; only Normalise can be another than the first.
    `input`: which of the network's inputs it makes, from 0.
    `labels`: what each of the network's scores stands for, all different and without control
        characters, where the first step is a TextStep or a Picture; (): the file does not say, and
        texts give scores.

    Raises ValueError for other fields.
    """

    steps: tuple[Step, ...]
    input: int = 0
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.steps, tuple) or not 1 <= len(self.steps) <= _MOST_STEPS:
            raise ValueError(f"an input chain has 1 to {_MOST_STEPS} steps, in a tuple")
        if type(self.input) is not int or not 0 <= self.input < 1024:
            raise ValueError("the input of an input chain is a number from 0")
        for step in self.steps:
            if type(step) not in _NAMES:
                raise ValueError(
                    f"{type(step).__name__} is no step of an input chain: there are "
                    f"{', '.join(kind.__name__ for kind in _NAMES)}"
                )
        for step in self.steps[1:]:
            if not isinstance(step, Normalise):
                raise ValueError(f"{type(step).__name__} can only be the first step")
        if self.takes_texts and len(self.steps) > 1:
            name = type(self.steps[0]).__name__
            raise ValueError(f"ids of pieces of texts are not normalised: {name} stands alone")
        self._check_labels()
        shape = self.shape
        if shape is not None:
            self.shape_of(shape)

    def _check_labels(self) -> None:
        labels = self.labels
        if not isinstance(labels, tuple) or not all(isinstance(one, str) for one in labels):
            raise ValueError("the labels of an input chain are texts, in a tuple")
        if labels and not isinstance(self.steps[0], TextStep | Picture):
            raise ValueError(f"{type(self.steps[0]).__name__} has no use for labels")
        if isinstance(self.steps[0], BracketedWords) and labels not in ((), TURNS):
            raise ValueError(f"labels of BracketedWords are {TURNS}, and these are {labels[:4]}")
        step = self.steps[0]
        if labels and isinstance(step, HashedText) and len(step.script_of) not in (0, len(labels)):
            raise ValueError(
                f"script_of has {len(step.script_of):,} numbers for {len(labels):,} labels: it "
                "has one for each"
            )
        if broken := [one for one in labels if any(map(_breaks_lines, one))]:
            raise ValueError(
                f"the label {broken[0][:40]!r} has a line end or another control character: "
                "answers are lines, so leave it out"
            )
        if len(labels) > _MOST_LABELS or len(set(labels)) < len(labels):
            raise ValueError(
                f"an input chain has up to {_MOST_LABELS:,} labels, all different: these are "
                f"{len(labels):,}, of which {len(set(labels)):,} differ"
            )

    @property
    def takes_texts(self) -> bool:
        """Whether raw inputs are texts."""
        return isinstance(self.steps[0], HashedNgrams | TextStep)

    @property
    def takes_pictures(self) -> bool:
        """Whether raw inputs are paths of pictures."""
        return isinstance(self.steps[0], Picture)

    @property
    def job(self) -> str | None:
        """What is answered to texts: "tag", for example; None where texts give scores."""
        step = self.steps[0]
        if not isinstance(step, TextStep):
            return None
        return step.job if self.labels or step.carries_state else None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of the input that it makes of one raw input; None: as the raw input's."""
        return None if isinstance(self.steps[0], Normalise) else self.steps[0].shape_of(())

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an input, given that of raw inputs; raises ValueError where none fits."""
        for step in self.steps:
            shape = step.shape_of(shape)
        return shape

    def is_raw(self, value: Any) -> bool:
        """Whether a value is unmistakably a raw input: a text, where the chain takes texts."""
        return self.takes_texts and is_text(value)

    def __call__(self, raw: Any) -> np.ndarray:
        """The network's input, given raw inputs in a batch; raises ValueError for others."""
        for step in self.steps:
            raw = step(raw)
        return raw

    def __str__(self) -> str:
        return " > ".join(map(_said, self.steps))

    def notes(self) -> dict[str, str]:
        """The note of a file that has this chain."""
        steps = [
            {"kind": _NAMES[type(step)]}
            | {
                one.name: getattr(step, one.name)
                for one in fields(step)
                if _written(step, one.name)
            }
            for step in self.steps
        ]
        content: dict[str, Any] = {"input": self.input, "steps": steps}
        if self.labels:
            content["labels"] = self.labels
        return {KEY: json.dumps(content, separators=(",", ":"), allow_nan=False)}


def _written(step: Step, name: str) -> bool:
    return name not in _LATER.get(type(step), ()) or bool(getattr(step, name))


def _breaks_lines(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def _said(step: Step) -> str:
    def short(value: Any) -> str:
        if isinstance(value, tuple) and len(value) > 3:
            return f"{len(value)} numbers"
        return repr(value[0] if isinstance(value, tuple) and len(value) == 1 else value)

    told = ", ".join(f"{one.name}={short(getattr(step, one.name))}" for one in fields(step))
    return f"{type(step).__name__}({told})"


def input_chain_of(notes: Mapping[str, str]) -> InputChain | None:
    """The chain in the notes of a file; None where it has none.

    Raises ShoeError for a description that is damaged, is longer than any, or has a step of a kind
    or with a field that this program does not know.
    """
    if (text := notes.get(KEY)) is None:
        return None
    if len(text) > _LONGEST:
        raise ShoeError(f"damaged file: its input chain has {len(text):,} characters, too many")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ShoeError("damaged file: its input chain is no JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get("steps"), list):
        raise ShoeError("damaged file: its input chain has no steps")
    if more := content.keys() - {"input", "steps", "labels"}:
        raise _newer(f"{min(more)[:40]!r}")
    if len(content["steps"]) > _MOST_STEPS:
        raise ShoeError(f"damaged file: its input chain has over {_MOST_STEPS} steps")
    steps = tuple(_step(one) for one in content["steps"])
    labels = content.get("labels", [])
    if not isinstance(labels, list):
        raise ShoeError("damaged file: the labels of its input chain are no list")
    try:
        return InputChain(steps=steps, input=content.get("input", 0), labels=tuple(labels))
    except ValueError as error:
        raise ShoeError(f"damaged file: its input chain: {error}") from None


def _step(content: Any) -> Step:
    """A step of a description."""
    if not isinstance(content, dict) or not isinstance(name := content.get("kind"), str):
        raise ShoeError("damaged file: a step of its input chain has no kind")
    if name not in _KINDS:
        raise _newer(f"a step of the kind {name[:40]!r}")
    kind = _KINDS[name]
    known = {one.name for one in fields(kind)}
    values = {key: value for key, value in content.items() if key != "kind"}
    if more := values.keys() - known:
        raise _newer(f"{name} with {min(more)[:40]!r}")
    if missing := known - values.keys() - _LATER.get(kind, set()):
        raise ShoeError(f"damaged file: in its input chain, {name} has no {min(missing)}")
    given: dict[str, Any] = {
        key: tuple(one) if isinstance(one, list) else one for key, one in values.items()
    }
    try:
        return kind(**given)
    except ValueError as error:
        raise ShoeError(f"damaged file: in its input chain, {name}: {error}") from None


def _newer(what: str) -> ShoeError:
    return ShoeError(
        f"the file's input chain has {what}, which this program does not know: update it"
    )
