"""The loops that numba compiles are made once, also where threads are the first to ask for them."""

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import numpy as np
import pytest

numba = pytest.importorskip("numba")


def new(name: str):
    """The module as a process sees it that has not used it."""
    spec = importlib.util.find_spec(f"shoestring.artifact.coding.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of_lanes(module) -> None:
    module.compiled()


def of_planes(module) -> None:
    module.split(np.arange(5, dtype=np.uint16), True)


@pytest.mark.parametrize(("name", "call"), [("lanes_loop", of_lanes), ("planes_loop", of_planes)])
def test_threads_that_come_first_together_compile_once(name, call, monkeypatch):
    module, threads, together = new(name), [], Barrier(4)

    def njit(*_, **__):
        threads.append(get_ident())
        time.sleep(0.05)  # as a thread that the others overtake
        return lambda function: function

    def first(_):
        together.wait()
        call(module)

    monkeypatch.setattr(numba, "njit", njit)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(first, range(4)))
    made = len(threads)
    assert made in (1, 2) and len(set(threads)) == 1  # split and join are made by one thread
    call(module)
    assert len(threads) == made
