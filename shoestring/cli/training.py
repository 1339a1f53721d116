"""The command that trains a model, by one process or by several workers: train."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from shoestring.cli.ending import GOES_ON, writing
from shoestring.cli.search import AsJson, LedgerPath, Quiet, Seed, printers
from shoestring.cli.source import model_and_task


class LateName(Enum):
    """What a late gradient is worth, as the command line writes it."""

    AS_IT_COMES = "as-it-comes"
    STALENESS = "staleness"
    COMPENSATED = "compensated"
    ADAPTIVE = "adaptive"


class ExchangeName(Enum):
    """How gradients are sent, as the command line writes it."""

    SINGLE = "single"
    BFLOAT16 = "bfloat16"
    EIGHT_BITS = "8bit"
    ONE_BIT = "1bit"
    TOP_K = "top-k"
    RANDOM_K = "random-k"
    POWER_SGD = "powersgd"


Source = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        show_default=False,
        help="a function that returns (model, task), as MODULE:FUNCTION or path.py:FUNCTION; the "
        "model is trained from where it is",
    ),
]
Steps = Annotated[
    int, typer.Option(help="batches in all, each of which one worker takes", min=1, max=10**9)
]
Workers = Annotated[int, typer.Option(help="processes that make gradients", min=1, max=1024)]
Without = Annotated[
    bool, typer.Option("--asynchronous", help="workers do not wait for one another")
]
Late = Annotated[
    LateName | None,
    typer.Option(
        help="with --asynchronous, what a late gradient is worth \\[default: as-it-comes]",
        show_default=False,
    ),
]
Backups = Annotated[
    int,
    typer.Option(
        help="the last so many workers of each round are not waited for; without --asynchronous",
        min=0,
    ),
]
Exchange = Annotated[
    ExchangeName, typer.Option(help="how gradients are sent: with fewer bits, or only some of them")
]
Parts = Annotated[
    bool,
    typer.Option(
        "--sharded",
        help="under torchrun, each program keeps a part of the weights: for a model whose training "
        "takes more memory than one has; without snapshots",
    ),
]
Straggler = Annotated[
    str | None,
    typer.Option(
        metavar="TIMES",
        show_default=False,
        help="one worker takes so many times as long, as 3x: to try what a slow machine does",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        show_default=False,
        help="with --asynchronous: where workers of other machines may join, such as 0.0.0.0:29400",
    ),
]
Join = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        show_default=False,
        help="be a worker of the training that listens there, on the same function; nothing is "
        "written here",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="SHOESTRING_KEY",
        show_default=False,
        help=r"what those who join must know \[default: a new one, which is printed]",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        show_default=False,
        help="the --workers run on a Ray cluster, besides one here: its address, auto, or local to "
        "start one on this machine; they do not wait",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="the file to write \\[default: NAME.shoe, here]", show_default=False),
]


def train(
    source: Source,
    steps: Steps = 2000,
    workers: Workers = 1,
    asynchronous: Without = False,
    late: Late = None,
    backups: Backups = 0,
    exchange: Exchange = ExchangeName.SINGLE,
    sharded: Parts = False,
    straggler: Straggler = None,
    listen: Listen = None,
    join: Join = None,
    key: Key = None,
    ray: RayAddress = None,
    out: Out = None,
    seed: Seed = 0,
    ledger: LedgerPath = Path("shoestring.ledger"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a model, by this process or by several workers, and write its file.

    Nothing has to be tuned: the optimizer goes by the model, the rate rises and falls. Workers are
    processes on this machine, and one that fails is replaced; with --listen others join from other
    machines. Programs that torchrun starts with this command train together, and wait for one
    another. Ctrl-C or a kill loses little: the same command goes on from the last snapshot. Exit
    status: 0 trained; 1 an error; 130 interrupted.
    """
    wanted = _Wanted(
        workers, asynchronous or ray is not None, late, backups, straggler, exchange, sharded
    )
    wanted.check(listen or ray, join)
    if join is not None:
        if out is not None:
            raise ValueError(f"--out {out}: a worker writes no file; leave it out with --join")
        _join(source, join, key, exchange, seed, quiet=quiet or as_json)
        return
    path = out or Path(f"{source.rsplit(':', 1)[-1]}.shoe")
    say, _ = printers(as_json, quiet or not wanted.is_first)
    say(f"loading {source}")  # and torch, which takes seconds
    from shoestring.core import Ledger
    from shoestring.plan.trained import train_job

    folder = path.with_name(f"{path.name}.unfinished")
    writing(path, then=lambda: f"{folder} has the last snapshot, if any; {GOES_ON}")
    with _listening(source, listen, key, ray, workers, exchange, say) as listening:
        report = train_job(
            lambda: model_and_task(source),
            path,
            steps=steps,
            workers=wanted.workers(1 if ray is not None else workers, listening),
            seed=seed,
            ledger=Ledger(ledger) if wanted.is_first else None,
            say=say,
        )
    if wanted.is_first:
        print(json.dumps(report.as_json()) if as_json else report.as_text(), flush=True)


@dataclass(frozen=True)
class _Wanted:
    """Which workers the command line asks for."""

    count: int
    asynchronous: bool
    late: LateName | None
    backups: int
    straggler: str | None
    exchange: ExchangeName
    sharded: bool = False

    @property
    def together(self) -> bool:
        """Whether torchrun started this program, and others with it."""
        return int(os.environ.get("WORLD_SIZE", "1")) > 1

    @property
    def is_first(self) -> bool:
        """Whether this program, of those that train together, is the one that writes and prints."""
        return not self.together or os.environ.get("RANK", "0") == "0"

    def check(self, address: str | None, join: str | None) -> None:
        """Raise ValueError for options that do not go together; it imports no torch.

        `address`: where workers of other machines come from; None: from nowhere.
        `join`: where this is a worker.
        """
        alone = self.count == 1 and not (self.asynchronous or self.backups or self.straggler)
        if join is not None and not (alone and address is None and not self.sharded):
            raise ValueError(
                f"--join {join}: how a training goes is said where it listens; leave out what is "
                "of workers, all but --exchange"
            )
        if self.together and not alone:
            raise ValueError(
                "torchrun has started several programs, which are the workers: leave --workers, "
                "--asynchronous, --backups and --straggler out"
            )
        if self.sharded and (not self.together or self.exchange is not ExchangeName.SINGLE):
            raise ValueError(
                "--sharded is for programs that torchrun starts, and sends gradients in single "
                "precision: torchrun --nproc-per-node 2 -m shoestring.cli train SOURCE --sharded, "
                "without --exchange"
            )
        if self.late is not None and not self.asynchronous:
            raise ValueError(
                f"--late {self.late.value}: gradients are late with --asynchronous only"
            )
        if address is not None and not self.asynchronous:
            raise ValueError(
                f"--listen {address}: workers of other machines do not wait for one another: add "
                "--asynchronous, or start this command on each machine with torchrun"
            )
        if self.asynchronous and self.backups:
            raise ValueError(
                f"--backups {self.backups}: with --asynchronous nobody waits; leave it out"
            )
        if self.backups >= self.count and self.backups:
            raise ValueError(f"--backups {self.backups}: give fewer than the {self.count} workers")
        sends = self.together or self.asynchronous or self.count > 1 or join is not None
        if self.exchange is not ExchangeName.SINGLE and not sends:
            raise ValueError(
                f"--exchange {self.exchange.value}: one process sends nothing; give --workers"
            )
        if self.straggler is not None:
            if self.count < 2:
                raise ValueError(f"--straggler {self.straggler} is for two --workers or more")
            _times(self.straggler)

    def workers(self, count: int, listening: Any) -> Any:
        """The workers of a training, so many on this machine; None for one process alone."""
        from shoestring.parallel import (
            AdaptivelyCompensated,
            AllReduced,
            AsItComes,
            Asynchronous,
            ByStaleness,
            DelayCompensated,
            LateGradients,
            Sharded,
            Synchronous,
        )

        exchange = _exchange(self.exchange)
        if self.together:
            return Sharded() if self.sharded else AllReduced(exchange)
        slower = (*(1.0,) * (count - 1), _times(self.straggler)) if self.straggler else ()
        worth: dict[LateName, LateGradients] = {
            LateName.AS_IT_COMES: AsItComes(),
            LateName.STALENESS: ByStaleness(),
            LateName.COMPENSATED: DelayCompensated(),
            LateName.ADAPTIVE: AdaptivelyCompensated(),
        }
        if self.asynchronous:
            late = worth[self.late or LateName.AS_IT_COMES]
            return Asynchronous(count, late, exchange, slower=slower, listening=listening)
        return Synchronous(count, self.backups, exchange, slower=slower) if count > 1 else None


def _exchange(name: ExchangeName) -> Any:
    """How gradients are sent, by its name."""
    from shoestring.parallel import (
        BFloat16Gradients,
        EightBits,
        GradientExchange,
        OneBit,
        PowerSGD,
        RandomK,
        SinglePrecision,
        TopK,
    )

    exchanges: dict[ExchangeName, GradientExchange] = {
        ExchangeName.SINGLE: SinglePrecision(),
        ExchangeName.BFLOAT16: BFloat16Gradients(),
        ExchangeName.EIGHT_BITS: EightBits(),
        ExchangeName.ONE_BIT: OneBit(),
        ExchangeName.TOP_K: TopK(),
        ExchangeName.RANDOM_K: RandomK(),
        ExchangeName.POWER_SGD: PowerSGD(),
    }
    return exchanges[name]


def _times(text: str) -> float:
    """What "3x" says; raises ValueError for anything else."""
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)x?", text.strip())) is None or float(match[1]) < 1:
        raise ValueError(f"--straggler {text}: write how many times as long, 1 or more, as 3x")
    return float(match[1])


def _join(
    source: str, address: str, key: str | None, exchange: ExchangeName, seed: int, *, quiet: bool
) -> None:
    """Be a worker of a training elsewhere until it ends."""
    from shoestring.core import seeded
    from shoestring.parallel import join
    from shoestring.parallel.joining import split_address

    split_address(address)
    if not key:
        raise ValueError(
            f"--join {address} needs the key that the training printed: give --key, or set "
            "SHOESTRING_KEY"
        )
    with seeded(seed):  # weights that are frozen have to be those of the training
        model, task = model_and_task(source)
    say, _ = printers(False, quiet)
    made = join(address, key, model, task, exchange=_exchange(exchange), say=say)
    say(f"the training at {address} is over; {made:,} gradients came from here")


@contextmanager
def _listening(
    source: str,
    listen: str | None,
    key: str | None,
    ray: str | None,
    count: int,
    exchange: ExchangeName,
    say: Callable[[str], None],
) -> Iterator[Any]:
    """Where a training listens for other machines, with workers on Ray where they are wanted."""
    if listen is None and ray is None:
        yield None
        return
    from shoestring.parallel import Listening, workers_on_ray

    address = listen or f"0.0.0.0:{_free_port()}"
    listening = Listening(address, key or secrets.token_hex(16))
    if ray is None:
        _, _, port = address.rpartition(":")
        words = "" if exchange is ExchangeName.SINGLE else f" --exchange {exchange.value}"
        say(
            f"on each other machine: SHOESTRING_KEY={listening.key} shoestring train {source} "
            f"--join THIS_MACHINE:{port}{words}"
        )
        yield listening
        return
    cluster = None if ray == "local" else ray
    build, sent = partial(model_and_task, source), _exchange(exchange)
    with workers_on_ray(count, build, listening, exchange=sent, cluster=cluster):
        yield listening


def _free_port() -> int:
    with socket.create_server(("0.0.0.0", 0)) as one:
        return one.getsockname()[1]
