"""A job as commands other than `run` see it: its directory, read without its lock.

Two files in it are the command line's own. `command.json` records how the job was begun, for those
who want to continue it. `counts.json` holds the latest counts of running batches; it is no part of
the journal, because losing it costs nothing.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from msgspec import convert

from batchsim.backends import Backend
from batchsim.cli.options.backend import real_backend
from batchsim.cli.terminal.exit_codes import ALL_GOOD, INCOMPLETE, SOME_FAILED
from batchsim.domain.batches import RequestCounts
from batchsim.errors import JournalError, UsageError
from batchsim.jsonl import replace_file
from batchsim.runner.job import Counts, JobDirectory, JobState, Stage
from batchsim.runner.job.directory import Holder
from batchsim.runner.journal import JournalReader
from batchsim.runner.progress.job_summary import JobSummary, summarize
from batchsim.runner.progress.snapshot import Progress, progress

RESULTS = "results.jsonl"
"""The results of a job without a results file of its own, in its directory."""

_COMMAND = "command.json"
_COUNTS = "counts.json"

FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"
"""The states of a job: its results are written; a runner is at work; neither."""


class Begun(NamedTuple):
    """How a job was begun: its input and results (absolute paths), the command and its folder."""

    input: str | None = None
    results: str | None = None
    folder: str = ""
    arguments: tuple[str, ...] = ()

    @classmethod
    def here(cls, source: Path | None, results: Path, arguments: Sequence[str]) -> Begun:
        real = os.path.realpath
        origin = real(source) if source else None
        return cls(origin, real(results), real(Path.cwd()), tuple(arguments))

    @property
    def command(self) -> str | None:
        """The shell command that continues the job; None when it is not known."""
        if not self.arguments:
            return None
        command = shlex.join(("batchsim", *self.arguments))
        is_here = not self.folder or self.folder == os.path.realpath(Path.cwd())
        return command if is_here else f"cd {shlex.quote(self.folder)} && {command}"

    @property
    def continued_by(self) -> str:
        return f"`{self.command}`" if self.command else "the command that began it"


class JobView(NamedTuple):
    """All there is to show of a job: what its directory says, and the summary of its journal."""

    path: Path
    results: Path
    begun: Begun
    runner: Holder | None
    summary: JobSummary

    @property
    def state(self) -> str:
        """FINISHED, RUNNING or STOPPED."""
        if self.summary.progress.finished is not None:
            return FINISHED
        return STOPPED if self.runner is None else RUNNING

    @property
    def code(self) -> int:
        """The exit code with which `run` would end in this state."""
        finished = self.summary.progress.finished
        if finished is None:
            return INCOMPLETE
        return ALL_GOOD if finished.tally.ok == finished.tally.lines else SOME_FAILED


@dataclass(frozen=True, slots=True)
class Job:
    """A job directory, which may be there or not."""

    path: Path

    @property
    def begun(self) -> Begun:
        return _read_begun(self.path / _COMMAND)

    @property
    def results(self) -> Path:
        if self.begun.results is not None:
            return Path(self.begun.results)
        beside = self.path.name.removesuffix(".job")
        return self.path.with_name(beside) if beside != self.path.name else self.path / RESULTS

    @property
    def exists(self) -> bool:
        try:
            return JobDirectory(self.path).journal.is_file()
        except (OSError, ValueError):  # a name that no file can have
            return False

    @contextmanager
    def reading(self) -> Iterator[Follower]:
        with JournalReader(JobDirectory(self.path).journal) as reader:
            follower = Follower(self, reader)
            follower.refresh()
            yield follower

    def view(self) -> JobView:
        """Return the job as it is now. Raises JournalError when the journal cannot be read."""
        with self.reading() as follower:
            return follower.view()

    def runner(self) -> Holder | None:
        """Return the process that works on the job, by its own word; None when there is none.

        The lock is not tried, since that could turn away a runner that starts at this moment. A
        process on another host is taken to be alive.
        """
        holder = JobDirectory(self.path).holder()
        if holder is not None and holder.host == socket.gethostname() and not _is_alive(holder.pid):
            return None
        return holder

    def ask_to_cancel(self) -> None:
        """Leave a request to cancel the job. Raises UsageError when it cannot be written."""
        try:
            with replace_file(JobDirectory(self.path).cancel_request):
                pass
        except OSError as error:
            raise UsageError(
                f"the request to cancel cannot be written to {self.path}: {error.strerror}",
                hint="make room there, or cancel the batches themselves: `batchsim batches cancel`",
            ) from None

    def write_begun(self, begun: Begun) -> None:
        with replace_file(self.path / _COMMAND) as stream:
            stream.write(json.dumps(begun._asdict()).encode())

    def write_counts(self, counts: Mapping[str, RequestCounts]) -> None:
        """Record the counts of running batches for other commands. They may be lost: not synced."""
        temporary = self.path / f".{_COUNTS}.tmp"
        values = {key: (each.total, each.completed, each.failed) for key, each in counts.items()}
        try:
            temporary.write_text(json.dumps(values))
            temporary.replace(self.path / _COUNTS)
        except OSError:
            temporary.unlink(missing_ok=True)

    def read_counts(self) -> dict[str, RequestCounts]:
        try:
            values = json.loads((self.path / _COUNTS).read_bytes())
            return {str(key): RequestCounts(*map(int, each)) for key, each in values.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


class Follower:
    """The state of a job, kept up to date from its journal."""

    def __init__(self, job: Job, reader: JournalReader) -> None:
        self.job = job
        self.state = JobState()
        self._reader = reader
        self.latest = 0.0
        """When the last entry was written, in unix seconds on the job's own clock."""

    @property
    def service(self) -> str:
        return self.state.started.service if self.state.started else ""

    @property
    def is_real(self) -> bool:
        """True when the job runs on a service, not on the simulator in its directory."""
        return "://" in self.service

    def backend(self) -> Backend:
        """Open the job's service. Raises JournalError when the key is of another account."""
        started = self.state.started
        backend = real_backend(self.service)
        if started is not None and started.account and backend.account != started.account:
            raise JournalError(
                f"the job was begun with another key, organization or project of {self.service}",
                hint="give the key with which it began, or tie the job to this one: run it again "
                "with --same-account",
            )
        return backend

    def refresh(self) -> None:
        """Take in what is new. Raises JournalError when the journal cannot be read."""
        for at, entry in self._reader.news():
            self.state.apply(at, entry)
            self.latest = at

    def view(self) -> JobView:
        job = self.job
        return JobView(job.path, job.results, job.begun, job.runner(), summarize(self.progress()))

    def progress(self, now: float | None = None) -> Progress:
        """Return how far the job is `now`, or at its last entry, with the counts recorded last."""
        counts = self.job.read_counts()
        seen = progress(self.state, self.latest if now is None else now)
        states = tuple(
            replace(
                shard,
                batch=replace(shard.batch, request_counts=counts[shard.batch.id]),
                checked_at=None,
            )
            if shard.batch and shard.batch.id in counts and shard.stage is Stage.LIVE
            else shard
            for shard in seen.states
        )
        return replace(seen, states=states, counts=Counts.of(states))


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _read_begun(path: Path) -> Begun:
    try:
        value = json.loads(path.read_bytes())
        return convert([value[name] for name in Begun._fields], Begun)
    except (OSError, ValueError, KeyError, TypeError):
        return Begun()
