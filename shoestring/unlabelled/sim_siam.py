"""SimSiam: a body learns to tell alike two changes of a picture, and then the labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Stage, Task, Technique, evaluating
from shoestring.kit import AdamW, Training
from shoestring.kit.training.splits import changed
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.body import Body, body
from shoestring.unlabelled.checks import check_count
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material
from shoestring.unlabelled.pretraining import fine_tuned, learning, pretrained

_COLLAPSED = 0.1
_LOOKED_AT = 512


class CollapsedWarning(UserWarning):
    """A network that learnt without labels answers nearly the same for all inputs."""


@dataclass(frozen=True, kw_only=True)
class SimSiam(Technique):
    """Pretrain the body on pairs of changes of each example, then train all on the labels.

    The body is what comes before the last linear layer. A projector makes a vector of its features;
    a predictor makes of the vector of one change that of the other, which gets no gradient. What is
    returned is the network after the fine-tuning, unless the guard refuses it, as `MeanTeacher`
    says. Where the vectors of all examples have become nearly the same, a CollapsedWarning says so.

    Saves: nothing that a label curve proves; `docs/unlabelled.md` has figures.
    Costs: the pretraining, six passes in each step; and a training on the labels alone, for the
        guard.
    Source: Chen & He 2021, section 3.
    Differs: Adam in place of SGD; two layers in the projector, as theirs on CIFAR-10.

    `training`: of both networks on the labels.
    `pretraining`: on all inputs.
    `size`: inputs of a batch of the pretraining, 2 or more.
    `width`: of the projector, 4 or more; the predictor has a quarter of it inside.
    `weak`, `strong`: changes of inputs, weak ones of the labelled inputs, strong ones of the pairs;
        None: by their kind (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range and
    for a network without a last linear layer.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    pretraining: Training = Training(1000, AdamW(2e-3))
    size: int = 128
    width: int = 256
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_count("the inputs of a batch", self.size, least=2)
        check_count("the width of the projector", self.width, least=4)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The pretrained and fine-tuned network, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The fine-tuned network, before the guard looks at it (`guard.Learner`)."""
        place, network = body(model, given), learning(model)
        inputs = given.task.prepared(tuple(one[:2] for one in given.inputs))
        with evaluating(network), torch.no_grad():
            count = place.features(network, inputs).shape[1]
        twins = Twins(network, place, count, self.width)
        strong = given.augmentations.strong

        def unlike(twins: Twins, inputs: tuple[Tensor, ...]) -> Tensor:
            first, second = (twins.vectors(changed(inputs, strong)) for _ in range(2))
            return (_apart(twins, first, second) + _apart(twins, second, first)) / 2

        what = "pretraining by SimSiam"
        pretrained(
            twins, given, self.pretraining, unlike, size=self.size, what=what, key=repr(self)
        )
        _say_if_collapsed(twins, given, type(model).__name__)
        fine_tuned(network, model, given, self.training, repr(self))
        return network


class Twins(nn.Module):
    """A network, and what SimSiam puts on its body.

    `network`: learns; the twins answer as it does.
    `place`: where its body ends.
    `count`: how many features the body has. `width`: of the projector.
    """

    def __init__(self, network: nn.Module, place: Body, count: int, width: int) -> None:
        super().__init__()
        self.network, self.place = network, place
        self.projector = nn.Sequential(
            nn.Linear(count, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(width, width // 4, bias=False),
            nn.BatchNorm1d(width // 4),
            nn.ReLU(),
            nn.Linear(width // 4, width),
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the network answers."""
        return self.network(*inputs)

    def vectors(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The projected features of examples, N×width."""
        return self.projector(self.place.features(self.network, inputs))


def _apart(twins: Twins, vectors: Tensor, wanted: Tensor) -> Tensor:
    """The negative cosine of predictions and of what they are to be, which gets no gradient."""
    return -functional.cosine_similarity(twins.predictor(vectors), wanted.detach()).mean()


def deviation(vectors_ND: Tensor) -> float:
    """How far vectors point apart: about 1 where they go everywhere, 0 where all go one way.

    The standard deviation of each column of the vectors of length 1, on the average, times √D.

    Source: Chen & He 2021, section 4.1.
    """
    columns = functional.normalize(vectors_ND.float(), dim=1)
    return float(columns.std(0, correction=0).mean()) * columns.shape[1] ** 0.5


@torch.no_grad()
def _say_if_collapsed(twins: Twins, given: Material, name: str) -> None:
    rows = torch.arange(0, len(given.inputs[0]), max(1, len(given.inputs[0]) // _LOOKED_AT))
    inputs = given.task.prepared(tuple(one[rows[:_LOOKED_AT]] for one in given.inputs))
    with evaluating(twins):
        found = deviation(twins.vectors(inputs))
    if found < _COLLAPSED:
        warnings.warn(
            f"{name} answers nearly the same for all examples after the pretraining: the vectors "
            f"of {len(inputs[0])} of them deviate by {found:.2g}, where 1 is that of vectors that "
            "point everywhere. The pretraining has collapsed: lower its learning rate, or give "
            "changes of inputs after which examples still differ",
            CollapsedWarning,
            stacklevel=6,
        )
