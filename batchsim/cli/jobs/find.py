"""Find the job that a name stands for.

A job is named by its results file or by its job directory; a job whose results went to standard
output is named by its input.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from batchsim.cli.jobs.job import Job
from batchsim.cli.jobs.registry import registered
from batchsim.errors import UsageError


def find_job(name: str | None) -> Job:
    """Return the job that `name` stands for, or the latest. Raises UsageError unless it is one."""
    if name is None:
        return _latest()
    path = Path(name)
    candidates = (path, Path(f"{name}.job"))
    found = next((each for each in candidates if Job(each).exists), None)
    if found is not None:
        return Job(found)
    barred = next((each for each in candidates if _is_barred(each)), None)
    if barred is not None:
        raise UsageError(
            f"the directory {barred} may not be read", hint="give yourself permission to read it"
        )
    named = list(_jobs_with_file(path))
    if len(named) == 1:
        return named[0]
    if named:
        paths = ", ".join(str(each.path) for each in named)
        raise UsageError(f"several jobs belong to {name}: {paths}", hint="name one of these")
    raise UsageError(
        f"there is no job of {name}",
        hint="name its results file or its job directory; `batchsim jobs` lists those begun here",
    )


def _latest() -> Job:
    for entry in registered():
        if Job(entry.path).exists:
            return Job(entry.path)
    raise UsageError(
        "no job was begun by this user on this machine",
        hint="name one by its results file or its job directory",
    )


def _jobs_with_file(path: Path) -> Iterator[Job]:
    try:
        wanted = os.path.realpath(path)
    except (OSError, ValueError):
        return
    for entry in registered():
        job = Job(entry.path)
        if job.exists and wanted in (job.begun.results, job.begun.input):
            yield job


def _is_barred(path: Path) -> bool:
    try:
        return path.is_dir() and not os.access(path, os.R_OK | os.X_OK)
    except (OSError, ValueError):
        return False
