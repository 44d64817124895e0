"""Write the present outputs into the README and the guide: `make outputs`.

    python tests/docs/update_outputs.py            all documents, and the picture of the demo
    python tests/docs/update_outputs.py run serve  the chapters run and serve (README is one too)

Only outputs are rewritten, never a command or a script; look at the difference before you commit.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.docs.documents import DOCUMENTS, Desk, File, Section, sections
from tests.docs.picture import PICTURE, draw
from tests.lifecycle_graph import diagram

DIAGRAM = re.compile(r"^```mermaid\n.*?^```", re.MULTILINE | re.DOTALL)


def main(names: list[str]) -> None:
    for name in names or DOCUMENTS:
        update(DOCUMENTS[name])
    if not names:
        PICTURE.write_text(draw(), "utf-8")


def update(document: Path) -> None:
    """Rewrite the outputs that are not what the commands print now."""
    text = document.read_text("utf-8")
    changes = [change for section in sections(document) for change in outputs(section)]
    for start, old, new in sorted(changes, reverse=True):
        sys.stdout.write(f"{document.name}:{text.count(chr(10), 0, start) + 1}: rewritten\n")
        text = text[:start] + new + text[start + len(old) :]
    document.write_text(DIAGRAM.sub(f"```mermaid\n{diagram()}\n```", text), "utf-8")


def outputs(section: Section) -> list[tuple[int, str, str]]:
    """The offset, the shown text and the true text of each output that is not true."""
    changes = []
    with tempfile.TemporaryDirectory() as folder, Desk(Path(folder)) as desk:
        for step in section.steps():
            if isinstance(step, File):
                desk.write(step)
                continue
            printed = desk.run(step)
            if step.output is None and printed.code:
                where = f"{section.document.name}:{step.line}"
                raise SystemExit(f"{where} fails with {printed.code}:\n{printed.text}")
            if step.output is not None and step.output != printed.text:
                changes.append((step.start, step.output, printed.text))
    return changes


if __name__ == "__main__":
    main(sys.argv[1:])
