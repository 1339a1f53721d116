"""A chart of scores against milliseconds, as one self-contained SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 400, 70, 190, 40, 50
_COLOURS = ("#1a5fb4", "#c2571a", "#2e7d32", "#7b1fa2", "#555555")


class Dot(NamedTuple):
    """A file in the chart: its milliseconds with their interval, and its score."""

    name: str
    milliseconds: float
    low: float
    high: float
    score: float


def chart(series: Mapping[str, Sequence[Dot]]) -> str:
    """The chart as SVG: milliseconds to the right (logarithmic), scores upwards.

    Each series has a colour and a line in the legend.
    """
    dots = [dot for some in series.values() for dot in some]
    low, high = log10(min(dot.low for dot in dots)), log10(max(dot.high for dot in dots))
    low, high = low - 0.1 - 0.02 * (high - low), high + 0.1 + 0.02 * (high - low)
    worst, top = min(dot.score for dot in dots), max(dot.score for dot in dots)
    room = 0.1 * (top - worst) or 0.01 * abs(top) or 1.0
    worst, top = worst - room, top + room

    def x(milliseconds: float) -> float:
        return _LEFT + (log10(milliseconds) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(score: float) -> float:
        return _HEIGHT - _BOTTOM - (score - worst) / (top - worst) * (_HEIGHT - _TOP - _BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">Validation score against milliseconds a '
        "run</text>",
    ]
    for step in range(5):
        milliseconds = 10 ** (low + step / 4 * (high - low))
        score = worst + step / 4 * (top - worst)
        out.append(
            f'<path d="M{x(milliseconds):.1f} {_TOP}V{_HEIGHT - _BOTTOM}M{_LEFT} '
            f'{y(score):.1f}H{_WIDTH - _RIGHT}" stroke="#e4e4e4"/>'
        )
        out.append(
            f'<text x="{x(milliseconds):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle" '
            f'fill="#444">{milliseconds:.3g} ms</text>'
        )
        out.append(
            f'<text x="{_LEFT - 8}" y="{y(score) + 4:.1f}" text-anchor="end" '
            f'fill="#444">{score:.4g}</text>'
        )
    for index, (name, some) in enumerate(series.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        legend = _TOP + 10 + 20 * index
        out.append(f'<circle cx="{_WIDTH - _RIGHT + 16}" cy="{legend - 4}" r="4" fill="{colour}"/>')
        out.append(
            f'<text x="{_WIDTH - _RIGHT + 26}" y="{legend}" fill="{colour}">{escape(name)}</text>'
        )
        for dot in some:
            at, up = x(dot.milliseconds), y(dot.score)
            out.append(
                f'<path d="M{x(dot.low):.1f} {up:.1f}H{x(dot.high):.1f}" stroke="{colour}" '
                'stroke-width="2"/>'
            )
            out.append(f'<circle cx="{at:.1f}" cy="{up:.1f}" r="4" fill="{colour}"/>')
            out.append(
                f'<text x="{at:.1f}" y="{up - 9:.1f}" text-anchor="middle" '
                f'fill="{colour}">{escape(dot.name)}</text>'
            )
    return "\n".join([*out, "</svg>"]) + "\n"
