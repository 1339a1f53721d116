"""The tables of `docs/distill.md`, from what `distillation.py` wrote."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, on, processors, results, spread, values

TITLES = {
    "mnist": "MNIST, 5,500 of 55,000 labels",
    "ewt": "parts of speech in English-EWT, 1,250 of 12,544 sentences",
}


def distillation() -> str:
    """A row per task and way, with every seed, and how many seeds gain over the student alone."""
    found = results("distillation")
    lines = [
        "| | operations | validation error % | test error % | seeds better than alone, on test |",
        "| --- | --- | --- | --- | --- |",
    ]
    for task, title in TITLES.items():
        alone = values(found, f"{task} / alone", "test error")
        lines.append(f"| **{title}** | | | | |")
        subjects = dict.fromkeys([f"{task} / teacher", *(r["subject"] for r in found)])
        for subject in subjects:
            name, _, way = subject.partition(" / ")
            if name != task or "cache" in way:
                continue
            share = mean(values(found, subject, "operations"))
            held, test = (values(found, subject, f"{one} error") for one in ("validation", "test"))
            cells = [
                spread(one, ".2f") if len(one) > 1 else f"{one[0]:.2f}" for one in (held, test)
            ]
            gains = ""
            if way not in ("alone", "teacher"):
                better = sum(a < b for a, b in zip(test, alone, strict=True))
                gains = f"{better} of {len(test)}"
            lines.append(f"| {way} | {share:.3f} | {' | '.join(cells)} | {gains} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def students() -> str:
    """A row per width and technique, with every seed."""
    found = results("distillation")
    lines = [
        "| digits | operations | validation error % | test error % |",
        "| --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(r["subject"] for r in found if r["subject"].startswith("digits")):
        share = mean(values(found, subject, "operations"))
        cells = [
            spread(values(found, subject, f"{one} error"), ".2f") for one in ("validation", "test")
        ]
        lines.append(f"| {subject.partition(' / ')[2]} | {share:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def temperatures() -> str:
    """A row per temperature, with every seed, where labels are few and where there are all."""
    found = results("distillation")
    ways = ("alone", "temperature 1", "temperature 4", "temperature 16")
    lines = [
        "| validation error % | MNIST, a tenth of the labels | digits, all labels |",
        "| --- | --- | --- |",
    ]
    for way in ways:
        cells = [
            spread(values(found, f"{name} / {way}", "validation error"), ".2f")
            for name in ("few labels", "all labels")
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def answers() -> str:
    """The time of a step with a teacher and a cache of its answers, and without, as a ratio."""
    subject, found = "mnist / cache of answers", results("distillation")
    (size,) = values(found, subject, "bytes of an answer")
    lines = ["| time of a step | " + " | ".join(processors(found)) + " |"]
    lines.append("| --- |" + " --- |" * len(processors(found)))
    for metric in ("step taught with a cache", "step taught without"):
        cells = [
            f"{values(on(one, found), subject, metric)[0]:.1f} × a step alone"
            for one in processors(found)
        ]
        lines.append(f"| {metric.removeprefix('step ')} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"An answer takes {size:.0f} bytes in the folder."])
