"""Semi-supervised GAN: a network tells classes apart, and real examples from made ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from shoestring.core import Stage, Task, Technique
from shoestring.core.task import evaluating
from shoestring.kit import AdamW, Training
from shoestring.kit.tracing.last_linear import last_linear
from shoestring.kit.training.splits import changed
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.checks import check_count, check_share, check_weight
from shoestring.unlabelled.consistency import Pair, learn_alongside, own_network, risen
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material

_LIKE = 1000  # inputs that tell the shape and the range


@dataclass(frozen=True)
class DenseGenerator:
    """From normal noise to inputs of any shape, by linear layers with batch norm and ReLU.

    What it makes lies between the least and the greatest number of the real inputs.

    Source: Salimans et al. 2016, the authors' code for MNIST.
    Differs: ReLU instead of softplus.

    `noise`: numbers of which an example is made, 1 or more.
    `width`: of each of the two hidden layers, 1 or more.
    """

    noise: int = 64
    width: int = 256

    def __post_init__(self) -> None:
        check_count("the noise of a generator", self.noise)
        check_count("the width of a generator", self.width)

    def made(self, like: Tensor) -> nn.Module:
        """A new generator of inputs like these, N×…, from noise N×noise."""
        low, high = float(like.min()), float(like.max())
        return nn.Sequential(
            *_layer(self.noise, self.width),
            *_layer(self.width, self.width),
            nn.Linear(self.width, like[0].numel()),
            _Within(low, high),
            nn.Unflatten(1, tuple(like.shape[1:])),
        )


def _layer(given: int, width: int) -> list[nn.Module]:
    return [nn.Linear(given, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]


class _Within(nn.Module):
    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.range = low, high - low

    def forward(self, rows: Tensor) -> Tensor:
        return self.low + self.range * rows.sigmoid()


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedGAN(Technique):
    """Train a network to tell classes apart, and real examples from those that a generator makes.

    Made examples are one class more, whose logit is fixed at 0. The generator matches the mean
    features of real examples, which are the inputs of the network's last linear layer. What is
    returned is the average of the network's weights, unless the guard refuses it, as `MeanTeacher`
    says.

    Saves: nothing that the label curve on digits proves; `docs/gans.md` has more figures.
    Costs: five passes more in each step, and a generator that is thrown away; and a training on the
    labels alone, for the guard.
    Source: Salimans et al. 2016, sections 3.1 and 5.
    Differs: no weight normalization; both networks move in each step; the average is Tarvainen &
    Valpola's.

    `training`: of both networks, and of the one that learns from the labels alone.
    `generator`: the kind of generator.
    `weight`: of the unlabelled and made examples in the loss, 0 or more, reached after a rise.
    `rise`: the share of the training over which it rises, 0 to 1.
    `decay`: the share of the average that stays in each step, 0 to 1.
    `size`: unlabelled examples of a batch, and made ones, 2 or more.
    `weak`: the change of the training inputs, and `strong` is not used; None: by their kind
        (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range,
    inputs that are not one tensor of real numbers, and a network without a last linear layer.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    generator: DenseGenerator = DenseGenerator()
    weight: float = 0.5
    rise: float = 0.0
    decay: float = 0.99
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_share("the rise", self.rise)
        check_share("the decay of the average", self.decay)
        check_count("the unlabelled examples of a batch", self.size)
        if self.size < 2:
            raise ValueError("one unlabelled example a batch has no mean: give a size of 2 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The network with averaged weights, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The network with averaged weights, before the guard looks at it (`guard.Learner`)."""
        if len(given.inputs) != 1 or not given.inputs[0].is_floating_point():
            kinds = ", ".join(f"{list(one.shape)} of {one.dtype}" for one in given.inputs)
            raise ValueError(
                f"the inputs are {kinds}: a generator makes one tensor of real numbers, such as "
                "pictures. For texts, use another technique of shoestring.unlabelled"
            )
        (like,) = given.task.prepared((given.inputs[0][:_LIKE],))
        rival = _Rival(self.generator.made(like), self.generator.noise)
        where = _features_of(model, given)
        pair = learn_alongside(
            model,
            given,
            self.training,
            _Contest(where, given.augmentations.weak, self.rise),
            what="training of a semi-supervised GAN",
            weight=self.weight,
            size=self.size,
            decay=self.decay,
            memory=rival,
            key=repr(self),
        )
        return own_network(pair.average, model)


class _Rival(nn.Module):
    """The generator, which the training of the network trains too."""

    def __init__(self, generator: nn.Module, noise: int) -> None:
        super().__init__()
        self.generator, self.noise = generator, noise

    def forward(self, count: int) -> Tensor:
        return self.generator(torch.randn(count, self.noise))


def _features_of(model: nn.Module, given: Material) -> str:
    """The path of the last linear layer, whose inputs are the features."""
    few = given.task.inputs(given.pool[:2])
    with evaluating(model), torch.no_grad():
        last = last_linear(model, lambda: given.task.outputs(model, few))
    if last is None:
        raise ValueError(
            f"{type(model).__name__} has no last linear layer, whose inputs a generator is to "
            "match: use another technique of shoestring.unlabelled"
        )
    return next(name for name, part in model.named_modules() if part is last.module)


@dataclass(frozen=True)
class _Contest:
    """Both losses of a step: of the network, and of the generator, which does not change it."""

    where: str
    weak: Augmentation
    rise: float

    def __call__(self, pair: Pair, inputs: tuple[Tensor, ...], share: float) -> Tensor:
        rival: Any = pair.memory
        real = changed(inputs, self.weak)
        made = rival(max(2, len(real[0])))
        of_real, real_features = self._seen(pair.network, *real)
        of_made, _ = self._seen(pair.network, made.detach())
        sure_real, sure_made = of_real.logsumexp(1), of_made.logsumexp(1)
        told = softplus(-sure_real).mean() + softplus(sure_made).mean()
        learning = [one for one in pair.network.parameters() if one.requires_grad]
        for one in learning:
            one.requires_grad_(False)
        try:
            _, made_features = self._seen(pair.network, made)
        finally:
            for one in learning:
                one.requires_grad_()
        apart = (made_features.mean(0) - real_features.detach().mean(0)).square().mean()
        return risen(share, self.rise) * told + apart

    def _seen(self, network: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The logits N×K, and the features N×D with their gradients."""
        heard: list[Tensor] = []
        part = network.get_submodule(self.where)
        hook = part.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
        try:
            logits = network(*inputs)
        finally:
            hook.remove()
        return logits, heard[-1].flatten(1)
