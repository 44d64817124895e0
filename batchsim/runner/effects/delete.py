"""Delete the files that a job has left at the service, if the policy says so.

Only the job's own files are deleted: input files that it uploaded, and the result files of batches
over these; an adopted batch keeps its files. Nothing of a shard is deleted before its downloads
have been read again and have the recorded hash. Deleting twice is harmless.
"""

from collections.abc import Iterator
from contextlib import suppress

from batchsim.errors import NotFound
from batchsim.runner.effects.context import JobContext
from batchsim.runner.effects.verify_downloads import sha256_of
from batchsim.runner.job import ShardState
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import Blocked, Downloaded, RemoteDeleted
from batchsim.runner.schedule.remote_cleanup import own_files


def delete_remote(context: JobContext, number: int, shard: ShardState) -> Iterator[Entry]:
    """Delete the shard's files at the service, unless a download has changed."""
    for file in shard.files:
        if isinstance(file, Downloaded):
            path = context.directory.file(number, file.source)
            if sha256_of(path) != file.sha256:
                yield Blocked(
                    shard=number,
                    reason=f"{path} is not what was downloaded, so nothing is deleted at the "
                    f"service, where {file.file_id} still holds it",
                )
                return
    for file_id in own_files(shard):
        with suppress(NotFound):  # deleted before, or expired
            context.backend.delete_file(file_id)
        yield RemoteDeleted(shard=number, file_id=file_id)
