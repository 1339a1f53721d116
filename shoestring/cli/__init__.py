"""The command line: it parses, calls and prints, and nothing else."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated

import typer

from shoestring import __version__
from shoestring.artifact.errors import missing
from shoestring.cli.auditing import audit
from shoestring.cli.demo import demo
from shoestring.cli.devices import agent, platforms
from shoestring.cli.ending import INTERRUPTED, asked_to_end, ending_on_signals, interruption
from shoestring.cli.exporting import export
from shoestring.cli.files import inspect, run
from shoestring.cli.finding import search_networks
from shoestring.cli.labelling import label
from shoestring.cli.layers import diagnose, sensitivity
from shoestring.cli.learning import learn
from shoestring.cli.packing import pack, unpack
from shoestring.cli.recipes import recipe, recipes
from shoestring.cli.report import report
from shoestring.cli.scores import ledger, score
from shoestring.cli.search import compress, forecast, frontier
from shoestring.cli.texts import complete, identify, preorder, segment, tag
from shoestring.cli.training import train
from shoestring.cli.trust import describe, sign, verify

OF_TRAIN = ("torch", "onnx", "onnxscript")
"""Packages of the extra `train`; the errors for other packages name their extras themselves."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Deep learning on a shoestring: a PyTorch model and a budget in, a small file that runs "
    "out.",
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


app.command()(compress)
app.command()(forecast)
app.command()(frontier)
app.command("search")(search_networks)
app.command()(train)
app.command()(report)
app.command()(sensitivity)
app.command()(diagnose)
app.command()(audit)
app.command()(inspect)
app.command()(pack)
app.command()(unpack)
app.command()(describe)
app.command()(sign)
app.command()(verify)
app.command()(export)
app.command()(run)
app.command()(tag)
app.command()(segment)
app.command()(identify)
app.command()(preorder)
app.command()(complete)
app.command()(learn)
app.command()(label)
app.command()(demo)
app.command()(score)
app.command()(ledger)
app.command()(recipes)
app.command()(recipe)
app.command()(agent)
app.command()(platforms)


def _sentence(error: Exception) -> str:
    """An error in words; other exceptions than ours are prefixed with their type."""
    if (
        isinstance(error, OSError)
        and error.filename
        and error.strerror
        and error.strerror in str(error)
    ):
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror  # an error of ours: the sentence without the number
    if isinstance(error, ValueError | OSError | RuntimeError | ModuleNotFoundError | TypeError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def _where(error: Exception) -> str:
    """The line of the user's code in which an error occurred, and how to see the traceback."""
    package = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if package not in f.filename]
    users = [
        f
        for f in frames
        if "site-packages" not in f.filename
        and not f.filename.startswith(("<", sys.prefix, sys.base_prefix))
    ]
    if not users:
        return ""
    last = users[-1]
    return f" ({last.filename}:{last.lineno}, in {last.name}; SHOESTRING_TRACEBACK=1 shows all)"


def main() -> None:
    """The program: errors are printed as one sentence, without a traceback."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        with ending_on_signals():
            app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED and (message := interruption()):  # typer prints nothing
            print(message, file=sys.stderr)
        raise
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SHOESTRING_TRACEBACK"):
            raise
        if asked_to_end.is_set() or isinstance(error, KeyboardInterrupt):
            print(interruption(), file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name in OF_TRAIN
            and "the extra" not in str(error)
        ):
            error = missing(*OF_TRAIN, extra="train").with_traceback(error.__traceback__)
        print(f"error: {_sentence(error)}{_where(error)}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
