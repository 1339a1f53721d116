"""The recipes' tables and the table of exchange rates, from the records and the results files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import mean

from rows import RESULTS, conditions_told, processors, read

from shoestring.recipes import Line, Measure, Recipe, Results, recipes
from shoestring.recipes.rows import Row

NOT_MEASURED = "not measured"


def tables() -> dict[str, Callable[[], str]]:
    """What makes each table, by the name that it has in the pages."""
    made: dict[str, Callable[[], str]] = {
        f"recipe-{one.name}": partial(section, one) for one in recipes().values()
    }
    return made | {"exchange-rates": exchange_rates, "recipes": listed}


def listed() -> str:
    """A row per recipe: what it does, on which data, and how long it takes."""
    lines = [
        "| recipe | what it does | data | minutes of a core | `--quick` |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in recipes().values():
        lines.append(
            f"| [`{one.name}`]({one.page}) | {one.line} | {', '.join(one.data)} | about "
            f"{one.minutes:g} | about {one.quick_minutes:g} |"
        )
    return "\n".join(lines)


def exchange_rates() -> str:
    """A row per recipe: what you lack, what you give, what that saves and loses, at what price."""
    lines = [
        "| recipe | what you lack | what you give instead | saved | lost | at what price | "
        "measured |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in recipes().values():
        cells = exchange(one.results) if one.results else [NOT_MEASURED] * 3
        told = seeds(one.results) if one.results else "no seed yet"
        lines.append(
            f"| [`{one.name}`]({one.page}) | {one.scarce} | {one.instead} | {' | '.join(cells)} | "
            f"{told} |"
        )
    return "\n".join(lines)


def exchange(results: Results) -> list[str]:
    """Of the claim against what went in: (saved, lost, price), each in words."""
    ours = results.ours[0]
    before = results.before[0] if results.before else None
    saved = NOT_MEASURED
    if results.saved is not None:
        seen = columns(results, results.saved)
        told = [
            _saved(results.saved, ours, pair, one)
            for one in seen
            if (pair := _pair(results, results.saved, before, ours, one))
        ]
        saved = "; ".join(told) or NOT_MEASURED
        for one in results.baselines:
            if one.cheaper and told and _as_good(results, one, ours):
                saved = _nothing(results, one)
                break
    lost = NOT_MEASURED
    if results.lost is not None and (pair := _pair(results, results.lost, before, ours)):
        first, last = pair
        form = results.lost.form
        gone = first - last if results.lost.higher else last - first
        gone = round(gone, 9) + 0.0  # no -0.00 of two means of the same numbers
        told = f"{results.lost.title} {first:{form}} → {last:{form}}"
        is_share = results.lost.unit == "%"
        lost = f"{gone:+.2f} points: {told} %" if is_share else f"{gone:+{form}}: {told}"
    price = NOT_MEASURED
    if results.price is not None and (found := values(results, results.price, ours)):
        price = f"{mean(found):{results.price.form}} {results.price.unit}"
    return [saved, lost, price]


def _saved(measure: Measure, ours: Line, pair: tuple[float, float], processor: str) -> str:
    """How many times less, with the processor where it is a time."""
    first, last = pair
    times = f"{first / last:,.0f}" if first >= 100 * last else f"{first / last:.3g}"
    told = f"{ours.title}, {measure.title} {first:{measure.form}} → {last:{measure.form}}"
    return f"**{times}×** less: {told}{f' on {processor}' if processor else ''}"


def _as_good(results: Results, baseline: Line, ours: Line) -> bool:
    """Whether a baseline is no worse than ours in what is saved and in what is lost."""
    for measure in (results.saved, results.lost):
        if measure is None:
            continue
        pair = _pair(results, measure, baseline, ours)
        if pair is None:
            return False
        behind = pair[1] - pair[0] if measure.higher else pair[0] - pair[1]
        if round(behind, 9) > 0:
            return False
    return True


def _nothing(results: Results, baseline: Line) -> str:
    """What stands in the place of a rate where a cheaper way is as good."""
    its = []
    for measure in (results.saved, results.lost):
        if measure is not None:
            value = mean(values(results, measure, baseline, results.measures().index(measure)))
            unit = " %" if measure.unit == "%" else ""
            its.append(f"{measure.title} {value:{measure.form}}{unit}")
    return f"**nothing**: a cheaper way is no worse: {baseline.title}, {', '.join(its)}"


def seeds(results: Results) -> str:
    """Of how many seeds the claim is."""
    found = values(results, results.lost, results.ours[0]) if results.lost else []
    return {0: "no seed yet", 1: "one seed"}.get(len(found), f"{len(found)} seeds")


def section(recipe: Recipe) -> str:
    """A recipe's numbers: published, what went in, ours, the cheapest baseline and the peers."""
    head = (
        f"You lack {recipe.scarce}; you give {recipe.instead}. Data: {', '.join(recipe.data)}.\n\n"
        f"`shoestring recipe {recipe.name}`: about {recipe.minutes:g} min of a core for a seed; "
        f"`--quick`: {recipe.quick_minutes:g}."
    )
    results = recipe.results
    measures = results.measures() if results else ()
    heads = [
        heading(one, processor)
        for one in measures
        for processor in (columns(results, one) if results else ("",))
    ]
    lines = [f"| | | {' | '.join(heads)} |", f"|{' --- |' * (2 + len(heads))}"]
    lines += published(recipe, measures, len(heads) - len(measures))
    if results is None:
        return "\n".join([head, "", *lines, f"| ours | {NOT_MEASURED} |"])
    groups = (
        ("what went in", results.before),
        ("ours", results.ours),
        ("cheapest baseline", results.baselines),
        ("peers", results.peers),
    )
    for title, chosen in groups:
        for place, one in enumerate(chosen):
            lines.append(
                f"| {'' if place else title} | {one.title} | "
                f"{' | '.join(_cells(results, one, title))} |"
            )
        if not chosen and title != "what went in":
            lines.append(f"| {title} | {NOT_MEASURED} |{' |' * len(heads)}")
    if recipe.advantage and recipe.published:
        lines += ["", beside_published(recipe)]
    told = f"From `benchmarks/results/{results.file}`: means ({seeds(results)} of our first line)."
    if found := _rows(results.file):
        told += f"\n\n{conditions_told(found)}"
    return "\n".join([head, "", *lines, "", told])


def beside_published(recipe: Recipe) -> str:
    """What is said beside published numbers: what ours had and they had not."""
    return f"Ours had {recipe.advantage}: an advantage over the published rows too."


def published(recipe: Recipe, measures: tuple[Measure, ...], more_columns: int = 0) -> list[str]:
    """A line for each source and its conditions; numbers of no column stand beside the source.

    `more_columns`: of other processors' times, of which nothing is published.
    """
    numbers = recipe.published
    if not numbers:
        told = "none published"
        if recipe.elsewhere:
            told = f"{recipe.elsewhere}, other data; figures not compared here"
        return [f"| published | {told} |{' |' * (len(measures) + more_columns)}"]
    lines = []
    for source, conditions in dict.fromkeys((one.source, one.conditions) for one in numbers):
        its = {
            one.metric: one
            for one in numbers
            if (one.source, one.conditions) == (source, conditions)
        }
        cells = [
            f"{its.pop(one.title).value:,.15g}" if one.title in its else "" for one in measures
        ]
        more = "".join(
            f"; {one.metric} {one.value:,.15g}{' %' if one.unit == '%' else ''}"
            for one in its.values()
        )
        lines.append(
            f"| {'' if lines else 'published'} | {source}: {conditions}{more} | "
            f"{' | '.join(cells)} |{' |' * more_columns}"
        )
    return lines


def columns(results: Results, measure: Measure) -> Sequence[str]:
    """The processors that a measure has a column for each; ("",) where it is no timing."""
    found = [
        row
        for one in {results.file, *(line.file or results.file for line in results.ours)}
        for row in _rows(one)
        if row["metric"] == measure.metric
    ]
    return processors(found) or ("",)


def heading(measure: Measure, processor: str = "") -> str:
    """The head of a column, with its unit where the title does not say it, and its processor."""
    title = f"{measure.title} %" if measure.unit == "%" else measure.title
    return f"{title} ({processor})" if processor else title


def _cells(results: Results, line: Line, group: str) -> list[str]:
    """The numbers of a line; what went in has no price, and what is of a whole run stands once."""
    cells = []
    for number, measure in enumerate(results.measures()):
        if (measure == results.price and group == "what went in") or (
            measure.subject and line != results.ours[0]
        ):
            cells += [""] * len(columns(results, measure))
            continue
        for processor in columns(results, measure):
            found = values(results, measure, line, number, processor)
            cells.append(f"{mean(found):{measure.form}}" if found else NOT_MEASURED)
    return cells


def _pair(
    results: Results, measure: Measure, before: Line | None, ours: Line, processor: str = ""
) -> tuple[float, float] | None:
    """The means before and after; None where one of them was not measured."""
    if before is None:
        return None
    number = results.measures().index(measure)
    found = [values(results, measure, line, number, processor) for line in (before, ours)]
    return (mean(found[0]), mean(found[1])) if all(found) else None


def values(
    results: Results,
    measure: Measure,
    line: Line,
    number: int | None = None,
    processor: str = "",
) -> list[float]:
    """A measure of a line, a value for each seed there is.

    `number`: its column.
    `processor`: of a timing; "" for what is none.
    """
    own = (
        line.metrics[number]
        if number is not None and number < len(line.metrics)
        else measure.metric
    )
    if line.metrics and number is not None and number >= len(line.metrics):
        return []  # a line with metrics of its own has no others
    subject = measure.subject or line.subject
    return [
        row["value"]
        for row in _rows(line.file or results.file)
        if (row["subject"], row["metric"]) == (subject, own)
        and row.get("processor", processor) == processor
    ]


@cache
def _rows(file: str) -> list[Row]:
    """The rows of a results file; none where there is no such file yet."""
    path = RESULTS / file
    return read(path) if path.exists() else []
