"""Files of every version of the format still load, and still give the same outputs.

`python tests/artifact/format/test_golden.py` (with tests/ on the path) writes the files of the
current version. Committed files never change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import load, read
from shoestring.artifact.format.file import ENTRIES_VERSION, VERSION, pack, unpack_any
from shoestring.artifact.format.tensors import CODINGS

GOLDEN = Path(__file__).parent / "golden"
CHECKPOINTS = sorted(GOLDEN.glob("*_checkpoint.shoe"))
ENTRIES = sorted(GOLDEN.glob("*_entries.shoe"))
FILES = sorted({*GOLDEN.glob("*.shoe")} - {*CHECKPOINTS, *ENTRIES})


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_golden_file_answers_as_it_did(file):
    loaded = load(file)
    with np.load(file.with_suffix(".npz")) as kept:
        inputs = {
            name.removeprefix("in "): kept[name] for name in kept.files if name.startswith("in ")
        }
        outputs = loaded.run(inputs)
        assert {f"out {name}" for name in outputs} == {
            name for name in kept.files if name.startswith("out ")
        }
        for name, value in outputs.items():
            np.testing.assert_allclose(value, kept[f"out {name}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_the_same_bits(file):
    with np.load(file.with_suffix(".npz")) as kept:
        sums = [int(one.bits.astype(np.uint64).sum()) for one in read(file).tensors]
        assert sums == kept["sums"].tolist()


@pytest.mark.parametrize("file", CHECKPOINTS, ids=lambda path: path.stem)
def test_a_golden_checkpoint_decodes_to_the_same_bits(file):
    found = unpack_any(file.read_bytes())
    with np.load(file.with_suffix(".npz")) as kept:
        assert list(found.names) == kept["names"].tolist()
        assert dict(found.notes) == dict(kept["notes"].tolist())
        for place, one in enumerate(found.tensors):
            assert np.array_equal(one.bits, kept[f"tensor {place}"])
            assert one.bits.dtype == kept[f"tensor {place}"].dtype


@pytest.mark.parametrize("file", ENTRIES, ids=lambda path: path.stem)
def test_a_golden_file_with_entries_answers_as_it_did(file):
    loaded = load(file)
    with np.load(file.with_suffix(".npz")) as kept:
        for name, one in loaded.entries.items():
            inputs = {port.name: kept[f"in {name} {port.name}"] for port in one.inputs}
            for output, value in one.run(inputs).items():
                np.testing.assert_allclose(
                    value, kept[f"out {name} {output}"], rtol=1e-4, atol=1e-5
                )
        assert len(kept.files) == sum(
            len(one.inputs) + len(one.outputs) for one in loaded.entries.values()
        )


def test_there_is_a_golden_file_of_every_version():
    assert {int(file.stem.split("_")[0][1:]) for file in ENTRIES} == {ENTRIES_VERSION}
    assert {int(file.stem.split("_")[0][1:]) for file in FILES} == set(range(1, VERSION + 1))
    assert all(file.stat().st_size < 12_000 for file in FILES + CHECKPOINTS)


def test_the_golden_files_of_this_version_have_every_coding():
    ours = [
        unpack_any(file.read_bytes())
        for file in FILES + CHECKPOINTS
        if file.stem.startswith(f"v{VERSION}")
    ]
    assert {one.coding for content in ours for one in content.packed} == set(range(len(CODINGS)))


def make() -> None:
    """Write golden files of the present version, from the zoo."""
    import zoo

    from shoestring.core import chain
    from shoestring.kit import write
    from shoestring.prune import Magnitude
    from shoestring.quantize import WeightSharing

    make_checkpoint()
    for name in ("convolutions", "residual", "lstm", "bert", "half", "dict_output"):
        model, task = getattr(zoo, name)()
        small = chain(Magnitude(density=0.3, steps=0), WeightSharing(levels=8, steps=0))(
            model, task
        )
        stages = [("plain", model), ("coded", small)]
        if name in ("convolutions", "bert"):
            stages += [("grid", rounded(model, False)), ("smallest", rounded(model, False))]
        if name in ("convolutions", "lstm"):
            stages += [("slices", rounded(model, True))]
        for stage, made in stages:
            path = GOLDEN / f"v{VERSION}_{name}_{stage}.shoe"
            if (name == "bert" and stage == "plain") or path.exists():
                continue
            write(made, task, path, smallest=stage == "smallest")
            args, kwargs = task.example()
            loaded = load(path)
            inputs = [zoo.bare(one) for one in (*args, *kwargs.values())]
            named = {
                port.name: np.asarray(one) for port, one in zip(loaded.inputs, inputs, strict=True)
            }
            arrays = {f"in {n}": v for n, v in named.items()} | {
                f"out {n}": v for n, v in loaded.run(named).items()
            }
            sums = np.array([int(one.bits.astype(np.uint64).sum()) for one in read(path).tensors])
            np.savez_compressed(path.with_suffix(".npz"), sums=sums, **arrays)


def rounded(model, sliced: bool):
    """A copy with its weights on grids of about seven multiples.

    Each weight has one scale, or one for each of its slices along axis 0.
    """
    from shoestring.kit import clone, compressible

    model = clone(model)
    for weight in compressible(model, "golden"):
        spread = weight.raw.detach().reshape(len(weight.raw), -1)
        step = (
            spread.std(1).clamp_min(1e-3).reshape(-1, *[1] * (weight.raw.ndim - 1))
            if sliced
            else spread.std()
        )
        weight.round(step)
    return model


def make_checkpoint() -> None:
    from samples import checkpoint

    path = GOLDEN / f"v{VERSION}_checkpoint.shoe"
    if path.exists():
        return
    content = checkpoint()
    path.write_bytes(pack(content))
    arrays = {f"tensor {place}": one.bits for place, one in enumerate(content.tensors)}
    names, notes = np.array(content.names), np.array(list(content.notes.items()))
    np.savez_compressed(path.with_suffix(".npz"), names=names, notes=notes, **arrays)


if __name__ == "__main__":
    make()
