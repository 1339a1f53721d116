"""emx-onnx-cgen: C from an ONNX file.

    pip install emx-onnx-cgen==1.4.0

    PYTHON emx_onnx_cgen.py GIVEN OUT    GIVEN/model.onnx becomes OUT/model.c, with the function
                                         `peer`; versions or the error go to OUT/result.json

Weights stay in the C file (it writes them beside it above 100 KB, for a file system), and so do
temporary arrays on the stack (above 1 KB it takes them from the heap, which has no bound there).
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path


def main(given: Path, out: Path) -> None:
    program = Path(sys.executable).with_name("emx-onnx-cgen")
    options = ["--large-weight-threshold", "0", "--large-temp-threshold", "0", "--input-dim", "N=1"]
    done = subprocess.run(
        [
            program,
            "compile",
            *options,
            "--model-name",
            "peer",
            given / "model.onnx",
            out / "model.c",
        ],
        capture_output=True,
        text=True,
    )
    found = {"versions": f"emx-onnx-cgen {importlib.metadata.version('emx-onnx-cgen')}"}
    if done.returncode:
        found["error"] = (done.stderr or done.stdout).strip().splitlines()[-1]
    (out / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
