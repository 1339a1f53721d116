"""The command that serves a page to label the reader's own data, and writes what came of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoestring.cli.ending import if_interrupted, writing
from shoestring.cli.files import plainly
from shoestring.cli.page import open_page
from shoestring.cli.source import call

if TYPE_CHECKING:
    from shoestring.label import Collection
    from shoestring.label.collect import Project

ENDING = ".labels"
_AFRESH = "afresh"
"""The setting of a project that leaves the labels of its source out."""


class Mark(Enum):
    """What is marked, as the command line writes it."""

    CLASS = "class"
    SPANS = "spans"
    BOXES = "boxes"


Source = Annotated[
    str,
    typer.Argument(
        help="a folder of pictures, a table (.csv, .tsv), JSON lines, or a file of another tool; "
        "or a task of images, MODULE:FUNCTION",
        show_default=False,
    ),
]
ProjectPath = Annotated[
    Path | None,
    typer.Option(
        "--project",
        help="the file of the labels, made where there is none \\[default: SOURCE.labels]",
        show_default=False,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="names, with commas between them; more can be added on the page \\[default: those of "
        "the source]",
        show_default=False,
    ),
]
MarkOption = Annotated[
    Mark | None,
    typer.Option(
        "--mark",
        help="a class for each example, parts of texts, or boxes on pictures \\[default: as the "
        "source has it, or a class]",
        show_default=False,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option("--text", help="the column of the text, of a table", show_default=False),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label", help="the column of the labels that a table has already", show_default=False
    ),
]
AgreementShare = Annotated[
    float,
    typer.Option(
        "--agreement", help="the share of examples that two people label, 0 to 1", min=0, max=1
    ),
]
Afresh = Annotated[
    bool,
    typer.Option(
        "--afresh",
        help="leave the labels that the source has out, and ask again; the project keeps to it",
    ),
]
NoModel = Annotated[
    bool, typer.Option("--no-model", help="no model in the background: the order is random")
]
Export = Annotated[
    Path | None,
    typer.Option(
        help="write the labels so far (.jsonl, .csv, .json for Label Studio, …), and serve no page",
        show_default=False,
    ),
]
Train = Annotated[
    Path | None,
    typer.Option(
        help="train a model from the labels so far, write it as a small .shoe file, and serve no "
        "page",
        show_default=False,
    ),
]
Host = Annotated[
    str,
    typer.Option(help="where to listen; others than this machine reach only what is named here"),
]
Port = Annotated[
    int | None,
    typer.Option(
        help="\\[default: the one of last time, or a free one]",
        min=0,
        max=65535,
        show_default=False,
    ),
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="print the address, and open no browser")
]


def label(
    source: Source,
    project: ProjectPath = None,
    classes: Classes = None,
    mark: MarkOption = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    agreement: AgreementShare = 0.0,
    afresh: Afresh = False,
    no_model: NoModel = False,
    export: Export = None,
    train: Train = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    no_browser: NoBrowser = False,
) -> None:
    """Label your own data on a page: classes, parts of texts, boxes, by keys.

    Each label is on the disk when the page says "all saved". A model learns beside you, says what
    it thinks, and chooses what is asked next. Serves until Ctrl-C; the same command goes on.
    """
    path = project or Path(f"{_stem(source)}{ENDING}")
    if (export or train) and not path.exists():
        raise FileNotFoundError(
            f"there are no labels at {path}: `shoestring label {source}` collects them, or "
            "--project names their file"
        )
    columns = {
        name: value
        for name, value in (("text", text), ("label", label_column))
        if value is not None
    }
    afresh = afresh or _begun_afresh(path)
    collection, root = _collection(source, path, columns, afresh)
    collection = _as_asked(collection, classes, mark)
    if export is not None or train is not None:
        _write(collection, Path(source), path, export, train)
        return
    settings = {_AFRESH: "yes"} if afresh else {}
    _serve(collection, path, root, settings, agreement, not no_model, host, port, not no_browser)


def _begun_afresh(path: Path) -> bool:
    """Whether a project leaves the labels of its source out, which it does once it was told so."""
    from shoestring.label.collect import Store

    if not path.exists() or not path.stat().st_size:
        return False
    with closing(Store(path)) as store:
        return store.setting(_AFRESH) is not None


def _stem(source: str) -> str:
    """The name of the project of a source, without its ending; that of a task is its function."""
    if _is_task(source):
        return source.rpartition(":")[2]
    return source.rstrip("/\\")


def _is_task(source: str) -> bool:
    return ":" in source and not Path(source).exists()


def _collection(
    source: str, path: Path, columns: dict[str, str], afresh: bool
) -> tuple[Collection, Path | None]:
    """What is labelled, and the folder outside of which no picture is shown."""
    from shoestring.label.formats import read

    if _is_task(source):
        if columns:
            raise ValueError("--text and --label name columns of a table, and a function has none")
        from shoestring.kit import Supervised
        from shoestring.recipes.collected import collected

        found = call(source)
        task: Any = found[1] if isinstance(found, tuple) else found
        if not isinstance(task, Supervised):
            raise ValueError(
                f"{source} returned {type(task).__name__}: labelling wants a Supervised task of "
                "images, a folder or a file"
            )
        folder = path.with_name(f"{path.name}.pictures")
        made = collected(task, folder, labelled=False)
        note = f"the labels of {source} are left out, to be asked for; its pictures are in {folder}"
        return replace(made, notes=(*made.notes, note)), folder
    place = Path(source)
    collection = read(place, **columns)
    if afresh:
        bare = tuple(replace(one, annotations=()) for one in collection.examples)
        collection = replace(collection, examples=bare)
    return collection, None


def _as_asked(collection: Collection, classes: str | None, mark: Mark | None) -> Collection:
    """The collection with the classes and the kind of label that were asked for."""
    from shoestring.label import Box, Choice, Span

    kind = {Mark.CLASS: Choice, Mark.SPANS: Span, Mark.BOXES: Box, None: collection.kind}[mark]
    if kind is not collection.kind:
        labelled = sum(1 for one in collection.examples if one.annotations)
        if labelled:
            raise ValueError(
                f"{labelled:,} examples have labels of the kind {collection.kind.__name__.lower()} "
                f"already, and --mark asks for {kind.__name__.lower()}: --afresh leaves them out"
            )
        collection = replace(collection, kind=kind, names=())
    if kind is Span and any(one.text is None for one in collection.examples):
        raise ValueError("spans are parts of texts, and there are examples without a text")
    if kind is Box and any(one.picture is None for one in collection.examples):
        raise ValueError("boxes are on pictures, and there are examples without a picture")
    if classes is not None:
        asked = [name.strip() for name in classes.split(",")]
        known = [name for name in collection.names if name not in asked]
        collection = replace(collection, names=(*asked, *known))
    return collection


def _write(
    collection: Collection, source: Path, path: Path, export: Path | None, train: Path | None
) -> None:
    """Write the labels, or what was trained from them."""
    from shoestring.label.collect import Store, annotated

    with closing(Store(path)) as store:
        answers, names = store.answers(collection), store.names()
        left = len({one.example for one in store.answers()} - {one.example for one in answers})
    if export is not None and export.resolve() == source.resolve():
        raise ValueError(
            f"{export} is the source of the labels, and other columns would replace its own: name "
            "another file with --export"
        )
    found = annotated(collection, answers, names)
    count = sum(1 for one in found.examples if one.annotations)
    if left:
        print(f"left out: labels of {left:,} examples that {path} has and the source has not")
    if export is not None:
        from shoestring.label.formats import write

        writing(export)
        notes = write(found, export)
        without = len(found.examples) - count
        rest = f"; {without:,} are there without a label" if without else ""
        print(f"{export}: {len(found.examples):,} examples, {count:,} of them labelled{rest}")
        for sentence in notes:
            print(f"  {sentence}")
        if notes and export.suffix.lower() != ".jsonl":
            print("  Export to a file that ends in .jsonl to keep all.")
    if train is not None:
        from shoestring.label.collect.background import split_as_drawn
        from shoestring.recipes.labelling import deliver

        writing(train)
        print(deliver(split_as_drawn(found), train))


def _serve(
    collection: Collection,
    path: Path,
    root: Path | None,
    settings: dict[str, str],
    agreement: float,
    with_model: bool,
    host: str,
    port: int | None,
    show: bool,
) -> None:
    from shoestring.label.collect import Project
    from shoestring.label.collect import server as pages

    pages.check_installed()
    learn, deliver, note = _model(collection) if with_model else (None, None, "")
    target = path.with_name(f"{path.name.removesuffix(ENDING)}.shoe")
    project = Project(
        collection,
        path,
        agreement=agreement,
        learn=learn,
        deliver=deliver,
        target=target,
        notes=[note] if note else [],
    )
    if_interrupted(lambda: "")
    with closing(project):
        for key, value in settings.items():
            project.store.set(key, value)
        last = project.store.setting("port")
        with pages.listening(host, port, int(last) if last else None) as made:
            number = made.getsockname()[1]
            project.store.set("port", str(number))
            address = pages.address(project, host, number)
            project.announce(address)
            server = pages.server_of(project, made, root)
            try:
                with pages.ended_by_interrupt(server):
                    _say(project, address, host)
                    if show:
                        open_page(address)
                    server.run(sockets=[made])
            finally:
                labelled = project.order.answered()
                print(
                    f"{labelled:,} of {len(collection.examples):,} examples are labelled, in "
                    f"{plainly(str(path))}; the same command goes on, and --export FILE writes them"
                )


def _model(collection: Collection) -> tuple[Any, Any, str]:
    """What learns, what delivers, and a sentence where nothing does."""
    from shoestring.recipes.labelling import deliver, learner

    learn, note = learner(collection)
    return learn, deliver, note


def _say(project: Project, address: str, host: str) -> None:
    from shoestring.label.collect.server import is_loopback

    for note in project.notes:
        print(f"note: {plainly(note)}")
    print(f"the page is at {address} until Ctrl-C", flush=True)
    print(
        f"the labels go to {plainly(str(project.path))}; where two people label, each opens the "
        "page under a name of their own"
    )
    if not is_loopback(host):
        print(
            f"warning: other machines reach {host}. Whoever has the address sees the data and can "
            "label; the connection is not encrypted, so use it in a network that you trust",
            flush=True,
        )
