"""The commands for devices: an agent that times files, and a comparison of platforms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.ending import writing
from shoestring.cli.source import call

Port = Annotated[
    int,
    typer.Option(
        help="where to listen; 0: a port that is free, which is printed", min=0, max=65535
    ),
]
Host = Annotated[
    str,
    typer.Option(
        help="the address to listen at; 0.0.0.0 lets other machines in, who must say the token"
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="SHOESTRING_TOKEN",
        show_default=False,
        help="what clients must say; left out: nothing, or one that is made up and printed "
        "where other machines are let in",
    ),
]
Seconds = Annotated[float, typer.Option(help="the most that the work of a request may take")]
MaxBytes = Annotated[
    int,
    typer.Option(
        help="the most that a request, and in memory the tensors of a file in it, may take", min=1
    ),
]


def agent(
    port: Port = 8731,
    host: Host = "127.0.0.1",
    token: Token = None,
    seconds: Seconds = 120.0,
    max_bytes: MaxBytes = 256_000_000,
) -> None:
    """Time files that others send, on this device: for `remote:URL` and shoestring.meters.Remote.

    It needs only the base installation. It prints where it listens, and stops at Ctrl-C.
    """
    from socket import gethostname

    from shoestring.meters.agent import Agent, is_loopback

    with Agent(
        port,
        host,
        token=token,
        seconds=seconds,
        max_bytes=max_bytes,
        say=lambda text: print(text, flush=True),
    ) as server:
        print(f"listening at {server.url}", flush=True)
        if not is_loopback(host):
            print(
                "from elsewhere, if names are known there: "
                f"http://{gethostname()}:{server.server_port}",
                flush=True,
            )
        if token is None and server.token is not None:
            print(f"token: {server.token}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped", flush=True)


def platforms(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:FUNCTION FILE...",
            show_default=False,
            help="a function that returns a task, or (model, task), and .shoe files; all are "
            "timed against the first",
        ),
    ],
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            show_default=False,
            help="onnxruntime, openvino, openvino:bfloat16 or remote:URL, with :all-threads after "
            "it for all cores; may be given several times; left out: onnxruntime",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="examples a run", min=1)] = 1,
    svg: Annotated[
        Path | None,
        typer.Option(help="a chart to write, too: score against milliseconds", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare files: their scores, their sizes, and their speed on each platform."""
    from shoestring.artifact import read, save
    from shoestring.meters import parse_runtime

    sources = [name for name in names if ":" in name and not Path(name).is_file()]
    files = [Path(name) for name in names if name not in sources]
    if len(sources) != 1 or not files:
        raise ValueError(
            "give one function that returns the task, as MODULE:FUNCTION or path.py:FUNCTION, and "
            "one file or more"
        )
    wanted = [parse_runtime(text) for text in runtime or ["onnxruntime"]]
    for file in files:
        read(file)  # report a damaged file before the function trains anything
    writing(svg)
    made = call(sources[0])
    from shoestring.plan.platforms import platforms as compare

    table = compare(files, made[1] if isinstance(made, tuple) else made, wanted, batch=batch)
    if svg is not None:
        save(svg, table.to_svg().encode())
    print(json.dumps(table.as_json()) if as_json else table)
