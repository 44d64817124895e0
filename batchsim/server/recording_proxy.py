"""A proxy to a real service that writes a cassette of its answers.

Theory of operation. Every request is sent to one upstream, under its own path, and its answer comes
back; both stream. Azure's paths go to the upstream's host as they are. The answer to a single
request is recorded when all of it has passed. Batch objects that pass tell which input a result
file belongs to. When all of a result file has passed, the proxy reads that input itself and writes
a recording for each line.

No header is ever written. Keys and names of accounts are removed from bodies too.
"""

import ipaddress
import logging
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import orjson

from batchsim.backends.openai import connection
from batchsim.domain.endpoints import ENDPOINTS
from batchsim.errors import NotFound, Refused, Unavailable, UsageError
from batchsim.jsonl import BLOCK, read_lines
from batchsim.responders.cassette import REDACTED
from batchsim.server.cassette_writer import CassetteWriter
from batchsim.wire import Request, Response
from batchsim.wire.access import ApiPath, api_path, is_azure
from batchsim.wire.http import problem

PASSING = frozenset({401, 403, 408, 409, 429})  # like those from 500 on, not about the request

SENT_ON = frozenset(
    {"accept", "api-key", "authorization", "content-length", "content-type", "openai-beta"}
    | {"openai-organization", "openai-project", "user-agent", "x-client-request-id"}
)
"""Headers that go upstream. The others belong to this machine or to the connection."""

HANDED_BACK = frozenset(
    {"content-type", "content-disposition", "content-length", "openai-processing-ms"}
    | {"openai-version", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry"}
)

SECRETS = ("authorization", "api-key", "openai-organization", "openai-project", "cookie")

LOOP = "x-batchsim-record"

_PLAIN = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
"""The values of headers that can be handed back: no control character, and nothing beyond Latin-1.
"""

_log = logging.getLogger("batchsim.server.recording_proxy")


class RecordingProxy:
    """Passes requests to `upstream`, a base URL that ends in `/v1` or the like.

    Azure's paths go to the same address without its `/v1` or `/openai/v1`. Recordings are appended
    to the file `cassette`. With `api_key`, requests go upstream with that key instead of their own.
    Raises UsageError for an upstream that is no web address, or an address of this network segment
    only (169.254.0.0/16, fe80::/10, ...). `close` it in the end.
    """

    def __init__(self, upstream: str, cassette: Path, *, api_key: str | None = None) -> None:
        self._base = _checked(upstream)
        self._azure_base = self._base.removesuffix("/v1").removesuffix("/openai")
        self._api_key = api_key
        self._known = (api_key,) if api_key else ()
        self._errors = connection.http_library().HTTPError
        self._client = connection.http_client(
            self._base, connection.timeout_of(connection.THINKING_SECONDS)
        )
        self.proxy = connection.proxy_towards(self._base, self._client)
        """The proxy between here and the upstream, without its password; None without one."""
        self._writer = CassetteWriter(cassette)

    @property
    def recorded(self) -> int:
        return self._writer.recorded

    def handle(self, request: Request) -> Response:
        if not _goes_upstream(request.path):
            message = "Only paths under /v1/ go upstream, and Azure's under /openai/."
            return problem.render(NotFound(message, status=404))
        if request.header(LOOP) is not None:
            return problem.render(Refused("The proxy is its own upstream.", status=508))
        try:
            return self._forward(request)
        except self._errors as error:
            return problem.render(
                Unavailable(f"The upstream did not answer: {type(error).__name__}")
            )

    def close(self) -> None:
        self._client.close()
        self._writer.close()

    def _forward(self, request: Request) -> Response:
        with ExitStack() as stack:
            headers = self._headers(request)
            place = api_path(request.path)
            is_single = request.method == "POST" and place.path in ENDPOINTS
            sent: Any = b"".join(request.body) if is_single else request.body
            if request.header("content-length") is None and not is_single:
                sent = None
            answer = self._client.send(
                self._client.build_request(
                    request.method, self._url(request, request.path), headers=headers, content=sent
                ),
                stream=True,
            )
            stack.callback(answer.close)
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=BLOCK))
            known = (*self._known, *_secrets(request))
            single = (place, sent) if is_single else None
            act = self._after(request, place.path, single, answer, known)
            # A client may not learn the key that the proxy adds, should the upstream say it.
            hidden = self._api_key if answer.status_code >= 400 else None
            body = _Tee(answer, spool, stack.pop_all(), act, hidden)
        has_length = (
            "content-encoding" not in answer.headers and not hidden
        )  # else it is another one
        kept = tuple(
            (name, value)
            for name, value in answer.headers.multi_items()
            if name in HANDED_BACK
            and (has_length or name != "content-length")
            and _PLAIN.fullmatch(value)
            and not (self._api_key and self._api_key in value)
        )
        return Response(answer.status_code, kept, body)

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        kept = [(n, v) for n, v in request.headers if n.lower() in SENT_ON]
        if self._api_key:
            as_azure = request.header("api-key") is not None
            kept = [(n, v) for n, v in kept if n.lower() not in ("authorization", "api-key")]
            bearer = ("authorization", f"Bearer {self._api_key}")
            kept.append(("api-key", self._api_key) if as_azure else bearer)
        return [*kept, ("accept-encoding", "identity"), (LOOP, "1")]

    def _url(self, request: Request, path: str) -> str:
        url = self._azure_base + path if is_azure(path) else self._base + path.removeprefix("/v1")
        return f"{url}?{request.query}" if request.query else url

    def _after(
        self,
        request: Request,
        path: str,
        single: tuple[ApiPath, bytes] | None,
        answer: Any,
        known: tuple[str, ...],
    ) -> Any:
        """Return the function to call with a whole answer; `single` is its single request."""

        def act(content: IO[bytes]) -> None:
            status = answer.status_code
            if single:
                if status < 500 and status not in PASSING:
                    self._writer.keep_answer(*single, status, content, known)
            elif path.startswith("/v1/batches") and status == 200:
                self._writer.follow(orjson.loads(content.read()))
            elif path.endswith("/content") and status == 200:
                file_id = path.split("/")[3]
                input_id = self._writer.input_of(file_id)
                if input_id is not None:
                    asked = self._requests(request.path.replace(file_id, input_id), request)
                    self._writer.keep_results(asked, content, known)

        return act

    def _requests(self, path: str, request: Request) -> Iterator[tuple[str, str, Any]]:
        url = self._url(request, path)
        headers = [each for each in self._headers(request) if each[0].lower() != "content-length"]
        with (
            self._client.stream("GET", url, headers=headers) as answer,
            tempfile.SpooledTemporaryFile(max_size=BLOCK) as content,
        ):
            if answer.status_code != 200:
                return
            for piece in answer.iter_bytes(BLOCK):
                content.write(piece)
            content.seek(0)
            for line in read_lines(content):  # type: ignore[arg-type]
                if line.content.strip():
                    value = orjson.loads(line.content)
                    yield value["custom_id"], value["url"], value["body"]


class _Tee:
    """Passes on the pieces of an answer, and keeps them.

    `act` is called with all of them before the last is passed on. So everything is recorded by the
    time that the client has its answer.
    """

    def __init__(
        self, answer: Any, spool: Any, stack: ExitStack, act: Any, hidden: str | None
    ) -> None:
        self._answer = answer
        self._hidden = hidden
        self._spool = spool
        self._stack = stack
        self._act = act

    def __iter__(self) -> Iterator[bytes]:
        last = b""
        pieces = self._answer.iter_bytes(BLOCK)
        if self._hidden:
            pieces = _without(pieces, self._hidden.encode())
        for piece in pieces:
            self._spool.write(piece)
            if last:
                yield last
            last = piece
        self._spool.seek(0)
        try:
            self._act(self._spool)
        except Exception as error:  # noqa: BLE001 - the client gets its answer, which is what counts
            _log.error("an answer could not be recorded: %s", type(error).__name__)
        if last:
            yield last

    def close(self) -> None:
        self._stack.close()


def _without(pieces: Iterable[bytes], secret: bytes) -> Iterator[bytes]:
    """Strike a secret out, where it is divided between pieces too."""
    kept = b""
    for piece in pieces:
        kept = (kept + piece).replace(secret, REDACTED.encode())
        end = max(0, len(kept) - len(secret) + 1)
        yield kept[:end]
        kept = kept[end:]
    yield kept


def _goes_upstream(path: str) -> bool:
    segments = unquote(path).split("/")
    return (path.startswith("/v1/") or is_azure(path)) and not {".", ".."}.intersection(segments)


def _secrets(request: Request) -> tuple[str, ...]:
    """Return the header values that must not be written, whole and without their scheme."""
    values = [value for name, value in request.headers if name.lower() in SECRETS]
    values += [value.partition(" ")[2] for value in values]
    return tuple(sorted((value for value in values if len(value) > 3), key=len, reverse=True))


def _checked(upstream: str) -> str:
    parts = urlsplit(upstream)
    shown = "(with a password)" if parts.username else upstream
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UsageError(
            f"the upstream is not a web address: {shown}",
            hint="it looks like https://api.openai.com/v1",
        )
    with suppress(OSError):  # a name that cannot be resolved now is refused when it is asked
        for *_, address in socket.getaddrinfo(parts.hostname, None):
            if ipaddress.ip_address(str(address[0]).partition("%")[0]).is_link_local:
                raise UsageError(
                    f"{parts.hostname} is an address of this network segment only",
                    hint="such addresses give out the machine's own credentials; name another",
                )
    return upstream.rstrip("/")
