"""`shoestring run` on pictures by path, for files whose input chain takes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from features_back import features_back
from PIL import Image

from shoestring import load
from shoestring.artifact.chains.input_chain import InputChain, input_chain_of
from shoestring.artifact.chains.picture import Picture
from shoestring.artifact.format.file import Content, pack
from shoestring.artifact.format.graph import Node
from shoestring.label import Example
from shoestring.recipes.own_inputs import inputs_of

SHAPE = ("N", 3, 16, 16)
FLOAT = 1


def picture(path: Path, size: tuple[int, int] = (20, 10), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def written(path: Path, labels: tuple[str, ...] = ()) -> Path:
    """A file that gives its input back."""
    chain = InputChain(steps=(Picture(side=16),), labels=labels)
    path.write_bytes(pack(features_back(chain, SHAPE, FLOAT)))
    return path


def three_scores(chain: InputChain) -> Content:
    """A file whose scores of three classes are the mean red, green and blue."""
    made = features_back(chain, SHAPE, FLOAT)
    nodes = (Node("GlobalAveragePool", (0,), 1, ()), Node("Flatten", (1,), 1, ()))
    return replace(made, graph=replace(made.graph, nodes=nodes, results=(2,)))


def test_pictures_are_seen_as_in_training(tmp_path, shoestring):
    paths = [picture(tmp_path / "in" / f"{n}.png", seed=n) for n in range(3)]
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(paths[1])  # transparent: white
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    trained = inputs_of([Example(name=one.name, picture=one) for one in paths])
    assert trained.chain is not None
    assert trained.chain(("a", "b")).steps == (Picture(side=16),)
    written(tmp_path / "back.shoe")
    status, out, err = shoestring("run", "back.shoe", "in", "--out", "out.npz")
    assert status == 0, err
    seen = next(iter(np.load(tmp_path / "out.npz").values()))
    assert np.array_equal(seen, trained.tensors[0].numpy()) and (seen[1] == 1).all()
    # several, and from Python
    status, out, err = shoestring("run", "back.shoe", paths[2], paths[0], "--out", "two.npz")
    assert status == 0, err
    two = next(iter(np.load(tmp_path / "two.npz").values()))
    assert np.array_equal(two, seen[[2, 0]])
    assert np.array_equal(load(tmp_path / "back.shoe").from_raw(paths), seen)
    # arrays as before
    np.savez(tmp_path / "in.npz", seen)
    status, out, err = shoestring("run", "back.shoe", "in.npz", "--out", "same.npz")
    assert status == 0 and "input chain: Picture(side=16)" in out, err
    assert np.array_equal(next(iter(np.load(tmp_path / "same.npz").values())), seen)


def test_of_classes_a_line_each_is_printed_and_numbers_only_where_asked(tmp_path, shoestring):
    for n in range(2):
        picture(tmp_path / "in" / f"{n}.png", seed=n)
    labels = ("cat", "dog", "emu")
    chain = InputChain(steps=(Picture(side=16),), labels=labels)
    (tmp_path / "three.shoe").write_bytes(pack(three_scores(chain)))
    status, out, err = shoestring("run", "three.shoe", "in", "--out", "three.npz")
    assert status == 0, err
    (scores,) = np.load(tmp_path / "three.npz").values()
    assert scores.shape == (2, 3)
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    lines = [
        f"in/{n}.png: {labels[scores[n].argmax()]} ({100 * shares[n].max():.1f} %)"
        for n in range(2)
    ]
    assert out.splitlines()[:2] == lines
    status, out, _ = shoestring("run", "three.shoe", "in")
    assert status == 0 and out.splitlines() == lines
    status, out, _ = shoestring("run", "three.shoe", "in/0.png", "in/0.png")
    assert out.splitlines() == lines[:1] * 2
    status, out, _ = shoestring("run", "three.shoe", "in", "--json")
    told = json.loads(out)
    assert [one["class"] for one in told["answers"]] == [line.split()[1] for line in lines]
    assert np.allclose(next(iter(told["outputs"].values())), scores)
    status, _, err = shoestring("run", "three.shoe", "three.npz", "--json")
    assert status == 1 and "--json is for pictures" in err


def test_what_is_no_picture_is_told(tmp_path, shoestring):
    written(tmp_path / "back.shoe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_text("x")
    for name, word in (
        ("bad.png", "bad.png does not open as a picture"),
        ("none.png", "there is no picture none.png"),
        ("empty", "the folder empty has no picture"),
    ):
        status, _, err = shoestring("run", "back.shoe", name)
        assert status == 1 and word in err
    other = tmp_path / "other.shoe"
    other.write_bytes(pack(features_back(None, SHAPE, FLOAT)))
    status, _, err = shoestring("run", "other.shoe", "bad.png", "none.png")
    assert status == 1 and "several are for files that take pictures" in err
    status, _, err = shoestring("run", "other.shoe", "bad.png")
    assert status == 1 and "bad.png is not an .npz file" in err


@pytest.mark.parametrize("raw", [[], 3, [np.zeros((2, 2))], {"a": 1}])
def test_raw_inputs_are_paths(raw):
    with pytest.raises(ValueError, match="give a path"):
        Picture(side=16)(raw)


def test_the_chain_is_in_the_notes_of_a_file():
    chain = InputChain(steps=(Picture(side=64),), labels=("cat", "dog"))
    assert chain.takes_pictures and not chain.takes_texts and chain.job is None
    assert chain.shape == (1, 3, 64, 64) and input_chain_of(chain.notes()) == chain
    with pytest.raises(ValueError, match="side is 0"):
        Picture(side=0)
