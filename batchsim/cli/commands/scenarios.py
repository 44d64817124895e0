"""`batchsim scenarios`: how the simulator can behave, and what its plans of faults can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchsim.cli.terminal.exit_codes import ALL_GOOD

if TYPE_CHECKING:
    from batchsim.backends.fake import Faults


@click.command()
@click.option(
    "--faults", is_flag=True, help="List the faults that a plan (--faults FILE) can name."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per scenario or fault."
)
def scenarios(*, faults: bool, as_json: bool) -> int:
    """List how the fake can behave: for serve, demo and tests.

    Scenarios can be combined, with commas: `batchsim serve --scenario
    expired_partial,rate_limited`. For a single batch, name one in its metadata:
    {"batchsim.scenario": "token_limit"}.
    """
    if as_json:
        _print_objects(_fault_objects() if faults else _scenario_objects())
    elif faults:
        _list_faults()
    else:
        list_scenarios()
    return ALL_GOOD


def scenario_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--scenario` (a name, or several) and `--faults` (a path) to a command."""
    plan = click.option(
        "--faults",
        "plan",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A TOML file of what goes wrong; `batchsim scenarios --faults` shows what it can "
        "hold.",
    )
    name = click.option(
        "--scenario",
        metavar="NAMES",
        default="completed",
        show_default=True,
        help="How the service behaves: slow, expired_partial, rate_limited, ... Several with "
        "commas; `list` shows them all.",
    )
    return name(plan(command))


def faults_in(plan: Path | None) -> Faults:
    """The faults in a plan, none without one. Raises UsageError for a plan that is wrong."""
    if plan is None:
        from batchsim.backends.fake import NO_FAULTS

        return NO_FAULTS
    from batchsim.backends.fake.behaviour import read_plan

    return read_plan(plan)


def list_scenarios() -> None:
    from batchsim.backends.fake import SCENARIOS

    _list((each.name, each.description) for each in SCENARIOS.values())


def _print_objects(objects: Iterable[Mapping[str, Any]]) -> None:
    from batchsim.cli.terminal.output import print_json

    for each in objects:
        print_json(each)


def _scenario_objects() -> Iterator[dict[str, Any]]:
    from batchsim.backends.fake import SCENARIOS

    for each in SCENARIOS.values():
        yield {"scenario": each.name, "description": each.description}


def _fault_objects() -> Iterator[dict[str, Any]]:
    from batchsim.backends.fake.behaviour import LINE_FAULTS, REQUEST_FAULTS

    for table, kinds in (("requests", REQUEST_FAULTS), ("lines", LINE_FAULTS)):
        for name, kind in kinds.items():
            has = list(kind.parameters)
            yield {"table": table, "fault": name, "description": kind.description, "has": has}


def _list_faults() -> None:
    from batchsim.backends.fake.behaviour import LINE_FAULTS, REQUEST_FAULTS

    click.echo("[[requests]]  fault, call, file, nth, share, since, until, and what the fault has")
    _list((name, _with(kind)) for name, kind in REQUEST_FAULTS.items())
    click.echo("\n[[lines]]  fault, custom_id, line, batch, share, and what the fault has")
    _list((name, _with(kind)) for name, kind in LINE_FAULTS.items())
    click.echo("\n[[batches]]  scenario, nth, share")


def _with(kind: Any) -> str:
    having = f" ({', '.join(kind.parameters)})" if kind.parameters else ""
    return f"{kind.description}{having}"


def _list(entries: Iterable[tuple[str, str]]) -> None:
    for name, description in entries:
        click.echo(f"{name:<20}{description}")
