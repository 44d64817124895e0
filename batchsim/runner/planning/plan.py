"""The plan of a job: which lines of an input go into one batch together.

Theory of operation. One pass over the lines checks each (batchsim.domain.validation.input_file) and
adds it to a shard (batchsim.runner.planning.sharding); its custom_id is spooled for collecting. The
same input and limits always give the same plan.

A line's index counts the lines with requests from 0; it is its position in the results.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from batchsim.amounts import counted
from batchsim.domain.batches import BatchError
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.limits import OPENAI, Limits
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.domain.validation.input_file import InputRules, InvalidLine
from batchsim.errors import InputError
from batchsim.jsonl import read_blocks
from batchsim.runner.job.directory import JobDirectory
from batchsim.runner.journal.job_entries import Skipped
from batchsim.runner.journal.shard_entries import Planned
from batchsim.runner.planning.sharding import Builder
from batchsim.runner.planning.skipped_lines import SkippedLines
from batchsim.runner.results.custom_id_spool import CustomIdSpool

ERRORS_KEPT = 1_000


class InvalidInput(InputError):
    """The input has lines that the service would refuse; nothing was sent.

    `errors` are the first errors, in the order of the lines, and `count` is how many there are.
    """

    def __init__(self, path: Path | str | None, errors: tuple[BatchError, ...], count: int) -> None:
        first = errors[0]
        more = f" (and {counted(count - 1, 'more error')})" if count > 1 else ""
        super().__init__(
            f"{first.code}: {first.message}{more}",
            path=path,
            line=first.line,
            hint="nothing was sent; `batchsim validate` lists every error",
        )
        self.errors = errors
        self.count = count


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards of an input, numbered from 1 in the order of their first lines."""

    lines: int
    bytes: int
    shards: tuple[Planned, ...]
    custom_ids: CustomIdSpool = field(compare=False)
    skipped: SkippedLines | None = field(default=None, compare=False)
    """The invalid lines that are left out, if any; `lines` counts them too."""

    def entries(self, directory: JobDirectory) -> tuple[Skipped | Planned, ...]:
        """Write the placeholders of skipped lines, and return the journal entries of the plan."""
        if self.skipped is None:
            return self.shards
        self.skipped.write(directory)
        return self.skipped.entry(), *self.shards


def make_plan(
    stream: BinaryIO,
    *,
    path: Path | str | None = None,
    limits: Limits = OPENAI,
    supports: Callable[[str], bool] = is_openai_model,
    observe: Callable[[RequestLine], object] | None = None,
    skip_invalid: bool = False,
) -> Plan:
    """Plan the input in `stream`, read from its start; `path` names it in errors.

    `observe` is called with each valid line, so that a caller need not read the input again.

    Raises InvalidInput when a line is invalid or fits no batch (with `skip_invalid`, when all are),
    InputError when a line is too long to be read at all.
    """
    rules = InputRules(one_batch=False, limits=limits, supports=supports)
    builder = Builder(limits)
    skipped = SkippedLines()
    errors: list[BatchError] = []
    count = 0
    try:
        for found in rules.walk(read_blocks(stream, longest=limits.line_bytes)):
            invalid = [found] if isinstance(found, InvalidLine) else builder.add(found)
            if observe is not None and isinstance(found, RequestLines):
                for request in found.requests():
                    observe(request)
            count += len(invalid)
            errors += [each.error for each in invalid[: ERRORS_KEPT - len(errors)]]
            for each in invalid if skip_invalid else ():
                skipped.add(*each)
    except InputError as fault:
        fault.path = path
        raise
    for error in rules.finish():
        count += 1
        errors.append(error)
    if errors and not (skip_invalid and builder.lines):
        raise InvalidInput(path, tuple(errors), count)
    lines = builder.lines + len(skipped)
    return Plan(lines, stream.tell(), builder.shards(), builder.custom_ids, skipped or None)
