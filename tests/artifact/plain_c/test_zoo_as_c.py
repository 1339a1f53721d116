"""Models of many kinds, exported from torch, as C: beside what their files give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_compiled import build, needs_gcc, outputs
from zoo import ZOO, Animal

from shoestring.artifact import read
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.kit import save

WITHOUT = ("timed",)  # its batch has a second axis


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize(
    "animal", [one for one in ZOO if one.name not in WITHOUT], ids=lambda one: one.name
)
def test_a_model_as_c_gives_what_its_file_gives(animal: Animal, tmp_path: Path) -> None:
    model, task = animal()
    save(model, task, tmp_path / "model.shoe")
    content = read(tmp_path / "model.shoe")
    axes = {
        Axis.read(size).name: 6
        for port in content.graph.inputs
        for place, size in enumerate(port.shape)
        if isinstance(size, str) and place
    }
    made = export_c(content, name="n", weights=Coded(), axes=axes)
    drawn, loaded = np.random.default_rng(0), Loaded(content, threads=1)
    kinds = [np.float32 if one.kind == "float" else np.int64 for one in made.emitted.inputs]
    case = [
        drawn.normal(size=port.shape).astype(kind)
        if kind is np.float32
        else drawn.integers(0, 5, port.shape)
        for port, kind in zip(made.emitted.inputs, kinds, strict=True)
    ]
    halves = "Numbers of 16 bits are floats" in " ".join(made.said())
    feeds = {
        port.name: array.astype(np.float16) if halves else array
        for port, array in zip(content.graph.inputs, case, strict=True)
    }
    case = [
        feeds[port.name].astype(kind)
        for port, kind in zip(content.graph.inputs, kinds, strict=True)
    ]
    wanted = list(loaded.run(feeds).values())
    got = outputs(made, build(made, tmp_path), [case])[0]
    for one, other in zip(got, wanted, strict=True):
        scale = max(float(np.abs(np.asarray(other, np.float32)).max(initial=0)), 1e-3)
        apart = (4e-3 if halves else 2e-5) * scale
        np.testing.assert_allclose(one, np.asarray(other, np.float32), rtol=0, atol=apart)
