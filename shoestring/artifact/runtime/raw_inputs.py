"""The input chain of a file, checked against its graph."""

from __future__ import annotations

from shoestring.artifact.chains.input_chain import InputChain, input_chain_of
from shoestring.artifact.format.file import Content
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
