"""Actions -> what happened: the only part of the runner that speaks to the backend.

Theory of operation. Each action is a generator of entries. Whoever drives it writes an entry to
the journal before asking for the next one, so a request that is sent between two entries is sent
with its intent already on the disk; this is how "the intent first" is kept, and crash tests need
only stop between two entries. An exception ends the action where it stands, which is always a
state that the next process can read.

Failures become entries here. A request that surely had no effect is tried again later (Postponed),
one that was refused for good blocks its shard (Blocked), and one whose outcome is unknown leaves
the stage as the intent made it, so that the next step is to look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from batchsim.backends import Backend, Page
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.errors import (
    BatchsimError,
    JournalError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    TransferBroken,
    Unavailable,
)
from batchsim.jsonl import replace_file
from batchsim.runner import decide
from batchsim.runner.collect import assemble, collect
from batchsim.runner.content import ShardContent
from batchsim.runner.custom_ids import CustomIdSpool
from batchsim.runner.directory import JobDirectory
from batchsim.runner.entries import (
    BatchGivenUp,
    Blocked,
    Collected,
    CreateAbandoned,
    Created,
    CreateIntended,
    CreateRefused,
    CreateUnknown,
    Downloaded,
    Entry,
    FileGone,
    Finished,
    Looked,
    Observed,
    Postponed,
    Started,
    UploadDropped,
    Uploaded,
    UploadIntended,
)
from batchsim.runner.plan import custom_ids_in
from batchsim.runner.policy import Policy, is_passing, misses_file
from batchsim.runner.search import listed_since
from batchsim.runner.state import ShardState, State

SKEW = 3_600
"""How far the service's clock may differ from ours, in seconds, when a list is searched."""


OUR_METADATA = ("bs_run", "bs_shard", "bs_try")
"""The metadata keys that name a batch as ours; a user has what is left of the pairs."""


def metadata_of(started: Started, shard: ShardState, shards: int) -> dict[str, str]:
    """The metadata of a shard's batch: the user's own, and the three keys that name it as ours."""
    ours = started.run, f"{shard.plan.shard}/{shards}", str(shard.attempt)
    return {**started.metadata, **dict(zip(OUR_METADATA, ours, strict=True))}


@dataclass(frozen=True, slots=True)
class Performer:
    """What actions need: where the job lies, whom it speaks to, and how patient it is.

    `state` is the driver's own: it has taken in every entry by the time the next is asked for.
    `custom_ids` is None where the job was planned by another process; then the input tells them.
    """

    backend: Backend
    directory: JobDirectory
    source: Path
    results: Path
    state: State
    policy: Policy
    custom_ids: CustomIdSpool | None = None

    def perform(self, action: decide.Action) -> Iterator[Entry]:
        """Do `action`, telling what is about to happen and what did."""
        if isinstance(action, decide.Assemble):
            yield Finished(bytes=self.assemble())
        elif isinstance(action, decide.ShardAction):
            try:
                yield from self._perform(action)
            except (Unavailable, RateLimited) as error:
                yield self._postponed(action.shard, error)
            except Refused as error:
                yield Blocked(shard=action.shard, reason=_words(error))

    def assemble(self) -> int:
        """Write the results; the size of the file."""
        plans = [shard.plan for shard in self.state.shards.values()]
        return assemble(plans, self.directory, self.results)

    def _perform(self, action: decide.ShardAction) -> Iterator[Entry]:
        number, shard = action.shard, self.state.shards[action.shard]
        match action:
            case decide.Upload():
                yield from self._upload(number, shard)
            case decide.FindUpload():
                yield from self._find_upload(number, shard)
            case decide.Create():
                yield from self._create(number, shard)
            case decide.FindBatch():
                yield self._find_batch(number, shard) or Looked(shard=number)
            case decide.AbandonCreate():
                yield CreateAbandoned(shard=number)
            case decide.Poll():
                yield self._poll(number, shard)
            case decide.GiveUpBatch():
                reasons = "; ".join(error.message for error in _batch(shard).errors[:1])
                yield BatchGivenUp(shard=number, reason=f"{_batch(shard).id} failed: {reasons}")
            case decide.Download():
                yield self._download(action, shard)
            case decide.Collect():
                yield self._collect(number, shard)

    def _upload(self, number: int, shard: ShardState) -> Iterator[Entry]:
        attempt = shard.attempt + 1
        run = _started(self.state).run
        filename = f"bs-{run}-{number:04}-{attempt}-{shard.plan.fingerprint[:16]}.jsonl"
        yield UploadIntended(shard=number, attempt=attempt, filename=filename)
        try:
            with ShardContent(self.source, shard.plan) as content:
                file = self.backend.upload_file(content.buffered(), filename=filename)
        except OutcomeUnknown as error:
            yield self._postponed(number, error)
        except (Refused, Unavailable, JournalError) as error:
            yield UploadDropped(shard=number, reason=_words(error))
            yield from self._setback(number, error)
        else:
            yield Uploaded(shard=number, file_id=file.id)

    def _find_upload(self, number: int, shard: ShardState) -> Iterator[Entry]:
        """Our name is used once only, so a file of that name and size is ours and whole."""
        name, size = shard.filename, shard.plan.bytes
        for file in listed_since(self._files, shard.since - SKEW):
            if file.filename == name and file.bytes == size:
                yield Uploaded(shard=number, file_id=file.id, adopted=True)
                return
        yield UploadDropped(shard=number, reason=f"{name} did not arrive")

    def _create(self, number: int, shard: ShardState) -> Iterator[Entry]:
        if shard.file_id is None:
            raise JournalError(f"shard {number} is uploaded but has no file")
        found = self._find_batch(number, shard) if shard.was_refused else None
        if found is not None:
            yield found
            return
        yield CreateIntended(shard=number, file_id=shard.file_id)
        try:
            batch = self.backend.create_batch(
                input_file_id=shard.file_id,
                endpoint=shard.plan.endpoint,
                metadata=metadata_of(_started(self.state), shard, len(self.state.shards)),
            )
        except OutcomeUnknown as error:
            yield CreateUnknown(shard=number, reason=_words(error))
        except (Refused, Unavailable) as error:
            yield CreateRefused(shard=number, reason=_words(error))
            yield from self._setback(number, error)
            was_refused_to_another_process = shard.was_refused and shard.setback is None
            if was_refused_to_another_process and isinstance(error, Refused) and misses_file(error):
                yield UploadDropped(shard=number, reason=f"{shard.file_id} is gone")
        else:
            if batch.input_file_id in (shard.file_id, ""):
                yield Created(shard=number, batch=batch)
            else:
                reason = f"the answer to the create was about {batch.input_file_id}"
                yield CreateUnknown(shard=number, reason=reason)

    def _find_batch(self, number: int, shard: ShardState) -> Created | None:
        """The oldest batch over our file: a file of ours is meant for one batch only."""
        found = [
            batch
            for batch in listed_since(self._batches, shard.since - SKEW)
            if batch.input_file_id == shard.file_id
        ]
        if not found:
            return None
        oldest = min(found, key=lambda batch: (batch.created_at, batch.id))
        return Created(shard=number, batch=oldest, adopted=True)

    def _poll(self, number: int, shard: ShardState) -> Entry:
        before = _batch(shard)
        batch = self.backend.retrieve_batch(before.id)
        if _durable_part(batch) == _durable_part(before):
            return Looked(shard=number, batch=batch)
        return Observed(shard=number, batch=batch)

    def _download(self, action: decide.Download, shard: ShardState) -> Entry:
        path = self.directory.file(action.shard, action.source)
        try:
            size, digest = self._fetch(action.file_id, path)
        except NotFound as error:
            self.backend.retrieve_batch(_batch(shard).id)  # a wrong key knows no batch either
            if self.backend.clock.now() < shard.since + self.policy.late_files:
                return self._postponed(action.shard, error)
            return FileGone(
                shard=action.shard,
                source=action.source,
                file_id=action.file_id,
                reason=_words(error),
            )
        return Downloaded(
            shard=action.shard,
            source=action.source,
            file_id=action.file_id,
            bytes=size,
            sha256=digest,
        )

    def _fetch(self, file_id: str, path: Path) -> tuple[int, str]:
        expected = self.backend.retrieve_file(file_id).bytes
        digest = hashlib.sha256()
        size = 0
        with replace_file(path) as stream:
            content = cast(Generator[bytes, None, None], self.backend.read_file(file_id))
            with closing(content) as pieces:
                for piece in pieces:
                    stream.write(piece)
                    digest.update(piece)
                    size += len(piece)
            if size < expected:
                raise TransferBroken(f"{file_id} ended after {size:,} of {expected:,} bytes")
        return size, digest.hexdigest()

    def _collect(self, number: int, shard: ShardState) -> Entry:
        if self.custom_ids is not None:
            tally = collect(shard, self.custom_ids.of_shard(number), self.directory)
            return Collected(shard=number, tally=tally)
        with ShardContent(self.source, shard.plan) as content:
            tally = collect(shard, custom_ids_in(content.buffered()), self.directory)
        return Collected(shard=number, tally=tally)

    def _files(self, after: str | None) -> Page[File]:
        return self.backend.list_files(purpose="batch", after=after)

    def _batches(self, after: str | None) -> Page[Batch]:
        return self.backend.list_batches(limit=100, after=after)

    def _setback(self, number: int, error: BatchsimError) -> Iterator[Entry]:
        if isinstance(error, JournalError):
            raise error
        if isinstance(error, Refused) and not is_passing(error):
            yield Blocked(shard=number, reason=_words(error))
        else:
            yield self._postponed(number, error)

    def _postponed(self, number: int, error: BatchsimError) -> Postponed:
        setback = self.state.shards[number].setback
        retry_after = error.retry_after if isinstance(error, RateLimited) else None
        wait = self.policy.wait(setback.count + 1 if setback else 1, retry_after)
        until = self.backend.clock.now() + wait
        return Postponed(shard=number, until=until, reason=_words(error))


def _started(state: State) -> Started:
    if state.started is None:
        raise JournalError("the journal does not say how the job began")
    return state.started


def _batch(shard: ShardState) -> Batch:
    if shard.batch is None:
        raise JournalError(f"the journal lacks the batch of shard {shard.plan.shard}")
    return shard.batch


def _durable_part(batch: Batch) -> tuple[Any, ...]:
    """What of a batch is worth a journal entry; the counts in between are not."""
    files = batch.output_file_id, batch.error_file_id
    return batch.status, batch.unknown_status, files, batch.errors


def _words(error: BatchsimError) -> str:
    code = error.code if isinstance(error, Refused) else None
    return f"{error.message} ({code})" if code else error.message
