"""Makes the programs beside this file importable, as they are in a project of their own."""

import importlib
import sys
from pathlib import Path

import pytest

PROGRAMS = ("corrected", "naive", "classic_bugs")


@pytest.fixture
def program(monkeypatch):
    """Imports one of the programs: `program("naive")`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield importlib.import_module
    for name in PROGRAMS:
        sys.modules.pop(name, None)
