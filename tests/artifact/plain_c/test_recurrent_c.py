"""LSTM, GRU and RNN as C, in random forms, beside what ONNX Runtime gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiers
from c_compiled import CROSS, build, crosses, needs_gcc, outputs
from c_graphs import Made
from test_firmware import needed
from test_operators import STORAGES, few_levels

from shoestring.artifact import load, read
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.firmware import measure, places, program_for
from shoestring.artifact.plain_c.weight_source import WeightStorage
from shoestring.artifact.runtime.loaded import Loaded

FILES = Path(__file__).parents[3] / "benchmarks" / "results" / "files"
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Random = np.random.Generator


def network(kind: str, drawn: Random) -> Made:
    """A graph with a recurrent layer, its first states and its last ones as outputs a, b, c."""
    steps, width, units = (int(n) for n in drawn.integers(1, 6, 3))
    direction = str(drawn.choice(["forward", "reverse", "bidirectional"]))
    directions = 1 + (direction == "bidirectional")
    rows = GATES[kind] * units
    made = Made(x=(steps, 1, width), h=(directions, 1, units), s=(directions, 1, units))
    weights = [few_levels(drawn, (directions, rows, one)) for one in (width, units)]
    bias = drawn.normal(size=(directions, 2 * rows)) if drawn.random() < 0.7 else None
    states = ["h", "s"] if drawn.random() < 0.5 else [np.zeros((directions, 1, units))] * 2
    if drawn.random() < 0.3:
        states[0] = drawn.normal(size=(directions, 1, units))
    attributes: dict[str, object] = {"hidden_size": units, "direction": direction}
    if kind == "GRU":
        attributes["linear_before_reset"] = int(drawn.integers(0, 2))
    lengths = np.array([steps], np.int32) if drawn.random() < 0.3 else None
    names = ["a", "b", "c"] if kind == "LSTM" else ["a", "b"]
    given = ["x", *weights, bias, lengths, states[0], *(states[1:] if kind == "LSTM" else [])]
    made.node(kind, *given, to=names, **attributes)
    return made


def networks(kind: str, count: int) -> list[tuple[CFile, Loaded]]:
    made: list[tuple[CFile, Loaded]] = []
    for seed in range(count):
        drawn = np.random.default_rng(seed)
        graph = network(kind, drawn)
        names = graph.nodes[-1][2]
        chosen = names if seed % 3 else [str(drawn.choice(names))]
        content = graph.content(*chosen)
        storage: WeightStorage = STORAGES[seed % 3 if seed % 2 else 2]
        made.append(
            (
                export_c(content, name=f"n{seed}", weights=storage, reuse_inputs=bool(seed & 4)),
                Loaded(content, threads=1),
            )
        )
    return made


@needs_gcc
@pytest.mark.parametrize("kind", GATES)
def test_random_layers_give_what_the_runtime_gives(kind: str, tmp_path: Path) -> None:
    made = networks(kind, tiers.repetitions(4, 150))
    program = build([one for one, _ in made], tmp_path)
    for number, (written, loaded) in enumerate(made):
        drawn = np.random.default_rng(number)
        cases = [
            [drawn.normal(size=port.shape).astype(np.float32) for port in written.emitted.inputs]
            for _ in range(3)
        ]
        for case, got in zip(cases, outputs(written, program, cases, number), strict=True):
            for one, wanted in zip(got, loaded(*case), strict=True):
                np.testing.assert_allclose(one, wanted, rtol=0, atol=2e-6, err_msg=f"{number}")


@needs_gcc
@pytest.mark.by_default("GRU")
@pytest.mark.parametrize("kind", GATES)
def test_odd_numbers_reach_nothing_outside(kind: str, tmp_path: Path) -> None:
    made = networks(kind, tiers.repetitions(2, 40))
    program = build([one for one, _ in made], tmp_path)
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -0.0], np.float32)
    for number, (written, _) in enumerate(made):
        drawn = np.random.default_rng(number)
        cases = [[drawn.choice(odd, port.shape) for port in written.emitted.inputs]]
        outputs(written, program, cases, number)


@needs_gcc
def test_an_rnn_with_relu(tmp_path: Path) -> None:
    made = Made(x=(4, 1, 3))
    drawn = np.random.default_rng(0)
    weights = drawn.normal(size=(1, 5, 3)), drawn.normal(size=(1, 5, 5))
    made.node("RNN", "x", *weights, to=["y"], hidden_size=5, activations=["Relu"])
    content = made.content("y")
    written = export_c(content, name="n")
    case = [drawn.normal(size=(4, 1, 3)).astype(np.float32)]
    got = outputs(written, build(written, tmp_path), [case])[0][0]
    np.testing.assert_allclose(got, Loaded(content, threads=1)(*case)[0], atol=1e-6)
    assert (got == 0).any() and (got > 0).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": (3, 2, 2)}, "has 2 sequences: C computes one at a time"),
        ({"clip": 1.0}, "has clip"),
        ({"activations": ["Relu", "Tanh", "Tanh"]}, "the activations Relu, Tanh, Tanh: C has"),
        ({"lengths": np.array([2], np.int32)}, "lengths of sequences: C computes all 3 steps"),
        ({"peepholes": np.ones((1, 6))}, "has peepholes"),
        ({"weights": "w"}, "has weights that are computed"),
    ],
)
def test_a_form_that_there_is_no_c_for_is_said(change: dict[str, object], said: str) -> None:
    made = Made(x=change.get("x", (3, 1, 2)), w=(1, 8, 2))
    weights = change.get("weights", np.ones((1, 8, 2)))
    attributes = {name: value for name, value in change.items() if name in ("clip", "activations")}
    extra = [change.get("lengths"), None, None, change.get("peepholes")]
    made.node(
        "LSTM", "x", weights, np.ones((1, 8, 2)), None, *extra, to="y", hidden_size=2, **attributes
    )
    with pytest.raises(NoPlainC, match=rf"LSTM \(node 0\).*{said}"):
        export_c(made.content("y"))


def sentences(count: int, length: int) -> list[list[np.ndarray]]:
    """The first sentences of the test split, cut or padded to a length: words and endings."""
    pytest.importorskip("torch")
    from shoestring import tasks

    try:
        task = tasks.ewt()
    except tasks.DataError as error:
        pytest.skip(f"needs ewt: {error}")
    words, endings = (np.asarray(part)[:count] for part in task.test[0])
    both = [np.zeros((count, length), np.int64) for _ in range(2)]
    for target, ids in zip(both, (words, endings), strict=True):
        target[:, : ids.shape[1]] = ids[:, :length]
    return [[both[0][one : one + 1], both[1][one : one + 1]] for one in range(count)]


@needs_gcc
@pytest.mark.slow
def test_the_tagger_gives_the_outputs_of_its_file(tmp_path: Path) -> None:
    path = FILES / "baseline_tagger.shoe"
    written = export_c(read(path), name="tagger", axes={"T": 12})
    program = build(written, tmp_path, ("-O2", "-fsanitize=address,undefined"))
    loaded, cases = load(path), sentences(20, 12)
    for case, got in zip(cases, outputs(written, program, cases), strict=True):
        wanted = np.asarray(loaded(*case))
        np.testing.assert_allclose(got[0], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
        np.testing.assert_array_equal(got[0].argmax(-1), wanted.argmax(-1))


@pytest.mark.slow
@pytest.mark.parametrize(("core", "count"), [("cortex-m3", 20), ("cortex-m4f", 200)])
def test_the_tagger_emulated(core: str, count: int, tmp_path: Path) -> None:
    target, path = needed(core), FILES / "baseline_tagger.shoe"
    written = export_c(read(path), name="tagger", axes={"T": 20})
    (tmp_path / "tagger.c").write_text(written.text)
    program = program_for(written, tmp_path / "tagger.c")
    cases = sentences(count, 20)
    both = np.array([np.concatenate(case, 1)[0] for case in cases], np.int32)
    assert places(program.inputs) == [0, 80, 160]
    measured = measure(program, target, both)
    assert measured.outputs is not None
    got = measured.outputs.reshape(count, 20, -1)
    wanted = np.concatenate([np.asarray(load(path)(*case)) for case in cases])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(got.argmax(-1), wanted.argmax(-1))


@needs_gcc
@pytest.mark.parametrize("storage", STORAGES, ids=lambda one: type(one).__name__)
def test_two_layers_of_both_directions_with_weights_on_a_grid(
    storage: WeightStorage, tmp_path: Path
) -> None:
    content = read(Path(__file__).parents[1] / "format" / "golden" / "v2_lstm_coded.shoe")
    made = export_c(content, name="n", weights=storage, axes={"T": 6})
    drawn = np.random.default_rng(0)
    cases = [[drawn.normal(size=(1, 6, 6)).astype(np.float32)] for _ in range(5)]
    for case, got in zip(cases, outputs(made, build(made, tmp_path), cases), strict=True):
        wanted = Loaded(content, threads=1)(*case)
        np.testing.assert_allclose(got[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.by_default("cortex-m3")
@pytest.mark.parametrize("target", CROSS)
def test_compilers_for_microcontrollers_find_no_fault(target: str, tmp_path: Path) -> None:
    content = network("GRU", np.random.default_rng(0)).content("a", "b")
    crosses(export_c(content, name="n", weights=Coded()), tmp_path, target)
