"""What cannot be written as C."""

from __future__ import annotations

from shoestring.artifact.wire import ShoeError


class NoPlainC(ShoeError):
    """A file, or a part of it, that there is no C for; the message names the operator and layer."""
