"""Without labels: a model is to answer as it did."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
import wave
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring import Agreement, Vary, from_onnx, load, write
from shoestring.core import Boxes, ClassLogits, NotTaught, Numbers, Own, SealedError, score, seeded
from shoestring.kit import (
    AdamW,
    Carried,
    Cents,
    Least,
    Overlap,
    RelativeError,
    SameClass,
    Sounds,
    Supervised,
    Training,
    Within,
    clone,
    recover,
    taught,
    train,
)
from shoestring.kit.training import answers as answering
from shoestring.kit.training.same import SameDirection, identity
from shoestring.prune import Magnitude
from shoestring.quantize import PostTraining


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(network: Any, seed: int = 0) -> Any:
    with seeded(seed):
        return network()


def mlp(*sizes: int) -> nn.Module:
    def network() -> nn.Module:
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1]) if sizes else nn.Identity()

    return made(network)


class Head(nn.Module):
    """Features to class logits and boxes, and whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.classes, self.corner, self.size = (
            nn.Linear(6, 16),
            nn.Linear(16, 5),
            nn.Linear(16, 2),
            nn.Linear(16, 2),
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x).tanh()
        corner = self.corner(features)
        logits = self.classes(features)
        return {
            "logits": logits,
            "boxes": torch.cat([corner, corner + self.size(features).exp()], 1),
            "best": logits.argmax(1),
        }


class Streaming(nn.Module):
    """One step N×6 and a state N×12 to a number N×1 and the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(6, 12), nn.Linear(12, 1)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.cell(x, h)
        return self.out(h), h


# -- what it comes to


def test_the_model_agrees_with_itself_and_the_split_is_said():
    model, x = mlp(6, 16, 5).train(), random(100, 6)
    task = Agreement(model, x, SameClass())
    assert model.training and task.teacher is not model and not task.teacher.training
    for split in ("train", "validation", "test"):
        assert score(task, model, split) == 1 and task.standard_error(model, split) == 0
    assert len(task.merits(model, "validation")) == 20 and len(task.merits(model, "train")) == 60
    assert "60 inputs to train on, 20 to choose by, 20 to prove on" in str(
        task
    ) and "the same class" in str(task)
    assert task.teaching() == "output as logits of classes along axis 1 (by same=)"
    (argument,), keywords = task.example()
    assert (
        isinstance(argument, Vary)
        and argument.tensor.shape == (2, 6)
        and argument.axes == {0: "N"}
        and keywords == {}
    )


def test_the_score_of_another_is_the_share_of_the_same_answers():
    model, other, x = mlp(6, 16, 5), made(lambda: nn.Linear(6, 5), 3), 5 * random(100, 6)
    task = Agreement(model, x, SameClass())
    inputs = torch.cat([batch[0]["input"] for batch in task.batches("test")])
    with torch.no_grad():
        share = float((model(inputs).argmax(1) == other(inputs).argmax(1)).float().mean())
    assert score(task, other, "test") == pytest.approx(share) and share < 1
    # The parts are drawn by the seed, and do not overlap.
    rows = {
        split: {tuple(row.tolist()) for b, _ in task.batches(split) for row in b["input"]}
        for split in ("train", "validation", "test")
    }
    assert len(set.union(*rows.values())) == 100 == sum(map(len, rows.values()))
    again, elsewhere = Agreement(model, x, SameClass()), Agreement(model, x, SameClass(), seed=1)
    assert (
        again.name == task.name
        and elsewhere.name != task.name != Agreement(model, 2 * x, SameClass()).name
    )
    assert {
        tuple(row.tolist()) for b, _ in elsewhere.batches("test") for row in b["input"]
    } != rows["test"]


def test_kinds_are_found_out_and_each_output_has_its_own_measure():
    model, x = made(Head), random(200, 6)
    task = Agreement(model, x)
    assert (
        task.teaching()
        == "logits as logits of classes along axis 1 (by its name), boxes as boxes (by its name "
        "and values)"
    )
    for what in (
        "logits the same class",
        "boxes boxes that overlap by 0.5 or more",
        "best exactly the same",
    ):
        assert what in str(task)
    moved = clone(model)
    with torch.no_grad():
        moved.corner.bias += 1000.0  # no box is where it was; classes are
    assert (
        score(task, moved) == pytest.approx(2 / 3)
        and score(Agreement(model, x, together=Least()), moved) == 0
    )
    alone = Agreement(
        model, x, kinds={"logits": NotTaught(), "best": NotTaught(), "boxes": Boxes()}
    )
    assert score(alone, moved) == 0 and "boxes as boxes (declared)" in alone.teaching()
    near = Agreement(model, x, {"boxes": Within(absolute=1001)}, together=Least())
    assert score(near, moved) == 1


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (
            nn.Softmax(1),
            "the same class; .* as probabilities of classes along axis 1 .by its values",
        ),
        (nn.LogSoftmax(1), "the same class; .* as logits of classes along axis 1 .by its values"),
        (nn.Sigmoid(), "the same side of 0.5; .* as probabilities of yes or no .made by a sigmoid"),
        (nn.Identity(), "1 minus the relative error; .* as numbers .nothing tells"),
    ],
)
def test_the_last_step_tells(last: nn.Module, told: str):
    task = Agreement(nn.Sequential(mlp(6, 16, 5), last), random(100, 6))
    assert re.search(told, str(task)), str(task)


@pytest.mark.parametrize(
    ("last", "columns", "hint"),
    [
        (None, 5, True),
        (None, 2, False),
        (nn.Softmax(1), 5, False),
        (nn.Tanh(), 5, False),
        (nn.Softplus(), 5, False),
    ],
)
def test_numbers_out_of_a_linear_layer_may_be_logits_and_it_is_said(
    last: nn.Module | None, columns: int, hint: bool
):
    model = mlp(6, 16, columns)
    model = model if last is None else nn.Sequential(model, last)
    said = (
        "if output are logits of classes, say same=SameClass() (--same class): the largest is all "
        "that must stay then"
    )
    assert (said in str(Agreement(model, random(100, 6)))) == hint
    for told in (
        {"same": RelativeError()},
        {"kinds": Numbers()},
        {"same": lambda before, after: (before == after).all(1)},
    ):
        assert said not in str(Agreement(model, random(100, 6), **told))


@pytest.mark.parametrize("name", ["corners", "quantiles"])
def test_four_numbers_in_order_are_boxes_only_where_they_are_called_so(name: str):
    class Four(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {name: functional.softplus(self.body(x)).cumsum(1)}

    model, x = made(Four), random(100, 6)
    assert "as numbers" in Agreement(model, x).teaching() and "boxes" not in str(
        Agreement(model, x)
    )
    assert "boxes that overlap" in str(Agreement(model, x, Overlap())) and "boxes" in str(
        Agreement(model, x, kinds=Boxes())
    )


def test_four_answers_of_yes_or_no_are_no_box():
    model = nn.Sequential(mlp(6, 16, 4), nn.Sigmoid())
    assert "the same side of 0.5" in str(Agreement(model, random(100, 6)))


def test_embeddings_agree_by_their_angle_and_numbers_by_their_error():
    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(6, 8)

        def forward(self, x: Tensor) -> Tensor:
            return functional.normalize(self.body(x), dim=1)

    embedding = made(Embedding)
    task = Agreement(embedding, random(100, 6))
    assert "a cosine of 0.99 or more" in str(task) and "directions along axis 1" in task.teaching()
    numbers, x = mlp(6, 16, 3), random(500, 6)
    task = Agreement(numbers, x)
    off = clone(numbers)
    with torch.no_grad():
        off[2].bias += 0.1 * numbers(x).std(0)
    assert score(task, off) == pytest.approx(0.9, abs=0.01)
    pitch = nn.Sequential(mlp(6, 16, 1), nn.Softplus())
    assert score(Agreement(pitch, x, Cents(50)), pitch) == 1


def test_a_function_of_ones_own():
    def near(before: Any, after: Any) -> Any:
        return (abs(before["boxes"] - after["boxes"]) < 1).all(1) * 0.5

    model = made(Head)
    task = Agreement(model, random(50, 6), near)
    assert score(task, model) == 0.5 and "by near" in str(task)
    with pytest.raises(
        ValueError, match=r"same=by <lambda> gives an array of shape \[1\] for 10 examples"
    ):
        Agreement(mlp(6, 3), random(50, 6), lambda before, after: [1.0])


def test_what_says_little_is_questioned():
    model = mlp(6, 16, 5)
    with torch.no_grad():
        model[2].bias[3] += 100
    with pytest.warns(
        UserWarning, match="one and the same answer to every input would agree on 100 %"
    ):
        assert Agreement(model, random(50, 6), SameClass()).constant == 1
    assert Agreement(made(lambda: nn.Linear(6, 5)), 3 * random(200, 6), SameClass()).constant < 0.9


# -- training


def test_the_loss_is_the_distance_by_kind_and_no_teacher_counts_twice():
    model, student, x = made(Head), made(Head, 1), random(100, 6)
    task = Agreement(model, x)
    inputs, _ = batch = next(iter(task.batches("train")))
    ours, theirs = student(inputs["x"]), model(inputs["x"])
    by_hand = ClassLogits().apart(ours["logits"], theirs["logits"], 3.0) + Numbers().apart(
        ours["boxes"], theirs["boxes"], 3.0
    )
    torch.testing.assert_close(task.loss(student, batch), by_hand)
    assert task.loss(model, batch).item() == pytest.approx(0, abs=1e-6)
    for view in (task, task.sealed()):
        assert taught(view, student) is view and view.taught_by(student) is view
    assert torch.equal(
        task.sealed().taught_by(student).loss(student, batch), task.loss(student, batch)
    )
    own = Agreement(
        model, x, kinds=Own(lambda ours, theirs: (ours["boxes"] - theirs["boxes"]).abs().max())
    )
    torch.testing.assert_close(
        own.loss(student, batch), (ours["boxes"] - theirs["boxes"]).abs().max()
    )


def test_a_pruned_network_comes_back_to_agree():
    model, x = mlp(10, 64, 64, 4), random(400, 10)
    task = Agreement(model, x)
    cut = Magnitude(density=0.2, training=Training(0))(model, task)
    back = recover(clone(cut), task, model, Training(200, AdamW(3e-3)))
    assert score(task, cut) < 0.6 and score(task, back) > score(task, cut) + 0.1


def test_whole_numbers_by_calibration(tmp_path: Path):
    model, x = mlp(10, 64, 4), random(200, 10)
    task = Agreement(model, x)
    rounded = PostTraining()(model, task)
    assert 0.9 < score(task, rounded) < 1
    write(rounded, task, tmp_path / "rounded.shoe")
    assert score(task, load(tmp_path / "rounded.shoe"), "test") == pytest.approx(
        score(task, rounded, "test"), abs=1e-4
    )


def test_another_mode_that_lacks_an_output_is_refused_by_name():
    class Modes(Head):
        def forward(self, x: Tensor) -> Any:
            found = super().forward(x)
            return {"logits": found["logits"]} if self.training else found

    model = made(Modes)
    task = Agreement(model, random(50, 6))
    with pytest.raises(
        ValueError, match="the model gives logits in training, and boxes is missing"
    ):
        task.loss(model.train(), next(iter(task.batches("train"))))


# -- a task like others


def test_seen_sealed_sampled_and_copied():
    model = mlp(6, 16, 5)
    task: Any = Agreement(model, random(500, 6), SameClass(), name="mine")
    assert task.name.startswith("mine-") and task.sealed().name == task.name
    with pytest.raises(SealedError):
        task.sealed().score(model, "test")
    few = task.sampled(10, 0)
    assert (
        len(few.merits(model, "validation")) == 10
        and len(few.merits(model, "test")) == 100
        and task.sampled(100, 0) is task
    )
    assert few.sealed().sampled(5, 1).merits(model, "validation").tolist() == [1] * 5
    assert score(copy.deepcopy(task), model) == 1
    with pytest.raises(ValueError, match="there is no split 'all'"):
        list(task.batches("all"))
    with pytest.raises(ValueError, match="examples is 0"):
        task.sampled(0, 0)


def test_answers_are_computed_once_unless_they_are_too_large(monkeypatch: pytest.MonkeyPatch):
    model, x = mlp(6, 16, 5), random(100, 6)
    for most, more in ((1e9, 0), (0, 1)):
        monkeypatch.setattr(answering, "REMEMBERED_BYTES", most)
        task = Agreement(model, x, SameClass())
        assert score(task, model) == 1
        asked: list[int] = []
        hook = task.teacher.register_forward_hook(lambda *_, asked=asked: asked.append(1))
        assert score(task, model) == 1 and len(asked) == more
        hook.remove()


# -- inputs


def test_named_inputs_go_where_forward_has_them(tmp_path: Path):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(5, 3)

        def forward(
            self,
            left: Tensor,
            right: Tensor,
            scale: Tensor | None = None,
            *,
            bias: Tensor | None = None,
        ) -> Tensor:
            out = self.a(left) - self.b(right)
            out = out if scale is None else out * scale
            return out if bias is None else out + bias

    model, left, right = made(Two), random(50, 4), random(50, 5)
    np.savez(tmp_path / "x.npz", right=right.numpy(), left=left.numpy().astype(np.float64))
    for given in (
        {"right": right, "left": left},
        (left, right),
        tmp_path / "x.npz",
        [(a, b) for a, b in zip(left, right, strict=True)],
    ):
        task = Agreement(model, given)
        assert score(task, model) == 1 and [one.tensor.shape[1] for one in task.example()[0]] == [
            4,
            5,
        ]
    fixed = Agreement(model, {"left": left, "right": right, "bias": np.array(2.0)})
    (_, _), keywords = fixed.example()
    assert (
        keywords["bias"].axes == {}
        and keywords["bias"].tensor.dtype == torch.float32
        and score(fixed, model) == 1
    )
    write(model, fixed, tmp_path / "two.shoe")
    assert score(fixed, load(tmp_path / "two.shoe"), "test") > 0.9999
    takes = r"Two.forward\(\) takes left, right, scale, bias"
    for given, message in (
        (
            {"left": left, "rigth": right},
            f"there is an input 'rigth', and {takes}: name the arrays as forward",
        ),
        ({"left": left, "scale": left}, f"{takes}, and the inputs have no 'right'"),
        ((left,), "the inputs have no 'right'"),
    ):
        with pytest.raises(ValueError, match=message):
            Agreement(model, given)
    with pytest.raises(
        ValueError,
        match=r"there are 2 inputs, and Sequential.forward\(\) takes input: give the inputs "
        r"alone, without labels",
    ):
        Agreement(mlp(4, 3), [(a, 1) for a in left])


def test_inputs_that_cannot_be_worked_with():
    model, x = mlp(6, 16, 5), random(50, 6)
    broken = x.clone()
    broken[17, 2] = torch.nan
    for given, message in (
        (x[:4], "there are 4 inputs, and it takes 10 or more"),
        (broken, "the input 'input' holds NaN or infinity in example 17"),
        (
            random(50, 7),
            r"cannot be called on these inputs, input: float32 2×7: .*its first layer 0 is "
            r"Linear\(in_features=6",
        ),
        (x.int(), "cannot be called on these inputs, input: int32 2×6"),
    ):
        with pytest.raises(ValueError, match=message):
            Agreement(model, given)
    with pytest.raises(
        ValueError, match=r"shares is \(0.5, 0.5, 0.5\): give three above 0 that add up to 1"
    ):
        Agreement(model, x, shares=(0.5, 0.5, 0.5))
    with pytest.raises(TypeError, match=r"takes an nn.Module, not function"):
        Agreement(lambda x: x, x)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="same names the output 'box', and the model gives logits, boxes, best"
    ):
        Agreement(made(Head), x, {"box": Overlap()})
    with pytest.raises(
        ValueError,
        match=r"the model has 3 outputs, logits, boxes, best: say of which, same=\{'logits'",
    ):
        Agreement(made(Head), x, SameClass())
    with pytest.raises(ValueError, match="no output is left to agree on"):
        Agreement(model, x, kinds=NotTaught())


def rows_of(task: Agreement, split: str) -> set[tuple[float, ...]]:
    return {
        tuple(row.flatten().tolist())
        for inputs, _ in task.batches(split)
        for row in next(iter(inputs.values()))
    }


@pytest.mark.parametrize("shape", [(100, 6), (100, 20, 6)], ids=["rows", "sequences"])
def test_no_group_is_in_two_parts(shape: tuple[int, ...]):
    x, streams = random(*shape), len(shape) == 3
    groups = [f"speaker {place % 12}" for place in range(100)]
    x[..., 0] = torch.tensor([place % 12.0 for place in range(100)]).view(
        -1, *[1] * (len(shape) - 2)
    )
    model, states = (made(Streaming), {"h": 1}) if streams else (mlp(6, 16, 5), {})
    splits = ("train", "validation", "test")
    for seed in (0, 1):
        task = Agreement(model, x, RelativeError(), states=states, groups=groups, seed=seed)
        seen = [
            {row[0] for b, _ in task.batches(s) for row in b[next(iter(b))].reshape(-1, 6).tolist()}
            for s in splits
        ]
        assert len(set.union(*seen)) == 12 == sum(map(len, seen)), "each speaker is in one part"
        sizes = [len(task._parts[split]) for split in splits]
        assert sizes[0] >= 48 and min(sizes[1:]) >= 12
    one, other = (
        Agreement(model, x, RelativeError(), states=states, groups=g) for g in (groups, None)
    )
    assert one.name != other.name, "figures of other parts are of another task"
    again = Agreement(model, x, RelativeError(), states=states, groups=np.arange(100) % 12)
    assert rows_of(again, "test") == rows_of(
        Agreement(model, x, RelativeError(), states=states, groups=torch.arange(100) % 12), "test"
    )


def test_groups_that_do_not_fit():
    model, x = mlp(6, 16, 5), random(50, 6)
    with pytest.raises(
        ValueError,
        match=r"groups has the shape \[49\], and there are 50 inputs: give one group for each",
    ):
        Agreement(model, x, groups=list(range(49)))
    with pytest.raises(
        ValueError,
        match=r"all inputs are of 2 groups, and each of three parts, .* takes one or more",
    ):
        Agreement(model, x, groups=np.arange(50) % 2)
    three = Agreement(model, x, groups=np.arange(50) % 3)
    assert sorted(len(three._parts[split]) for split in ("train", "validation", "test")) == [
        16,
        17,
        17,
    ]
    with pytest.raises(
        ValueError, match="of 3 groups of 50 inputs, one part gets 1: give inputs of more groups"
    ):
        Agreement(model, x, groups=[0, *[1] * 25, *[2] * 24])


def test_pieces_of_one_recording_stay_together(tmp_path: Path):
    for number in range(12):
        with wave.open(str(tmp_path / f"{number:02}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.full(60, 1000 * number, "<i2").tobytes())
    task = Agreement(made(lambda: nn.Linear(6, 3)), Sounds(tmp_path, samples=6))
    seen = [{row[0] for row in rows_of(task, split)} for split in ("train", "validation", "test")]
    assert len(set.union(*seen)) == 12 == sum(map(len, seen))


def test_axes_of_each_input_by_its_name(tmp_path: Path):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.a(left).mean(1) - self.b(right).mean(1)

    model, inputs = made(Two), {"left": random(50, 5, 4), "right": random(50, 12, 4)}
    task = Agreement(model, inputs, axes={"left": {1: "S"}, "right": {1: "T"}})
    assert [one.axes for one in task.example()[0]] == [{0: "N", 1: "S"}, {0: "N", 1: "T"}]
    write(model, task, tmp_path / "two.shoe")
    wanted, file = model(random(3, 7, 4), random(3, 2, 4, seed=1)), load(tmp_path / "two.shoe")
    assert (
        abs(file(random(3, 7, 4), random(3, 2, 4, seed=1)) - wanted.detach().numpy()).max() < 1e-5
    )
    assert Agreement(model, inputs, axes={"right": {1: "T"}}).example()[0][0].axes == {0: "N"}
    for axes in ({"lef": {1: "S"}}, {1: "T", "left": {1: "S"}}, {"left": "S"}):
        with pytest.raises(
            ValueError,
            match=r"axes names .*, and the inputs are left, right: give axes=\{1: 'T'\} for all",
        ):
            Agreement(model, inputs, axes=axes)  # type: ignore[arg-type]


def test_bags_of_ids_are_told_the_way_round(tmp_path: Path):
    class Bags(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(20, 3, padding_idx=0)

        def forward(self, ids: Tensor, offsets: Tensor | None = None) -> Tensor:
            return self.bag(ids, offsets)

    model, ids = made(Bags), torch.randint(20, (200,), generator=torch.Generator().manual_seed(0))
    with pytest.raises(
        ValueError, match=r"EmbeddingBag takes them, have no axis of examples: give ids N×L, padded"
    ):
        Agreement(model, {"ids": ids, "offsets": torch.arange(0, 200, 4)})
    assert score(Agreement(model, ids.view(50, 4)), model) == 1


# -- streaming


def by_hand(model: Any, x: Tensor) -> Tensor:
    """The outputs N×T×1 of a streaming model whose state begins as zeros."""
    h, outputs = torch.zeros(len(x), 12), list[Tensor]()
    for step in range(x.shape[1]):
        y, h = model(x[:, step], h)
        outputs.append(y)
    return torch.stack(outputs, 1)


@pytest.mark.by_default("name")
@pytest.mark.parametrize(
    "states",
    [{"h": 1}, {"h": "output_1"}, {"h": Carried(1, ("N", 12))}],
    ids=["place", "name", "shape"],
)
def test_a_streaming_network_is_run_over_sequences(states: dict[str, Any], tmp_path: Path):
    model, other, x = made(Streaming), made(Streaming, 1), random(50, 20, 6)
    task = Agreement(model, x, RelativeError(), states=states, window=8)
    assert score(
        task, model
    ) == 1 and "60 inputs windows of 8 steps to train on, 10 to choose by" in str(task)
    part = torch.cat([b["x"] for b, _ in task.batches("validation")])
    with torch.no_grad():
        before, after = by_hand(model, part), by_hand(other, part)
    spread = task._measures["0"].spread[0]  # type: ignore[union-attr]
    expected = (1 - (before - after).abs()[..., 0] / spread).clip(0, 1).mean()
    assert score(task, other) == pytest.approx(float(expected), abs=1e-5)
    inputs, answers = batch = next(iter(task.batches("train")))
    assert inputs["x"].shape[1:] == (8, 6) and answers["0"].shape[1:] == (8, 1)
    ours = by_hand(other, inputs["x"])
    torch.testing.assert_close(
        task.loss(other, batch),
        Numbers().apart(
            ours.flatten(0, 1), by_hand(model, inputs["x"]).detach().flatten(0, 1), 3.0
        ),
    )
    (step, state), _ = task.example()
    assert (
        step.tensor.shape == (2, 6)
        and state.tensor.shape == (2, 12)
        and not state.tensor.any()
        and state.axes == {0: "N"}
    )
    write(model, task, tmp_path / "stream.shoe")
    assert score(task, load(tmp_path / "stream.shoe"), "test") > 0.9999
    trained = train(clone(other), task, Training(60, AdamW(1e-2)))
    assert score(task, trained) > score(task, other) + 0.1


def test_states_that_are_not_known():
    class Strict(Streaming):
        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().forward(x, h)

    model, x = made(Strict), random(50, 20, 6)
    with pytest.raises(
        ValueError, match=r"what shape the state 'h' begins with is not known.*Carried\(1, "
    ):
        Agreement(model, x, states={"h": 1})
    assert score(Agreement(model, x, states={"h": Carried(1, ("N", 12))}), model) == 1
    with pytest.raises(
        ValueError, match=r"states names the input 'state', and Strict.forward\(\) takes x, h"
    ):
        Agreement(model, x, states={"state": Carried(1, ("N", 12))})
    with pytest.raises(
        ValueError, match="states names the output 'hidden', and the model gives output_0, output_1"
    ):
        Agreement(model, x, states={"h": Carried("hidden", ("N", 12))})
    with pytest.raises(ValueError, match="inputs are sequences N×T×… of one length T"):
        Agreement(model, random(50), states={"h": Carried(1, ("N", 12))})


def test_what_has_no_axis_of_examples_is_left_out():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(6, 4, batch_first=True)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.rnn(x)

    task = Agreement(made(Both), random(50, 7, 6), axes={1: "T"})
    assert task.teaching() == "output_0 as numbers (nothing tells)" and task.example()[0][
        0
    ].axes == {0: "N", 1: "T"}


def test_agreement_says_what_labels_say_of_a_trained_network():
    x = random(600, 6)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    labelled = Supervised(
        train=(x[:400], y[:400]), validation=(x[400:], y[400:]), test=(x[400:], y[400:])
    )
    with seeded(0):
        model = train(mlp(6, 32, 4), labelled, Training(200, AdamW(1e-2)))
    task = Agreement(model, x, SameClass())
    rounded = PostTraining(bits=2)(model, task)
    lost, disagreed = score(labelled, model) - score(labelled, rounded), 1 - score(task, rounded)
    assert disagreed >= lost - 0.05 > -0.05 and disagreed > 0


def test_agreements_that_measure_otherwise_are_other_tasks():
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(60, 4)

    def within(limit):
        return lambda before, after: np.abs(before - after).max(1) <= limit

    names = [Agreement(model, inputs, within(limit)).name for limit in (0.3, 0.01, 0.3)]
    assert names[0] == names[2] != names[1]
    assert Agreement(model, inputs, Within(0.1)).name != Agreement(model, inputs, Within(0.2)).name


def test_a_model_that_does_not_agree_with_itself_is_refused():
    class Draws(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    with pytest.raises(
        ValueError, match=r"agrees with itself on .* % only: forward\(\) draws random numbers"
    ):
        Agreement(Draws(), torch.randn(60, 4))


def test_inputs_that_are_held_out_and_trained_on_are_told():
    model = nn.Linear(4, 3)
    with pytest.warns(
        UserWarning, match="100 % of the inputs that are held out are among those to train on too"
    ):
        Agreement(model, torch.randn(20, 4).repeat(20, 1))


def test_zeros_have_no_direction_but_that_of_zeros():
    some, none = np.ones((3, 4)), np.zeros((3, 4))
    assert (
        SameDirection().merits(some, none).tolist()
        == [0, 0, 0]
        == SameDirection().merits(none, some).tolist()
    )
    assert (
        SameDirection().merits(none, none).tolist()
        == [1, 1, 1]
        == SameDirection().merits(some, 2 * some).tolist()
    )


def test_outputs_of_an_onnx_file_are_called_by_their_names(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    draw = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(draw.normal(size=(6, n)).astype(np.float32), f"w{n}")
        for n in (5, 3)
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w5"], ["logits"]),
            helper.make_node("MatMul", ["x", "w3"], ["size"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", 1, ["N", 6])],
        [helper.make_tensor_value_info(n, 1, None) for n in ("logits", "size")],
        weights,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "m.onnx",
    )
    task = Agreement(from_onnx(tmp_path / "m.onnx"), random(80, 6), {"size": Within(0.1)})
    assert "output_0 the same class" in str(task) and "output_1 within" in str(task)


def test_what_a_measure_is_does_not_hang_on_where_it_lies():
    class Limit:
        def __init__(self, most: float) -> None:
            self.most = most

        def __call__(self, before, after):
            return np.abs(before - after).max(1) <= self.most

        def near(self, before, after):
            return self(before, after)

    def close(before, after, most=0.1):
        return np.abs(before - after).max(1) <= most

    for make in (Limit, lambda most: Limit(most).near, lambda most: partial(close, most=most)):
        one, same, other = (identity(make(most)) for most in (0.1, 0.1, 0.2))
        assert one == same != other and " at 0x" not in one
    model, inputs = mlp(6, 3), random(60, 6)
    names = [
        Agreement(
            model,
            inputs,
            Within(0.1),
            kinds=Own(lambda ours, theirs, by=by: by * (ours - theirs).abs().mean()),
        ).name
        for by in (1, 1, 2)
    ]
    assert names[0] == names[1] != names[2]


@pytest.mark.slow
def test_what_a_measure_is_is_the_same_in_every_process():
    told = (
        "from shoestring.kit.training.same import identity; print(identity(lambda one, other: one "
        "in {'a', 'b', 'c', 'd'}))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", told],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        ).stdout
        for seed in "12"
    ]
    assert said[0] == said[1] != ""
