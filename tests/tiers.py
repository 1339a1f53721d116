"""How much the tests do: a part of the repetitions by default, all of them under `--all`."""

from __future__ import annotations

EVERYTHING = False
"""Whether `--all` was given; tests/conftest.py sets it before any test file is imported."""


def repetitions(default: int, everything: int) -> int:
    """How often to repeat: `default` times, or `everything` times under `--all`."""
    assert default < everything
    return everything if EVERYTHING else default
