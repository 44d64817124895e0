"""Result files -> the index of a shard, with every line in exactly one account.

Theory of operation. A shard has at most 50,000 lines, so restoring order is done per shard: the
custom_ids of its lines in a dictionary, and for every line a place (batchsim.runner.places), which
says in which file the line's result begins, how long it is, and what became of the line. The result
files are read once, first the output file, then the error file; each of their lines is parsed for
its custom_id and its outcome, and what is kept of it is its place.

The first result of a line has its place, unless it is not good and a later one is. All others, and
those that answer no line, go into quarantine. Where two results of a line differ in what they
say, both go into the conflicts file too. A line that ends up without a place gets a record of ours.
What is odd is counted and named, and so is what the service's own counts claim and the files lack.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from batchsim.domain.batches import Usage
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import ResultLine
from batchsim.domain.usage import usage_of
from batchsim.errors import BatchsimError
from batchsim.jsonl import read_lines, replace_file
from batchsim.runner.differences import Claim, Difference
from batchsim.runner.directory import JobDirectory
from batchsim.runner.entries import Tally
from batchsim.runner.outcomes import Outcome, Verdict, is_blank, judge
from batchsim.runner.places import HTTP_OK, Index, Place
from batchsim.runner.records import named_lines, record, unnamed_lines
from batchsim.runner.shard_entries import Downloaded, Origin, Source
from batchsim.runner.shard_state import ShardState

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, with which some compatible services begin a file (observed)."""


class ForeignResults(BatchsimError):
    """A result file holds results, and none of them is for a line of the batch."""

    def __init__(self, source: Source, path: Path, example: str) -> None:
        super().__init__(
            f"the {source} file holds results of another batch, such as {example!r}, and none of "
            "this one",
            hint=f"look at {path}; the same command downloads it again",
        )
        self.source = source


class Gathered(NamedTuple):
    """What became of a shard's lines; so many are worth another try."""

    tally: Tally
    again: int
    differences: tuple[Difference, ...]


def collect(
    shard: ShardState,
    custom_ids: Iterable[str],
    directory: JobDirectory,
    *,
    is_hurried: bool = False,
) -> Gathered:
    """Find the place of every line's result; what became of the lines.

    `is_hurried` when we had batches cancelled to finish without them. `custom_ids` are those of the shard's lines, in order. Writes the shard's index, records,
    quarantine and conflicts into the directory; doing so again gives the same bytes.

    Raises ForeignResults when a result file has nothing to do with the lines.
    """
    number = shard.plan.shard
    ids = {custom_id: position for position, custom_id in enumerate(custom_ids)}
    extras = [
        directory.quarantine(number),
        directory.conflicts(number),
        directory.file(number, Source.RECORDS),
    ]
    with ExitStack() as stack:
        quarantine, conflicts, records = (
            stack.enter_context(replace_file(path, private=True)) for path in extras
        )
        sorter = _Sorter(
            ids,
            quarantine,
            conflicts,
            was_cancelled=shard.batch is not None and shard.batch.status is Status.CANCELLED,
            is_known=shard.plan.origin is not Origin.UNKNOWN,
            is_hurried=is_hurried,
        )
        for source in (Source.OUTPUT, Source.ERROR):
            if isinstance(shard.file(source), Downloaded):
                path = directory.file(number, source)
                example = sorter.sort(path, source)
                if example is not None:
                    raise ForeignResults(source, path, example)
        claims = _false_claims(shard, sorter)
        sorter.fill_gaps(shard, records)
        index = stack.enter_context(replace_file(directory.index(number), private=True))
        index.write(sorter.index.to_bytes())
    for path in extras:
        if not path.stat().st_size:
            path.unlink()
    return Gathered(sorter.tally(), sorter.again(), (*claims, *sorter.oddities()))


def _false_claims(shard: ShardState, sorter: _Sorter) -> Iterator[Difference]:
    """Where the batch's counts are not what its files hold; a service may give no counts at all."""
    batch = shard.batch
    if batch is None or batch.status is Status.FAILED or not batch.request_counts.total:
        return
    counts = batch.request_counts
    good, bad = sorter.ran()
    for claim, claimed, found in (
        (Claim.TOTAL, counts.total, shard.plan.lines),
        (Claim.COMPLETED, counts.completed, good),
        (Claim.FAILED, counts.failed, bad),
    ):
        if claimed != found:
            yield Difference(claim=claim, claimed=claimed, found=found)


class _Sorter:
    """Gives result lines their places and counts what is odd."""

    def __init__(
        self,
        ids: Mapping[str, int],
        quarantine: BinaryIO,
        conflicts: BinaryIO,
        *,
        was_cancelled: bool,
        is_known: bool,
        is_hurried: bool,
    ) -> None:
        self.index = Index.empty(len(ids))
        self._ids = ids
        self._quarantine = quarantine
        self._conflicts = conflicts
        self._was_cancelled = was_cancelled
        self._is_known = is_known
        self._is_hurried = is_hurried
        self._tokens = [0, 0, 0, 0]
        self._odd: Counter[Claim] = Counter()
        self._examples: dict[Claim, str] = {}
        self._paths: dict[Source, Path] = {}
        self._quarantined = 0

    def sort(self, path: Path, source: Source) -> str | None:
        """Give every line of a result file its place, or put it into quarantine.

        Returns the first custom_id when there are results and none of them is for a line of ours.
        """
        self._paths[source] = path
        ours, foreign = 0, self._odd[Claim.FOREIGN]
        example = None
        with path.open("rb") as stream:
            for content, offset in _contents(stream):
                value = _parsed(content)
                if self._take_usual(value, content, offset, source):
                    ours += 1
                    continue
                result = _result(value)
                if result is None:
                    self._set_aside(content, Claim.UNREADABLE)
                    continue
                position = self._ids.get(result.custom_id)
                if position is None:
                    example = example or result.custom_id
                    self._set_aside(content, Claim.FOREIGN, result.custom_id)
                    continue
                ours += 1
                self._offer(position, content, offset, source, result)
        return example if not ours and self._odd[Claim.FOREIGN] > foreign else None

    def fill_gaps(self, shard: ShardState, records: BinaryIO) -> None:
        """Write a record for every line that has no place yet, and place it there."""
        has_failed = shard.batch is not None and shard.batch.status is Status.FAILED
        named = unnamed = None
        offset = 0
        for custom_id, position in self._ids.items():
            if self.index.holds(position):
                continue
            if named is None or unnamed is None:
                named, unnamed = named_lines(shard), unnamed_lines(shard)
            error, verdict = named.get(position + 1, unnamed)
            content = record(custom_id, error)
            records.write(content + b"\n")
            self._put(position, Place(offset, len(content), Source.RECORDS, verdict, None))
            offset += len(content) + 1
            if not has_failed:
                self._note(Claim.MISSING, custom_id)

    def tally(self) -> Tally:
        """What became of the lines."""
        counts = {outcome.word: 0 for outcome in Outcome}
        for verdict, count in self.index.counts().items():
            counts[verdict.outcome.word] += count
        return Tally(
            **counts,
            quarantined=self._quarantined,
            usage=Usage(*self._tokens),
        )

    def again(self) -> int:
        """How many lines are worth another try."""
        return sum(count for verdict, count in self.index.counts().items() if verdict.again)

    def ran(self) -> tuple[int, int]:
        """How many lines so far ran well, and how many ran badly."""
        return self.index.counts()[Verdict(Outcome.OK)], self.index.ran_badly()

    def oddities(self) -> Iterator[Difference]:
        """What was odd about the results, in a fixed order."""
        for claim in Claim:
            if self._odd[claim]:
                example = self._examples.get(claim)
                yield Difference(claim=claim, found=self._odd[claim], example=example)

    def _take_usual(self, value: Any, content: bytes, offset: int, source: Source) -> bool:
        """Place the first result of a line if it is a plain good one, which nearly all are.

        What `_offer` would do with it, in a third of the time. Returns whether it was done.
        """
        if type(value) is not dict or value.get("error") is not None:
            return False
        response = value.get("response")
        if type(response) is not dict or response.get("status_code") != HTTP_OK:
            return False
        custom_id = value.get("custom_id")
        position = self._ids.get(custom_id) if type(custom_id) is str else None
        if position is None or self.index.holds(position):
            return False
        self.index.put_good(position, offset, len(content), source)
        self._add(usage_of(response.get("body")))
        return True

    def _offer(
        self, position: int, content: bytes, offset: int, source: Source, result: ResultLine
    ) -> None:
        """Place the result; where the line has one, keep the better one and put away the other."""
        code = result.response.status_code if result.response else None
        verdict = judge(result, was_cancelled=self._was_cancelled)
        place = Place(offset, len(content), source, verdict, code)
        if is_blank(result):
            self._note(Claim.BLANK, result.custom_id)
        is_good = verdict.outcome is Outcome.OK
        if self.index.holds(position):
            before = self.index.at(position)
            earlier = self._content(before)
            differs = _says(read_result(earlier)) != _says(result)
            if differs:
                self._conflicts.write(earlier + b"\n" + content + b"\n")
            loses = not is_good or before.verdict.outcome is Outcome.OK
            claim = Claim.CONFLICTING if differs else Claim.DOUBLED
            self._set_aside(content if loses else earlier, claim, result.custom_id)
            if loses:
                return
        self._put(position, place)
        if is_good:
            self._add(result.usage)

    def _add(self, usage: Usage) -> None:
        tokens = self._tokens  # four additions are cheaper than one of Usages
        tokens[0] += usage.input_tokens
        tokens[1] += usage.output_tokens
        tokens[2] += usage.cached_tokens
        tokens[3] += usage.reasoning_tokens

    def _put(self, position: int, place: Place) -> None:
        """Only a line whose request is known may be worth another try."""
        outcome, again = place.verdict
        again = again or (self._is_hurried and outcome is Outcome.CANCELLED)
        place = place._replace(verdict=Verdict(outcome, again and self._is_known))
        self.index.put(position, place)

    def _content(self, place: Place) -> bytes:
        with self._paths[place.source].open("rb") as stream:
            stream.seek(place.offset)
            return stream.read(place.length)

    def _set_aside(self, content: bytes, claim: Claim, custom_id: str | None = None) -> None:
        self._quarantine.write(content + b"\n")
        self._quarantined += 1
        self._note(claim, custom_id)

    def _note(self, claim: Claim, custom_id: str | None) -> None:
        self._odd[claim] += 1
        if custom_id is not None:
            self._examples.setdefault(claim, custom_id)


def _contents(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The lines of a result file that are not blank, each with the offset of its first byte."""
    for line in read_lines(stream):
        content, offset = line.content, line.offset
        if not offset and content.startswith(_MARK):
            content, offset = content[len(_MARK) :], len(_MARK)
        content = content.rstrip()
        if content:
            yield content, offset


def read_result(content: bytes) -> ResultLine | None:
    """The result on a line; None when it is none that can be placed."""
    return _result(_parsed(content))


def _parsed(content: bytes) -> Any:
    """The JSON value of a line; None when it is none."""
    try:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return json.loads(content)  # a paid answer with a NaN in it is still an answer
    except (ValueError, RecursionError):
        return None


def _result(value: Any) -> ResultLine | None:
    try:
        return ResultLine.from_object(value)
    except ValueError:
        return None


def _says(result: ResultLine | None) -> Any:
    """What of a result makes it differ from another one: not its ids."""
    if result is None:
        return None
    response = result.response
    return result.error, response and (response.status_code, response.body)
