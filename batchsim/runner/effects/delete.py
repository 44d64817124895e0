"""Delete the files that a job has left at the service, if the policy says so.

Only the job's own files are deleted: input files that it uploaded, and the result files of batches
over these; an adopted batch keeps its files. A batch may name a file that is not its own, so a
result file must have the purpose of one, and results of the shard's lines. Nothing of a shard is
deleted before its downloads
have been read again and have the recorded hash. Deleting twice is harmless.
"""

from collections.abc import Iterator
from contextlib import suppress

from batchsim.domain.files import Purpose
from batchsim.errors import NotFound
from batchsim.jsonl import read_lines
from batchsim.runner.effects.context import JobContext
from batchsim.runner.effects.verify_downloads import sha256_of
from batchsim.runner.job import ShardState
from batchsim.runner.journal.job_entries import Entry
from batchsim.runner.journal.shard_entries import Blocked, Downloaded, RemoteDeleted, RemoteKept
from batchsim.runner.planning.request_lines import custom_ids_in
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.results.result_lines import read_result
from batchsim.runner.schedule.remote_cleanup import own_files


def delete_remote(context: JobContext, number: int, shard: ShardState) -> Iterator[Entry]:
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
        if file_id not in shard.uploads and not _holds_results(context, shard, file_id):
            yield RemoteKept(shard=number, file_id=file_id)
            continue
        with suppress(NotFound):  # deleted before, or expired
            context.backend.delete_file(file_id)
        yield RemoteDeleted(shard=number, file_id=file_id)


def _holds_results(context: JobContext, shard: ShardState, file_id: str) -> bool:
    """Return whether the file is a downloaded result file with a result of the shard's lines."""
    try:
        file = context.backend.retrieve_file(file_id)
    except NotFound:
        return True  # deleting it again is harmless
    if file.purpose != Purpose.BATCH_OUTPUT:
        return False
    with ShardContent(context.files.source, shard.plan) as content:
        ours = set(custom_ids_in(content.buffered()))
    for download in shard.files:
        if isinstance(download, Downloaded) and download.file_id == file_id:
            path = context.directory.file(shard.plan.shard, download.source)
            with path.open("rb") as stream:
                found = [read_result(line.content) for line in read_lines(stream)]
            return not found or any(each and each.custom_id in ours for each in found)
    return False
