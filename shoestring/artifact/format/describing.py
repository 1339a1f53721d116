"""Adds names, notes and a signature to a file; its graphs and tensors stay as they are."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from shoestring.artifact.errors import missing
from shoestring.artifact.format import about, file, indexed
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.tensors import MOST_TENSORS
from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze, unsqueeze

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_EXTRA = "sign"


def about_of(data: bytes) -> tuple[tuple[str, ...], dict[str, str]]:
    """(the names of the tensors, the notes) of a file; no tensor and no graph is read.

    Raises ShoeError for a damaged file.
    """
    bodies, version = file.sections(data), data[4]
    if not len(bodies[file.NAMES]):
        return (), {}
    listed = Reader(file.read_list(bodies[file.HEADERS], version), "tensor list")
    return about.decode(bodies[file.NAMES], listed.varint(MOST_TENSORS), version)


def described(
    data: bytes,
    *,
    names: Sequence[str] | None = None,
    notes: Mapping[str, str | None] | None = None,
) -> bytes:
    """The file with these names and notes besides those that it has, in version 4.

    A signature is removed, since it would not be that of the new file.
    `data`: the file, of any version but 1.
    `names`: of the tensors; None: as they are; (): none, for a model.
    `notes`: texts by key; a text of None removes the note.
    Raises ValueError for names that do not fit, and ShoeError for a damaged file.
    """
    bodies, version = dict(file.sections(data)), data[4]
    if version == 1:
        raise ShoeError(
            "this file is of version 1: write it again with `save`, which makes a newer one"
        )
    listed = Reader(file.read_list(bodies[file.HEADERS], version), "tensor list")
    count = listed.varint(MOST_TENSORS)
    had, kept = about_of(data)
    given = had if names is None else tuple(names)
    if len(set(given)) < len(given):
        raise ValueError("two tensors have the same name")
    absent = not given and len(bodies[file.GRAPH]) > 0
    if not absent and len(given) != count:
        raise ValueError(f"there are {len(given)} names for {count} tensors")
    texts = {key: text for key, text in {**kept, **(notes or {})}.items() if text is not None}
    bodies[file.NAMES] = memoryview(about.encode(given, texts, indexed.VERSION))
    if version < file.ENTRIES_VERSION and len(bodies[file.GRAPH]):
        bodies[file.GRAPH] = memoryview(_unnamed(bodies[file.GRAPH]))
    nothing = memoryview(b"")
    made = file.framed({**dict.fromkeys(file.SECTIONS, nothing), **bodies}, indexed.VERSION)
    if version < indexed.VERSION:
        _check_work(made)
    return made


def _check_work(data: bytes) -> None:
    """Raises ShoeError for a file of version 4 that asks for more work than its version allows."""
    try:
        file.unpack_any(data, 1 << 62)
    except ShoeError as error:
        raise ShoeError(
            f"this file is older than the limit on work, and stays as it is ({error}); write it "
            "again with `save` or `pack`"
        ) from None


def with_names(data: bytes, members: Sequence[str], notes: Mapping[str, str]) -> bytes:
    """The file of a model with these notes and the names of its tensors.

    `members`: the names of the module's distinct parameters and buffers, in its order; (): none.
    Constants of the graph are numbered.
    """
    number = count(1)
    tensors = file.unpack_any(data, 1 << 62, read=indexed.not_read).tensors if members else []
    names = [
        f"constant {next(number)}" if tensor.member is None else members[tensor.member]
        for tensor in tensors
    ]
    return described(data, names=names, notes=notes)


def _unnamed(body: memoryview) -> bytes:
    """The section of the graphs of version 4, for the graph of version 2 in a section."""
    graph = unsqueeze(body, "graph", file.LARGEST_GRAPH, DICTIONARY)
    out = Writer()
    out.varint(1)
    out.text("")
    out.varint(len(graph))
    out += graph
    return squeeze(bytes(out), DICTIONARY)


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """The private Ed25519 key in a PEM file.

    Raises ValueError for anything else, and ModuleNotFoundError where the extra `sign` is missing.
    """
    key = _key(pem)
    if isinstance(key, _ed25519().Ed25519PrivateKey):
        return key
    raise ValueError("this is a public key: a file is signed with the private one")


def public_key(pem: bytes) -> Ed25519PublicKey:
    """The public Ed25519 key in a PEM file, or the one that belongs to the private key in it.

    Raises as `private_key` does.
    """
    key = _key(pem)
    return key.public_key() if isinstance(key, _ed25519().Ed25519PrivateKey) else key


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise missing("cryptography", extra=_EXTRA, what="signatures") from None
    return ed25519


def _key(pem: bytes) -> Any:
    kinds = _ed25519()
    from cryptography.hazmat.primitives import serialization

    try:
        if b"PRIVATE KEY" in pem:
            key = serialization.load_pem_private_key(pem, None)
        else:
            key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError) as error:
        why = str(error).partition(".")[0]
        raise ValueError(f"this is no key in PEM without a password: {why}") from None
    if not isinstance(key, kinds.Ed25519PrivateKey | kinds.Ed25519PublicKey):
        raise ValueError(
            "this key is not of Ed25519: make one with `openssl genpkey -algorithm ed25519`"
        )
    return key


def signed(data: bytes, key: Ed25519PrivateKey) -> bytes:
    """The file with a signature by this key, in place of the one that it has.

    Raises ShoeError for a damaged file.
    """
    region = file.sections(data).get(file.REGION, memoryview(b""))

    def checked(tensor: indexed.Blocks) -> np.ndarray:
        for block in tensor.parts:
            if zlib.crc32(region[block.begin : block.begin + block.length]) != block.checksum:
                raise ShoeError("damaged file: the checksum of a block is wrong; nothing is signed")
        return indexed.not_read(tensor)

    file.unpack_any(data, 1 << 62, read=checked)
    if data[4] != indexed.VERSION:
        data = described(data)
    message = indexed.signed_part(memoryview(data))
    return indexed.with_signature(data, indexed.ED25519, key.sign(message))


def verify(data: bytes, key: Ed25519PublicKey) -> None:
    """Raises ShoeError where the file is not signed by the private key that belongs to this one."""
    from cryptography.exceptions import InvalidSignature

    file.sections(data)
    if data[4] != indexed.VERSION or indexed.signature(memoryview(data))[0] == indexed.UNSIGNED:
        raise ShoeError("this file is not signed: nobody vouches for it")
    _, given = indexed.signature(memoryview(data))
    try:
        key.verify(bytes(given), indexed.signed_part(memoryview(data)))
    except InvalidSignature:
        raise ShoeError(
            "the signature is not by this key, or the file was changed since it was signed: do "
            "not trust it"
        ) from None
