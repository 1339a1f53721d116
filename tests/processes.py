"""Processes of their own for tests.

Forked from a server that has imported the library, or each start would import torch.
"""

from __future__ import annotations

import multiprocessing

CONTEXT = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
CONTEXT.set_forkserver_preload(["shoestring.kit"])
