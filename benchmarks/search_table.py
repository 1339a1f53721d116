"""The tables of `docs/search.md`, from what the benchmarks of searches wrote."""

from __future__ import annotations

from statistics import mean

from moved_networks import FOUND, LADDERS, MILLISECONDS
from operation_table import WAYS
from rows import conditions_told, metrics, results, spread, values
from search_methods import SPACES
from search_methods import WAYS as METHODS
from tiny import DATA, subject_of
from tiny import WAYS as CHOSEN

NOT_YET = "Not measured yet."
BY_HAND = {
    "mnist": "MNIST, LeNet-5",
    "cifar10": "10,000 pictures of CIFAR-10, ResNet-20 of 8 channels",
    "fsdd": "spoken digits, separable convolutions",
    "sst2": "SST-2, n-grams",
    "adult": "Adult, a network for tables",
}


def search_milliseconds() -> str:
    """A row for a way to foretell milliseconds: its errors on fifty networks."""
    try:
        found = results("operation_table")
    except FileNotFoundError:
        return NOT_YET
    of_all = metrics(found, "both spaces")
    lines = [
        "| | median error | within 15 % | largest error | rank correlation |",
        "| --- | --- | --- | --- | --- |",
    ]
    names = {"file, once": "the file, measured once more", "draft": "a draft, measured once"}
    for way in WAYS:
        if f"{way}: median error" not in of_all:
            continue
        lines.append(
            f"| {names.get(way, way)} | {of_all[f'{way}: median error']:.1f} % | "
            f"{of_all[f'{way}: within 15 %']:.0f} % | {of_all[f'{way}: largest error']:.0f} % | "
            f"{of_all[f'{way}: rank correlation']:.3f} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])


def search_methods() -> str:
    """A row for a way to search and a space: test scores, and in how many seeds it is ahead."""
    try:
        found = results("search_methods")
    except FileNotFoundError:
        return NOT_YET
    lines = [
        "| space | way | test accuracy, mean (seeds) | validation | seconds of a core | ahead of "
        "random: points ± 95 %, seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for space in SPACES:
        for way in METHODS:
            subject = f"{space}, {way}"
            tests = values(found, subject, "test")
            if not tests:
                lines.append(f"| {space} | {way} | not measured yet | | | |")
                continue
            more = metrics(found, subject)
            told = ""
            if "gain" in more:
                half = more.get("half of its interval")
                told = f"{more['gain']:+.1f}{'' if half is None else f' ± {half:.1f}'}, "
                told += f"{more['ahead of random']:.0f} of {len(tests)}"
            lines.append(
                f"| {space} | {way} | {spread(tests, '.1f')} | "
                f"{mean(values(found, subject, 'validation')):.1f} | "
                f"{mean(values(found, subject, 'seconds of a core')):.0f} | "
                f"{told} |"
            )
    return "\n".join([*lines, "", conditions_told(found)])


def moved_networks() -> str:
    """A row for a network that was trained on the full set: the one found, and those by hand."""
    try:
        found = results("moved_networks")
    except FileNotFoundError:
        return NOT_YET
    lines = [
        "| network | width | test accuracy, mean (seeds) | found is ahead by, points ± two errors "
        "| milliseconds, of ResNet-20's | bytes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in (FOUND, *LADDERS):
        tests = values(found, name, "test score")
        if not tests:
            lines.append(f"| {name} | not measured yet | | | | |")
            continue
        points, errors, widths = (
            values(found, subject, metric)
            for subject, metric in (
                (f"against {name}", "points"),
                (f"against {name}", "error"),
                (name, "width"),
            )
        )
        width = f"{mean(widths):.0f}" if widths else ""
        ahead = f"{spread(points, '+.1f')} ± {2 * mean(errors):.1f}" if points else ""
        lines.append(
            f"| {name} | {width} | {spread(tests, '.1f')} | {ahead} | "
            f"{spread(values(found, name, MILLISECONDS), '.2f')} | "
            f"{mean(values(found, name, 'bytes')):,.0f} |"
        )
    return "\n".join([*lines, "", conditions_told(found)])


def own_network() -> str:
    """A row for a task and a rival made by hand: how far the file of a search is ahead of it."""
    try:
        found = results("own_network")
    except FileNotFoundError:
        return NOT_YET
    lines = [
        "| task, network | against | its test score % | found, mean (seeds) | points ± two errors "
        "| milliseconds, of its | its bytes | found | ahead, equal, behind |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, words in BY_HAND.items():
        for way in ("by hand", "by hand, compressed"):
            subject = f"{name}, against {way}"
            points = values(found, subject, "points")
            if not points:
                lines.append(f"| {words} | {way} | not measured yet | | | | | | |")
                continue
            its, ours = (
                [values(found, f"{name}, {one}", metric) for metric in ("test score", "bytes")]
                for one in (way, "found")
            )
            told = values(found, subject, "ahead")
            errors, of = (values(found, subject, metric) for metric in ("error", "milliseconds"))
            lines.append(
                f"| {words} | {way} | {mean(its[0]):.1f} | {spread(ours[0], '.1f')} | "
                f"{mean(points):+.1f} ± {2 * mean(errors):.1f} | {spread(of, '.2f')} | "
                f"{mean(its[1]):,.0f} | {mean(ours[1]):,.0f} | "
                f"{', '.join(str(told.count(one)) for one in (1, 0, -1))} |"
            )
    return "\n".join([*lines, "", conditions_told(found)])


def search_tiny() -> str:
    """A row for a way to choose the network of a tiny file, and for how long it is trained."""
    try:
        found = results("tiny")
    except FileNotFoundError:
        return NOT_YET
    lines = [
        "| | network | test accuracy, mean (seeds) | validation | before coding | bytes in all | "
        "operations | minutes of search |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data, one in DATA.items():
        for published, test, size in PUBLISHED.get(data, ()):
            lines.append(f"| {data} | {published} | {test:.1f} | | | {size:,} | | |")
        for times in one.times:
            made = [_tiny_row(found, data, way, times) for way in reversed(CHOSEN)]
            title = f"all ways, {times} passes" if data == "pictures" else "all ways"
            lines += [row for row in made if row] or [
                f"| {data} | {title} | not measured yet | | | | | |"
            ]
    return "\n".join([*lines, "", conditions_told(found)])


PUBLISHED = {"pictures": (("published: µNAS, lossless, 8 bits, not coded", 86.5, 11_400),)}
"""Of `docs/search.md`: Liberis et al. 2021, second-hand."""


def _tiny_row(found: list[dict], data: str, way: str, times: int) -> str | None:
    subject = subject_of(data, way, times)
    title = subject.removeprefix(f"{data}, ").replace(", 1 passes", ", 1 pass")
    errors = values(found, subject, "test error")
    if not errors:
        return None
    middle = {
        metric: mean(values(found, subject, metric))
        for metric in ("validation error", "validation error before coding", "operations", "search")
    }
    beside = values(found, subject, "beside the file") or [0.0] * len(errors)
    sizes = [a + b for a, b in zip(values(found, subject, "size"), beside, strict=True)]
    return (
        f"| {data} | {title} | {spread([100 - error for error in errors], '.1f')} | "
        f"{100 - middle['validation error']:.1f} | "
        f"{100 - middle['validation error before coding']:.1f} | "
        f"{spread(sizes, ',.0f')} | {middle['operations']:,.0f} | "
        f"{middle['search']:.1f} |"
    )
