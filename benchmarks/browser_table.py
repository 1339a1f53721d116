"""The tables of `web/README.md`, from the results of `browser.py`.

Times have columns for each processor seen. Results from before quartiles were kept have none, nor
times without WebAssembly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rows import conditions_told, metrics, on, processors, results

PLACES = ("Chromium", "Node")
QUARTILES = ("lower quartile", "upper quartile")


def browser() -> str:
    """A row per file: agreement, milliseconds beside onnxruntime-web, and bytes."""
    found = results("browser")
    seen = processors(found)
    heads = ["file", "difference", "bytes", "bytes as ONNX"]
    for one in seen:
        for place in PLACES:
            heads += [f"{place}, ms ({one})", f"onnxruntime-web ({one})", f"ratio ({one})"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for subject in _files(found):
        whole = metrics(found, subject)
        cells = [
            f"`{subject}`",
            f"{whole['largest difference']:.0e}",
            f"{whole['bytes, .shoe']:,.0f}",
            f"{whole['bytes, ONNX']:,.0f}",
        ]
        for one in seen:
            timed = metrics(on(one, found), subject)
            cells += [cell for place in PLACES for cell in _times(timed, place)]
        lines.append(f"| {' | '.join(cells)} |")
    told = [*(_faster(found, one) for one in seen), *(_plain(found, one) for one in seen)]
    told += [_account(found, one) for one in seen] + [_code(found), conditions_told(found)]
    return "\n".join(lines) + "\n\n" + " ".join(one for one in told if one)


def _files(found: Sequence[Any]) -> list[str]:
    """The files, in the order of their rows."""
    return list(dict.fromkeys(row["subject"] for row in found if row["subject"] != "code"))


def _times(timed: dict[str, float], place: str) -> list[str]:
    """The cells of a place; empty where nothing was timed on that processor."""
    if f"{place}, ours" not in timed:
        return [""] * 3
    ours, theirs = timed[f"{place}, ours"], timed[f"{place}, onnxruntime-web"]
    ratio = f"{ours / theirs:.2f}"
    if quartiles := _quartiles(timed, place):
        ratio += f" ({quartiles[0]:.2f} to {quartiles[1]:.2f})"
    return [f"{ours:.2g}", f"{theirs:.2g}", ratio]


def _quartiles(timed: dict[str, float], place: str) -> list[float]:
    """The quartiles of the rounds' ratios; none where they were not kept."""
    names = [f"{place}, ratio of a round, {one}" for one in QUARTILES]
    return [timed[name] for name in names if name in timed]


def _faster(found: Sequence[Any], processor: str) -> str:
    """Which files are faster: by the fastest rounds, and by three rounds of four."""
    told = []
    for place in PLACES:
        slower, count = [], 0
        for subject in _files(found):
            timed = metrics(on(processor, found), subject)
            if f"{place}, ours" not in timed:
                continue
            count += 1
            ratio = timed[f"{place}, ours"] / timed[f"{place}, onnxruntime-web"]
            if max([ratio, *_quartiles(timed, place)]) >= 1:
                slower.append(f"`{subject}`")
        if count:
            others = f" (not {', '.join(slower)})" if slower else ""
            told.append(f"{count - len(slower)} of {count} files in {place}{others}")
    if not told:
        return ""
    return f"Faster than onnxruntime-web were {' and '.join(told)} ({processor})."


def _plain(found: Sequence[Any], processor: str) -> str:
    """How much slower the kernels in plain JavaScript are."""
    several = [metrics(on(processor, found), subject) for subject in _files(found)]
    name = "Node, ours without WebAssembly"
    ratios = [timed[name] / timed["Node, ours"] for timed in several if name in timed]
    if not ratios:
        return ""
    return (
        f"Without WebAssembly a run in Node took {min(ratios):.0f} to {max(ratios):.0f} times as "
        f"long ({processor})."
    )


def _account(found: Sequence[Any], processor: str) -> str:
    """How the account of work compares with the clock."""
    several = [metrics(on(processor, found), subject) for subject in _files(found)]
    ratios = [
        timed["account of a run"] / timed["Node, ours"]
        for timed in several
        if "account of a run" in timed and "Node, ours" in timed
    ]
    if not ratios:
        return ""
    return (
        f"The account of work said {min(ratios):.2g} to {max(ratios):.2g} times what a run in Node "
        f"took ({processor})."
    )


def _code(found: Sequence[Any]) -> str:
    """The bytes of code."""
    code = metrics(found, "code")
    ours, theirs = (code[f"bytes of code, {one}"] for one in ("ours", "onnxruntime-web"))
    return (
        f"A page fetches {ours:,.0f} bytes of code for `shoestring-web`, decoder and kernels "
        f"included, and {theirs:,.0f} for onnxruntime-web, after gzip."
    )
