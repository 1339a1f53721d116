"""Checks of the numbers of a description, which may come from a hostile file."""

from __future__ import annotations

from typing import Any


def whole(name: str, value: Any, least: int, most: int) -> None:
    """Raise ValueError where a value is no integer from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {_cut(value)}: it must be an integer, {least:,} to {most:,}")


def number(name: str, value: Any, least: float, most: float) -> None:
    """Raise ValueError where a value is no finite number from `least` to `most`."""
    if type(value) not in (int, float) or not least <= value <= most:  # NaN is in no range
        raise ValueError(f"{name} is {_cut(value)}: it must be a number, {least:g} to {most:g}")


def numbers(name: str, values: Any, least: float, most: float, longest: int) -> None:
    """Raise ValueError where values are no tuple of 1 to `longest` numbers in a range."""
    if not isinstance(values, tuple) or not 1 <= len(values) <= longest:
        raise ValueError(f"{name} must be a tuple of 1 to {longest:,} numbers")
    for value in values:
        number(name, value, least, most)


def _cut(value: Any) -> str:
    if type(value) is int and value.bit_length() > 256:
        return "a very long integer"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text):,} characters)"
