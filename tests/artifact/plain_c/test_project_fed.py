"""A project of a network with an input chain feeds it recorded raw inputs, and compares."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from c_graphs import Made

from shoestring.artifact import load, read
from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.artifact.format.file import Content
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.project import project
from shoestring.artifact.plain_c.recording import recorded
from shoestring.artifact.plain_c.recording_raw import with_raw

SPOKEN = Path(__file__).parents[3] / "benchmarks" / "results" / "files" / "fsdd_flash_16kb.shoe"
ONE = Normalise(mean=(-5.0,), std=(2.5,))
pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("cc") is None, reason="there is no make or no cc"
)


def built(content: Content, folder: Path, given=None, change=lambda text: text):
    """(exit status, lines) of a project's test; `change`: what is done to its C before."""
    made = export_c(content, name="heard", weights=Coded(), header=True)
    files = project(made, with_raw(content, made, recorded(content, made), given))
    files["src/heard.c"] = change(files["src/heard.c"])
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(
        ["make", "CFLAGS=-std=c99 -O1 -Wall -Wextra -Werror -pedantic -Isrc -I."],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:2000]
    ran = subprocess.run(["./test"], cwd=folder, capture_output=True, text=True)
    return ran.returncode, ran.stdout.splitlines()


def test_sounds_are_fed_and_labels_are_those_of_the_file(tmp_path):
    drawn = np.random.default_rng(5)
    sounds = [drawn.normal(0, 900, size).astype(np.int16) for size in (2000, 6400, 9000, 50)]
    status, lines = built(read(SPOKEN), tmp_path, sounds)
    labels = np.asarray(load(SPOKEN).from_raw(sounds[:3])).argmax(1)
    assert status == 0 and len(lines) == 13
    assert lines[10:] == [
        f"OK     raw input {place}, the largest output is number {label}"
        for place, label in enumerate(labels)
    ]


def test_a_wrong_chain_is_found_though_the_network_is_right(tmp_path):
    def louder(text: str) -> str:
        assert text.count("*samples++;") == 1
        return text.replace("*samples++;", "(int16_t)(*samples++ / 2);")

    status, lines = built(read(SPOKEN), tmp_path, None, louder)
    assert status == 1
    assert [line[:5] for line in lines] == ["OK   "] * 10 + ["WRONG"] * 2


def features(chain: InputChain, shape: tuple[int, ...], kind: str) -> Content:
    """A file that gives its features back."""
    made = Made(x=shape)
    made.types["x"] = kind
    made.nodes.append(("Cast", ["x"], ["y"], {"to": 1}))
    return replace(made.content("y"), notes=chain.notes())


@pytest.mark.parametrize(
    ("chain", "shape", "kind", "given"),
    [
        (InputChain(steps=(HashedNgrams(most=6),)), (1, 6), "int64", None),
        (
            InputChain(steps=(HashedNgrams(most=6),)),
            (1, 6),
            "int64",
            ["", 'naïve "film" */ <script>', "x" * 1_000_000],
        ),
        (InputChain(steps=(ONE,)), (1, 3, 4), "float32", None),
        (InputChain(steps=(LogMel(frames=4, bands=8), ONE)), (1, 1, 4, 8), "float32", None),
    ],
    ids=["words", "texts", "numbers", "log-mel"],
)
def test_every_chain_is_fed(chain, shape, kind, given, tmp_path):
    status, lines = built(features(chain, shape, kind), tmp_path, given)
    fed = [line for line in lines if "raw input" in line]
    assert status == 0 and len(fed) == (2 if given is None else 3), lines
    assert all(line.startswith("OK") for line in fed)


def test_no_raw_inputs_are_refused():
    content = read(SPOKEN)
    made = export_c(content, name="heard", header=True)
    with pytest.raises(ValueError, match="there are no raw inputs to record"):
        with_raw(content, made, recorded(content, made), [])
