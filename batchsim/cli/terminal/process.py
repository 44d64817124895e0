"""The process: closed streams, signals, and output that cannot be written."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from batchsim.cli.terminal.exit_codes import INCOMPLETE, UNREAD, exit_code
from batchsim.errors import BatchsimError

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def fill_closed_streams() -> None:
    """Open the null device for a closed stdout or stderr, whose number a file would get."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


@contextmanager
def interrupted_by_any_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: with a clean terminal and a hint.

    The first signal counts. Later ones are ignored, because cleaning up takes a moment and nothing
    is left to interrupt. A signal that is ignored (as under `nohup`), or has a handler already, is
    left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.getsignal(number)
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name))
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    }

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        before.clear()
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def discard_output(error: OSError) -> int:
    """Say on stderr why the output cannot be written, and drop the rest; return the exit code."""
    from batchsim.domain.validation.error_explanation import shown

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    try:
        if not isinstance(error, BrokenPipeError):
            file = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {shown(f'{file}{error.strerror or error}')}", err=True)
            click.echo("hint: mend that, then give the same command again", err=True)
        sys.stderr.flush()
    except OSError:
        os.dup2(null, sys.stderr.fileno())
    if isinstance(error.__context__, BatchsimError):  # it was just being explained
        return exit_code(error.__context__)
    return UNREAD if isinstance(error, BrokenPipeError) else INCOMPLETE
