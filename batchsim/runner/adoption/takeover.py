"""The lines of batches that another tool made, as the input of a job.

Theory of operation.

1. The custom_ids of every batch are read from its input file or, when that is gone and the batch
   has ended, from its result files. Without an input of the user's own, the input is written
   meanwhile: the lines of all batches, oldest batch first, byte for byte; a line that a later
   batch repeats with the same body is written once. Of a batch whose input is gone only the
   custom_ids are known: a stand-in is written for each such line, which is never sent.
2. The input is read once. A line must have the body that the batches sent under its custom_id, or
   it would get the answer to another request. Each line goes into the shards of the batches that
   hold it. If none does (this takes an input of the user's own), it goes into a new shard, which is
   sent. A batch that repeats a line of an earlier batch is a later round.

The custom_ids of each batch are kept on disk (batchsim.runner.adoption.lines_of_batches); memory
holds
only where runs of neighbouring lines begin and end.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

import orjson
from msgspec import structs

from batchsim.amounts import counted
from batchsim.backends import Backend
from batchsim.domain.batches import Batch
from batchsim.domain.limits import Limits
from batchsim.domain.lines import RequestLine, RequestLines
from batchsim.domain.validation.batch_errors import duplicate_custom_id, invalid_json_line
from batchsim.domain.validation.input_file import InputRules
from batchsim.errors import JobIncomplete, NotFound, UsageError
from batchsim.jsonl import Line, open_input, read_lines
from batchsim.runner.adoption.lines_of_batches import Member, Members
from batchsim.runner.journal.shard_entries import Origin, Planned
from batchsim.runner.planning.plan import InvalidInput
from batchsim.runner.planning.request_lines import read_custom_id, read_object
from batchsim.runner.planning.sharding import Builder, GrowingShard
from batchsim.runner.results.result_lines import read_result

_NAMED = 3
"""So many changed lines are named; the others are counted."""

_ONE_BY_ONE = "adopt such batches one by one, each with results of its own (-o)"


@dataclass(slots=True)
class AdoptedBatch:
    """A batch, the origin of its lines, and its round; `digest` is the SHA-256 of its input."""

    batch: Batch
    number: int
    origin: Origin = Origin.ADOPTED
    round: int = 0
    digest: str = ""


class Takeover:
    """Some batches, oldest first, which become the shards 1, 2, ...; a context manager."""

    def __init__(self, backend: Backend, batches: Sequence[Batch], limits: Limits) -> None:
        self._backend = backend
        self._limits = limits
        self.found = [AdoptedBatch(batch, number) for number, batch in enumerate(batches, start=1)]
        self._members = Members()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._members.close()

    def read_batches(self, write: Callable[[bytes], object] | None) -> None:
        """Read the lines of each batch; `write` takes the lines of an input, if one is made.

        Raises UsageError when batches contradict each other, JobIncomplete when a batch that
        has not ended has lost its input.
        """
        for found in self.found:
            for line, custom_id in self._lines(found):
                self._take(found, line, custom_id, write)

    def plan(self, source: Path, supports: Callable[[str], bool]) -> tuple[int, list[Planned]]:
        """Return the number of lines and the shards. Raises InvalidInput; UsageError for a gap."""
        shards: dict[int, GrowingShard] = {}
        builder = Builder(self._limits, shards=len(self.found))
        rules = InputRules(one_batch=False, limits=self._limits, supports=supports)
        lines, changed = 0, _ChangedLines(source)
        with open_input(source) as stream:
            for line in read_lines(stream, longest=self._limits.line_bytes):
                if not line.content.strip():
                    continue
                lines += 1
                if line.number != lines:
                    raise InvalidInput(source, (invalid_json_line(lines),), 1)
                custom_id = read_custom_id(line.content) or ""
                members = self._members.of(custom_id)
                if not members:
                    self._add_new(builder, rules, line, source)
                    continue
                if members[0].is_in_input:
                    twice = duplicate_custom_id(line.number, custom_id)
                    raise InvalidInput(source, (twice,), 1)
                self._members.mark(custom_id)
                changed.add(lines, custom_id, self._with_other_body(members, line.content))
                for member in members:
                    if member.batch not in shards:
                        shards[member.batch] = self._open(member.batch, line)
                    shards[member.batch].add(line.number, line.offset, [line.content])
        changed.check()
        missing, example = self._members.unmarked()
        if missing:
            raise UsageError(
                f"{missing:,} lines of the batches are not in {source}, such as that with the "
                f"custom_id {example!r}",
                hint="give the input from which the batches were made, or none",
            )
        return lines, [self._planned(shards[n]) for n in sorted(shards)] + [*builder.shards()]

    def _with_other_body(self, members: Sequence[Member], content: bytes) -> list[Batch]:
        """Return the batches that sent another body; of those without input nothing is known."""
        known = [
            (self.found[member.batch - 1].batch, member.digest)
            for member in members
            if self.found[member.batch - 1].origin is not Origin.UNKNOWN
        ]
        if not known:
            return []
        digest = _body_digest(content)
        return [batch for batch, sent in known if sent != digest]

    def _open(self, number: int, line: Line) -> GrowingShard:
        found = self.found[number - 1]
        body = read_object(line.content).get("body")
        model = body.get("model") if isinstance(body, dict) else found.batch.model
        named = model if isinstance(model, str) else None
        return GrowingShard(number, found.round, found.batch.endpoint, named)

    def _planned(self, shard: GrowingShard) -> Planned:
        found = self.found[shard.number - 1]
        plan = shard.planned()
        origin = found.origin
        if origin is Origin.ADOPTED and plan.fingerprint != found.digest:
            origin = Origin.REORDERED
        return structs.replace(plan, origin=origin)

    def _add_new(self, builder: Builder, rules: InputRules, line: Line, source: Path) -> None:
        found = rules.check(line.number, line.content)
        if isinstance(found, RequestLine):
            refused = builder.add(RequestLines.of(line, found))
            wrong = refused[0].error if refused else None
        else:
            wrong = found
        if wrong is not None:
            raise InvalidInput(source, (wrong,), 1)

    def _take(
        self,
        found: AdoptedBatch,
        line: bytes,
        custom_id: str,
        write: Callable[[bytes], object] | None,
    ) -> None:
        digest = _body_digest(line)
        members = self._members.of(custom_id)
        if not members:
            if write is not None:
                write(line + b"\n")
        elif members[-1].batch == found.number:
            raise UsageError(f"{found.batch.id} holds the custom_id {custom_id!r} twice")
        else:
            first, last = members[0], members[-1]
            if write is not None and found.origin is Origin.ADOPTED and first.digest != digest:
                other = self.found[last.batch - 1].batch.id
                raise UsageError(
                    f"the batches {other} and {found.batch.id} have different requests with the "
                    f"custom_id {custom_id!r}",
                    hint=_ONE_BY_ONE,
                )
            before = max(self.found[member.batch - 1].round for member in members)
            found.round = max(found.round, before + 1)
        self._members.add(custom_id, found.number, digest)

    def _lines(self, found: AdoptedBatch) -> Iterator[tuple[bytes, str]]:
        digest = hashlib.sha256()
        try:
            with closing(_Pieces(self._backend, found.batch.input_file_id)) as stream:
                for line in read_lines(cast(BinaryIO, stream), longest=self._limits.line_bytes):
                    digest.update(line.content + b"\n")
                    if not line.content.strip():
                        continue
                    custom_id = read_custom_id(line.content)
                    if not custom_id:
                        raise UsageError(
                            f"line {line.number} of the input of {found.batch.id} has no custom_id",
                            hint="give every line of that input a custom_id, and run it",
                        )
                    yield line.content, custom_id
            found.digest = digest.hexdigest()
        except NotFound:
            yield from self._answered(found)

    def _answered(self, found: AdoptedBatch) -> Iterator[tuple[bytes, str]]:
        """Yield stand-ins for the lines of a batch without input, as far as they have results."""
        batch = found.batch
        if not batch.status.is_terminal:
            raise JobIncomplete(
                f"the input of {batch.id} is gone and the batch has not ended, so its lines "
                "are not known",
                hint="give the same command once it has ended",
            )
        found.origin = Origin.UNKNOWN
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is None:
                continue
            with closing(_Pieces(self._backend, file_id)) as stream:
                for line in read_lines(cast(BinaryIO, stream)):
                    result = read_result(line.content)
                    members = self._members.of(result.custom_id) if result else []
                    if result and not (members and members[-1].batch == found.number):
                        yield orjson.dumps({"custom_id": result.custom_id}), result.custom_id


def _body_digest(content: bytes) -> bytes:
    """Return the digest of the line's body, which does not depend on how the JSON is written."""
    body = read_object(content).get("body")
    text = content if body is None else orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()


class _ChangedLines:
    """Lines of an input whose body is another than that which was sent under their custom_id."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._count = 0
        self._examples: list[str] = []

    def add(self, number: int, custom_id: str, others: Sequence[Batch]) -> None:
        """Add a line if there are batches that sent another body for it."""
        if others:
            self._count += 1
            if len(self._examples) < _NAMED:
                self._examples.append(f"line {number:,} ({custom_id!r} in {others[0].id})")

    def check(self) -> None:
        """Raise UsageError if there are such lines."""
        if not self._count:
            return
        of = f"line of {self._source} has", f"lines of {self._source} have"
        more = ", ..." if self._count > _NAMED else ""
        raise UsageError(
            f"{counted(self._count, *of)} another body than was sent under the same custom_id: "
            f"{', '.join(self._examples)}{more}",
            hint="give the input from which the batches were made, or none; to send the new "
            "requests, run them as a job of their own",
        )


class _Pieces:
    """A remote file's content as a stream that lines are read from."""

    def __init__(self, backend: Backend, file_id: str) -> None:
        self._pieces = backend.read_file(file_id)
        self._rest = b""

    def read(self, size: int) -> bytes:
        piece = self._rest or next(self._pieces, b"")
        self._rest = piece[size:]
        return piece[:size]

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
