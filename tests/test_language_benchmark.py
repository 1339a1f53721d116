"""The parts of the benchmark of languages: codes, naive Bayes, means over languages, a tool."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import HashedText
from shoestring.tasks import LabelledTexts

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import language_baseline  # noqa: E402
import language_codes  # noqa: E402

from shoestring.artifact.chains import language_codes as known_codes  # noqa: E402


def test_codes_of_our_labels_and_of_tools_meet() -> None:
    assert all(len(ours) == 3 and len(theirs) == 2 for ours, theirs in language_codes.CODES.items())
    words = known_codes._LANGUAGES.split()[::2]
    assert len(words) == len(set(words)) == len(language_codes.CODES)
    meet = {"deu_1901": "de", "cmn_hant": "zh-Hant", "nob": "nb", "heb": "iw", "swh": "sw"}
    for label, code in meet.items():
        assert language_codes.of_label(label) == language_codes.of_tool(code)
    assert language_codes.of_label("als") == "sq" != language_codes.of_tool("als")  # fastText's
    assert language_codes.of_label("ast") == language_codes.of_tool("ast") == "ast"
    assert language_codes.of_tool("bg-Latn") not in language_codes.CODES.values()


def test_naive_bayes_knows_its_letters() -> None:
    train = LabelledTexts(texts=("aab aba " * 40, "bcc cbc " * 40), labels=("x", "y"))
    validation = LabelledTexts(texts=("aa", "cc"), labels=("x", "y"))
    step = HashedText(lengths=(1,), buckets=997)
    made = language_baseline.NaiveBayes.trained(train, step, validation)
    assert made.labels_of(["aab", "ccb", ""]) == ["x", "y", "x"]
    assert 0 < made.bytes < 2000 and made.smoothing in (0.001, 0.01, 0.1, 1.0)
    # The difference of logarithms is that of the counts, 5 a to 0 in x and y, up to 8 bits.
    ids = step.of_texts(["b"])[0]
    b_in_x, b_in_y = made.logs_VK[ids[0]]
    letters = [text.replace(" ", "") for text in train.texts]
    share = [text.count("b") / len(text) for text in letters]
    assert b_in_x - b_in_y == pytest.approx(np.log(share[0] / share[1]), abs=0.1)


def test_a_tool_says_what_it_knows_and_how_long_it_took(tmp_path: Path) -> None:
    """With a module in the place of py3langid."""
    package = tmp_path / "py3langid"
    package.mkdir()
    (package / "__init__.py").write_text("def classify(text):\n    return 'de', -1.0\n")
    (package / "langid.py").write_text("class IDENTIFIER:\n    nb_classes = ['de', 'en']\n")
    told = tmp_path / "py3langid-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: py3langid\nVersion: 1\n")
    (told / "RECORD").write_text("py3langid/__init__.py,,\npy3langid/none.py,,\n")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "peers" / "languages.py", "py3langid"],
        input=json.dumps({"texts": ["a", "b"], "timed": ["c"] * 100}),
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["languages"] == ["de", "en"] and answer["answers"] == ["de", "de"]
    assert answer["bytes"] == (package / "__init__.py").stat().st_size
    assert answer["versions"] == ["py3langid 1"] and answer["seconds"] >= 0
