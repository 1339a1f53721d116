"""Models that are called in several ways.

One file over one set of tensors, and what techniques do with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several import WIDTH, WORDS, Copier, Copying, Matching, Tower, copier, greedy, towers
from torch import Tensor, nn
from zoo import Calls

from shoestring.artifact import Entries, Loaded, by_entry, load
from shoestring.artifact.format import file
from shoestring.artifact.format.tensors import NUMBERS
from shoestring.core import ClassLogits, NotTaught, Task, array, chain, score, seeded
from shoestring.kit import (
    AdamW,
    Exported,
    ExportError,
    SkippedWarning,
    Training,
    clone,
    export,
    fold_batch_norm,
    from_shoe,
    parameters_of,
    record,
    remove_dead_units,
    restore,
    write,
)
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.tracing.example import examples_of
from shoestring.prune import Blocks, Channels, LowRank, Magnitude
from shoestring.quantize import (
    BFloat16,
    PerChannel,
    PostTraining,
    QuantizationAware,
    WeightOnly,
    WeightSharing,
)

# -- two towers over one embedding


@pytest.fixture(scope="module")
def matched(tmp_path_factory) -> tuple[nn.ModuleDict, Path]:
    """Two towers, and their file."""
    model, path = towers(), tmp_path_factory.mktemp("towers") / "towers.shoe"
    write(model, Matching(), path)
    return model, path


def test_two_towers_hold_their_embedding_once(matched):
    content = file.read_model(matched[1])
    assert isinstance(content, Entries) and list(content.graphs) == ["query", "item"]
    assert [list(one.bits.shape) for one in content.tensors].count([WORDS, WIDTH]) == 1
    apart = [
        len(file.pack(one)) for one in by_entry(content).values()
    ]  # as the files of the towers would be
    assert matched[1].stat().st_size < 0.6 * sum(apart)


def test_each_tower_answers_as_the_module_does_at_any_shape(matched):
    model, path = matched
    loaded = load(path)
    for shape in ((4, 5), (1, 1), (3, 11)):
        ids = torch.randint(0, WORDS, shape)
        for name in ("query", "item"):
            expected = model[name](ids).detach().numpy()
            for answer in (loaded[name](ids), getattr(loaded, name)(ids=ids)):
                assert np.allclose(answer, expected, atol=1e-5)
    assert score(Matching(), loaded) == score(Matching(), model)


def test_towers_come_back_from_their_file(matched):
    model, path = matched
    with seeded(1):
        words = nn.Embedding(WORDS, WIDTH)
        other = nn.ModuleDict({"query": Tower(words), "item": Tower(words)})
    again = restore(path, other)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True)
    )
    assert again["query"].words.weight is again["item"].words.weight


def test_a_file_with_several_entries_is_no_single_module(matched):
    with pytest.raises(
        file.ShoeError, match=r"several entries \(query, item\), and one graph is wanted here"
    ):
        from_shoe(matched[1])


# -- an encoder and the step of its decoder


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[nn.Module, Path, Exported]:
    """A model that copies digits, and its file."""
    model, path = copier(), tmp_path_factory.mktemp("copier") / "copier.shoe"
    exported = export(model, Copying())
    write(model, Copying(), path, exported=exported)
    return model, path, exported


def test_a_decoding_loop_on_the_file_writes_what_the_module_writes(written):
    model, path, _ = written
    loaded, task = load(path), Copying()
    assert score(task, model) > 0.95
    assert torch.equal(greedy(loaded, task.ids("test")), greedy(model.eval(), task.ids("test")))
    long = torch.randint(0, 9, (2, 7))  # longer than any that it was trained on
    assert torch.equal(greedy(loaded, long), greedy(model, long))
    assert score(task, loaded) == score(task, model)


def test_what_is_wrong_with_an_argument_is_told_by_its_name(written):
    loaded = load(written[1])
    with pytest.raises(
        TypeError, match="the input 'state' is missing; this file takes last: int64"
    ):
        loaded.step(torch.zeros(2, dtype=torch.long))


@pytest.mark.slow
@pytest.mark.parametrize(
    "technique",
    [
        Magnitude(density=0.4, training=Training(40)),
        WeightSharing(levels=16, training=Training(20, AdamW(1e-3))),
        BFloat16(),
        chain(
            Magnitude(density=0.6, training=Training(20)),
            WeightSharing(levels=8, training=Training(20, AdamW(1e-3))),
        ),
    ],
    ids=["magnitude", "shared", "bfloat16", "chain"],
)
def test_weights_become_cheaper_and_go_on_from_the_file(technique, written, tmp_path):
    model, whole, exported = written
    task, path = Copying(), tmp_path / "small.shoe"
    with seeded(0):
        changed = technique(model, task.sealed())
    known = (
        None if isinstance(technique, BFloat16) else exported
    )  # the graph is the same, but for the type of the weights
    assert write(changed, task, path, exported=known) < 0.8 * whole.stat().st_size
    assert score(task, load(path)) == score(task, changed) > 0.5
    again = restore(path, changed)
    assert score(task, again) == score(task, changed)
    pairs = zip(parameters_of(again), parameters_of(changed), strict=True)
    assert all(torch.equal(one.value(), other.value()) for one, other in pairs)


@pytest.mark.slow
def test_integer_weights_of_entries(written, tmp_path):
    model, whole, _ = written
    task, path = Copying(), tmp_path / "integers.shoe"
    rounded = WeightOnly(bits=8, rest=PerChannel())(model, task.sealed())
    assert write(rounded, task, path) < 0.7 * whole.stat().st_size
    assert score(task, load(path)) == score(task, rounded) > 0.9
    assert score(task, restore(path, model)) == score(task, rounded)


@pytest.mark.parametrize("technique", [PostTraining(), QuantizationAware(training=Training(1))])
def test_rounded_activations_are_refused(technique, written):
    with pytest.raises(
        ExportError,
        match=r"called in one way, and .* entries \(encode, step\): quantize.WeightOnly rounds",
    ):
        technique(written[0], Copying().sealed())


# -- distillation


def test_a_teacher_teaches_each_entry(written):
    model, task = written[0], Copying()
    taught = task.taught_by(model)
    batch = next(iter(task.batches("validation")))
    student = clone(model)
    # The student answers as the teacher does: what is left is the task's own share of the loss.
    assert torch.allclose(taught.loss(student, batch), 0.3 * task.loss(student, batch), atol=1e-5)
    assert "logits as logits of classes" in taught.teaching()
    assert "encode" not in vars(student) and "step" not in vars(student)
    with torch.no_grad():
        student.bridge[0].weight.zero_()
    apart = taught.loss(student, batch) - 0.3 * task.loss(student, batch)
    assert apart > 0.1
    apart.backward()
    assert student.reader.weight_hh_l0.grad is not None


def test_outputs_of_entries_are_declared_by_their_names(written):
    @dataclass(frozen=True)
    class Declared(Copying):
        kinds: Any = field(
            default_factory=lambda: {
                "encode": NotTaught(),
                "step": {"logits": ClassLogits(1), "state": NotTaught()},
            }
        )

    taught = Declared().taught_by(written[0])
    taught.loss(clone(written[0]), next(iter(Declared().batches("validation"))))
    assert taught.teaching().count("declared") == 3


def test_a_student_of_another_width_is_taught_too(written):
    """What parts give within an entry is not compared."""
    student = Copier()
    student.bridge = nn.Sequential(nn.Linear(48, 4), nn.ReLU(), nn.Linear(4, 48))
    batch = next(iter(Copying().batches("validation")))
    assert torch.isfinite(Copying().taught_by(written[0]).loss(student, batch))


def test_towers_are_taught_by_towers():
    model, task = towers(), Matching()
    taught = task.taught_by(model)
    batch = next(iter(task.batches("validation")))
    assert torch.allclose(
        taught.loss(clone(model), batch), 0.3 * task.loss(model, batch), atol=1e-5
    )


# -- surgery: what one entry alone reads is read


class Forked(nn.Module):
    """A trunk whose units two heads read, each in an entry of its own."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(3):
            self.trunk, self.norm = nn.Linear(6, 8), nn.BatchNorm1d(8)
            self.policy_head, self.value_head = nn.Linear(8, 4), nn.Linear(8, 1)
            self.norm.running_mean.normal_()

    def hidden(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.trunk(x)))

    def policy(self, x: Tensor) -> Tensor:
        return self.policy_head(self.hidden(x))

    def value(self, x: Tensor) -> Tensor:
        return self.value_head(self.hidden(x))


@dataclass(frozen=True)
class Playing(Calls):
    """Asks that both heads say little."""

    def loss(self, model: Any, batch: int) -> Tensor:
        return (
            model.policy(torch.ones(2, 6) * batch).square().mean()
            + model.value(torch.ones(2, 6)).square().mean()
        )

    def score(self, predict: Any, split: str) -> float:
        answers = predict.policy(torch.ones(2, 6)), predict.value(torch.ones(2, 6))
        return -sum(float(np.abs(array(one)).mean()) for one in answers)

    def example(self) -> Any:
        return {"policy": self.call(), "value": self.call()}


def playing() -> Playing:
    with seeded(4):
        return Playing((torch.randn(5, 6),), {})


def answers(model: nn.Module) -> list[Tensor]:
    with torch.no_grad(), seeded(5):
        x = torch.randn(7, 6)
        return [model.eval().policy(x), model.value(x)]


def test_a_unit_goes_only_when_no_entry_reads_it():
    model = Forked()
    with torch.no_grad():
        model.policy_head.weight[:, [1, 2]] = 0
        model.value_head.weight[:, [2, 5]] = 0  # unit 2 is read by neither
    expected = answers(model)
    smaller = remove_dead_units(model, playing())
    assert len(smaller.trunk.weight) == 7
    assert torch.equal(
        smaller.policy_head.weight, model.policy_head.weight[:, [0, 1, 3, 4, 5, 6, 7]]
    )
    for one, other in zip(answers(smaller), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_units_belong_together_over_all_entries():
    model = Forked()
    (group,) = dependency_groups(model, playing(), who="test").groups
    names = [one.name for one in parameters_of(model)]
    assert {names[place] for place, _ in group.reads} == {"policy_head.weight", "value_head.weight"}
    thinner = Channels(share=0.5, multiple=1, training=Training(0))(model, playing())
    assert 1 <= len(thinner.trunk.weight) < 8
    assert (
        thinner.policy_head.in_features
        == thinner.value_head.in_features
        == len(thinner.trunk.weight)
    )
    assert [one.shape for one in answers(thinner)] == [one.shape for one in answers(model)]


def test_batch_norm_that_both_entries_pass_stays_and_that_of_one_is_folded():
    """A layer that runs twice is left alone, as ever; one that runs in one entry is not."""
    model = Forked()
    assert isinstance(fold_batch_norm(model, playing()).norm, nn.BatchNorm1d)

    class Apart(Forked):
        def value(self, x: Tensor) -> Tensor:
            return self.value_head(torch.relu(self.trunk(x)))

    with seeded(3):
        other = Apart()
    assert isinstance(fold_batch_norm(other, playing()).norm, nn.BatchNorm1d), (
        "the other entry reads the trunk without it"
    )

    norms = nn.ModuleDict(
        {
            name: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU())
            for name in ("policy", "value")
        }
    )
    folded = fold_batch_norm(norms.eval(), playing())
    assert not [one for one in folded.modules() if isinstance(one, nn.BatchNorm1d)]
    for one, other in zip(answers(folded), answers(norms), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_tape_has_the_calls_of_all_entries():
    tape = record(Forked().eval(), *examples_of(playing()))
    assert [call.layer for call in tape.calls if call.function == "linear"] == [
        "trunk",
        "policy_head",
        "trunk",
        "value_head",
    ]
    assert len(tape.results) == 2


def test_factors_and_blocks_are_tried_on_all_entries():
    class Fails(nn.Sequential):
        """Cannot do without its second layer being one."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self[1].weight.new_ones(())

    wide = nn.ModuleDict(
        {
            "policy": nn.Sequential(nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 4)),
            "value": Fails(nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 1)),
        }
    )
    with pytest.warns(
        SkippedWarning,
        match=r"LowRank skipped value\.1: the model fails with other layers in its place",
    ):
        thin = LowRank(training=Training(0), only=("policy.1", "value.1"))(wide, playing())
    assert isinstance(thin["policy"][1], nn.Sequential) and isinstance(thin["value"][1], nn.Linear)

    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 6), nn.ReLU())

    deep = nn.ModuleDict(
        {
            "policy": nn.Sequential(block(), block(), nn.Linear(6, 4)),
            "value": nn.Sequential(block(), block(), nn.Linear(6, 1)),
        }
    )
    assert Blocks().layers(deep, playing()) == ["policy.0", "policy.1", "value.0", "value.1"]


# -- what is refused, and told


def tower(outputs: int) -> tuple[nn.Module, Calls]:
    """A part that computes with integers, and the task that it was rounded with."""
    with seeded(outputs):
        task = Calls((torch.randn(5, 6),), {})
        layers = nn.Sequential(
            nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, outputs)
        )
    return PostTraining()(layers, task.sealed()), task


def test_parts_that_were_rounded_each_by_itself_keep_their_integers_in_one_file(tmp_path):
    model, path = (
        nn.ModuleDict({"policy": tower(4)[0], "value": tower(1)[0]}),
        tmp_path / "integers.shoe",
    )
    write(model, playing(), path)
    assert sum(one.element == NUMBERS["int8"] for one in file.read_model(path).tensors) == 6
    loaded = load(path)
    for name in ("policy", "value"):
        x = playing().args[0]
        assert np.allclose(loaded[name](x), array(model[name](x)), atol=1e-4)
    again = restore(path, model)
    for one, other in zip(parameters_of(again), parameters_of(model), strict=True):
        assert torch.allclose(one.value().float(), other.value().float(), atol=1e-6)


@pytest.mark.slow
def test_a_weight_that_one_entry_cannot_take_as_integers_is_kept_once_in_floating_point(tmp_path):
    part, path = tower(4)[0], tmp_path / "both.shoe"
    model = nn.ModuleDict(
        {"policy": part, "value": nn.Sequential(part.get_submodule("inner.0"), nn.Sigmoid())}
    )
    with pytest.warns(
        SkippedWarning,
        match=r"in floating point in the file: .*weight .not every entry that reads them",
    ):
        write(model, playing(), path)
    content = file.read_model(path)
    assert [one.element for one in content.tensors if list(one.bits.shape) == [16, 6]] == [
        NUMBERS["float32"]
    ]
    loaded, x = Loaded(content), playing().args[0]
    assert np.allclose(loaded.value(x), array(model["value"](x)), atol=1e-5)
    assert np.allclose(loaded.policy(x), array(model["policy"](x)), atol=2e-2)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            {"polcy": ((torch.ones(2, 6),), {})},
            "the entry 'polcy': .* Forked has no method or part of that name",
        ),
        ({"train": ((), {})}, "the entry 'train': .* has no method or part of that name"),
        (
            {"run": ((), {})},
            "names an entry 'run', which cannot be: a loaded file has an attribute of that name",
        ),
        ({"a.b": ((), {})}, "names an entry 'a.b', which cannot be: a letter must come first"),
        ({3: ((), {})}, "names an entry 3, which cannot be"),
        ({}, "names 0 entries"),
        ({"policy": torch.ones(2, 6)}, r"of the entry 'policy' is Tensor: give \(args, kwargs\)"),
        (
            {"policy": (torch.ones(2, 6), {})},
            r"of the entry 'policy' is \(Tensor, dict\): give \(args, kwargs\)",
        ),
        (
            {"policy": ((torch.ones(2, 7),), {})},
            "the entry 'policy': the model failed on the task's example",
        ),
    ],
)
def test_examples_that_name_what_is_not_there(example, message):
    @dataclass(frozen=True)
    class Wrong(Playing):
        def example(self) -> Any:
            return example

    with pytest.raises(ExportError, match=message):
        export(Forked(), Wrong((), {}))


def test_forward_may_be_an_entry_among_others(tmp_path):
    class Chatty(Forked):
        def forward(self, x: Tensor, times: int = 1) -> Tensor:
            return self.policy(x) * times

    @dataclass(frozen=True)
    class Forward(Playing):
        def example(self) -> Any:
            return {"forward": ((torch.ones(2, 6), 3), {}), "value": self.call()}

    model = Chatty().eval()
    write(model, Forward(playing().args, {}), tmp_path / "both.shoe")
    x = torch.ones(3, 6)
    assert np.allclose(load(tmp_path / "both.shoe").forward(x), array(model(x, 3)), atol=1e-5)


class Remembering(nn.Module):
    """What encode() leaves in the module, step() reads: a file has no such memory."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.register_buffer("memory", torch.zeros(3))

    def encode(self, x):
        self.memory = self.a(x).mean(0)
        return self.memory

    def step(self, y):
        return self.b(y + self.memory)


def test_a_module_that_remembers_between_entries_is_refused():
    class Both(Task):
        def example(self):
            x = torch.randn(2, 3)
            return {"encode": ((x,), {}), "step": ((x,), {})}

    with pytest.raises(ExportError, match="'encode': it changes tensors of the module"):
        export(Remembering().eval(), Both())


def test_a_buffer_of_nan_is_no_change():
    model = copier()
    model.register_buffer("unused", torch.tensor([float("nan")]))
    assert set(export(model.eval(), Copying()).graphs) == {"encode", "step"}
