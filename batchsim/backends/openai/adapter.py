"""The nine methods, each one request to the service.

How a request is sent, and what holds for each of them, is in request_sender.py beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from batchsim.backends import Backend, Listed, Page
from batchsim.backends.call_errors import CALLS
from batchsim.backends.constructor_checks import check_clock
from batchsim.backends.openai import answer_parser, connection, url_paths
from batchsim.backends.openai.file_readiness import wait_until_ready
from batchsim.backends.openai.providers import Provider, provider_of
from batchsim.backends.openai.request_sender import RequestSender
from batchsim.backends.openai.rewindable_content import open_upload
from batchsim.clock import Clock, SystemClock
from batchsim.domain.answers import Answer
from batchsim.domain.batches import Batch
from batchsim.domain.endpoints import is_openai_model
from batchsim.domain.files import File, Purpose
from batchsim.domain.parameter_checks import check_page, check_request
from batchsim.errors import BatchsimError, Refused, UsageError

if TYPE_CHECKING:
    import openai


class OpenAIBackend(Backend):
    """The Batch API over the network. Every method sends exactly one request.

    Where a service prepares files, create_batch looks at its file before it sends that one; where
    it keeps them elsewhere, an upload takes three.

    `client` is an `openai.OpenAI` (or AzureOpenAI) to use as it is, with its own time-outs but
    without its retries. Without one, `base_url` and `api_key` make it; they default to the
    environment's OPENAI_BASE_URL and OPENAI_API_KEY. `clock` is the machine's unless given: give
    the service's own where the service is simulated. `provider` is a service that speaks this API,
    by its name (batchsim.backends.openai.providers): its address, key and limits are known, and
    where its requests differ.

    Raises AuthenticationFailed without a key, UsageError for arguments that cannot work.
    """

    def __init__(
        self,
        client: openai.OpenAI | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        clock: Clock | None = None,
        provider: str | Provider | None = None,
    ) -> None:
        import openai

        check_clock(clock)
        self.provider = provider_of(provider)
        own = client is None
        if client is None:
            client = connection.connect(base_url, api_key, self.provider)
        elif base_url is not None or api_key is not None:
            raise UsageError("a client brings its own base URL and key: give either, not both")
        if not isinstance(client, openai.OpenAI):
            raise UsageError(
                f"the client must be an openai.OpenAI, not {type(client).__name__}",
                hint="from asyncio, call a Backend through asyncio.to_thread",
            )
        self.clock = clock or SystemClock()
        self.service = str(client.base_url)
        self.account = connection.account_of(client)
        self.key_hint = connection.key_hint(client)
        self.proxy = connection.proxy_of(client)
        self.limits = self.provider.limits
        self._sender = RequestSender(client, self.provider, self.clock)
        self._client = self._sender.client
        self._owns_client = own
        self._upload_timeout = (
            connection.timeout_of(connection.UPLOAD_ANSWER_SECONDS) if own else None
        )

    def close(self) -> None:
        """Close the connections; a client that the caller made stays open."""
        if self._owns_client:
            self._client.close()

    def upload_file(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str = "batch",
        expires_after: int | None = None,
        request_id: str | None = None,
    ) -> File:
        """`POST /files`; the content is streamed from where it stands; `request_id` as below."""
        fields: dict[str, Any] = {"purpose": self._purpose(purpose)}
        if expires_after is not None:
            fields["expires_after"] = {"anchor": "created_at", "seconds": expires_after}
        call = CALLS["upload_file"]
        headers = {**_AS_FORM, **_naming(request_id)}
        with open_upload(content) as rest:
            try:
                if self.provider.keeps_files_elsewhere:
                    file_id = self._sender.upload_elsewhere(
                        call, fields["purpose"], filename, rest, headers
                    )
                    answer = self._sender.ask(call, "post", f"{url_paths.file(file_id)}/preprocess")
                    return answer_parser.read_object(File, answer, call)
                answer = self._sender.ask(
                    call,
                    "post",
                    "/files",
                    body=fields,
                    files=[("file", (filename, rest, "application/octet-stream"))],
                    headers=headers,
                    timeout=self._upload_timeout,
                )
            except BatchsimError:
                # The SDK wraps what reading the content raised; it is no fault of the service.
                if rest.failure is not None:
                    raise rest.failure from None
                raise
        return answer_parser.read_object(File, answer, call)

    def retrieve_file(self, file_id: str) -> File:
        return self._object(File, "retrieve_file", "get", url_paths.file(file_id))

    def list_files(
        self,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page[File]:
        check_page(after, purpose)
        purpose = self._purpose(purpose)
        query = {"purpose": purpose, "limit": limit, "after": after, "order": order}
        return self._page(File, "list_files", "/files", query)

    def delete_file(self, file_id: str) -> None:
        call = CALLS["delete_file"]
        answer = self._sender.ask(call, "delete", url_paths.file(file_id))
        if answer.get("deleted") is False:
            raise call.unanswered("the service answered that it was not deleted")

    def read_file(self, file_id: str) -> Iterator[bytes]:
        """`GET /files/{id}/content`, sent when the first piece is asked for."""
        return self.read_file_from(file_id, 0)

    def read_file_from(self, file_id: str, start: int) -> Iterator[bytes]:
        """`GET /files/{id}/content` with a Range; some services send all of it again."""
        call = CALLS["read_file"]
        path = f"{url_paths.file(file_id)}/content"
        headers = {**_AS_BYTES, "Range": f"bytes={start}-"} if start else _AS_BYTES
        with closing(self._sender.send(call, "get", path, headers=headers)) as response:
            unwanted = answer_parser.skipped_by_range(response, start)
            for piece in answer_parser.read_content(response, call):
                yield piece[unwanted:]
                unwanted = max(0, unwanted - len(piece))

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
        """`POST /batches`; the request's id goes into two headers."""
        if self.provider.endpoints is not None and endpoint not in self.provider.endpoints:
            raise Refused(
                f"{self.provider.title} runs no batches at {endpoint}",
                param="endpoint",
                hint=f"it does at {', '.join(sorted(self.provider.endpoints))}",
            )
        if self.provider.prepares_files:
            wait_until_ready(self, input_file_id)
        body: dict[str, Any] = {
            "input_file_id": input_file_id,
            "endpoint": endpoint,
            "completion_window": completion_window,
        }
        if metadata is not None:
            given: Any = metadata  # what is no mapping is for the service to refuse
            body["metadata"] = dict(given) if isinstance(given, Mapping) else given
        if output_expires_after is not None:
            body["output_expires_after"] = {"anchor": "created_at", "seconds": output_expires_after}
        headers = _naming(request_id)
        return self._object(Batch, "create_batch", "post", "/batches", body=body, headers=headers)

    def retrieve_batch(self, batch_id: str) -> Batch:
        return self._object(Batch, "retrieve_batch", "get", url_paths.batch(batch_id))

    def cancel_batch(self, batch_id: str) -> Batch:
        path = f"{url_paths.batch(batch_id)}/cancel"
        return self._object(Batch, "cancel_batch", "post", path)

    def list_batches(self, *, limit: int = 20, after: str | None = None) -> Page[Batch]:
        check_page(after)
        return self._page(Batch, "list_batches", "/batches", {"limit": limit, "after": after})

    def supports(self, model: str) -> bool:
        """OpenAI's models by their families; the names at other services are not known."""
        return not self.provider.has_openai_models or is_openai_model(model)

    def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """See Answers: `POST` to the endpoint, at the ordinary price, and never repeated."""
        check_request(url, body)
        return self._sender.answer(CALLS["answer"], url, body)

    def has_model(self, name: str) -> bool:
        return self.supports(name)

    def _purpose(self, purpose: str | None) -> str | None:
        return self.provider.purpose if purpose == Purpose.BATCH else purpose

    def _object(
        self, kind: type[Listed], name: str, method: str, path: str, **parts: Any
    ) -> Listed:
        call = CALLS[name]
        answer = self._sender.ask(call, method, path, **parts)
        return answer_parser.read_object(kind, answer, call)

    def _page(
        self, kind: type[Listed], name: str, path: str, query: Mapping[str, Any]
    ) -> Page[Listed]:
        call = CALLS[name]
        return answer_parser.read_page(kind, self._sender.ask(call, "get", path, query=query), call)


# Uncompressed, because the end of a compressed content that was cut goes unnoticed by httpx.
_AS_BYTES = {"Accept": "application/binary", "Accept-Encoding": "identity"}
_AS_FORM = {"Content-Type": "multipart/form-data"}


def _naming(request_id: str | None) -> dict[str, str]:
    """The headers that name a request: to services that know such keys, and in their logs."""
    if request_id is None:
        return {}
    return {"Idempotency-Key": request_id, "X-Client-Request-Id": request_id}
