"""The tables of `docs/audit.md`, from what `audit.py` wrote."""

from __future__ import annotations

from statistics import mean
from typing import Any

from rows import conditions_told, metrics, on, processors, results, spread, values

SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10", "20news": "20news"}
PRUNINGS = ("by noise rate", "by confidence", "by class", "by both")
NAME = "cifar10n worse"
WAYS = (
    "noisy labels",
    "cleaned: flags left out",
    "as many left out at random",
    "cleaned: flags relabelled",
    "clean labels",
)


def votes() -> str:
    """A row per set and way of pruning: flags and those that the votes confirm."""
    found = results("audit")
    lines = [
        "| set | pruning | confirmed wrong | cleanlab: flags | of them confirmed | ours, at as "
        "many flags: confirmed | precision | recall |",
        "| --- |" + " --- |" * 7,
    ]
    for name, title in SETS.items():
        one = metrics(found, f"votes, {name}")
        for kind in PRUNINGS:
            if f"{kind}, cleanlab: flags" not in one:
                continue
            flags, theirs = (one[f"{kind}, cleanlab: {what}"] for what in ("flags", "confirmed"))
            ours = one[f"{kind}, ours at its flags: confirmed"]
            lines.append(
                f"| {title} | {kind} | {one['confirmed wrong']:.0f} | {flags:.0f} | {theirs:.0f} | "
                f"{ours:.0f} | {100 * ours / flags:.0f} % | "
                f"{100 * ours / one['confirmed wrong']:.0f} % |"
            )
    return "\n".join(lines) + f"\n\n{conditions_told(_of(found, 'votes'))}"


def speed() -> str:
    """A row per processor and way of pruning: milliseconds, and the ratio in alternation."""
    found = _of(results("audit"), "speed")
    lines = [
        "| processor | pruning | ours, ms | cleanlab, ms | times as fast (quartiles) |",
        "| --- |" + " --- |" * 4,
    ]
    for its in processors(found):
        one = metrics(on(its, found), "speed")
        for kind in PRUNINGS[:2]:
            low, middle, high = (
                one[f"{kind}, times as fast, {part}"] for part in ("low", "median", "high")
            )
            lines.append(
                f"| {its} | {kind} | {one[f'{kind}, ours']:.1f} | {one[f'{kind}, cleanlab']:.1f} | "
                f"{middle:.2f} ({low:.2f} to {high:.2f}) |"
            )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def flags() -> str:
    """A row per way of flagging on CIFAR-10N."""
    found = results("audit")
    one = metrics(found, f"{NAME}, flags")
    lines = ["| | flags | precision | recall | F1 |", "| --- | --- | --- | --- | --- |"]
    for kind in [key.removesuffix(": flags") for key in one if key.endswith(": flags")]:
        shown = "the models disagree (baseline)" if kind == "disagreement" else kind
        precision, recall = one[f"{kind}: precision"], one[f"{kind}: recall"]
        lines.append(
            f"| {shown} | {one[f'{kind}: flags']:,.0f} | {precision:.1f} % | {recall:.1f} % | "
            f"{2 * precision * recall / (precision + recall):.1f} % |"
        )
    share = one["wrong labels"]
    lines += [
        "",
        f"{one['pictures']:,.0f} pictures, of which {share:.1f} % have a wrong label, so that "
        f"flags at random have a precision of {share:.1f} %. The models of the folds give "
        f"{one['accuracy of the folds']:.1f} % of the pictures their right class. "
        f"{conditions_told(_of(found, NAME))}",
    ]
    return "\n".join(lines)


def trained() -> str:
    """A row per way of cleaning CIFAR-10N: the test accuracy of each seed."""
    found = results("audit")
    lines = [
        "| ResNet-20, trained on | examples | test accuracy % | against noisy labels, points |",
        "| --- | --- | --- | --- |",
    ]
    before = values(found, f"{NAME}, {WAYS[0]}", "test accuracy")
    for way in WAYS:
        scores = values(found, f"{NAME}, {way}", "test accuracy")
        if not scores:
            continue
        count = values(found, f"{NAME}, {way}", "examples")[0]
        paired = [a - b for a, b in zip(scores, before, strict=False)]
        gain = "" if way == WAYS[0] else f"{mean(paired):+.2f}"
        lines.append(f"| {way} | {count:,.0f} | {spread(scores, '.2f')} | {gain} |")
    return "\n".join(lines) + f"\n\n{conditions_told(_of(found, NAME))}"


def _of(found: list[Any], subject: str) -> list[Any]:
    return [row for row in found if row["subject"].startswith(subject)]
