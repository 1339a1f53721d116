"""The sizes that networks are made with are checked: how many channels, layers, classes."""

from __future__ import annotations


def check_count(network: str, name: str, value: int, least: int = 1) -> None:
    """Raise ValueError where an argument of a network is not an integer of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{network}({name}={value!r}): give an integer of {least} or more, such as "
            f"{name}={least}"
        )


def check_divides(network: str, name: str, value: int, part: int, why: str) -> None:
    """Raise ValueError where a number of channels is not a multiple of `part`.

    The message has the nearest that are. `why`: what needs it.
    """
    check_count(network, name, value)
    if value % part:
        below = value // part * part
        nearest = " or ".join(f"{name}={one}" for one in (below, below + part) if one)
        raise ValueError(
            f"{network}({name}={value}): {value} is no multiple of {part}, and {why}: give "
            f"{nearest}"
        )
