"""Rules about lines and their results: an Analysis -> at most one finding each.

The docstring of a rule says when it finds something, and so what it cannot see.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

from batchsim.backends.fake.log.client_history import BatchHistory
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import RequestLine
from batchsim.domain.validation.batch_errors import INPUT_ERRORS
from batchsim.verdict.analysis import Analysis, LineOutcome, Resend, is_over
from batchsim.verdict.findings import Finding, finding

MOST_NAMED = 3  # the custom_ids that one piece of evidence names

PARTIAL = (Status.EXPIRED, Status.CANCELLED)


def never_reads_error_file(analysis: Analysis) -> Finding | None:
    """A batch was seen to have ended with an error file, and that file was never read."""
    return finding(
        "never_reads_error_file",
        "it does not read the error file, which holds the failed lines",
        (
            f"{batch.id} ended {batch.status} at {analysis.at(each.ended)} with error file "
            f"{batch.error_file_id}; no request read it"
            for each in _seen(analysis)
            if (batch := each.batch).error_file_id and not analysis.was_read(batch.error_file_id)
        ),
        "read error_file_id as well as output_file_id, of every batch that has ended, "
        "whatever its status",
    )


def drops_partial_results(analysis: Analysis) -> Finding | None:
    """A batch was seen to have expired or been cancelled, and its output file was never read."""
    return finding(
        "drops_partial_results",
        "it throws away the results of a batch that expired or was cancelled",
        _unread_outputs(analysis, partial=True),
        "read output_file_id whenever there is one: what had run by then is there, and is paid",
    )


def drops_results(analysis: Analysis) -> Finding | None:
    """A batch was seen to have completed, and its output file was never read."""
    return finding(
        "drops_results",
        "it does not read the results of a completed batch",
        _unread_outputs(analysis, partial=False),
        "read output_file_id; when it is still null, look again a little later: it can be late",
    )


def _unread_outputs(analysis: Analysis, *, partial: bool) -> Iterator[str]:
    for each in _seen(analysis):
        batch = each.batch
        if (batch.status in PARTIAL) is not partial or not batch.output_file_id:
            continue
        if not analysis.was_read(batch.output_file_id):
            yield (
                f"{batch.id} ended {batch.status} at {analysis.at(each.ended)} with "
                f"{batch.request_counts.completed:,} good results in {batch.output_file_id}; "
                "no request read it"
            )


def sends_nothing_again(analysis: Analysis) -> Finding | None:
    """A line got no answer for a transient reason, the end was seen, and no later batch has it.

    Transient reasons: its batch expired, or failed for reasons that are not the line's; the line is
    in no result file; it was answered with 408, 409, 429 or 5xx. A line is the same if it has the
    same custom_id, or the same url and body.
    """
    return finding(
        "sends_nothing_again",
        "it does not resend lines that got no answer for a transient reason",
        _given_up(analysis),
        "put the lines that expired, got lost, or were answered with 429 or 5xx into another batch",
    )


def _given_up(analysis: Analysis) -> Iterator[str]:
    for index, each in enumerate(analysis.history.batches):
        if not is_over(each) or not analysis.saw_end(each) or each.batch.status is Status.CANCELLED:
            continue
        missing = [
            line.custom_id
            for line in analysis.lines.get(each.batch.id, ())
            if _is_open(analysis, each, line) and not analysis.is_sent_after(index, line)
        ]
        if missing:
            yield (
                f"{each.batch.id} ended {each.batch.status} at {analysis.at(each.ended)} "
                f"without an answer for {_named(missing)}; no later batch has them"
            )


def _is_open(analysis: Analysis, each: BatchHistory, line: RequestLine) -> bool:
    if each.batch.status is Status.FAILED:
        errors = each.batch.errors
        return all(error.code not in INPUT_ERRORS and error.line is None for error in errors)
    outcomes = analysis.outcomes(each)
    return (
        outcomes is not None
        and outcomes.get(line.custom_id, LineOutcome.TRANSIENT) is LineOutcome.TRANSIENT
    )


def sends_good_lines_again(analysis: Analysis) -> Finding | None:
    """A line was sent again although a result file had a good result for it."""
    return _resends(
        analysis,
        "sends_good_lines_again",
        "it resends lines that have a good result, and pays for them twice",
        lambda resend: resend.was_good,
        "send only lines of which no result file of any batch so far has a good result",
    )


def sends_running_lines_again(analysis: Analysis) -> Finding | None:
    """A line was sent again while a batch that the client knew was running it."""
    return _resends(
        analysis,
        "sends_running_lines_again",
        "it resends lines while a batch is running them, and pays for them twice",
        lambda resend: not resend.was_good and analysis.knows_of(resend.first),
        "wait until the batch has ended, or cancel it and wait for `cancelled`, before you resend",
    )


def creates_twice(analysis: Analysis) -> Finding | None:
    """A line was sent again while a batch without a reply to its creation was running it."""
    return _resends(
        analysis,
        "creates_twice",
        "it creates a batch again after a request without an answer, and pays for both",
        lambda resend: not resend.was_good and not analysis.knows_of(resend.first),
        "create with max_retries=0 and a mark of your own in `metadata`; after a time-out or a 5xx "
        "look for that mark in the list of batches before creating again",
    )


def _resends(
    analysis: Analysis, code: str, what: str, concerns: Callable[[Resend], bool], remedy: str
) -> Finding | None:
    pairs: defaultdict[tuple[str, str], list[Resend]] = defaultdict(list)
    for resend in analysis.resends:
        if concerns(resend):
            pairs[resend.second.id, resend.first.id].append(resend)
    return finding(
        code,
        what,
        (
            f"{second} holds {_named([each.custom_id for each in resends])} of {first}, "
            f"{resends[0].state}{_creation(analysis, second)}"
            for (second, first), resends in pairs.items()
        ),
        remedy,
    )


def _creation(analysis: Analysis, batch_id: str) -> str:
    made = analysis.creation(batch_id)
    return f" ({analysis.position(made)})" if made else ""


def _seen(analysis: Analysis) -> Iterator[BatchHistory]:
    """The batches whose end was seen, without those that ended before the log began.

    Their results may have been read before the store was opened again.
    """
    return (
        each
        for each in analysis.history.batches
        if is_over(each) and each.ended > analysis.history.start and analysis.saw_end(each)
    )


def _named(custom_ids: list[str]) -> str:
    names = ", ".join(map(repr, custom_ids[:MOST_NAMED]))
    if len(custom_ids) > MOST_NAMED:
        names += f" and {len(custom_ids) - MOST_NAMED:,} more"
    return names
