"""Generative adversarial networks: a generator learns to make what a discriminator calls real."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task, View
from shoestring.core.task import asked
from shoestring.generate.losses import Loss, NonSaturating
from shoestring.generate.noise import Noise, Simulated, samples
from shoestring.generate.regularisers import Constraint, Penalty
from shoestring.kit import AdamW, Constant, DivergedError, Training, clone, train
from shoestring.kit.training.averages import move_average

_WATCHED = 100  # steps of the discriminator, over which it is watched
_UNSEEN = -1.0  # of a step that has not been
_WON = 0.99
_ALIKE = 0.3
_COMPARED = 256


class DiscriminatorWonWarning(UserWarning):
    """The discriminator tells nearly all pictures, so that the generator learns nothing of it."""


class CollapsedWarning(UserWarning):
    """A generator makes few kinds of pictures (mode collapse)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What a training of two networks made.

    `generator`: with the average of its weights. `latest`: with those of the last step.
    `discriminator`: at the end.
    `told`: how often a real picture's score was more real than a made one's, in the last hundred
        steps of the discriminator, 0 to 1; None where there were none.
    `variety`: the mean distance of two made pictures, as a share of that of two real ones; of one
        class where the generator is told the class.
    """

    generator: nn.Module
    latest: nn.Module
    discriminator: nn.Module
    told: float | None
    variety: float


@dataclass(frozen=True, kw_only=True)
class GAN:
    """Train a generator against a discriminator: `GAN(loss=Hinge())(generator, network, task)`.

    Steps of the discriminator and of the generator take turns. Both have one optimizer, which
    changes only the one whose turn it is. Within `resuming` a killed training goes on.

    With `noise=Simulated(pictures, labels)` and a `keeping` above 0 it refines the pictures of a
    simulator: the generator takes such a picture, and makes one that looks real and is like it,
    which makes it likelier that the label stays true.

    Source: Goodfellow et al. 2014, algorithm 1; the average: Yazıcı et al. 2019; refining is after
    Shrivastava et al. 2017 (SimGAN), equation 4.
    Differs: refining trains neither network before and has no history of refined pictures; both
    take as many steps; the discriminator is the one that is given, where theirs sees patches alone;
    and the difference that is kept small is a mean over pixels, where theirs is a sum.

    `loss`: one of `TEN`, or another combination of a loss and a regulariser.
    `training`: its `steps` are those of both networks together.
    `noise`: what the generator takes.
    `discriminator_steps`: how many come before each step of the generator, 1 or more.
    `decay`: the share of the average of the generator's weights that stays in each of its steps,
        0 to 1; 0: no average.
    `keeping`: the weight of the mean absolute difference of a pixel between what the generator
        takes and what it makes, in its loss; 0 or more, and above 0 only where it takes pictures.

    Raises ValueError for settings out of range.
    """

    loss: Loss = NonSaturating()
    training: Training = Training(2000, AdamW(1e-3, momentum=0.5), Constant())
    noise: Noise | Simulated = Noise()
    discriminator_steps: int = 1
    decay: float = 0.98
    keeping: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.discriminator_steps, int) or self.discriminator_steps < 1:
            raise ValueError(
                f"{self.discriminator_steps!r} steps of the discriminator before one of the "
                "generator: give 1 or more"
            )
        if not 0 <= self.decay < 1:
            raise ValueError(f"a decay of {self.decay!r}: give 0 or more, and below 1")
        if not 0 <= self.keeping < float("inf") or (
            self.keeping and not isinstance(self.noise, Simulated)
        ):
            raise ValueError(
                f"keeping={self.keeping!r} with {self.noise!r}: give 0 or more, and above 0 only "
                "with noise=Simulated(pictures), as nothing is kept of noise"
            )

    def __call__(self, generator: nn.Module, discriminator: nn.Module, task: Task) -> Trained:
        """Train copies of both networks on the training split of a task, whose inputs are pictures.

        Warns with DiscriminatorWonWarning and CollapsedWarning where it went wrong, with what to
        do.

        `generator`: takes what `noise` draws, and gives pictures of the shape of the real ones.
        `discriminator`: takes pictures, and their classes where the generator does; scores N.

        Raises ValueError for networks that do not fit the pictures or one another, and
        DivergedError for a loss that is NaN or infinite.
        """
        both = _Both(clone(generator), clone(discriminator))
        for part in (both.generator, both.discriminator):
            part.train()
        contest = _Contest(task, self)
        real = self._checked(both, contest)
        limits = self.loss.regulariser
        if isinstance(limits, Constraint):
            limits.begin(both.discriminator)

        def before(step: int) -> None:
            contest.step = step
            if isinstance(limits, Constraint):
                limits.keep(both.discriminator)
            if step and contest.is_generators(step - 1):
                both.follow(self.decay, step // (self.discriminator_steps + 1))

        name = type(self.loss).__name__
        try:
            train(
                both,
                contest,
                self.training,
                before_step=before,
                what=f"GAN, {name}",
                key=repr(self),
            )
        except DivergedError as error:
            raise DivergedError(
                f"{error}. Two networks that learn against each other diverge sooner than one: "
                "Wasserstein(regulariser=BetweenRealAndMade()), Hinge() or "
                "NonSaturating(regulariser=AtReal()) hold the discriminator back"
            ) from error
        if self.training.steps and contest.is_generators(self.training.steps - 1):
            both.follow(self.decay, self.training.steps // (self.discriminator_steps + 1))
        contest.say_if_won(both)
        return self._result(both, real)

    def _checked(self, both: _Both, contest: _Contest) -> tuple[Tensor, Tensor]:
        """The first real pictures and their classes; raises where the networks do not fit them."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            real, labels = contest.real(next(iter(contest.batches("train", model=both))))
            given = self.noise.drawn(labels)
            made = both.average(*given)
            if made.shape != real.shape:
                raise ValueError(
                    f"the generator makes pictures {list(made.shape[1:])} and the real ones are "
                    f"{list(real.shape[1:])}: give both one size"
                )
            scores = contest.judge(both, real[:2], labels[:2])
            if self.keeping and given[0].shape != made.shape:
                raise ValueError(
                    f"the simulated pictures are {list(given[0].shape[1:])} and the generator "
                    f"makes {list(made.shape[1:])}: what is kept has one size"
                )
            if scores.shape != (len(real[:2]),):
                raise ValueError(
                    f"the discriminator gives {list(scores.shape)} of two pictures: it must give "
                    "one score each, N, without a sigmoid"
                )
        self._say_if_ranges_differ(real)
        low, high = float(real.min()), float(real.max())
        if float(made.min()) >= 0 and (low < -0.1 or high > 1.1):
            warnings.warn(
                f"real pictures are from {low:.3g} to {high:.3g} and the generator's are from "
                f"{float(made.min()):.3g} to {float(made.max()):.3g}: scale the pictures to 0..1, "
                "or give the generator another last layer",
                UserWarning,
                stacklevel=3,
            )
        return real, labels

    def _say_if_ranges_differ(self, real: Tensor) -> None:
        """Warn where simulated pictures are as bright as no real ones."""
        if not isinstance(self.noise, Simulated):
            return
        (low, high), (least, most) = (
            (float(one.min()), float(one.max())) for one in (real, self.noise.pictures)
        )
        if max(abs(least - low), abs(most - high)) > (high - low) / 2:
            warnings.warn(
                f"real pictures are from {low:.3g} to {high:.3g} and simulated ones from "
                f"{least:.3g} to {most:.3g}: scale both alike",
                UserWarning,
                stacklevel=4,
            )

    def _result(self, both: _Both, real: tuple[Tensor, Tensor]) -> Trained:
        generator = both.average if self.decay else both.generator
        for part in (both.generator, both.average, both.discriminator):
            part.requires_grad_().eval()
        labels = self.noise.evenly(_COMPARED)
        made = samples(generator, self.noise, _COMPARED).pictures
        variety = _apart(made, labels) / max(_apart(*real), 1e-12)
        if variety < _ALIKE:
            more = " or more kinds of pictures" if isinstance(self.noise, Simulated) else ""
            warnings.warn(
                f"the generator collapsed: two of its pictures are {100 * variety:.0f} % as far "
                f"apart as two real ones. Use a lower learning rate{more} or a loss that holds the "
                "discriminator back, such as NonSaturating(regulariser=AtReal())",
                CollapsedWarning,
                stacklevel=3,
            )
        return Trained(
            generator=generator,
            latest=both.generator,
            discriminator=both.discriminator,
            told=both.told(),
            variety=variety,
        )


class _Both(nn.Module):
    """Both networks, the generator's average and what the loss keeps, for one training."""

    balance: Tensor
    watched: Tensor

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.average = clone(generator).requires_grad_(False).eval()
        self.register_buffer("balance", torch.zeros(()))
        # how often the discriminator was right of late: a training that goes on knows it too
        self.register_buffer("watched", torch.full((_WATCHED,), _UNSEEN))

    def train(self, mode: bool = True) -> _Both:
        super().train(mode)
        self.average.eval()
        return self

    def told(self) -> float | None:
        """The share of pairs that the discriminator told right of late; None before any."""
        seen = self.watched[self.watched != _UNSEEN]
        return float(seen.mean()) if len(seen) else None

    def follow(self, decay: float, step: int) -> None:
        move_average(self.average, self.generator, decay, step)


@dataclass(eq=False)
class _Contest(View):
    """A task whose loss is that of the network whose turn it is."""

    task: Task
    gan: GAN
    step: int = 0
    warned: bool = False

    def is_generators(self, step: int) -> bool:
        every = self.gan.discriminator_steps + 1
        return step % every == every - 1

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return asked(self.task, split, model)

    def real(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The pictures of a batch, and their classes; 0 where nobody is told of them."""
        pictures, labels = _pictures(batch[0]), batch[1]
        if self.gan.noise.classes is None:
            return pictures, torch.zeros(len(pictures), dtype=torch.int64, device=pictures.device)
        whole = isinstance(labels, Tensor) and labels.ndim == 1 and not labels.is_floating_point()
        if not whole or not 0 <= int(labels.min()) <= int(labels.max()) < self.gan.noise.classes:
            raise ValueError(
                f"the noise has {self.gan.noise.classes} classes, and the task's targets are "
                f"{_told(labels)}: give integers N below that number, or Noise(classes=None)"
            )
        return pictures, labels

    def judge(self, both: Any, pictures: Tensor, labels: Tensor) -> Tensor:
        if self.gan.noise.classes is None:
            return both.discriminator(pictures)
        return both.discriminator(pictures, labels)

    def loss(self, model: Any, batch: Any) -> Tensor:
        real, labels = self.real(batch)
        turn = self._generators if self.is_generators(self.step) else self._discriminators
        return turn(model, real, labels)

    def _discriminators(self, both: _Both, real: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            made = both.generator(*self.gan.noise.drawn(labels))
        scores = self.judge(both, real, labels), self.judge(both, made, labels)
        self._watch(both, *(one.detach() for one in scores))
        loss = self.gan.loss.discriminator(*scores, both.balance)
        limits = self.gan.loss.regulariser
        if isinstance(limits, Penalty):
            loss = loss + limits.of(lambda shown: self.judge(both, shown, labels), real, made)
        return loss

    def _generators(self, both: _Both, real: Tensor, labels: Tensor) -> Tensor:
        given = self.gan.noise.drawn(labels)
        made = both.generator(*given)
        learning = [one for one in both.discriminator.parameters() if one.requires_grad]
        for one in learning:
            one.requires_grad_(False)
        try:
            scores = self.judge(both, made, labels)
            seen = self.judge(both, real, labels) if self.gan.loss.relative else scores[:0]
        finally:
            for one in learning:
                one.requires_grad_()
        loss = self.gan.loss.generator(seen, scores)
        return (
            loss + self.gan.keeping * (made - given[0]).abs().mean() if self.gan.keeping else loss
        )

    def _watch(self, both: _Both, real: Tensor, made: Tensor) -> None:
        right = (real[:, None] > made).float().mean() + (real[:, None] == made).float().mean() / 2
        right = 1 - right if self.gan.loss.lower_is_real else right
        both.watched.copy_(torch.cat([both.watched[1:], right[None]]))
        self.say_if_won(both)

    def say_if_won(self, both: _Both) -> None:
        """Warn, once, where the discriminator has told nearly all pairs right for long."""
        told = both.told()
        full = not (both.watched == _UNSEEN).any() and (told or 0) >= _WON
        if full and self.gan.loss.saturates and not self.warned:
            self.warned = True
            warnings.warn(
                f"by step {self.step} the discriminator tells {100 * (told or 0):.1f} % of the "
                f"pairs of a real and a made picture right: {self.gan.loss!r} teaches the "
                "generator little then. Use a lower learning rate, a smaller discriminator, or a "
                "loss that holds it back, such as NonSaturating(regulariser=AtReal()) or Hinge()",
                DiscriminatorWonWarning,
                stacklevel=8,
            )


def _pictures(inputs: Any) -> Tensor:
    found = inputs[0] if isinstance(inputs, tuple) and len(inputs) == 1 else inputs
    if not isinstance(found, Tensor) or not found.is_floating_point() or found.ndim < 2:
        raise ValueError(
            f"the inputs of the task are {_told(found)}: a GAN takes one tensor of real numbers, "
            "such as pictures N×C×H×W"
        )
    return found


def _told(value: Any) -> str:
    return (
        f"{list(value.shape)} of {value.dtype}"
        if isinstance(value, Tensor)
        else type(value).__name__
    )


def _apart(pictures: Tensor, labels: Tensor) -> float:
    """The mean distance of two pictures of one class; of any two where no class has two."""
    flat = pictures[:_COMPARED].flatten(1).double()
    pairs = ~torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    alike = pairs & (labels[: len(flat), None] == labels[: len(flat)])
    chosen = alike if alike.any() else pairs
    return float((torch.cdist(flat, flat) * chosen).sum()) / max(1, int(chosen.sum()))
