"""A worker of this machine for a training on another one."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from shoestring.core import Task
from shoestring.kit.training.resume import Batches
from shoestring.parallel.crew import WorkersError
from shoestring.parallel.exchange.plain import SinglePrecision
from shoestring.parallel.exchange.protocols import GradientExchange
from shoestring.parallel.joining import MOST_STATE, from_state, knock
from shoestring.parallel.messages import from_bytes, hear, number, size_of
from shoestring.parallel.serving import Served


def join(
    address: str,
    key: str,
    model: nn.Module,
    task: Task,
    *,
    exchange: GradientExchange = SinglePrecision(),
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Make gradients for a training on another machine until it ends; returns how many.

    This program may end at any moment: its batch is made by another worker then. The model is
    changed: it has the training's weights of some step afterwards.

    `address`: where the training listens (`Listening`), HOST:PORT, as this machine reaches it.
    `key`: of the training.
    `model`, `task`, `exchange`: the same as there.
    `say`: gets a line when this program is a worker.

    Raises WorkersError where nobody listens there, the key is another, the training is of something
    else or on other versions, and where it is gone before it was over.
    """
    connection, training = knock(address, key, model, task, exchange)
    try:
        serving = Served(model.train(), task, training, 1, 1.0, (), exchange)
        most = size_of(serving.buffers) + MOST_STATE
        while not connection.poll(60.0):
            pass
        words, data, _ = hear(connection, most, 60.0)
        end = size_of(serving.buffers)
        for buffer, value in zip(
            serving.buffers, from_bytes(data[:end], serving.buffers), strict=True
        ):
            buffer.data.copy_(value)
        serving.batches = Batches(task, model)
        serving.batches.go(from_state(bytes(data[end:])), number(words, "taken"))
        serving.drawn = number(words, "drawn")
        say(f"a worker of the training at {address}")
        made, is_over = serving.work(connection, 0, lambda: True)
    except (EOFError, OSError, ValueError) as error:
        raise WorkersError(
            f"the training at {address} is gone ({error}): start it again"
        ) from error
    finally:
        connection.close()
    if not is_over:
        raise WorkersError(
            f"the training at {address} is gone after {made:,} gradients from here: if it was not "
            "over, start it again there, from its snapshot, and then this worker"
        )
    return made
