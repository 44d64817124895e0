"""Placeholders: result lines in the API's own format for lines without a result of the service."""

import json
from typing import NamedTuple

from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import LineError
from batchsim.runner.job import ShardState
from batchsim.runner.journal.shard_entries import Downloaded, FileGone, Origin
from batchsim.runner.policy import awaits_files
from batchsim.runner.results.outcomes import Ending, Outcome


class Explanation(NamedTuple):
    error: LineError
    ending: Ending


def placeholder(custom_id: str | None, error: LineError) -> bytes:
    """Return the result line, without its newline. The custom_id is None if the line has none."""
    value = {
        "id": None,
        "custom_id": custom_id,
        "response": None,
        "error": {"code": error.code, "message": error.message},
    }
    return json.dumps(value).encode()


def explained_lines(shard: ShardState) -> dict[int, Explanation]:
    """Return what the service said of single lines of a failed batch, by number in its file."""
    if shard.plan.origin not in (Origin.OURS, Origin.ADOPTED):
        return {}  # the shard's lines are not in the order of that file
    if shard.batch is None:
        return {}
    return {
        error.line: Explanation(LineError(error.code, error.message), Ending(Outcome.FAILED))
        for error in reversed(shard.batch.errors)
        if error.line is not None
    }


def other_lines(shard: ShardState) -> Explanation:
    """Return what is said of the other lines that no result file has.

    Lines of a batch that failed because of others are retriable without those. So is a line that a
    result file lacks. When the file itself never came or is gone, its results exist and are paid,
    so nothing is sent again. A shard without a batch was never sent, unless its create has an
    unknown outcome: then nothing is sent again either.
    """
    if shard.batch is None and shard.has_unfound_batch:
        message = (
            "A batch with this request was asked for, no answer came and none was found. It may "
            "exist and have been paid for."
        )
        return Explanation(LineError("outcome_unknown", message), Ending(Outcome.FAILED))
    if shard.batch is None:
        message = "This request was not sent because the job was cancelled."
        return Explanation(LineError("batch_cancelled", message), Ending(Outcome.CANCELLED))
    batch = shard.batch
    gone = next((each for each in shard.files if isinstance(each, FileGone)), None)
    is_lost = gone is not None or awaits_files(batch)
    match batch.status:
        case Status.FAILED:
            reasons = "; ".join(f"{error.code}: {error.message}" for error in batch.errors[:3])
            message = f"The batch failed. {reasons}" if reasons else "The batch failed."
            others = bool(batch.errors) and all(error.line is not None for error in batch.errors)
            return Explanation(
                LineError("batch_failed", message), Ending(Outcome.FAILED, is_retriable=others)
            )
        case Status.EXPIRED if not is_lost:
            message = "This request could not be executed before the completion window expired."
            return Explanation(
                LineError("batch_expired", message), Ending(Outcome.EXPIRED, is_retriable=True)
            )
        case Status.CANCELLED if not is_lost:
            message = "This request was not executed because the batch was cancelled."
            return Explanation(LineError("batch_cancelled", message), Ending(Outcome.CANCELLED))
    has_file = any(isinstance(each, Downloaded) for each in shard.files)
    message = f"The batch {batch.id} has no result for this request."
    if gone is not None:
        message = f"The result file is gone: {gone.reason}"
    return Explanation(
        LineError("result_missing", message),
        Ending(Outcome.MISSING, is_retriable=has_file and not is_lost),
    )
