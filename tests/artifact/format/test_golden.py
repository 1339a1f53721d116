"""Files of every version of the format still load, and still give the same outputs.

`python tests/artifact/format/test_golden.py` (with tests/ and tests/artifact/ on the path) writes
the files of the current versions that are not there. Committed files never change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import load, read
from shoestring.artifact.format import blocks, indexed
from shoestring.artifact.format.file import (
    ENTRIES_VERSION,
    REGION,
    TABLE,
    VERSION,
    Content,
    pack,
    sections,
    unpack_any,
)
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import (
    BLOCKS,
    CODINGS,
    LEVELS,
    RAW,
    ZEROS,
    Tensor,
    tensor,
)

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


def version(file: Path) -> int:
    return int(file.stem.split("_")[0][1:])


def test_there_is_a_golden_file_of_every_version():
    assert {version(file) for file in ENTRIES} == {ENTRIES_VERSION}
    assert {version(file) for file in FILES} == {*range(1, VERSION + 1), indexed.VERSION}
    assert {version(file) for file in CHECKPOINTS} == {VERSION, indexed.VERSION}
    assert all(file.read_bytes()[4] == version(file) for file in GOLDEN.glob("*.shoe"))
    assert all(file.stat().st_size < 12_000 for file in FILES + CHECKPOINTS)


def test_the_golden_files_of_this_version_have_every_coding():
    """Version 2 has every coding but blocks, which version 4 has."""
    ours = {number: set[int]() for number in (VERSION, indexed.VERSION)}
    for file in FILES + CHECKPOINTS:
        if version(file) in ours:
            ours[version(file)] |= {one.coding for one in unpack_any(file.read_bytes()).packed}
    assert ours[VERSION] == set(range(len(CODINGS))) - {BLOCKS}
    assert ours[indexed.VERSION] == {RAW, LEVELS, ZEROS, BLOCKS}


def test_the_golden_blocks_are_of_every_kind():
    found: set[int] = set()
    for file in FILES + CHECKPOINTS:
        if version(file) == indexed.VERSION:
            body = sections(file.read_bytes())
            tensors = unpack_any(file.read_bytes()).tensors
            table = indexed.read_table(
                indexed.Region(body[TABLE], body[REGION]), [one.bits.size for one in tensors]
            )
            found |= {
                body[REGION][block.begin] for _, parts in table.tensors.values() for block in parts
            }
    assert found == {blocks.PLANES, blocks.SPARSE, blocks.LEVELS}


def make() -> None:
    """Write golden files of the present version, from the zoo."""
    import zoo

    from shoestring.core import chain
    from shoestring.kit import write
    from shoestring.prune import Magnitude
    from shoestring.quantize import WeightSharing

    make_checkpoint()
    make_checkpoint_of_blocks()
    make_model_of_blocks()
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
    keep(path)


def make_checkpoint_of_blocks() -> None:
    """A tensor for each kind of block, with a last block that is short, and three small tensors."""
    from made_blocks import SHORT, checkpoint

    path = GOLDEN / f"v{indexed.VERSION}_checkpoint.shoe"
    if path.exists():
        return
    rng = np.random.default_rng(4)
    count = (1 << 14) + 1001
    floats = rng.choice(
        np.array([0.0, -0.0, 1.5, np.nan], np.float32), count, p=[0.97, *[0.01] * 3]
    )
    sparse = np.where(rng.random(count) < 0.01, rng.standard_normal(count), 0).astype(np.float32)
    planes = np.repeat(rng.integers(-3, 3, count // 1000 + 1), 1000)[:count]
    values = [
        tensor(floats.reshape(3, -1), 0),
        Tensor(16, (sparse.view(np.uint32) >> 16).astype(np.uint16), 1),
        tensor(planes.astype(np.int8), 2),
        tensor(np.full((2, 1 << 14), -2.5), 3),
        tensor(rng.random(count) < 0.002, 4),
        tensor(rng.standard_normal(5).astype(np.float16), 5),
    ]
    kinds = [blocks.LEVELS, blocks.SPARSE, blocks.PLANES, blocks.PLANES, blocks.SPARSE, None]
    path.write_bytes(checkpoint(rng, values, kinds, 14, SHORT).made())
    keep(path)
    found = unpack_any(path.read_bytes()).tensors
    assert [one.bits.tobytes() for one in found] == [one.bits.tobytes() for one in values]


def make_model_of_blocks() -> None:
    """y = relu(x @ a + b) @ c, where a is in blocks, with names, a licence and a note."""
    from made_blocks import SHORT, InBlocks, Parts, block

    from shoestring.artifact.format import about, entries, tensor_writer
    from shoestring.artifact.wire import unsqueeze

    path = GOLDEN / f"v{indexed.VERSION}_blocks.shoe"
    if path.exists():
        return
    rng = np.random.default_rng(4)
    large = np.where(rng.random((128, 200)) < 0.02, rng.integers(-3, 4, (128, 200)), 0)
    values = [
        tensor(large.astype(np.float32) / 4, 0),
        tensor(np.zeros(200, np.float32), 1),
        tensor(rng.integers(-2, 3, (200, 3)).astype(np.float32) / 8 + 0, 2),
    ]
    graph = Graph(
        opset=20,
        inputs=(Port("x", 1, ("N", 128)),),
        weights=3,
        constants=(),
        nodes=(Node("Gemm", (0, 1, 2), 1), Node("Relu", (4,), 1), Node("MatMul", (5, 3), 1)),
        outputs=(Port("y", 1),),
        results=(6,),
        arguments=((0,), {}),
        structure=0,
    )
    notes = {"licence": "MIT", "note": "a golden file"}
    content = Content(graph, values, names=("a", "b", "c"), notes=notes)
    rest = tensor_writer.encode(values[1:])
    flat = values[0].bits.reshape(-1)
    made = tuple(block(rng, part, 1, blocks.SPARSE, SHORT) for part in np.split(flat, [1 << 14]))
    parts = Parts(
        b"\3\x10" + b"\x80\1\xc8\1" + bytes(rest.headers[1:]),
        unsqueeze(about.encode(content.names, notes, 4), "names", 1000),
        entries.encode({"": graph}, unnamed=True),
        rest.stream,
        bytes(rest.plain),
        (InBlocks(0, 14, made),),
    )
    path.write_bytes(parts.made())
    found = {"x": rng.integers(-4, 5, (2, 128)).astype(np.float32)}
    outputs = load(path).run(found)
    sums = np.array([int(one.bits.astype(np.uint64).sum()) for one in values])
    arrays = {"in x": found["x"], **{f"out {name}": value for name, value in outputs.items()}}
    np.savez_compressed(path.with_suffix(".npz"), sums=sums, **arrays)


def keep(path: Path) -> None:
    """Write beside a checkpoint what is in it."""
    content = unpack_any(path.read_bytes())
    arrays = {f"tensor {place}": one.bits for place, one in enumerate(content.tensors)}
    names, notes = np.array(content.names), np.array(list(content.notes.items()))
    np.savez_compressed(path.with_suffix(".npz"), names=names, notes=notes, **arrays)


if __name__ == "__main__":
    make()
