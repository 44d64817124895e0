"""The Batch API as nine methods: the interface between its implementations and its users.

`FakeBackend` (batchsim.backends.fake) simulates the service in the process; `OpenAIBackend`
(batchsim.backends.openai) speaks to the real one. Neither is imported here: name what you use.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, Literal, Protocol, TypeVar, runtime_checkable

from batchsim.clock import Clock
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.files import File
from batchsim.domain.limits import OPENAI, Limits

Listed = TypeVar("Listed", Batch, File)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Page(Generic[Listed]):
    """One page of a list. The next page starts `after` the id of the last entry of `data`."""

    data: tuple[Listed, ...]
    has_more: bool


class Backend(ABC):
    """Something that runs batches as the OpenAI Batch API does.

    Every method may raise, and each class says what the caller may do next:

    - `UsageError`: an argument that no request can carry, such as text with half a surrogate pair;
      nothing was sent.
    - `Refused` and its kinds: the service said no, nothing happened.
    - `Unavailable`: nothing was changed, a later try is safe.
    - `OutcomeUnknown` (only from methods that change something): the request was sent and no
      readable answer came. It may have taken effect; look before trying again.

    No method retries by itself: the caller decides. Every method may be called from any thread.
    """

    clock: Clock
    """The time of this backend: its timestamps come from it, and waiting for it means
    sleeping on it. A simulated backend's clock costs no real time."""

    service: str = "a service without a name"
    """The service that has these files and batches, in words or as an address. A job stays with
    the service on which it began."""

    account: str = ""
    """The account at that service: a text that differs between accounts and keys, and reveals no
    key. A job stays with the account with which it began."""

    lasts: bool = True
    """True when its files and batches outlive this object. Those that a simulated service holds in
    memory do not, and need not be kept track of."""

    limits: Limits = OPENAI
    """The limits of one batch there."""

    def supports(self, model: str) -> bool:
        """True when lines may name that model; by default OpenAI's, judged by their families."""
        return is_openai_model(model)

    @abstractmethod
    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
        request_id: str | None = None,
    ) -> File:
        """Store everything from `content`'s present position to its end as a new file.

        `expires_after` is the file's life in seconds (the service's default when None). After
        success the file is complete, byte-identical, and can be named in `create_batch`. After a
        refusal nothing is stored. After `OutcomeUnknown` a file may exist: it costs nothing, and
        `list_files` shows it by its filename and size. `request_id` as in `create_batch`. The
        content is streamed, never held in memory whole.
        """

    @abstractmethod
    def retrieve_file(self, file_id: str) -> File:
        """The file as it is now. Raises NotFound when it is unknown, deleted or expired."""

    @abstractmethod
    def list_files(
        self,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page[File]:
        """One page of the files, by creation time, newest first unless `order` is `asc`.

        `after` is the id of the last file of the page before. Deleted and expired files are absent.
        """

    @abstractmethod
    def delete_file(self, file_id: str) -> None:
        """Delete a file and its content for good.

        Raises NotFound when there is no such file, so a second call raises it. After
        `OutcomeUnknown` calling again is harmless. Deleting the input file of a batch that is
        still validating makes that batch fail (observed); later it has no effect (inferred).
        """

    @abstractmethod
    def read_file(self, file_id: str) -> Iterator[bytes]:
        """The content of a file, in pieces of at most 1 MiB, in order, byte-identical.

        The request is made when the first piece is asked for. Raises TransferBroken when the
        content ends early: the pieces so far must not be taken for the whole.
        Close the iterator (it is a generator) when leaving it before its end.
        """

    @abstractmethod
    def create_batch(
        self,
        *,
        input_file_id: str,
        endpoint: str,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
        request_id: str | None = None,
    ) -> Batch:
        """Start a batch over an uploaded input file: this is what costs money.

        After success the batch exists, is `validating`, and is visible in `retrieve_batch` and
        `list_batches`. After a refusal none exists. After `OutcomeUnknown` one may exist or may
        still appear; the service knows no idempotency key, so calling again may pay twice.
        `output_expires_after` is the life of the result files in seconds. `request_id` names the
        request: it is sent along where there are headers to send, so that a service which knows
        idempotency keys makes no second batch and one which keeps logs can be asked about it.
        """

    @abstractmethod
    def retrieve_batch(self, batch_id: str) -> Batch:
        """The batch as it is now. Raises NotFound when the id is unknown."""

    @abstractmethod
    def cancel_batch(self, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled; lines that have finished keep their results.

        Returns the batch, `cancelling` (for about ten minutes) or already `cancelled`. Raises
        Conflict when it has ended otherwise. After `OutcomeUnknown` calling again is harmless.
        """

    @abstractmethod
    def list_batches(self, *, limit: int = 20, after: str | None = None) -> Page[Batch]:
        """One page of the batches, newest first, at most 100. `after` as in `list_files`."""


@runtime_checkable
class Disturbed(Protocol):
    """Optional for a backend: its requests can go wrong on their way, on purpose."""

    @property
    def undisturbed(self) -> Backend:
        """The same service without failures. Calls of it are not counted as requests."""
        ...

    def as_request(self, name: str, subject: str, work: Callable[[], Value]) -> Value:
        """Do `work` as a request about `subject` that may go wrong, and return its value.

        `name` is one of batchsim.backends.call_errors.CALLS.
        """
        ...


class Reception(Protocol):
    """A content that is being taken in. It is invisible to others until it is kept."""

    def write(self, data: bytes, /) -> object:
        """Append `data`. Raises Refused when no file may be so large."""
        ...

    def keep(self, *, filename: str, purpose: str, expires_after: int | None = None) -> File:
        """As `upload_file` of all that was written. Nothing may be written afterwards."""
        ...


@runtime_checkable
class Receives(Protocol):
    """Optional for a backend: it takes in a content before it knows the file's name and purpose."""

    def receiving(self) -> AbstractContextManager[Reception] | None:
        """Begin to take in a content. It is dropped unless it is kept before the block ends.

        None when the content must be there whole: then it goes to `upload_file`.
        """
        ...


@runtime_checkable
class Resumes(Protocol):
    """Optional for a backend: it can go on with a content that broke off."""

    def read_file_from(self, file_id: str, start: int) -> Iterator[bytes]:
        """As `read_file`, without the first `start` bytes."""
        ...


@runtime_checkable
class Answers(Protocol):
    """Optional for a backend: it answers single requests at once, without a batch."""

    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """The answer to `body` sent to `url`, an endpoint such as `/v1/chat/completions`.

        A request that is bad or that the model refuses is answered too, with its status code.
        Raises NotFound when there is no such endpoint.
        """
        ...

    def has_model(self, name: str) -> bool:
        """True when there is a model of that name."""
        ...
