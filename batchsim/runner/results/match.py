"""Result lines -> their places, each line in exactly one account, and what is odd about them.

Theory of operation. Nearly every line is the first result of its line, and a usual one: such lines
are placed by a short loop that looks at nothing else. All others take the long way. There, the
first result of a line has its place, unless it is not good and a later one is. All others, and
those that answer no line, go into quarantine. Where two results of a line differ in what they say,
both go into the conflicts file too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from batchsim.domain.batches import Usage
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import ResultLine
from batchsim.errors import InputError
from batchsim.jsonl import LONGEST, raw_lines
from batchsim.runner.job.shard_state import ShardState
from batchsim.runner.journal.anomalies import Anomaly, AnomalyKind
from batchsim.runner.journal.shard_entries import Source
from batchsim.runner.results.outcomes import Outcome, Verdict, is_blank, judge
from batchsim.runner.results.placeholders import named_lines, record, unnamed_lines
from batchsim.runner.results.result_lines import is_utf8, read_result, says
from batchsim.runner.results.shard_index import GOOD, LENGTH, Index, Place

_MARK = b"\xef\xbb\xbf"
"""The byte order mark, with which some compatible services begin a file (observed)."""

_BUFFER = 1 << 18
"""How many bytes are read at once: lines that are in the processor's cache are decoded sooner."""

Write = Callable[[bytes], object]


class Sorter:
    """Gives result lines their places and counts what is odd."""

    def __init__(
        self,
        ids: Mapping[str, int],
        quarantine: Write,
        conflicts: Write,
        *,
        was_cancelled: bool,
        is_known: bool,
        retry_cancelled: bool,
    ) -> None:
        self.index = Index.empty(len(ids))
        self._ids = ids
        self._quarantine = quarantine
        self._conflicts = conflicts
        self._was_cancelled = was_cancelled
        self._is_known = is_known
        self._retry_cancelled = retry_cancelled
        self.usage = Usage()
        self._odd: Counter[AnomalyKind] = Counter()
        self._examples: dict[AnomalyKind, str] = {}
        self._paths: dict[Source, Path] = {}
        self.quarantined = 0
        """How many lines went into quarantine."""
        self._ours = 0
        self._stranger: str | None = None

    def sort(self, path: Path, source: Source) -> str | None:
        """Give every line of a result file its place, or put it into quarantine.

        Returns the first custom_id when there are results and none of them is for a line of ours.
        """
        self._paths[source] = path
        self._ours, self._stranger = 0, None
        self._place_lines(path, source)
        return None if self._ours else self._stranger

    def _place_lines(self, path: Path, source: Source) -> None:
        from msgspec import UNSET

        from batchsim.runner.results.result_lines import NOT_USUAL, decode

        ids, offsets, packed, good = self._ids, self.index.offsets, self.index.packed, GOOD[source]
        read = written = cached = reasoned = placed = offset = 0
        with path.open("rb", buffering=_BUFFER) as stream:
            for line in raw_lines(stream):
                content = line.rstrip()
                try:
                    result = decode(content)
                    position = ids[result.custom_id]
                    is_first = not packed[position] and (content.isascii() or is_utf8(content))
                except NOT_USUAL:
                    is_first = False
                if is_first:
                    offsets[position] = offset
                    packed[position] = len(content) << LENGTH | good
                    placed += 1
                    usage = result.response.body.usage
                    if usage is None:
                        pass
                    elif usage.prompt_tokens is not UNSET:
                        read += usage.prompt_tokens
                        written += usage.completion_tokens
                        if usage.prompt_tokens_details is not None:
                            cached += usage.prompt_tokens_details.cached_tokens
                        if usage.completion_tokens_details is not None:
                            reasoned += usage.completion_tokens_details.reasoning_tokens
                    else:
                        read += usage.input_tokens
                        written += usage.output_tokens
                        if usage.input_tokens_details is not None:
                            cached += usage.input_tokens_details.cached_tokens
                        if usage.output_tokens_details is not None:
                            reasoned += usage.output_tokens_details.reasoning_tokens
                else:
                    self._take(content, offset, source)
                offset += len(line)
        self._ours += placed
        self.usage += Usage(read, written, cached, reasoned)

    def _take(self, content: bytes, offset: int, source: Source) -> None:
        """Let a line of any kind have its place, or put it into quarantine."""
        if not offset and content.startswith(_MARK):
            content, offset = content[len(_MARK) :], len(_MARK)
        if not content:
            return
        if len(content) == LONGEST:
            raise InputError(
                f"a line is longer than {LONGEST:,} bytes",
                path=self._paths[source],
                hint="a result file has one JSON object per line, each ended by a newline",
            )
        result = read_result(content)
        if result is None:
            self._set_aside(content, AnomalyKind.UNREADABLE)
            return
        position = self._ids.get(result.custom_id)
        if position is None:
            self._stranger = self._stranger or result.custom_id
            self._set_aside(content, AnomalyKind.FOREIGN, result.custom_id)
            return
        self._ours += 1
        self._offer(position, content, offset, source, result)

    def fill_gaps(self, shard: ShardState, records: Write) -> None:
        """Write a record for every line that has no place yet, and place it there."""
        if 0 not in self.index.packed:
            return
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
            records(content + b"\n")
            self._put(position, Place(offset, len(content), Source.RECORDS, verdict, None))
            offset += len(content) + 1
            if not has_failed:
                self._note(AnomalyKind.MISSING, custom_id)

    def oddities(self) -> Iterator[Anomaly]:
        """What was odd about the results, in a fixed order."""
        for kind in AnomalyKind:
            if self._odd[kind]:
                example = self._examples.get(kind)
                yield Anomaly(kind=kind, found=self._odd[kind], example=example)

    def _offer(
        self, position: int, content: bytes, offset: int, source: Source, result: ResultLine
    ) -> None:
        """Place the result; where the line has one, keep the better one and put away the other."""
        code = result.response.status_code if result.response else None
        verdict = judge(result, was_cancelled=self._was_cancelled)
        place = Place(offset, len(content), source, verdict, code)
        if is_blank(result):
            self._note(AnomalyKind.BLANK, result.custom_id)
        is_good = verdict.outcome is Outcome.OK
        if self.index.holds(position):
            before = self.index.at(position)
            earlier = self._content(before)
            differs = says(read_result(earlier)) != says(result)
            if differs:
                self._conflicts(earlier + b"\n" + content + b"\n")
            loses = not is_good or before.verdict.outcome is Outcome.OK
            kind = AnomalyKind.CONFLICTING if differs else AnomalyKind.DOUBLED
            self._set_aside(content if loses else earlier, kind, result.custom_id)
            if loses:
                return
        self._put(position, place)
        if is_good:
            self.usage += result.usage

    def _put(self, position: int, place: Place) -> None:
        """Only a line whose request is known may be worth another try."""
        outcome, again = place.verdict
        again = again or (self._retry_cancelled and outcome is Outcome.CANCELLED)
        place = place._replace(verdict=Verdict(outcome, again and self._is_known))
        self.index.put(position, place)

    def _content(self, place: Place) -> bytes:
        with self._paths[place.source].open("rb") as stream:
            stream.seek(place.offset)
            return stream.read(place.length)

    def _set_aside(self, content: bytes, kind: AnomalyKind, custom_id: str | None = None) -> None:
        self._quarantine(content + b"\n")
        self.quarantined += 1
        self._note(kind, custom_id)

    def _note(self, kind: AnomalyKind, custom_id: str | None) -> None:
        self._odd[kind] += 1
        if custom_id is not None:
            self._examples.setdefault(kind, custom_id)
