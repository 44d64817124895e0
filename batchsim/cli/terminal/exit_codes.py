"""An error -> what a person reads on stderr, and the exit code."""

from __future__ import annotations

import click

from batchsim.errors import (
    AuthenticationFailed,
    BatchsimError,
    InputError,
    JobIncomplete,
    OutcomeUnknown,
    Refused,
    UnaccountedBatches,
    Unavailable,
)

ALL_GOOD = 0
SOME_FAILED = 1
BAD_INPUT = 2
UNACCOUNTED = 3
INCOMPLETE = 75
INTERRUPTED = 130
UNREAD = 141
"""Whoever read the output went away first, as `head` does; what a shell says of any such program."""

LONGEST = 2_000
"""Characters. No more than this is shown of a message."""


def explain(error: BatchsimError) -> int:
    """Say on stderr what happened and what to do next; the exit code to end with.

    Names of files and words of services come in it, so nothing of it may command the terminal.
    """
    from batchsim.domain.validation.diagnosis import shown

    place = f"{error.place}: " if isinstance(error, InputError) and error.place else ""
    told = shown(f"{place}{error.message}", LONGEST)
    click.echo(f"{click.style('error', fg='red', bold=True)}: {told}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {shown(error.hint, LONGEST)}", err=True)
    return exit_code(error)


def exit_code(error: BatchsimError) -> int:
    """The exit code.

    75 when the same command can go on, 3 when a job is done and has batches that it did not make,
    2 when something must be mended first.
    """
    if isinstance(error, UnaccountedBatches):
        return UNACCOUNTED
    if isinstance(error, AuthenticationFailed):
        return BAD_INPUT
    if isinstance(error, JobIncomplete | OutcomeUnknown | Refused | Unavailable):
        return INCOMPLETE
    return BAD_INPUT
