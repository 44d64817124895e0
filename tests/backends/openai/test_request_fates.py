"""What becomes of a request -> what is raised, for each of the nine methods; and
each is sent once.
"""

import gzip
import io
import json

import pytest

from batchsim.errors import (
    AuthenticationFailed,
    Conflict,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    TransferBroken,
    Unavailable,
    UsageError,
)

pytestmark = pytest.mark.sdk

READS = {
    "retrieve_file": lambda backend: backend.retrieve_file("file-1"),
    "list_files": lambda backend: backend.list_files(),
    "read_file": lambda backend: list(backend.read_file("file-1")),
    "retrieve_batch": lambda backend: backend.retrieve_batch("batch_1"),
    "list_batches": lambda backend: backend.list_batches(),
}
CREATIONS = {
    "upload_file": lambda backend: backend.upload_file(io.BytesIO(b"{}\n"), filename="a.jsonl"),
    "create_batch": lambda backend: backend.create_batch(
        input_file_id="file-1", endpoint="/v1/responses"
    ),
}
STATE_CHANGES = {
    "delete_file": lambda backend: backend.delete_file("file-1"),
    "cancel_batch": lambda backend: backend.cancel_batch("batch_1"),
}
METHODS = READS | CREATIONS | STATE_CHANGES

REFUSED = {400: Refused, 401: AuthenticationFailed, 403: AuthenticationFailed, 404: NotFound}
REFUSED |= {405: Refused, 413: Refused, 415: Refused, 422: Refused, 429: RateLimited}
REDIRECTS = (301, 302, 307, 308)
OPEN = (303, 408, 500, 502, 503, 504, 520, 529)
UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
UNANSWERED = (
    "ReadTimeout",
    "WriteTimeout",
    "ReadError",
    "WriteError",
    "CloseError",
    "RemoteProtocolError",
    "LocalProtocolError",
    "DecodingError",
    "TooManyRedirects",
)
UNREADABLE = {
    "a web page": b"<html><body>Please log in</body></html>",
    "half a JSON": b'{"id": "batch_1", "sta',
    "null": b"null",
    "a list": b"[]",
    "nothing": b"",
    "an event stream": b'data: {"id": "batch_1"}\n\ndata: [DONE]\n\n',
    "not UTF-8": b'{"id": "\xff"}',
    "a BOM": b'\xef\xbb\xbf{"id": "batch_1"}',
}
WRONG = {
    "an empty object": {},
    "no id": {"object": "batch", "status": "validating"},
    "an id that is a number": {"id": 7, "status": "validating", "data": 7},
    "an error envelope": {"error": {"message": "gone"}},
    "another object": {"id": "x", "object": "list", "data": [7], "status": "validating"},
}


def unanswered(name):
    return Unavailable if name in READS else OutcomeUnknown


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", REFUSED)
def test_a_4xx_answer_is_a_refusal_with_its_envelope(backend_answering, library, method, status):
    envelope = {"message": "No.", "type": "a_type", "param": "p", "code": "c"}
    backend, paths = backend_answering(lambda _: library.Response(status, json={"error": envelope}))
    with pytest.raises(Refused) as raised:
        METHODS[method](backend)
    assert type(raised.value) is REFUSED[status]
    assert raised.value.status == status
    assert raised.value.message == "No."
    assert (raised.value.type, raised.value.param, raised.value.code) == ("a_type", "p", "c")
    assert paths.total() == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_409_is_a_conflict_only_where_an_object_s_state_is_changed(
    backend_answering, library, method
):
    backend, paths = backend_answering(
        lambda _: library.Response(409, json={"error": {"message": "No."}})
    )
    expected = Conflict if method in STATE_CHANGES else unanswered(method)
    with pytest.raises(expected):
        METHODS[method](backend)
    assert paths.total() == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", OPEN)
def test_row_015_a_5xx_answer_leaves_a_write_open(backend_answering, library, method, status):
    page = b"<html><head><title>502</title></head><body>Bad <b>Gateway</b></body></html>"
    headers = {"content-type": "text/html"}
    backend, paths = backend_answering(
        lambda _: library.Response(status, content=page, headers=headers)
    )
    with pytest.raises(unanswered(method), match="502 Bad Gateway") as raised:
        METHODS[method](backend)
    assert raised.value.hint
    assert paths.total() == 1


ODD_CHARSETS = (
    "rot13",
    "base64",
    "zlib",
    "idna",
    "undefined",
    "punycode",
    "unicode_escape",
    "utf-7",
)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("charset", ODD_CHARSETS)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502])
def test_an_odd_charset_changes_nothing_of_what_a_status_says(
    backend_answering, library, method, status, charset
):
    headers = {"content-type": f"application/json; charset={charset}"}
    body = b'{"error": {"message": "No \xff\\ud800."}}'
    backend, paths = backend_answering(
        lambda _: library.Response(status, content=body, headers=headers)
    )
    with pytest.raises(unanswered(method) if status >= 500 else REFUSED[status]):
        METHODS[method](backend)
    assert paths.total() == 1


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"read_file"}))
@pytest.mark.parametrize("charset", ODD_CHARSETS)
def test_an_odd_charset_of_a_good_answer_is_no_matter(backend_answering, library, method, charset):
    headers = {"content-type": f"application/json; charset={charset}"}
    answer = {"id": "batch_1", "status": "validating", "data": []}
    backend, _ = backend_answering(lambda _: library.Response(200, json=answer, headers=headers))
    METHODS[method](backend)


OWN_ERRORS = (TypeError, UnicodeDecodeError, UnicodeEncodeError, ValueError, RuntimeError, KeyError)
OWN_ERRORS += (AttributeError, RecursionError, MemoryError, LookupError, OSError)


def made(error):
    if issubclass(error, UnicodeError):
        return error("ascii", b"a" if error is UnicodeDecodeError else "a", 0, 1, "odd")
    return error("odd")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", OWN_ERRORS)
def test_any_error_once_a_request_has_left_leaves_a_write_open(
    backend_answering, library, method, error
):
    def fail(request):
        raise made(error)

    backend, _ = backend_answering(fail)
    with pytest.raises(unanswered(method)):
        METHODS[method](backend)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"read_file"}))
@pytest.mark.parametrize("error", OWN_ERRORS)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_any_error_of_reading_an_answer_leaves_what_its_status_says(
    backend_answering, library, method, error, status
):
    def broken():
        yield b'{"id": '
        raise made(error)

    backend, _ = backend_answering(lambda _: library.Response(status, content=broken()))
    with pytest.raises(Refused if status == 400 else unanswered(method)):
        METHODS[method](backend)


def test_what_no_request_can_carry_is_not_sent(backend_answering, library):
    backend, paths = backend_answering(lambda _: library.Response(200, json={}))
    for metadata in ({"a": {1, 2}}, {"a": "\ud800"}, {"a": object()}):
        with pytest.raises(UsageError, match="nothing was sent"):
            backend.create_batch(
                input_file_id="file-1", endpoint="/v1/responses", metadata=metadata
            )
    assert not paths


@pytest.mark.usefixtures("redirects_are_refused")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_is_refused_and_not_followed(backend_answering, library, method, status):
    headers = {"location": "https://elsewhere.invalid/v1"}
    backend, paths = backend_answering(lambda _: library.Response(status, headers=headers))
    with pytest.raises(Refused, match="elsewhere") as raised:
        METHODS[method](backend)
    assert "base URL" in raised.value.hint
    assert paths.total() == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", UNSENT)
def test_a_request_that_was_never_sent_changed_nothing(backend_answering, library, method, error):
    def fail(request):
        raise getattr(library, error)("no way there", request=request)

    backend, paths = backend_answering(fail)
    with pytest.raises(Unavailable, match="nothing was sent"):
        METHODS[method](backend)
    assert paths.total() == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", UNANSWERED)
def test_silence_leaves_a_write_open(backend_answering, library, method, error):
    def fail(request):
        raise getattr(library, error)("silence", request=request)

    backend, paths = backend_answering(fail)
    with pytest.raises(unanswered(method)):
        METHODS[method](backend)
    assert paths.total() == 1


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"read_file"}))
@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_cannot_be_read_leaves_a_write_open(
    backend_answering, library, method, answer
):
    backend, paths = backend_answering(lambda _: library.Response(200, content=answer))
    with pytest.raises(unanswered(method)):
        METHODS[method](backend)
    assert paths.total() == 1


@pytest.mark.parametrize("method", METHODS.keys() - {"read_file", "delete_file"})
@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_an_answer_about_something_else_leaves_a_write_open(
    backend_answering, library, method, answer
):
    backend, paths = backend_answering(lambda _: library.Response(200, json=answer))
    with pytest.raises(unanswered(method)):
        METHODS[method](backend)
    assert paths.total() == 1


def test_a_deletion_that_is_denied_in_a_200_is_open(backend_answering, library):
    backend, _ = backend_answering(
        lambda _: library.Response(200, json={"id": "file-1", "deleted": False})
    )
    with pytest.raises(OutcomeUnknown):
        backend.delete_file("file-1")


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"read_file"}))
def test_a_json_answer_cut_at_any_byte_is_never_taken_for_the_whole(
    backend_answering, library, method
):
    whole = json.dumps({"id": "batch_1", "object": "batch", "status": "validating"}).encode()
    for length in range(len(whole)):
        cut = whole[:length]
        backend, _ = backend_answering(lambda _, cut=cut: library.Response(200, content=cut))
        with pytest.raises(unanswered(method)):
            METHODS[method](backend)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"read_file"}))
def test_an_answer_without_end_is_given_up(backend_answering, library, method, monkeypatch):
    from batchsim.backends.openai import answer_parser

    monkeypatch.setattr(answer_parser, "LONGEST_ANSWER", 1_000)
    backend, _ = backend_answering(lambda _: library.Response(200, content=b"[" * 1_001))
    with pytest.raises(unanswered(method)):
        METHODS[method](backend)


def test_a_web_page_is_not_a_file(backend_answering, library):
    headers = {"content-type": "text/html; charset=utf-8"}
    backend, _ = backend_answering(
        lambda _: library.Response(200, content=b"<html>", headers=headers)
    )
    with pytest.raises(Unavailable, match="web page"):
        next(backend.read_file("file-1"))


@pytest.mark.parametrize("sent", [0, 1, 999, 1_001])
def test_a_content_of_another_length_than_announced_is_broken(backend_answering, library, sent):
    headers = {"content-length": "1000"}
    stream = iter([b"x" * sent])
    backend, _ = backend_answering(lambda _: library.Response(200, content=stream, headers=headers))
    with pytest.raises(TransferBroken, match="of 1,000 bytes"):
        list(backend.read_file("file-1"))


def test_a_content_that_breaks_off_is_broken(backend_answering, library):
    def broken():
        yield b"x" * 10
        raise library.ReadError("reset by peer")

    backend, _ = backend_answering(lambda _: library.Response(200, content=broken()))
    pieces = backend.read_file("file-1")
    with pytest.raises(TransferBroken, match="reset by peer"):
        list(pieces)


def test_content_is_asked_for_uncompressed_and_taken_as_it_comes(backend_answering, library):
    packed = gzip.compress(b"x" * 5_000, mtime=0)
    headers = {"content-encoding": "gzip", "content-length": str(len(packed))}

    def answer(request):
        assert request.headers["accept-encoding"] == "identity"
        return library.Response(200, content=iter([packed]), headers=headers)

    backend, _ = backend_answering(answer)
    assert b"".join(backend.read_file("file-1")) == b"x" * 5_000
