"""Envelopes, waits, secrets, and every exception class that the SDK has."""

import importlib
import json

import pytest

from batchsim.backends.call_errors import Call, Effect, retry_after
from batchsim.backends.openai.sdk_errors import translate
from batchsim.errors import (
    AuthenticationFailed,
    BatchsimError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)

pytestmark = pytest.mark.sdk

NOON = 1_767_268_800  # Thu, 01 Jan 2026 12:00:00 GMT
WAITS = {
    "absent": ({}, None),
    "an integer": ({"retry-after": "7"}, 7.0),
    "a fraction": ({"retry-after": "0.25"}, 0.25),
    "zero": ({"retry-after": "0"}, 0.0),
    "negative": ({"retry-after": "-1"}, 0.0),
    "huge": ({"retry-after": "1e9"}, 3_600.0),
    "infinite": ({"retry-after": "inf"}, 3_600.0),
    "no number": ({"retry-after": "nan"}, None),
    "junk": ({"retry-after": "soon"}, None),
    "empty": ({"retry-after": ""}, None),
    "two headers": ({"retry-after": "1, 2"}, None),
    "milliseconds": ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    "junk milliseconds": ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
    "a date": ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
    "a past date": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    "a far date": ({"retry-after": "Fri, 01 Jan 2027 00:00:00 GMT"}, 3_600.0),
    "a date by the service's clock": (
        {
            "retry-after": "Thu, 01 Jan 2026 18:00:05 GMT",
            "date": "Thu, 01 Jan 2026 18:00:00 GMT",
        },
        5.0,
    ),
    "half a date": ({"retry-after": "Thu, 01 Jan"}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), WAITS.values(), ids=WAITS)
def test_row_007_retry_after_is_between_0_and_an_hour_or_unknown(headers, seconds):
    assert retry_after(headers, NOON) == seconds


@pytest.mark.parametrize(("headers", "seconds"), WAITS.values(), ids=WAITS)
def test_a_429_carries_its_wait(backend_answering, library, headers, seconds):
    backend, _ = backend_answering(lambda _: library.Response(429, json={}, headers=headers))
    backend.clock.advance_to(NOON)
    with pytest.raises(RateLimited) as raised:
        backend.list_batches()
    assert raised.value.retry_after == seconds


ENVELOPES = {
    "the usual": ({"error": {"message": "No.", "code": "c"}}, "No.", "c"),
    "a number as code": ({"error": {"message": "No.", "code": 400}}, "No.", None),
    "a sibling detail": ({"error": {"message": "No."}, "detail": {"message": "No."}}, "No.", None),
    "a plain error": ({"error": "No."}, "No.", None),
    "no envelope": ({"message": "No.", "code": "c"}, "No.", "c"),
    "a detail": ({"detail": "No."}, "No.", None),
    "a nested detail": ({"detail": {"error": {"message": "No."}}}, "No.", None),
    "a list of details": ({"detail": [{"msg": "No."}]}, "[{'msg': 'No.'}]", None),
    "an empty object": ({}, "HTTP status 400", None),
    "null": (None, "HTTP status 400", None),
    "a list": ([], "HTTP status 400", None),
    "null fields": ({"error": {"message": None, "code": None}}, "HTTP status 400", None),
}


@pytest.mark.parametrize(("body", "message", "code"), ENVELOPES.values(), ids=ENVELOPES)
def test_row_013_odd_envelopes_are_read_as_far_as_they_go(
    backend_answering, library, body, message, code
):
    backend, _ = backend_answering(
        lambda _: library.Response(400, content=json.dumps(body).encode())
    )
    with pytest.raises(Refused) as raised:
        backend.create_batch(input_file_id="file-1", endpoint="/v1/responses")
    assert raised.value.message == message
    assert raised.value.code == code


def test_row_015_a_proxy_s_413_page_becomes_a_short_message(backend_answering, library):
    page = b"<html><head><style>b{}</style><title>413 Request Entity Too Large</title></head>" + (
        b"<body>" + b"blah " * 500 + b"</body></html>"
    )
    backend, _ = backend_answering(lambda _: library.Response(413, content=page))
    with pytest.raises(Refused) as raised:
        backend.create_batch(input_file_id="file-1", endpoint="/v1/responses")
    assert raised.value.status == 413
    assert raised.value.message.startswith("413 Request Entity Too Large blah")
    assert "<" not in raised.value.message
    assert len(raised.value.message) < 600


def test_a_hostile_error_page_is_not_read_to_its_end(backend_answering, library):
    backend, _ = backend_answering(lambda _: library.Response(502, content=b"<script " * 500_000))
    with pytest.raises(OutcomeUnknown) as raised:
        backend.create_batch(input_file_id="file-1", endpoint="/v1/responses")
    assert len(raised.value.message) < 600


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_an_echoed_key_is_not_passed_on(backend_answering, library, status):
    import traceback

    def echo(request):
        told = f"You sent {request.headers['authorization']} and sk-another-0123456789"
        return library.Response(status, json={"error": {"message": told}})

    backend, _ = backend_answering(echo)
    with pytest.raises(BatchsimError) as raised:
        backend.create_batch(input_file_id="file-1", endpoint="/v1/responses")
    shown = "".join(traceback.format_exception(raised.value)) + str(vars(raised.value))
    assert "0123456789" not in shown


# What each class of the SDK means to a write. A class that is missing here is new: give it a
# meaning.
MEANINGS = {
    "APIConnectionError": OutcomeUnknown,
    "APIError": OutcomeUnknown,
    "APIResponseValidationError": OutcomeUnknown,
    "APIStatusError": Refused,
    "APITimeoutError": OutcomeUnknown,
    "AuthenticationError": AuthenticationFailed,
    "BadRequestError": Refused,
    "ConflictError": Conflict,
    "InternalServerError": OutcomeUnknown,
    "NotFoundError": NotFound,
    "OAuthError": AuthenticationFailed,
    "OpenAIError": OutcomeUnknown,
    "PermissionDeniedError": AuthenticationFailed,
    "RateLimitError": RateLimited,
    "SubjectTokenProviderError": AuthenticationFailed,
    "UnprocessableEntityError": Refused,
    # These belong to other parts of the SDK. Should one come after all, nothing is known.
    "ContentFilterFinishReasonError": OutcomeUnknown,
    "InvalidWebhookSignatureError": OutcomeUnknown,
    "LengthFinishReasonError": OutcomeUnknown,
    "WebSocketConnectionClosedError": OutcomeUnknown,
    "WebSocketQueueFullError": OutcomeUnknown,
    "_AmbiguousModuleClientUsageError": OutcomeUnknown,
}
STATUSES = {"APIStatusError": 418, "InternalServerError": 500, "OAuthError": 401}


def sdk_error_classes():
    modules = [importlib.import_module(name) for name in ("openai", "openai._exceptions")]
    found = {value for module in modules for value in vars(module).values() if type(value) is type}
    return {each.__name__: each for each in found if issubclass(each, Exception)}


def test_every_exception_class_of_the_sdk_has_a_meaning():
    assert sdk_error_classes().keys() <= MEANINGS.keys()


@pytest.mark.parametrize("name", MEANINGS)
def test_an_exception_of_the_sdk_means(name):
    from batchsim.backends.openai.connection import http_library

    if name not in sdk_error_classes():
        pytest.skip(f"this release of openai has no {name}")
    kind = sdk_error_classes()[name]
    error = kind.__new__(kind)
    Exception.__init__(error, "it went wrong")
    error.body = {"message": "No."}
    error.status_code = STATUSES.get(name, getattr(kind, "status_code", 400))
    error.response = http_library().Response(error.status_code)
    raised = translate(error, Call("cancel the batch", Effect.STATE_CHANGE), key=None, now=NOON)
    assert type(raised) is MEANINGS[name]


def test_an_exception_of_the_sdk_that_is_new_means_the_worst():
    import openai

    new = type("NewError", (openai.OpenAIError,), {})
    call = Call("create the batch", Effect.WRITE)
    assert type(translate(new("?"), call, key=None, now=NOON)) is OutcomeUnknown
    call = Call("list the batches", Effect.READ)
    assert type(translate(new("?"), call, key=None, now=NOON)) is Unavailable
