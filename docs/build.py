"""Build the site: `python docs/build.py` writes `build/docs/index.html` (needs the extra `docs`).

A broken link, a bad reference and a page that nobody can reach end the build with an error. Nothing
is read from the network, and no page asks for anything that is not beside it. `docs/design.md` says
why the generator is Sphinx.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(out: Path = ROOT / "build" / "docs") -> int:
    """Build the site into a folder; the exit status, 0 where nothing is wrong."""
    # -E: begin anew, because the reference follows the code and no page of it would look changed.
    options = ["-b", "html", "-E", "-q", "--fail-on-warning", "--nitpicky"]
    status = subprocess.call(
        [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out)]
    )
    print(f"written: {out / 'index.html'}" if status == 0 else "the site has errors: see above")
    return status


if __name__ == "__main__":
    sys.exit(main(*(Path(argument) for argument in sys.argv[1:2])))
