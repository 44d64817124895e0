"""The list of commands, which imports none of them."""

import json
import pkgutil
import re
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from batchsim import __version__
from batchsim.cli import GROUPS, SUMMARIES, command_line, commands


def test_what_each_command_does_is_read_whole_in_the_list() -> None:
    listed = CliRunner().invoke(command_line, ["--help"], terminal_width=80).output
    assert all(f"  {summary}\n" in listed for summary in SUMMARIES.values())


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_list_says_of_a_command_what_the_command_says(name):
    command = command_line.get_command(click.Context(command_line), name)
    assert SUMMARIES[name] == command.get_short_help_str(1_000)


def test_every_command_is_in_the_list(batchsim):
    told = batchsim("--help").stdout
    assert re.findall(r"^  ([a-z]+)  ", told, re.MULTILINE) == [*SUMMARIES]
    assert all(f"\n{heading}:\n" in told for heading in GROUPS)
    assert batchsim("nonsense").code == 2


def test_every_module_of_a_command_is_in_the_list():
    homes = pkgutil.iter_modules(commands.__path__)
    names = {
        home.name
        for home in homes
        if isinstance(
            getattr(import_module(f"batchsim.cli.commands.{home.name}"), home.name, None),
            click.Command,
        )
    }
    assert names == {*SUMMARIES}


def test_help_imports_no_command():
    script = "import sys, runpy; sys.argv = ['batchsim', '--help']\n"
    script += "try: runpy.run_module('batchsim', run_name='__main__')\n"
    script += "except SystemExit: print(*[n for n in sys.modules if n.startswith('batchsim.')])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(ran.stdout.splitlines()[-1].split()) == {
        "batchsim.cli",
        "batchsim.errors",
        "batchsim.cli.terminal.exit_codes",
        "batchsim.cli.terminal",
        "batchsim.cli.terminal.process",
    }


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_what_is_told_at_once_reads_no_metadata_and_leaves_no_modules_to_be_looked_over(asked):
    script = f"import gc, sys, runpy; sys.argv = ['batchsim', '{asked}']\n"
    script += "try: runpy.run_module('batchsim', run_name='__main__')\n"
    script += "except SystemExit: print(gc.isenabled(), gc.get_freeze_count() > 10_000, "
    script += "'importlib.metadata' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "True True False"


def test_the_version_is_told(batchsim):
    assert batchsim("--version").stdout == f"batchsim, version {__version__}\n"


def every_command():
    """The commands that do something, each by its words."""

    def walk(words, command):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from walk((*words, name), command.get_command(context, name))
        else:
            yield " ".join(words), command

    return dict(walk((), command_line))


@pytest.mark.parametrize("name", ["run", "adopt", "serve"])
def test_the_help_of_a_command_with_many_options_groups_all_of_them(name):
    command = every_command()[name]
    options = {each.name for each in command.params if isinstance(each, click.Option)}
    grouped = [option for names in command.groups.values() for option in names]
    assert options <= set(grouped)
    assert len(grouped) == len(set(grouped))
    told = CliRunner().invoke(command_line, [name, "--help"], terminal_width=100).output
    for option in command.params:
        if isinstance(option, click.Option):
            assert re.search(rf"^  (-\w, )?{option.opts[-1]}\b", told, re.MULTILINE)
    assert told.partition("\nOptions:\n")[2].strip().startswith("-h, --help")


def test_the_examples_in_the_help_are_commands_with_their_options():
    commands = every_command()
    context = click.Context(command_line)
    told = [
        *(each.epilog or "" for each in commands.values()),
        *(command_line.get_command(context, name).epilog or "" for name in ("batches", "files")),
    ]
    examples = [line for text in told for line in text.splitlines() if line.startswith("  ")]
    assert len(examples) > 30
    for example in examples:
        _, name, *words = example.split()
        command = commands.get(name) or commands[f"{name} {words[0]}"]
        known = {option for each in command.params for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= known, example


WITHOUT_JSON = {
    "files download": "it writes the content of a file, which is what it is",
    "guide": "it prints texts for people, as Markdown where there is no terminal",
}


def test_every_command_has_json_or_a_reason_why_not():
    found = every_command()
    without = {
        words
        for words, command in found.items()
        if not any("--json" in option.opts for option in command.params)
    }
    assert without == WITHOUT_JSON.keys()
    assert {"run", "adopt", "batches cancel", "files prune", "record", "serve"} <= found.keys()


def test_a_rehearsal_loads_no_client_and_no_prices(tmp_path):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "input.jsonl").write_text(json.dumps(line))
    script = (
        "import sys, runpy; sys.argv = ['batchsim', 'run', '--fake', 'input.jsonl', '-o', 'r']\n"
    )
    script += "try: runpy.run_module('batchsim', run_name='__main__')\n"
    script += "except SystemExit: print(*[n for n in sys.modules if '.' not in n])"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = set(ran.stdout.split())
    assert (tmp_path / "r").stat().st_size
    assert not loaded & {"genai_prices", "httpx", "httpx2", "openai", "pydantic", "rich"}
