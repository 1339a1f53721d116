"""The tables and the chart of `docs/rate.md`, from the results of `rate_lenet.py`, `rate_cifar.py`
and `coding.py`.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean

from recipe_tables import beside_published
from rows import conditions_told, results

from shoestring.recipes import recipe

HERE = Path(__file__).parent
TITLES = {
    "lenet300": "LeNet-300-100",
    "lenet5": "LeNet-5",
    "resnet20": "ResNet-20",
    "vgg": "small VGG",
}
# (bytes, test error %), weights only: Oktay et al. 2020 (EPR), Havasi et al. 2019 (MIRACLE,
# second-hand), Han et al. 2015
PUBLISHED = {
    "lenet300": {"EPR": (8560, 1.9), "Deep Compression": (27_000, 1.58)},
    "lenet5": {"EPR": (2840, 1.0), "MIRACLE": (1520, 0.96), "Deep Compression": (44_000, 0.74)},
}


def points(benchmark: str) -> dict[str, list[tuple[str, dict[str, list[float]]]]]:
    """Of each network (point, its metrics with a value for each seed), the largest file first."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in sorted(results(benchmark), key=lambda row: row["seed"] or 0):
        name, _, point = row["subject"].partition(", ")
        if point:
            found.setdefault(name, {}).setdefault(point, {}).setdefault(row["metric"], []).append(
                row["value"]
            )
    return {
        name: sorted(one.items(), key=lambda item: -mean(item[1]["size"]))
        for name, one in found.items()
    }


def _each(numbers: list[float], form: str) -> str:
    several = (
        f" ({', '.join(f'{n:{form}}' for n in numbers)})" if len(numbers) > 1 else " (one seed)"
    )
    return f"{mean(numbers):{form}}{several}"


def rate(benchmark: str) -> str:
    """A row per point: whole files, every seed; beneath each network what was published."""
    lines = [
        "| network | | bytes | ratio | validation error % | test error % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in points(benchmark).items():
        for point, one in found:
            lines.append(
                f"| {TITLES[name]} | {point} | {_each(one['size'], ',.0f')} | "
                f"{mean(one['ratio']):,.0f}× | {_each(one['validation error'], '.2f')} | "
                f"{_each(one['test error'], '.2f')} |"
            )
        for way, (size, error) in PUBLISHED.get(name, {}).items():
            lines.append(
                f"| {TITLES[name]} | *published: {way}, weights only* | {size:,} | | | {error} |"
            )
    told = beside_published(recipe(benchmark))
    return "\n".join([*lines, "", told, "", conditions_told(results(benchmark))])


def short() -> str:
    """For the README: of each LeNet, the files."""
    lines = [
        "| network | file | of 4 bytes a parameter | test error % | published, weights only |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in points("rate_lenet").items():
        published = "; ".join(
            f"{way} {size:,} B at {error} %" for way, (size, error) in PUBLISHED[name].items()
        )
        for point, one in found:
            size = f"{mean(one['size']):,.0f} B" + ("" if len(one["size"]) > 1 else ", one seed")
            lines.append(
                f"| {TITLES[name]}, {point} | {size} | {mean(one['ratio']):,.0f}× | "
                f"{mean(one['test error']):.2f} | {published if point == 'uncompressed' else ''} |"
            )
    return "\n".join([*lines, "", beside_published(recipe("rate_lenet"))])


def chart() -> str:
    """Size against error of the LeNets, an SVG: ours as dots joined by lines (means of seeds.

    Hollow: one seed), published as crosses.
    """
    width, height, left, bottom = 760, 360, 60, 44
    low, high, top_error = math.log10(800), math.log10(60_000), 2.2
    colours = {"lenet300": "#c2571a", "lenet5": "#1a5fb4"}

    def place(size: float, error: float) -> tuple[float, float]:
        x = left + (math.log10(size) - low) / (high - low) * (width - left - 150)
        return x, height - bottom - (error - 0.5) / (top_error - 0.5) * (height - bottom - 30)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{left}" y="18" font-size="14">MNIST: test error against size. Dots: our files '
        "(hollow: one seed). Crosses: published, weights only</text>",
    ]
    for size in (1000, 2000, 5000, 10_000, 20_000, 50_000):
        x, y = place(size, 0.5)
        out.append(f'<path d="M{x:.0f} {y:.0f}V30" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{x:.0f}" y="{y + 16:.0f}" text-anchor="middle" fill="#444">{size / 1000:g} '
            "KB</text>"
        )
    for error in (0.5, 1.0, 1.5, 2.0):
        x, y = place(800, error)
        out.append(f'<path d="M{x:.0f} {y:.0f}H{width - 150}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{x - 8:.0f}" y="{y + 4:.0f}" text-anchor="end" fill="#444">{error:g} '
            "%</text>"
        )
    for name, found in points("rate_lenet").items():
        colour = colours[name]
        dots = [
            place(mean(one["size"]), mean(one["test error"]))
            for point, one in found
            if point != "uncompressed"
        ]
        out.append(
            f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in dots)}" fill="none" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
        several = [len(one["size"]) > 1 for point, one in found if point != "uncompressed"]
        for (x, y), solid in zip(dots, several, strict=True):
            out.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour if solid else "#fff"}" '
                f'stroke="{colour}"/>'
            )
        x, y = dots[0]
        out.append(
            f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{TITLES[name]}, ours</text>'
        )
        for way, (size, error) in PUBLISHED[name].items():
            x, y = place(size, error)
            out.append(
                f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10" stroke="{colour}" '
                'stroke-width="2"/>'
            )
            out.append(f'<text x="{x + 9:.1f}" y="{y + 4:.1f}" fill="{colour}">{way}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"
