"""Your own model, trained by two processes, one of which is killed.

`python examples/20_two_workers.py` takes about ten seconds. Where workers wait for one another, the
result is the same as without the kill: the batch of the one that was killed is made again.
`shoestring train examples/20_two_workers.py:spirals --workers 2` does it from the command line, and
goes on from its last snapshot if you kill the whole program.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from shoestring import Supervised, Training, load, prove, save
from shoestring.core import seeded
from shoestring.kit import AdamW, train
from shoestring.parallel import LostWorkerWarning, Synchronous

STEPS = 300


def points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two spirals, N×2, and which of them each is on."""
    labels = torch.arange(count) % 2
    turn = 1.0 + 4.0 * torch.rand(count)
    angle = turn + torch.pi * labels
    places = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 5
    return places + 0.03 * torch.randn(count, 2), labels


def spirals() -> tuple[nn.Module, Supervised]:
    """For `shoestring train examples/20_two_workers.py:spirals --workers 2`."""
    with seeded(0):
        model = nn.Sequential(
            nn.Linear(2, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2)
        )
        train_, validation, test = points(1200), points(400), points(400)
    task = Supervised(train=train_, validation=validation, test=test, name="spirals", batch_size=32)
    return model, task


def trained(steps: int, *, kill: bool) -> nn.Module:
    """The model, trained by two workers; if told so, one of them is killed in the middle."""
    model, task = spirals()
    training = Training(steps, AdamW(1e-2), workers=Synchronous(2))
    killer = threading.Thread(target=kill_a_worker)
    if kill:
        killer.start()
    with seeded(0):
        train(model, task.sealed(), training)
    if kill:
        killer.join()
    return model.eval()


def kill_a_worker() -> None:
    """Kill the first process that this one has, as soon as there is one."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    while not (processes := own.read_text().split()):
        time.sleep(0.01)
    time.sleep(0.2)
    with contextlib.suppress(ProcessLookupError):  # a short training is over by then
        os.kill(int(processes[0]), signal.SIGKILL)


def main(steps: int = STEPS) -> None:
    """Train twice, once with a kill, and look whether the weights are the same."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LostWorkerWarning)
        disturbed = trained(steps, kill=True)
    for one in said:
        print(one.message)
    undisturbed = trained(steps, kill=False)
    pairs = zip(disturbed.parameters(), undisturbed.parameters(), strict=True)
    same = all(torch.equal(one, other) for one, other in pairs)
    print("the same weights as without the kill" if same else "other weights than without the kill")
    _, task = spirals()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spirals.shoe"
        print(f"{save(disturbed, task, path):,} bytes")
        print(f"test score of the file: {prove(path, task):.4f}")
        assert task.test is not None
        print("the file says ", load(path)(task.test[0][:8]).argmax(-1).tolist())  # type: ignore[index]
        print("the labels are", task.test[1][:8].tolist())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
