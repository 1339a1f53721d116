"""Text that is no declaration, to see how far a file for languages holds on it.

Files of sets without a loader of their own come from their public homes, as all data of this house.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.tasks import LabelledTexts, treebank
from shoestring.tasks.fetch import Source, content_of, fetch
from shoestring.tasks.other_texts import jaquad, paragraphs

_GITHUB = "https://raw.githubusercontent.com"
_FLICKR = {
    "val.de": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.fr": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "test_2016_flickr.cs": "200a4a74cc9560f051924abb9803be008d1908d77f747e9141aeb86dfd2797f1",
    "test_2016_flickr.de": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.fr": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
}
_REVIEWS = Source(
    "nltk",
    "movie_reviews.zip",
    f"{_GITHUB}/nltk/nltk_data/5db857e/packages/corpora/movie_reviews.zip",
    "a41211ae685019137410268134db6a1a14428c89b671eb83056151a878539008",
)
_XQUAD = (
    Source(
        "xquad",
        "xquad.en.json",
        f"{_GITHUB}/google-deepmind/xquad/7d30520/xquad.en.json",
        "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29",
    ),
    Source(
        "xquad",
        "xquad.en.json.gz",
        "",
        "36c41f5f7aace8ee0468fefd41bb46886642e7f8ad880dd48c132fdd75674648",
    ),
)
_JAQUAD = Source(
    "jaquad",
    "jaquad_dev_0000.json",
    f"{_GITHUB}/SkelterLabsInc/JaQuAD/23f5d72/data/dev/jaquad_dev_0000.json",
    "8712bc34623c6fec856f170ff0b8566421c3c261752b1797b94938f48c1f7bc4",
)
SEEN = "other parts of this source"
HEARD = "another source of this language"
DECLARATION = "the declaration alone"
_TESTS = {
    "English-EWT": ("eng", SEEN),
    "JaQuAD": ("jpn", SEEN),
    "movie reviews": ("eng", HEARD),
    "XQuAD English": ("eng", HEARD),
    "Multi30k English": ("eng", HEARD),
    "Japanese-GSD": ("jpn", HEARD),
    "Chinese-GSD": ("cmn", HEARD),
    "Multi30k German": ("deu", DECLARATION),
    "Multi30k French": ("fra", DECLARATION),
    "Multi30k Czech": ("ces", DECLARATION),
}


@dataclass(frozen=True, kw_only=True)
class Text:
    """Lines of one language.

    `title`: what they are. `code`: of the language, three letters.
    `seen`: what training saw of their kind (`SEEN`, `HEARD` or `DECLARATION`).
    """

    title: str
    code: str
    seen: str
    lines: tuple[str, ...]

    def cut(self, length: int, most: int | None = None) -> LabelledTexts:
        """The first `length` characters of each line that has so many, `most` lines at most."""
        texts = [line[:length] for line in self.lines if len(line) >= length][:most]
        return LabelledTexts(texts=tuple(texts), labels=(self.code,) * len(texts))


def validation_texts() -> list[Text]:
    """What settings were chosen on, beside validation articles."""
    return [
        _text("English-EWT", "eng", SEEN, _sentences("en", "validation")),
        _text("Japanese-GSD", "jpn", HEARD, _sentences("ja", "validation")),
        _text("Chinese-GSD", "cmn", HEARD, _sentences("zh", "validation")),
        _text("Multi30k English", "eng", HEARD, _flickr("val.en")),
        _text("Multi30k German", "deu", DECLARATION, _flickr("val.de")),
        _text("Multi30k French", "fra", DECLARATION, _flickr("val.fr")),
    ]


def test_titles() -> list[tuple[str, str]]:
    """The titles of `test_texts`, each with what training saw."""
    return [(title, seen) for title, (_, seen) in _TESTS.items()]


def test_texts() -> list[Text]:
    """What files are tested on, beside test articles."""
    lines = {
        "English-EWT": _sentences("en", "test"),
        "JaQuAD": paragraphs(jaquad(_JAQUAD)),
        "movie reviews": _reviews(),
        "XQuAD English": paragraphs(content_of(*_XQUAD)[1]),
        "Multi30k English": _flickr("test_2016_flickr.en"),
        "Japanese-GSD": _sentences("ja", "test"),
        "Chinese-GSD": _sentences("zh", "test"),
        "Multi30k German": _flickr("test_2016_flickr.de"),
        "Multi30k French": _flickr("test_2016_flickr.fr"),
        "Multi30k Czech": _flickr("test_2016_flickr.cs"),
    }
    return [_text(title, *_TESTS[title], some) for title, some in lines.items()]


def _text(title: str, code: str, seen: str, lines: Sequence[str]) -> Text:
    return Text(title=title, code=code, seen=seen, lines=tuple(lines))


def _sentences(language: str, split: str) -> list[str]:
    """Sentences of a treebank; the Chinese release has no text, so words stand without spaces."""
    found = treebank(language, split)
    return ["".join(one.surface) if language == "zh" else one.text for one in found]


def _flickr(name: str) -> list[str]:
    """Captions of pictures (Elliott et al. 2016): for tests; their terms are non-commercial."""
    home = f"{_GITHUB}/multi30k/dataset/a3d2e0d/data/task1/raw/{name}.gz"
    path = fetch(Source("multi30k", f"{name}.gz", home, _FLICKR[name]))
    return gzip.decompress(path.read_bytes()).decode("utf-8").rstrip("\n").split("\n")


def _reviews() -> list[str]:
    """Each tenth line of the reviews, which are in small letters with spaces between all words."""
    lines: list[str] = []
    with zipfile.ZipFile(io.BytesIO(fetch(_REVIEWS).read_bytes())) as archive:
        for name in sorted(one for one in archive.namelist() if one.endswith(".txt")):
            lines += archive.read(name).decode("latin1").split("\n")
    return [line.strip() for line in lines if line.strip()][::10]
