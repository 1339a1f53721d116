"""Products of floats as C: weights of -1, 0 and 1, and residual sums in the same loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_compiled import build, needs_gcc, outputs
from c_graphs import Made

from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.layers import Pointwise, Product
from shoestring.artifact.plain_c.weight_source import Decoded, Packed
from shoestring.artifact.runtime.loaded import Loaded


def compare(made: Made, one: CFile, folder: Path, shape: tuple[int, ...]) -> None:
    """That the C gives what the runtime gives, for some inputs."""
    drawn, loaded = np.random.default_rng(1), Loaded(made.content("y"), threads=1)
    cases = [[drawn.normal(size=shape).astype(np.float32)] for _ in range(5)]
    for case, got in zip(cases, outputs(one, build(one, folder), cases), strict=True):
        wanted = loaded(*case)[0]
        np.testing.assert_allclose(got[0], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@needs_gcc
@pytest.mark.parametrize("levels", [(-1, 1), (-1, 0, 1)], ids=["binary", "ternary"])
@pytest.mark.parametrize("storage", [Decoded(), Packed(), Coded()], ids=lambda s: type(s).__name__)
def test_weights_of_one_size_are_added_up(levels, storage, tmp_path: Path) -> None:
    drawn, made = np.random.default_rng(len(levels)), Made(x=(1, 4, 9, 8))

    def weights(*shape: int) -> np.ndarray:
        return drawn.choice(levels, shape).astype(np.float32)

    scale = np.float32(0.25)
    value = made.node("Conv", "x", weights(6, 4, 3, 3), pads=[1] * 4)
    value = made.node("Mul", value, drawn.normal(size=(6, 1, 1)))
    value = made.node("Add", value, drawn.normal(size=(6, 1, 1)))
    value = made.node("MaxPool", value, kernel_shape=(2, 2), strides=(2, 2))
    value = made.node("Conv", value, weights(8, 6, 2, 2) * scale, drawn.normal(size=8))
    value = made.node("Flatten", made.node("Relu", value))
    made.node("Gemm", value, weights(5, 72) * scale, drawn.normal(size=5), transB=1, to="y")
    one = export_c(made.content("y"), weights=storage)
    products = [layer for layer in one.network.layers if isinstance(layer, Product)]
    assert len(products) == len(one.network.layers) == 3
    assert "value[" not in one.text and one.text.count("sum -= ") >= 3
    compare(made, one, tmp_path, (1, 4, 9, 8))


@needs_gcc
def test_a_residual_sum_is_computed_with_its_convolution(tmp_path: Path) -> None:
    """Two feature maps are enough: the sum is written over what is added."""
    drawn, made = np.random.default_rng(0), Made(x=(1, 3, 8, 8))

    def convolution(value: str, channels: int) -> str:
        weights = drawn.normal(size=(5, channels, 3, 3))
        return made.node("Conv", value, weights, drawn.normal(size=5), pads=[1] * 4)

    first = made.node("Relu", convolution("x", 3))
    second = convolution(made.node("Relu", convolution(first, 5)), 5)
    second = made.node("Relu", made.node("Add", second, first))
    third = convolution(made.node("Relu", convolution(second, 5)), 5)
    made.node("Clip", made.node("Add", second, third), np.float32(-1), np.float32(1), to="z")
    made.node("ReduceMean", "z", np.array([2, 3]), keepdims=0, to="y")
    one = export_c(made.content("y"), name="model")
    assert not any(isinstance(layer, Pointwise) for layer in one.network.layers)
    products = [layer for layer in one.network.layers if isinstance(layer, Product)]
    assert [layer.other is not None for layer in products] == [False, False, True, False, True]
    assert one.emitted.memory.arena_bytes < 2 * 5 * 64 * 4 + 400
    compare(made, one, tmp_path, (1, 3, 8, 8))


@needs_gcc
def test_a_convolution_that_something_else_reads_is_kept(tmp_path: Path) -> None:
    drawn, made = np.random.default_rng(0), Made(x=(1, 3, 6, 6))
    value = made.node("Conv", "x", drawn.normal(size=(3, 3, 3, 3)), pads=[1] * 4)
    total = made.node("Add", value, "x")
    made.node("Mul", total, value, to="y")
    one = export_c(made.content("y"), name="model")
    products = [layer for layer in one.network.layers if isinstance(layer, Product)]
    assert [layer.other for layer in products] == [None]
    compare(made, one, tmp_path, (1, 3, 6, 6))


@needs_gcc
@pytest.mark.parametrize("kind", ["floats", "levels", "units"])
def test_several_rows_of_dense_layers_at_once_change_no_bit(kind: str, tmp_path: Path) -> None:
    """Also where their number is no multiple, and beside a layer that has fewer."""
    drawn, made = np.random.default_rng(4), Made(x=(1, 9))

    def weights(*shape: int) -> np.ndarray:
        if kind == "floats":
            return drawn.normal(size=shape).astype(np.float32)
        levels = (-1, 0, 1) if kind == "units" else (-3, -1, 0, 0, 0, 2)
        return drawn.choice(levels, shape).astype(np.float32) * np.float32(0.3)

    value = "x"
    for rows, columns in ((4, 9), (7, 4), (13, 7), (3, 13)):
        bias = [drawn.normal(size=rows)] if rows != 13 else []
        value = made.node("Gemm", value, weights(rows, columns), *bias, transB=1)
        value = made.node("Relu", value, **({"to": "y"} if rows == 3 else {}))
    together, apart = (
        export_c(made.content("y"), name=name, weights=storage)
        for name, storage in (("together", Decoded()), ("apart", Packed()))
    )
    assert "sums[4]" in together.text and ("sums[4]" in apart.text) == (kind == "floats")
    compare(made, together, tmp_path, (1, 9))
    program = build([together, apart], tmp_path)
    cases = [[drawn.normal(size=(1, 9)).astype(np.float32)] for _ in range(20)]
    for got, wanted in zip(
        outputs(together, program, cases), outputs(apart, program, cases, 1), strict=True
    ):
        np.testing.assert_array_equal(got[0], wanted[0])
