"""Write the tables and charts of the docs from the results files.

`python benchmarks/tables.py` (--check: only compare).
A table stands between `<!-- NAME -->` and `<!-- end -->`; nothing else of a page is touched.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import audit_table
import demo_figures
import depth_table
from active_learning_table import (
    active_learning,
    active_learning_short,
    classical,
    forecasts,
    longer_training,
)
from boxes_table import active as boxes_active
from boxes_table import partial as boxes_partial
from browser_table import browser
from byte_model_table import alone as byte_alone
from byte_model_table import bits as byte_bits
from byte_model_table import keys as byte_keys
from byte_model_table import page as byte_page
from cheap_convolutions_table import cheap_convolutions
from cheap_convolutions_table import widths as cheap_widths
from convert_table import converted
from convert_table import layers as converted_layers
from distillation_table import answers, distillation, students, temperatures
from dual_table import dual_retrieval, dual_short, dual_supervised, dual_translation
from few_labels_table import few_labels
from forgetting_table import forgetting, together
from formats_table import label_studio
from front_page import picture, three_results
from gradient_exchange_table import exchange_beside_torch, gradient_exchange
from graphs_table import graphs
from label_page_table import label_page
from label_replay_table import label_replay
from language_identification_table import beside, languages, other_texts
from large_batches_table import large_batches
from late_gradients_table import late_gradients
from light_rnn_table import counts, passes, planned, rates
from lossless_table import lossless
from lost_workers_table import lost_workers
from matching_table import matching
from microcontroller_table import (
    avr,
    cores,
    instructions,
    memory_map,
    microcontroller,
    recurrent,
    weights,
)
from network_guides_table import search_guides
from one_shot_table import label_curve, one_shot
from others_table import others
from packing_table import packing
from placement_table import placement_methods, placement_networks
from planner_table import planner
from pool_first_table import pool_first
from quantised_table import quantised
from quantised_table import short as quantised_short
from rate_tables import chart, rate, short
from recipe_tables import beside_published
from recipe_tables import tables as recipe_tables
from regions_table import regions
from replace_table import planned as replace_planned
from replace_table import replaced
from retrieve_table import clips as retrieve_clips
from retrieve_table import texts as retrieve_texts
from rooms_table import rooms
from rounding_table import rounding
from rows import conditions_told, metrics, on, processors, results, spread, values
from scaling_table import scaling_by_case, scaling_chosen, scaling_summary
from search_table import (
    moved_networks,
    own_network,
    search_methods,
    search_milliseconds,
    search_tiny,
)
from sensitivity_table import fallback, sensitivity
from sharded_table import sharded
from sparse_activation_table import (
    early_exits,
    expert_images,
    expert_layers,
    sparse_activation,
)
from spoken_digits_table import spoken_digits, unheard
from structure_table import digits as structure_digits
from structure_table import structure
from ten_gans_table import ten_gans, ten_gans_spread, ten_gans_told
from text_costs_table import preordering as text_orders
from text_costs_table import text_costs, text_costs_claim
from text_tools_table import rules as text_rules
from text_tools_table import segmenters, sizes, taggers
from weak_labels_table import label_quality, weak_labels
from xnor_table import kernels, latency
from xnor_table import recipe as xnor_recipe

from shoestring.recipes import recipe

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "web" / "README.md",
    ROOT / "web" / "demo" / "index.html",
    *sorted((ROOT / "docs").glob("*.md")),
]
TITLES = {
    "lenet300": "LeNet-300-100",
    "lenet5": "LeNet-5",
}
BASELINES = {
    "lenet5": ("`LeNet5`", "`mnist()`"),
    "resnet20": ("`ResNet20`", "`cifar10()`, JPEG copy"),
    "mobilenet": ("`MobileNet`", "`cifar10()`, JPEG copy"),
    "text_encoder": ("`TextEncoder`", "`sst2()`"),
    "tagger": ("`BiLSTMTagger`", "`ewt()`, words"),
    "tabular": ("`TabularNet`", "`adult()`"),
}
PUBLISHED = {
    # Han, Mao & Dally 2016, Table 1 (weights only)
    "lenet300": {"uncompressed": "1,070 KB, 1.64 %", "coded": "27 KB (40×), 1.58 %"},
    "lenet5": {"uncompressed": "1,720 KB, 0.80 %", "coded": "44 KB (39×), 0.74 %"},
}


def deep_compression_short() -> str:
    """A row per network, before and after: the means of the seeds."""
    found = results("deep_compression")
    lines = [
        "| network | uncompressed | file | ratio | test error % before | after | published |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title in TITLES.items():
        before, after = (
            values(found, name, f"{stage} test error") for stage in ("uncompressed", "coded")
        )
        sizes = values(found, name, "coded bytes")
        lines.append(
            f"| {title} | {values(found, name, 'uncompressed bytes')[0]:,.0f} B | "
            f"{mean(sizes):,.0f} B | {mean(values(found, name, 'ratio')):.0f}× | "
            f"{mean(before):.2f} | {mean(after):.2f} | {PUBLISHED[name]['coded']} (from "
            f"{PUBLISHED[name]['uncompressed'].split(', ')[-1]}) |"
        )
    return "\n".join([*lines, "", beside_published(recipe("deep_compression"))])


def deep_compression() -> str:
    """A row per network and stage, with every seed."""
    found = results("deep_compression")
    lines = [
        "| network | stage | bytes | validation error % | test error % | published |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    names = {
        "uncompressed": "uncompressed (4 bytes a parameter)",
        "pruned": "pruned (whole file)",
        "shared": "+ shared (2015 layout, counted)",
        "coded": "+ coded (whole file)",
    }
    for name, title in TITLES.items():
        for stage, words in names.items():
            lines.append(
                f"| {title} | {words} | {spread(values(found, name, f'{stage} bytes'), ',.0f')} | "
                f"{spread(values(found, name, f'{stage} validation error'), '.2f')} | "
                f"{spread(values(found, name, f'{stage} test error'), '.2f')} | "
                f"{PUBLISHED[name].get(stage, '')} |"
            )
    told = beside_published(recipe("deep_compression"))
    return "\n".join([*lines, "", told, "", conditions_told(found)])


def coding() -> str:
    """A row per file: bytes of each coder, the ratios of ours to the static entropy, and how fast
    each decodes.
    """
    found = results("coding")
    coders = (
        "static entropy",
        "ours",
        "ours, smallest",
        "nncodec",
        "ANS with a static model",
        "gaps of 5 bits + Huffman",
        "lzma",
        "zstd-22",
    )
    lines = [
        f"| file | symbols | {' | '.join(coders)} | ours, smallest / entropy |",
        "| --- |" + " --- |" * (len(coders) + 2),
    ]
    speeds = (
        "ours, decoded",
        "ours, smallest, decoded",
        "ours, smallest, decoded without numba",
        "nncodec, decoded",
    )
    seen = processors(found)
    heads = [f"{what} ({its})" for its in seen for what in (*speeds, "our time / nncodec's")]
    fast = [
        f"| million numbers decoded a second | {' | '.join(heads)} |",
        "| --- |" + " --- |" * len(heads),
    ]
    for subject in dict.fromkeys(row["subject"] for row in found if row["subject"] != "numba"):
        one = metrics(found, subject)
        sizes = (f"{one[coder]:,.0f}" if coder in one else "" for coder in coders)
        share = min(one["ours"], one["ours, smallest"]) / one["static entropy"]
        lines.append(
            f"| {subject} | {one['coded symbols']:,.0f} | {' | '.join(sizes)} | {share:.3f} |"
        )
        cells: list[str] = []
        for its in seen:
            one = metrics(on(its, found), subject)
            cells += [f"{one[speed]:.2g}" if speed in one else "" for speed in speeds]
            ratio = one.get("our time to decode against nncodec's")
            cells.append("" if ratio is None else f"{ratio:.1f}")
        fast.append(f"| {subject} | {' | '.join(cells)} |")
    numba = "; ".join(
        f"{row['metric']}: {row['value']:.1f} s ({row['processor']})"
        for row in found
        if row["subject"] == "numba"
    )
    return "\n".join([*lines, "", *fast]) + f"\n\nnumba: {numba}.\n\n{conditions_told(found)}"


def techniques(chosen: Callable[[str], bool]) -> str:
    """A row per way of doing it, with every seed."""
    found = results("techniques")
    lines = ["| | validation score % | file, bytes |", "| --- | --- | --- |"]
    for subject in dict.fromkeys(row["subject"] for row in found):
        if subject == "uncompressed" or chosen(subject):
            sizes = values(found, subject, "file")
            size = f"{mean(sizes):,.0f}" if sizes else ""
            lines.append(
                f"| {subject} | {spread(values(found, subject, 'validation score'), '.2f')} | "
                f"{size} |"
            )
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def trellis() -> str:
    """A row per network and price, with every seed."""
    found = results("trellis")
    lines = ["| | file, bytes | validation error % | test error % |", "| --- | --- | --- | --- |"]
    for subject in dict.fromkeys(row["subject"] for row in found):
        size, held, test = (
            spread(values(found, subject, what), form)
            for what, form in (("size", ",.0f"), ("validation error", ".2f"), ("test error", ".2f"))
        )
        lines.append(f"| {subject} | {size} | {held} | {test} |")
    return "\n".join(lines) + f"\n\n{conditions_told(found)}"


def baselines() -> str:
    """A row per network that the benchmarks start from, with every seed.

    The file is that of the median on validation.
    """
    found = results("baselines")
    lines = [
        "| network | task | parameters | validation error % | test error % | file, bytes | "
        "training, minutes of a core |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (title, task) in BASELINES.items():
        one = {metric: values(found, name, metric) for metric in {row["metric"] for row in found}}
        places = sorted(
            range(len(one["file"])), key=lambda place: (one["validation error"][place], place)
        )
        middle = places[len(places) // 2]
        errors = " | ".join(
            spread(of, ".2f") if len(of) > 1 else f"{of[0]:.2f} (one seed)"
            for of in (one["validation error"], one["test error"])
        )
        minutes = mean(one["training: steps × time of a step"])
        lines.append(
            f"| {title} | {task} | {one['parameters'][0]:,.0f} | {errors} | "
            f"{one['file'][middle]:,.0f} | {minutes:.{0 if minutes > 0.5 else 1}f} |"
        )
    where: dict[str, list[str]] = {}
    for name, (title, _) in BASELINES.items():
        said = next(row["conditions"] for row in found if row["subject"] == name)
        where.setdefault(said, []).append(title)
    return (
        "\n".join(lines)
        + "\n\nConditions: "
        + " ".join(f"{', '.join(titles)}: {said}." for said, titles in where.items())
    )


def demo() -> str:
    """What the first command of the README prints."""
    return _printed("digits.txt")


def export_target() -> str:
    """What `shoestring export lenet5.shoe lenet5.c --target cortex-m3` prints of that core."""
    return _printed("export_target.txt")


def _printed(name: str) -> str:
    return f"```\n{(HERE / 'results' / name).read_text().strip()}\n```"


TABLES: dict[str, Callable[[], str]] = {
    "audit-votes": audit_table.votes,
    "audit-speed": audit_table.speed,
    "audit-flags": audit_table.flags,
    "audit-trained": audit_table.trained,
    "active-learning": active_learning,
    "label-replay": label_replay,
    "active-learning-short": active_learning_short,
    "active-learning-classical": classical,
    "active-learning-longer": longer_training,
    "label-forecasts": forecasts,
    "deep-compression-short": deep_compression_short,
    "deep-compression": deep_compression,
    "coding": coding,
    "pruning": lambda: techniques(lambda subject: subject.startswith("density")),
    "sharing": lambda: techniques(lambda subject: "levels" in subject),
    "demo": demo,
    "in-browser": demo_figures.in_browser,
    "report-page": demo_figures.report_page,
    "page-headline": demo_figures.headline,
    "page-three-seeds": demo_figures.three_seeds,
    "page-small-error": demo_figures.small_error,
    "page-large-error": demo_figures.large_error,
    "page-large-bytes": demo_figures.large_bytes,
    "three-results": three_results,
    "regions": regions,
    "rooms": rooms,
    "one-shot": one_shot,
    "one-shot-labels": label_curve,
    "forgetting": forgetting,
    "together": together,
    "boxes-partial": boxes_partial,
    "boxes-active": boxes_active,
    "browser": browser,
    "trellis": trellis,
    "graphs": graphs,
    "others": others,
    "lossless": lossless,
    "packing": packing,
    "sensitivity": sensitivity,
    "depth-deep": depth_table.deep,
    "depth-plain": depth_table.plain,
    "depth-ways": depth_table.ways,
    "depth-averages": depth_table.averages,
    "fallback": fallback,
    "planner": planner,
    "quantised": quantised,
    "quantised-short": quantised_short,
    "sparse_activation": sparse_activation,
    "expert-images": expert_images,
    "expert-layers": expert_layers,
    "early-exits": early_exits,
    "light_rnn-passes": passes,
    "light_rnn-rates": rates,
    "light_rnn-planner": planned,
    "light_rnn-counts": counts,
    "matching": matching,
    "rounding": rounding,
    "rate-lenet": lambda: rate("rate_lenet"),
    "rate-cifar": lambda: rate("rate_cifar"),
    "rate-short": short,
    "baselines": baselines,
    "distillation": distillation,
    "distillation-students": students,
    "distillation-cache": answers,
    "distillation-temperature": temperatures,
    "cheap-convolutions": cheap_convolutions,
    "cheap-widths": cheap_widths,
    "replace": replaced,
    "replace-planner": replace_planned,
    "structure": structure,
    "converted": converted,
    "label-studio": label_studio,
    "label-page": label_page,
    "weak-labels": weak_labels,
    "few-labels": few_labels,
    "gradient-exchange": gradient_exchange,
    "exchange-beside-torch": exchange_beside_torch,
    "large-batches": large_batches,
    "late-gradients": late_gradients,
    "lost-workers": lost_workers,
    "sharded": sharded,
    "placement-methods": placement_methods,
    "placement-networks": placement_networks,
    "moved-networks": moved_networks,
    "own-network": own_network,
    "scaling": scaling_summary,
    "scaling-chosen": scaling_chosen,
    "scaling-by-case": scaling_by_case,
    "search-guides": search_guides,
    "search-methods": search_methods,
    "search-milliseconds": search_milliseconds,
    "search-tiny": search_tiny,
    "ten-gans": ten_gans,
    "ten-gans-spread": ten_gans_spread,
    "ten-gans-told": ten_gans_told,
    "pool-first": pool_first,
    "weak-label-quality": label_quality,
    "dual-translation": dual_translation,
    "dual-short": dual_short,
    "dual-supervised": dual_supervised,
    "dual-retrieval": dual_retrieval,
    "retrieve-texts": retrieve_texts,
    "retrieve-clips": retrieve_clips,
    "converted-layers": converted_layers,
    "structure-digits": structure_digits,
    "xnor-kernels": kernels,
    "xnor-recipe": xnor_recipe,
    "xnor-latency": latency,
    "microcontroller": microcontroller,
    "microcontroller-cores": cores,
    "export-target": export_target,
    "microcontroller-instructions": instructions,
    "microcontroller-avr": avr,
    "microcontroller-recurrent": recurrent,
    "spoken-digits": spoken_digits,
    "text-costs": text_costs,
    "text-costs-claim": text_costs_claim,
    "text-preordering": text_orders,
    "byte-model-bits": byte_bits,
    "byte-model-alone": byte_alone,
    "byte-model-keys": byte_keys,
    "byte-model-page": byte_page,
    "text-languages": languages,
    "text-languages-other": other_texts,
    "text-languages-tools": beside,
    "text-rules": text_rules,
    "text-segmenters": segmenters,
    "text-sizes": sizes,
    "text-taggers": taggers,
    "spoken-digits-unheard": unheard,
    "microcontroller-weights": weights,
    **recipe_tables(),
}
CHARTS = {
    ROOT / "docs" / "rate.svg": chart,
    ROOT / "docs" / "front.svg": picture,
    ROOT / "docs" / "memory.svg": memory_map,
}


def filled(text: str) -> str:
    """A page with its tables as the results have them."""

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[4]}"

    return re.sub(r"(<!-- ([\w-]+) -->)\n(.*?)(<!-- end -->)", table, text, flags=re.DOTALL)


def main() -> int:
    made = {page: filled(page.read_text()) for page in PAGES} | {
        path: draw() for path, draw in CHARTS.items()
    }
    stale = [page for page, text in made.items() if not page.exists() or page.read_text() != text]
    for page in stale:
        if "--check" not in sys.argv:
            page.write_text(made[page])
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {page.relative_to(ROOT)}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
