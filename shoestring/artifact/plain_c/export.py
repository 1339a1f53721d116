"""Writes the contents of a file as C."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoestring.artifact.format.about import LICENCE
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.file import Content
from shoestring.artifact.plain_c.c_text import comment, identifier
from shoestring.artifact.plain_c.emit import Emitted, emitted
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Network, Product
from shoestring.artifact.plain_c.lowering import lowered, on_a_grid
from shoestring.artifact.plain_c.promises import not_promised
from shoestring.artifact.plain_c.sequences import Recurrent
from shoestring.artifact.plain_c.weight_source import Decoded, WeightStorage
from shoestring.artifact.runtime.raw_inputs import checked_input_chain

FREE = (
    "SPDX-License-Identifier: 0BSD",
    "What shoestring wrote here, its decoder included, may be used without any condition.",
)
"""What the comment at the head of every file says of its licence."""


@dataclass(frozen=True, kw_only=True)
class CFile:
    """A network as C.

    `name`: what its names begin with.
    `text`: the C file. `header`: the header; None: the declarations are in the C file.
    `emitted`: the arguments, the memory plan and how weights are stored.
    `network`: the layers.
    """

    name: str
    text: str
    header: str | None
    emitted: Emitted
    network: Network

    def said(self) -> list[str]:
        """What a reader should know, in whole sentences."""
        fixed = _fixed(self.network)
        sentences = [f"The shape is fixed: {fixed}."] if fixed else []
        products = [one for one in self.network.layers if isinstance(one, Product | Recurrent)]
        floats = [one for one in products if isinstance(one, Recurrent) or one.zero is None]
        if 2 * sum(one.multiplications for one in floats) > sum(
            one.multiplications for one in products
        ):
            sentences.append(
                "It computes in floating point: on a core without a unit for that, a product takes "
                "about 80 instructions, and 6 in integers, which PostTraining makes."
            )
        return [*sentences, *self.network.remarks, *not_promised(self.network)]


def written_from(data: bytes, version: str) -> str:
    """Where a C file comes from, as a line for its `heading`; the same each time.

    `data`: the bytes of the `.shoe` file. `version`: that of shoestring.
    """
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"Shoestring {version}; the sha256 of its .shoe file begins with {digest}."


def export_c(
    content: Content,
    *,
    name: str = "model",
    weights: WeightStorage = Decoded(),  # noqa: B008
    axes: Mapping[str, int] | None = None,
    reuse_inputs: bool = True,
    integer_inputs: bool = False,
    header: bool = False,
    raw_inputs: bool = True,
    heading: Sequence[str] = (),
) -> CFile:
    """A file as C99: one file, no allocation, buffers planned beforehand.

    `content`: what `read` returns, or an entry of `by_entry`.
    `name`: what names begin with; characters that no C name has become underscores.
    `weights`: how weights that are few small integers are kept: `Decoded()`, `Packed()`, `Coded()`.
    `axes`: the lengths of axes that vary, by name; the batch is 1.
    `reuse_inputs`: whether `NAME_run` may write over its inputs, which saves RAM.
    `integer_inputs`: whether `NAME_run` takes inputs as integers of 8 bits, on the grid on which
        the network puts them first; the macros NAME_INPUT_SCALE and NAME_INPUT_ZERO have it.
    `header`: whether the declarations go into a header of their own.
    `raw_inputs`: whether the C has the file's input chain too, where it has one: `NAME_begin`,
        `NAME_feed` and `NAME_finish`. A quantised network then takes integers, as with
        `integer_inputs`.
    `heading`: lines for the comment at the head of the C and of the header, such as what
        `written_from` tells.
    Raises NoPlainC for what there is no C for, with the operator and its place, and ValueError for
    a length that an axis cannot have.
    """
    chain = checked_input_chain(content) if raw_inputs else None
    if chain is not None and len(content.graph.inputs) > 1:
        raise NoPlainC(
            f"the network has {len(content.graph.inputs)} inputs and an input chain for one: there "
            "is no C for that; export it without the chain (--no-input-chain)"
        )
    network = lowered(
        content,
        axes or {},
        integer_inputs=integer_inputs or (chain is not None and on_a_grid(content, axes or {})),
    )
    prefix = identifier(name).rstrip("_") or "model"
    first = _first(prefix, content, heading)
    fixed = [f"The shape is fixed: {text}."] if (text := _fixed(network)) else []
    out = emitted(
        network,
        prefix,
        weights,
        reuse_inputs=reuse_inputs,
        heading=(*first, *fixed),
        header=f"{prefix}.h" if header else None,
        input_chain=chain,
    )
    return CFile(
        name=prefix,
        text=out.text,
        header=_header(prefix, out, first) if header else None,
        emitted=out,
        network=network,
    )


def _first(prefix: str, content: Content, heading: Sequence[str]) -> list[str]:
    """The first lines of a file: what it is, where it comes from, and its licence."""
    lines = [f"{prefix}: a neural network, written by shoestring.", *heading, *FREE]
    if LICENCE in content.notes:
        lines.append(f"Its file says of the network's own licence: {content.notes[LICENCE][:200]}")
    return lines


def _fixed(network: Network) -> str:
    return ", ".join(f"{Axis.read(text).name} = {length}" for text, length in network.fixed)


def _header(prefix: str, out: Emitted, first: Sequence[str]) -> str:
    guard = f"{prefix.upper()}_H"
    return "\n".join(
        [
            comment(first).rstrip(),
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            out.declarations,
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            f"#endif /* {guard} */",
            "",
        ]
    )
