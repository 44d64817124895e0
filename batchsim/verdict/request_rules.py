"""Rules about requests, and what is left behind: a case -> at most one finding each.

Each rule says in its docstring when it finds something, and therefore what it cannot see.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from batchsim.backends.fake.log.request_log import Entry
from batchsim.domain.lifecycle import Status
from batchsim.domain.validation.batch_errors import INPUT_ERRORS
from batchsim.verdict.findings import Finding, finding
from batchsim.verdict.line_fates import Case, is_over

SHORTEST_POLL = 5.0
"""Seconds between two looks at the same batch, on average, that are long enough."""

FEW_POLLS = 10
"""So many looks at a batch are no polling yet."""

LARGE_CONTENT = 4 << 20
"""Bytes of a result file that should not be taken into memory in one piece."""


def polls_too_often(case: Case) -> Finding | None:
    """More than FEW_POLLS looks at a batch, on average less than SHORTEST_POLL seconds apart."""
    looks: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in case.entries("retrieve_batch", "list_batches"):
        looks[entry.subject or "the list of batches"].append(entry)
    return finding(
        "polls_too_often",
        f"it looks at a batch again after less than {SHORTEST_POLL:g} s",
        (
            f"{subject}: {times:,} looks, {gap:.3g} s apart on average (requests "
            f"{entries[0].number} to {entries[-1].last_number})"
            for subject, entries in looks.items()
            if (times := sum(entry.times for entry in entries)) > FEW_POLLS
            and (gap := (entries[-1].last - entries[0].first) / (times - 1)) < SHORTEST_POLL
        ),
        "batches take from a minute to a day: wait at least 10 s between two looks, "
        "and longer the older the batch is",
    )


def ignores_retry_after(case: Case) -> Finding | None:
    """After a refusal with Retry-After the same call came again before that time was over."""
    return finding(
        "ignores_retry_after",
        "it asks again before the time that Retry-After names is over",
        _early_retries(case),
        "wait as long as the header says; the openai client's own retries do not for more than 60 s",
    )


def _early_retries(case: Case) -> Iterator[str]:
    waiting: dict[str, Entry] = {}
    for entry in sorted(case.history.entries, key=lambda entry: entry.number):
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
                    f"({case.place(entry)})"
                )


def leaves_files(case: Case) -> Finding | None:
    """Files that are there although every batch has ended, and that keep their full lifetime."""
    if any(not is_over(each) for each in case.history.batches):
        return None
    lifetime = case.history.limits.file_lifetime
    left = [
        file
        for file in case.history.files.values()
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
        "delete input, output and error files once the results are kept, or give them a short life: "
        "expires_after for uploads, output_expires_after for batches",
    )


def leaves_batches(case: Case) -> Finding | None:
    """A batch is running still, or has ended and the client never looked afterwards."""
    return finding(
        "leaves_batches",
        "it leaves batches to themselves, which are paid all the same",
        (
            f"{batch.id}, created at {case.at(each.created)}, "
            + (
                f"ended {batch.status} at {case.at(each.ended)} and was not looked at since"
                if is_over(each)
                else f"is {batch.status}"
            )
            for each in case.history.batches
            if (batch := each.batch).status is not Status.CANCELLING
            and not (is_over(each) and case.saw_end(each))
            and batch.cancelling_at is None
        ),
        "look at every batch until it has ended, or cancel it; keep the ids where a restart "
        "finds them",
    )


def meets_known_limits(case: Case) -> Finding | None:
    """A file or batch was turned away for what could be seen beforehand in it or in the limits.

    These are an upload or a batch refused with 400 or 413; a batch that failed by its input; and
    the second batch of a model that failed by the enqueued tokens, for the first one tells the limit.
    """
    return finding(
        "meets_known_limits",
        "it sends what the service is known to turn away",
        _turned_away(case),
        "check before sending: `batchsim validate` tells each line's faults, batchsim.Limits the "
        "limits; keep the tokens of a model's unfinished batches within its queue",
    )


def _turned_away(case: Case) -> Iterator[str]:
    for entry in case.entries("upload_file", "create_batch"):
        if entry.status in (400, 413) and "Cannot find file" not in entry.words:
            yield f"{case.place(entry)}: {entry.words}"
    full = 0
    for each in case.history.batches:
        for error in each.batch.errors[:1]:
            full += error.code == "token_limit_exceeded"
            if error.code in INPUT_ERRORS or (error.code == "token_limit_exceeded" and full > 1):
                line = f" in line {error.line}" if error.line else ""
                yield f"{each.batch.id} failed at {case.at(each.ended)} by {error.code}{line}"


def loads_all_in_memory(case: Case) -> Finding | None:
    """A result file of LARGE_CONTENT bytes or more was taken in one piece by a client in the process.

    Only the in-process doors can see it; over a port, and where a client joins the pieces
    itself, it stays unseen.
    """
    return finding(
        "loads_all_in_memory",
        f"it takes a whole file of {LARGE_CONTENT >> 20} MiB or more into memory at once",
        (
            f"{entry.subject}: {entry.read:,} bytes in one piece ({case.place(entry)})"
            for entry in case.entries("read_file")
            if entry.whole and entry.read >= LARGE_CONTENT
        ),
        "stream it: client.files.with_streaming_response.content(id), then iter_lines()",
    )
