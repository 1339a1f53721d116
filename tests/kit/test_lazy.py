"""`shoestring.kit` reads a module when one of its names is asked for.

Nothing but export and ONNX files needs onnx.
"""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from shoestring import kit


def said(program: str) -> str:
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "asked",
    [
        "from shoestring.kit import clone",
        "from shoestring.kit import Network, Quantised, Supervised, Agreement, record, recover, "
        "restore, train",
        "import shoestring.prune",
    ],
)
def test_onnx_is_not_loaded_where_nothing_is_exported(asked: str):
    assert (
        said(
            f"{asked}; import sys; print([one for one in ('onnx', 'onnxscript') if one in "
            "sys.modules])"
        )
        == "[]"
    )


@pytest.mark.slow
def test_a_module_does_not_hide_the_function_of_its_name():
    program = (
        "import shoestring.kit.exporting.export, shoestring.kit.training.loop, "
        "shoestring.artifact.progress, shoestring.kit.importing.from_onnx\n"
        "from shoestring import kit\n"
        "from shoestring.kit import export, train, progress, from_onnx; print(all(callable(one) "
        "for one in (export, train, progress, from_onnx, kit.export, kit.train)))"
    )
    assert said(program) == "True"


def test_every_name_is_there():
    assert set(kit.__all__) == set(kit._HOME) and len(kit.__all__) == len(set(kit.__all__))
    for name in kit.__all__:
        assert not isinstance(getattr(kit, name), ModuleType), name
    assert set(kit.__all__) <= set(dir(kit))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = kit.nothing  # pyright: ignore


def test_what_is_missing_is_named_with_its_extra():
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "try:\n    import shoestring.kit\nexcept ModuleNotFoundError as error:\n    "
        "print(error.name, error)"
    )
    assert "onnx onnx is not installed: it comes with the extra `train`" in said(program)
