"""Files whose note promises completions and whose network cannot give them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from features_back import features_back

from shoestring.artifact import BytePrefix, InputChain, ShoeError
from shoestring.artifact.format.graph import Port
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.artifact.runtime.raw_inputs import checked_step

CHAIN = InputChain(steps=(BytePrefix(),))
STATES = Port("state", 1, ("N", 8))


def with_states(port: Port, outputs: int = 2):
    """A file with a byte and a state in, and `outputs` of them out."""
    content = features_back(CHAIN, ("N",), 7)
    graph = content.graph
    ends = tuple(replace(graph.outputs[0], name=f"o{at}") for at in range(outputs))
    graph = replace(
        graph, inputs=(graph.inputs[0], port), outputs=ends, results=(graph.results[0],) * outputs
    )
    return replace(content, graph=graph)


@pytest.mark.parametrize(
    "content",
    [
        features_back(CHAIN, ("N",), 7),  # no state
        with_states(replace(STATES, shape=("N", "H"))),  # one of unknown width
        with_states(replace(STATES, shape=("N", 1 << 20))),  # a very wide one
        with_states(STATES, outputs=1),  # none that comes out
    ],
)
def test_a_network_without_a_state_is_refused(content) -> None:
    with pytest.raises(ShoeError, match="needs a network that takes an id and a state"):
        Loaded(content)


def test_states_that_are_no_float32_are_refused() -> None:
    with pytest.raises(ShoeError, match="its states are no float32"):
        Loaded(with_states(replace(STATES, element=11)))


@pytest.mark.parametrize(("scores", "states"), [((2, 255), (2, 8)), ((2, 256), (1, 8))])
def test_scores_of_another_number_of_bytes_are_refused(scores, states) -> None:
    with pytest.raises(ShoeError, match="for 2 texts and 256 ids it has scores of"):
        checked_step(CHAIN, 2, np.zeros(scores), np.zeros(states))
