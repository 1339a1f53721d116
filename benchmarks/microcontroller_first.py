"""Our C on the first examples alone, on which slow peers are scored in microcontroller.py.

`python benchmarks/microcontroller_first.py`. A few minutes on one core. Scores of peers that take
long are those of 50 examples; here ours are of the same 50, in a results file of their own, which
the table shows beside the others. --quick: one way to keep weights.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from microcontroller import EXAMPLES, SCORED, WEIGHTS, case_of
from microcontroller_table import FIRST, OURS
from rows import start

from shoestring.artifact.plain_c.export import export_c
from shoestring.artifact.plain_c.firmware import measure, program_for


def main() -> None:
    rows = start("microcontroller", "first-examples", __doc__ or "")
    for name, count in SCORED.items():
        wanted = [
            tool
            for tool in OURS[: 1 if rows.quick else None]
            if rows.wanted(f"{name} / {tool}") and not rows.done(f"{name} / {tool}", None)
        ]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = case_of(name, Path(folder), EXAMPLES[name])
            for tool in wanted:
                written = export_c(case.content, name="model", weights=WEIGHTS[tool])
                (case.folder / "model.c").write_text(written.text)
                program = program_for(written, case.folder / "model.c")
                outputs = measure(program, "host", case.inputs[:count]).outputs
                assert outputs is not None
                right = outputs.argmax(1) == case.labels[:count]
                rows.add(f"{name} / {tool}", FIRST.format(count), 100 * float(right.mean()), "%")
                rows.add(f"{name} / {tool}", "done", 1, "")
    rows.close()


if __name__ == "__main__":
    main()
