"""How good made pictures are, in the features of a classifier of the user's own."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shoestring.core.task import evaluating
from shoestring.generate.coverage import coverage
from shoestring.generate.frechet import frechet_distance
from shoestring.generate.gan import CollapsedWarning
from shoestring.generate.memorised import memorised
from shoestring.kit.tracing.last_linear import heard_inputs, last_linear

_PART = 500
_COVERED = 2000  # of coverage, whose cost is their square
_COPIES = 500
_LOW_RECALL = 0.1
_EXPECTED = 5  # pictures of a class from which on it can be called missing
_TOO_NEAR = 0.05


class MemorisedWarning(UserWarning):
    """Made pictures are nearer to training pictures than held-out ones are: some may be copies."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What pictures were found to be worth.

    `distance`: the Fréchet distance from the real ones in the classifier's features, 0 or more; it
        is no FID of an Inception network, and comparable only within one classifier.
    `precision`, `recall`: `Coverage` of the first 2,000, 0 to 1.
    `shares`: of the classes, as the classifier sees them, C.
    `missing`: the classes with fewer than a tenth of what the real pictures have.
    `copies`, `near`: `Memorised.z` and `.near` of the first 500; None without training pictures.
    """

    distance: float
    precision: float
    recall: float
    shares: tuple[float, ...]
    missing: tuple[int, ...]
    copies: float | None
    near: float | None


def quality(
    made: Tensor, *, classifier: nn.Module, real: Tensor, training: Tensor | None = None
) -> Quality:
    """Judge made pictures beside real ones that the generator did not learn from.

    Warns with CollapsedWarning for missing classes and a recall below a tenth, and with
    MemorisedWarning where five times as many pictures as expected are very near to training ones.

    `made`, `real`: pictures N×C×H×W as the classifier takes them. Give as many of each.
    `classifier`: to logits; the features are the input of its last linear layer.
    `training`: the pictures that the generator learnt from; the pixels are compared.

    Raises ValueError for a classifier without a linear layer, and for NaN in pictures.
    """
    ours, our_logits = features(classifier, made)
    theirs, their_logits = features(classifier, real)
    covered = coverage(theirs[:_COVERED], ours[:_COVERED])
    count = our_logits.shape[1]
    shares, usual = (
        torch.bincount(one.argmax(1), minlength=count).double() / len(one)
        for one in (our_logits, their_logits)
    )
    expected = usual * len(made) >= _EXPECTED  # of fewer pictures none can be by chance
    missing = tuple((expected & (shares < 0.1 * usual)).nonzero().flatten().tolist())
    copied = None if training is None else memorised(made[:_COPIES], training, real[:_COPIES])
    found = Quality(
        distance=frechet_distance(ours.numpy(), theirs.numpy()),
        precision=covered.precision,
        recall=covered.recall,
        shares=tuple(shares.tolist()),
        missing=missing,
        copies=None if copied is None else copied.z,
        near=None if copied is None else copied.near,
    )
    _warn(found)
    return found


def _warn(found: Quality) -> None:
    if found.missing or found.recall < _LOW_RECALL:
        gone = f"no class {', '.join(map(str, found.missing))}, and " if found.missing else ""
        warnings.warn(
            f"modes collapsed: the pictures have {gone}a recall of {found.recall:.2f}. Use a lower "
            "learning rate, another seed, or a loss that holds the discriminator back, such as "
            "NonSaturating(regulariser=AtReal()); or tell the generator the classes",
            CollapsedWarning,
            stacklevel=3,
        )
    if found.near is not None and found.near > _TOO_NEAR:
        warnings.warn(
            f"{100 * found.near:.1f} % of the pictures are nearer to a training picture than 99 % "
            "of held-out ones are: look at them beside their nearest ones (memorised().nearest), "
            "and train on more pictures or for fewer steps where they are copies",
            MemorisedWarning,
            stacklevel=3,
        )


def features(classifier: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """What goes into the last linear layer that a classifier calls, N×D, and its logits N×C.

    Raises ValueError for a classifier that has no last linear layer.
    """
    with evaluating(classifier), torch.no_grad():
        last = last_linear(classifier, lambda: classifier(pictures[:2]))
        if last is None:
            raise ValueError(
                f"{type(classifier).__name__} has no last linear layer, whose inputs are the "
                "features: give a classifier that ends in one"
            )
        with heard_inputs(last.module) as heard:
            logits = [classifier(part).cpu() for part in pictures.split(_PART)]
    return torch.cat([one.flatten(1).cpu() for one in heard]), torch.cat(logits)
