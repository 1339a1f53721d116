"""Texts as n-grams of their words, against a slow obvious reference, and what is answered."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from slow_text import known, reference

from shoestring.artifact import HashedText, InputChain, ShoeError
from shoestring.artifact.chains import hashed_text_loop
from shoestring.artifact.chains.input_chain import input_chain_of

TEXTS = [
    "The dog's 3 bones.",
    "",
    "a",
    "  ÉCOLE e\u0301cole  --  ΟΔΟΣ ΟΔΟΣ",
    "12345",
    "東京へ行きました。",
    "line\nbreak",
    "\0\ud800x",
    "😀 İstanbul 😀",
    "हिन्दी",
    "x" * 5000,
    " ",
]


@pytest.fixture(params=[False, True], ids=["numpy", "numba"])
def loops(request, monkeypatch) -> bool:
    """Whether numba's loops are used."""
    if request.param:
        pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(hashed_text_loop, "worth_it", lambda _: request.param)
    return request.param


@pytest.mark.parametrize("lengths", [(1, 2, 3, 4), (1,), (2,), (2, 5), (1, 8)])
def test_ids_are_those_of_the_reference(lengths: tuple[int, ...], loops: bool) -> None:
    step = HashedText(lengths=lengths, buckets=977, pages=(0, 3, 0x67, 0x67))
    features = step.features(TEXTS)
    assert features[2].tolist() == [known(text, step) for text in TEXTS]
    assert [one.tolist() for one in step.features([])] == [[], [], []]
    ids, counts = step.of_texts(TEXTS)
    pieces = np.split(ids, np.cumsum(counts)[:-1])
    for text, piece in zip(TEXTS, pieces, strict=True):
        assert piece.tolist() == reference(text, step), text[:20]
        assert step.of_texts([text])[0].tolist() == piece.tolist()  # alone as among others
    assert step(TEXTS).shape == (len(TEXTS), counts.max())
    assert step("a")[0].tolist() == reference("a", step)


def test_random_texts_have_the_ids_of_the_reference(loops: bool) -> None:
    random = np.random.default_rng(0)
    alphabet = list("aB é\u0301.\n7Σ東\t")
    step = HashedText(buckets=4099)
    texts = ["".join(random.choice(alphabet, random.integers(0, 12))) for _ in range(300)]
    ids, counts = step.of_texts(texts)
    assert ids.tolist() == [one for text in texts for one in reference(text, step)]
    assert counts.tolist() == [len(reference(text, step)) for text in texts]


def counting(labels: int):
    """A network whose score of a label is how many ids of a text are it, modulo the labels."""

    def run(ids: np.ndarray) -> np.ndarray:
        return np.stack([((ids % labels == k) & (ids != 0)).sum(1) for k in range(labels)], 1)

    return run


def test_answers_are_the_same_alone_and_together(loops: bool) -> None:
    step, labels = HashedText(), ("x", "y", "z")
    run = counting(3)
    together = step.answers(TEXTS * 50, labels, run, top=2)
    alone = [step.answers([text], labels, run, top=2)[0] for text in TEXTS]
    assert together == alone * 50
    first = step.answers(TEXTS, labels, run)
    assert first == [answer[:1] for answer in alone]
    assert step.answers([], labels, run) == []
    many = step.answers(["a dog"], labels, run, top=99)[0]
    assert len(many) == 3
    assert sum(share for _, share in many) == pytest.approx(1)
    assert [share for _, share in many] == sorted((s for _, s in many), reverse=True)


def test_the_loops_are_loaded_for_many_characters_alone(monkeypatch) -> None:
    pytest.importorskip("numba")
    used = []
    monkeypatch.setattr(hashed_text_loop, "_asked", 0)
    monkeypatch.setattr(hashed_text_loop, "_WORTH", 100)
    monkeypatch.setattr(hashed_text_loop, "_compiled", functools.cache(lambda: used.append(1)))
    assert not hashed_text_loop.worth_it(99)
    assert hashed_text_loop.worth_it(1)
    monkeypatch.setattr(hashed_text_loop, "_asked", 0)
    hashed_text_loop.compiled()  # for another call
    assert hashed_text_loop.worth_it(0)
    monkeypatch.setattr(hashed_text_loop, "available", lambda: False)
    assert not hashed_text_loop.worth_it(1000)


def test_among_some_labels_the_scores_are_theirs_alone() -> None:
    step, labels = HashedText(), ("deu", "deu_1901", "eng", "srp_cyrl", "srp_latn")
    run = counting(5)
    every = dict(step.answers(["a dog barks"], labels, run, top=5)[0])
    for among, wanted in (
        (("eng",), {"eng"}),
        (("deu", "eng"), {"deu", "deu_1901", "eng"}),
        (["srp", "eng", "eng"], {"eng", "srp_cyrl", "srp_latn"}),
        (("srp_latn", "deu_1901"), {"srp_latn", "deu_1901"}),
        ((), set(labels)),
    ):
        found = dict(step.answers(["a dog barks"], labels, run, top=9, among=among)[0])
        assert set(found) == wanted
        total = sum(every[label] for label in wanted)
        assert found == pytest.approx({label: every[label] / total for label in wanted})
        best = step.answers(["a dog barks"], labels, run, among=among)[0]
        assert best == [max(found.items(), key=lambda one: one[1])]
    assert step.answers(["1"], labels, run, among=["eng"]) == [[("und", 1.0)]]


def test_what_is_no_label_is_refused_by_name() -> None:
    labels = ("deu", "deu_1901", "eng")
    for among, said in (
        (["de", "eng", "xx"], "no label 'de', 'xx'.* 3 others, and 'de' is deu there"),
        (["1901"], "no label '1901'"),
        (["en_", "d"], "3 others, among them deu, deu_1901; "),
        (["<script>" * 1000], "no label '<script>"),
        ([str(n) for n in range(99)], "and 91 more"),
        ("eng", "give a list"),
        ([""], "no label ''"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            HashedText().answers(["a"], labels, counting(3), among=among)
        assert len(str(error.value)) < 500


def test_what_says_nothing_is_undetermined() -> None:
    step = HashedText(pages=(0, 1, 4, 4))
    run = counting(2)

    def label(text: str) -> tuple[str, float]:
        return step.answers([text], ("x", "y"), run)[0][0]

    assert label("123, 456.") == ("und", 1.0)
    assert label("") == ("und", 1.0)
    assert label("東京") == ("und", 1.0)
    assert label("東京へ a") == ("und", 0.75)
    assert label("東京 abc")[0] in "xy"
    assert label("привет")[0] in "xy"


def test_lines_and_json() -> None:
    step = HashedText()
    assert step.line([("eng", 0.9)]) == "eng"
    assert step.line([("eng", 0.9), ("sco", 0.05)]) == "eng 0.9000 sco 0.0500"
    assert step.described("a", [("eng", 0.9)]) == {
        "text": "a",
        "label": "eng",
        "scores": [{"label": "eng", "score": 0.9}],
    }
    for top in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="top is"):
            step.answers(["a"], ("x",), counting(1), top=top)  # type: ignore[arg-type]


def test_a_file_has_its_fields() -> None:
    chain = InputChain(steps=(HashedText(pages=(0, 5)),), labels=("a", "b"))
    assert input_chain_of(chain.notes()) == chain
    assert chain.job == "identify"
    assert chain.shape == (1, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lengths": ()}, "1 to 8 integers"),
        ({"lengths": (9,)}, "1 to 8"),
        ({"lengths": (2, 1)}, "shortest first"),
        ({"lengths": (1, 1)}, "shortest first"),
        ({"buckets": 0}, "buckets is 0"),
        ({"most": 1 << 17}, "most is"),
        ({"pages": (1,)}, "pairs"),
        ({"pages": (1, 1 << 20)}, "a page is"),
        ({"buckets": True}, "buckets is True"),
    ],
)
def test_bad_fields_are_refused(fields: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HashedText(**fields)
    notes = InputChain(steps=(HashedText(),)).notes()
    assert input_chain_of(notes) is not None
    with pytest.raises(ShoeError):
        input_chain_of({key: text.replace("[1,2,3,4]", "[4,1]") for key, text in notes.items()})


@pytest.mark.parametrize("top", [1, 2])
def test_scores_that_are_no_numbers_have_no_likeliest_label(top: int) -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ShoeError, match="no label is the likeliest"):
            HashedText().answers(
                ["a"], ("x", "y"), lambda ids, bad=bad: np.full((len(ids), 2), bad), top=top
            )


@pytest.mark.parametrize("label", ["a\nb", "\x1b[2J", "a\u2028b"])
def test_labels_that_break_lines_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        InputChain(steps=(HashedText(),), labels=("a", label))
