"""Coded weights: round trips by a slow decoder and by the C code, and damaged streams."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_decoder import decoded

from shoestring.artifact.plain_c.coded_weights import Coded, encode
from shoestring.artifact.plain_c.weight_source import Codes

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#define FLASH
{text}
int main(void)
{{
    static const int shapes[][2] = {{{shapes}}};
    struct w_reader reader;
    int tensor, i;
    for (i = 0; i < (int)sizeof reader; i++) ((unsigned char *)&reader)[i] = 0xa5;
    for (tensor = 0; tensor < {count}; tensor++) {{
        w_open(&reader, tensor);
        for (i = 0; i < shapes[tensor][0] * shapes[tensor][1]; i++)
            printf("%d\\n", w_next(&reader));
    }}
    return 0;
}}
"""


def program(matrices: list[np.ndarray], data: bytes | None = None) -> str:
    """A C program that prints the weights of some matrices; `data`: takes their stream's place."""
    text = Coded().stream([Codes(name="w", integers=one) for one in matrices], "w").text
    if data is not None:
        numbers = "{" + " ".join(f"{byte}," for byte in data) + "}"
        text = re.sub(r"(?<=w_data\[\] = )\{.*?\}", numbers, text, count=1, flags=re.DOTALL)
    shapes = ", ".join(f"{{{rows}, {columns}}}" for rows, columns in (m.shape for m in matrices))
    return PROGRAM.format(text=text, shapes=shapes, count=len(matrices))


def printed(source: str, folder: Path, *flags: str) -> np.ndarray:
    """The numbers that a C program prints; what it writes to standard error fails the test."""
    (folder / "weights.c").write_text(source)
    binary = folder / "weights"
    subprocess.run(
        [str(COMPILER), *STRICT, *flags, str(folder / "weights.c"), "-o", str(binary)], check=True
    )
    done = subprocess.run([str(binary)], capture_output=True, check=True, text=True, timeout=60)
    assert not done.stderr
    return np.array(done.stdout.split(), int)


def sparse(rows: int, columns: int, share: float, scale: float, seed: int) -> np.ndarray:
    """Integers, a share of which is not zero, with some empty rows and columns."""
    draw = np.random.default_rng(seed)
    matrix = np.rint(draw.laplace(0, scale, (rows, columns))).astype(np.int32)
    matrix *= draw.random((rows, columns)) < share
    matrix[draw.random(rows) < 0.2] = 0
    matrix[:, draw.random(columns) < 0.2] = 0
    return matrix.clip(-32767, 32767)


MATRICES = st.builds(
    sparse,
    rows=st.integers(1, 6),
    columns=st.integers(1, 150),
    share=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    scale=st.sampled_from([0.4, 2.0, 40.0, 9000.0]),
    seed=st.integers(0, 999),
)


@given(st.lists(MATRICES, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_slow_decoder_gives_back_what_was_encoded(matrices: list[np.ndarray]) -> None:
    coded = encode(matrices)
    back = decoded(coded.data, [one.shape for one in matrices], coded.periods, coded.digits)
    for matrix, copy in zip(matrices, back, strict=True):
        assert np.array_equal(matrix, copy)


@needs_compiler
@given(matrices=st.lists(MATRICES, min_size=1, max_size=4))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_c_code_gives_back_what_was_encoded(matrices: list[np.ndarray], tmp_path: Path) -> None:
    numbers = printed(program(matrices), tmp_path, *SANITIZERS)
    assert np.array_equal(numbers, np.concatenate([one.reshape(-1) for one in matrices]))


@needs_compiler
def test_the_largest_integers_and_the_widest_rows_come_back(tmp_path: Path) -> None:
    wide = np.zeros((2, 65535), np.int32)
    wide[1, [0, 7, 65534]] = (32767, -32767, -1)
    alone = np.array([[-1]], np.int32)
    numbers = printed(program([alone, wide]), tmp_path, *SANITIZERS)
    assert np.array_equal(numbers, np.append(alone, wide))


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "noise", "ones", "none"])
def test_a_damaged_stream_is_never_read_past_its_end(damage: str, tmp_path: Path) -> None:
    matrices = [sparse(5, 90, 0.4, 50.0, 1), sparse(3, 200, 1.0, 9000.0, 2)]
    good = encode(matrices).data
    draw = np.random.default_rng(0)
    data = {
        "cut": good[: len(good) // 2],
        "noise": draw.integers(0, 256, 40, np.uint8).tobytes(),
        "ones": b"\xff" * len(good),
        "none": b"\xff",
    }[damage]
    numbers = printed(program(matrices, data), tmp_path, *SANITIZERS)
    shapes, coded = [one.shape for one in matrices], encode(matrices)
    wrong = decoded(data, shapes, coded.periods, coded.digits)
    assert np.array_equal(numbers, np.concatenate([one.reshape(-1) for one in wrong]))


def test_zeros_cost_nearly_nothing() -> None:
    assert len(encode([np.zeros((500, 800), np.int32)]).data) <= 15
    one = np.zeros((500, 800), np.int32)
    one[250, 400] = -3
    assert len(encode([one]).data) <= 30


def test_the_period_is_that_of_a_repeated_pattern() -> None:
    pattern = sparse(1, 20, 0.6, 2.0, 3)
    assert encode([np.tile(pattern, (4, 6))]).periods == (20,)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.full((1, 2), 32768), "integers from 0 to 32768"),
        (np.full((1, 2), -32768), "integers from -32768 to 0"),
        (np.zeros((0, 2), int), r"shape \(0, 2\)"),
        (np.zeros(3, int), r"shape \(3,\)"),
        (np.zeros((1, 65536), int), "65,535 columns"),
    ],
)
def test_what_cannot_be_coded_is_refused_by_name(matrix: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=f"layer 3: .*{said}"):
        Coded().stream([Codes(name="layer 3", integers=matrix)], "w")


def test_a_stream_is_the_same_again_and_says_its_size() -> None:
    codes = [Codes(name="w", integers=sparse(9, 100, 0.3, 2.0, 5))]
    first, second = Coded().stream(codes, "w"), Coded().stream(codes, "w")
    assert first == second
    assert f"900 weights in {first.flash_bytes - 4:,} bytes" in first.about
