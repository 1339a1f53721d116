"""What keeps a model from becoming a file is named: the step, its line, and the way round."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from shoestring import Supervised, Training, apply, load, write
from shoestring.kit import ExportError
from shoestring.prune import Magnitude

HERE = Path(__file__).name


class Reader(nn.Module):
    """Words N×T to the class of a text; `step` is how the states of the last word are found."""

    def __init__(self):
        super().__init__()
        self.words, self.network, self.head = (
            nn.Embedding(20, 6),
            nn.LSTM(6, 8, batch_first=True),
            nn.Linear(8, 3),
        )

    def forward(self, words_NT, lengths_N):
        raise NotImplementedError


class Packing(Reader):
    def forward(self, words_NT, lengths_N):
        packed = pack_padded_sequence(
            self.words(words_NT), lengths_N.cpu(), batch_first=True, enforce_sorted=False
        )
        return self.head(self.network(packed)[1][0][0])


class Unpacking(Reader):
    def forward(self, words_NT, lengths_N):
        packed = pack_padded_sequence(
            self.words(words_NT), lengths_N.cpu(), batch_first=True, enforce_sorted=False
        )
        return self.head(pad_packed_sequence(self.network(packed)[0], batch_first=True)[0].sum(1))


class Gathering(Reader):
    """The way round that the message names."""

    def forward(self, words_NT, lengths_N):
        outputs = self.network(self.words(words_NT))[0]
        return self.head(outputs[torch.arange(len(outputs)), lengths_N - 1])


@pytest.fixture
def task():
    words, lengths = torch.randint(0, 20, (32, 7)), torch.randint(1, 8, (32,))
    lengths[0] = 7
    split = (words, lengths), torch.arange(32) % 3
    return Supervised(train=split, validation=split, test=split, batch_size=16)


@pytest.mark.parametrize("kind", [Packing, Unpacking])
def test_packed_sequences_are_named_with_the_line_and_the_way_round(kind, task, tmp_path):
    words = (
        rf"packs sequences \(pack_padded_sequence, at {re.escape(HERE)}:\d+ in "
        r"forward\(\)\).*lengths - 1\]"
    )
    with pytest.raises(ExportError, match=words):
        write(kind(), task, tmp_path / "x.shoe")


@pytest.mark.slow
def test_the_way_round_gives_the_same_and_becomes_a_file(task, tmp_path):
    packing, gathering = Packing(), Gathering()
    gathering.load_state_dict(packing.state_dict())
    write(gathering, task, tmp_path / "x.shoe")
    (words, lengths), _ = task.validation
    torch.testing.assert_close(
        torch.as_tensor(load(tmp_path / "x.shoe")(words, lengths)), packing(words, lengths).detach()
    )


@pytest.mark.slow
def test_a_long_training_warns_first_where_no_file_can_be_made(task):
    with pytest.warns(
        UserWarning, match="what is trained now cannot become a file: .*packs sequences"
    ):
        apply(Magnitude(density=0.5, training=Training(500)), Packing(), task)


@pytest.mark.slow
def test_a_long_training_is_the_same_whether_it_was_looked_at_before_or_not(task, monkeypatch):
    made = []
    for long in (1, 1000):
        monkeypatch.setattr(import_module("shoestring.kit.recovery"), "LONG", long)
        torch.manual_seed(0)
        made.append(apply(Magnitude(density=0.5, training=Training(3)), Gathering(), task))
    assert all(map(torch.equal, made[0].state_dict().values(), made[1].state_dict().values()))


class Bessel(nn.Linear):
    def forward(self, x):
        return torch.special.bessel_j0(super().forward(x))


class Branching(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y if y.sum() > 0 else -y


class Failing(nn.Linear):
    def forward(self, x):
        return super().forward(x)[:, self.bias.absent]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            Bessel,
            r"does not know the operator prims\.bessel_j0, at {}:\d+ in forward\(\)\. What to do",
        ),
        (
            Branching,
            r"branches on the values of a tensor .*, at {}:\d+ in forward\(\)\): use torch\.where",
        ),
        (
            Failing,
            r"failed on the task's example \(AttributeError: .*absent.*, at {}:\d+ in "
            r"forward\(\)\)",
        ),
    ],
)
def test_the_line_of_the_users_own_is_named(kind, words, tmp_path):
    x, y = torch.randn(32, 8), torch.arange(32) % 4
    task = Supervised(train=(x, y), validation=(x, y), test=(x, y))
    with pytest.raises(ExportError, match=words.format(re.escape(HERE))):
        write(kind(8, 4), task, tmp_path / "x.shoe")
