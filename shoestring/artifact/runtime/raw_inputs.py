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
