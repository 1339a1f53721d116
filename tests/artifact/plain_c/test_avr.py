"""C on an emulated ATmega2560, whose integers have 16 bits and whose constants stay in flash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_compiled import crosses
from c_graphs import Made
from test_emulated_networks import FILES, examples
from test_firmware import needed
from test_operators import KINDS, graphs

from shoestring.artifact import load, read
from shoestring.artifact.plain_c.board.targets import ToolError
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.firmware import Measured, measure, places, program_for
from shoestring.artifact.plain_c.weight_source import Decoded, Packed
from shoestring.artifact.runtime.loaded import Loaded


def measured(written: CFile, folder: Path, inputs: np.ndarray) -> Measured:
    target = needed("avr")
    path = folder / f"{written.name}.c"
    path.write_text(written.text)
    return measure(program_for(written, path), target, inputs)


@pytest.mark.slow
def test_a_network_gives_the_outputs_of_its_file_and_fits(tmp_path: Path) -> None:
    pictures, _ = examples("digits", 20)
    path = FILES / "digits_flash_6kb.shoe"
    found = measured(export_c(read(path), name="digits", weights=Coded()), tmp_path, pictures)
    wanted = np.asarray(load(path)(pictures))
    assert found.outputs is not None
    np.testing.assert_allclose(found.outputs, wanted, rtol=1e-4, atol=1e-4)
    assert found.flash < 8000 and found.ram is not None and found.ram < 4500
    assert found.ram - found.ram_static > 100  # the stack, painted


@pytest.mark.slow
@pytest.mark.parametrize("weights", [Coded(), Packed()], ids=lambda one: type(one).__name__)
def test_a_network_of_8_bits_gives_the_integers_of_its_file(
    weights: Coded | Packed, tmp_path: Path
) -> None:
    pictures, _ = examples("digits", 20)
    from shoestring import tasks
    from shoestring.kit import from_shoe, save
    from shoestring.quantize import PostTraining

    task = tasks.digits().sealed()
    path = tmp_path / "integers.shoe"
    save(PostTraining(examples=64)(from_shoe(FILES / "digits_flash_6kb.shoe"), task), task, path)
    found = measured(export_c(read(path), name="digits", weights=weights), tmp_path, pictures)
    np.testing.assert_array_equal(found.outputs, np.asarray(load(path)(pictures)))
    assert found.ram is not None and found.ram < 2048  # what an ATmega328P has


@pytest.mark.slow
@pytest.mark.parametrize("kind", [one for one in KINDS if one != "pointwise"])
def test_random_graphs_give_what_the_runtime_gives(kind: str, tmp_path: Path) -> None:
    fits = 0
    for written, loaded in graphs(kind, 8):
        out = written.emitted
        ports = sum(4 * port.count for port in (*out.inputs, *out.outputs))
        if out.memory.arena_bytes + ports > 7000:
            continue
        fits += 1
        drawn = np.random.default_rng(0)
        arrays = [
            drawn.normal(size=(2, *port.shape)).astype(np.float32)
            for port in written.emitted.inputs
        ]
        ends = places([4 * port.count for port in written.emitted.inputs])
        rows = np.zeros((2, ends[-1] // 4), np.float32)
        for array, at in zip(arrays, ends, strict=False):
            rows[:, at // 4 : at // 4 + array[0].size] = array.reshape(2, -1)
        found = measured(written, tmp_path, rows)
        assert found.raw is not None
        for place in range(2):
            wanted = np.asarray(loaded(*(array[place] for array in arrays))[0]).reshape(-1)
            got = found.raw[place][: 4 * wanted.size].view(np.float32)
            scale = max(float(np.abs(wanted).max(initial=0)), 1e-3)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-5 * scale)
    assert fits >= 3


def test_weights_as_floats_and_weights_of_few_levels_in_one_function(tmp_path: Path) -> None:
    drawn, made = np.random.default_rng(0), Made(x=(1, 2, 6, 6))
    value = made.node("Conv", "x", drawn.normal(size=(3, 2, 3, 3)), pads=(1, 1, 1, 1))
    levels = drawn.integers(-2, 3, (3, 3, 3, 3)) * np.float32(0.3)
    content = made.content(made.node("Conv", value, levels, pads=(1, 1, 1, 1)))
    written = export_c(content, name="n", weights=Packed())
    assert "const N_ANY float *value" in written.text and "#define N_ANY __memx" in written.text
    case = drawn.normal(size=(1, 2, 6, 6)).astype(np.float32)
    found = measured(written, tmp_path, case)
    assert found.raw is not None
    wanted = np.asarray(Loaded(content, threads=1)(case)[0]).reshape(1, -1)
    got = found.raw.reshape(-1)[: 4 * wanted.size].view(np.float32)[None]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


def test_constants_that_16_bits_do_not_reach_are_refused(tmp_path: Path) -> None:
    made = Made(x=(1, 90))
    value = "x"
    for seed in range(3):
        weights = np.random.default_rng(seed).normal(size=(90, 90))
        value = made.node("Gemm", value, weights, transB=1)
    written = export_c(made.content(value), name="n", weights=Decoded())
    with pytest.raises(ToolError, match="n_constants_fit_64_KB"):
        measured(written, tmp_path, np.zeros((1, 90), np.float32))
    # With a section for each constant, as in Arduino's IDE, nothing else refuses it.
    flags = ("-Os", "-fdata-sections")
    with pytest.raises(AssertionError, match="n_constants_fit_64_KB"):
        crosses(written, tmp_path, "avr", flags)
