"""Decorators that enter a method's calls in the request log.

They are on every public method of a FakeBackend. So a request is logged whatever door it came
through: a call in the process, a transport, a port.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from batchsim.amounts import counted
from batchsim.backends import Page, Reception
from batchsim.backends.fake.log.request_log import Entry, RequestLog
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.files import File
from batchsim.domain.validation.error_explanation import shown
from batchsim.errors import BatchsimError

NAMING = ("filename", "input_file_id", "file_id", "batch_id", "url", "endpoint")
"""The arguments that the text of an entry shows."""

LONGEST_TEXT = 500  # characters of the text of an entry

taken_whole: ContextVar[bool] = ContextVar("batchsim_taken_whole", default=False)
"""Set by a door while its client takes a content into memory in one piece."""

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


class HasRequestLog(Protocol):
    requests: RequestLog


Owner = TypeVar("Owner", bound=HasRequestLog)


def logged(
    method: Callable[Concatenate[Owner, Parameters], Value],
) -> Callable[Concatenate[Owner, Parameters], Value]:
    name = method.__name__

    @functools.wraps(method)
    def call(self: Owner, /, *arguments: Parameters.args, **options: Parameters.kwargs) -> Value:
        work = functools.partial(method, self, *arguments, **options)
        return log_request(self, name, work, *arguments, **options)

    return call


def log_request(
    owner: HasRequestLog, name: str, work: Callable[[], Value], *arguments: Any, **options: Any
) -> Value:
    pending = _Pending(owner, name, arguments, options)
    try:
        value = work()
    except BatchsimError as error:
        pending.refused(error)
        raise
    pending.answered(value)
    return value


@contextmanager
def logged_receiving(
    owner: HasRequestLog, receiving: AbstractContextManager[Reception]
) -> Iterator[Reception]:
    """Return the same context. When its content is kept, log that as an upload."""
    with receiving as reception:
        yield _LoggedReception(owner, reception)


class _LoggedReception:
    def __init__(self, owner: HasRequestLog, reception: Reception) -> None:
        self._owner = owner
        self._reception = reception
        self.write = reception.write

    def keep(self, *, filename: str, purpose: str, expires_after: int | None = None) -> File:
        work = functools.partial(
            self._reception.keep, filename=filename, purpose=purpose, expires_after=expires_after
        )
        return log_request(self._owner, "upload_file", work, filename=filename)


def logged_reading(
    method: Callable[Concatenate[Owner, Parameters], Iterator[bytes]],
) -> Callable[Concatenate[Owner, Parameters], Iterator[bytes]]:
    name = method.__name__

    @functools.wraps(method)
    def call(
        self: Owner, /, *arguments: Parameters.args, **options: Parameters.kwargs
    ) -> Iterator[bytes]:
        pending = _Pending(self, name, arguments, options)
        read, whole, complete = 0, False, False
        try:
            for piece in method(self, *arguments, **options):
                read += len(piece)
                yield piece
                whole = whole or taken_whole.get()
            complete = True
        except BatchsimError as error:
            pending.refused(error, read=read)
            raise
        finally:
            if complete:
                pending.add(
                    "its content", read=read, complete=True, whole=whole or taken_whole.get()
                )
            elif not pending.is_done:
                pending.add(f"left after {counted(read, 'byte')}", read=read)

    return call


class _Pending:
    def __init__(
        self, owner: HasRequestLog, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._log = owner.requests
        self._call = name
        self._number = owner.requests.next_number()
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
        words = shown(f"{self._request} -> {outcome}", LONGEST_TEXT)
        repeated = (self._call, self._subject, words, self._number, self._at)
        if not facts.get("whole") and self._log.repeat(*repeated):
            return
        self._log.append(
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
