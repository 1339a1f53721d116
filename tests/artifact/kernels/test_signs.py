"""Products and convolutions on bits are those of -1 and +1 in floating point, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import repetitions

pytest.importorskip("llvmlite")

from shoestring.artifact import machine_code
from shoestring.artifact.kernels import sign_code, signs
from shoestring.artifact.kernels.signs import SignConvolution, SignProduct


def lesser() -> dict[str, bool]:
    """This processor without the vectors of 512 bits and what came after."""
    found = machine_code.features_here()
    return {
        name: on and not name.startswith(("avx512", "avxvnni", "gfni"))
        for name, on in found.items()
    }


FUNCTIONS = {
    "this processor": signs.kernels(),
    "a lesser one": signs.bound(sign_code.compiled(lesser())),
}


@pytest.fixture(params=FUNCTIONS)
def functions(request):
    return FUNCTIONS[request.param]


def plus_minus(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, np.float32(-1), np.float32(1))


def slow_convolution(x, weights, strides, pads, dilations):
    """By the definition: every place, every filter."""
    x = np.pad(
        plus_minus(x), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=1
    )
    height, width = weights.shape[2:]
    sizes = [
        (length - d * (taps - 1) - 1) // s + 1
        for length, taps, s, d in zip(x.shape[2:], (height, width), strides, dilations, strict=True)
    ]
    out = np.zeros((len(x), len(weights), *sizes), np.float32)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            rows = i * strides[0] + np.arange(height) * dilations[0]
            columns = j * strides[1] + np.arange(width) * dilations[1]
            out[:, :, i, j] = np.einsum("nchw,ochw->no", x[:, :, rows][:, :, :, columns], weights)
    return out


def drawn(rng, *shape):
    """Numbers of both signs, and all that is neither."""
    x = rng.normal(size=shape).astype(np.float32)
    x[rng.random(shape) < 0.2] = rng.choice(
        np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45], np.float32)
    )
    return x


@settings(max_examples=repetitions(12, 40), deadline=None)
@given(
    rows=st.integers(0, 150),
    inputs=st.integers(1, 1100),
    outputs=st.integers(1, 70),
    lesser=st.booleans(),
    seed=st.integers(0, 99),
)
def test_products(rows, inputs, outputs, lesser, seed):
    rng = np.random.default_rng(seed)
    x, weights = drawn(rng, rows, inputs), plus_minus(rng.normal(size=(outputs, inputs)))
    scales = rng.random(outputs).astype(np.float32)
    product = SignProduct(weights * scales[:, None], functions=list(FUNCTIONS.values())[lesser])
    expected = (plus_minus(x) @ weights.T) * scales
    assert np.array_equal(product(x), expected)
    if rows:
        out = np.full_like(expected, np.nan)
        assert product(x.reshape(rows, 1, inputs)).shape == (rows, 1, outputs)
        assert product(np.asfortranarray(x), out) is out and np.array_equal(out, expected)


@settings(max_examples=repetitions(20, 60), deadline=None)
@given(
    images=st.integers(1, 3),
    channels=st.integers(1, 70),
    filters=st.integers(1, 40),
    image=st.tuples(*[st.integers(1, 12)] * 2),
    size=st.tuples(*[st.integers(1, 4)] * 2),
    strides=st.tuples(*[st.integers(1, 3)] * 2),
    dilations=st.tuples(*[st.integers(1, 2)] * 2),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    lesser=st.booleans(),
)
def test_convolutions(images, channels, filters, image, size, strides, dilations, pads, lesser):
    rng = np.random.default_rng(channels * filters)
    x, weights = (
        drawn(rng, images, channels, *image),
        plus_minus(rng.normal(size=(filters, channels, *size))),
    )
    scales = rng.random(filters).astype(np.float32)
    made = SignConvolution(
        weights * scales[:, None, None, None],
        strides=strides,
        pads=pads,
        dilations=dilations,
        functions=list(FUNCTIONS.values())[lesser],
    )
    reach = [d * (taps - 1) + 1 for d, taps in zip(dilations, size, strict=True)]
    if image[0] + pads[0] + pads[2] < reach[0] or image[1] + pads[1] + pads[3] < reach[1]:
        with pytest.raises(ValueError, match="smaller than the filters"):
            made(x)
        return
    expected = slow_convolution(x, weights, strides, pads, dilations) * scales[:, None, None]
    assert np.array_equal(made(x), expected)


def test_a_number_that_can_be_checked_by_hand(functions):
    # +1 -1 +1 against -1 -1 +1: one differs, 3 - 2 = 1, and the scale is 0.5.
    x, weights = np.array([[0.0, -2.0, 7.0]], np.float32), np.array([[-0.5, -0.5, 0.5]], np.float32)
    assert SignProduct(weights, functions=functions)(x).tolist() == [[0.5]]
    # A filter of nine +1 at the corner of an image of -1: four pixels of -1, five of +1 outside.
    corner = SignConvolution(
        np.ones((1, 1, 3, 3), np.float32), pads=(1, 1, 1, 1), functions=functions
    )
    assert corner(-np.ones((1, 1, 2, 2), np.float32)).tolist() == [[[[1, 1], [1, 1]]]]


def test_sums_longer_than_a_byte_counts(functions):
    for inputs in (31 * 32 - 1, 31 * 32, 31 * 32 + 1, 9000):
        ones = np.ones((1, inputs), np.float32)
        assert SignProduct(ones, functions=functions)(-ones).tolist() == [[-inputs]]


def test_threads_give_the_same():
    rng = np.random.default_rng(0)
    weights, x = plus_minus(rng.normal(size=(20, 3, 3, 3))), drawn(rng, 7, 3, 9, 9)
    assert np.array_equal(SignConvolution(weights, threads=3)(x), SignConvolution(weights)(x))
    flat, rows = plus_minus(rng.normal(size=(20, 50))), drawn(rng, 300, 50)
    assert np.array_equal(SignProduct(flat, threads=None)(rows), SignProduct(flat)(rows))


@pytest.mark.parametrize("threads", [1, 2, None])
def test_no_examples_on_any_number_of_threads(threads):
    product = SignProduct(np.ones((2, 3), np.float32), threads=threads)
    assert product(np.ones((0, 3), np.float32)).shape == (0, 2) and product(
        np.ones((4, 0, 3), np.float32)
    ).shape == (4, 0, 2)
    images = SignConvolution(np.ones((2, 3, 1, 1), np.float32), threads=threads)
    assert images(np.ones((0, 3, 4, 5), np.float32)).shape == (0, 2, 4, 5)


def test_scales_are_read_as_what_they_are():
    scale, x = np.array([0.5, 3.0]), np.ones((1, 64, 1, 1), np.float32)
    assert SignConvolution(np.ones((2, 64, 1, 1), np.float32), scale)(x).ravel().tolist() == [
        32,
        192,
    ]
    assert SignProduct(np.ones((2, 64), np.float32), scale)(x.reshape(1, 64)).tolist() == [
        [32, 192]
    ]
    for wrong in (scale[:, None, None], scale[:0], scale[:1]):
        with pytest.raises(ValueError, match=r"and \[2\] is wanted: a number for each filter"):
            SignConvolution(np.ones((2, 64, 1, 1), np.float32), wrong)
        with pytest.raises(ValueError, match=r"and \[2\] is wanted: a number for each filter"):
            SignProduct(np.ones((2, 64), np.float32), wrong)


def test_an_image_size_after_another():
    weights = plus_minus(np.random.default_rng(0).normal(size=(4, 2, 3, 3)))
    made = SignConvolution(weights)
    for side in (*range(3, 15), 3):
        assert made(np.ones((1, 2, side, side), np.float32)).shape == (1, 4, side - 2, side - 2)
    assert made(np.ones((0, 2, 5, 5), np.float32)).shape == (0, 4, 3, 3)


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        (np.array([[1, 2]], np.float32), "not a scale times"),
        (np.array([[1, np.nan]], np.float32), "not a scale times"),
        (np.array([[np.inf, np.inf]], np.float32), "not a scale times"),
        (np.zeros((0, 3), np.float32), "not a scale times"),
        (np.zeros((3, 0), np.float32), "not a scale times"),
        (np.ones(3, np.float32), "not a scale times"),
    ],
)
def test_weights_that_are_refused(weights, why):
    with pytest.raises(ValueError, match=why):
        SignProduct(weights)


def test_inputs_that_are_refused():
    product, made = (
        SignProduct(np.ones((2, 3), np.float32)),
        SignConvolution(np.ones((2, 3, 1, 1), np.float32)),
    )
    with pytest.raises(ValueError, match=r"\[..., 3\] is wanted, not float32 of \[2, 4\]"):
        product(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="not float64"):
        product(np.ones((2, 3)))
    with pytest.raises(ValueError, match="out must be float32"):
        product(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    kept = np.frombuffer(bytes(16), np.float32).reshape(2, 2)
    with pytest.raises(ValueError, match="out must be writable"):
        product(np.ones((2, 3), np.float32), kept)
    assert not kept.any()
    room = np.ones(8, np.float32)
    with pytest.raises(ValueError, match="in other memory than x"):
        product(room[:6].reshape(2, 3), room[4:].reshape(2, 2))
    with pytest.raises(ValueError, match=r"\[N, 3, height, width\] is wanted"):
        made(np.ones((1, 2, 4, 4), np.float32))
    with pytest.raises(ValueError, match="strides"):
        SignConvolution(np.ones((2, 3, 1, 1), np.float32), strides=(0, 1))


def test_the_code_is_vectors_of_the_width_that_the_processor_has():
    if machine_code.features_here().get("avx512vpopcntdq"):
        assert sign_code.assembly().count("vpopcntd") > 20 and "zmm" in sign_code.assembly()
    if machine_code.features_here().get("avx2"):
        plain = sign_code.assembly(lesser())
        assert (
            "zmm" not in plain
            and "vpopcnt" not in plain
            and plain.count("vpshufb") >= 16
            and "ymm" in plain
        )


def test_without_llvmlite_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['llvmlite'] = None\n"
        "from shoestring.artifact.kernels import signs\n"
        "assert not signs.available()\n"
        "try:\n    signs.kernels()\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install '.[fast]'" in done.stdout, done.stderr
