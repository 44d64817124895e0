"""Files that earlier jobs left at a service, and whether they are still needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from batchsim.amounts import distance, size
from batchsim.backends import Backend
from batchsim.cli.jobs.job import Job
from batchsim.cli.jobs.registry import registered
from batchsim.cli.terminal.table import columns
from batchsim.domain.batches import Batch
from batchsim.domain.files import File, Purpose
from batchsim.domain.limits import HOUR
from batchsim.errors import JournalError
from batchsim.runner.effects.batch_list import every_batch, listed_since
from batchsim.runner.effects.verify_downloads import sha256_of
from batchsim.runner.job import JobDirectory, JobState
from batchsim.runner.journal.shard_entries import Downloaded
from batchsim.runner.progress.snapshot import unfound

OUR_PREFIX = "bs-"
"""The prefix of the names of input files that jobs upload."""

_RUN = 12


class Need(StrEnum):
    NONE = "none"
    """Its job is finished and the results are on this machine, or it belongs to no batch."""
    RUNNING = "running"
    UNFINISHED = "unfinished"
    """Its job on this machine has not collected it, or has lost the results."""
    ELSEWHERE = "elsewhere"
    """No job on this machine knows it; a job of another machine may need it."""
    YOUNG = "young"
    """It is an input file without a batch, so new that a runner may be about to use it."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file of one of our jobs, its kind, its run (None: not known), and its need."""

    file: File
    kind: str
    run: str | None
    need: Need

    def to_object(self, *, deleted: bool) -> dict[str, Any]:
        return {
            "file": self.file.to_object(),
            "kind": self.kind,
            "run": self.run,
            "needed": str(self.need),
            "deleted": deleted,
        }


LEFTOVER_COLUMNS = columns("ID", "KIND", ">SIZE", ">CREATED", "NEEDED", "RUN")


def leftover_row(leftover: Leftover, now: float) -> tuple[str, ...]:
    file = leftover.file
    created = distance(file.created_at, now) if file.created_at else ""
    run = (leftover.run or "")[:_RUN]
    return file.id, leftover.kind, size(file.bytes), created, str(leftover.need), run


def leftovers(backend: Backend) -> Iterator[Leftover]:
    """Yield every file at the service that a job of ours left, the newest first."""
    batches = _ours(backend)
    by_file = {}
    for batch in batches:
        for kind in ("input", "output", "error"):
            file_id = getattr(batch, f"{kind}_file_id")
            if file_id:
                by_file[file_id] = (kind, batch)
    lacking = _lacking()
    unfound_files = set().union(*filter(None, lacking.values()))
    now = backend.clock.now()
    for file in listed_since(lambda after: backend.list_files(after=after)):
        known = by_file.get(file.id)
        if known is not None:
            kind, batch = known
            if kind != "input" and file.purpose != Purpose.BATCH_OUTPUT:
                continue  # a file of the user's, which the batch names as its results
            yield Leftover(file, kind, _run_of(batch), _need(batch, lacking))
        elif file.purpose == "batch" and file.filename.startswith(OUR_PREFIX):
            is_young = file.created_at > now - HOUR
            need = Need.UNFINISHED if file.id in unfound_files else Need.NONE
            yield Leftover(file, "input", None, Need.YOUNG if is_young else need)


def _ours(backend: Backend) -> list[Batch]:
    return [
        batch
        for batch in every_batch(backend)
        if _run_of(batch) or "bs_doctor" in (batch.metadata or {})
    ]


def _run_of(batch: Batch) -> str | None:
    return (batch.metadata or {}).get("bs_run")


def _need(batch: Batch, lacking: Mapping[str, set[str] | None]) -> Need:
    """Return the need of the batch's files; `lacking` has the runs known on this machine."""
    run = _run_of(batch)
    if not batch.status.is_terminal:
        return Need.RUNNING
    if run is None:
        return Need.NONE  # a trial of `doctor`
    if run not in lacking:
        return Need.ELSEWHERE
    files = lacking[run]
    is_lacking = files is None or batch.input_file_id in files
    return Need.UNFINISHED if is_lacking else Need.NONE


def _lacking() -> dict[str, set[str] | None]:
    """Return the runs of this user's jobs, and the input files whose results they lack.

    None stands for all files: the results of the job are not whole on this disk, or a download of
    which they were made is gone or changed (a size alone proves nothing). Otherwise these
    are the files of batches that the job gave up and that may still turn up.
    """
    runs: dict[str, set[str] | None] = {}
    for entry in registered():
        job = Job(entry.path)
        if not job.exists:
            continue
        try:
            with job.reading() as follower:
                state = follower.state
                started, finished = state.started, state.finished
        except JournalError:
            continue
        if started is not None:
            is_whole = finished is not None and finished.is_whole(job.results)
            if not is_whole or not _has_downloads(entry.path, state):
                runs[started.run] = None
            else:
                runs.setdefault(started.run, set(unfound(state.shards.values()).values()))
    return runs


def _has_downloads(path: Path, state: JobState) -> bool:
    """Return whether every download in the job directory still has its hash."""
    directory = JobDirectory(path)
    return all(
        sha256_of(directory.file(number, file.source)) == file.sha256
        for number, shard in state.shards.items()
        for file in shard.files
        if isinstance(file, Downloaded)
    )
