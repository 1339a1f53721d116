"""The tables of `docs/byte-model.md`: bits per byte beside compressors, and simulated typing."""

from __future__ import annotations

from statistics import mean

from rows import FILES, conditions_told, metrics, processors, results, spread, values

_CODERS = {"PPMd": "PPMd", "zstd-22": "zstd, level 22", "xz": "xz"}
_LANGUAGES = {"en": "English", "zh": "Chinese"}


def bits() -> str:
    """A row for each way to code the test lines: its bytes and what a byte of the lines takes."""
    found = results("byte_model")
    lines = [
        "| | bytes | English, bits per byte | with its bytes, English | Chinese, bits per byte | "
        "with its bytes, Chinese |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    size = values(found, "complete", "size")
    cells = ["**our file**", _told(size, ",.0f")]
    for language in _LANGUAGES:
        coded = values(found, "coded", f"coded test lines, {language}")
        cells.append(_told(values(found, "complete", f"test bits per byte, {language}"), ".3f"))
        cells.append(f"{mean(size) + mean(coded):,.0f}")
    lines.append(f"| {' | '.join(cells)} |")
    wholes: dict[str, list[float]] = {}
    for name, title in _CODERS.items():
        have = metrics(found, name)
        if not have:
            lines.append(f"| {title} | not measured | | | | |")
            continue
        after = {
            "as many bytes of the same text": "",
            "the same of its language alone": " after its own language",
            "nothing": " after nothing",
        }
        for what, metric in after.items():
            cells = [f"{title}, after {what}", f"{have['size']:,.0f}" if what != "nothing" else "0"]
            wholes[cells[0]] = []
            for language in _LANGUAGES:
                per_byte = have[f"test bits per byte{metric}, {language}"]
                whole = values(found, "coded", f"test lines, {language}")[0]
                spent = 0 if what == "nothing" else have["size"]
                wholes[cells[0]].append(spent + per_byte * whole / 8)
                cells += [f"{per_byte:.3f}", f"{wholes[cells[0]][-1]:,.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
    whole = ", ".join(
        f"{title} {values(found, 'coded', f'test lines, {language}')[0]:,.0f} bytes"
        for language, title in _LANGUAGES.items()
    )
    committed = (FILES / "complete.shoe").stat().st_size
    told = f"The test lines: {whole}. The file in the repository has {committed:,} bytes."
    fewest = {min(wholes, key=lambda one: wholes[one][place]) for place in range(len(_LANGUAGES))}
    if len(fewest) == 1:
        told += (
            f" **{fewest.pop()}, has the fewest bytes in all**, in both languages: for so few "
            "lines neither a model nor text is worth shipping."
        )
    return "\n".join(lines) + f"\n\n{told}\n\n{conditions_told(found)}"


def alone() -> str:
    """A row for each way to code test lines, where each line is coded alone."""
    found = results("byte_model")
    heads = [
        f"{title}{after}"
        for title in _LANGUAGES.values()
        for after in ("", ", after its own language")
    ]
    lines = [f"| each line alone, bits per byte | {' | '.join(heads)} |", "| --- |" + " --- |" * 4]
    cells = ["**our file**"]
    for language in _LANGUAGES:
        cells += [
            _told(values(found, "lines alone", f"test bits per byte, {language}"), ".3f"),
            "not made",
        ]
    lines.append(f"| {' | '.join(cells)} |")
    for name, title in _CODERS.items():
        have = metrics(found, f"{name}, lines alone")
        cells = [f"{title}, after as many bytes of text"]
        for language in _LANGUAGES:
            for after in ("", " after its own language"):
                number = have.get(f"test bits per byte{after}, {language}")
                cells.append("not measured" if number is None else f"{number:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    have = metrics(found, "PPMd, lines alone")
    told = ", ".join(
        f"{have[f'lines, {language}']:,.0f} lines of {title} "
        f"({have[f'bytes of the lines, {language}']:,.0f} bytes)"
        for language, title in _LANGUAGES.items()
    )
    return "\n".join(lines) + f"\n\nThe same lines for all: {told}, drawn from the test lines."


def keys() -> str:
    """A row for each language and number of completions in sight."""
    found = results("byte_model")
    lines = [
        "| simulated typing | in sight | characters not typed, our file % | prefix tree % | "
        "keys saved, our file % | prefix tree % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for language, title in _LANGUAGES.items():
        for shown in (1, 3):
            cells = [title, "the first" if shown == 1 else "three"]
            for metric in ("characters not typed", "keys saved"):
                full = f"{metric}, {language}, {shown} in sight, simulated"
                for subject in ("keys", "phrases"):
                    numbers = values(found, subject, full)
                    cells.append(_told(numbers, ".1f") if numbers else "not measured")
            lines.append(f"| {' | '.join(cells)} |")
    tree = metrics(found, "phrases")
    told = f"The prefix tree has {tree['phrases']:,.0f} phrases in {tree['size']:,.0f} bytes."
    for processor in processors(found):
        times = [
            row["value"]
            for row in found
            if row["metric"] == "a completion" and row.get("processor") == processor
        ]
        told += (
            f" Three completions of a text take {mean(times):.1f} ms of the processor in Python "
            f"({processor}, one core), while other programs ran."
        )
    return "\n".join(lines) + f"\n\n{told}"


def page() -> str:
    """What the search box takes, in words."""
    found = results("byte_model")
    lines = [f"The built page has {values(found, 'page', 'size')[0]:,.0f} bytes."]
    for processor in processors(found):
        one = {
            row["metric"]: row["value"]
            for row in found
            if row["subject"] == "page" and row.get("processor") == processor
        }
        if one:
            lines.append(
                f"On {processor}, in Chromium, while other programs ran, it is ready in "
                f"{one['ready']:,.0f} ms; an answer takes {one['an answer']:.1f} ms, and 19 of 20 "
                f"take {one['an answer, of 19 in 20 at most']:.1f} ms at most (by the clock, five "
                "completions each)."
            )
    return " ".join(lines)


def _told(numbers: list[float], form: str) -> str:
    """The mean and the values, or the only one."""
    return spread(numbers, form) if len(numbers) > 1 else f"{numbers[0]:{form}}"
