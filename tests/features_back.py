"""A file whose network gives back the features that its input chain makes."""

from __future__ import annotations

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Graph, Node, Port


def features_back(
    chain: InputChain | None, shape: tuple[int | str, ...], element: int = 1
) -> Content:
    """The content of the file; `element`: of the features, as ONNX numbers them."""
    graph = Graph(
        opset=20,
        inputs=(Port("x", element, shape),),
        weights=0,
        constants=(),
        nodes=(Node("Identity", (0,), 1, ()),),
        outputs=(Port("y", element),),
        results=(1,),
        arguments=((0,), {}),
        structure=0,
    )
    return Content(graph, [], notes={} if chain is None else chain.notes())
