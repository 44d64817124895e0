"""Match result lines with the lines of a shard, and note anomalies.

Theory of operation. Nearly every result line is usual, and the first for its line. Such lines are
matched by a short loop (`_match_file`), which looks at nothing else; it takes about half the time
of `_match_line`, to which it leaves all others. There

1. a byte order mark is passed over, and so is a blank line;
2. what cannot be read, and a result for no line of the shard, goes into quarantine;
3. the first result of a line counts, unless it is not good and a later one is; the other one goes
   into quarantine, and both go into the conflicts file if they say different things.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import UNSET

from batchsim.domain.batches import Usage
from batchsim.domain.coercion import carried
from batchsim.domain.lifecycle import Status
from batchsim.domain.lines import ResultLine
from batchsim.errors import InputError
from batchsim.jsonl import LONGEST, raw_lines
from batchsim.runner.job import ShardState
from batchsim.runner.journal import Anomaly, AnomalyKind
from batchsim.runner.journal.shard_entries import Source
from batchsim.runner.results import result_lines
from batchsim.runner.results.outcomes import Ending, Outcome, ending_of, is_blank
from batchsim.runner.results.placeholders import explained_lines, other_lines, placeholder
from batchsim.runner.results.result_lines import is_utf8, read_result, says
from batchsim.runner.results.shard_index import GOOD, LENGTH, ResultLocation, ShardIndex

_MARK = b"\xef\xbb\xbf"
"""The byte order mark. Some compatible services begin a file with it (observed)."""

_BUFFER = 1 << 18
"""So many bytes are read at once: lines in the processor's cache are decoded sooner."""

Write = Callable[[bytes], object]


class Matcher:
    """Fills the index of a shard, `ids` being the positions of its lines by custom_id."""

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
        self.index = ShardIndex.empty(len(ids))
        self._ids = ids
        self._quarantine = quarantine
        self._conflicts = conflicts
        self._was_cancelled = was_cancelled
        self._is_known = is_known
        self._retry_cancelled = retry_cancelled
        self.usage = Usage()
        self._anomalies: Counter[AnomalyKind] = Counter()
        self._examples: dict[AnomalyKind, str] = {}
        self._paths: dict[Source, Path] = {}
        self.quarantined = 0
        self._matched = 0
        self._foreign: str | None = None

    def match(self, path: Path, source: Source) -> str | None:
        """Match the lines of a result file. Return a custom_id of it when none of them is ours."""
        self._paths[source] = path
        self._matched, self._foreign = 0, None
        self._match_file(path, source)
        return None if self._matched else self._foreign

    def _match_file(self, path: Path, source: Source) -> None:
        decode, not_usual = result_lines.decode, result_lines.NOT_USUAL
        ids, offsets, packed, good = self._ids, self.index.offsets, self.index.packed, GOOD[source]
        read = written = cached = reasoned = matched = offset = 0
        with path.open("rb", buffering=_BUFFER) as stream:
            for line in raw_lines(stream):
                content = line.rstrip()
                try:
                    result = decode(content)
                    position = ids[result.custom_id]
                    is_first = not packed[position] and (content.isascii() or is_utf8(content))
                except not_usual:
                    is_first = False
                if is_first:
                    offsets[position] = offset
                    packed[position] = len(content) << LENGTH | good
                    matched += 1
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
                    self._match_line(content, offset, source)
                offset += len(line)
        self._matched += matched
        self.usage += Usage(read, written, cached, reasoned)

    def _match_line(self, content: bytes, offset: int, source: Source) -> None:
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
            self._foreign = self._foreign or carried(result.custom_id)
            self._set_aside(content, AnomalyKind.FOREIGN, result.custom_id)
            return
        self._matched += 1
        self._offer(position, content, offset, source, result)

    def fill_gaps(self, shard: ShardState, write: Write) -> None:
        if 0 not in self.index.packed:
            return
        has_failed = shard.batch is not None and shard.batch.status is Status.FAILED
        explained = other = None
        offset = 0
        for custom_id, position in self._ids.items():
            if self.index.holds(position):
                continue
            if explained is None or other is None:
                explained, other = explained_lines(shard), other_lines(shard)
            error, ending = explained.get(position + 1, other)
            content = placeholder(custom_id, error)
            write(content + b"\n")
            self._put(position, ResultLocation(offset, len(content), Source.RECORDS, ending, None))
            offset += len(content) + 1
            if not has_failed:
                self._note(AnomalyKind.MISSING, custom_id)

    def anomalies(self) -> Iterator[Anomaly]:
        """Yield the anomalies of the results, in a fixed order."""
        for kind in AnomalyKind:
            if found := self._anomalies[kind]:
                yield Anomaly(kind=kind, found=found, example=self._examples.get(kind))

    def _offer(
        self, position: int, content: bytes, offset: int, source: Source, result: ResultLine
    ) -> None:
        """Give the line this result; if it has one, keep the better one."""
        code = result.response.status_code if result.response else None
        ending = ending_of(result, was_cancelled=self._was_cancelled)
        location = ResultLocation(offset, len(content), source, ending, code)
        if is_blank(result):
            self._note(AnomalyKind.BLANK, result.custom_id)
        is_good = ending.outcome is Outcome.OK
        if self.index.holds(position):
            before = self.index.at(position)
            earlier = self._content(before)
            differs = says(read_result(earlier)) != says(result)
            if differs:
                self._conflicts(earlier + b"\n" + content + b"\n")
            loses = not is_good or before.ending.outcome is Outcome.OK
            kind = AnomalyKind.CONFLICTING if differs else AnomalyKind.DOUBLED
            self._set_aside(content if loses else earlier, kind, result.custom_id)
            if loses:
                return
        self._put(position, location)
        if is_good:
            self.usage += result.usage

    def _put(self, position: int, location: ResultLocation) -> None:
        """Store the location. Only a line whose request is known is retriable."""
        outcome, is_retriable = location.ending
        is_retriable |= self._retry_cancelled and outcome is Outcome.CANCELLED
        ending = Ending(outcome, is_retriable and self._is_known)
        self.index.put(position, location._replace(ending=ending))

    def _content(self, location: ResultLocation) -> bytes:
        with self._paths[location.source].open("rb") as stream:
            stream.seek(location.offset)
            return stream.read(location.length)

    def _set_aside(self, content: bytes, kind: AnomalyKind, custom_id: str | None = None) -> None:
        self._quarantine(content + b"\n")
        self.quarantined += 1
        self._note(kind, custom_id)

    def _note(self, kind: AnomalyKind, custom_id: str | None) -> None:
        self._anomalies[kind] += 1
        if custom_id is not None:
            self._examples.setdefault(kind, carried(custom_id))
