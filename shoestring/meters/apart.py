"""Files that somebody sent are timed in a process of their own.

The process is stopped when its time is up, and it may crash without harm to the agent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from faulthandler import dump_traceback_later
from typing import Any

from shoestring.artifact.format.file import unpack_model
from shoestring.meters.exchange import decode, plain_json
from shoestring.meters.inputs import runner
from shoestring.meters.interleaved import Timing, in_turn

_CHILD = (
    "import sys; from shoestring.meters.apart import child; child(int(sys.argv[1]), "
    "float(sys.argv[2]))"
)
_GRACE_SECONDS = 10.0


class WorkError(Exception):
    """Files could not be timed; the message says why, for whoever sent them."""


def process(max_bytes: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start a process that waits for one request, with the import path of this one.

    `max_bytes`: the most that the tensors of a file may take.
    `seconds`: the most that a request may ask for.
    Raises WorkError where the device cannot start a process.
    """
    paths = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(max_bytes), str(seconds)],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise WorkError(f"the device cannot start a process ({error.strerror or error})") from None


def ask(worker: subprocess.Popen[bytes], body: bytes, seconds: float) -> list[dict[str, Any]]:
    """The timings of a request: a list of `milliseconds` and a number of `runs` per file, in order.

    Raises WorkError where the work takes longer than `seconds`, or fails.
    """
    try:
        with worker:
            try:
                output, errors = worker.communicate(body, timeout=seconds)
            finally:
                worker.kill()
    except subprocess.TimeoutExpired:
        raise WorkError(
            f"the work took longer than the {seconds:g} seconds that it may: send fewer or faster "
            "files, or start the agent with more --seconds"
        ) from None
    if worker.returncode:
        last = (errors.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        why = (
            f"signal {-worker.returncode}, perhaps for want of memory"
            if worker.returncode < 0
            else last[:300]
        )
        raise WorkError(f"the process that ran the files ended: {why}")
    answer = plain_json(output, "what the process said")
    if "error" in answer:
        raise WorkError(answer["error"])
    return answer["timings"]


def child(max_bytes: int, seconds: float) -> None:
    """Read a request from standard input; print its timings, or the error, as JSON.

    It runs in a process of its own, which also ends itself some seconds after the agent should have
    ended it: an agent that was killed leaves no process behind.
    """
    data = sys.stdin.buffer.read()
    dump_traceback_later(seconds + _GRACE_SECONDS, exit=True)  # from outside Python, whatever runs
    try:
        answer: dict[str, Any] = {
            "timings": [_plain(timing) for timing in timed(data, max_bytes, seconds)]
        }
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        answer = {"error": (str(error) or type(error).__name__)[:500]}
    print(json.dumps(answer))


def timed(body: bytes, max_bytes: int, seconds: float) -> list[Timing]:
    """The timings of an encoded request.

    Raises ShoeError for files that are damaged or too large, ValueError for a request that is not
    valid or asks for more than `seconds`, and TypeError.
    """
    work = decode(body)
    if work.seconds > seconds:
        raise ValueError(
            f"seconds is {work.seconds:g}: this agent works {seconds:g} for a request at most"
        )
    contents = [unpack_model(sent.file, max_bytes) for sent in work.files]
    runs = [runner(contents[index], work.files[index].inputs, work.threads) for index in work.order]
    return in_turn(
        runs,
        resting=work.threads != 1,
        rounds=work.rounds,
        warm_up=work.warm_up,
        seconds=work.seconds,
    )


def _plain(timing: Timing) -> dict[str, Any]:
    return {"milliseconds": timing.milliseconds, "runs": timing.runs}
