"""What the tables depend on is pinned, and the pins are allowed by what the package asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from shoestring.core.ledger import versions

ROOT = Path(__file__).parent.parent
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


def test_what_the_conditions_of_a_row_name_is_pinned():
    named = set(versions()) - {"python", "shoestring"}
    assert {"torch", "numpy", "onnxruntime", "constriction"} <= named <= set(PINS)


@pytest.mark.parametrize(
    "module", ["onnx", "onnxscript", "sklearn", "numba", "llvmlite", "openvino", "optuna"]
)
def test_what_decides_figures_besides_is_pinned(module):
    assert {"sklearn": "scikit-learn"}.get(module, module) in PINS


def test_pins_are_versions_that_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        asked += extra
    found = {one.name: one for one in map(Requirement, asked)}
    for name, version in PINS.items():
        assert re.fullmatch(r"\d+(\.\d+)+", version), f"{name}: {version} is no whole version"
        assert version in found[name].specifier, f"{name} {version} against {found[name]}"
