"""Rules about requests, and about files and batches left behind: an Analysis -> one finding each.

The docstring of a rule says when it finds something, and so what it cannot see.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from batchsim.backends.fake.log.request_log import Entry
from batchsim.domain.lifecycle import Status
from batchsim.domain.validation.batch_errors import INPUT_ERRORS
from batchsim.verdict.analysis import Analysis, is_over
from batchsim.verdict.findings import Finding, finding

SHORTEST_POLL = 5.0  # seconds between two polls of a batch, on average, that are long enough
FEW_POLLS = 10  # polls of a batch that are never too many
LARGE_CONTENT = 4 << 20  # bytes of a result file that is too large to be taken in one piece


def polls_too_often(analysis: Analysis) -> Finding | None:
    """More than FEW_POLLS polls of a batch, on average less than SHORTEST_POLL seconds apart."""
    looks: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in analysis.entries("retrieve_batch", "list_batches"):
        looks[entry.subject or "the list of batches"].append(entry)
    return finding(
        "polls_too_often",
        f"it polls a batch again after less than {SHORTEST_POLL:g} s",
        (
            f"{subject}: {times:,} polls, {gap:.3g} s apart on average (requests "
            f"{entries[0].number} to {entries[-1].last_number})"
            for subject, entries in looks.items()
            if (times := sum(entry.times for entry in entries)) > FEW_POLLS
            and (gap := (entries[-1].last - entries[0].first) / (times - 1)) < SHORTEST_POLL
        ),
        "batches take from a minute to a day: wait at least 10 s between two polls, "
        "and longer the older the batch is",
    )


def ignores_retry_after(analysis: Analysis) -> Finding | None:
    """After a refusal with Retry-After the same call came again too early."""
    return finding(
        "ignores_retry_after",
        "it asks again before the time in Retry-After is over",
        _early_retries(analysis),
        "wait as long as the header says; the openai client's own retries never wait over 60 s",
    )


def _early_retries(analysis: Analysis) -> Iterator[str]:
    waiting: dict[str, Entry] = {}
    for entry in sorted(analysis.history.entries, key=lambda entry: entry.number):
        refused = waiting.pop(entry.call, None)
        if refused is not None and refused.retry_after is not None:
            waited = entry.first - refused.last
            if waited < refused.retry_after:
                yield (
                    f"request {refused.last_number} ({refused.call}) was told to wait "
                    f"{refused.retry_after:g} s; request {entry.number} came after {waited:.3g} s"
                )
        if entry.retry_after is not None:
            waiting[entry.call] = entry
            if entry.times > 1 and entry.last - entry.first < entry.retry_after * (entry.times - 1):
                yield (
                    f"{entry.call} was told {entry.times:,} times to wait {entry.retry_after:g} s "
                    f"({analysis.position(entry)})"
                )


def leaves_files(analysis: Analysis) -> Finding | None:
    """Files with their full lifetime that still exist after every batch has ended."""
    if any(not is_over(each) for each in analysis.history.batches):
        return None
    lifetime = analysis.history.limits.file_lifetime
    left = [
        file
        for file in analysis.history.files.values()
        if file.expires_at is None or file.expires_at - file.created_at >= lifetime
    ]
    kinds = Counter(file.purpose for file in left)
    return finding(
        "leaves_files",
        "it leaves files behind, which fill the project's storage",
        (
            f"{count:,} with purpose {purpose}, such as "
            f"{next(file.id for file in left if file.purpose == purpose)}"
            for purpose, count in kinds.items()
        ),
        "delete input, output and error files once the results are kept, or let them expire soon: "
        "expires_after for uploads, output_expires_after for batches",
    )


def leaves_batches(analysis: Analysis) -> Finding | None:
    """A batch is still running, or has ended and the client never looked afterwards."""
    return finding(
        "leaves_batches",
        "it abandons batches, which are paid all the same",
        (
            f"{batch.id}, created at {analysis.at(each.created)}, "
            + (
                f"ended {batch.status} at {analysis.at(each.ended)} and was not polled since"
                if is_over(each)
                else f"is {batch.status}"
            )
            for each in analysis.history.batches
            if (batch := each.batch).status is not Status.CANCELLING
            and not (is_over(each) and analysis.saw_end(each))
            and batch.cancelling_at is None
        ),
        "poll every batch until it has ended, or cancel it; keep the ids where a restart "
        "finds them",
    )


def meets_known_limits(analysis: Analysis) -> Finding | None:
    """A file or batch was refused for a reason that could be known beforehand.

    These are an upload or a batch refused with 400 or 413; a batch that failed by its input; and
    the second batch of a model that failed by the enqueued tokens, since the first one shows the
    limit.
    """
    return finding(
        "meets_known_limits",
        "it sends files and batches that the service is known to refuse",
        _refused(analysis),
        "check before sending: `batchsim validate` shows the errors of each line, batchsim.Limits "
        "the limits; keep the tokens of a model's unfinished batches within its queue",
    )


def _refused(analysis: Analysis) -> Iterator[str]:
    for entry in analysis.entries("upload_file", "create_batch"):
        if entry.status in (400, 413) and "Cannot find file" not in entry.words:
            yield f"{analysis.position(entry)}: {entry.words}"
    full = 0
    for each in analysis.history.batches:
        for error in each.batch.errors[:1]:
            full += error.code == "token_limit_exceeded"
            if error.code in INPUT_ERRORS or (error.code == "token_limit_exceeded" and full > 1):
                line = f" in line {error.line}" if error.line else ""
                yield f"{each.batch.id} failed at {analysis.at(each.ended)} by {error.code}{line}"


def loads_all_in_memory(analysis: Analysis) -> Finding | None:
    """A client in the process took a result file of LARGE_CONTENT bytes or more in one piece.

    Only the in-process doors can see it. It stays unseen over a port, and where a client joins the
    pieces itself.
    """
    return finding(
        "loads_all_in_memory",
        f"it takes a whole file of {LARGE_CONTENT >> 20} MiB or more into memory at once",
        (
            f"{entry.subject}: {entry.read:,} bytes in one piece ({analysis.position(entry)})"
            for entry in analysis.entries("read_file")
            if entry.whole and entry.read >= LARGE_CONTENT
        ),
        "stream it: client.files.with_streaming_response.content(id), then iter_lines()",
    )
