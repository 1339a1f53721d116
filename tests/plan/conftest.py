"""Exporting takes seconds, and most of these tests export the same small module: once will do."""

import sys
from typing import Any

import pytest

from shoestring.kit import Exported, export
from shoestring.plan.same_graph import signature_of

_KNOWN: dict[str, Exported] = {}


@pytest.fixture(autouse=True)
def exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(model: Any, task: Any) -> Exported:
        key = repr(signature_of(model))
        if key not in _KNOWN:
            _KNOWN[key] = export(model, task)
        return _KNOWN[key]

    for name in ("weighing", "same_graph"):
        monkeypatch.setattr(sys.modules[f"shoestring.plan.{name}"], "export", once)
