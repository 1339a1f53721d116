"""Layers of signs as C: products of bits, whose sums are the runtime's exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiers
from c_compiled import CROSS, build, crosses, needs_gcc, outputs
from c_graphs import Made
from test_emulated_networks import FILES, examples

from shoestring.artifact import Content, load, read_model
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.products import Affine
from shoestring.artifact.plain_c.sign_layers import PackSigns, SignProduct
from shoestring.artifact.plain_c.thresholds import folded
from shoestring.artifact.plain_c.weight_source import Decoded, Packed
from shoestring.artifact.runtime.loaded import Loaded

Random = np.random.Generator
STORAGES = (Decoded(), Packed(), Coded())


def sign(made: Made, value: str) -> str:
    """The signs of a value, as our files have them."""
    negative = made.node("Less", value, np.float32(0))
    return made.node("Where", negative, np.float32(-1), np.float32(1))


def norm(drawn: Random, made: Made, value: str, rows: int, spread: float) -> str:
    """A norm whose factors have both signs, and are 0 here and there."""
    scale = drawn.normal(size=rows)
    scale[drawn.random(rows) < 0.1] = 0
    return made.node(
        "BatchNormalization",
        value,
        scale,
        drawn.normal(size=rows),
        drawn.normal(size=rows) * spread,
        drawn.random(rows) * spread + 0.1,
    )


def signed(drawn: Random, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(drawn.random(shape) < 0.5, -1, 1).astype(np.float32)


def convolution(drawn: Random, made: Made, value: str, channels: int, rows: int, most: int) -> str:
    """A convolution of signs with a pad of 1, of -1, of zeros, or none, and what follows it."""
    value = sign(made, value)
    kernel = tuple(int(one) for one in drawn.integers(1, 4, 2))
    pad = drawn.choice(["one", "minus", "zero", "none"])
    pads = [int(one) for one in drawn.integers(0, 3, 4)]
    if pad in ("one", "minus"):
        around = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])
        value = made.node("Pad", value, around, np.float32(1 if pad == "one" else -1))
    within = bool(drawn.integers(0, 2))
    # Powers of 2: with others, the runtime's own sums are not exact, for it scales weights first.
    scales = 2.0 ** drawn.integers(-3, 3, (rows, 1, 1))
    weights = signed(drawn, (rows, channels, *kernel)) * (scales[..., None] if within else 1)
    value = made.node(
        "Conv",
        value,
        weights.astype(np.float32),
        strides=tuple(int(one) for one in drawn.integers(1, most + 1, 2)),
        dilations=tuple(int(one) for one in drawn.integers(1, 3, 2)),
        pads=pads if pad == "zero" else [0, 0, 0, 0],
    )
    return value if within else made.node("Mul", value, scales)


def network(seed: int) -> Made:
    """Convolutions and a matrix product of signs; its outputs are sums, which are integers."""
    drawn, made = np.random.default_rng(seed), Made(x=(1, 3, 24, 25))
    value, channels = "x", 3
    if drawn.random() < 0.5:  # signs of a convolution of floats
        channels = int(drawn.integers(2, 12))
        value = made.node("Conv", value, drawn.normal(size=(channels, 3, 3, 3)), pads=[1] * 4)
    for place in range(2):
        rows = int(drawn.integers(2, 40))
        value = convolution(drawn, made, value, channels, rows, 2 - place)
        if drawn.random() < 0.5:
            value = made.node("Add", value, drawn.normal(size=(rows, 1, 1)))
        if drawn.random() < 0.4 and not place:
            value = made.node("MaxPool", value, kernel_shape=(2, 1), strides=(2, 1))
        if drawn.random() < 0.7:
            value = norm(drawn, made, value, rows, 3.0)
        if drawn.random() < 0.5:
            value = made.node("Clip", value, np.float32(-1), np.float32(1))
        channels = rows
    size = Loaded(made.content(value), threads=1)(np.zeros((1, 3, 24, 25), np.float32))[0].size
    if drawn.random() < 0.5:
        value = norm(drawn, made, made.node("Flatten", value), size, 3.0)
        value = sign(made, value)
    else:
        value = made.node("Flatten", sign(made, value))
    made.node("Gemm", value, signed(drawn, (6, size)), transB=1, to="y")
    return made


@needs_gcc
def test_random_networks_of_signs_are_the_runtimes_exactly(tmp_path: Path) -> None:
    contents = [network(seed).content("y") for seed in range(tiers.repetitions(8, 80))]
    made = [
        export_c(content, name=f"n{number}", weights=STORAGES[number % 3])
        for number, content in enumerate(contents)
    ]
    program = build(made, tmp_path)
    kinds: set[tuple[object, ...]] = set()
    exact = floats = 0  # products before signs that are floats: a limit and then a norm follow
    for number, (one, content) in enumerate(zip(made, contents, strict=True)):
        products = [layer for layer in one.network.layers if isinstance(layer, SignProduct)]
        assert len(products) == 3
        if one.network.remarks:  # a sum without an offset may be 0, and the runtime's not quite
            continue
        exact += 1
        floats += sum(p.thresholds is None for p in products[:2])
        kinds |= {(p.fill, p.window.padded, p.pool is None) for p in products}
        drawn, loaded = np.random.default_rng(number), Loaded(content, threads=1)
        cases = [[drawn.normal(size=(1, 3, 24, 25)).astype(np.float32)] for _ in range(8)]
        for case, got in zip(cases, outputs(one, program, cases, number), strict=True):
            np.testing.assert_array_equal(got[0], loaded(*case)[0], err_msg=f"network {number}")
    assert 0 < floats < len(made) and exact > 0.7 * len(made)
    assert {fill for fill, padded, _ in kinds if padded} == {1, -1, 0}
    assert {pooled for _, _, pooled in kinds} == {True, False}


@needs_gcc
def test_positions_that_are_multiplied_one_by_one(tmp_path: Path) -> None:
    drawn, made = np.random.default_rng(0), Made(x=(1, 5, 19))
    value = made.node("MatMul", sign(made, "x"), signed(drawn, (19, 11)))
    value = made.node("Mul", value, drawn.random(11) + 0.5)
    value = made.node("Add", value, drawn.normal(size=11))
    made.node("MatMul", sign(made, value), signed(drawn, (11, 4)), to="y")
    content = made.content("y")
    one = export_c(content)
    kinds = [type(layer) for layer in one.network.layers]
    assert kinds == [PackSigns, SignProduct, SignProduct]
    cases = [[drawn.normal(size=(1, 5, 19)).astype(np.float32)] for _ in range(10)]
    program, loaded = build(one, tmp_path), Loaded(content, threads=1)
    for case, got in zip(cases, outputs(one, program, cases), strict=True):
        np.testing.assert_array_equal(got[0], loaded(*case)[0])


@needs_gcc
def test_signs_that_something_else_reads_too(tmp_path: Path) -> None:
    """Scales of positions need the numbers; a sum needs the signs, which are integers then."""
    drawn, made = np.random.default_rng(0), Made(x=(1, 9))
    signs = sign(made, "x")
    value = made.node("Gemm", signs, signed(drawn, (7, 9)), transB=1)
    size = made.node("ReduceMean", made.node("Abs", "x"), np.array([1]), keepdims=1)
    made.node("Mul", value, size, to="y")
    other = Made(x=(1, 9))
    signs = sign(other, "x")
    other.node("Add", other.node("Gemm", signs, signed(drawn, (9, 9)), transB=1), signs, to="y")
    contents = [one.content("y") for one in (made, other)]
    written = [export_c(one, name=f"n{at}") for at, one in enumerate(contents)]
    assert [
        sum(isinstance(layer, SignProduct) for layer in one.network.layers) for one in written
    ] == [1, 0]
    cases = [[drawn.normal(size=(1, 9)).astype(np.float32)] for _ in range(10)]
    program = build(written, tmp_path)
    for at, (one, content) in enumerate(zip(written, contents, strict=True)):
        for case, got in zip(cases, outputs(one, program, cases, at), strict=True):
            np.testing.assert_allclose(
                got[0], Loaded(content, threads=1)(*case)[0], rtol=0, atol=1e-5
            )


@needs_gcc
def test_signs_are_coded_where_that_is_shorter(tmp_path: Path) -> None:
    """Filters that are nearly all the same: less than a bit for each sign, and random ones."""
    drawn, contents = np.random.default_rng(0), []
    for share in (0.02, 0.5):
        made = Made(x=(1, 40, 5, 6))
        weights = np.where(drawn.random((30, 40, 3, 3)) < share, -1, 1)
        value = made.node("Conv", sign(made, "x"), weights.astype(np.float32), pads=[1] * 4)
        made.node("Mul", value, np.ones((30, 1, 1)), to="y")
        contents.append(made.content("y"))
    written = [
        export_c(content, name=f"n{at}", weights=Coded()) for at, content in enumerate(contents)
    ]
    assert [one.emitted.stream is not None for one in written] == [True, False]
    stream = written[0].emitted.stream
    assert stream is not None and stream.flash_bytes < 30 * 45 * 9 / 4
    program = build(written, tmp_path)
    cases = [[drawn.normal(size=(1, 40, 5, 6)).astype(np.float32)] for _ in range(5)]
    for at, (one, content) in enumerate(zip(written, contents, strict=True)):
        for case, got in zip(cases, outputs(one, program, cases, at), strict=True):
            np.testing.assert_array_equal(got[0], Loaded(content, threads=1)(*case)[0])


@pytest.mark.parametrize("every", [True, False])
def test_thresholds_are_those_of_all_sums(every: bool) -> None:
    drawn, columns, rows = np.random.default_rng(int(every)), 27, 400
    chain = [
        Affine.of(drawn.normal(size=rows), drawn.normal(size=rows) * 9),
        Affine.of(np.where(drawn.random(rows) < 0.05, 0, drawn.normal(size=rows)), np.ones(1) * 3),
    ]
    made = folded(chain, rows, columns, every=every)
    assert made is not None and made[1] == 0
    for total in range(-columns, columns + 1, 1 if every else 2):
        number = total * chain[0].factors + chain[0].offsets
        number = number * chain[1].factors + chain[1].offsets
        negative = np.where(made[0] % 2 == 0, 2 * total < made[0], 2 * total > made[0])
        np.testing.assert_array_equal(negative, number < 0)


def test_thresholds_by_hand() -> None:
    """3 S - 5 is below 0 up to S = 1, and -S + 4.5 above S = 4; of odd sums only for three columns.

    Where 0.1 S - 0.1 x 7 is 0, rounding decides, and where S - 0 is, none.
    """
    factors, offsets = np.array([3.0, -1.0]), np.array([-5.0, 4.5])
    made, near = folded([Affine.of(factors, offsets)], 2, 10, every=True) or ([], -1)
    assert list(made) == [2 * 2, 2 * 4 + 1] and near == 0
    made, near = folded([Affine.of(factors, offsets)], 2, 3, every=False) or ([], -1)
    assert list(made) == [2 * 3, 2 * 3 + 1] and near == 0
    tenth = np.array([0.1, 1.0])
    made, near = folded([Affine.of(tenth, -tenth * [7, 0])], 2, 9, every=True) or ([], -1)
    assert near == 1 and made[1] == 0
    assert folded([Affine.of(tenth, np.array([np.nan, 0]))], 2, 9, every=True) is None


def test_thresholds_that_rounding_decides_are_said() -> None:
    made = Made(x=(1, 9))
    rows = np.ones((5, 9), np.float32)
    value = made.node("Gemm", sign(made, "x"), rows, transB=1)
    value = made.node("Mul", value, np.full(5, 0.1, np.float32))
    value = made.node("Add", value, np.full(5, -0.1 * 7, np.float32))
    made.node("Gemm", sign(made, value), signed(np.random.default_rng(0), (3, 5)), transB=1, to="y")
    said = export_c(made.content("y")).said()
    assert any("5 thresholds of Gemm (node 2) are so near" in sentence for sentence in said)


def test_sums_of_scaled_weights_near_0_are_said() -> None:
    """A runtime adds up 0.3 and -0.3, and an even number of them may not be exactly 0."""
    drawn, said = np.random.default_rng(0), []
    for columns in (8, 9):
        made = Made(x=(1, columns))
        weights = signed(drawn, (5, columns)) * np.float32(0.3)
        value = made.node("Gemm", sign(made, "x"), weights, transB=1)
        made.node("Gemm", sign(made, value), signed(drawn, (3, 5)), transB=1, to="y")
        said.append(" ".join(export_c(made.content("y")).said()))
    assert "5 thresholds" in said[0] and "thresholds" not in said[1]


@pytest.mark.parametrize("target", CROSS)
def test_it_compiles_for_every_core(target: str, tmp_path: Path) -> None:
    for seed in (1, 2) if target == "avr" else (0, 1):  # others have arrays beyond its 32 KB
        crosses(export_c(network(seed).content("y"), name=f"n{seed}"), tmp_path, target)


@pytest.mark.slow
@needs_gcc
def test_a_trained_network_of_signs_gives_the_outputs_of_its_file(tmp_path: Path) -> None:
    pictures, classes = examples("mnist", 200)
    path = FILES / "normfirst_xnor.shoe"
    content = read_model(path)
    assert isinstance(content, Content)
    made = export_c(content, name="signs", weights=Coded())
    kinds = [type(layer) for layer in made.network.layers]
    assert kinds == [Product, SignProduct, SignProduct, SignProduct, SignProduct, Product]
    assert made.emitted.memory.arena_bytes < 600 and made.emitted.stream is None
    program = build(made, tmp_path, ("-O2",))
    got = np.array([one[0][0] for one in outputs(made, program, [[one] for one in pictures])])
    np.testing.assert_allclose(got, np.asarray(load(path)(pictures)), rtol=0, atol=1e-5)
    assert (got.argmax(1) == classes).mean() > 0.97


@needs_gcc
def test_a_pool_after_a_scale_below_0_is_of_the_scaled_sums(tmp_path: Path) -> None:
    drawn, made = np.random.default_rng(0), Made(x=(1, 8, 6, 6))
    value = made.node("Conv", sign(made, "x"), signed(drawn, (4, 8, 3, 3)), pads=[1] * 4)
    value = made.node("Mul", value, np.array([1.0, -1, -0.5, 2]).reshape(4, 1, 1))
    made.node("MaxPool", value, kernel_shape=(2, 2), strides=(2, 2), to="y")
    content = made.content("y")
    made_c = export_c(content, name="n")
    assert any(isinstance(one, SignProduct) for one in made_c.network.layers)
    case = [drawn.normal(size=(1, 8, 6, 6)).astype(np.float32)]
    got = outputs(made_c, build(made_c, tmp_path), [case])[0][0]
    np.testing.assert_array_equal(got, Loaded(content, threads=1)(*case)[0])
