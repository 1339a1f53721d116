"""Layers of integers as C: bit for bit what ONNX Runtime's integer kernels give."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
import pytest
import tiers
from c_compiled import build, needs_gcc, outputs
from c_graphs import Made

from shoestring.artifact.plain_c.building import OnGrid
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.emit_products import fixed
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.integer_add import integer_add, runtime_sums
from shoestring.artifact.plain_c.layers import IntegerAdd, Product, Reduce
from shoestring.artifact.plain_c.weight_source import Decoded, Packed
from shoestring.artifact.runtime.loaded import Loaded

Random = np.random.Generator
STORAGES = (Decoded(), Packed(), Coded())


class Grids:
    """Adds quantised layers to a graph, as our files have them."""

    def __init__(self, drawn: Random, made: Made, kind: str) -> None:
        self.drawn, self.made, self.kind = drawn, made, kind

    def on_grid(self, value: str, reach: float, *, relu: bool = False) -> str:
        """The value rounded to a grid of 8 bits: QuantizeLinear, then DequantizeLinear."""
        scale = np.float32((reach if relu else 2 * reach) / 255)
        low = 0 if self.kind == "uint8" else -128
        zero = low if relu else low + int(self.drawn.integers(100, 150))
        self.scale, self.zero = scale, zero
        grid = [scale, np.asarray(zero, self.kind)]
        integers = self.made.node("QuantizeLinear", value, *grid)
        return self.made.node("DequantizeLinear", integers, *grid)

    def again(self, value: str) -> str:
        """The value on the same grid once more, as our files have it where only its shape changed.

        The runtime looks for DequantizeLinear right before a layer.
        """
        grid = [self.scale, np.asarray(self.zero, self.kind)]
        integers = self.made.node("QuantizeLinear", value, *grid)
        return self.made.node("DequantizeLinear", integers, *grid)

    def weights(self, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
        """(weights of 8 bits, dequantised; their scales)."""
        integers = self.drawn.integers(-127, 128, shape).astype(np.int8)
        if self.drawn.random() < 0.5:
            integers[self.drawn.random(shape) < 0.6] = 0
        rows = shape[0] if self.drawn.random() < 0.7 else 1
        scales = (self.drawn.random(rows) * 0.01 + 0.002).astype(np.float32)
        scales = scales if rows > 1 else scales.reshape(())
        zeros = np.zeros(scales.shape, np.int8)
        axis: dict[str, Any] = {"axis": 0} if scales.ndim else {}
        return self.made.node("DequantizeLinear", integers, scales, zeros, **axis), scales

    def bias(self, scales: np.ndarray, rows: int) -> str:
        """A bias of 32 bits on the scale of the sums, dequantised."""
        all_scales = np.broadcast_to(scales.reshape(-1) * self.scale, (rows,)).astype(np.float32)
        integers = self.drawn.integers(-3000, 3000, rows).astype(np.int32)
        return self.made.node(
            "DequantizeLinear", integers, all_scales, np.zeros(rows, np.int32), axis=0
        )

    def convolution(self, value: str, channels: int, rows: int, groups: int) -> str:
        """A convolution of a value on a grid."""
        drawn = self.drawn
        kernel = tuple(int(n) for n in drawn.integers(1, 4, 2))
        weights, scales = self.weights((rows, channels // groups, *kernel))
        inputs = [value, weights]
        if drawn.random() < 0.7:
            inputs.append(self.bias(scales, rows))
        return self.made.node(
            "Conv",
            *inputs,
            group=groups,
            strides=tuple(int(n) for n in drawn.integers(1, 3, 2)),
            pads=tuple(int(n) for n in drawn.integers(0, 2, 4)),
        )


def network(seed: int, kind: str = "uint8") -> Made:
    """A convolution, a pool, a residual sum, a mean and a matrix product, all on grids."""
    drawn, made = np.random.default_rng(seed), Made(x=(1, 2, 9, 10))
    grids = Grids(drawn, made, kind)
    relu = bool(drawn.integers(0, 2))
    value = grids.on_grid("x", 2.0)
    depthwise = drawn.random() < 0.3
    rows = 2 if depthwise else 4
    value = grids.convolution(value, 2, rows, 2 if depthwise else 1)
    value = grids.on_grid(value, 3.0, relu=relu)
    if drawn.random() < 0.6:
        value = made.node("MaxPool", value, kernel_shape=(2, 2), strides=(2, 2))
    weights, scales = grids.weights((rows, rows, 3, 3))
    bias = grids.bias(scales, rows)
    other = made.node("Conv", value, weights, bias, pads=(1, 1, 1, 1))
    other = grids.on_grid(other, 4.0)
    value = grids.on_grid(made.node("Add", other, value), 5.0, relu=True)
    value = grids.on_grid(made.node("GlobalAveragePool", value), 2.0, relu=True)
    value = grids.again(made.node("Flatten", value))
    weights, scales = grids.weights((5, rows))
    bias = grids.bias(scales, 5)
    made.node("Gemm", value, weights, bias, transB=1, to="y")
    return made


@needs_gcc
def test_random_networks_of_integers_are_the_runtimes_bit_for_bit(tmp_path):
    contents = [network(seed).content("y") for seed in range(tiers.repetitions(6, 100))]
    made = [
        export_c(content, name=f"n{number}", weights=STORAGES[number % 3])
        for number, content in enumerate(contents)
    ]
    program = build(made, tmp_path)
    for number, (one, content) in enumerate(zip(made, contents, strict=True)):
        kinds = [type(layer) for layer in one.network.layers]
        assert kinds.count(Product) == 3 and Reduce in kinds
        added = [p for p in one.network.layers if isinstance(p, Product) and p.added is not None]
        assert len(added) == 1 and IntegerAdd not in kinds
        assert all(p.zero is not None for p in one.network.layers if isinstance(p, Product))
        drawn, loaded = np.random.default_rng(number), Loaded(content, threads=1)
        cases = [[drawn.normal(size=(1, 2, 9, 10)).astype(np.float32)] for _ in range(20)]
        for case, got in zip(cases, outputs(one, program, cases, number), strict=True):
            np.testing.assert_array_equal(got[0], loaded(*case)[0], err_msg=f"network {number}")


@needs_gcc
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_several_rows_of_dense_layers_at_once_give_the_same_integers(kind, tmp_path):
    """Also where their number is no multiple, and beside a layer that has fewer."""
    drawn, made = np.random.default_rng(7), Made(x=(1, 9))
    grids = Grids(drawn, made, kind)
    value = grids.on_grid("x", 2.0)
    for rows, columns in ((4, 9), (7, 4), (13, 7), (3, 13), (5, 3)):
        weights, scales = grids.weights((rows, columns))
        last = {"to": "y"} if rows == 5 else {}
        value = made.node("Gemm", value, weights, grids.bias(scales, rows), transB=1, **last)
        value = value if last else grids.on_grid(value, 4.0)
    together, apart = (
        export_c(made.content("y"), name=name, weights=storage)
        for name, storage in (("together", Decoded()), ("apart", Packed()))
    )
    assert "sums[4]" in together.text and "sums[4]" not in apart.text
    program = build([together, apart], tmp_path)
    cases = [[drawn.normal(size=(1, 9)).astype(np.float32)] for _ in range(50)]
    results = [outputs(one, program, cases, at) for at, one in enumerate((together, apart))]
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])
    if kind == "uint8":
        loaded = Loaded(made.content("y"), threads=1)
        for case, got in zip(cases, results[0], strict=True):
            np.testing.assert_array_equal(got[0], loaded(*case)[0])


@needs_gcc
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_several_rows_of_convolutions_at_once_give_the_same_integers(kind, tmp_path):
    """With pads, strides, dilations, a number of rows that is no multiple, and a residual sum."""
    drawn, made = np.random.default_rng(8), Made(x=(1, 3, 11, 9))
    grids = Grids(drawn, made, kind)
    value = grids.on_grid("x", 2.0)
    layers = (
        (7, 3, {"strides": (2, 1), "pads": (1, 2, 0, 1)}),
        (8, 7, {"dilations": (2, 1), "pads": (2, 1, 2, 1)}),
        (8, 8, {"pads": (1, 1, 1, 1)}),
    )
    for number, (rows, channels, how) in enumerate(layers):
        weights, scales = grids.weights((rows, channels, 3, 3))
        before = value
        value = made.node("Conv", value, weights, grids.bias(scales, rows), **how)
        value = grids.on_grid(value, 3.0 + 0.37 * number)
        if number == 2:
            value = grids.on_grid(made.node("Add", value, before), 4.0, relu=True)
    value = made.node("Flatten", grids.on_grid(made.node("GlobalAveragePool", value), 2.0))
    weights, scales = grids.weights((5, 8))
    made.node("Gemm", grids.again(value), weights, grids.bias(scales, 5), transB=1, to="y")
    together, apart = (
        export_c(made.content("y"), name=name, weights=storage)
        for name, storage in (("together", Decoded()), ("apart", Packed()))
    )
    assert together.text.count("sums[4]") == 2 and "*patch" in together.text
    assert "sums[4]" not in apart.text
    program = build([together, apart], tmp_path)
    cases = [[drawn.normal(size=(1, 3, 11, 9)).astype(np.float32)] for _ in range(50)]
    results = [outputs(one, program, cases, at) for at, one in enumerate((together, apart))]
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])


@needs_gcc
def test_inputs_as_integers_give_the_same(tmp_path):
    content = network(1).content("y")
    floats = export_c(content, name="floats")
    made = export_c(content, name="bytes", integer_inputs=True)
    ((_, scale, zero),) = made.network.grids
    assert f"#define BYTES_INPUT_ZERO {zero}" in made.emitted.declarations
    assert "uint8_t *x" in made.emitted.declarations
    assert len(made.network.layers) == len(floats.network.layers) - 1
    # Bytes may begin anywhere, and what is written over them may not.
    aligned = "/* The address of x is a multiple of 4. */"
    assert "/* It writes over x. */" in made.emitted.declarations
    assert aligned in made.emitted.declarations
    kept = export_c(content, name="kept", integer_inputs=True, reuse_inputs=False)
    for other in (floats, kept):
        assert aligned not in other.emitted.declarations
    for one in (made, floats, kept):
        assert "one call at a time" in one.emitted.declarations
    program = build([floats, made], tmp_path)
    drawn = np.random.default_rng(0)
    bytes_ = [[drawn.integers(0, 256, (1, 2, 9, 10))] for _ in range(20)]
    numbers = [[(case[0] - zero) * np.float32(scale)] for case in bytes_]
    for one, other in zip(
        outputs(floats, program, numbers), outputs(made, program, bytes_, 1), strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])


def test_a_network_without_a_grid_has_no_integers_to_take():
    made = Made(x=(1, 3))
    made.node("Relu", "x", to="y")
    with pytest.raises(NoPlainC, match="does not put its input x on a grid first"):
        export_c(made.content("y"), integer_inputs=True)


@needs_gcc
def test_signed_integers_are_within_a_step_of_the_runtimes(tmp_path):
    """On this runtime, layers of signed integers are computed in floats: they may round aside."""
    contents = [network(seed, "int8").content("y") for seed in range(tiers.repetitions(4, 40))]
    made = [export_c(content, name=f"n{number}") for number, content in enumerate(contents)]
    program = build(made, tmp_path)
    for number, (one, content) in enumerate(zip(made, contents, strict=True)):
        drawn, loaded = np.random.default_rng(number), Loaded(content, threads=1)
        cases = [[drawn.normal(size=(1, 2, 9, 10)).astype(np.float32)] for _ in range(10)]
        got = np.array([one[0] for one in outputs(one, program, cases, number)])
        wanted = np.array([loaded(*case)[0] for case in cases])
        np.testing.assert_allclose(got, wanted, rtol=0, atol=0.02 * np.abs(wanted).max())


@needs_gcc
def test_sums_are_rescaled_as_floats_are_rounded(tmp_path):
    """Sums that are halves, nearly halves, and beyond 2^24, beside float32 arithmetic."""
    drawn = np.random.default_rng(0)
    factors = np.concatenate([drawn.random(40) * 0.02 + 1e-5, 2.0 ** -np.arange(1, 25)])
    factors = factors.astype(np.float32)
    sums = np.concatenate(
        [drawn.integers(-(2**17), 2**17, 3000), drawn.integers(-(2**31) + 1, 2**31, 500)]
    )
    halves = np.rint((np.arange(-300, 300) + 0.5) / factors[:, None].astype(np.float64))
    cases = [
        (int(total), float(factor))
        for factor, near in zip(factors, halves, strict=True)
        for total in (*sums[:200], *np.clip(near, -(2.0**31) + 1, 2.0**31 - 1).astype(np.int64))
    ]
    content = network(0).content("y")
    text = export_c(content, name="n").text
    start = text.index("static uint64_t n_halved")
    code = text[start : text.index("\n}\n", text.index("static int32_t n_rescale")) + 3]
    totals, values = np.array(cases).T
    mantissas, shifts = fixed(values.astype(np.float32), "a test")
    rows = zip(totals.astype(np.int64), mantissas, shifts, strict=True)
    table = "\n".join(f"{{{a}, {b}u, {c}}}," for a, b, c in rows)
    main = (
        f"#include <stdint.h>\n#include <stdio.h>\n{code}\n"
        "static const struct { int32_t sum; uint32_t mantissa; int shift; } t[] = {\n"
        f"{table}\n}};\nint main(void) {{ unsigned i; for (i = 0; i < {len(cases)}; i++)\n"
        '    printf("%d\\n", (int)n_rescale(t[i].sum, t[i].mantissa, t[i].shift)); return 0; }\n'
    )
    (tmp_path / "main.c").write_text(main)
    flags = ("-std=c99", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")
    subprocess.run(["gcc", *flags, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    got = np.array(said.split(), np.int64)
    floats = totals.astype(np.int32).astype(np.float32) * values.astype(np.float32)
    wanted = np.rint(np.clip(floats, -300, 300))
    np.testing.assert_array_equal(np.clip(got, -300, 300), wanted)


@pytest.mark.parametrize("seed", range(8))
def test_sums_of_pairs_are_the_runtimes_for_all_pairs(seed):
    drawn = np.random.default_rng(seed)
    limits = (0, 255) if seed % 2 else (-128, 127)
    first, second, out = (
        OnGrid(
            place, float(np.float32(drawn.random() * 0.05 + 0.005)), int(drawn.integers(*limits))
        )
        for place in range(3)
    )
    made = integer_add("a sum", first, second, out, limits)
    assert made is not None and len(made.exceptions) <= 12
    numbers = np.arange(limits[0], limits[1] + 1, dtype=np.int64)
    sums = numbers[:, None] * made.first + numbers[None, :] * made.second + made.offset
    assert np.abs(sums).max() < 2**31
    got = np.clip(sums >> made.shift, *limits)
    unit = 1 << made.shift
    for one, two, change in made.exceptions:
        place = one - limits[0], two - limits[0]
        got[place] += change
        rest = int(sums[place]) & (unit - 1)
        assert min(rest, unit - rest) <= made.near < unit >> 10
    np.testing.assert_array_equal(got, runtime_sums(first, second, out, limits))


def test_sums_by_hand():
    """Both scales 1, out scale 2, all zeros 0: (3 + 4) / 2 = 3.5 goes to 4, (2 + 3) / 2 to 2."""
    grid, out = OnGrid(0, 1.0, 0), OnGrid(2, 2.0, 0)
    sums = runtime_sums(grid, grid, out, (0, 255))
    assert (sums[3, 4], sums[2, 3], sums[255, 255], sums[4, 4]) == (4, 2, 255, 4)


@needs_gcc
def test_a_pool_after_a_scale_below_0_is_of_the_scaled_sums(tmp_path):
    drawn, made = np.random.default_rng(0), Made(x=(1, 3, 8, 8))
    zero = np.array(100, np.uint8)
    value = made.node("QuantizeLinear", "x", np.float32(0.02), zero)
    value = made.node("DequantizeLinear", value, np.float32(0.02), zero)
    integers = drawn.integers(-100, 100, (4, 3, 3, 3)).astype(np.int8)
    weights = made.node("DequantizeLinear", integers, np.float32(0.01), np.array(0, np.int8))
    value = made.node("Conv", value, weights)
    value = made.node("Mul", value, np.array([1.0, -1, -2, 0.5]).reshape(4, 1, 1))
    made.node("MaxPool", value, kernel_shape=(2, 2), strides=(2, 2), to="y")
    content = made.content("y")
    made_c = export_c(content, name="n")
    case = [drawn.random((1, 3, 8, 8)).astype(np.float32)]
    got = outputs(made_c, build(made_c, tmp_path), [case])[0][0]
    np.testing.assert_allclose(got, Loaded(content, threads=1)(*case)[0], atol=1e-4)
