"""onnx2c: C from an ONNX file.

    git clone https://github.com/kraiskil/onnx2c (with its submodules), and build it as its README
    says. ONNX2C names the program that this makes.

    PYTHON onnx2c.py GIVEN OUT    GIVEN/model.onnx becomes OUT/model.c, with the function `entry`;
                                  versions or the error go to OUT/result.json

It has no options for size but its passes, which are on: tensors between layers share unions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main(given: Path, out: Path) -> None:
    program = os.environ["ONNX2C"]
    told = subprocess.run([program, "--version"], capture_output=True, text=True)
    commit = told.stdout.partition("Commit: ")[2].split(" ")[0]
    found = {"versions": f"onnx2c {commit or 'of an unknown commit'}"}
    with (out / "model.c").open("w") as file:
        done = subprocess.run(
            [program, "-l", "0", "-d", "N:1", str(given / "model.onnx")],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        )
    if done.returncode:
        found["error"] = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    (out / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
