"""Where the files of this repository are."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures"
DEMO = FIXTURES / "demo"
DEMO_INPUT = DEMO / "input.jsonl"
