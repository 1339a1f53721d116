"""The tables of `docs/replace.md`, from what `replace.py` wrote."""

from __future__ import annotations

from rows import conditions_told, processors, results, spread, values

TITLES = {
    "text_encoder": "Text encoder, SST-2",
    "resnet20": "ResNet-20, CIFAR-10 (JPEG copy)",
    "vgg": "Small VGG, CIFAR-10 (JPEG copy)",
    "lenet5": "LeNet-5, MNIST",
}
NAMES = {
    "Blocks at Lightest(), 0.002": "thinned by `Blocks`, the lightest first",
    "Channels": "thinned by `Channels`",
    "Student": "`Student(Narrower(...))`",
}


def replaced() -> str:
    """A row per network, share and way, with every seed."""
    found = results("replace")
    lines = [
        f"| | time to what came in ({', '.join(processors(found))}) | file, bytes | validation "
        "score % | test score % | passes | minutes of a core |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    subjects = list(dict.fromkeys(row["subject"] for row in found))
    for network, title in TITLES.items():
        own = [one for one in subjects if one.startswith(f"{network} / ")]
        if not own:
            continue
        lines.append(f"| **{title}** | | | | | | |")
        own.sort(key=_order)
        lines += [_line(found, subject) for subject in own]
    return "\n".join([*lines, "", conditions_told(found)])


def _order(subject: str) -> tuple[float, bool, str]:
    """What came in first, then from slow to fast; new networks before what was thinned."""
    _, share, *way = subject.split(" / ")
    size = float(share.removesuffix("%")) if way else 101.0
    return -size, not (way and way[0].startswith("Replace")), subject


def _line(found: list[dict], subject: str) -> str:
    _, share, *way = subject.split(" / ")
    family = way[0].removeprefix("Replace by ") if way else ""
    kind, _, untaught = family.partition(" without ")
    name = NAMES.get(
        family, f"a new network, `{kind}`{f', without {untaught}' if untaught else ''}"
    )
    title = f"{share}: {name}" if way else share
    if values(found, subject, "nothing is fast enough"):
        return f"| {title} | no setting is fast enough | | | | | |"
    metrics = ("milliseconds ratio", "file", "validation score", "test score", "passes", "training")
    forms = (".3g", ",.0f", ".2f", ".2f", ".1f", ".1f")
    cells = [_cell(values(found, subject, one), f) for one, f in zip(metrics, forms, strict=True)]
    return f"| {title} | {' | '.join(cells)} |"


def _cell(numbers: list[float], form: str) -> str:
    if not numbers:
        return ""
    return spread(numbers, form) if len(numbers) > 1 else f"{numbers[0]:{form}}"


def planned() -> str:
    """A row per job of the planner, with new networks and without."""
    found = results("replace")
    if not any(row["subject"].startswith("planner / ") for row in found):
        return "Not measured yet."
    lines = [
        "| job and limits | new networks | time to what came in | validation drop, points | test "
        "score % | budget | minutes of a core | delivered by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for subject in dict.fromkeys(row["subject"] for row in found):
        if not subject.startswith("planner / "):
            continue
        _, job, way = subject.split(" / ")
        one = {row["metric"]: row["value"] for row in found if row["subject"] == subject}
        by = next(name for name in one if name.startswith("technique: "))
        tried = "one was trained" if one["a new network was trained"] else "none was trained"
        cells = [
            tried if way.startswith("with new") else "not offered",
            f"{one['milliseconds ratio']:.2f}",
            f"{one['validation drop']:.2f}",
            f"{one['test score']:.2f}",
            "kept" if one["met"] else "not kept",
            f"{one['minutes']:.1f}",
            by.removeprefix("technique: "),
        ]
        lines.append(f"| {job} | {' | '.join(cells)} |")
    return "\n".join(lines)
