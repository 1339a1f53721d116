"""The command line of this package, as it can be typed here."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path


def command_line() -> str:
    """`shoestring`, or where it is while it is not on the path, as after `try.sh`."""
    beside = Path(sys.executable).with_name("shoestring")
    if shutil.which("shoestring") or not beside.exists():
        return "shoestring"
    with suppress(ValueError):
        beside = beside.relative_to(Path.cwd())
    return shlex.quote(str(beside))
