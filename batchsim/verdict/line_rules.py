"""Rules about lines and their results: a case -> at most one finding each.

Each rule says in its docstring when it finds something, and therefore what it cannot see.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from batchsim.backends.fake.log.history import BatchHistory
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import RequestLine
from batchsim.domain.validation.batch_errors import INPUT_ERRORS
from batchsim.verdict.findings import Finding, finding
from batchsim.verdict.line_fates import Case, Double, Fate, is_over

MOST_NAMED = 3
"""So many custom_ids are named in a piece of evidence."""

PARTIAL = (Status.EXPIRED, Status.CANCELLED)


def never_reads_error_file(case: Case) -> Finding | None:
    """A batch was seen to have ended with an error file, and that file was never read."""
    return finding(
        "never_reads_error_file",
        "it does not read the error file, where the lines are that went wrong",
        (
            f"{batch.id} ended {batch.status} at {case.at(each.ended)} with error file "
            f"{batch.error_file_id}; no request read it"
            for each in _seen(case)
            if (batch := each.batch).error_file_id and not case.was_read(batch.error_file_id)
        ),
        "read error_file_id as well as output_file_id, of every batch that has ended, "
        "whatever its status",
    )


def drops_partial_results(case: Case) -> Finding | None:
    """A batch was seen to have expired or been cancelled, and its output file was never read."""
    return finding(
        "drops_partial_results",
        "it throws away the results of a batch that expired or was cancelled",
        _unread_outputs(case, partial=True),
        "read output_file_id whenever there is one: what had run by then is there, and is paid",
    )


def drops_results(case: Case) -> Finding | None:
    """A batch was seen to have completed, and its output file was never read."""
    return finding(
        "drops_results",
        "it does not read the results of a completed batch",
        _unread_outputs(case, partial=False),
        "read output_file_id; when it is still null, look again a little later: it can be late",
    )


def _unread_outputs(case: Case, *, partial: bool) -> Iterator[str]:
    for each in _seen(case):
        batch = each.batch
        if (batch.status in PARTIAL) is not partial or not batch.output_file_id:
            continue
        if not case.was_read(batch.output_file_id):
            yield (
                f"{batch.id} ended {batch.status} at {case.at(each.ended)} with "
                f"{batch.request_counts.completed:,} good results in {batch.output_file_id}; "
                "no request read it"
            )


def sends_nothing_again(case: Case) -> Finding | None:
    """A line got no answer for a passing reason, the end was seen, and no later batch has the line.

    Passing are: its batch expired, or failed for reasons that are not the line's; the line is in
    no result file; it was answered with 408, 409, 429 or 5xx. The same line is one with the same
    custom_id, or the same url and body.
    """
    return finding(
        "sends_nothing_again",
        "it does not send lines again that got no answer for a passing reason",
        _given_up(case),
        "put the lines that expired, got lost, or were answered with 429 or 5xx into another batch",
    )


def _given_up(case: Case) -> Iterator[str]:
    for place, each in enumerate(case.history.batches):
        if not is_over(each) or not case.saw_end(each) or each.batch.status is Status.CANCELLED:
            continue
        missing = [
            line.custom_id
            for line in case.lines.get(each.batch.id, ())
            if _is_open(case, each, line) and not case.is_sent_after(place, line)
        ]
        if missing:
            yield (
                f"{each.batch.id} ended {each.batch.status} at {case.at(each.ended)} without an "
                f"answer for {_named(missing)}; no later batch has them"
            )


def _is_open(case: Case, each: BatchHistory, line: RequestLine) -> bool:
    if each.batch.status is Status.FAILED:
        errors = each.batch.errors
        return all(error.code not in INPUT_ERRORS and error.line is None for error in errors)
    fates = case.fates(each)
    return fates is not None and fates.get(line.custom_id, Fate.PASSING) is Fate.PASSING


def sends_good_lines_again(case: Case) -> Finding | None:
    """A line went out again although a result file had a good result for it."""
    return _doubles(
        case,
        "sends_good_lines_again",
        "it sends lines again that have a good result, and pays for them twice",
        lambda double: double.was_good,
        "send only lines of which no result file of any batch so far has a good result",
    )


def sends_running_lines_again(case: Case) -> Finding | None:
    """A line went out again while a batch that the client was told of was running it."""
    return _doubles(
        case,
        "sends_running_lines_again",
        "it sends lines again while a batch is running them, and pays for them twice",
        lambda double: not double.was_good and _is_known(case, double),
        "wait until the batch has ended, or cancel it and wait for `cancelled`, before sending again",
    )


def creates_twice(case: Case) -> Finding | None:
    """A line went out again while a batch was running it whose creation was never answered."""
    return _doubles(
        case,
        "creates_twice",
        "it creates a batch again after a request without an answer, and pays for both",
        lambda double: not double.was_good and not _is_known(case, double),
        "create with max_retries=0 and a mark of your own in `metadata`; after a time-out or a 5xx "
        "look for that mark in the list of batches before creating again",
    )


def _doubles(
    case: Case, code: str, what: str, concerns: Callable[[Double], bool], remedy: str
) -> Finding | None:
    pairs: defaultdict[tuple[str, str], list[Double]] = defaultdict(list)
    for double in case.doubles:
        if concerns(double):
            pairs[double.second.id, double.first.id].append(double)
    return finding(
        code,
        what,
        (
            f"{second} holds {_named([each.custom_id for each in doubles])} of {first}, "
            f"{doubles[0].state}{_creation(case, second)}"
            for (second, first), doubles in pairs.items()
        ),
        remedy,
    )


def _creation(case: Case, batch_id: str) -> str:
    made = [entry for entry in case.entries("create_batch") if entry.made == batch_id]
    return f" ({case.place(made[0])})" if made else ""


def _is_known(case: Case, double: Double) -> bool:
    return any(
        case.knows_of(each) for each in case.history.batches if each.batch.id == double.first.id
    )


def _seen(case: Case) -> Iterator[BatchHistory]:
    """The batches that were seen to have ended.

    What ended before the journal began, on a store that was opened again, may have been read then.
    """
    return (
        each
        for each in case.history.batches
        if is_over(each) and each.ended > case.history.start and case.saw_end(each)
    )


def _named(custom_ids: list[str]) -> str:
    names = ", ".join(map(repr, custom_ids[:MOST_NAMED]))
    if len(custom_ids) > MOST_NAMED:
        names += f" and {len(custom_ids) - MOST_NAMED:,} more"
    return names
