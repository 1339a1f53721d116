"""Kinds of outputs that nobody declared.

From the loss, from the step that made them, from their values.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core.inferred import (
    Told,
    in_words,
    is_boxes,
    may_be_logits,
    of_loss,
    of_values,
    settle,
)
from shoestring.core.kinds import (
    BinaryLogits,
    BinaryProbabilities,
    ClassLogits,
    Directions,
    NotTaught,
    Numbers,
    Own,
    Probabilities,
    outputs_of,
)
from shoestring.core.taught import Taught
from shoestring.kit import Supervised


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def answer(*shape: int) -> Tensor:
    """An output as a model gives it: made by a step, with a gradient."""
    return random(*shape).requires_grad_() * 1


def classes(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.int64)


CRITERIA: dict[str, tuple[Any, tuple[int, ...], Any]] = {
    "cross entropy": (
        lambda out: functional.cross_entropy(out, classes(4)),
        (4, 5),
        ClassLogits(1),
    ),
    "of soft labels": (
        lambda out: functional.cross_entropy(out, torch.full((4, 5), 0.2)),
        (4, 5),
        ClassLogits(1),
    ),
    "as a module, with label smoothing": (
        lambda out: nn.CrossEntropyLoss(label_smoothing=0.1)(out, classes(4)),
        (4, 5),
        ClassLogits(1),
    ),
    "of one example": (
        lambda out: functional.cross_entropy(out, classes(1)[0]),
        (5,),
        ClassLogits(0),
    ),
    "of pixels": (
        lambda out: functional.cross_entropy(out, classes(2, 6, 6)),
        (2, 3, 6, 6),
        ClassLogits(1),
    ),
    "of pixels, as many as classes": (
        lambda out: functional.cross_entropy(out, classes(2, 3, 3)),
        (2, 3, 3, 3),
        ClassLogits(1),
    ),
    "of pixels, in a row": (
        lambda out: functional.cross_entropy(out.permute(0, 2, 3, 1).reshape(-1, 3), classes(18)),
        (2, 3, 3, 3),
        ClassLogits(1),
    ),
    "of words": (
        lambda out: functional.cross_entropy(out.flatten(0, 1), classes(14)),
        (2, 7, 5),
        ClassLogits(2),
    ),
    "of words, turned": (
        lambda out: functional.cross_entropy(out.transpose(1, 2), classes(2, 5)),
        (2, 5, 5),
        ClassLogits(2),
    ),
    "of the last word": (
        lambda out: functional.cross_entropy(out[:, -1], classes(2)),
        (2, 7, 5),
        ClassLogits(2),
    ),
    "of some words": (
        lambda out: functional.cross_entropy(out[torch.ones(2, 7) > 0], classes(14)),
        (2, 7, 5),
        ClassLogits(2),
    ),
    "softened and masked": (
        lambda out: functional.cross_entropy((out / 2).masked_fill(out > 9, -1e9), classes(4)),
        (4, 5),
        ClassLogits(1),
    ),
    "log softmax by hand": (lambda out: -out.log_softmax(-1)[:, 0].mean(), (4, 5), ClassLogits(1)),
    "a distribution": (
        lambda out: -torch.distributions.Categorical(logits=out).log_prob(classes(4)).mean(),
        (4, 5),
        ClassLogits(1),
    ),
    "nll": (lambda out: functional.nll_loss(out, classes(4)), (4, 5), ClassLogits(1)),
    "ctc": (
        lambda out: functional.ctc_loss(
            out, torch.ones(2, 3).long(), torch.full((2,), 9), torch.full((2,), 3)
        ),
        (9, 2, 5),
        ClassLogits(2),
    ),
    "yes or no": (
        lambda out: functional.binary_cross_entropy_with_logits(out, torch.ones(4, 3)),
        (4, 3),
        BinaryLogits(),
    ),
    "focal by hand": (
        lambda out: -(1 - out.sigmoid()).pow(2).mul(functional.logsigmoid(out)).mean(),
        (4, 3),
        BinaryLogits(),
    ),
    "squared": (lambda out: functional.mse_loss(out, torch.zeros(4, 3)), (4, 3), Numbers()),
    "absolute": (lambda out: functional.l1_loss(out, torch.zeros(4, 3)), (4, 3), Numbers()),
    "smooth": (lambda out: functional.smooth_l1_loss(out, torch.zeros(4, 3)), (4, 3), Numbers()),
    "huber": (lambda out: nn.HuberLoss()(out, torch.zeros(4, 3)), (4, 3), Numbers()),
    "by hand": (lambda out: ((out - torch.zeros(4, 3)) ** 2).mean(), (4, 3), Numbers()),
    "distance": (
        lambda out: functional.pairwise_distance(out, torch.zeros(4, 3)).mean(),
        (4, 3),
        Numbers(),
    ),
    "triplet": (
        lambda out: functional.triplet_margin_loss(out[:1], out[1:2], out[2:3]),
        (4, 3),
        Numbers(),
    ),
    "cosine": (
        lambda out: 1 - functional.cosine_similarity(out, random(4, 3)).mean(),
        (4, 3),
        Directions(1),
    ),
    "cosine embedding": (
        lambda out: functional.cosine_embedding_loss(out, random(4, 3), torch.ones(4)),
        (4, 3),
        Directions(),
    ),
    "contrastive": (
        lambda out: functional.cross_entropy(
            functional.normalize(out) @ random(4, 3).T, torch.arange(4)
        ),
        (4, 3),
        Directions(1),
    ),
    "nothing that is known": (lambda out: out.sum(), (4, 3), None),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_the_loss_tells_the_kind(name: str):
    criterion, shape, kind = CRITERIA[name]
    out = answer(*shape)
    assert of_loss(criterion(out), [{"": out}]) == {"": kind}


def test_a_partial_and_a_module_tell_as_the_function_does():
    out = answer(4, 3)
    for criterion in (partial(functional.binary_cross_entropy, reduction="sum"), nn.BCELoss()):
        chances = out.sigmoid()
        assert of_loss(criterion(chances, torch.ones(4, 3)), [{"": chances}]) == {
            "": BinaryProbabilities()
        }


def test_each_of_several_outputs_has_its_own():
    logits, boxes, hidden = answer(4, 6, 3), answer(4, 6, 4), answer(4, 8)
    output = {"logits": logits, "boxes": boxes, "hidden": hidden}
    loss = functional.cross_entropy(logits.flatten(0, 1), classes(24)) + 5 * functional.l1_loss(
        boxes, torch.zeros(4, 6, 4)
    )
    assert of_loss(loss, [output]) == {"logits": ClassLogits(2), "boxes": Numbers()}
    found = settle(None, loss, [output], {name: one.detach() for name, one in output.items()})
    assert (
        in_words(found)
        == "logits as logits of classes along axis 2 (by the loss), boxes as numbers (by the loss)"
    )


def test_what_the_model_itself_does_with_an_output_is_no_sign():
    raw = answer(4, 3)
    squeezed = raw.sigmoid()  # within forward(), which returns both
    found = of_loss(
        functional.mse_loss(raw, torch.zeros(4, 3)) + squeezed.sum(), [{"0": raw, "1": squeezed}]
    )
    assert found == {"0": Numbers(), "1": None}


def test_without_a_gradient_the_loss_tells_nothing():
    assert of_loss(torch.tensor(1.0), [{"": random(4, 3)}]) == {}
    leaf = random(4, 3).requires_grad_()  # a parameter that is returned as it is
    assert of_loss(functional.mse_loss(leaf, torch.zeros(4, 3)), [{"": leaf}]) == {"": Numbers()}


# -- values


def test_values_tell_a_little():
    raw = answer(5, 4, 3)
    tells: list[tuple[Tensor, Told]] = [
        (raw.softmax(1), Told(Probabilities(1), "by its values")),
        (raw.log_softmax(2), Told(ClassLogits(2), "by its values")),
        (raw.sigmoid(), Told(BinaryProbabilities(), "made by a sigmoid")),
        (raw.sigmoid().transpose(1, 2)[:, :2], Told(BinaryProbabilities(), "made by a sigmoid")),
        (functional.normalize(raw, dim=2), Told(Directions(2), "by its values")),
        (raw, Told(Numbers(), "nothing tells")),
        (raw.sigmoid() + 1, Told(Numbers(), "nothing tells")),
    ]
    for made, told in tells:
        assert of_values(made.detach(), made) == told
    assert of_values(raw.sigmoid().detach()) == Told(Numbers(), "nothing tells"), (
        "between 0 and 1 is a share of a length as well"
    )
    assert of_values(torch.empty(0, 3)).kind == Numbers()


def test_boxes_have_their_corners_in_order():
    corners = torch.tensor([[0.0, 0, 2, 3], [1, 1, 4, 2]]).repeat(4, 1)
    for path in ("boxes", "0.bbox", "pred_Boxes"):
        assert is_boxes(corners, path) and is_boxes(corners.view(2, 4, 4), path)
    assert not is_boxes(corners[:4], "boxes") and not is_boxes(corners.flip(1), "boxes")
    assert not is_boxes(random(20, 4), "boxes")
    for path in ("", "quantiles", "1"):
        assert not is_boxes(corners, path), "four numbers in order, two by two, may be quantiles"


def test_four_out_of_a_sigmoid_are_boxes_only_where_they_are_called_so():
    four = answer(20, 4).sigmoid()
    assert of_values(four.detach(), four) == Told(BinaryProbabilities(), "made by a sigmoid")
    assert of_values(four.detach(), four, "pred_boxes") == Told(Numbers(), "nothing tells")


def test_what_a_convolution_makes_has_its_columns_along_axis_1():
    made = nn.Conv1d(3, 5, 3)(random(6, 3, 9))
    assert of_values(made.detach(), made) == Told(Numbers(axis=1), "nothing tells")
    found = settle(None, functional.mse_loss(made, torch.zeros(6, 5, 7)), [made], made.detach())
    assert found[""] == Told(Numbers(axis=1), "by the loss")
    assert of_values(made.detach()).kind == Numbers(), "nobody saw how it was made"
    image = nn.Conv2d(3, 5, 3)(random(6, 3, 9, 9))
    assert of_values(image.detach(), image).kind == Numbers()


def test_what_may_be_logits():
    made = nn.Linear(6, 3)(random(8, 6))
    assert may_be_logits(made) and may_be_logits(nn.Linear(6, 3, bias=False)(random(8, 2, 6)))
    assert (
        not may_be_logits(made[:, :2])
        and not may_be_logits(made.tanh())
        and not may_be_logits(None)
    )


# -- declared


def test_what_is_declared_goes_before_all_signs():
    output = {"logits": answer(4, 3), "boxes": answer(4, 4), "state": answer(4, 8)}
    loss = functional.mse_loss(output["boxes"], torch.zeros(4, 4))
    answers = {name: one.detach() for name, one in output.items()}
    found = settle(
        {"boxes": Directions(), 0: ClassLogits(), "state": NotTaught()}, loss, [output], answers
    )
    assert {path: told.kind for path, told in found.items()} == {
        "logits": ClassLogits(),
        "boxes": Directions(),
        "state": NotTaught(),
    }
    assert {told.by for told in found.values()} == {"declared"}
    alone = settle(Numbers(), loss, [output["boxes"]], answers["boxes"])
    assert alone == {"": Told(Numbers(), "declared")}
    with pytest.raises(
        ValueError,
        match="the task's `kinds` names the output 'box', and the model gives logits, boxes, state",
    ):
        settle({"box": Numbers()}, loss, [output], answers)
    with pytest.raises(ValueError, match="names the output 3, and the model gives logits"):
        settle({3: Numbers()}, loss, [output], answers)


def test_whole_numbers_are_not_taught():
    output = (answer(4, 3), classes(4))
    assert list(settle(None, output[0].sum(), [output], output)) == ["0"]


def test_paths():
    nest = {"a": [random(1), (random(2),)], "b": None}
    assert list(outputs_of(nest)) == ["a.0", "a.1.0"] and list(outputs_of(random(1))) == [""]


# -- through a task


class Detector(nn.Module):
    """Features N×6 to class logits N×3 and boxes N×4."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.classes, self.boxes = nn.Linear(6, 16), nn.Linear(16, 3), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x).relu()
        return self.classes(features), self.boxes(features)


def detection(**settings: Any) -> Supervised:
    def criterion(outputs: Any, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            outputs[0], targets[:, 0].long()
        ) + functional.smooth_l1_loss(outputs[1], targets[:, 1:])

    split = random(16, 6), torch.cat([torch.arange(16.0)[:, None] % 3, random(16, 4)], 1)
    return Supervised(train=split, validation=split, test=split, criterion=criterion, **settings)


def test_a_detector_is_taught_classes_and_boxes_and_says_so():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher, student = Detector(), Detector()
    task = detection()
    taught = Taught(task, teacher, weight=1.0)
    assert taught.teaching() == ""
    batch = next(iter(task.batches("validation")))
    loss = taught.loss(student, batch)
    (logits, boxes), (true_logits, true_boxes) = student(*batch[0]), teacher(*batch[0])
    by_hand = ClassLogits().apart(logits, true_logits, 3.0) + Numbers().apart(
        boxes, true_boxes, 3.0
    )
    torch.testing.assert_close(loss, by_hand)
    assert (
        taught.teaching()
        == "output_0 as logits of classes along axis 1 (by the loss), output_1 as numbers (by the "
        "loss)"
    )
    assert taught.sealed().teaching() == taught.teaching() == taught.sampled(8, 0).teaching()
    with torch.no_grad():  # once found out, it stays
        torch.testing.assert_close(taught.loss(student, batch), by_hand.detach())
    # An offset of every box is seen, and no unit matters.
    with torch.no_grad():
        moved = Detector()
        moved.load_state_dict(teacher.state_dict())
        before = taught.loss(moved, batch)
        moved.boxes.bias += 1.0
        assert before == 0 and taught.loss(moved, batch) > 0.5


def test_a_loss_that_is_only_looked_at_is_compared_as_in_training():
    split = random(8, 6), classes(8)
    task = Supervised(train=split, validation=split, test=split)
    teacher, student, batch = nn.Linear(6, 3), nn.Linear(6, 3), (split[:1], split[1])
    trained = task.taught_by(teacher).loss(student, batch)
    state = torch.get_rng_state()
    with torch.no_grad():
        looked_at = task.taught_by(teacher).loss(student, batch)
    assert looked_at == trained and torch.equal(torch.get_rng_state(), state)


def test_a_task_may_bring_its_own_distance():
    def far(ours: Any, theirs: Any) -> Tensor:
        return (ours[1] - theirs[1]).abs().max()

    teacher, student = Detector(), Detector()
    task = detection(kinds=Own(far))
    batch = next(iter(task.batches("validation")))
    with torch.no_grad():
        expected = (student(*batch[0])[1] - teacher(*batch[0])[1]).abs().max()
    taught = Taught(task, teacher, weight=1.0)
    torch.testing.assert_close(taught.loss(student, batch), expected)
    assert "by far (declared)" in taught.teaching() and task.sealed().kinds == task.kinds


def test_outputs_that_are_there_in_training_only_are_taught_as_in_training():
    class Modes(Detector):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x) if self.training else super().forward(x)[0]

    split = random(8, 6), classes(8)
    task = Supervised(
        train=split,
        validation=split,
        test=split,
        criterion=lambda out, y: functional.cross_entropy(out[0], y),
    )
    teaching = task.taught_by(Modes().eval())
    assert (
        float(teaching.loss(Modes().train(), next(iter(task.batches("validation")))).detach()) > 0
    )
    assert (
        "output_0 as logits of classes" in teaching.teaching()
        and "output_1 as numbers" in teaching.teaching()
    )


def test_parts_of_one_tensor_that_mean_different_things_are_numbers():
    out = torch.randn(8, 14, requires_grad=True)
    y = classes(8)
    loss = functional.cross_entropy(out[:, :10], y) + functional.mse_loss(
        out[:, 10:], torch.zeros(8, 4)
    )
    assert of_loss(loss, [{"": out}]) == {"": Numbers()}
    assert of_loss(functional.cross_entropy(out[:, :10], y), [{"": out}])[""] == ClassLogits(1)


def test_logits_beside_a_fixed_zero_are_those_of_yes():
    y = (torch.arange(8) % 2).long()
    column = torch.randn(8, 1, requires_grad=True)
    loss = functional.cross_entropy(torch.cat([torch.zeros_like(column), column], 1), y)
    assert of_loss(loss, [{"": column}]) == {"": BinaryLogits()}
    flat = torch.randn(8, requires_grad=True)
    loss = functional.cross_entropy(torch.stack([torch.zeros_like(flat), flat], -1), y)
    assert of_loss(loss, [{"": flat}]) == {"": BinaryLogits()}
    one, other = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    loss = functional.cross_entropy(
        torch.cat([one, other]), torch.zeros(8, dtype=torch.long)
    )  # examples, not classes
    assert of_loss(loss, [{"": one}, {"": other}]) == {"": ClassLogits(1)}
