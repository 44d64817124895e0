"""The README and the guide run: every command shows its true output, every example works.

What counts as an example stands in tests/docs/documents.py; `make outputs` rewrites the outputs.
"""

import html
import itertools
import os
import re
import shutil
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from batchsim.cli import command_line
from batchsim.cli.commands.guide import CHAPTERS
from batchsim.testing.run_example import KINDS
from tests.docs.documents import BLOCK, DOCUMENTS, GUIDE, HEADING, ROOT, Desk, File, sections
from tests.docs.picture import PICTURE, shown
from tests.lifecycle_graph import diagram

README = ROOT / "README.md"
SECTIONS = {
    f"{each.document.stem}: {each.heading}": each
    for d in DOCUMENTS.values()
    for each in sections(d)
}
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
MOST_LINES = 250
"""A README is a first screen and a map."""


@pytest.fixture
def desk(tmp_path):
    with Desk(tmp_path) as desk:
        yield desk


def needs_curl(section):
    if any("curl" in block.body for block in section.blocks) and not shutil.which("curl"):
        assert "CI" not in os.environ, "CI must have curl"
        pytest.skip("this section needs curl")


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_a_section_shows_what_really_happens(section, desk) -> None:
    needs_curl(section)
    for step in section.steps():
        if isinstance(step, File):
            desk.write(step)
            continue
        printed = desk.run(step)
        where = f"{section.document.name}, line {step.line}; `make outputs` rewrites it"
        if step.output is None:
            assert printed.code == 0, f"{where}: {printed.text}"
        else:
            assert printed.text == step.output, where


def test_a_rate_limit_fails_the_example_as_the_guide_says(desk) -> None:
    (step,) = SECTIONS["testing: With pytest"].steps()
    harder = step.text.replace('"expired_partial"', '"expired_partial,rate_limited"')
    assert harder != step.text
    printed, _ = desk.run(step._replace(text=harder))
    assert "openai.RateLimitError" in printed
    assert "1 failed, 2 passed" in printed


def test_the_diagram_is_the_table_in_the_code() -> None:
    assert f"```mermaid\n{diagram()}\n```" in DOCUMENTS["lifecycle"].read_text("utf-8")


def test_the_layers_in_the_guide_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    wanted = [set(re.findall(r"\w+", layer)) for layer in layers if layer != "__main__"]
    block = DOCUMENTS["design"].read_text("utf-8").split("```")[1]
    lines = [line.split() for line in block.strip().splitlines()]
    assert [set(words[: len(w)]) for words, w in zip(lines, wanted, strict=True)] == wanted


def test_the_kinds_of_failures_are_those_of_the_search() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", DOCUMENTS["prove"].read_text("utf-8"), re.MULTILINE)
    assert rows == list(KINDS)


def test_the_picture_is_of_the_present_demo() -> None:
    texts = re.findall(r"<text[^>]* y=\"([\d.]+)\"[^>]*>([^<]*)</text>", PICTURE.read_text("utf-8"))
    by_line = itertools.groupby(texts, key=lambda found: found[0])
    drawn = "\n".join("".join(text for _, text in line) for _, line in by_line)
    assert _squeezed(drawn) == _squeezed("batchsim demo\n" + "\n".join(shown())), "make outputs"


def _squeezed(text: str) -> list[str]:
    plain = html.unescape(text).replace("\xa0", " ")
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip()]


def test_the_last_line_of_make_test_is_what_the_makefile_prints() -> None:
    last_line = re.search(r'echo "(make test: .*)"', (ROOT / "Makefile").read_text("utf-8"))
    assert last_line is not None
    assert f"$ make test\n...\n{last_line[1]}\n" in README.read_text("utf-8")


def test_the_readme_is_short_and_lists_every_chapter_by_its_title() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    rows = re.findall(r"^\| \[([\w-]+)\]\(batchsim/guide/\1\.md\) \| (.*) \|$", text, re.MULTILINE)
    titles = {path.stem: HEADING.search(path.read_text("utf-8"))[1] for path in GUIDE.glob("*.md")}
    assert dict(rows) == titles
    assert [name for name, _ in rows] == list(CHAPTERS)


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_links_lead_to_files_and_headings(document) -> None:
    for found in LINK.finditer(BLOCK.sub("", document.read_text("utf-8"))):
        target = found[1] or found[2]
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        aim = document.parent / path if path else document
        assert aim.exists(), target
        if anchor:
            assert anchor in _anchors(aim), target


def _anchors(document: Path) -> set[str]:
    prose = BLOCK.sub("", document.read_text("utf-8"))
    return {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in HEADING.findall(prose)
    }


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_commands_that_are_only_named_exist_with_their_options(document) -> None:
    text = document.read_text("utf-8")
    blocks = [each[3] for each in BLOCK.finditer(text) if each[1] in ("sh", "yaml", "dockerfile")]
    prose = re.findall(r"`(batchsim [^`]+)`", BLOCK.sub("", text))
    for line in [*prose, *"\n".join(blocks).replace("\\\n", " ").splitlines()]:
        plain = line.replace('", "', " ").replace('"', " ")
        for found in re.finditer(r"(?:^|[ /])batchsim ([a-z]+\b[^|&;>#]*)", plain):
            _check_command(found[1].split(), line)


def _check_command(words: list[str], line: str) -> None:
    command: click.Command = command_line
    for word in words:
        if isinstance(command, click.Group) and re.fullmatch("[a-z]+", word):
            found = command.get_command(click.Context(command), word)
            assert found is not None, line
            command = found
        elif word.startswith("--"):
            known = {name for each in command.params for name in each.opts} | {
                "--help",
                "--version",
            }
            assert word.partition("=")[0] in known, line


def test_the_recipes_for_ci_are_yaml() -> None:
    blocks = [
        each for each in BLOCK.finditer(DOCUMENTS["ci"].read_text("utf-8")) if each[1] == "yaml"
    ]
    for block in blocks:
        recipe = yaml.safe_load(block[3])
        steps = [step for job in recipe["jobs"].values() for step in job["steps"]]
        assert all({"uses", "run"} & step.keys() for step in steps)
