"""Puts the package `bench` on the path, as `python tests/bench` does."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
