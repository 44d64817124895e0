"""All errors, sorted by what the caller may do next.

    BatchsimError
    ├── InputError            the input is bad; nothing was sent: correct it
    ├── UsageError            the arguments contradict each other; nothing was sent
    ├── MissingExtra          an optional package is not installed
    ├── Refused               the service said no; nothing happened
    │   ├── AuthenticationFailed  401, 403: correct the key, then go on
    │   ├── NotFound              404: the id is unknown, deleted or expired
    │   ├── Conflict              409: the object's state does not allow it
    │   └── RateLimited           429: wait `retry_after`, then try again
    ├── Unavailable           nothing was changed; try again later
    │   └── TransferBroken        a content ended early: read it again
    ├── FileCorrupt           a stored content is not what was written: the simulator's disk
    ├── OutcomeUnknown        a write was sent and no answer came: look before trying again
    ├── IllegalTransition     a batch was asked to do what its status forbids: a bug
    ├── NetworkForbidden      a connection out of an `intercept` block; nothing was sent: allow it
    ├── JournalError          the job's journal is damaged, locked or belongs to other work
    ├── JobIncomplete         the job stopped before its end; the same command continues it
    └── UnaccountedBatches    the job is done, and others made batches in its name

Every error carries a message for people and may carry a `hint`: the next thing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class BatchsimError(Exception):
    """The root of all errors that batchsim raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def hint(self) -> str | None:
        """The next thing to do; tracebacks show it too, as a note below the message."""
        return self._hint

    @hint.setter
    def hint(self, hint: str | None) -> None:
        self._hint = hint
        self.__notes__ = [f"hint: {hint}"] if hint else []


class InputError(BatchsimError):
    """The input is bad and nothing was sent.

    `path` names the file (None for a stream), `line` and `column` count from 1.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line
        self.column = column

    @property
    def place(self) -> str:
        """The place of the fault, as `file:line:column`, as far as it is known."""
        parts = [self.path, self.line, self.column]
        return ":".join(str(part) for part in parts if part is not None)

    def __str__(self) -> str:
        if self.path is None:
            where = f"line {self.place}" if self.line is not None else ""
        else:
            where = self.place
        return f"{where}: {self.message}" if where else self.message


class UsageError(BatchsimError):
    """The arguments contradict each other or lack something; nothing was sent."""


class MissingExtra(BatchsimError):
    """An optional package is not installed; the hint is the command that installs it."""


class Refused(BatchsimError):
    """The service refused the request and nothing happened.

    The fields are those of the API's error envelope (API reference, "Error codes"):
    `status` is the HTTP status, `type`, `param` and `code` are as in the envelope.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str | None = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.type = type
        self.param = param
        self.code = code


class AuthenticationFailed(Refused):
    """The key is missing, wrong or lacks a permission (401 or 403)."""


class NotFound(Refused):
    """No such object: never made, deleted, expired, or another project's (404)."""


class Conflict(Refused):
    """The object's present state does not allow the request (409)."""


class RateLimited(Refused):
    """Too many requests (429). `retry_after` is in seconds, None when the service named none."""

    def __init__(
        self,
        message: str,
        *,
        type: str | None = "requests",
        param: str | None = None,
        code: str | None = "rate_limit_exceeded",
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, status=429, type=type, param=param, code=code, hint=hint)
        self.retry_after = retry_after


class Unavailable(BatchsimError):
    """The service could not be reached or could not answer, and nothing was changed.

    Raised for reads of any kind, and for writes only when they surely did not reach the service.
    """


class TransferBroken(Unavailable):
    """The content ended early or changed under way; what came so far must not be used."""


class FileCorrupt(BatchsimError):
    """A content in a store is not what was written there: it was damaged, replaced or removed.

    The message names the file as clients know it, and no path.
    """


class OutcomeUnknown(BatchsimError):
    """A write was sent and no readable answer came: it may or may not have taken effect.

    Look for its effect (list the batches or the files) before trying again.
    """


class IllegalTransition(BatchsimError):
    """An event met a status that does not allow it: a bug of the caller, never of a user."""


class NetworkForbidden(BatchsimError):
    """Code inside an `intercept` block wanted to reach another machine; nothing was sent."""


class JournalError(BatchsimError):
    """The journal is damaged, held by another process, or belongs to other work."""


class JobIncomplete(BatchsimError):
    """The job stopped before its end. Nothing is lost: the same command continues it."""


class UnaccountedBatches(BatchsimError):
    """The job is done, but the service has batches under its name that its journal did not know.

    The results are whole. The batches may cost money; the message names them.
    """
