"""The tables of languages in `docs/text-tools.md`."""

from __future__ import annotations

from statistics import mean

from language_texts import test_titles
from rows import conditions_told, metrics, on, processors, results, spread, values

_SUBJECTS = {
    "udhr_100kb": "in 100 KB",
    "udhr": "the larger",
    "declaration_alone": "in 100 KB, from the declaration alone",
    "naive_bayes": "naive Bayes, the same n-grams and texts",
}
_ROWS = {
    "UDHR, the label": ("test labels right", ".1f"),
    "UDHR, the language": ("test languages right", ".1f"),
    "UDHR, mean score": ("mean score", ".1f"),
    "other text, the language": ("other text", ".1f"),
    "other text, mean score": ("other text, mean score", ".1f"),
    "lines/s, base install": ("speed", ",.0f"),
    "lines/s, with numba": ("speed with numba", ",.0f"),
    "of its time ONNX Runtime's, %": ("network's share of it", ".0f"),
}
_SHORT, _LENGTHS = (5, 10), (20, 50, 100)
_TOOLS = {
    "fasttext": "fastText, lid.176.ftz",
    "cld3": "CLD3",
    "cld2": "CLD2",
    "py3langid": "py3langid",
    "langid": "langid",
    "lingua": "lingua",
}
_KINDS = {
    "UDHR": "the declaration",
    "other text": "other text",
    "examples of spaCy": "examples of spaCy",
}
_ANSWERS = (
    "right",
    "right of ours",
    "right of ours among them",
    "right of the larger among them",
)


def languages() -> str:
    """A row for each file and each kind of number on the declaration."""
    found = results("language_identification")
    lines = [
        "| file | bytes | right in % | 5 characters | 10 | 20 | 50 | 100 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in _SUBJECTS.items():
        have = metrics(found, name)
        if "size" not in have:
            continue
        size = _told(values(found, name, "size"), ",.0f")
        for text, (metric, form) in _ROWS.items():
            full = [f"{metric}, {length} characters" for length in (*_SHORT, *_LENGTHS)]
            if not have.keys() & set(full):
                continue
            cells = [_told(values(found, name, one), form) if one in have else "" for one in full]
            lines.append(f"| {' | '.join([title, size, text, *cells])} |")
            title = size = ""
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def other_texts() -> str:
    """A row for each kind of other text: 20, 50 and 100 characters in each cell."""
    found = results("language_identification")
    heads = {
        "from the declaration alone": ("declaration_alone", ""),
        "in 100 KB": ("udhr_100kb", ""),
        "16 languages expected": ("udhr_100kb", "16 expected, "),
        "the larger": ("udhr", ""),
    }
    heads = {title: one for title, one in heads.items() if "size" in metrics(found, one[0])}
    lines = [
        f"| text | training saw | {' | '.join(heads)} |",
        f"| --- | --- |{' --- |' * len(heads)}",
    ]
    for title, seen in test_titles():
        cells = [_lengths(found, name, f"{prefix}{title}") for name, prefix in heads.values()]
        lines.append(f"| {' | '.join([title, seen, *cells])} |")
    return "\n".join(lines)


def beside() -> str:
    """A row for each tool and kind of text: 20, 50 and 100 characters in each cell."""
    found = results("language_peers")
    ours = metrics(found, "ours")
    lines = [
        "| tool | bytes | languages, ours too | text | right, % | ours | ours among these | the "
        "larger among these |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in _TOOLS.items():
        have = metrics(found, name)
        if "size" not in have:
            continue
        told = [title, f"{have['size']:,.0f}"]
        for kind, text in _KINDS.items():
            full = [one for one in _sets(kind) if f"{one}, right" in have]
            if full:
                cells = [
                    " / ".join(f"{have[f'{one}, {what}']:.1f}" for one in full)
                    if f"{full[0]}, {what}" in have
                    else ""
                    for what in _ANSWERS
                ]
                shared = f"{have[f'{full[0]}, languages']:.0f}"
                lines.append(f"| {' | '.join([*told, shared, text, *cells])} |")
                told = ["", ""]
    lines += ["", *_speeds(found, ours), "", conditions_told(found)]
    return "\n".join(lines)


def _sets(kind: str) -> list[str]:
    """The names of the texts of a kind."""
    if kind == "examples of spaCy":
        return [kind]
    return [f"{kind}, {length} characters" for length in _LENGTHS]


def _speeds(found: list[dict], ours: dict[str, float]) -> list[str]:
    """Lines a second of all tools, for each processor, and the bytes of ours."""
    told = []
    for processor in processors(found):
        here = on(processor, found)
        speeds = [
            f"{title} {metrics(here, name)['speed']:,.0f}"
            for name, title in _TOOLS.items()
            if "speed" in metrics(here, name)
        ]
        mine = metrics(here, "ours")
        told.append(
            f"Lines of 50 characters a second of one core ({processor}): {'; '.join(speeds)}; ours "
            f"{mine['speed']:,.0f} in one call without numba, "
            f"{mine['speed, one at a time']:,.0f} one at a time."
        )
    told.append(
        f"Our file has {ours['size']:,.0f} bytes; numpy, ONNX Runtime and the coder, which it "
        f"needs too, have {ours['base install beside it'] / 1e6:,.0f} MB."
    )
    return told


def _lengths(found: list[dict], name: str, metric: str) -> str:
    """The means over seeds, for the lengths that were measured."""
    have = metrics(found, name)
    full = [f"{metric}, {length} characters" for length in _LENGTHS]
    return " / ".join(f"{mean(values(found, name, one)):.1f}" for one in full if one in have)


def _told(numbers: list[float], form: str) -> str:
    """The mean and the values, or the only one."""
    return spread(numbers, form) if len(numbers) > 1 else f"{numbers[0]:{form}}"
