"""Input chains as C: the same features as numpy's, in pieces, and no byte beyond."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from c_compiled import CROSS, SANITIZED, crosses, needs_gcc
from c_fed import heard
from c_graphs import Made

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.artifact.format.file import Content
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.fed import longest
from shoestring.artifact.plain_c.project import project
from shoestring.artifact.plain_c.recording import recorded

ONE = Normalise(mean=(-4.0,), std=(2.5,))
BANDS = tuple(float(one) for one in np.linspace(-6, -2, 12))
CHAINS = {
    "keywords": LogMel(),
    "short": LogMel(window=32, hop=32, bands=3, low=300, frames=5),
    "quiet": LogMel(floor=1e-9, bands=16, low=100),
    "loud": LogMel(floor=1.0, bands=30, low=150, window=512, hop=100, frames=6),
    "wide": LogMel(rate=48000, window=4096, hop=1500, bands=2, low=0, high=24000, frames=2),
    "every sample": LogMel(window=64, hop=1, bands=8, low=200, high=4000, frames=40),
}


def through(chain: InputChain, shape: tuple[int, ...], kind: str = "float32") -> Content:
    """A file that gives its features back, with the other sign."""
    made = Made(x=shape)
    if kind != "float32":
        made.types["x"] = kind
        made.nodes.append(("Cast", ["x"], ["whole"], {"to": 1}))
        return replace(made.content("whole"), notes=chain.notes())
    made.node("Neg", "x", to="y")
    return replace(made.content("y"), notes=chain.notes())


def on_grid(chain: InputChain, shape: tuple[int, ...], kind: str) -> Content:
    """A file that puts its features on a grid, and gives that as floats."""
    made = Made(x=shape)
    zero = np.array(12, kind)
    made.node("QuantizeLinear", "x", np.float32(0.03), made.weight(zero, kind), to="q")
    made.node("DequantizeLinear", "q", np.float32(0.03), made.weight(zero, kind), to="y")
    return replace(made.content("y"), notes=chain.notes())


def sounds(step: LogMel) -> list[np.ndarray]:
    """Tones, noise from loud to one bit, silence, the extremes, and lengths of all kinds."""
    drawn = np.random.default_rng(1)
    count = step.samples
    time = np.arange(count) / step.rate
    made = [
        30000 * np.sin(2 * np.pi * 440 * time),
        3000 * np.sin(2 * np.pi * 1000 * time**2) + drawn.normal(0, 3, count),
        *(drawn.normal(0, size, count) for size in (0.7, 5, 100, 8000)),
        np.zeros(count),
        np.where(np.arange(count) % 2, -32768, 32767),
        np.full(count, -32768),
        drawn.normal(0, 500, count + 777),
        *(drawn.normal(0, 500, max(count // part, 1)) for part in (2, 3)),
        drawn.normal(0, 500, 1),
        drawn.normal(0, 500, step.window),
        np.zeros(0),
    ]
    return [np.clip(np.rint(one), -32768, 32767).astype(np.int16) for one in made]


@needs_gcc
@pytest.mark.by_default("keywords", "every sample")
@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_features_are_those_of_numpy(name, tmp_path):
    step = CHAINS[name]
    chain = InputChain(steps=(step, ONE))
    made = export_c(through(chain, (1, 1, step.frames, step.bands)), name="heard")
    given = sounds(step)
    wanted = chain(given).reshape(len(given), -1)
    got = -heard(made, given, tmp_path).view(np.float32)
    # Energies are within 2e-4, and within 80 dB of the loudest band of their frame (256 samples).
    theirs, ours = (
        np.exp(one.astype(float).reshape(-1, step.frames, step.bands) * 2.5 - 4)
        for one in (wanted, got)
    )
    loudest = theirs.max(2, keepdims=True) * 1e-8 * max(step.window / 256, 1)
    assert (np.abs(ours - theirs) <= 2e-4 * theirs + loudest).all()
    assert np.abs(got - wanted).mean() < 2e-4 and wanted.std() > 0.3


@needs_gcc
@pytest.mark.parametrize("kind", ["int8", pytest.param("uint8", marks=pytest.mark.slow)])
def test_features_on_a_grid(kind, tmp_path):
    step = LogMel(bands=12, frames=12)
    chain = InputChain(steps=(step, Normalise(mean=BANDS, std=(2.0,) * 12, axis=3)))
    made = export_c(on_grid(chain, (1, 1, 12, 12), kind), name="heard")
    assert f"    {kind}_t at[144];\n    uint32_t aligned;\n}} heard_features;" in made.text
    given = sounds(step)
    wanted = chain(given).reshape(len(given), -1)
    least, most = (-140, 115) if kind == "int8" else (-12, 243)
    steps = np.clip(np.rint(wanted / np.float32(0.03)), least, most)
    apart = np.abs(heard(made, given, tmp_path).view(np.float32) / 0.03 - steps)
    assert apart.max() < 1.001  # one step, where numpy is as good as halfway
    assert (apart > 0.5).mean() < 0.01


@needs_gcc
def test_features_in_bytes_begin_at_a_multiple_of_4(tmp_path):
    """Layers keep wider numbers there later, and a Cortex-M0+ faults where they are unaligned."""
    chain = InputChain(steps=(LogMel(bands=12, frames=12), ONE))
    made = export_c(on_grid(chain, (1, 1, 12, 12), "uint8"), name="heard")
    flags = ("-Os", "-fdata-sections")  # a section for each variable says its alignment
    target = crosses(made, tmp_path, "cortex-m0plus", flags)
    command = ["arm-none-eabi-objdump", "-h", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (one for one in done.stdout.splitlines() if ".bss.heard_features" in one)
    assert line.split()[-1] == "2**2"


@needs_gcc
def test_pieces_of_any_length_give_the_same(tmp_path):
    step = LogMel(frames=4, bands=8)
    made = export_c(through(InputChain(steps=(step,)), (1, 1, 4, 8)), name="heard", header=True)
    assert made.header is not None
    (tmp_path / "heard.c").write_text(made.text)
    (tmp_path / "heard.h").write_text(made.header)
    (tmp_path / "main.c").write_text(
        """
#include <string.h>
#include "heard.h"
static int16_t sound[2000];
int main(void)
{
    float whole[HEARD_OUTPUT_SIZE], pieces[HEARD_OUTPUT_SIZE];
    unsigned size, at, more;
    for (at = 0; at < 2000; at++) sound[at] = (int16_t)(at * 7919 % 4001);
    heard_begin();
    heard_feed(sound, 2000);
    heard_finish(whole);
    for (size = 1; size < 2000; size += 97) {
        heard_begin();
        heard_feed(sound, 0);
        for (at = 0; at < 2000; at += more) {
            more = at + size > 2000 ? 2000 - at : size;
            heard_feed(sound + at, more);
        }
        heard_finish(pieces);
        if (memcmp(whole, pieces, sizeof whole)) return 1;
    }
    heard_begin();
    heard_finish(pieces);
    return !memcmp(whole, pieces, sizeof whole);
}
"""
    )
    command = ["gcc", *SANITIZED, "main.c", "heard.c", "-o", "program"]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert subprocess.run([str(tmp_path / "program")]).returncode == 0


@needs_gcc
def test_numbers_are_normalised_by_channel(tmp_path):
    chain = InputChain(
        steps=(
            Normalise(mean=(1.0, -2.0, 0.5), std=(2.0, 0.5, 4.0)),
            Normalise(mean=(0.25,), std=(3.0,)),
        )
    )
    drawn = np.random.default_rng(0).normal(0, 3, (5, 3, 4, 2)).astype(np.float32)
    made = export_c(through(chain, (1, 3, 4, 2)), name="heard")
    got = -heard(made, list(drawn), tmp_path).view(np.float32)
    np.testing.assert_allclose(got, chain(drawn).reshape(5, -1), rtol=1e-5, atol=1e-6)
    odd = drawn.copy()
    odd[0, 0, 0] = np.inf, np.nan
    odd[1, 1, 0] = -np.inf, 1e38
    rounded = export_c(on_grid(chain, (1, 3, 4, 2), "int8"), name="rounded")
    got = heard(rounded, list(odd), tmp_path / "rounded").view(np.float32)
    wanted = np.clip(np.rint(chain(drawn) / np.float32(0.03)), -140, 115).reshape(5, -1)
    np.testing.assert_allclose(got[2:] / 0.03, wanted[2:], atol=1e-3)
    np.testing.assert_allclose(got[[0, 1], [0, 8]] / 0.03, [115, -140], atol=1e-3)


@needs_gcc
def test_ids_of_texts(tmp_path):
    step = HashedNgrams(lengths=(3, 1, 2), buckets=1000, most=40)
    made = export_c(through(InputChain(steps=(step,)), (1, 40), "int64"), name="read")
    texts = ["", "a", "ab", "Hello, World", "é\0\n", "<script>'\"", "x" * 5000, "ÄÖ" * 30]
    got = heard(made, texts, tmp_path).view(np.float32)
    assert np.array_equal(got, step(texts))
    assert longest(made) == 43


@pytest.mark.parametrize("target", [core for core in CROSS if core != "cortex-m7"])
def test_it_compiles_for_cores_without_a_float(target, tmp_path):
    chain = InputChain(steps=(LogMel(), ONE))
    made = export_c(on_grid(chain, (1, 1, 32, 20), "int8"), name="heard")
    crosses(made, tmp_path, target)
    own = made.text[made.text.index("The input chain") : made.text.index("void heard_begin")]
    assert "float" not in own


def test_the_frame_shares_the_arena():
    step = LogMel()
    content = through(InputChain(steps=(step,)), (1, 1, 32, 20))
    made = export_c(content, name="heard")
    assert "struct heard_frame frame;" in made.text and "0     1,536  before layers" in made.text
    without = export_c(content, name="heard", raw_inputs=False)
    assert without.emitted.chain is None and "heard_begin" not in without.text


def test_a_project_feeds_pieces():
    content = through(InputChain(steps=(LogMel(), ONE)), (1, 1, 32, 20))
    made = export_c(content, name="heard", header=True)
    files = project(made, recorded(content, made))
    sketch = files["examples/heard_once/heard_once.ino"]
    assert "heard_feed(piece, 64);" in sketch and "static int16_t piece[64];" in sketch
    assert "pieces < 101;" in sketch  # 6,456 samples: not one frame of them is missing
    arena = max(made.emitted.memory.arena_bytes, 1536)
    assert f"RAM: {arena:,} bytes for the arena, 2,560 for the inputs" in files["README.md"]
    assert "which the input chain makes: what is fed is not in this test." in files["README.md"]


def test_a_project_has_bytes_at_a_multiple_of_4():
    content = on_grid(InputChain(steps=(ONE,)), (1, 1, 4, 8), "uint8")
    made = export_c(content, name="n", header=True, integer_inputs=True, raw_inputs=False)
    files = project(made, recorded(content, made))
    assert (
        "alignas(4) static uint8_t x_values[N_INPUT_SIZE];" in files["examples/n_once/n_once.ino"]
    )
    assert "static uint8_t a0[32] __attribute__((aligned(4)));" in files["test_main.c"]


def test_what_there_is_no_c_for():
    two = Made(x=(1, 1, 32, 20), z=(1, 1, 32, 20))
    two.node("Add", "x", "z", to="y")
    notes = InputChain(steps=(LogMel(),)).notes()
    with pytest.raises(NoPlainC, match=r"2 inputs and an input chain for one.*--no-input-chain"):
        export_c(replace(two.content("y"), notes=notes))
    axes = InputChain(
        steps=(
            Normalise(mean=(0.0, 1.0), std=(1.0, 1.0)),
            Normalise(mean=(0.0,) * 3, std=(1.0,) * 3, axis=2),
        )
    )
    with pytest.raises(NoPlainC, match="channels on several axes"):
        export_c(through(axes, (1, 2, 3)))


def test_a_chain_that_fits_no_input() -> None:
    content = through(InputChain(steps=(LogMel(),)), (1, 1, 32, 21))
    with pytest.raises(ValueError, match=r"\[1, 1, 32, 20\], and its input x takes"):
        export_c(content)


def a_c_file(chain: InputChain, shape: tuple[int, ...]) -> CFile:
    return export_c(through(chain, shape), name="heard")


def test_odd_names_end_no_comment():
    made = a_c_file(InputChain(steps=(LogMel(), ONE)), (1, 1, 32, 20))
    assert made.text.count("/*") == made.text.count("*/")
