"""Adult where it is there, and its format on files made here."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shoestring.tasks import Columns, DataError, adult, adult_columns
from shoestring.tasks.adult import CATEGORICAL, NUMERIC
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.adult")
Put = Callable[[Source, bytes], Source]
HEADER = (
    "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,capital-gain,capital-loss,"
    "hours-per-week,native-country,income\n"
)


def line(age: int, work: str = "Private", income: str = "<=50K") -> str:
    return f"{age},{work},100,HS-grad,9,Divorced,?,Husband,White,Male,0,0,40,Cuba,{income}\n"


TEXTS = {
    "adult.data": HEADER
    + "".join(
        line(20 + n, "State-gov" if n % 2 else "Private", ">50K" if n % 3 else "<=50K")
        for n in range(20)
    )
    + "\n",
    "adult.test": HEADER
    + line(30, "Never-worked", ">50K.")
    + line(31, "State-gov", "<=50K.")
    + "\n",
}


def given(
    put: Put, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], *, gzipped: bool = False
) -> None:
    """The task's files are these texts, as their home has them or gzipped."""
    files = {}
    for name, (plain, packed) in module._FILES.items():
        content = texts[name].encode()
        files[name] = (
            (plain, put(packed, gzip.compress(content)))
            if gzipped
            else (put(plain, content), packed)
        )
    monkeypatch.setattr(module, "_FILES", files)


@pytest.mark.slow
def test_adult_as_it_is():
    if not all(present(plain) or present(packed) for plain, packed in module._FILES.values()):
        pytest.skip(
            "Adult is not here: set SHOESTRING_DATA to a folder that holds adult/adult.data and "
            "adult/adult.test, or run python -c 'from shoestring.tasks import adult; adult()' once "
            "where there is a network"
        )
    task, columns = adult(batch_size=100), adult_columns()
    assert (task.name, task.batch_size) == ("adult", 100)
    assert [len(split[1]) for split in (task.train, task.validation, task.test)] == [
        29304,
        3257,
        16281,
    ]
    sizes = torch.tensor(columns.sizes)
    for (ids, numbers), labels in (task.train, task.validation, task.test):
        assert (
            ids.shape[1:] == (8,)
            and numbers.shape[1:] == (6,)
            and ids.min() >= 0
            and (ids.amax(0) < sizes).all()
        )
        assert 0.2 < labels.float().mean() < 0.26 and labels.unique().tolist() == [0, 1]
    ids, numbers = task.train[0]
    assert (ids >= 1).all() and (ids.amax(0) == sizes - 1).all()
    torch.testing.assert_close(
        numbers.double().mean(0), torch.tensor(columns.mean, dtype=torch.float64), rtol=1e-5, atol=0
    )
    (one, two), _ = task.example()
    assert (one.axes, two.axes) == ({0: "N"}, {0: "N"}) and (
        one.tensor.shape,
        two.tensor.shape,
    ) == ((2, 8), (2, 6))


@pytest.mark.parametrize("gzipped", [False, True])
def test_its_format(put: Put, monkeypatch: pytest.MonkeyPatch, gzipped: bool):
    given(put, monkeypatch, TEXTS, gzipped=gzipped)
    task, again, columns = adult(), adult(), adult_columns()
    assert [len(split[1]) for split in (task.train, task.validation, task.test)] == [18, 2, 2]
    assert columns.sizes == (3, 2, 2, 2, 2, 2, 2, 2) and columns.values[0] == (
        "Private",
        "State-gov",
    )
    (ids, numbers), labels = task.train
    assert torch.equal(numbers, again.train[0][1])  # the same split each time
    # The age tells the line: from it follow the work and the income.
    place = numbers[:, 0].long() - 20
    assert torch.equal(ids[:, 0], 1 + place % 2) and torch.equal(labels, (place % 3 > 0).long())
    assert (ids[:, 1:] == 1).all() and (numbers[:, 1:] == torch.tensor([100.0, 9, 0, 0, 40])).all()
    # Statistics of what is trained on, and no division by 0 where all are the same.
    assert (
        columns.mean[0] == pytest.approx(float(numbers[:, 0].mean()))
        and columns.deviation[1:] == (1.0,) * 5
    )
    assert columns.deviation[0] == pytest.approx(float(numbers[:, 0].std(correction=0)))
    (ids, numbers), labels = task.test
    assert (
        ids[:, 0].tolist() == [0, 2]
        and numbers[:, 0].tolist() == [30, 31]
        and labels.tolist() == [1, 0]
    )


def test_columns_by_hand():
    columns = Columns((("a", "b"),) * 8, (0.0,) * 6, (1.0,) * 6)
    row = (
        dict.fromkeys(CATEGORICAL, "b") | dict.fromkeys(NUMERIC, "2.5") | {"sex": "c", "race": "a"}
    )
    ids, numbers = columns.tensors([row])
    assert ids.tolist() == [[2, 2, 2, 2, 2, 1, 0, 2]] and numbers.tolist() == [[2.5] * 6]
    assert [one.shape for one in columns.tensors([])] == [(0, 8), (0, 6)]


@pytest.mark.parametrize(
    "wrong",
    [
        "1,2,3\n",
        line(20, income="50K"),
        line(20).replace("20,", "old,"),
        line(20).replace("20,", "nan,"),
    ],
)
def test_a_line_that_is_none(put: Put, monkeypatch: pytest.MonkeyPatch, wrong: str):
    given(put, monkeypatch, TEXTS | {"adult.data": HEADER + line(20) + wrong + line(21)})
    with pytest.raises(
        DataError,
        match=r"line 3 of .*adult\.data is .* must have 15 fields, .* end in <=50K or >50K",
    ):
        adult()


@pytest.mark.parametrize("text", ["", line(20)])
def test_names_that_are_missing(put: Put, monkeypatch: pytest.MonkeyPatch, text: str):
    given(put, monkeypatch, TEXTS | {"adult.data": text})
    with pytest.raises(DataError, match=r"adult\.data has no column 'age' in its first line"):
        adult()


def test_a_file_that_is_another(put: Put, data: Path, monkeypatch: pytest.MonkeyPatch):
    given(put, monkeypatch, TEXTS, gzipped=True)
    (data / "adult" / "adult.test.gz").write_bytes(gzip.compress(b"something else\n"))
    with pytest.raises(DataError, match=r"adult\.test\.gz is not the file it should be"):
        adult()


def test_where_there_is_none_the_error_says_where_to_put_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        n: (Source(p.folder, p.name, "file:///nowhere/at/all", p.sha256), g)
        for n, (p, g) in module._FILES.items()
    }
    monkeypatch.setattr(module, "_FILES", files)
    with pytest.raises(
        DataError, match=r"SHOESTRING_DATA to a folder that holds adult/adult\.data"
    ):
        adult()
