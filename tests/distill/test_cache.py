"""Answers on disk: never a wrong one, each asked for once, nothing lost on a kill."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Vary, seeded
from shoestring.distill import cached
from shoestring.distill.identity import identity_of
from shoestring.distill.store import AnswerStore
from shoestring.kit import Supervised, Training, clone, save, train


class Net(nn.Module):
    """Logits N×3 of N×4 numbers; counts what it is asked."""

    def __init__(self, sharpness: float = 1.0) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        self.sharpness = sharpness
        self.rows: list[int] = []

    def forward(self, x: Tensor, *, shift: Tensor | None = None) -> Tensor:
        self.rows.append(len(x))
        return self.sharpness * self.last(torch.relu(self.first(x))) + (
            0 if shift is None else shift
        )


def net(seed: int = 0, sharpness: float = 1.0) -> Net:
    with seeded(seed):
        return Net(sharpness)


def data(count: int = 100, **settings: Any) -> Supervised:
    with seeded(3):
        part = (torch.randn(count, 4), torch.randint(3, (count,)))
    return Supervised(train=part, validation=part, test=part, batch_size=32, **settings)


def test_each_example_is_asked_about_once_and_the_answers_are_bit_for_bit_the_same(tmp_path: Path):
    teacher, task = net(), data()
    keeping: Any = cached(teacher, tmp_path)
    filled = keeping.fill(task)
    assert (filled.examples, filled.asked) == (100, 100)
    assert filled.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.answers")) > 0
    asked = sum(keeping.teacher.rows)
    again: Any = cached(teacher, tmp_path)
    assert (again.fill(task).asked, again.teacher.rows) == (0, [])
    students = []
    for one in (teacher, again):
        with seeded(5):
            students.append(train(net(7), task.taught_by(one), Training(20)))
    assert torch.equal(students[0].last.weight, students[1].last.weight)
    assert asked < 2 * 100 + 32, "twice at most: once together, and half of a batch alone"


def test_what_differs_in_a_bit_is_another_example(tmp_path: Path):
    keeping = cached(net(), tmp_path)
    x = torch.randn(8, 4)
    keeping(x)
    other = x.clone()
    other[3, 1] = torch.nextafter(other[3, 1], torch.tensor(9.0))
    for changed in (other, x.double().float() + 1, x[:, [1, 0, 2, 3]]):
        torch.testing.assert_close(keeping(changed), net()(changed))
    assert keeping.asked == 8 + 1 + 8 + 8
    shift = torch.ones(8, 3)
    torch.testing.assert_close(keeping(x, shift=shift), net()(x, shift=shift))
    torch.testing.assert_close(keeping(x), net()(x))
    # The same bytes in another type are another example too.
    assert not torch.equal(
        cached(lambda x: x.float(), tmp_path, identity="a")(x.view(torch.int32)),
        cached(lambda x: x.float(), tmp_path, identity="a")(x),
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: {"logits": x, "more": (x[:, 0], [x.to(torch.bfloat16)])},
        lambda x: (x.double(), None, x > 0),
        lambda x: x[:, :, None, None].half(),
        lambda x: x[:, :0],
    ],
)
def test_answers_of_any_nest_and_type_come_back_as_they_were(answer: Any, tmp_path: Path):
    x = torch.randn(6, 4)
    for _ in range(2):
        keeping = cached(answer, tmp_path, identity="it")
        got = keeping(x)
        keeping.store.flush()
        expected, found = [torch.utils._pytree.tree_flatten(one) for one in (answer(x), got)]
        assert found[1] == expected[1]
        for a, b in zip(found[0], expected[0], strict=True):
            assert a is b is None or (torch.equal(a, b) and a.dtype == b.dtype)
    assert keeping.asked == 0


def test_another_teacher_has_answers_of_its_own(tmp_path: Path):
    x, names = torch.randn(4, 4), set()
    for teacher in (net(), net(1), net(sharpness=2.0)):
        torch.testing.assert_close(cached(teacher, tmp_path)(x), teacher(x))
        names.add(identity_of(teacher))
    assert len(names) == len(list(tmp_path.iterdir())) == 3
    assert identity_of(net()) == identity_of(clone(net()))
    assert identity_of(net(), "augmented") != identity_of(net())


class Held(nn.Module):
    """What forward() does is in an attribute."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        return self.held(x)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.relu, torch.tanh),
        (nn.functional.relu, nn.functional.gelu),
        (lambda x: x * 2, lambda x: x * 3),
        (partial(torch.clamp, min=0), partial(torch.clamp, min=1)),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (np.zeros(2), np.ones(2)),
        ({"shift": 1}, {"shift": 2}),
    ],
)
def test_what_attributes_hold_tells_teachers_apart(one: Any, other: Any):
    assert identity_of(Held(one)) == identity_of(clone(Held(one)))
    assert identity_of(Held(one)) != identity_of(Held(other))


def test_a_function_that_holds_itself_has_an_identity():
    def again(x: Tensor) -> Tensor:
        return x if x.sum() < 0 else again(x - 1)

    assert identity_of(Held(again)) == identity_of(Held(again))


def test_long_arrays_that_are_no_tensors_are_told_apart(tmp_path: Path):
    def shifted(x: Tensor, shift: np.ndarray) -> Tensor:
        return x + float(shift.sum())

    teacher, x = cached(shifted, tmp_path, identity="shifted"), torch.zeros(4, 2)
    one, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    assert teacher(x, one).equal(x)
    assert teacher(x, other).equal(x + 1)


def test_a_teacher_that_is_trained_on_is_not_what_is_asked(tmp_path: Path):
    teacher, x = net(), torch.randn(4, 4)
    keeping, before = cached(teacher, tmp_path), teacher(x).detach()
    with torch.no_grad():
        teacher.last.weight.zero_()
    torch.testing.assert_close(keeping(x), before)


def test_a_function_needs_a_name_and_a_file_has_its_bytes(tmp_path: Path):
    with pytest.raises(ValueError, match="name it with identity="):
        cached(lambda x: x, tmp_path)
    path = tmp_path / "teacher.shoe"
    save(net(), data(), path)
    keeping = cached(path, tmp_path / "answers")
    x = torch.randn(4, 4)
    torch.testing.assert_close(keeping(x), net()(x))
    again = pickle.loads(pickle.dumps(keeping))
    assert torch.equal(again(x), keeping(x)) and again.store.folder == keeping.store.folder
    save(net(1), data(), path)
    torch.testing.assert_close(cached(path, tmp_path / "answers")(x), net(1)(x))


def test_answers_that_depend_on_the_batch_are_refused(tmp_path: Path):
    x = torch.randn(8, 4)
    for name, teacher in {
        "of a batch": lambda x: x - x.mean(0),
        "of chance": lambda x: x * torch.rand(len(x), 1),
    }.items():
        with pytest.raises(ValueError, match="depends on the other examples of its batch"):
            cached(teacher, tmp_path, identity=name)(x)
    with pytest.raises(ValueError, match=r"shapes \[2\]: answers are kept by example"):
        cached(lambda x: torch.zeros(2), tmp_path, identity="it")(x)
    with pytest.raises(ValueError, match=r"shapes \[8, 4\], \[3\]: answers are kept by example"):
        cached(lambda x, y: x, tmp_path, identity="it")(x, torch.zeros(3))
    with pytest.raises(ValueError, match="shapes none"):
        cached(lambda: x, tmp_path, identity="it")()


def test_inputs_that_change_from_pass_to_pass_are_said_and_answered_rightly(tmp_path: Path):
    task = data(augment=lambda x: x + torch.randn_like(x))
    keeping = cached(net(), tmp_path)
    with pytest.warns(UserWarning, match=r"of 100 examples of a second pass 100 were not there"):
        keeping.fill(task)
    x = torch.randn(5, 4)
    torch.testing.assert_close(keeping(x), net()(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached(net(), tmp_path).fill(data())


def test_a_teacher_in_training_mode_is_asked_and_nothing_is_kept(tmp_path: Path):
    class Modes(nn.Module):
        """Logits in training, and twice as much in evaluation."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) if self.training else 2 * self.net(x)

    teacher, task = Modes(), data()
    keeping = cached(teacher, tmp_path)
    (batch, *_) = task.batches("validation")
    student = net(5)
    torch.testing.assert_close(
        task.taught_by(keeping).loss(student, batch), task.taught_by(teacher).loss(student, batch)
    )
    x = torch.randn(2, 4)
    torch.testing.assert_close(keeping.eval()(x), 2 * net()(x))


def test_entries_are_kept_apart(tmp_path: Path):
    class Both(nn.Module):
        def encode(self, x: Tensor) -> Tensor:
            return x + 1

        def step(self, x: Tensor) -> Tensor:
            return x + 2

    class Several(Supervised):
        def example(self) -> Any:
            return {name: ((Vary(torch.zeros(2, 4)),), {}) for name in ("encode", "step")}

        def loss(self, model: Any, batch: Any) -> Any:
            return (model.encode(batch[0][0]) + model.step(batch[0][0])).square().mean()

    one, x = data(), torch.randn(3, 4)
    task = Several(train=one.train, validation=one.validation, test=one.test)
    keeping: Any = cached(Both(), tmp_path)
    filled = keeping.fill(task)
    assert filled.asked == 200 and torch.equal(keeping.encode(x), x + 1)
    assert torch.equal(keeping.step(x), x + 2)
    with pytest.raises(AttributeError):
        _ = keeping.decode


# -- the folder


def test_the_size_is_bounded_and_said_before(tmp_path: Path):
    task = data(1000)
    with pytest.raises(ValueError, match=r"about 1,024 examples take about 28,672 bytes, and may"):
        cached(net(), tmp_path / "before", most_bytes=2000).fill(task)
    keeping = cached(net(), tmp_path / "full", most_bytes=5000)
    x = torch.randn(1000, 4)
    with pytest.warns(UserWarning, match="may have no more than 5,000: from now on the teacher is"):
        for part in x.split(50):
            keeping(part)
            keeping.store.flush()
    assert sum(path.stat().st_size for path in (tmp_path / "full").rglob("*.answers")) <= 5000
    assert 0 < len(keeping.store) < 1000
    torch.testing.assert_close(keeping(x), net()(x))
    with pytest.raises(ValueError, match="most_bytes is 10"):
        cached(net(), tmp_path, most_bytes=10)


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path: Path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match=r"answers cannot be kept in .*: name a folder that can be"):
        cached(net(), tmp_path / "taken" / "answers")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "another"])
def test_a_damaged_file_is_named_and_its_answers_are_asked_again(damage: str, tmp_path: Path):
    x, keeping = torch.randn(6, 4), cached(net(), tmp_path)
    keeping(x)
    keeping.store.flush()
    (path,) = tmp_path.rglob("*.answers")
    content = bytearray(path.read_bytes())
    content[-60] ^= 1
    path.write_bytes(
        {"cut": content[:-9], "changed": content, "empty": b"", "another": b"text" * 99}[damage]
    )
    with pytest.warns(UserWarning, match=rf"{path.name} is left out, and its answers are asked"):
        again = cached(net(), tmp_path)
    torch.testing.assert_close(again(x), net()(x))
    assert again.asked == 6


def test_two_stores_of_one_folder_see_what_the_other_has_written(tmp_path: Path):
    one, two = (AnswerStore(tmp_path, 10**6) for _ in range(2))
    rows = np.arange(8, dtype=np.uint8).reshape(2, 4)
    one.put("form", [b"a" * 16, b"b" * 16], rows)
    assert two.get(b"a" * 16) is None and len(one) == 2
    one.flush()
    two.flush()
    found = two.get(b"b" * 16)
    assert found is not None and found[0] == "form" and found[1].tolist() == [4, 5, 6, 7]
    two.put("form", [b"c" * 16], rows[:1])
    del two  # nothing is written without a flush: `Cached` does it when it ends
    one.refresh()
    assert one.get(b"c" * 16) is None


FILLING = """
import sys, time, torch
from test_cache import data, net
from shoestring.distill import cached, store
store._FLUSH_BYTES = 64
class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()
    def forward(self, x):
        time.sleep(float(sys.argv[2]))
        return self.net(x)
print(cached(Slow(), sys.argv[1]).fill(data(640)), flush=True)
"""


def filling(folder: Path, seconds: float) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", FILLING, str(folder), str(seconds)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_fill_that_is_killed_goes_on_and_two_at_once_agree(tmp_path: Path):
    killed = filling(tmp_path, 0.2)
    until = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.answers"))) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    kept = len(list(tmp_path.rglob("*.answers")))
    assert 4 <= kept < 20
    both = [filling(tmp_path, 0.01) for _ in range(2)]
    said = [one.communicate(timeout=120)[0] for one in both]
    asked = [int(one.partition("asked=")[2].partition(",")[0]) for one in said]
    assert all(0 < one <= 640 - 32 * 4 for one in asked), (asked, kept)
    last = filling(tmp_path, 0.0).communicate(timeout=120)[0]
    assert "Filled(examples=640, asked=0" in last
