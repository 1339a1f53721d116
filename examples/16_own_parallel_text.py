"""Two translators of your own parallel text, which teach one another on text without translations.

`python examples/16_own_parallel_text.py [STEPS [SOURCE TARGET [SOURCES TARGETS]]]`: text files with
a sentence in each line. SOURCE and TARGET translate one another, line by line; SOURCES and TARGETS
have more sentences of each language. Without files it makes some: numbers in English and German.
About five minutes on one core; give your own text thousands of steps. It needs the extra
`translate`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shoestring import prove, save
from shoestring.core import scores
from shoestring.dual import BackTranslation
from shoestring.kit import AdamW, Training
from shoestring.recipes.both_ways import Size, for_files, taught_translators
from shoestring.recipes.own_parallel_text import own_parallel_text

UNITS = ("ein one,zwei two,drei three,vier four,fünf five,sechs six,sieben seven,acht eight,"
         "neun nine")  # fmt: skip
TENS = ("zwanzig twenty,dreißig thirty,vierzig forty,fünfzig fifty,sechzig sixty,"
        "siebzig seventy,achtzig eighty,neunzig ninety")  # fmt: skip


def numbers() -> list[Path]:
    """Four files: 200 pairs, and the other numbers from 21 to 999 in one language each."""
    units, tens = ([one.split() for one in text.split(",")] for text in (UNITS, TENS))
    pairs = [
        (
            f"it costs {h_en} hundred and {t_en} {u_en} euros",
            f"es kostet {h_de} hundert {u_de} und {t_de} Euro",
        )
        for h_de, h_en in units
        for t_de, t_en in tens
        for u_de, u_en in units
    ]
    pairs = pairs[::7] + [pair for number, pair in enumerate(pairs) if number % 7]
    sides = {
        "english.txt": [one for one, _ in pairs[:200]],
        "german.txt": [one for _, one in pairs[:200]],
        "more_english.txt": [one for one, _ in pairs[200:400]],
        "more_german.txt": [one for _, one in pairs[400:]],
    }
    for name, lines in sides.items():
        Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [Path(name) for name in sides]


def main(steps: int = 600, *files: str) -> None:
    paths = [Path(one) for one in files] if files else numbers()
    source, target, *more = paths
    own = own_parallel_text(
        source,
        target,
        sources=more[0] if more else None,
        targets=more[1] if len(more) > 1 else None,
        size=400 if not files else 4000,
    )
    print(*own.notes, sep="\n")
    size = Size(width=48, layers=1, heads=2, hidden=96, dropout=0.1) if not files else Size()
    model, task = taught_translators(
        own.task,
        own.sources,
        own.targets,
        BackTranslation(training=Training(steps // 2, AdamW(2e-3))),
        size=size,
        training=Training(steps, AdamW(3e-3)),
    )
    print("validation BLEU, as a share:", scores(task, model))
    sentence = own.task.validation[0][0]
    print(sentence, "->", *own.task.translations(model.ahead.eval(), [sentence]))

    # One file translates both ways; the vocabulary is beside it.
    ready = for_files(task, model)
    save(model, ready, "both_ways.shoe")
    Path("both_ways.json").write_text(own.task.pieces.content, encoding="utf-8")
    print(f"test score of the file: {prove('both_ways.shoe', ready):.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, *sys.argv[2:])
