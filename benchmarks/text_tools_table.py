"""The tables of `docs/text-tools.md`."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, metrics, results, spread, values

from shoestring.recipes.text_sizes import LARGE, MIDDLE, SMALL, WIDE
from shoestring.recipes.text_tools import PLAIN_TAGGER

_UDPIPE = "UDPipe 1, trained on the same data in fewer passes than its own"
_TAGGERS = (
    ("English-EWT", "en_tag", "hashed pieces in a window"),
    ("English-EWT", "en_tag_100kb", "the same, in 100 KB"),
    ("English-EWT", "en_spacy", "spaCy, trained on the same data to its own end"),
    ("English-EWT", "en_udpipe_tags", _UDPIPE),
    ("Chinese-GSD", "zh_tag", "hashed pieces in a window"),
    ("Chinese-GSD", "zh_udpipe_tags", _UDPIPE),
    ("Japanese-GSD", "ja_tag", "hashed pieces in a window"),
    ("Japanese-GSD", "ja_udpipe_tags", _UDPIPE),
)
_BASELINES = (("English-EWT", "en"), ("Chinese-GSD", "zh"), ("Japanese-GSD", "ja"))
_SEGMENTERS = (
    ("Chinese-GSD", "zh_segment", "hashed characters in a window"),
    ("Chinese-GSD", "zh_udpipe_words", _UDPIPE),
    ("Chinese-GSD", "zh_pkuseg", "pkuseg, trained on the same data"),
    ("Chinese-GSD", "zh_jieba", "jieba"),
    ("Chinese-GSD", "zh_baseline", "longest match of training words"),
    ("Japanese-GSD", "ja_segment", "hashed characters in a window"),
    ("Japanese-GSD", "ja_segment_100kb", "the same, smaller"),
    ("Japanese-GSD", "ja_udpipe_words", _UDPIPE),
    ("Japanese-GSD", "ja_pkuseg", "pkuseg, trained on the same data"),
    ("Japanese-GSD", "ja_fugashi", "fugashi, unidic-lite"),
    ("Japanese-GSD", "ja_sudachi-A", "SudachiPy, mode A"),
    ("Japanese-GSD", "ja_sudachi-C", "SudachiPy, mode C"),
    ("Japanese-GSD", "ja_baseline", "longest match of training words"),
)
_NONE = "not measured"
SIZES = (100_000, 500_000, 3_000_000)
SHAPES = {"small": SMALL, "middle": MIDDLE, "wide": WIDE, "large": LARGE}
PLANNED = ((100_000, 1), (100_000, 4), (500_000, 1))
"""Sizes that the planner searched for, and how many times the minutes of coding it had."""
_OWN = ("validation score", "validation score before coding", "training")
"""What not every tool has: it is trained elsewhere, or it is not coded."""


def taggers() -> str:
    """A row for each tagger and each baseline."""
    found = results("text_tools")
    lines = [
        "| treebank | tagger | words right, test % | validation % | before coding, validation % | "
        "file, bytes | words/s, one core | training, minutes of a core |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for treebank, name, title in _TAGGERS:
        columns = (
            ("test score", ".2f"),
            ("validation score", ".2f"),
            ("validation score before coding", ".2f"),
            ("size", ",.0f"),
            ("speed", ",.0f"),
            ("training", ".1f"),
        )
        lines.append(_line(found, treebank, name, title, columns))
    for treebank, language in _BASELINES:
        columns = (("test score, most frequent tag", ".2f"),)
        name = f"{language}_baseline"
        line = _line(found, treebank, name, "each word's most frequent tag", columns)
        lines.append(f"{line[:-2]} | | | | | | |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def segmenters() -> str:
    """A row for each segmenter."""
    found = results("text_tools")
    lines = [
        "| treebank | segmenter | F1 of words, test % | validation % | "
        "before coding, validation % | bytes | characters/s, one core | "
        "training, minutes of a core |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for treebank, name, title in _SEGMENTERS:
        have = metrics(found, name)
        scores = [one for one in ("test score", "test F1", "test F1, longest match") if one in have]
        columns = (
            (scores[0] if scores else "", ".2f"),
            ("validation score", ".2f"),
            ("validation score before coding", ".2f"),
            ("size", ",.0f"),
            ("speed", ",.0f"),
            ("training", ".1f"),
        )
        lines.append(_line(found, treebank, name, title, columns))
    return "\n".join(lines)


def sizes() -> str:
    """A row for each network and each search of the planner, a column for each size."""
    found = results("text_sizes")
    lines = [
        "| network | ids of a tagger, embedding, hidden units "
        + "".join(f"| in {size // 1000:,} KB " for size in SIZES)
        + "|",
        "| --- " * (2 + len(SIZES)) + "|",
    ]
    for name, shape in SHAPES.items():
        ids = shape(PLAIN_TAGGER).step.ids
        row = [name, f"{ids:,}, {shape.width}, {shape.hidden}"]
        row += [_size_cell(metrics(found, f"{name} {size}")) for size in SIZES]
        lines.append(f"| {' | '.join(row)} |")
    for times in dict.fromkeys(times for _, times in PLANNED):
        said = "as many minutes" if times == 1 else f"{times} times the minutes"
        row = [f"middle, coded by the planner in {said}", ""]
        row += [_size_cell(metrics(found, f"planner {size}, {times} times")) for size in SIZES]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, "", conditions_told(found)])


def _size_cell(have: dict[str, float]) -> str:
    """The score of a file, its bytes and the minutes of its coding."""
    if "validation score" not in have:
        return ""
    missed = "" if have.get("within the size", 1.0) else "**not met**: "
    return (
        f"{missed}{have['validation score']:.2f} %, {have['size']:,.0f} bytes, "
        f"{have['coding']:.1f} min"
    )


def rules() -> str:
    """The F1 of the rules that cut English text into words."""
    found = values(results("text_tools"), "en_baseline", "F1 of the rules for words")
    return f"F1 {mean(found):.1f} % on the test texts of English-EWT."


def _line(found, treebank: str, name: str, title: str, columns) -> str:
    cells = [treebank, title]
    for metric, form in columns:
        numbers = values(found, name, metric) if metric in metrics(found, name) else []
        if not numbers:
            cells.append("" if metric in _OWN else _NONE)
        elif len(numbers) == 1:
            cells.append(f"{numbers[0]:{form}}")
        else:
            cells.append(spread(numbers, form))
    return f"| {' | '.join(cells)} |"
