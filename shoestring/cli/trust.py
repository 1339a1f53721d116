"""The commands that say whose a file is: describe, sign and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.ending import writing
from shoestring.cli.files import plainly

File = Annotated[Path, typer.Argument(help="a .shoe file", show_default=False)]
Key = Annotated[
    Path, typer.Option(help="an Ed25519 key, a PEM file without a password", show_default=False)
]


def describe(
    file: File,
    licence: Annotated[
        str | None, typer.Option(help='such as "Apache-2.0"; "" removes it', show_default=False)
    ] = None,
    note: Annotated[
        str | None, typer.Option(help='a text for readers; "" removes it', show_default=False)
    ] = None,
) -> None:
    """Show the licence, the note and the signature of a file, or write them into it."""
    from shoestring.artifact import save
    from shoestring.artifact.format import about, indexed
    from shoestring.artifact.format.describing import about_of, described
    from shoestring.artifact.format.saving import check_file
    from shoestring.artifact.locks import rewriting

    check_file(file)
    given = {about.LICENCE: licence, about.NOTE: note}
    changes = {key: text or None for key, text in given.items() if text is not None}
    if not changes:
        data = file.read_bytes()
    else:
        writing(file)
        with rewriting(file):
            before = file.read_bytes()
            data = described(before, notes=changes)
            save(file, data)
        print(f"{file}: {len(data):,} bytes, {len(data) - len(before):+,}")
        if _kind(before) != indexed.UNSIGNED:
            print("its signature was that of the file before, and is gone: `sign` it again")
    _, notes = about_of(data)
    for key in given:
        print(f"{key}: {plainly(notes.get(key, '(none)'))}")
    signature = (
        "none" if _kind(data) == indexed.UNSIGNED else "Ed25519; `verify` checks it with a key"
    )
    print(f"signature: {signature}")


def _kind(data: bytes) -> int:
    """The kind of the signature of a file."""
    from shoestring.artifact.format import indexed

    if data[4:5] != bytes([indexed.VERSION]):
        return indexed.UNSIGNED
    return indexed.signature(memoryview(data))[0]


def sign(file: File, key: Key) -> None:
    """Sign a file with a private key; `verify` checks it with the public one.

    `openssl genpkey -algorithm ed25519 -out private.pem` makes a key, and
    `openssl pkey -in private.pem -pubout -out public.pem` the public one.
    """
    from shoestring.artifact import save
    from shoestring.artifact.format.describing import private_key, signed
    from shoestring.artifact.format.saving import check_file
    from shoestring.artifact.locks import rewriting

    check_file(file)
    private = private_key(key.read_bytes())
    writing(file)
    with rewriting(file):
        data = signed(file.read_bytes(), private)
        save(file, data)
    print(f"{file}: {len(data):,} bytes, signed")


def verify(file: File, key: Key) -> None:
    """Check that a file was signed by the owner of a public key, and not changed since."""
    from shoestring.artifact.format.describing import public_key
    from shoestring.artifact.format.describing import verify as check
    from shoestring.artifact.format.saving import check_file

    check_file(file)
    check(file.read_bytes(), public_key(key.read_bytes()))
    print(f"{file}: signed by the owner of {key}, and not changed since")
