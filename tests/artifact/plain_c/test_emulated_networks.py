"""Trained networks as C on emulated cores: their outputs are those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_firmware import needed
from tiers import repetitions

from shoestring.artifact import Content, load, read_model
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.firmware import measure, program_for
from shoestring.artifact.plain_c.weight_source import Decoded, Packed

FILES = Path(__file__).parents[3] / "benchmarks" / "results" / "files"
MANY, FEW = repetitions(5, 200), repetitions(5, 20)
"""Examples on a Cortex-M3, and on the other cores."""
NETWORKS = {
    "digits_flash_6kb": "digits",
    "lenet5_rate_5e-05": "mnist",
    "lenet300_rate_1.5e-05": "mnist",
    "normfirst_xnor": "mnist",
}
LIMITS = {
    # flash, RAM of coded weights on a Cortex-M3, in bytes
    "digits_flash_6kb": (6000, 4500),
    "lenet5_rate_5e-05": (8000, 12_500),
    "lenet300_rate_1.5e-05": (7000, 5000),
    "normfirst_xnor": (72_000, 4000),
}


def examples(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first pictures of a test split, and their classes."""
    pytest.importorskip("torch")
    from shoestring import tasks

    try:
        task = getattr(tasks, name)()
    except tasks.DataError as error:
        pytest.skip(f"needs {name}: {error}")
    pictures, classes = (np.asarray(part)[:count] for part in task.test)
    return pictures.astype(np.float32), classes


@pytest.mark.by_default(
    "cortex-m3-Coded-digits_*", "cortex-m3-Coded-lenet*", "cortex-m0plus-Coded-digits_*"
)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "weights", [Decoded(), Packed(), Coded()], ids=lambda one: type(one).__name__
)
@pytest.mark.parametrize(
    "core", ["cortex-m0plus", "cortex-m3", "cortex-m4f", "cortex-m7", "riscv32"]
)
def test_a_network_gives_the_outputs_of_its_file(core, weights, name, tmp_path: Path) -> None:
    target = needed(core)
    path = FILES / f"{name}.shoe"
    pictures, classes = examples(NETWORKS[name], MANY if core == "cortex-m3" else FEW)
    content = read_model(path)
    assert isinstance(content, Content)
    written = export_c(content, name=name, weights=weights)
    (tmp_path / "network.c").write_text(written.text)
    measured = measure(program_for(written, tmp_path / "network.c"), target, pictures)
    wanted = np.asarray(load(path)(pictures)).reshape(len(pictures), -1)
    assert measured.outputs is not None
    np.testing.assert_allclose(measured.outputs, wanted, rtol=1e-4, atol=1e-4)
    assert np.array_equal(measured.outputs.argmax(1), wanted.argmax(1))
    assert (measured.outputs.argmax(1) == classes).mean() >= 0.95 or len(classes) < 20
    if isinstance(weights, Coded) and core == "cortex-m3":
        flash, ram = LIMITS[name]
        assert measured.flash <= flash and measured.ram is not None and measured.ram <= ram
