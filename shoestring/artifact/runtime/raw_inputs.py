"""The input chain of a file, checked against its graph."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import InputChain, input_chain_of
from shoestring.artifact.chains.text_steps import TextStep
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Port
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.artifact.wire import ShoeError

_MOST_STATES = 1 << 16  # numbers of the state of a text


def checked_input_chain(content: Content) -> InputChain | None:
    """The input chain of a file; None where it has none.

    Raises ShoeError for one that is damaged or unknown, or makes no input of the graph.
    """
    chain = input_chain_of(content.notes)
    if chain is None:
        return None
    ports = content.graph.inputs
    if chain.input >= len(ports):
        raise ShoeError(
            f"damaged file: its input chain makes input {chain.input}, and it has {len(ports)}"
        )
    wanted = ports[chain.input].shape
    _check_type(chain, ports[chain.input])
    _check_state(chain, content)
    if (shape := chain.shape) is not None and not (
        len(shape) == len(wanted)
        and all(
            isinstance(want, str) or want == have
            for have, want in zip(shape[1:], wanted[1:], strict=True)
        )
    ):
        raise ShoeError(
            f"damaged file: its input chain makes arrays of the shape {list(shape)}, and its input "
            f"{ports[chain.input].name} takes {list(wanted)}"
        )
    return chain


def _check_type(chain: InputChain, port: Port) -> None:
    """Raises ShoeError where an input cannot hold what its chain makes."""
    name = ELEMENTS[port.element][0]
    step = chain.steps[0]
    if isinstance(step, HashedNgrams | TextStep):
        largest = step.buckets if isinstance(step, HashedNgrams) else step.ids - 1
        fits = "int" in name and int(np.iinfo(name).max) >= largest
    else:
        fits = name in ("float16", "float32", "float64")
    if not fits:
        made = "ids" if chain.takes_texts else "float32"
        raise ShoeError(
            f"damaged file: its input chain makes {made}, and its input {port.name} takes {name}"
        )


def _check_state(chain: InputChain, content: Content) -> None:
    """Raises ShoeError where a chain needs a network with a state, and the file has another."""
    step = chain.steps[0]
    if not isinstance(step, TextStep) or not step.carries_state:
        return
    ports = content.graph.inputs
    states = ports[1].shape if len(ports) == 2 else ()
    width = states[1] if len(states) == 2 else ""
    fits = chain.input == 0 and len(content.graph.outputs) == 2
    if not (fits and isinstance(width, int) and 0 < width <= _MOST_STATES):
        raise ShoeError(
            "damaged file: its input chain needs a network that takes an id and a state of each "
            "text, and gives scores and a state"
        )
    if ELEMENTS[ports[1].element][0] != "float32":
        raise ShoeError("damaged file: its states are no float32")


def checked_step(
    chain: InputChain | None, count: int, scores: np.ndarray, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The scores and states of `count` texts, which a network with a state gave.

    Raises ShoeError where they are not a score of each id of each text, and a row of states.
    """
    step = None if chain is None else chain.steps[0]
    ids = step.ids if isinstance(step, TextStep) else 0
    if scores.shape != (count, ids) or state.shape[:1] != (count,):
        raise ShoeError(
            f"damaged file: for {count} texts and {ids} ids it has scores of the shape "
            f"{list(scores.shape)}, and states of {list(state.shape)}"
        )
    return scores, state
