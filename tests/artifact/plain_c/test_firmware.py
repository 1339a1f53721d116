"""Small C programs, compiled for cores, weighed, and run under emulation."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact.plain_c import firmware, stack
from shoestring.artifact.plain_c.board.targets import TARGETS, Target, ToolError, target_named
from shoestring.artifact.plain_c.firmware import measure, program_of

AFFINE = """
#include <math.h>
#define TINY_INPUT_SIZE 3 /* float, 3 */
#define TINY_OUTPUT_SIZE 2 /* float, 2 */
void tiny_run(float *input, float *output);
static const float weights[2][3] = {{1.0f, -2.0f, 0.5f}, {0.25f, 0.0f, -1.0f}};
void tiny_run(float *input, float *output)
{
    int row, column;
    for (row = 0; row < 2; row++) {
        float sum = 1.0f;
        for (column = 0; column < 3; column++) sum += weights[row][column] * input[column];
        output[row] = sum;
    }
    output[1] = expf(output[1]);
}
"""
EXAMPLES = np.array([[0, 0, 0], [1, 2, 3], [-4, 0.5, 8]], np.float32)
EXPECTED = np.array([[1, np.exp(1.0)], [-0.5, np.exp(-1.75)], [0, np.exp(-8.0)]], np.float32)


def program(folder: Path, body: str, before: str = "") -> Path:
    """A C file whose function has this body."""
    path = folder / "tiny.c"
    path.write_text(
        "#define TINY_INPUT_SIZE 1 /* float, 1 */\n#define TINY_OUTPUT_SIZE 1 /* float, 1 */\n"
        "void tiny_run(float *input, float *output);\n"
        f"{before}\nvoid tiny_run(float *input, float *output)\n{{\n{body}\n"
        "    *output = *input;\n}\n"
    )
    return path


def needed(name: str) -> Target:
    """A target, or a test that is skipped because a tool of it is not installed."""
    target = TARGETS[name]
    problem = target.missing_compiler() or target.missing_emulator()
    if problem is not None:
        pytest.skip(problem)
    return target


@pytest.mark.parametrize("name", TARGETS)
def test_a_program_gives_the_same_outputs_on_every_core(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.c"
    path.write_text(AFFINE)
    measured = measure(path, needed(name), EXAMPLES)
    assert measured.outputs is not None
    np.testing.assert_allclose(measured.outputs, EXPECTED, rtol=1e-6)
    assert measured.ram_static >= 3 * 4 + 2 * 4
    assert 100 < measured.flash <= measured.image
    if name != "host":
        assert measured.instructions is not None and measured.instructions > 20
        assert measured.ram is not None and measured.ram > measured.ram_static


def test_a_unit_for_floats_saves_flash_and_instructions(tmp_path: Path) -> None:
    path = tmp_path / "tiny.c"
    path.write_text(AFFINE)
    without = measure(path, needed("cortex-m3"), EXAMPLES)
    having = measure(path, needed("cortex-m4f"), EXAMPLES)
    assert having.flash < without.flash
    assert having.instructions is not None and without.instructions is not None
    assert having.instructions < without.instructions


def test_flash_counts_code_constants_and_first_values_of_variables(tmp_path: Path) -> None:
    plain = measure(program(tmp_path, ""), needed("cortex-m3"))
    constants = "*input += table[(unsigned)*input];", "static const float table[1000] = {1, 2};"
    variables = "*input += table[(unsigned)*input]++;", "static float table[1000] = {1, 2};"
    read_only = measure(program(tmp_path, *constants), "cortex-m3")
    changed = measure(program(tmp_path, *variables), "cortex-m3")
    assert 4000 < read_only.flash - plain.flash < 5500
    assert 4000 < changed.flash - plain.flash < 5500
    assert read_only.ram_static - plain.ram_static == 0
    assert changed.ram_static - plain.ram_static == 4000
    assert plain.ram_static == 8  # the input and the output
    assert plain.flash < 40
    assert plain.ram_stack is None and plain.ram is None and plain.outputs is None


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m3", "cortex-m7", "riscv32"])
def test_instructions_are_counted(name: str, tmp_path: Path) -> None:
    target = needed(name)
    example = np.ones((2, 1), np.float32)
    none = measure(program(tmp_path, ""), target, example).instructions
    many = program(tmp_path, '    __asm volatile(".rept 20000\\n nop\\n .endr");')
    counted = measure(many, target, example).instructions
    assert none is not None and counted is not None
    assert abs(counted - none - 20000) <= 2 * target.instructions_per_tick


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m3", "riscv32"])
def test_the_deepest_stack_is_seen(name: str, tmp_path: Path) -> None:
    before = (
        "static __attribute__((noinline)) int deep(int n)\n{\n"
        "    volatile int room[400];\n    int i;\n"
        "    for (i = 0; i < 400; i++) room[i] = n;\n    return room[n];\n}"
    )
    path = program(tmp_path, "    *input += (float)deep((int)*input);", before)
    measured = measure(path, needed(name), np.ones((1, 1), np.float32))
    assert measured.ram_stack is not None
    assert 1600 <= measured.ram_stack < 1750


def test_the_call_graph_knows_what_one_run_does_not_reach(tmp_path: Path) -> None:
    before = (
        "static __attribute__((noinline)) int deep(int n)\n{\n"
        "    volatile int room[400];\n    room[n] = n;\n    return room[n + 1];\n}"
    )
    body = "    if (*input > 5) *input += (float)deep((int)*input);"
    measured = measure(
        program(tmp_path, body, before), needed("cortex-m3"), np.ones((1, 1), np.float32)
    )
    assert measured.ram_stack is not None and measured.ram_stack >= 1600


def test_the_depth_of_a_call_graph_is_that_of_its_deepest_path() -> None:
    def node(name: str, size: int, kind: str = "static") -> str:
        label = f"f\\na.c:1:1\\n{size} bytes ({kind})\\n0 dynamic objects"
        return f'node: {{ title: "{name}" label: "{label}" }}\n'

    def edge(source: str, target: str) -> str:
        return f'edge: {{ sourcename: "{source}" targetname: "{target}" label: "a.c:1:1" }}\n'

    graph = node("run", 8) + node("a", 100) + node("b", 24) + node("c", 90)
    graph += edge("run", "a") + edge("run", "b") + edge("b", "c") + edge("c", "memset")
    assert stack.deepest([graph], "run") == 8 + 24 + 90
    with pytest.raises(stack.UnboundedStack, match="b calls itself"):
        stack.deepest([graph + edge("c", "b")], "b")
    with pytest.raises(stack.UnboundedStack, match="d has an array of varying length"):
        stack.deepest([graph, node("a.c:d", 16, "dynamic")], "run")


def test_what_does_not_compile_says_the_compilers_words(tmp_path: Path) -> None:
    path = program(tmp_path, "    there_is_no_such_variable = 1;")
    with pytest.raises(ToolError, match=r"failed for cortex-m3:(\n|.)*there_is_no_such"):
        measure(path, needed("cortex-m3"))


def test_a_program_that_crashes_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed("cortex-m3")
    monkeypatch.setattr(firmware, "_SECONDS", 3)
    path = program(tmp_path, "    *(volatile int *)0xdeadbeef = 1;")
    with pytest.raises(ToolError, match=r"did not end on an emulated cortex-m3|after 0 of 1"):
        measure(path, "cortex-m3", np.ones((1, 1), np.float32))


def test_inputs_of_another_size_are_refused(tmp_path: Path) -> None:
    needed("cortex-m3")
    with pytest.raises(ValueError, match="12 bytes, and tiny_run reads 4 for each"):
        measure(program(tmp_path, ""), "cortex-m3", np.ones((1, 3), np.float32))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.c"
    path.write_text("int main(void) { return 0; }")
    with pytest.raises(ValueError, match="no NAME_run"):
        program_of(path)


def test_the_sizes_of_a_file_with_a_header_are_in_the_header(tmp_path: Path) -> None:
    head, run = AFFINE.split("void tiny_run(float *input, float *output);", 1)
    (tmp_path / "tiny.h").write_text(head)
    path = tmp_path / "tiny.c"
    path.write_text(f'#include "tiny.h"\n{run}')
    assert (program_of(path).inputs, program_of(path).outputs) == ((12,), (8,))
    path.write_text(run)  # a header of another file
    with pytest.raises(ValueError, match="no NAME_run"):
        program_of(path)


def test_a_missing_tool_is_a_sentence_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = program(tmp_path, "")
    with pytest.raises(ToolError, match="packages gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        measure(path, "cortex-m3")
    monkeypatch.undo()
    target = needed("cortex-m3")
    monkeypatch.setattr(
        "shutil.which", lambda name: None if name.startswith("qemu") else f"/usr/bin/{name}"
    )
    with pytest.raises(ToolError, match="needs qemu-system-arm: install the Debian package qemu"):
        measure(path, target, np.ones((1, 1), np.float32))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cortex-m5", "did you mean cortex-m"),
        ("cortex-m4", "did you mean cortex-m4f"),
        ("avr8", "did you mean avr"),
        ("", "the targets are cortex-m0plus, cortex-m3, cortex-m4f"),
    ],
)
def test_a_name_that_is_no_target_gives_the_list(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        target_named(name)


def test_a_network_that_no_board_holds_is_weighed_and_not_run(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        "    *input += table[(unsigned)*input];",
        "static const float table[2000000] = {1, 2};",
    )
    measured = measure(path, needed("cortex-m3"))
    assert 8_000_000 < measured.flash < 8_001_500
    with pytest.raises(ToolError, match=r"will not fit in region .FLASH"):
        measure(path, "cortex-m3", np.ones((1, 1), np.float32))


def test_a_program_of_several_arrays_is_run_on_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "several.c"
    path.write_text(
        "#include <stdint.h>\nvoid go(const int8_t *a, const float *b, int8_t *c, float *d);\n"
        "void go(const int8_t *a, const float *b, int8_t *c, float *d)\n"
        "{\n    *c = (int8_t)-*a;\n    *d = *b * 2;\n}\n"
    )
    several = firmware.Program(sources=(path,), entry="go", inputs=(1, 4), outputs=(1, 4))
    example = np.zeros((1, 12), np.uint8)
    example[0, 0], example[0, 8:] = 7, np.frombuffer(np.float32(1.25).tobytes(), np.uint8)
    for name in ("cortex-m3", "host"):
        raw = measure(several, needed(name), example).raw
        assert raw is not None and raw[0, :1].view(np.int8)[0] == -7
        assert raw[0, 8:].view(np.float32)[0] == 2.5


def test_objects_that_were_compiled_beforehand_are_linked(tmp_path: Path) -> None:
    target = needed("cortex-m3")
    source, made = tmp_path / "tiny.c", tmp_path / "tiny.o"
    source.write_text(AFFINE)
    compiler = [target.compiler, *target.flags, *target.library, *firmware.FLAGS]
    subprocess.run([*compiler, "-c", str(source), "-o", str(made)], check=True)
    compiled = measure(source, target, EXAMPLES)
    linked = measure(replace(program_of(source), sources=(), objects=(made,)), target, EXAMPLES)
    assert linked.flash == compiled.flash and linked.instructions == compiled.instructions
    np.testing.assert_array_equal(linked.outputs, compiled.outputs)
