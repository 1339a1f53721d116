"""The tables of `docs/sparse-activation.md`, from the results of `sparse_activation.py`."""

from __future__ import annotations

from statistics import mean

from rows import conditions_told, metrics, on, processors, results, values

from shoestring.recipes.sparse_activation import NETWORKS

BATCHES = (1, 32)
PLAIN = "ResNet-20"


def sparse_activation() -> str:
    """A row for each network: bits, bytes, and how many times the dense network's milliseconds."""
    found = results("sparse_activation")
    seen = processors(found)
    heads = [f"milliseconds, {batch} × 128 bytes ({one})" for one in seen for batch in BATCHES]
    lines = [
        "| network | validation, bits per byte | test | file, bytes | experts in use | "
        f"{' | '.join(heads)} | seeds |",
        f"|{' --- |' * (6 + len(heads))}",
    ]
    for name, title in NETWORKS.items():
        bits = values(found, name, "validation")
        if not bits:
            continue
        test, size = (mean(values(found, name, one)) for one in ("test", "file"))
        used = values(found, name, "experts in use")
        times: list[str] = []
        for one in seen:
            own = metrics(on(one, found), name)
            for batch in BATCHES:
                taken = own.get(f"milliseconds, {batch}")
                share = own.get(f"times the milliseconds, {batch}")
                told = "not timed" if taken is None else f"{taken:.2f} ({share:.2f} times)"
                times.append(told)
        lines.append(
            f"| {title} | {_spread(bits)} | {test:.3f} | {size:,.0f} | "
            f"{f'{mean(used):.1f}' if used else ''} | {' | '.join(times)} | {len(bits)} |"
        )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def early_exits() -> str:
    """A row for ResNet-20 and for each loss that its exits may have."""
    found = results("sparse_activation")
    subjects = [PLAIN, *sorted({r["subject"] for r in found if r["subject"].startswith("exits,")})]
    lines = [
        "| network | validation, % right | as many leave at random | test, % right | "
        "leave at the first exit, the second | file, bytes | milliseconds, of without exits | "
        "seeds |",
        f"|{' --- |' * 8}",
    ]
    for name in subjects:
        right = values(found, name, "validation")
        if not right:
            continue
        chance = values(found, name, "validation, as many leave at random")
        left = [values(found, name, f"leave at exit {at}") for at in (1, 2)]
        told = " and ".join(f"{mean(one):.0f} %" for one in left if one)
        times = mean(values(found, name, "milliseconds over real inputs, of without exits"))
        title = name if name == PLAIN else f"may lose {name.removeprefix('exits, ')}"
        lines.append(
            f"| {title} | {mean(right):.2f} | {f'{mean(chance):.2f}' if chance else ''} | "
            f"{mean(values(found, name, 'test')):.2f} | {told} | "
            f"{mean(values(found, name, 'file')):,.0f} | {times:.2f} | {len(right)} |"
        )
    return "\n".join(lines)


def _spread(numbers: list[float]) -> str:
    """The mean, and from where to where the seeds are."""
    told = f"{mean(numbers):.3f}"
    return told if len(numbers) < 2 else f"{told} ({min(numbers):.3f} to {max(numbers):.3f})"
