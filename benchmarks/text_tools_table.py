"""The tables of `docs/text-tools.md`."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, metrics, results, spread, values

_TAGGERS = (
    ("English-EWT", "en_tag", "hashed pieces in a window"),
    ("English-EWT", "en_tag_100kb", "the same, in 100 KB"),
    ("English-EWT", "en_spacy", "spaCy, trained on the same data, stopped early (two passes)"),
    ("Chinese-GSD", "zh_tag", "hashed pieces in a window"),
    ("Japanese-GSD", "ja_tag", "hashed pieces in a window"),
)
_BASELINES = (("English-EWT", "en"), ("Chinese-GSD", "zh"), ("Japanese-GSD", "ja"))
_SEGMENTERS = (
    ("Chinese-GSD", "zh_segment", "hashed characters in a window"),
    ("Chinese-GSD", "zh_jieba", "jieba"),
    ("Chinese-GSD", "zh_baseline", "longest match of training words"),
    ("Japanese-GSD", "ja_segment", "hashed characters in a window"),
    ("Japanese-GSD", "ja_segment_100kb", "the same, smaller"),
    ("Japanese-GSD", "ja_fugashi", "fugashi, unidic-lite"),
    ("Japanese-GSD", "ja_sudachi-A", "SudachiPy, mode A"),
    ("Japanese-GSD", "ja_sudachi-C", "SudachiPy, mode C"),
    ("Japanese-GSD", "ja_baseline", "longest match of training words"),
)
_NONE = "not measured"


def taggers() -> str:
    """A row for each tagger and each baseline."""
    found = results("text_tools")
    lines = [
        "| treebank | tagger | words right, test % | validation % | before coding, validation % | "
        "file, bytes | words/s, one core |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for treebank, name, title in _TAGGERS:
        columns = (
            ("test score", ".2f"),
            ("validation score", ".2f"),
            ("validation score before coding", ".2f"),
            ("size", ",.0f"),
            ("speed", ",.0f"),
        )
        lines.append(_line(found, treebank, name, title, columns))
    for treebank, language in _BASELINES:
        columns = (("test score, most frequent tag", ".2f"),)
        name = f"{language}_baseline"
        line = _line(found, treebank, name, "each word's most frequent tag", columns)
        lines.append(f"{line[:-2]} | | | | | |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def segmenters() -> str:
    """A row for each segmenter."""
    found = results("text_tools")
    lines = [
        "| treebank | segmenter | F1 of words, test % | bytes | characters/s, one core |",
        "| --- | --- | --- | --- | --- |",
    ]
    for treebank, name, title in _SEGMENTERS:
        have = metrics(found, name)
        scores = [one for one in ("test score", "test F1", "test F1, longest match") if one in have]
        columns = ((scores[0] if scores else "", ".2f"), ("size", ",.0f"), ("speed", ",.0f"))
        lines.append(_line(found, treebank, name, title, columns))
    return "\n".join(lines)


def rules() -> str:
    """The F1 of the rules that cut English text into words."""
    found = values(results("text_tools"), "en_baseline", "F1 of the rules for words")
    return f"F1 {mean(found):.1f} % on the test texts of English-EWT."


def _line(found, treebank: str, name: str, title: str, columns) -> str:
    cells = [treebank, title]
    for metric, form in columns:
        numbers = values(found, name, metric) if metric in metrics(found, name) else []
        if not numbers:
            cells.append(_NONE)
        elif len(numbers) == 1:
            cells.append(f"{numbers[0]:{form}}")
        else:
            cells.append(spread(numbers, form))
    return f"| {' | '.join(cells)} |"
