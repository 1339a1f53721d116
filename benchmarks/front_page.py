"""The picture and the three results of the README, from the results of `planner.py`,
`planner_peers.py`, `rate_lenet.py` and `quantised.py`.
"""

from __future__ import annotations

import math
from statistics import mean

import planner_table
import quantised_table
import rate_tables
from rows import on, processors, results

JOBS = {
    ("lenet5", "size<=2.4KB, drop<=0.1%"): "#c2571a",
    ("text_encoder", "size<=400KB, drop<=1%"): "#7a3fb0",
    ("tagger", "size<=80KB, drop<=0.5%"): "#1a5fb4",
    ("stranger", "size<=10KB, drop<=1%"): "#26806a",
    ("adult", "size<=2KB, drop<=0.5%"): "#a3305f",
    ("resnet20", "size<=30KB, drop<=2%"): "#6b6b1f",
}
"""The budgets on size and score that the picture shows, each with its colour."""
TOOLS = {
    "NNCF, accuracy control": "M-5 -5h10v10h-10z",
    "Olive, accuracy goal": "M0 -6l6 11h-12z",
    "model-compression-toolkit": "M-5 -5l10 10m0 -10l-10 10",
    "plain tools": "M0 -6l6 6l-6 6l-6 -6z",
}
"""Of each other tool the mark, drawn around its place."""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 820, 470, 62, 58, 52, 172
TIMES, LOST = (2, 1200), (-0.6, 3.5)


def three_results() -> str:
    """Three rows: the smallest file, the fastest, and what a single minute comes to."""
    small = dict(rate_tables.points("rate_lenet")["lenet5"])
    before, after = small["uncompressed"], small["price 3e-05"]
    found = results("quantised")
    quick = quantised_table.by_tool("text_encoder", found)
    plain, ours = quick["float32"], quick["ours"]
    speeds = "; ".join(
        f"{quantised_table.both(quantised_table.by_tool('text_encoder', on(one, found))['ours'])} "
        f"times as fast on {one}"
        for one in processors(found)
    )
    minute = _measured()[("mobilenet", planner_table.FIRST_MINUTE, planner_table.OURS)]
    smaller = (
        f"| as small as it goes | LeNet-5, MNIST | {mean(before['size']):,.0f} B to "
        f"{mean(after['size']):,.0f} B, {mean(after['ratio']):,.0f} times smaller | error "
        f"{mean(before['test error']):.2f} % to {mean(after['test error']):.2f} % | "
        "[rate](docs/rate.md) |"
    )
    faster = (
        f"| as fast as it goes | text encoder, SST-2 | {speeds} "
        f"(1 and 32 examples a run), {plain['file'] / ours['file']:.1f} times smaller | accuracy "
        f"{plain['test score']:.2f} % to {ours['test score']:.2f} % | [faster](docs/faster.md) |"
    )
    one_minute = (
        f"| in one minute, no technique named | MobileNet, CIFAR-10 | {minute['came in']:,.0f} B "
        f"to {minute['file']:,.0f} B, {minute['came in'] / minute['file']:.1f} times smaller, on "
        f"{_where()} | "
        f"accuracy {minute['test drop']:.2f} points lower | [planner](docs/planner-results.md) |"
    )
    head = [
        "| | network | what is saved | what is lost (test data) | how |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, smaller, faster, one_minute])


def _where() -> str:
    """The processor of the planner's runs that are shown: of several the first, by name."""
    return processors(planner_table._found())[0]


def _measured() -> dict[tuple[str, str, str], planner_table.Metrics]:
    """(job, budget, tool) -> metrics of the first seed, where the tool came to an end.

    `came in` is that of the job.
    """
    every = planner_table._subjects(on(_where(), planner_table._found()))
    came_in = {job: one["came in"] for (job, *_), one in every.items() if "came in" in one}
    return {
        (job, budget, tool): {"came in": came_in[job], **one}
        for (job, budget, tool, seed), one in every.items()
        if not seed and "minutes" in one and job in came_in
    }


def _place(one: planner_table.Metrics) -> tuple[float, float]:
    """Where a file stands in the picture.

    How many times smaller, and points of the test score lost.
    """
    low, high = (math.log10(times) for times in TIMES)
    x = LEFT + (math.log10(one["came in"] / one["file"]) - low) / (high - low) * (
        WIDTH - LEFT - RIGHT
    )
    y = (
        HEIGHT
        - BOTTOM
        - (one["test drop"] - LOST[0]) / (LOST[1] - LOST[0]) * (HEIGHT - TOP - BOTTOM)
    )
    return x, y


def picture() -> str:
    """Size against score: our file of each job as a dot, what other tools made of the same network
    in its colour, joined to it.
    """
    measured = _measured()
    out = [*_axes(), *_legend()]
    labels: list[tuple[float, float, str, str]] = []
    for (job, budget), colour in JOBS.items():
        x, y = _place(measured[job, budget, planner_table.OURS])
        for tool, mark in TOOLS.items():
            if (other := measured.get((job, budget, tool))) is not None:
                ox, oy = _place(other)
                out.append(
                    f'<path d="M{ox:.1f} {oy:.1f}L{x:.1f} {y:.1f}" stroke="{colour}" '
                    'stroke-opacity="0.25"/>'
                )
                out.append(
                    f'<path d="{mark}" transform="translate({ox:.1f} {oy:.1f})" fill="#fff" '
                    f'fill-opacity="0.8" stroke="{colour}" stroke-width="1.5"/>'
                )
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>')
        labels.append((y, x, planner_table.TITLES[job], colour))
    last = -math.inf
    for y, x, title, colour in sorted(labels):  # pushed apart where dots are close
        last = max(y, last + 15)
        out.append(
            f'<path d="M{x + 7:.1f} {y:.1f}L{x + 26:.1f} {last:.1f}" stroke="{colour}" '
            'stroke-opacity="0.5"/>'
        )
        out.append(f'<text x="{x + 29:.1f}" y="{last + 4:.1f}" fill="{colour}">{title}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _axes() -> list[str]:
    """The frame of the picture: what it shows, lines and their numbers."""
    right = WIDTH - RIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">How much smaller a file gets, and what it '
        "loses</text>",
        f'<text x="{LEFT}" y="39" fill="#444">Right is smaller, down is better. Dots: shoestring. '
        f"Other marks: other tools on the same network. Searched on {_where()}.</text>",
    ]
    for times in (2, 5, 10, 20, 50, 100, 200, 500, 1000):
        x, _ = _place({"came in": times, "file": 1, "test drop": 0})
        out.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}V{TOP}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" '
            f'fill="#444">{times:,}×</text>'
        )
    for lost in (0, 1, 2, 3):
        _, y = _place({"came in": 1, "file": 1, "test drop": lost})
        out.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{"#e4e4e4" if lost else "#999"}"/>')
        out.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#444">{lost}</text>'
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out += [
        f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle" '
        'fill="#444">times smaller than the weights at 4 bytes each</text>',
        f'<text transform="translate(22 {middle:.0f}) rotate(-90)" text-anchor="middle" '
        'fill="#444">points of test score lost</text>',
    ]
    return out


def _legend() -> list[str]:
    """What the marks are, in the corner that has none."""
    out = [f'<circle cx="{WIDTH - RIGHT - 8}" cy="{TOP + 18}" r="6" fill="#444"/>']
    out.append(f'<text x="{WIDTH - RIGHT + 6}" y="{TOP + 22}">shoestring</text>')
    for row, (tool, mark) in enumerate(TOOLS.items(), 1):
        y = TOP + 18 + 20 * row
        out.append(
            f'<path d="{mark}" transform="translate({WIDTH - RIGHT - 8} {y})" fill="#fff" '
            'stroke="#444" stroke-width="1.5"/>'
        )
        out.append(f'<text x="{WIDTH - RIGHT + 6}" y="{y + 4}">{tool.split(",")[0]}</text>')
    return out
