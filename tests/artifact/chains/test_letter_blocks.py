"""Labels of another script are no answer, alone or among others, with numba and without."""

from __future__ import annotations

import numpy as np
import pytest

from shoestring.artifact import HashedText, InputChain, ShoeError
from shoestring.artifact.chains import hashed_text_loop
from shoestring.artifact.chains.input_chain import KEY, input_chain_of
from shoestring.artifact.chains.language_codes import with_code
from shoestring.artifact.chains.letter_blocks import flat
from shoestring.tasks import LabelledTexts, with_scripts

LABELS = ("cmn", "eng", "jpn", "kor", "pol")
LATIN, HAN, KANA, HANGUL = (0, 5), (0x68, 0x13F), (0x60, 0x61), (0x158, 0x1AF)
STEP = HashedText(
    scripts=(1, *HAN, 1, *LATIN, 2, *KANA, *HAN, 1, *HANGUL), script_of=(0, 1, 2, 3, 1)
)


def likely(ids: np.ndarray) -> np.ndarray:
    """Scores that say Korean, then English, Polish, Japanese and Chinese, whatever the text is."""
    return np.tile(np.array([0.0, 3.0, 1.0, 4.0, 2.0], np.float32), (len(ids), 1))


@pytest.fixture(params=[False, True], ids=["numpy", "numba"], autouse=True)
def loops(request, monkeypatch) -> None:
    """Whether numba's loops are used."""
    if request.param:
        pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(hashed_text_loop, "worth_it", lambda _: request.param)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("안녕하세요", ["kor"]),
        ("hello", ["eng", "pol"]),
        ("żółć", ["eng", "pol"]),
        ("今天天气很好", ["jpn", "cmn"]),
        ("行きました", ["jpn"]),
        ("我喜欢 pop", ["eng", "pol", "jpn", "cmn"]),  # half and half
        ("我喜欢 rock", ["eng", "pol"]),
        ("我很喜欢 pop 42!", ["jpn", "cmn"]),
    ],
)
def test_labels_of_less_than_half_of_the_letters_are_left_out(text: str, left: list[str]) -> None:
    (found,) = STEP.answers([text], LABELS, likely, top=9)
    assert [label for label, _ in found] == left
    assert sum(score for _, score in found) == pytest.approx(1)
    assert STEP.answers([text], LABELS, likely) == [found[:1]]
    free = HashedText().answers([text], LABELS, likely, top=9)
    assert [label for label, _ in free[0]] == ["kor", "eng", "pol", "jpn", "cmn"]


def test_where_no_label_remains_nothing_is_determined() -> None:
    assert STEP.answers(["привет"], LABELS, likely, top=2) == [[("und", 1.0)]]
    assert STEP.answers(["привет ab"], LABELS, likely) == [[("und", 0.75)]]
    assert STEP.answers(["", "42"], LABELS, likely) == [[("und", 1.0)]] * 2
    among = STEP.answers(["안녕 a", "hello"], LABELS, likely, among=["cmn", "pol"], top=2)
    assert among == [[("und", pytest.approx(2 / 3))], [("pol", 1.0)]]
    assert STEP.answers(["안녕하세요"], LABELS, likely, among=["cmn", "jpn"]) == [[("und", 1.0)]]
    # Unknown pages say more than sets do.
    some = HashedText(pages=(0, 0), scripts=STEP.scripts, script_of=STEP.script_of)
    assert some.answers(["今天 a", "abc"], LABELS, likely)[0] == [("und", pytest.approx(2 / 3))]
    assert some.answers(["今天 a", "abc"], LABELS, likely)[1][0][0] == "eng"


def test_many_empty_texts_are_answered_in_parts() -> None:
    found = STEP.answers([""] * 40_000 + ["hello"], LABELS, likely)
    assert found[:-1] == [[("und", 1.0)]] * 40_000 and found[-1][0][0] == "eng"


def test_scripts_come_from_training_texts() -> None:
    texts = LabelledTexts(
        texts=(
            "Der Hund bellt",
            "这是 一个 非常 短的 中文 句子 而且 还有 很多 别的 字 OK",
            "これは日本語のとても短い文です",
            "Собака лает",
            "42!",
            "abcde где",
        ),
        labels=("deu", "cmn", "jpn", "rus", "none", "both"),
    )
    step = with_scripts(HashedText(), texts)
    labels = sorted(set(texts.labels))

    def even(ids: np.ndarray) -> np.ndarray:
        return np.zeros((len(ids), len(labels)), np.float32)

    def left(text: str) -> set[str]:
        return {label for label, _ in step.answers([text], labels, even, top=9)[0]}

    assert left("żółw") == {"deu", "both", "none"}  # other letters of a script of many blocks
    assert left("龍龜") == {"cmn", "jpn", "none"}
    assert left("カタカナ") == {"jpn", "none"}
    assert left("пёс") == {"rus", "both", "none"}
    assert left("שלום") == {"none"}
    assert step == with_scripts(step, texts)
    blocks = range(0x400, 0x400 + 257)  # rare Chinese characters
    many = LabelledTexts(
        texts=tuple(chr(128 * block) for block in blocks), labels=tuple(map(str, blocks))
    )
    assert with_scripts(step, many) == HashedText()
    assert len(with_scripts(step, many.at(range(256))).script_of) == 256


def test_too_many_sets_are_none() -> None:
    assert flat([(0, 1)] * 256) == (1, 0, 1) * 256
    assert flat([(0, 1)] * 257) is None


def test_files_without_scripts_are_as_before() -> None:
    notes = InputChain(steps=(HashedText(),), labels=LABELS).notes()
    assert "script" not in notes[KEY]
    assert input_chain_of(notes) == InputChain(steps=(HashedText(),), labels=LABELS)
    chain = InputChain(steps=(STEP,), labels=LABELS)
    assert input_chain_of(chain.notes()) == chain
    with pytest.raises(ValueError, match="script_of has 5 numbers for 2 labels"):
        InputChain(steps=(STEP,), labels=("a", "b"))


@pytest.mark.parametrize(
    ("scripts", "script_of", "said"),
    [
        ((1, 0, 5), (), "go together"),
        ((), (0,), "go together"),
        ([1, 0, 5], (0,), "tuples"),
        ((2, 0, 5), (0,), "a number of pairs"),
        ((0,), (0,), "a number of pairs"),
        ((1, 0, 5, 1), (0,), "a number of pairs"),
        ((1, 0, 5), (1,), "a number in script_of"),
        ((1, 0, 5), (-1,), "a number in script_of"),
        ((1, 0, 5), (True,), "a number in script_of"),
        ((1, 0, 0x2200), (0,), "a number of scripts"),
        ((1, 0, 5.0), (0,), "a number of scripts"),
        ((1, 0, 5) * 300, (0,), "768 at most"),
    ],
)
def test_other_scripts_are_refused(scripts, script_of, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HashedText(scripts=scripts, script_of=script_of)
    notes = InputChain(steps=(STEP,), labels=LABELS).notes()
    with pytest.raises(ShoeError):
        input_chain_of({KEY: notes[KEY].replace('"script_of":[0,1', '"script_of":[9,1')})


def test_codes_of_two_letters_name_labels() -> None:
    labels = ["deu", "deu_1901", "eng", "nob", "quy", "quz", "srp_cyrl", "zho"]
    wanted = {"de": ["deu"], "EN": ["eng"], "nb": ["nob"], "no": ["nob"], "qu": ["quy", "quz"]}
    for code, found in (wanted | {"sr": ["srp"], "zh": ["zho"], "xx": [], "": []}).items():
        assert with_code(code, labels) == found
    said = "'de' is deu there, 'qu' is quy or quz there; shoestring identify FILE --labels"
    with pytest.raises(ValueError, match=said):
        STEP.answers(["a"], labels, likely, among=["de", "qu", "xx"])
