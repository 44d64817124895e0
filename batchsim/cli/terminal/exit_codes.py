"""Exit codes, and the message on stderr for each error."""

import click

from batchsim import errors

ALL_GOOD = 0
SOME_FAILED = 1
BAD_INPUT = 2
UNACCOUNTED = 3  # a job is done, and has batches that it did not create
INCOMPLETE = 75  # the same command continues
INTERRUPTED = 130
UNREAD = 141
"""The reader of the output went away first, as `head` does; shells use the same code."""

LONGEST = 2_000
"""Characters that are shown of a message, at most."""


def explain(error: errors.BatchsimError) -> int:
    """Say on stderr, with control characters escaped, what to do next; return the exit code."""
    from batchsim.domain.validation.error_explanation import shown

    where = f"{error.place}: " if isinstance(error, errors.InputError) and error.place else ""
    text = shown(f"{where}{error.message}", LONGEST)
    click.echo(f"{click.style('error', fg='red', bold=True)}: {text}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {shown(error.hint, LONGEST)}", err=True)
    return exit_code(error)


def exit_code(error: errors.BatchsimError) -> int:
    if isinstance(error, errors.UnaccountedBatches):
        return UNACCOUNTED
    if isinstance(error, errors.AuthenticationFailed):
        return BAD_INPUT
    if isinstance(
        error, errors.JobIncomplete | errors.OutcomeUnknown | errors.Refused | errors.Unavailable
    ):
        return INCOMPLETE
    return BAD_INPUT
