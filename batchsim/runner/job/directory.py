"""The job directory: what lies where, who may be in it, and how an input gets there.

journal.db                 what happened (batchsim.runner.journal.store)
lock, holder.json          the lock, and for people: whose it is
requests.jsonl             the input, when it did not come as a file
shards/0001.output.jsonl   a result file as downloaded; so `error`; `records` are ours
shards/0001.index          where the result of each line of the shard lies
shards/0001.quarantine.jsonl   result lines that have no place in the results
shards/0001.conflicts.jsonl    pairs of results of one line that say different things
shards/0001.sent           which lines of a shard were sent outside batches, 8 bytes each
ledger.jsonl               one line per input line: what became of it, and in which batch
late.jsonl                 good results of lines that had a good one before
cancel                     there while somebody wants the job cancelled and no runner has noted it
"""

from __future__ import annotations

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
    """The process that holds a job, by its own word."""

    pid: int
    host: str


class JobDirectory:
    """The directory at `path`, made when something is first put into it.

    `outlasts_power` is false where nobody could go on with the job after a power failure, since its
    service would be gone, too: then no file in here is waited for until it is on the disk.
    """

    def __init__(self, path: Path, *, outlasts_power: bool = True) -> None:
        self.path = path
        self.outlasts_power = outlasts_power
        self.journal = path / "journal.db"
        self.requests = path / "requests.jsonl"
        self.ledger = path / "ledger.jsonl"
        self.late = path / "late.jsonl"
        self.cancel_request = path / "cancel"

    def holder(self) -> Holder | None:
        """Return the process that has the lock, if it has left its name."""
        try:
            value = orjson.loads((self.path / _HOLDER).read_bytes())
            return Holder(int(value["pid"]), str(value["host"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def site(self) -> str:
        """A name for where the directory lies, which a copy of it does not have: 8 hex digits.

        It is made of the numbers that the file system gives the directory and its journal, which
        must be there. Moving the directory within its file system keeps them; so does a clone of
        the whole disk, which cannot be told from it.
        """
        numbers = f"{self.path.stat().st_ino} {self.journal.stat().st_ino}"
        return hashlib.sha256(numbers.encode()).hexdigest()[:8]

    def file(self, shard: int, source: Source) -> Path:
        """Where lines of the results from `source` are kept."""
        return self._shard_path(shard, f"{source}.jsonl")

    def index(self, shard: int) -> Path:
        """Where the places of the shard's results are kept."""
        return self._shard_path(shard, "index")

    def quarantine(self, shard: int) -> Path:
        """Where result lines are kept that have no place in the results."""
        return self._shard_path(shard, "quarantine.jsonl")

    def conflicts(self, shard: int) -> Path:
        """Where pairs of results of one line are kept that say different things."""
        return self._shard_path(shard, "conflicts.jsonl")

    def owns(self, path: Path) -> bool:
        """Whether `path` is a file that makes the job what it is."""
        kept = self.journal, self.requests, self.ledger, self.late, self.cancel_request
        own = {_LOCK, _HOLDER, *(each.name for each in kept)}
        place = Path(os.path.realpath(path))
        home = Path(os.path.realpath(self.path))
        return (place.parent == home and place.name in own) or home / _SHARDS in place.parents

    def _shard_path(self, shard: int, name: str) -> Path:
        return self.path / _SHARDS / f"{shard:04}.{name}"

    @contextmanager
    def locked(self, *, network_files: bool = False) -> Iterator[None]:
        """Hold the directory against other runners; it is made for us alone to read.

        Raises JournalError when a runner is in it, when somebody else could change what it holds,
        and when it lies on a network file system, unless `network_files` are allowed.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(self.path)
        kind = network_type(self.path)
        if kind is not None and not network_files:
            raise JournalError(
                f"the job directory {self.path} lies on a network file system ({kind}), where locks "
                "and syncing may not hold",
                hint="name one on a disk of this machine: --job DIR; or --network-files, at your own risk",
            )
        (self.path / _SHARDS).mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(self.path / _LOCK, mode=0o600)
        holder = self.path / _HOLDER
        for path in (self.path / _LOCK, holder):
            if path.is_symlink():
                raise JournalError(
                    f"{path} is a link, which no runner made",
                    hint="see who could write there, then remove it",
                )
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
        """Write `requests` as an input file, one a line. Returns its path.

        Raises InputError when one is not a single line; and JournalError, the file untouched, when
        the job that it belongs to has begun with others.
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
    """`request` as the line `number` of an input file. Raises InputError when it is not one line."""
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
    """What orjson takes and json does not, as json takes it."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)  # type: ignore[arg-type] # no class is JSON
