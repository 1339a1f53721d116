"""Workers on a Ray cluster: each joins the training of this program over the network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from shoestring.artifact.errors import missing
from shoestring.core import Task
from shoestring.parallel.crew import LostWorkerWarning, WorkersError
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import GradientExchange
from shoestring.parallel.joining import Listening, split_address
from shoestring.parallel.remote import join

_ENDING_SECONDS = 10.0
_KNOCKING_SECONDS = 120.0
"""How long a worker of the cluster tries to join: the training may begin later than it."""


@contextmanager
def workers_on_ray(
    count: int,
    build: Callable[[], tuple[nn.Module, Task]],
    listening: Listening,
    *,
    exchange: GradientExchange = SinglePrecision(),
    cluster: str | None = None,
) -> Iterator[None]:
    """A context in which workers on a Ray cluster join the training that listens there.

    Ray only starts them; weights and gradients go straight to this program. Each machine of the
    cluster needs Shoestring in the same version, and what else `build` imports. One that is lost is
    started again by Ray, and joins again.

    Needs the extra `cluster`.
    Source: Moritz et al. 2018 (Ray).

    `count`: of the workers, each with a processor of the cluster, 1 or more.
    `build`: returns (model, task) on the cluster; the same as the training's.
    `listening`: of the training, as in `Asynchronous(1, listening=listening)`; a port above 0.
    `exchange`: of the training.
    `cluster`: the address of the cluster, "auto" for the one that this machine belongs to; None:
        Ray is started on this machine.

    Raises ValueError for numbers out of range, ModuleNotFoundError without the extra, and what
    ray.init raises.
    """
    host, port = split_address(listening.address)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{count!r} workers on Ray: give an integer, 1 or more")
    if not port:
        raise ValueError("workers on Ray have to know the port: give one above 0")
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise missing("ray", extra="cluster", what="workers_on_ray") from None
    began_here = not ray.is_initialized()
    if began_here:
        ray.init(address=cluster, log_to_driver=False, include_dashboard=False)
    if host in ("0.0.0.0", "::"):
        host = ray.util.get_node_ip_address()
    work = ray.remote(num_cpus=1, max_retries=-1)(_work)
    running = [work.remote(f"{host}:{port}", listening.key, build, exchange) for _ in range(count)]
    try:
        yield
    finally:
        ended, others = ray.wait(running, num_returns=count, timeout=_ENDING_SECONDS)
        for one in ended:  # the training let them go, or they failed
            try:
                ray.get(one)
            except ray.exceptions.RayError as error:
                warnings.warn(f"a worker on Ray failed: {error}", LostWorkerWarning, stacklevel=3)
        for one in others:
            ray.cancel(one, force=True)
        if began_here:
            ray.shutdown()


def _work(
    address: str,
    key: str,
    build: Callable[[], tuple[nn.Module, Any]],
    exchange: GradientExchange,
) -> int:
    """What a worker of the cluster does: it joins, as soon as the training listens."""
    model, task = build()
    until = time.monotonic() + _KNOCKING_SECONDS
    while True:
        try:
            return join(address, key, model, task, exchange=exchange)
        except WorkersError as error:
            if "no training listens" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.2)
