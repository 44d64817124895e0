"""The results of a job, read from its files each time that they are iterated.

Nothing is kept in memory: iterating reads the results file and the input side by side, a line of
each at a time, since both have the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Self

import orjson

from batchsim.amounts import counted
from batchsim.domain.batches import Usage
from batchsim.domain.lines import LineError, Response, ResultLine
from batchsim.errors import InputError, JournalError
from batchsim.jsonl import open_input, read_lines
from batchsim.library.answer_text import read_answer_text
from batchsim.library.cost import Bill
from batchsim.library.job_location import JobLocation
from batchsim.library.requests import Parsed_co, Request
from batchsim.library.response_models import ResponseModels
from batchsim.runner.progress import Report
from batchsim.runner.results.result_lines import read_result

if TYPE_CHECKING:
    from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Result(Generic[Parsed_co]):
    """The result of one line.

    `text` is the first choice of a completion, or the text of a response; None at other endpoints.
    `refusal` is set instead when the model refused. `parsed` is the text as the line's pydantic
    model, `validation_error` the reason why it does not fit; both are None without a model or a
    text. `content` is the line of the results file.
    """

    line: ResultLine
    content: bytes
    request_line: bytes
    text: str | None = None
    refusal: str | None = None
    parsed: Parsed_co | None = None
    validation_error: ValidationError | None = None

    @property
    def custom_id(self) -> str:
        """The line's custom_id; "" for an invalid line that was skipped and has none."""
        return self.line.custom_id

    @property
    def is_ok(self) -> bool:
        """True when the line ran and got a 2xx answer. A refusal by the model is one."""
        return self.line.is_ok

    @property
    def response(self) -> Response | None:
        """The HTTP answer; None when the line never ran."""
        return self.line.response

    @property
    def body(self) -> Any:
        """The parsed body of the answer, good or bad; None when the line never ran."""
        return self.line.response.body if self.line.response else None

    @property
    def error(self) -> LineError | None:
        """The reason for a missing good answer: the line's own error, or that of the bad answer."""
        return self.line.reason

    @property
    def usage(self) -> Usage:
        """The tokens that a good answer reports."""
        return self.line.usage

    @property
    def request(self) -> Request[None]:
        """The line of the input."""
        return Request.from_line(self.request_line)


class Results(Generic[Parsed_co]):
    """The results of a finished job, in input order; iterate over it as often as you like.

    `failed` holds the lines without a good result, and `retry` sends those again that may go
    better. `path` is the results file, `job` the job's directory, `report` the job's report. With a
    simulated service in memory and no name given, both vanish with this object or with `close`.
    """

    def __init__(
        self,
        report: Report,
        place: JobLocation,
        formats: ResponseModels,
        again: Callable[[int], Report],
    ) -> None:
        self.report = report
        self._place = place
        self._formats = formats
        self._again = again
        self._known_bill: Bill | None = None

    @property
    def path(self) -> Path:
        """The results file."""
        return self._place.results

    @property
    def job(self) -> Path:
        """The job's directory: a call that names it goes on from there."""
        return self._place.job

    @property
    def lines(self) -> int:
        """The number of lines of the input."""
        return self.report.lines

    @property
    def ok(self) -> int:
        """The number of lines with a good result."""
        return self.report.ok

    @property
    def all_ok(self) -> bool:
        """True when every line has a good result."""
        return self.report.all_ok

    @property
    def batches(self) -> tuple[str, ...]:
        """The ids of the batches that were made."""
        return self.report.batches

    @property
    def usage(self) -> Usage:
        """Tokens, summed over the good results."""
        return self.report.usage

    @property
    def usage_by_model(self) -> Mapping[str, Usage]:
        """The usage by model: the one that answered, or else the one that was asked for."""
        return self._bill().usage

    @property
    def cost(self) -> Decimal | None:
        """The cost of the good results in US dollars, from the usage that they report.

        Results of batches count at batch prices, those asked for without a batch at ordinary ones.
        None when that cannot be known; `unpriced_models` names the models.
        """
        return self._bill().cost()

    @property
    def unpriced_models(self) -> tuple[str, ...]:
        """The models whose price is not known, or whose answers report no usage."""
        return self._bill().unpriced()

    @property
    def failed(self) -> Failed[Parsed_co]:
        """The lines without a good result, whatever the reason, in input order."""
        return Failed(self)

    def retry(self) -> Results[Parsed_co]:
        """Send the lines without a good result again, once, and return all results anew.

        Only lines that another try may help are sent: those that expired, got lost or met a passing
        error (`run` itself has already sent them again `policy.retries` times). Good results stay
        as they are; the results file then holds the new ones in their places. The next retry
        continues one that was stopped. Raises what `run` raises; earlier results stay.
        """
        report = self._again(self.report.rounds + 1)
        return Results(report, self._place, self._formats, self._again)

    def close(self) -> None:
        """Remove a job that was kept only as long as this object; otherwise do nothing."""
        if self._place.remove is not None:
            self._place.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.lines

    def __iter__(self) -> Iterator[Result[Parsed_co]]:
        for line, content, request_line in self._read():
            answer = read_answer_text(line.response.body if line.is_ok and line.response else None)
            parsed, invalid = self._formats.parse(answer, request_line)
            yield Result(line, content, request_line, answer.text, answer.refusal, parsed, invalid)

    def __repr__(self) -> str:
        return f"<Results: {self.ok:,} of {counted(self.lines, 'line')} ok, in {self.path}>"

    def _read(self) -> Iterator[tuple[ResultLine, bytes, bytes]]:
        with (
            _opened(self.path, "results") as results,
            _opened(self._place.source, "input") as source,
        ):
            answers = read_lines(results)
            for request in islice(read_lines(source), self.lines):
                line = next(answers, None)
                if line is None:
                    raise _spoilt(f"{self.path} has fewer lines than the input")
                result = _result(line.content)
                if result is None:
                    raise _spoilt(f"line {line.number} of {self.path} is no result")
                yield result, line.content, request.content

    def _bill(self) -> Bill:
        if self._known_bill is None:
            bill = Bill()
            for (line, _, request_line), in_batch in zip(
                self._read(), self._in_batches(), strict=False
            ):
                if line.is_ok:
                    bill.add(line, request_line, in_batch=in_batch)
            self._known_bill = bill
        return self._known_bill

    def _in_batches(self) -> Iterator[bool]:
        if not self.report.synchronous:
            yield from repeat(True)
        ledger = self.report.ledger
        with _opened(ledger, "ledger") as stream:
            for line in read_lines(stream):
                yield orjson.loads(line.content)["batch"] is not None
        raise _spoilt(f"{ledger} has fewer lines than the input")


class Failed(Generic[Parsed_co]):
    """The results of a job that are not good; iterate over it as often as you like."""

    def __init__(self, results: Results[Parsed_co]) -> None:
        self._results = results

    def __len__(self) -> int:
        return self._results.lines - self._results.ok

    def __iter__(self) -> Iterator[Result[Parsed_co]]:
        return (result for result in self._results if not result.is_ok)

    def __repr__(self) -> str:
        return f"<{len(self):,} failed of {counted(self._results.lines, 'line')}>"


def _result(content: bytes) -> ResultLine | None:
    result = read_result(content)
    if result is not None:
        return result
    try:
        value = orjson.loads(content)
        return ResultLine.from_object({**value, "custom_id": value["custom_id"] or ""})
    except (ValueError, TypeError, KeyError):
        return None


def _opened(path: Path, what: str) -> BinaryIO:
    try:
        return open_input(path)
    except InputError as error:
        raise JournalError(
            f"the {what} cannot be read: {path}: {error}",
            hint="run the same job again: it writes its results again without sending anything",
        ) from None


def _spoilt(reason: str) -> JournalError:
    return JournalError(reason, hint="remove the file and run the same job again: nothing is sent")
