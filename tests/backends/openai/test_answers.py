"""Odd but clear answers of compatible services, and what is sent to them."""

import io
import json
import subprocess
import sys

import pytest

from batchsim.domain.lifecycle import Status
from batchsim.errors import NotFound, UsageError

pytestmark = pytest.mark.sdk

BATCHES = {
    "bare": ({"id": "b", "status": "validating"}, Status.VALIDATING),
    "shouting": ({"id": "b", "status": "IN_PROGRESS", "errors": ""}, Status.IN_PROGRESS),
    "in a job": ({"job": {"id": "b", "status": "COMPLETED"}, "warning": "w"}, Status.COMPLETED),
    "in data": ({"data": {"id": "b", "status": "in_queue"}}, Status.VALIDATING),
    "unheard of": ({"id": "b", "status": "pondering"}, Status.IN_PROGRESS),
    "null counts": (
        {"id": "b", "status": "failed", "request_counts": None, "usage": None, "metadata": ""},
        Status.FAILED,
    ),
}


@pytest.mark.parametrize(("answer", "status"), BATCHES.values(), ids=BATCHES)
def test_row_150_batches_of_compatible_services_are_read(
    backend_answering, library, answer, status
):
    backend, _ = backend_answering(lambda _: library.Response(200, json=answer))
    batch = backend.retrieve_batch("b")
    assert (batch.id, batch.status) == ("b", status)


def test_row_016_headers_of_the_proxy_in_front_of_the_service_do_no_harm(
    backend_answering, library
):
    headers = [
        ("set-cookie", "__cf_bm=a.b-c; path=/; domain=.api.openai.com; HttpOnly; Secure"),
        ("set-cookie", "_cfuvid=; SameSite=None"),
        ("cf-ray", "8f00ba4b2e8a1234-FRA"),
        ("cf-cache-status", "DYNAMIC"),
        ("server", "cloudflare"),
        ("alt-svc", 'h3=":443"; ma=86400'),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
    ]
    answer = {"id": "b", "status": "validating"}
    backend, paths = backend_answering(
        lambda _: library.Response(200, headers=headers, json=answer)
    )
    assert [backend.retrieve_batch("b").id for _ in range(2)] == ["b", "b"]
    assert paths == {"GET /v1/batches/b": 2}


def test_row_150_empty_ids_and_other_times_are_read(backend_answering, library):
    answer = {
        "id": "b",
        "status": "completed",
        "output_file_id": "out",
        "error_file_id": "",
        "created_at": 1_767_225_600_123,
        "completed_at": "2026-01-01T00:00:10Z",
    }
    backend, _ = backend_answering(lambda _: library.Response(200, json=answer))
    batch = backend.retrieve_batch("b")
    assert (batch.output_file_id, batch.error_file_id) == ("out", None)
    assert (batch.created_at, batch.completed_at) == (1_767_225_600, 1_767_225_610)


@pytest.mark.parametrize(
    "answer",
    [{"id": "f", "bytes": 3}, {"data": {"id": "f", "bytes": 3}, "code": 0}],
    ids=["bare", "in data"],
)
def test_row_150_files_of_compatible_services_are_read(backend_answering, library, answer):
    backend, _ = backend_answering(lambda _: library.Response(200, json=answer))
    file = backend.upload_file(io.BytesIO(b"{}\n"), filename="a.jsonl")
    assert (file.id, file.bytes) == ("f", 3)


LISTS = {
    "usual": ({"object": "list", "data": [{"id": "f"}], "has_more": True}, ["f"], True),
    "silent about more": ({"data": [{"id": "f"}]}, ["f"], False),
    "null": ({"data": None, "has_more": False}, [], False),
    "more of nothing": ({"data": [], "has_more": True}, [], False),
    "more as text": ({"data": [{"id": "f"}], "has_more": "no"}, ["f"], False),
}


@pytest.mark.parametrize(("answer", "ids", "more"), LISTS.values(), ids=LISTS)
def test_row_105_lists_end_when_nothing_more_is_promised(
    backend_answering, library, answer, ids, more
):
    backend, _ = backend_answering(lambda _: library.Response(200, json=answer))
    page = backend.list_files()
    assert ([file.id for file in page.data], page.has_more) == (ids, more)


@pytest.mark.parametrize("answer", [{"deleted": True}, {}, {"id": "f", "object": "file"}])
def test_a_deletion_may_be_confirmed_in_few_words(backend_answering, library, answer):
    backend, paths = backend_answering(lambda _: library.Response(200, json=answer))
    backend.delete_file("f")
    assert paths == {"DELETE /v1/files/f": 1}


def remembering(backend_answering, library, answer):
    requests = []

    def remember(request):
        requests.append(request)
        return library.Response(200, json=answer)

    return backend_answering(remember)[0], requests


def test_a_creation_says_what_was_given_and_nothing_else(backend_answering, library):
    backend, requests = remembering(backend_answering, library, {"id": "b", "status": "validating"})
    backend.create_batch(input_file_id="f", endpoint="/v1/x")
    backend.create_batch(
        input_file_id="f",
        endpoint="/v1/x",
        completion_window="7d",
        metadata={"a": "é"},
        output_expires_after=3_600,
    )
    least = {"input_file_id": "f", "endpoint": "/v1/x", "completion_window": "24h"}
    assert json.loads(requests[0].content) == least
    assert json.loads(requests[1].content) == {
        **least,
        "completion_window": "7d",
        "metadata": {"a": "é"},
        "output_expires_after": {"anchor": "created_at", "seconds": 3_600},
    }
    assert {request.headers["content-type"] for request in requests} == {"application/json"}


def test_an_upload_is_a_form_of_known_length(backend_answering, library):
    backend, requests = remembering(backend_answering, library, {"id": "f"})
    stream = io.BytesIO(b"skipped{}\n")
    stream.seek(7)
    backend.upload_file(stream, filename='é "a".jsonl', expires_after=3_600)
    (request,) = requests
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert int(request.headers["content-length"]) == len(request.content)
    for part in (
        b'name="purpose"\r\n\r\nbatch\r\n',
        b'name="expires_after[anchor]"\r\n\r\ncreated_at\r\n',
        b'name="expires_after[seconds]"\r\n\r\n3600\r\n',
        'filename="é %22a%22.jsonl"'.encode(),
        b"\r\n\r\n{}\n\r\n--",
    ):
        assert part in request.content
    assert b"skipped" not in request.content


def test_queries_leave_out_what_was_not_given(backend_answering, library):
    backend, requests = remembering(backend_answering, library, {"data": []})
    backend.list_batches()
    backend.list_files(purpose="batch", limit=2, after="f/1", order="asc")
    assert dict(requests[0].url.params) == {"limit": "20"}
    wanted = {"purpose": "batch", "limit": "2", "after": "f/1", "order": "asc"}
    assert dict(requests[1].url.params) == wanted


@pytest.mark.parametrize(
    ("identifier", "segment"),
    [
        ("file-1", "file-1"),
        ("../batches", "..%2Fbatches"),
        ("a/b?c#d%e", "a%2Fb%3Fc%23d%25e"),
        ("é=+ ~", "%C3%A9%3D%2B%20~"),
        ("bGl0ZWxsbV9wcm94eTo=", "bGl0ZWxsbV9wcm94eTo%3D"),
        ("x\r\nhost: evil", "x%0D%0Ahost%3A%20evil"),
    ],
)
def test_row_123_an_id_is_never_more_than_a_segment(
    backend_answering, library, identifier, segment
):
    backend, requests = remembering(backend_answering, library, {"id": "f"})
    backend.retrieve_file(identifier)
    assert requests[0].url.raw_path.decode() == f"/v1/files/{segment}"


@pytest.mark.parametrize("identifier", ["", ".", "..", "x" * 1_025])
def test_an_id_that_cannot_be_one_is_not_asked_for(backend_answering, library, identifier):
    backend, requests = remembering(backend_answering, library, {})
    for refused in (
        lambda: backend.retrieve_file(identifier),
        lambda: backend.delete_file(identifier),
        lambda: next(backend.read_file(identifier)),
        lambda: backend.retrieve_batch(identifier),
        lambda: backend.cancel_batch(identifier),
    ):
        with pytest.raises(NotFound):
            refused()
    assert requests == []


def test_a_content_that_cannot_be_read_is_no_fault_of_the_service(backend_answering, library):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("the disk is broken")

    backend, _ = remembering(backend_answering, library, {"id": "f"})
    with pytest.raises(OSError, match="the disk is broken"):
        backend.upload_file(Broken(b"{}\n"), filename="a.jsonl")


def test_nothing_is_sent_before_the_first_piece_is_asked_for(backend_answering, library):
    backend, requests = remembering(backend_answering, library, {})
    pieces = backend.read_file("f")
    assert requests == []
    assert next(pieces) == b"{}"
    pieces.close()


def test_an_address_that_stopped_being_one_is_a_usage_error(backend_answering, library):
    def fail(request):
        raise library.UnsupportedProtocol("no such protocol", request=request)

    backend, _ = backend_answering(fail)
    with pytest.raises(UsageError, match="base URL"):
        backend.list_batches()


def test_the_sdk_is_imported_only_when_it_is_needed():
    code = "import sys, batchsim.backends.openai; print([n for n in ('openai', 'httpx', 'httpx2') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
