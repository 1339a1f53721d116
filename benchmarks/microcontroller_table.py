"""The tables of `docs/microcontroller.md`, from the results of `microcontroller.py`."""

from __future__ import annotations

from pathlib import Path

from rows import conditions_told, metrics, results

from shoestring.artifact import read
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.memory_picture import memory_svg

FILES = Path(__file__).parent / "results" / "files"

CORES = ("cortex-m3", "cortex-m0plus", "cortex-m4f")
NETWORKS = {
    "lenet5": ("LeNet-5, MNIST", "lenet5_rate_5e-05"),
    "lenet300": ("LeNet-300-100, MNIST", "lenet300_rate_1.5e-05"),
    "lenet5_int8": ("LeNet-5 in int8, MNIST", "lenet5_rate_5e-05"),
    "lenet300_int8": ("LeNet-300-100 in int8, MNIST", "lenet300_rate_1.5e-05"),
    "digits": ("small LeNet, digits", "digits_flash_6kb"),
    "spoken": ("spoken digits in int8, FSDD", "fsdd_flash_16kb"),
    "resnet20_int8": ("ResNet-20 in int8, CIFAR-10", "baseline_resnet20"),
    "resnet20_rate_int8": ("ResNet-20 after rate, in int8, CIFAR-10", "resnet20_rate_4e-06"),
    "resnet20": ("ResNet-20, CIFAR-10", "resnet20_rate_4e-06"),
    "normfirst_xnor": ("NormFirst of signs, MNIST", "normfirst_xnor"),
    "normfirst_bwn": ("NormFirst with weights of signs, MNIST", "normfirst_bwn"),
}
"""The networks with their titles and the names of their files."""
SMALL = {
    "digits": NETWORKS["digits"],
    "digits_int8": ("small LeNet in int8, digits", "digits_flash_6kb"),
    "lenet300": NETWORKS["lenet300"],
    "lenet300_int8": NETWORKS["lenet300_int8"],
}
"""The networks that an AVR has room for."""
TAGGER = "tagger of 20 words"
TAGGERS = {
    f"{TAGGER}, floats": "as trained, floats",
    f"{TAGGER}, ours, decoded": "16 levels, decoded",
    f"{TAGGER}, ours, packed": "16 levels, packed",
    f"{TAGGER}, ours, coded": "16 levels, coded",
}
OURS = ("ours, decoded", "ours, packed", "ours, coded")
PEERS = ("emx-onnx-cgen", "onnx2c", "emlearn", "TFLite Micro")
"""The peers whose rows on other cores than a Cortex-M3 are shown."""
BYTES_IN = ("ours, decoded, bytes in", "ours, coded, bytes in")
"""The same for networks in int8: bytes on the grid of the input, in place of floats."""
AS_BYTES = ("ours, decoded, signs as bytes", "ours, coded, signs as bytes")
"""The same for networks of signs: each sign is an integer of 8 bits, as before there were bits."""


def memory_map() -> str:
    """The memory of the smallest LeNet-5 as a picture."""
    path = FILES / f"{NETWORKS['lenet5'][1]}.shoe"
    return memory_svg(export_c(read(path), name="lenet5", weights=Coded()))


SOUNDS_IN = "ours, coded, sounds in"
"""The same with the file's input chain, which no other tool has: they get features."""

FIRST = "score of the first {}"
"""Our score on the examples that slow peers are scored on; see microcontroller_first.py."""


def microcontroller() -> str:
    """A table for a Cortex-M3: a row for each network and each tool that could be measured."""
    found = results("microcontroller")
    lines = [
        "| network | tool | flash, bytes | RAM, bytes | instructions, emulated | score % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (title, _) in NETWORKS.items():
        tools = dict.fromkeys(
            row["subject"].partition(" / ")[2]
            for row in found
            if row["subject"].startswith(f"{name} / ")
        )
        for tool in sorted(tools, key=lambda tool: not tool.startswith("ours")):
            cells = _cells(metrics(found, f"{name} / {tool}"))
            if cells:
                lines.append(f"| {title} | {tool} | {cells} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def cores() -> str:
    """The coded C file of each network on every core."""
    found = results("microcontroller")
    heads = [f"{what} ({core})" for core in CORES for what in ("flash", "RAM", "instructions")]
    lines = [f"| network | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for name, (title, _) in NETWORKS.items():
        one = metrics(found, f"{name} / {OURS[-1]}")
        cells = [
            f"{one[f'{core}: {what}']:,.0f}" if f"{core}: {what}" in one else ""
            for core in CORES
            for what in ("flash", "RAM", "instructions")
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def instructions() -> str:
    """The instructions of each tool on every core, where peers have been measured on all."""
    found = results("microcontroller")
    lines = [f"| network | tool | {' | '.join(CORES)} |", f"| --- | --- |{' --- |' * len(CORES)}"]
    for name, (title, _) in NETWORKS.items():
        for tool in (OURS[0], OURS[-1], *PEERS):
            one = metrics(found, f"{name} / {tool}")
            if all(f"{core}: instructions" in one for core in CORES):
                cells = [f"{one[f'{core}: instructions']:,.0f}" for core in CORES]
                lines.append(f"| {title} | {tool} | {' | '.join(cells)} |")
    return "\n".join(lines)


def avr() -> str:
    """The small networks on an ATmega2560."""
    found = results("microcontroller")
    lines = [
        "| network | weights | flash, bytes | RAM, bytes | clock cycles, emulated | "
        "seconds at 16 MHz | largest difference to the file |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (title, _) in SMALL.items():
        for tool in (*OURS[1:], *BYTES_IN[1:]):
            one = metrics(found, f"avr {name} / {tool}")
            if "flash" in one:
                cycles = one["clock cycles"]
                lines.append(
                    f"| {title} | {tool.removeprefix('ours, ')} | {one['flash']:,.0f} | "
                    f"{one['RAM']:,.0f} | {cycles:,.0f} | {cycles / 16e6:.1f} | "
                    f"{one['largest difference']:.2g} |"
                )
    return "\n".join(lines)


def recurrent() -> str:
    """The tagger with its weights in several forms."""
    found = results("microcontroller")
    lines = [
        "| weights | flash of the layers, bytes | RAM, bytes | instructions (Cortex-M3) | "
        "instructions (Cortex-M4F) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for subject, title in TAGGERS.items():
        one = metrics(found, subject)
        if "cortex-m3: flash" in one:
            flash = one["cortex-m3: flash"] - one["tables of words"]
            lines.append(
                f"| {title} | {flash:,.0f} | {one['cortex-m3: RAM']:,.0f} | "
                f"{one['cortex-m3: instructions']:,.0f} | {one['cortex-m4f: instructions']:,.0f} |"
            )
    return "\n".join(lines)


def weights() -> str:
    """The bytes of the weights of each file in its own coding and in that of the C file."""
    found = results("microcontroller")
    lines = ["| file | in the file | in C | |", "| --- | --- | --- | --- |"]
    for subject in dict.fromkeys(row["subject"] for row in found):
        one = metrics(found, subject)
        if "weights in C" in one:
            file, coded = one["weights in the file"], one["weights in C"]
            lines.append(
                f"| {subject.removeprefix('weights of ')} | {file:,.0f} | {coded:,.0f} | "
                f"{100 * (coded / file - 1):+.1f} % |"
            )
    return "\n".join(lines)


def _cells(one: dict[str, float]) -> str:
    """Flash, RAM, instructions and score on a Cortex-M3; "" where there are none."""
    if "cortex-m3: flash" not in one:
        return ""
    parts = [f"{one[f'cortex-m3: {what}']:,.0f}" for what in ("flash", "RAM", "instructions")]
    scored = f" of {one['examples scored']:.0f} examples" if "examples scored" in one else ""
    first = "".join(
        f" ({value:.2f} of the {name.removeprefix('score of the ')})"
        for name, value in one.items()
        if name.startswith("score of the first ")
    )
    return " | ".join([*parts, f"{one['score']:.2f}{scored}{first}"])
