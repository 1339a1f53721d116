"""Masked tokens: a body learns to guess hidden words of texts, and then the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Stage, Task, Technique, evaluating
from shoestring.kit import AdamW, Training
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.body import Body, States, body, states
from shoestring.unlabelled.checks import check_count, check_share
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material
from shoestring.unlabelled.pretraining import fine_tuned, learning, pretrained

_SHOWN, _RANDOM = 0.1, 0.1  # of the hidden tokens, as in the source


@dataclass(frozen=True, kw_only=True)
class MaskedTokens(Technique):
    """Pretrain the body to guess hidden words of all texts, then train all on the labels.

    Of the tokens that are to be guessed, eight in ten are replaced by one id, one by that of
    another token, and one stays. Where the body has a vector for each token that knows the others,
    that vector guesses; otherwise, as in a bag of words, the vector of the text guesses all that
    are hidden in it. What is returned is the network after the fine-tuning, unless the guard
    refuses it, as `MeanTeacher` says.

    Saves: nothing that a label curve proves; `docs/unlabelled.md` has figures.
    Costs: the pretraining, with a layer as wide as the vocabulary; and a training on the labels
        alone, for the guard.
    Source: Devlin et al. 2019, section 3.1 (task 1); of a bag of words, Mikolov et al. 2013a.
    Differs: the layer that guesses is not tied to the table of the words; random tokens are those
        of the batch.

    `training`: of both networks on the labels.
    `pretraining`: on all texts.
    `share`: of the tokens, that are to be guessed, 0 to 1.
    `instead`: the id that stands for a hidden token, 1 or more; in the vocabularies of
        `shoestring.tasks` 1 is a word that they do not have.
    `size`: texts of a batch of the pretraining, 1 or more.
    `weak`: the change of the labelled texts, and `strong` is not used; None: by their kind
        (`augmentations`).

    Raises TypeError for inputs that are not ids N×T; TypeError and ValueError as `material` does;
    and ValueError for settings out of range and for a network without a last linear layer.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    pretraining: Training = Training(1000, AdamW(2e-3))
    share: float = 0.15
    instead: int = 1
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_share("the share of hidden tokens", self.share)
        check_count("the id of a hidden token", self.instead)
        check_count("the texts of a batch", self.size)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The pretrained and fine-tuned network, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The fine-tuned network, before the guard looks at it (`guard.Learner`)."""
        _check_texts(given)
        network, place = learning(model), states(model, given) or body(model, given)
        with evaluating(network), torch.no_grad():
            text = given.task.prepared((given.inputs[0][:1],))
            count = place.features(network, text).shape[-1]
        guesser = Guesser(network, place, count, int(given.inputs[0].max()) + 1)

        def unlike(guesser: Guesser, inputs: tuple[Tensor, ...]) -> Tensor:
            (ids,) = inputs
            shown, is_hidden = hidden(ids, self.share, self.instead)
            return guesser.surprise(shown, ids, is_hidden)

        what = "pretraining on masked tokens"
        pretrained(
            guesser, given, self.pretraining, unlike, size=self.size, what=what, key=repr(self)
        )
        fine_tuned(network, model, given, self.training, repr(self))
        return network


def _check_texts(given: Material) -> None:
    first = given.inputs[0]
    if len(given.inputs) != 1 or first.ndim != 2 or first.is_floating_point():
        shapes = ", ".join(f"{list(one.shape)} of {one.dtype}" for one in given.inputs)
        raise TypeError(
            f"inputs {shapes} are no texts: masked tokens takes ids N×T, with 0 as padding. "
            "SimSiam is for pictures"
        )


def hidden(ids_NT: Tensor, share: float, instead: int) -> tuple[Tensor, Tensor]:
    """(texts with hidden tokens, which tokens are to be guessed), N×T each; padding is none.

    Of a batch with any token, one is to be guessed at least.
    """
    is_token = ids_NT != 0
    chance = torch.rand(ids_NT.shape, device=ids_NT.device).masked_fill(~is_token, 2.0)
    is_hidden = is_token & ((chance < share) | (chance == chance.min()))
    fate = torch.rand(ids_NT.shape, device=ids_NT.device)
    tokens = ids_NT[is_token]
    if not len(tokens):
        return ids_NT, is_hidden
    drawn = tokens[torch.randint(len(tokens), ids_NT.shape, device=ids_NT.device)]
    other = torch.where(fate < _SHOWN, ids_NT, torch.full_like(ids_NT, instead))
    other = torch.where(fate > 1 - _RANDOM, drawn, other)
    return torch.where(is_hidden, other, ids_NT), is_hidden


class Guesser(nn.Module):
    """A network, and a layer on its body that guesses tokens.

    `network`: learns; the guesser answers as it does.
    `place`: where its vectors are. `count`: how many numbers a vector has.
    `ids`: how many ids there are.
    """

    def __init__(self, network: nn.Module, place: Body | States, count: int, ids: int) -> None:
        super().__init__()
        self.network, self.place = network, place
        self.guess = nn.Linear(count, ids)

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the network answers."""
        return self.network(*inputs)

    def surprise(self, shown_NT: Tensor, ids_NT: Tensor, is_hidden_NT: Tensor) -> Tensor:
        """The mean cross-entropy of the tokens that are hidden, in nats; 0 where there are none."""
        vectors = self.place.features(self.network, (shown_NT,))
        if isinstance(self.place, States):
            logits = self.guess(vectors[is_hidden_NT])
        else:
            logits = self.guess(vectors)[is_hidden_NT.nonzero()[:, 0]]
        wanted = ids_NT[is_hidden_NT].long()
        summed = functional.cross_entropy(logits.float(), wanted, reduction="sum")
        return summed / max(1, len(wanted))
