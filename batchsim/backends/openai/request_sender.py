"""Send one request through the SDK's client, and read its answer or translate its error.

The requests go through the SDK's generic `get`, `post` and `delete` rather than through `files` and
`batches`. Those parse answers into models of their own; here the bytes are needed, because
compatible services answer in ways that are odd but clear, and because an answer that cannot be read
has a meaning of its own. It also makes every release of the SDK escape ids alike.

What holds for every request:
- It is sent once. The SDK would send a POST up to three times, without an idempotency key, and each
  may start a batch that costs money (observed on 1.109.1 and 3.54.0).
- It is not redirected: a POST would carry its content to an unknown host. A client that
  the caller made with a release that has no such option (1.55 has none) decides this itself.
- It ends: connecting, waiting for a free connection, and each read and write have a time-out.
- What it raises is batchsim's own: see sdk_errors.py beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from batchsim.backends.call_errors import Call
from batchsim.backends.openai import answer_parser
from batchsim.backends.openai.connection import THINKING_SECONDS, http_library, timeout_of
from batchsim.backends.openai.departures import DEPARTURES
from batchsim.backends.openai.providers import Provider
from batchsim.backends.openai.rewindable_content import UploadBody
from batchsim.backends.openai.sdk_errors import redacted, translate
from batchsim.backends.openai.together_upload import upload_elsewhere
from batchsim.clock import Clock
from batchsim.domain.answers import Answer
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.errors import AuthenticationFailed, BatchsimError

if TYPE_CHECKING:
    import openai


class RequestSender:
    """Sends requests to a service of that kind through `client`, whose retries are left out.

    `clock` is what a Retry-After that is a date is counted from.
    """

    def __init__(self, client: openai.OpenAI, provider: Provider, clock: Clock) -> None:
        self.client: Any = client.with_options(max_retries=0)
        self._provider = provider
        self._clock = clock
        self._response_class = http_library().Response

    def ask(self, call: Call, method: str, path: str, **parts: Any) -> dict[str, Any]:
        with closing(self.send(call, method, path, **parts)) as response:
            try:
                bare = self._provider.lists_bare and method == "get"
                return answer_parser.read_json(response, call, lists_bare=bare)
            except BatchsimError:
                raise
            except Exception as error:
                raise self._translated(error, call) from error

    def send(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Any = None,
        **content: Any,
    ) -> Any:
        """Send one request and return its answer, the status good and the content not yet read.

        The answer is a Response of whichever HTTP library the client has.
        """
        options: dict[str, Any] = {"follow_redirects": False}
        if query is not None:
            options["params"] = {name: each for name, each in query.items() if each is not None}
        if headers is not None:
            options["headers"] = headers
        if timeout is not None:
            options["timeout"] = timeout
        if method != "delete":  # which always reads its short answer itself
            content["stream"] = True
        try:
            return self._request(method, path, options=options, **content)
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises has a meaning here
            # The text of a status error may echo the key; what matters of it has been kept.
            cause = None if hasattr(error, "status_code") else error
            raise self._translated(error, call) from cause

    def upload_elsewhere(
        self,
        call: Call,
        purpose: str | None,
        filename: str,
        content: UploadBody,
        headers: dict[str, str],
    ) -> str:
        options = {"follow_redirects": False, "headers": headers}
        DEPARTURES.expect(self.client._client)  # noqa: SLF001 - nothing public says it
        how = {"cast_to": self._response_class, "options": options}
        try:
            return upload_elsewhere(self.client, call, purpose, filename, content, **how)
        except BatchsimError:
            raise
        except Exception as error:  # noqa: BLE001 - as in send
            raise self._translated(error, call) from None

    def answer(self, call: Call, url: str, body: dict[str, Any]) -> Answer:
        """The answer of a model to one request, also when it is a refusal."""
        options: dict[str, Any] = {
            "follow_redirects": False,
            "timeout": timeout_of(THINKING_SECONDS),
        }
        try:
            answer = self._request(
                "post", url.removeprefix("/v1"), body=body, options=options, stream=True
            )
            with closing(answer):
                content = answer_parser.read_whole(answer, call)
            return Answer(answer.status_code, content.decode("utf-8", "replace"))
        except BatchsimError:
            raise
        except Exception as error:  # noqa: BLE001 - as in send
            said = getattr(error, "response", None) or DEPARTURES.answer
            status = 0 if said is None else said.status_code
            if status < 400 or (status == 404 and url not in ENDPOINTS):
                raise self._translated(error, call) from None
            return Answer(status, redacted(answer_parser.text_of(said), self._key))

    def _request(self, method: str, path: str, **parts: Any) -> Any:
        DEPARTURES.expect(self.client._client)  # noqa: SLF001 - nothing public says it
        return getattr(self.client, method)(path, cast_to=self._response_class, **parts)

    @property
    def _key(self) -> Any:
        return getattr(self.client, "api_key", None)

    def _translated(self, error: Exception, call: Call) -> BatchsimError:
        translated = translate(
            error,
            call,
            key=self._key,
            now=self._clock.now(),
            has_left=DEPARTURES.has_left,
            answer=DEPARTURES.answer,
        )
        if isinstance(translated, AuthenticationFailed):
            translated.hint = f"check the key: export {self._provider.key_variable}=..."
        return translated
