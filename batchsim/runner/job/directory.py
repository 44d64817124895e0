"""The job directory: its files, its lock, and the input that is written into it.

journal.db                 the journal (batchsim.runner.journal.store)
lock, holder.json          the lock, and who holds it
requests.jsonl             the input, when it did not come as a file
shards/0001.output.jsonl   a result file as downloaded; likewise `error`; `records`: placeholders
shards/0001.index          where the result of each line of the shard is
shards/0001.quarantine.jsonl   result lines that are not used in the results
shards/0001.conflicts.jsonl    pairs of different results of one line
begun                      the name of the run whose beginning the journal holds
ledger.jsonl               one record per input line: its outcome, and its batch
late.jsonl                 good results of lines that had a good one before
adopted.json               which batches the job was to adopt, if it adopts any
cancel                     exists while a cancellation was asked for and no runner has recorded it
"""

import dataclasses
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from filelock import FileLock, Timeout

from batchsim.errors import InputError, JournalError
from batchsim.jsonl import replace_file
from batchsim.runner.job.filesystem import check_private, network_type
from batchsim.runner.journal.shard_entries import Source

_LOCK = "lock"
_HOLDER = "holder.json"
_SHARDS = "shards"

RequestLike = Mapping[str, Any] | str | bytes
"""A request line: its JSON as text or bytes, or the object itself."""


class Holder(NamedTuple):
    """The process that holds a job, as it says itself."""

    pid: int
    host: str


class JobDirectory:
    """The directory at `path`, made when something is first put into it.

    `outlasts_power` is false where a power failure ends the service as well, so that the job could
    not go on: then nothing waits until a file is on the disk.
    """

    def __init__(self, path: Path, *, outlasts_power: bool = True) -> None:
        self.path = path
        self.outlasts_power = outlasts_power
        self.journal = path / "journal.db"
        self.requests = path / "requests.jsonl"
        self.ledger = path / "ledger.jsonl"
        self.late = path / "late.jsonl"
        self.cancel_request = path / "cancel"
        self.terms = path / "adopted.json"
        self.begun = path / "begun"

    def holder(self) -> Holder | None:
        try:
            value = orjson.loads((self.path / _HOLDER).read_bytes())
            return Holder(int(value["pid"]), str(value["host"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def site(self) -> str:
        """The name of this directory, which a copy of it does not share: 8 hex digits.

        It is made from the inode numbers of the directory and of its journal, which must exist.
        Moving the directory within its file system keeps them; so does a clone of the whole disk.
        """
        numbers = f"{self.path.stat().st_ino} {self.journal.stat().st_ino}"
        return hashlib.sha256(numbers.encode()).hexdigest()[:8]

    def file(self, shard: int, source: Source) -> Path:
        return self._shard_path(shard, f"{source}.jsonl")

    def index(self, shard: int) -> Path:
        return self._shard_path(shard, "index")

    def quarantine(self, shard: int) -> Path:
        return self._shard_path(shard, "quarantine.jsonl")

    def conflicts(self, shard: int) -> Path:
        return self._shard_path(shard, "conflicts.jsonl")

    def owns(self, path: Path) -> bool:
        kept = (
            self.journal, self.requests, self.ledger, self.late, self.cancel_request, self.terms,
            self.begun,
        )  # fmt: skip
        own = {_LOCK, _HOLDER, *(each.name for each in kept)}
        place = Path(os.path.realpath(path))
        home = Path(os.path.realpath(self.path))
        return (place.parent == home and place.name in own) or home / _SHARDS in place.parents

    def mark_begun(self, run: str) -> None:
        """Record, beside the journal, that it holds the beginning of that run."""
        with replace_file(self.begun, private=True, synced=self.outlasts_power) as stream:
            stream.write(run.encode())

    def check_journal(self, run: str | None) -> None:
        """Raise JournalError where a job has begun here that is not the journal's.

        Its batches may be paid for, so the job is not begun anew.
        """
        begun = self.begun.read_text("ascii", "replace") if self.begun.exists() else None
        if run is None and begun is None:
            shards = self.path / _SHARDS
            traces = [*shards.glob("*.output.jsonl"), *shards.glob("*.error.jsonl")]
            begun = "unknown" if traces or self.ledger.exists() else None
        elif run is not None and begun is None:  # killed before it was marked, or an old version's
            self.mark_begun(run)
            return
        if begun is not None and begun != run:
            held = "is lost or empty" if run is None else "is that of another job"
            raise JournalError(
                f"a job has begun in {self.path}, and its journal {self.journal.name} {held}",
                hint="its batches may be paid for: put the journal back; or move the directory "
                "away, and rebuild the job from the service's lists: "
                "batchsim recover INPUT -o RESULTS",
            )

    def _shard_path(self, shard: int, name: str) -> Path:
        return self.path / _SHARDS / f"{shard:04}.{name}"

    @contextmanager
    def locked(self, *, network_files: bool = False) -> Iterator[None]:
        """Lock the directory against other runners; make it, readable for its owner only.

        Raises JournalError when another runner has it, when other users could change its files, and
        when it is on a network file system, unless `network_files` are allowed.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(self.path)
        kind = network_type(self.path)
        if kind is not None and not network_files:
            raise JournalError(
                f"the job directory {self.path} lies on a network file system ({kind}), where "
                "locks and syncing may not hold",
                hint="name one on a disk of this machine: --job DIR; or --network-files, at your "
                "own risk",
            )
        holder = self.path / _HOLDER
        for path in (self.path / _LOCK, holder, self.path / _SHARDS):
            if path.is_symlink():
                raise JournalError(
                    f"{path} is a link, which no runner made",
                    hint="see who could write there, then remove it",
                )
        (self.path / _SHARDS).mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(self.path / _LOCK, mode=0o600)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            named = self.holder()
            who = f"process {named.pid} on {named.host}" if named else "it has not left its name"
            raise JournalError(
                f"another runner is at work in {self.path}: {who}",
                hint="wait for it to end, or stop it; then the same command goes on",
            ) from None
        try:
            holder.write_text(json.dumps(Holder(os.getpid(), socket.gethostname())._asdict()))
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def spool(self, requests: Iterable[RequestLike], *, has_begun: bool = False) -> Path:
        """Write `requests` as an input file, one a line. Return its path.

        Raises InputError when one is not a single line, and JournalError when the job has begun
        with other lines; the file is then unchanged.
        """
        if has_begun and self.requests.exists():
            self._compare(requests)
            return self.requests
        with replace_file(self.requests, private=True, synced=self.outlasts_power) as stream:
            for number, request in enumerate(requests, start=1):
                stream.write(as_line(number, request))
        return self.requests

    def _compare(self, requests: Iterable[RequestLike]) -> None:
        number = 0
        with self.requests.open("rb") as stream:
            for number, request in enumerate(requests, start=1):
                line = as_line(number, request)
                if stream.read(len(line)) != line:
                    raise _other_lines(number)
            if stream.read(1):
                raise _other_lines(number + 1)


def _other_lines(number: int) -> JournalError:
    return JournalError(
        f"the lines are not those that the job began with: line {number} is another",
        hint="give the same lines to go on with the job, or give these a job of their own",
    )


def as_line(number: int, request: RequestLike) -> bytes:
    """Return `request` as line `number` of an input. Raises InputError when it is not one line."""
    if isinstance(request, str):
        content = request.encode("utf-8", "surrogatepass")
    elif isinstance(request, bytes):
        content = request
    else:
        try:
            content = orjson.dumps(request)
            if b"null" in content:  # so it writes a NaN, which would be another request
                json.dumps(request, allow_nan=False, default=_plain)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the request is not JSON: {error}",
                line=number,
                hint="make it of dicts, lists, strings and finite numbers, or give it as text",
            ) from error
    content = content.removesuffix(b"\n")
    if b"\n" in content:
        raise InputError(
            "the request has more than one line",
            line=number,
            hint="JSON on one line is what json.dumps writes without `indent`",
        )
    return content + b"\n"


def _plain(value: object) -> object:
    """Convert for json a value that only orjson can write."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)  # type: ignore[arg-type] # no class is JSON
