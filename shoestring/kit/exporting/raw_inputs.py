"""The task's input chain goes into the file."""

from __future__ import annotations

from dataclasses import replace

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.format.file import Content
from shoestring.artifact.runtime.raw_inputs import checked_input_chain
from shoestring.artifact.wire import ShoeError
from shoestring.kit.exporting.joining import Exported
from shoestring.kit.tracing.example import ExportError


def with_input_chain(exported: Exported, chain: InputChain) -> Exported:
    """The export with the description of a chain.

    Raises ExportError where the chain makes none of the graph's inputs.
    """
    if exported.graphs.keys() != {""}:
        raise ExportError(
            f"the task has an input chain and the model has entries ({', '.join(exported.graphs)}):"
            " a chain is for a model that is one graph; leave it out of the task"
        )
    described = replace(exported, notes={**exported.notes, **chain.notes()})
    try:
        checked_input_chain(Content(exported.graph, [], notes=described.notes))
    except ShoeError as error:
        told = str(error).removeprefix("damaged file: ")
        raise ExportError(f"the task's input chain does not fit its model: {told}") from None
    return described
