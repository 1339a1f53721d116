"""The tables of passes, rates and counts in `docs/language.md`, from those of `light_rnn.py`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from rows import conditions_told, metrics, on, processors, results, values

NAMES = {
    "full": "a vector for each word, softmax over all words",
    "adaptive": "a vector for each word, adaptive softmax",
    "low rank": "low rank, 16 numbers a word",
    "hashed": "hashed, 400 vectors",
    "slim": "slim, 400 in a pool",
    "quotients": "quotients and remainders",
    "light": "LightRNN, its words moved three times",
    "light, GRU": "LightRNN with a GRU",
    "light, unmoved": "LightRNN, its words not moved",
    "uneven": "LightRNN with uneven rows, its words moved twice",
}

FASTER = {name: f"{name}, fast" for name in ("full", "adaptive", "light")}
"""What was trained at both rates, and the subject that has the higher one."""
ONLY_FAST = ("uneven", "low rank", "hashed", "slim", "quotients")

RATES = {
    "adaptive, one pass": ("a vector for each word, adaptive softmax", "0.003"),
    "adaptive, one pass, fast": ("a vector for each word, adaptive softmax", "0.01"),
    "uneven, one pass": ("LightRNN with uneven rows", "0.01"),
}
"""What each was trained with for one pass: the network, and the highest learning rate."""

COUNTED = {f"counts, {words} words": f"counts of up to {words} words" for words in range(2, 6)}
BESIDE = {
    "light": "LightRNN, as published",
    "uneven": "LightRNN with uneven rows",
    "full": "a vector for each word, learning rate 0.003",
}
"""The networks that stand beside the counts."""


def passes() -> str:
    """A row for each network: numbers and minutes as shares of the first's, and perplexities."""
    found = results("light_rnn")
    seen = processors(found)
    heads = [f"minutes of a core for a pass ({one})" for one in seen]
    heads += [f"test perplexity, learning rate {rate}" for rate in ("0.003", "0.01")]
    lines = [
        f"| network, of width 128 | numbers for words | of layers | {' | '.join(heads)} |",
        f"|{' --- |' * (3 + len(heads))}",
    ]
    first = metrics(found, "full")
    for name, title in NAMES.items():
        own = metrics(found, name)
        cells = [
            f"{timed['pass']:.2g} ({first['pass'] / timed['pass']:.1f} times as fast)"
            if "pass" in (timed := metrics(on(one, found), name))
            else "not timed"
            for one in seen
        ]
        slow, fast = ("", name) if name in ONLY_FAST else (name, FASTER.get(name, ""))
        cells += [_perplexity(found, slow), _perplexity(found, fast)]
        fewer = first["numbers for words"] / own["numbers for words"]
        lines.append(
            f"| {title} | {own['numbers for words']:,.0f} ({fewer:.3g} times fewer) | "
            f"{own['numbers of layers']:,.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def _perplexity(found: Sequence[Any], name: str) -> str:
    """The test perplexity of a subject, a mean over its seeds, and how many these are."""
    scores = values(list(found), name, "test perplexity")
    if not scores:
        return "not trained"
    return f"{mean(scores):.1f} ({len(scores)} seed{'s' * (len(scores) > 1)})"


def rates() -> str:
    """A row for each network that was trained for one pass: its rate and its perplexities."""
    found = results("light_rnn")
    lines = [
        "| after one pass | highest learning rate | validation perplexity | test perplexity |",
        "| --- | --- | --- | --- |",
    ]
    for name, (title, rate) in RATES.items():
        if own := metrics(found, name):
            scores = [own[f"{split} perplexity"] for split in ("validation", "test")]
            lines.append(f"| {title} | {rate} | {' | '.join(f'{one:.1f}' for one in scores)} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def planned() -> str:
    """What the planner made of uneven rows for a hundredth of the bytes of the full model."""
    found = results("light_rnn")
    own, full = metrics(found, "planner"), values(found, "full", "validation perplexity")
    kept = "kept" if own["met"] else "**not kept**"
    return (
        f"| | bytes | validation perplexity | test perplexity |\n|{' --- |' * 4}\n"
        f"| asked for | {own['size limit']:,.0f} | {mean(full):.1f} | |\n"
        f"| made in {own['minutes']:g} minutes: {kept} | {own['file']:,.0f} | "
        f"{own['validation perplexity']:.1f} | {own['test perplexity']:.1f} |\n\n"
        + conditions_told(found)
    )


def counts() -> str:
    """A row for each length of n-grams, and for the networks beside them."""
    found = results("light_rnn")
    seen = processors([row for row in found if row["metric"] == "loading"])
    lines = [
        "| model | file, bytes | its file has | validation perplexity | test perplexity | "
        + "without repeats | "
        + "".join(f"s of a core to train; to load ({one}) | " for one in seen)
        + "memory of its numbers, MB |",
        f"|{' --- |' * (7 + len(seen))}",
    ]
    for name, title in COUNTED.items():
        own = metrics(found, name)
        its = "the training text" if own["file has the text"] else "n-grams"
        times = []
        for one in seen:
            timed = metrics(on(one, found), name)
            times.append(f"{timed['pass'] * 60:.1f}; {timed['loading']:.1f}")
        memory = f"{own['memory'] / 1e6:.1f}"
        lines.append(f"| {title} | {_scores(found, name, its)} | {' | '.join([*times, memory])} |")
    for name, title in BESIDE.items():
        seeds = len(values(found, name, "file"))
        # A training has four passes. Its numbers are float32 once it is loaded.
        times = [
            f"{metrics(on(one, found), name)['pass'] * 4 * 60:,.0f}; not measured" for one in seen
        ]
        memory = f"{mean(values(found, name, 'parameters')) * 4 / 1e6:.1f}"
        told = f"| {title} ({seeds} seeds) | {_scores(found, name, 'weights')} | "
        lines.append(f"{told}{' | '.join([*times, memory])} |")
    share = 100 * metrics(found, "repeats")["share of the test text"]
    told = f"Repeats are {share:.1f} % of the test words."
    return "\n".join(lines) + f"\n\n{told} {conditions_told(found)}"


def _scores(found: Sequence[Any], name: str, its: str) -> str:
    """The bytes and what they are, and the perplexities: means over the seeds."""
    size = mean(values(list(found), name, "file"))
    measured = (
        values(list(found), name, metric)
        for metric in (
            "validation perplexity",
            "test perplexity",
            "test perplexity without repeats",
        )
    )
    cells = [f"{mean(scores):.1f}" if scores else "not measured" for scores in measured]
    return f"{size:,.0f} | {its} | {' | '.join(cells)}"
