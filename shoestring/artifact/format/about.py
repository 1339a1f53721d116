"""The names of a file's tensors and its notes, in a section of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shoestring.artifact.wire import Reader, Writer, squeeze, unsqueeze

LARGEST = 1 << 24  # bytes, inflated
MOST_NOTES = 1 << 16
LICENCE, NOTE = "licence", "note"
"""The keys of the notes that a person writes."""


def encode(names: Sequence[str], notes: Mapping[str, str], version: int) -> bytes:
    """The section, deflated; b"" where there is nothing to say.

    `names`: of all tensors, or none in version 4.
    `notes`: texts by key.
    `version`: of the file.
    Raises ValueError for more than 16 MiB.
    """
    if version >= 4 and not names and not notes:
        return b""
    for text in (*names, *notes, *notes.values()):
        if not isinstance(text, str):
            raise ValueError(f"names, and the keys and values of notes, are texts: {text!r} is not")
    out = Writer()
    if version >= 4:
        out.varint(len(names))
    for name in names:
        out.text(name)
    out.varint(len(notes))
    for key, note in notes.items():
        out.text(key)
        out.text(note)
    if len(out) > LARGEST:
        raise ValueError("its names and notes take more than 16 MiB, which a file cannot hold")
    return squeeze(bytes(out))


def decode(body: memoryview, count: int, version: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """(the names of `count` tensors, or none in version 4; the notes by key).

    Raises ShoeError for invalid bytes.
    """
    if version >= 4 and not len(body):
        return (), {}
    reader = Reader(unsqueeze(body, "names", LARGEST), "names")
    if version >= 4 and (stated := reader.varint()) != count:
        if stated:
            raise reader.fail(f"there are {stated} names for {count} tensors")
        count = 0
    names = tuple(reader.text() for _ in range(count))
    notes = [(reader.text(), reader.text()) for _ in range(reader.varint(MOST_NOTES))]
    reader.end()
    if len(set(names)) < len(names) or len(dict(notes)) < len(notes):
        raise reader.fail("two tensors or two notes have the same name")
    return names, dict(notes)
