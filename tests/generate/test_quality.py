"""What is noticed of pictures: missing classes, copies, and what they teach."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.generate import (
    CollapsedWarning,
    MemorisedWarning,
    Samples,
    classification_score,
    features,
    quality,
)
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.models import DigitsLeNet
from shoestring.tasks import digits


@cache
def classifier() -> nn.Module:
    with seeded(0):
        return train(DigitsLeNet(), digits().sealed(), Training(60, AdamW(5e-3)))


def split(name: str) -> tuple[Tensor, Tensor]:
    inputs, labels = getattr(digits(), name)
    return inputs, labels


def test_features_are_what_goes_into_the_last_layer():
    images, _ = split("validation")
    seen, logits = features(classifier(), images[:7])
    layers = classifier().layers
    assert isinstance(layers, nn.Sequential)
    wanted = layers[:-1](images[:7])
    assert seen.shape == (7, 128) and torch.allclose(seen, wanted.detach(), atol=1e-5)
    assert torch.allclose(logits, layers[-1](wanted).detach(), atol=1e-5)
    with pytest.raises(ValueError, match="has no last linear layer"):
        features(nn.ReLU(), images[:7])


def test_new_real_pictures_have_no_fault():
    (ours, _), (theirs, _), (known, _) = split("validation"), split("test"), split("train")
    found = quality(ours, classifier=classifier(), real=theirs, training=known)
    assert found.precision > 0.6 and found.recall > 0.6 and found.missing == ()
    assert found.near is not None and found.near < 0.05
    assert sum(found.shares) == pytest.approx(1)


def test_a_missing_class_is_named():
    (images, labels), (real, _) = split("validation"), split("test")
    some = images[(labels != 3) & (labels != 7)]
    with torch.no_grad():
        some = some[~torch.isin(classifier()(some).argmax(1), torch.tensor([3, 7]))]
    with pytest.warns(CollapsedWarning, match=r"no class 3, 7, and a recall of"):
        found = quality(some, classifier=classifier(), real=real)
    assert found.missing == (3, 7) and found.copies is None
    whole = quality(images, classifier=classifier(), real=real)
    assert whole.distance < found.distance


def test_copies_are_noticed():
    (real, _), (known, _) = split("test"), split("train")
    with pytest.warns(MemorisedWarning, match=r"100\.0 % of the pictures are nearer"):
        quality(known[:200], classifier=classifier(), real=real, training=known)


def test_what_pictures_teach():
    task: Supervised = digits()
    images, labels = split("train")
    training = Training(60, AdamW(5e-3))
    with seeded(0):
        good = classification_score(
            Samples(pictures=images, labels=labels), DigitsLeNet(), task, training
        )
        wrong = Samples(pictures=images, labels=(labels + 1) % 10)
        bad = classification_score(wrong, DigitsLeNet(), task, training)
    assert good > 0.85 and bad < 0.1
    with pytest.raises(ValueError, match="pictures without labels"):
        classification_score(Samples(pictures=images, labels=None), DigitsLeNet(), task, training)
