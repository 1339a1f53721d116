"""Files of every version of the format go on loading, and go on answering as they did.

`python tests/artifact/test_golden.py` (with tests/ on the path) writes those of the present version; committed ones never change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import load, read
from shoestring.artifact.file import VERSION

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.shoe"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_golden_file_answers_as_it_did(file):
    loaded = load(file)
    with np.load(file.with_suffix(".npz")) as kept:
        inputs = {name.removeprefix("in "): kept[name] for name in kept.files if name.startswith("in ")}
        outputs = loaded.run(inputs)
        assert {f"out {name}" for name in outputs} == {name for name in kept.files if name.startswith("out ")}
        for name, value in outputs.items():
            np.testing.assert_allclose(value, kept[f"out {name}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_the_same_bits(file):
    with np.load(file.with_suffix(".npz")) as kept:
        sums = [int(one.bits.astype(np.uint64).sum()) for one in read(file).tensors]
        assert sums == kept["sums"].tolist()


def test_there_is_a_golden_file_of_every_version():
    assert {int(file.stem.split("_")[0][1:]) for file in FILES} == set(range(1, VERSION + 1))


def make() -> None:
    """Write golden files of the present version, from the zoo."""
    import zoo

    from shoestring.core import chain
    from shoestring.kit import write
    from shoestring.prune import Magnitude
    from shoestring.quantize import Shared

    for name in ("convolutions", "residual", "lstm", "bert", "half", "dict_output"):
        model, task = getattr(zoo, name)()
        small = chain(Magnitude(density=0.3, steps=0), Shared(levels=8, steps=0))(model, task)
        for stage, made in (("plain", model), ("coded", small)):
            path = GOLDEN / f"v{VERSION}_{name}_{stage}.shoe"
            if (name == "bert" and stage == "plain") or path.exists():
                continue
            write(made, task, path)
            args, kwargs = task.example()
            loaded = load(path)
            inputs = [zoo.bare(one) for one in (*args, *kwargs.values())]
            named = {port.name: np.asarray(one) for port, one in zip(loaded.inputs, inputs, strict=True)}
            arrays = {f"in {n}": v for n, v in named.items()} | {f"out {n}": v for n, v in loaded.run(named).items()}
            sums = np.array([int(one.bits.astype(np.uint64).sum()) for one in read(path).tensors])
            np.savez_compressed(path.with_suffix(".npz"), sums=sums, **arrays)


if __name__ == "__main__":
    make()
