"""Worker processes: what kills cost them, and a slow one: `python benchmarks/lost_workers.py`.

Two worker processes train LeNet-5 on 2,000 pictures of MNIST, batches of 32, waiting for one
another or not. Kills: at random moments, 1 to 4 seconds apart, one of the processes gets SIGKILL,
25 times a worker or (one time in five) the program that applies the gradients, which is started
again, and goes on from its last snapshot. Snapshots are made each second here, and every 30 s
otherwise. Told: whether the training ended with all its steps, the longest time without a step, and
for workers that wait whether the weights are those of a run that nobody disturbed, bit for bit.
Slow: without kills, both alike, and one of the two three times slower (it sleeps); seconds for 400
steps in alternation, three times. All is real; the workers share the two cores.
About six minutes. --quick: 4 kills, one time.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from rows import Rows, start

from shoestring.artifact.scratch import scratch_folder
from shoestring.core import seeded
from shoestring.kit import SGD, Constant, Training, Workers, resuming, train
from shoestring.kit.training import resume
from shoestring.models import LeNet5
from shoestring.parallel import Asynchronous, Synchronous, serving
from shoestring.recipes.running import few
from shoestring.tasks import mnist

KILLS, SERVER = 25, 0.2
STEPS_A_KILL = 150
PICTURES = 2000
_STEP = struct.Struct("<qd")
WAITING, NOT_WAITING = "waiting for one another", "not waiting"


def trained(workers: Workers, steps: int, folder: Path | None = None) -> str:
    """Train, and return the digest of the weights; the last step and its time are in a file."""
    task = few(mnist(batch_size=32), PICTURES, 500).sealed()
    training = Training(steps, SGD(0.02, momentum=0.0), Constant(), workers=workers)
    with seeded(0):
        model = LeNet5()
        if folder is None:
            train(model, task, training)
        else:
            _tell_steps(folder)
            with resuming(folder):
                train(model, task, training)
    digest = hashlib.sha256()
    for one in model.parameters():
        digest.update(one.detach().numpy().tobytes())
    return digest.hexdigest()


def _tell_steps(folder: Path) -> None:
    resume._SECONDS = 1.0
    place, plain = os.open(folder / "steps", os.O_RDWR | os.O_CREAT), serving.Served.forget

    def forget(self: serving.Served, ticket: int) -> None:
        os.pwrite(place, _STEP.pack(int(self.done) + 1, time.time()), 0)
        plain(self, ticket)

    serving.Served.forget = forget


def killed(rows: Rows, name: str, workers: Workers, kills: int) -> None:
    """The rows of a training whose processes are killed at random moments."""
    steps, draw = kills * STEPS_A_KILL, random.Random(0)
    with scratch_folder() as scratch:
        folder = Path(scratch)
        begin = [sys.executable, __file__, "--steps", str(steps), "--folder", str(folder)]
        begin += ["--asynchronous"] if isinstance(workers, Asynchronous) else []
        running, made, of_server, longest = subprocess.Popen(begin), 0, 0, 0.0
        next_kill = 0.0
        while True:
            time.sleep(0.02)
            if at := _last(folder)[1]:  # the first step was made
                next_kill = next_kill or time.time() + draw.uniform(1.0, 4.0)
                longest = max(longest, time.time() - at)
            if running.poll() is not None:
                if running.returncode != -signal.SIGKILL:
                    break
                running = subprocess.Popen(begin)
            if made < kills and next_kill and time.time() > next_kill:
                is_server = draw.random() < SERVER
                if _kill(running.pid, is_server, draw):
                    made, of_server = made + 1, of_server + is_server
                next_kill = time.time() + draw.uniform(1.0, 4.0)
        done = _last(folder)[0]
        weights = (folder / "weights").read_text() if running.returncode == 0 else ""
    rows.add(name, "kills", made, "")
    rows.add(name, "kills of the program that applies gradients", of_server, "")
    rows.add(name, "steps asked for", steps, "")
    rows.add(name, "steps made", done, "")
    rows.add(name, "exit status", running.returncode, "")
    rows.add(name, "longest time without a step", longest, "s")
    if isinstance(workers, Synchronous):
        same = float(weights == trained(workers, steps))
        rows.add(name, "weights as of a run without kills", same, "")
    rows.add(name, "done", 1, "")


def _last(folder: Path) -> tuple[int, float]:
    try:
        data = (folder / "steps").read_bytes()
    except FileNotFoundError:
        return 0, 0.0
    return _STEP.unpack(data) if len(data) == _STEP.size else (0, 0.0)


def _kill(program: int, is_server: bool, draw: random.Random) -> bool:
    """Kill the program or one of its workers; False where there is none."""
    try:
        workers = Path(f"/proc/{program}/task/{program}/children").read_text().split()
        victim = program if is_server else int(draw.choice(workers))
        os.kill(victim, signal.SIGKILL)
    except (OSError, IndexError):
        return False
    return True


def slowed(rows: Rows, repeats: int) -> None:
    """The seconds of trainings with workers alike, and with a slow one, in alternation."""
    ways: dict[str, Workers] = {
        f"{WAITING}, alike": Synchronous(2),
        f"{NOT_WAITING}, alike": Asynchronous(2),
        f"{WAITING}, one slow": Synchronous(2, slower=(1.0, 3.0)),
        f"{NOT_WAITING}, one slow": Asynchronous(2, slower=(1.0, 3.0)),
    }
    for repeat in range(repeats):
        for name, workers in ways.items():
            if rows.done(name, repeat):
                continue
            began = time.monotonic()
            trained(workers, 100 if rows.quick else 400)
            rows.add(name, "seconds", time.monotonic() - began, "s", seed=repeat)
            rows.add(name, "done", 1, "", repeat)


def main() -> None:
    if "--folder" in sys.argv:
        folder = Path(sys.argv[sys.argv.index("--folder") + 1])
        steps = int(sys.argv[sys.argv.index("--steps") + 1])
        workers = Asynchronous(2) if "--asynchronous" in sys.argv else Synchronous(2)
        (folder / "weights").write_text(trained(workers, steps, folder))
        return
    rows = start("lost_workers", "mnist-cpu", __doc__ or "")
    kills = 4 if rows.quick else KILLS
    for name, workers in ((WAITING, Synchronous(2)), (NOT_WAITING, Asynchronous(2))):
        subject = f"{name}, killed"
        if not rows.done(subject, None):
            killed(rows, subject, workers, kills)
    slowed(rows, 1 if rows.quick else 3)
    rows.close()


if __name__ == "__main__":
    main()
