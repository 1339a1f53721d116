"""Committed files as C, on real inputs, beside what the files give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_compiled import CROSS, build, crosses, needs_gcc, outputs

from shoestring.artifact import load, read
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.weight_source import Decoded, Packed
from shoestring.artifact.runtime.loaded import Loaded

FILES = Path(__file__).parents[3] / "benchmarks" / "results" / "files"
STORAGES = {"decoded": Decoded(), "packed": Packed(), "coded": Coded()}
LENETS = (
    "lenet5_rate_5e-05",
    "lenet300_rate_1.5e-05",
    "lenet300_rate_4e-06",
    "lenet5_deep_compression",
    "lenet300_deep_compression",
    "baseline_lenet5",
    "normfirst_xnor",
)


def digits(count: int) -> np.ndarray:
    """Images of the test split of scikit-learn's digits, as large as MNIST's and in 0..1."""
    from sklearn.datasets import load_digits

    small = load_digits(return_X_y=True)[0][:count].reshape(-1, 8, 8).astype(np.float32) / 16
    large = np.kron(small, np.ones((1, 3, 3), np.float32))
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None]


def agree(made: CFile, program: Path, loaded, cases) -> None:
    """The outputs of the C and of the file: the same class, and 1e-4 apart at most."""
    for case, got in zip(cases, outputs(made, program, cases), strict=True):
        wanted = np.asarray(loaded(*case))
        np.testing.assert_allclose(got[0], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
        assert got[0].argmax() == wanted.argmax()


@needs_gcc
@pytest.mark.by_default("lenet5_rate_5e-05-coded", "lenet300_rate_1.5e-05-packed")
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", LENETS)
def test_lenets(name, storage, tmp_path):
    content = read(FILES / f"{name}.shoe")
    made = export_c(content, name="lenet", weights=STORAGES[storage])
    assert made.emitted.includes == ("stdint.h",)
    program = build(made, tmp_path)
    agree(made, program, load(FILES / f"{name}.shoe"), [[image[None]] for image in digits(20)])


@needs_gcc
def test_a_table_with_ids_and_numbers(tmp_path):
    path = FILES / "baseline_tabular.shoe"
    made = export_c(read(path), name="adult", weights=Packed())
    drawn = np.random.default_rng(0)
    cases = [
        [drawn.integers(0, 5, (1, 8)), drawn.normal(size=(1, 6)).astype(np.float32) * 40]
        for _ in range(20)
    ]
    agree(made, build(made, tmp_path), load(path), cases)


@needs_gcc
@pytest.mark.parametrize("name", ["v2_half_coded", "v2_convolutions_grid"])
def test_files_of_an_older_format(name, tmp_path):
    """One in float16, which C computes in floats, and one with a transposed convolution."""
    content = read(Path(__file__).parents[1] / "format" / "golden" / f"{name}.shoe")
    made, loaded = export_c(content, name="n", weights=Coded()), Loaded(content, threads=1)
    halves = "half" in name
    assert ("Numbers of 16 bits are floats" in " ".join(made.said())) is halves
    assert "float *" in made.emitted.declarations
    drawn = np.random.default_rng(0)
    kind = np.float16 if halves else np.float32
    cases = [[drawn.normal(size=made.emitted.inputs[0].shape).astype(kind)] for _ in range(5)]
    for case, got in zip(cases, outputs(made, build(made, tmp_path), cases), strict=True):
        wanted = np.asarray(loaded(*case)).astype(np.float32)
        apart = (3e-3 if halves else 1e-5) * np.abs(wanted).max()
        np.testing.assert_allclose(got[0], wanted, rtol=0, atol=apart)


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20_rate_4e-06", "vgg_rate_4e-06", "baseline_mobilenet"])
def test_networks_for_pictures(name, tmp_path):
    path = FILES / f"{name}.shoe"
    made = export_c(read(path), name="network", weights=Coded())
    drawn = np.random.default_rng(0)
    cases = [[drawn.random((1, 3, 32, 32), np.float32)] for _ in range(2)]
    agree(made, build(made, tmp_path, ("-O2", "-fsanitize=address,undefined")), load(path), cases)


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "mobilenet"])
def test_networks_for_pictures_in_integers_are_the_files_bit_for_bit(name, tmp_path):
    """Quantised here, on pictures that are random but smooth, which is all that this needs."""
    import torch

    from shoestring.kit import Supervised, from_shoe, save
    from shoestring.quantize import PostTraining

    drawn = torch.Generator().manual_seed(0)
    pictures = torch.rand(80, 3, 8, 8, generator=drawn)
    pictures = torch.nn.functional.interpolate(pictures, 32, mode="bilinear")
    labels = torch.arange(80) % 10
    task = Supervised(
        train=(pictures[:64], labels[:64]),
        validation=(pictures[64:72], labels[64:72]),
        test=(pictures[72:], labels[72:]),
        criterion=torch.nn.functional.cross_entropy,
    )
    model = from_shoe(FILES / f"baseline_{name}.shoe")
    quantised = PostTraining(examples=64)(model, task.sealed())
    path = tmp_path / "integers.shoe"
    save(quantised, task.sealed(), path)
    made = export_c(read(path), name="network", weights=Decoded())
    products = [layer for layer in made.network.layers if isinstance(layer, Product)]
    assert len(products) > 20 and all(layer.zero is not None for layer in products)
    program = build(made, tmp_path, ("-O2", "-fsanitize=address,undefined"))
    loaded = load(path)
    cases = [[picture[None].numpy()] for picture in pictures[:4]]
    for case, got in zip(cases, outputs(made, program, cases), strict=True):
        np.testing.assert_array_equal(got[0], loaded(*case))


@pytest.mark.by_default("cortex-m3-*")
@pytest.mark.parametrize("name", ["lenet5_rate_5e-05", "normfirst_xnor", "baseline_tabular"])
@pytest.mark.parametrize("target", CROSS)
def test_compilers_for_microcontrollers_find_no_fault(target, name, tmp_path):
    if target == "avr" and name != "lenet5_rate_5e-05":
        pytest.skip("it has an array of more than 32,767 bytes, the most there")
    made = export_c(read(FILES / f"{name}.shoe"), name="network", weights=Coded())
    crosses(made, tmp_path, target)


def test_the_same_file_gives_the_same_text():
    content = read(FILES / "lenet5_rate_5e-05.shoe")
    texts = {export_c(content, name="lenet", weights=Coded(), header=True).text for _ in range(2)}
    assert len(texts) == 1
    assert "2026" not in texts.pop()


def test_the_memory_of_lenet5():
    """The first feature maps, 15 × 12 × 12 floats, and the taps of a row are what is in the arena.

    The rest has room in the input, which has been read by then.
    """
    made = export_c(read(FILES / "lenet5_rate_5e-05.shoe"), name="lenet", weights=Coded())
    memory = made.emitted.memory
    assert memory.arena_bytes == 15 * 12 * 12 * 4 + 128
    assert memory.written == (0,)
    assert "float *images" in made.emitted.declarations
    kept = export_c(
        read(FILES / "lenet5_rate_5e-05.shoe"), name="lenet", weights=Coded(), reuse_inputs=False
    )
    assert kept.emitted.memory.written == ()
    assert "const float *images" in kept.emitted.declarations
    assert kept.emitted.memory.arena_bytes > memory.arena_bytes
