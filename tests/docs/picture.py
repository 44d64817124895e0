"""The picture in the README: a terminal in which the demo has run. `make outputs` draws it anew.

It needs nothing from elsewhere: no font, no script.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from tests.docs.documents import ROOT

PICTURE = ROOT / "fixtures" / "demo.svg"

WIDTH = 96
"""Cells; what is longer is cut, since most of it is JSON."""

FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def shown() -> list[str]:
    """The lines that the picture shows: the command and its output, cut to the width."""
    printed = subprocess.run(
        [sys.executable, "-m", "batchsim", "demo"],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        check=True,
    )
    return [_cut(line) for line in ["$ batchsim demo", *printed.stdout.decode().splitlines()]]


def draw() -> str:
    """The picture as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in shown():
        console.print(Text(line, style="bold" if _is_heading(line) else ""), soft_wrap=True)
    return console.export_svg(title="batchsim demo", code_format=FRAME, unique_id="demo")


def _cut(line: str) -> str:
    return line if cell_len(line) <= WIDTH else set_cell_size(line, WIDTH - 1).rstrip() + "…"


def _is_heading(line: str) -> bool:
    return line.startswith("$ ") or (line[:1].isdigit() and line[1:3] == ". ")
