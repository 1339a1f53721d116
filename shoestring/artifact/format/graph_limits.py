"""How much the graphs of a file may hold, so that any of them is read in less than a second.

The largest honest graphs that we have seen have 443 nodes, 318 constants, 953 references, 165 items
of lists and names of 25 bytes.
"""

from __future__ import annotations

MOST_NODES = 1 << 14
MOST_NAME = 256
"""The most bytes of a text in a graph: runtimes copy the name of an axis for each node."""
MOST_ITEMS = 1 << 10
"""The most items of a list in an attribute."""
DEEPEST = 16
"""The deepest nesting of arguments and results."""
MOST = {
    "inputs": 1 << 10,
    "outputs": 1 << 10,
    "axis names": 1 << 10,
    "constants": 1 << 14,
    "elements of constants": 1 << 17,
    "nodes": MOST_NODES,
    "references": 1 << 16,
    "outputs of nodes": 1 << 16,
    "attributes and items": 1 << 16,
    "parts of structures": 1 << 13,
}
"""The most that all graphs of a file may have together of each. The tensors of attributes are
constants. References are the inputs of nodes. Items are those of lists in attributes.
"""


class Tally:
    """Counts what the graphs of a file have together.

    `error`: the class of the error to raise: ShoeError while reading, ValueError while writing.
    """

    def __init__(self, error: type[ValueError]) -> None:
        self._error = error
        self._counts = dict.fromkeys(MOST, 0)

    def add(self, what: str, count: int) -> int:
        """Count so many more of something in MOST; returns `count`, raises the error for too many.

        A list is counted before it is read, so that nothing is made of one that is too long.
        """
        self._counts[what] += count
        if self._counts[what] > MOST[what]:
            raise self._error(
                f"the graph has {self._counts[what]:,} {what} (all entries together), and a file "
                f"may have {MOST[what]:,}: split the model into several files"
            )
        return count

    def items(self, count: int) -> int:
        """Count the items of a list in an attribute; returns `count`, raises as `add` does."""
        if count > MOST_ITEMS:
            raise self._error(
                f"an attribute has a list of {count:,} items, and a file may have {MOST_ITEMS:,} "
                "in one: give longer ones as tensors"
            )
        return self.add("attributes and items", count)

    def name(self, text: str) -> str:
        """The text itself; raises the error for one of more than MOST_NAME bytes."""
        if (length := len(text.encode())) > MOST_NAME:
            raise self._error(
                f"the name or text {text[:20]!r}... of a graph has {length:,} bytes, and a file "
                f"takes {MOST_NAME}: give a shorter one"
            )
        return text
