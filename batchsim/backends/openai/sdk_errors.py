"""Translate the errors of the openai SDK: refused, not sent, or outcome unknown.

`backends.calls` chooses the error class; this module finds out what happened to the request.

Errors of the HTTP library are told apart by the names of their classes, because httpx (openai 1.x
and 2.x) and httpx2 (3.x) raise classes of the same names from different modules.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from batchsim.backends.call_errors import Call, retry_after
from batchsim.backends.openai.answer_parser import text_of
from batchsim.domain.coercion import carried, text
from batchsim.errors import AuthenticationFailed, BatchsimError, Refused, UsageError

LONGEST_PAGE = 20_000  # characters of an error page that are looked at: a hostile one costs nothing
LONGEST_MESSAGE = 500  # Characters. Of an error page no more than this is shown.

NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"})
_DISTRUSTED = "SSLCertVerificationError"
_OWN_FAULTS = frozenset({"TypeError", "ValueError", "RecursionError", "AttributeError"})
"""Raised while a request is built: it holds what no request can carry."""
NEVER_SENDABLE = frozenset({"UnsupportedProtocol", "InvalidURL"})

_SECRET = re.compile(r"\b(sk-|Bearer\s+)[^\s\"'<>,;]{4,}")
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def translate(
    error: Exception,
    call: Call,
    *,
    key: object,
    now: float,
    has_left: bool = True,
    answer: Any = None,
) -> BatchsimError:
    """The error that batchsim raises for one of the SDK's or of its HTTP library's.

    `key` is kept out of the message. `now`, in unix seconds, is what a Retry-After date without
    a Date header is counted from. `has_left` and `answer` are those of Departures.
    """
    names = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    if "APIStatusError" in names:
        return _from_status(error, call, key=key, now=now)
    if "SubjectTokenProviderError" in names:
        return AuthenticationFailed(
            redacted(str(error), key), status=401, hint="correct the credentials of the client"
        )
    if answer is not None and answer.status_code >= 400:  # the rest could not be read
        said = _plain(text_of(answer)) or f"HTTP status {answer.status_code}"
        wait = retry_after(answer.headers, now)
        return call.answered(answer.status_code, redacted(said, key), wait=wait)
    if names & NEVER_SENDABLE:
        return UsageError("the base URL is not a web address", hint="it begins with https://")
    if not has_left and names & _OWN_FAULTS:
        return UsageError(
            f"could not {call.words}: {_cause(error, key)}; nothing was sent",
            hint="names, ids and metadata are text without halves of surrogate pairs",
        )
    # openai 3.x lets some TLS errors through unwrapped; only this one is sure to be a handshake.
    if names & (NEVER_SENT | {_DISTRUSTED}):
        return _unsent(error, call, key)
    if "APIResponseValidationError" in names:
        return call.unanswered("the answer cannot be read")
    return call.unanswered(_cause(error, key))


def redacted(message: str, key: object) -> str:
    """`message` without the key, should the service or a proxy have echoed it."""
    message = carried(message)
    if isinstance(key, str) and key:
        message = message.replace(key, "[key]")
    return _SECRET.sub(r"\1[key]", message)


def _from_status(error: Any, call: Call, *, key: object, now: float) -> BatchsimError:
    status = int(error.status_code)
    envelope = _envelope(error.body)
    message = redacted(_message(envelope, error.body) or f"HTTP status {status}", key)
    fields = {
        name: (text(envelope.get(name)) or "")[:LONGEST_MESSAGE] or None
        for name in ("type", "param", "code")
        if name in envelope
    }
    if status < 400 and status != 303:
        target = redacted(error.response.headers.get("location", "elsewhere"), key)
        target = target[:LONGEST_MESSAGE]
        return Refused(
            f"the service redirects to {target}",
            status=status,
            hint="redirects are not followed: if you trust the new address, make it the base URL",
        )
    wait = retry_after(error.response.headers, now)
    return call.answered(status, message, wait=wait, **fields)


def _envelope(body: Any) -> Mapping[str, Any]:
    """The innermost object that describes the error; services disagree on how deep it lies."""
    inner = body
    for name in ("error", "detail", "error"):
        if isinstance(inner, Mapping) and isinstance(inner.get(name), Mapping):
            inner = inner[name]
    return inner if isinstance(inner, Mapping) else {}


def _message(envelope: Mapping[str, Any], body: Any) -> str | None:
    told = next(
        (envelope[name] for name in ("message", "error", "detail") if envelope.get(name)), body
    )
    if not told or isinstance(told, Mapping):
        return None
    return _plain(str(told))


def _plain(told: str) -> str:
    plain = " ".join(_TAG.sub(" ", told[:LONGEST_PAGE]).split())
    return plain if len(plain) <= LONGEST_MESSAGE else plain[:LONGEST_MESSAGE] + "..."


def _chain(error: BaseException, *, whole: bool = False) -> Iterator[BaseException]:
    """The error and what it was raised from: the SDK wraps, and so does its HTTP library.

    The `whole` chain goes on with what was being handled, which may lead back to where it was.
    """
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield link
        link = link.__cause__ or (link.__context__ if whole else None)


def _unsent(error: BaseException, call: Call, key: object) -> BatchsimError:
    """The error of a request that was never sent; it names a distrusted certificate."""
    chain = _chain(error, whole=True)
    distrust = next((link for link in chain if type(link).__name__ == _DISTRUSTED), None)
    if distrust is None:
        return call.unsent(_cause(error, key))
    told = str(getattr(distrust, "verify_message", None) or distrust).rstrip(".")
    unsent = call.unsent(f"the service's certificate does not hold: {redacted(told, key)}")
    unsent.hint = (
        "check the base URL and this machine's clock; an authority of your own network's goes into "
        "a file that SSL_CERT_FILE names"
    )
    return unsent


def _cause(error: BaseException, key: object) -> str:
    *_, root = _chain(error)
    kinds = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    if "TimeoutException" in kinds or "APITimeoutError" in kinds:
        return "the service did not answer in time"
    told = " ".join(str(root).split()) or type(root).__name__
    return redacted(told[:LONGEST_MESSAGE], key)
