"""Puts the page of `shoestring demo` into wheels; all else is in pyproject.toml.

The page's sources stay where browsers and Node find them in a checkout: `web/`. A wheel has copies
in `shoestring/page`, in the same folders, so that the addresses in them lead to the same files.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PAGE = (
    "web/*.js",
    "web/runtime/*.js",
    "web/demo/*.html",
    "web/demo/*.css",
    "web/demo/*.js",
    "benchmarks/results/files/lenet5_rate_5e-05.shoe",
    "benchmarks/results/files/baseline_lenet5.shoe",
)


class WithPage(build_py):
    """Copies the page too; not for an editable install, which finds it in the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern in PAGE:
            for source in sorted(ROOT.glob(pattern)):
                target = Path(self.build_lib, "shoestring", "page", source.relative_to(ROOT))
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))


setup(cmdclass={"build_py": WithPage})
