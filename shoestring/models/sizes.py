"""The sizes that networks are made with are checked: how many channels, layers, classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_count(network: str, name: str, value: int, least: int = 1) -> None:
    """Raise ValueError where an argument of a network is not an integer of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{network}({name}={value!r}): give an integer of {least} or more, such as "
            f"{name}={least}"
        )


def check_stages(network: str, repeats: Sequence[int]) -> None:
    """Raise ValueError where the units of each stage are not three numbers of 1 or more."""
    if not isinstance(repeats, Sequence) or len(repeats) != 3:
        raise ValueError(
            f"{network}(repeats={repeats!r}): give the units of each of three stages, such "
            "as repeats=(4, 8, 4)"
        )
    for count in repeats:
        check_count(network, "repeats", count)


def check_side(network: str, images: Tensor, least: int) -> None:
    """Raise ValueError where images N×C×H×W have fewer rows or columns than `least`.

    A module that is being exported is not checked: a file has its sizes checked when it is made.
    """
    if torch.compiler.is_exporting():
        return
    if images.shape[-2] < least or images.shape[-1] < least:
        raise ValueError(
            f"images of {images.shape[-2]}×{images.shape[-1]} pixels: nothing would be left of "
            f"them in this {network}, which needs {least} or more a side; enlarge the images, or "
            f"give the network fewer halvings"
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
