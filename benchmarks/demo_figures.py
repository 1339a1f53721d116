"""What the demo in `web/demo` says of its two networks, from the results of `rate_lenet.py` and
`baselines.py`, and the tables of `browser_demo.py` and `report_page.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from rows import FILES, conditions_told, metrics, on, processors, results, values

SMALL = FILES / "lenet5_rate_5e-05.shoe"
LARGE = FILES / "baseline_lenet5.shoe"
_PRICE, _THREE_SEEDS = "lenet5, price 5e-05", "lenet5, price 3e-05"
_FROM = "lenet5, uncompressed"


def headline() -> str:
    """What is saved and what is lost, of the very file that the page runs.

    The file's row is that of a seed; the network that it was made from has the same seed.
    """
    found = results("rate_lenet")
    seed = _seed(found, _PRICE, "size", SMALL)
    before, after = (_of(found, subject, "size", seed) for subject in (_FROM, _PRICE))
    error, original = (_of(found, subject, "test error", seed) for subject in (_PRICE, _FROM))
    return (
        f"<h1><strong>{after:,.0f} bytes</strong> recognise your digits</h1>\n"
        f'<p class="trade"><strong>{before / after:,.0f} times smaller</strong> than the same '
        f"network in float32, which takes {before:,.0f} bytes. Its error on MNIST is "
        f"{error:.2f} % instead of {original:.2f} %.</p>\n"
        f'<div class="scale">\n'
        f'<svg viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="before" width="1000" height="8"/></svg>\n'
        f'<svg viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="after" width="{1000 * after / before:.2f}" height="8"/></svg>\n'
        f'<p><span class="after">{after:,.0f} bytes</span>'
        f"<span>{before:,.0f} bytes, drawn to the same scale</span></p>\n"
        "</div>"
    )


def _seed(found: Sequence[Any], subject: str, metric: str, file: Path) -> int:
    """The seed that made a file, which is known by its size."""
    sizes = (row for row in found if (row["subject"], row["metric"]) == (subject, metric))
    (seed,) = {row["seed"] for row in sizes if row["value"] == file.stat().st_size}
    return seed


def _of(found: Sequence[Any], subject: str, metric: str, seed: int) -> float:
    """A metric of a seed."""
    key = (subject, metric, seed)
    (value,) = (
        row["value"] for row in found if (row["subject"], row["metric"], row["seed"]) == key
    )
    return value


def small_error() -> str:
    """The test error of the small file."""
    found = results("rate_lenet")
    return f"{_of(found, _PRICE, 'test error', _seed(found, _PRICE, 'size', SMALL)):.2f} %"


def large_error() -> str:
    """The test error of the uncompressed file that is committed: the median on validation."""
    found = results("baselines")
    return f"{_of(found, 'lenet5', 'test error', _seed(found, 'lenet5', 'file', LARGE)):.2f} %"


def large_bytes() -> str:
    """The bytes of the parameters of the uncompressed network as float32."""
    return f"{4 * median(values(results('baselines'), 'lenet5', 'parameters')):,.0f} bytes"


def three_seeds() -> str:
    """What three seeds save and lose, at the price next to that of the small file."""
    found = results("rate_lenet")
    sizes, errors, before = (
        values(found, subject, metric)
        for subject, metric in (
            (_THREE_SEEDS, "size"),
            (_THREE_SEEDS, "test error"),
            (_FROM, "test error"),
        )
    )
    ratio = mean(values(found, _THREE_SEEDS, "ratio"))
    return (
        f"<p>This file is one training run. Three runs at a gentler price of a bit give "
        f"{mean(sizes):,.0f} bytes on average, {ratio:,.0f} times smaller, with an error of "
        f"{mean(errors):.2f} % instead of {mean(before):.2f} %.</p>"
    )


def report_page() -> str:
    """A row per number of trials and processor: the bytes of a page, and how fast it answers."""
    found = results("report_page")
    lines = [
        "| trials of the search | processor | page, MB | opens, ms | filters the trials, ms "
        "| other axes, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for where in processors(found):
        for subject in dict.fromkeys(row["subject"] for row in found):
            one = metrics(on(where, found), subject)
            trials, page = int(subject.split()[0]), one["page"] / 1e6
            times = (f"{one[act]:,.0f}" for act in ("open", "filter", "other axes"))
            lines.append(f"| {trials:,} | {where} | {page:.2f} | {' | '.join(times)} |")
    return "\n".join([*lines, "", conditions_told(found)])


def in_browser() -> str:
    """A row per way of serving the page and processor: times in Chromium, and bytes."""
    found = results("browser_demo")
    size = metrics(found, "size")
    lines = [
        "| the page | processor | first answer, ms (the slowest) "
        "| small network: decoding, a run, ms | uncompressed: decoding, a run, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    ways = {"built": "built, five files", "sources": "its sources, `shoestring demo`"}
    for where in processors(found):
        for subject, way in ways.items():
            one = metrics(on(where, found), subject)
            slowest = next(one[metric] for metric in one if "slowest" in metric)
            times = (
                f"{one[f'{network} network, decoded']:.3g}, {one[f'{network} network, run']:.2g}"
                for network in ("small", "large")
            )
            lines.append(
                f"| {way} | {where} | {one['first answer']:,.0f} ({slowest:,.0f}) | "
                f"{' | '.join(times)} |"
            )
    return "\n".join(
        [
            *lines,
            "",
            f"The built page takes {size['page, gzipped']:,.0f} bytes gzipped: its text and style, "
            f"the decoder, and the runtime. The networks come on top: {size['small network']:,.0f} "
            f"and {size['uncompressed network']:,.0f} bytes.",
            "",
            conditions_told(found),
        ]
    )
