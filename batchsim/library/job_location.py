"""Find the files of a job, so that a second call finds the results that were paid for."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, cast

from batchsim.backends import Backend
from batchsim.errors import InputError, JournalError, UsageError
from batchsim.jsonl import read_lines
from batchsim.runner.job import JobDirectory
from batchsim.runner.journal import JournalReader

PathLike = str | os.PathLike[str]

_RESULTS = "results.jsonl"


class JobLocation:
    """The files of a job: its input, its results and its directory.

    A `temporary` job vanishes with the last object that knows it. `spool` holds the lines until
    the work is done, where they had to be read to name the job.
    """

    def __init__(
        self,
        source: Path | None,
        results: PathLike | None,
        job: PathLike,
        *,
        temporary: bool = False,
    ) -> None:
        self.job = Path(job)
        self.results = self.job / _RESULTS if results is None else Path(results)
        self.source = JobDirectory(self.job).requests if source is None else source
        self.spool: BinaryIO | None = None
        self.remove = weakref.finalize(self, _remove, self.job) if temporary else None

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the job's directory; remove it again when the work is refused before it begins.

        Raises UsageError when it cannot be made.
        """
        is_new = not self.job.exists()
        if self.results.parent == self.job:
            try:
                self.job.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"cannot make the job directory {self.job}: {error.strerror}",
                    hint="name another: job=...",
                ) from None
        try:
            yield
        except (InputError, UsageError):
            if is_new and not _has_begun(JobDirectory(self.job).journal):
                shutil.rmtree(self.job, ignore_errors=True)
            raise
        finally:
            if self.spool is not None:
                self.spool.close()


def locate_job(
    lines: Path | Iterator[bytes], backend: Backend, results: PathLike | None, job: PathLike | None
) -> tuple[JobLocation, Path | Iterator[bytes]]:
    """Find the files of a job. Its lines are returned too: they are read when only they name it."""
    source = lines if isinstance(lines, Path) else None
    if job is not None:
        return JobLocation(source, results, job), lines
    if results is not None:
        return JobLocation(source, results, f"{os.fspath(results)}.job"), lines
    if not backend.lasts:
        return JobLocation(
            source, None, tempfile.mkdtemp(prefix="batchsim-"), temporary=True
        ), lines
    if isinstance(lines, Path):
        return JobLocation(source, None, f"{lines}.job"), lines
    spool, digest = _kept(lines, f"{backend.service} {backend.account}\n")
    place = JobLocation(source, None, f"batchsim-{digest}.job")
    place.spool = spool
    return place, (line.content for line in read_lines(spool))


def _kept(lines: Iterator[bytes], owner: str) -> tuple[BinaryIO, str]:
    """Keep the lines in a file without a name; return it with a digest of them and the service."""
    digest = blake2b(owner.encode(), digest_size=6)
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - JobLocation closes it
    try:
        for line in lines:
            digest.update(line)
            spool.write(line)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return cast(BinaryIO, spool), digest.hexdigest()


def _has_begun(journal: Path) -> bool:
    if not journal.exists():
        return False
    try:
        with JournalReader(journal) as reader:
            return any(True for _ in reader.news())
    except JournalError:
        return True


def _remove(folder: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(folder)
