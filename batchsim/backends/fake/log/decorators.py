"""How a method's calls come to stand in the request journal.

Every public method of a FakeBackend is decorated, so that a request is noted whatever door it came
through: a call in the process, a transport, a port.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from batchsim.amounts import counted
from batchsim.backends import Page, Reception
from batchsim.backends.fake.log.request_log import Entry, RequestJournal
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.domain.validation.diagnosis import shown
from batchsim.errors import BatchsimError

NAMING = ("filename", "input_file_id", "file_id", "batch_id", "url", "endpoint")
"""The arguments that the words of an entry show."""

LONGEST_WORDS = 500

taken_whole: ContextVar[bool] = ContextVar("batchsim_taken_whole", default=False)
"""Set by a door while it hands out a content to a client that takes it into memory in one piece."""

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")
Shown = TypeVar("Shown", Batch, File)


class Journalled(Protocol):
    """Who has a request journal."""

    requests: RequestJournal


Owner = TypeVar("Owner", bound=Journalled)


def noted(
    method: Callable[Concatenate[Owner, Parameters], Value],
) -> Callable[Concatenate[Owner, Parameters], Value]:
    """Have a method's calls noted in the journal of its object."""
    name = method.__name__

    @functools.wraps(method)
    def call(self: Owner, /, *arguments: Parameters.args, **options: Parameters.kwargs) -> Value:
        work = functools.partial(method, self, *arguments, **options)
        return noting(self, name, work, *arguments, **options)

    return call


def noting(
    owner: Journalled, name: str, work: Callable[[], Value], *arguments: Any, **options: Any
) -> Value:
    """What `work` returns, noted in the journal of `owner` as a call of that name."""
    note = _Note(owner, name, arguments, options)
    try:
        value = work()
    except BatchsimError as error:
        note.refused(error)
        raise
    note.answered(value)
    return value


def noted_look(owner: Journalled, name: str, value: Shown | None) -> Shown | None:
    """`value`, noted as what a call of that name about it was answered with, unless it is None."""
    if value is not None:
        _Note(owner, name, (value.id,), {}).answered(value)
    return value


@contextmanager
def noted_receiving(
    owner: Journalled, receiving: AbstractContextManager[Reception]
) -> Iterator[Reception]:
    """The same, its content's keeping noted as the upload that it is."""
    with receiving as reception:
        yield _NotedReception(owner, reception)


class _NotedReception:
    def __init__(self, owner: Journalled, reception: Reception) -> None:
        self._owner = owner
        self._reception = reception
        self.write = reception.write

    def keep(self, *, filename: str, purpose: str, expires_after: int | None = None) -> File:
        work = functools.partial(
            self._reception.keep, filename=filename, purpose=purpose, expires_after=expires_after
        )
        return noting(self._owner, "upload_file", work, filename=filename)


def noted_reading(
    method: Callable[Concatenate[Owner, Parameters], Iterator[bytes]],
) -> Callable[Concatenate[Owner, Parameters], Iterator[bytes]]:
    """The same for a method that is a generator of a content's pieces."""
    name = method.__name__

    @functools.wraps(method)
    def call(
        self: Owner, /, *arguments: Parameters.args, **options: Parameters.kwargs
    ) -> Iterator[bytes]:
        note = _Note(self, name, arguments, options)
        read, whole, complete = 0, False, False
        try:
            for piece in method(self, *arguments, **options):
                read += len(piece)
                yield piece
                whole = whole or taken_whole.get()
            complete = True
        except BatchsimError as error:
            note.refused(error, read=read)
            raise
        finally:
            if complete:
                note.add("its content", read=read, complete=True, whole=whole or taken_whole.get())
            elif not note.is_done:
                note.add(f"left after {counted(read, 'byte')}", read=read)

    return call


class _Note:
    """A request that waits for its outcome."""

    def __init__(
        self, owner: Journalled, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._journal = owner.requests
        self._call = name
        self._number = owner.requests.number()
        self._at = owner.requests.now()
        texts = [each for each in arguments if isinstance(each, str)]
        if options:
            texts += [options[key] for key in NAMING if isinstance(options.get(key), str)]
        self._subject = texts[0] if texts else None
        self._request = " ".join([name, *texts])
        self.is_done = False

    def answered(self, value: Any) -> None:
        makes = self._call in ("upload_file", "create_batch")
        self.add(
            _described(value, self._request),
            made=value.id if makes else None,
            state=str(value.status) if isinstance(value, Batch) else None,
        )

    def refused(self, error: BatchsimError, **facts: Any) -> None:
        self.add(
            f"{_kind(error)}: {error.message}",
            error=type(error).__name__,
            status=getattr(error, "status", None),
            retry_after=getattr(error, "retry_after", None),
            **facts,
        )

    def add(self, outcome: str, **facts: Any) -> None:
        self.is_done = True
        words = shown(f"{self._request} -> {outcome}", LONGEST_WORDS)
        again = (self._call, self._subject, words, self._number, self._at)
        if not facts.get("whole") and self._journal.repeat(*again):
            return
        self._journal.note(
            Entry(
                number=self._number,
                last_number=self._number,
                call=self._call,
                words=words,
                first=self._at,
                last=self._at,
                subject=self._subject,
                **facts,
            )
        )


def _kind(error: BatchsimError) -> str:
    status = getattr(error, "status", None)
    return type(error).__name__ if status is None else f"refused with {status}"


def _described(value: Any, request: str) -> str:
    match value:
        case File():
            words = f"{counted(value.bytes, 'byte')}"
        case Batch():
            counts = value.request_counts
            done = f", {counts.completed + counts.failed} of {counted(counts.total, 'line')} done"
            words = str(value.status) + (done if counts.total else "")
        case Page():
            return f"{len(value.data)} listed"
        case Answer():
            return f"status {value.status_code}"
        case str():
            return value
        case _:
            return "done"
    return words if value.id in request else f"{value.id}, {words}"
